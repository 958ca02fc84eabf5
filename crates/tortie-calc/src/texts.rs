//! Texts that many items share, kept once and known by number.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The number of a text.
pub(crate) type Text = NonZeroU32;

/// What belongs to texts. Their numbers are ours, so that no hash is needed that withstands chosen keys.
pub(crate) type ByNumber<T> = HashMap<Text, T, foldhash::fast::RandomState>;

/// Texts, counted by who holds them; one that nobody holds is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    numbers: HashMap<Arc<str>, Text>,
    slots: Vec<(Arc<str>, u32)>,
    free: Vec<Text>,
}

impl Texts {
    /// The number of a text, which is held once more.
    pub(crate) fn hold(&mut self, text: &str) -> Text {
        if let Some(&number) = self.numbers.get(text) {
            self.slots[at(number)].1 += 1;
            return number;
        }
        let text: Arc<str> = text.into();
        let slot = (text.clone(), 1);
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[at(number)] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                let number = u32::try_from(self.slots.len()).ok().and_then(Text::new);
                number.expect("memory ends before numbers do")
            }
        };
        self.numbers.insert(text, number);
        number
    }

    /// Gives back what [`Texts::hold`] gave.
    pub(crate) fn release(&mut self, number: Text) {
        let slot = &mut self.slots[at(number)];
        slot.1 -= 1;
        if slot.1 == 0 {
            let text = std::mem::replace(&mut slot.0, Arc::from(""));
            self.numbers.remove(&text);
            self.free.push(number);
        }
    }

    /// The number of a text that someone holds.
    pub(crate) fn find(&self, text: &str) -> Option<Text> {
        self.numbers.get(text).copied()
    }

    /// The text of a number.
    pub(crate) fn text(&self, number: Text) -> &str {
        &self.slots[at(number)].0
    }
}

fn at(number: Text) -> usize {
    number.get() as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_as_long_as_someone_holds_it() {
        let mut texts = Texts::default();
        let (a, b) = (texts.hold("a"), texts.hold("b"));
        assert_eq!((texts.hold("a"), texts.text(a), texts.text(b)), (a, "a", "b"));
        texts.release(a);
        assert_eq!(texts.find("a"), Some(a));
        texts.release(a);
        assert_eq!(texts.find("a"), None);
        assert_eq!(texts.hold("c"), a, "numbers are used again");
        assert_eq!((texts.find("c"), texts.find("b")), (Some(a), Some(b)));
    }
}
