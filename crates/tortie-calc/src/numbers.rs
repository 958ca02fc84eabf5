//! Sets of numbers that take little more room than the numbers do, and in which one is found and changed quickly.

/// How many numbers a chunk may have.
const CHUNK_LEN_MAX: usize = 256;

/// A set of numbers.
#[derive(Debug)]
pub(crate) enum Numbers {
    /// In order.
    Few(Vec<u32>),
    /// Chunks that are not empty, in order, each in order.
    Many { chunks: Vec<Vec<u32>>, len: usize },
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers::Few(Vec::new())
    }
}

impl Numbers {
    pub(crate) fn len(&self) -> usize {
        match self {
            Numbers::Few(numbers) => numbers.len(),
            Numbers::Many { len, .. } => *len,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let chunks = match self {
            Numbers::Few(numbers) => std::slice::from_ref(numbers),
            Numbers::Many { chunks, .. } => chunks,
        };
        chunks.iter().flatten().copied()
    }

    /// Adds a number; tells whether it was not there.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        match self {
            Numbers::Few(numbers) => {
                let Err(at) = find(numbers, number) else { return false };
                numbers.insert(at, number);
                if numbers.len() > CHUNK_LEN_MAX {
                    let len = numbers.len();
                    *self = Numbers::Many { chunks: split(std::mem::take(numbers), at).into(), len };
                }
            }
            Numbers::Many { chunks, len } => {
                let chunk = chunk_of(chunks, number);
                let Err(at) = find(&chunks[chunk], number) else { return false };
                *len += 1;
                chunks[chunk].insert(at, number);
                if chunks[chunk].len() > CHUNK_LEN_MAX {
                    let [first, second] = split(std::mem::take(&mut chunks[chunk]), at);
                    chunks[chunk] = first;
                    chunks.insert(chunk + 1, second);
                }
            }
        }
        true
    }

    /// Removes a number; tells whether it was there.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        match self {
            Numbers::Few(numbers) => {
                let Ok(at) = numbers.binary_search(&number) else { return false };
                numbers.remove(at);
            }
            Numbers::Many { chunks, len } => {
                let chunk = chunk_of(chunks, number);
                let Ok(at) = chunks[chunk].binary_search(&number) else { return false };
                *len -= 1;
                chunks[chunk].remove(at);
                if chunks[chunk].is_empty() {
                    chunks.remove(chunk);
                }
                if chunks.len() == 1 {
                    *self = Numbers::Few(std::mem::take(&mut chunks[0]));
                }
            }
        }
        true
    }
}

/// The chunk in which a number is, or belongs.
fn chunk_of(chunks: &[Vec<u32>], number: u32) -> usize {
    // Numbers mostly grow.
    if chunks.last().is_some_and(|last| last[0] <= number) {
        return chunks.len() - 1;
    }
    chunks.partition_point(|chunk| chunk[0] <= number).saturating_sub(1)
}

fn find(numbers: &[u32], number: u32) -> Result<usize, usize> {
    if numbers.last().is_none_or(|last| *last < number) {
        return Err(numbers.len());
    }
    numbers.binary_search(&number)
}

/// Cuts a chunk in two halves. Where the new one is the last, the others stay together.
fn split(mut numbers: Vec<u32>, new: usize) -> [Vec<u32>; 2] {
    let is_last = new + 1 == numbers.len();
    let second = numbers.split_off(if is_last { new } else { numbers.len() / 2 });
    numbers.shrink_to_fit();
    [numbers, second]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_holds_what_a_plain_set_holds() {
        let (mut numbers, mut plain) = (Numbers::default(), BTreeSet::new());
        let mut random = 1_u64;
        let mut chunks_max = 0;
        for step in 0..40_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = u32::try_from(random >> 33).unwrap() % 3_000;
            // It grows, and gets smaller again until there is none.
            if (random >> 20) % 10 < if step < 20_000 { 7 } else { 2 } {
                assert_eq!(numbers.insert(number), plain.insert(number));
            } else {
                assert_eq!(numbers.remove(number), plain.remove(&number));
            }
            assert_eq!((numbers.len(), numbers.is_empty()), (plain.len(), plain.is_empty()));
            if step % 100 == 0 {
                assert!(numbers.iter().eq(plain.iter().copied()), "step {step}");
            }
            if let Numbers::Many { chunks, .. } = &numbers {
                chunks_max = chunks_max.max(chunks.len());
            }
        }
        plain.iter().for_each(|&number| assert!(numbers.remove(number)));
        assert!(numbers.is_empty() && matches!(numbers, Numbers::Few(_)));
        assert!(chunks_max > 8, "{chunks_max} chunks");
    }
}
