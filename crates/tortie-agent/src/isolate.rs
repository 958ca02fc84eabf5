//! Which objects the kernel does not take, when it does not say (E-711).

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<K> {
    /// Without these the kernel takes all the others. Empty when it takes everything.
    Offenders(Vec<K>),
    /// It does not even take the state before any of the changes: they are not to blame.
    NotTheChanges,
}

/// Searches `suspects`, changed objects, for those without which the kernel takes the rest.
///
/// `takes` says whether the kernel takes a state in which exactly these suspects have changed. Each offender costs about
/// two questions for each doubling of the number of suspects, and no question is asked twice. Where two objects are
/// refused only together, the later one is blamed.
///
/// # Errors
/// The first error of `takes`; it ends the search.
pub(crate) fn search<K: Clone, E>(
    suspects: &[K],
    mut takes: impl FnMut(&[K]) -> Result<bool, E>,
) -> Result<Found<K>, E> {
    if takes(suspects)? {
        return Ok(Found::Offenders(Vec::new()));
    }
    if suspects.is_empty() || !takes(&[])? {
        return Ok(Found::NotTheChanges);
    }
    let mut good = Vec::with_capacity(suspects.len());
    let mut offenders = Vec::new();
    halve(suspects, &mut good, &mut offenders, &mut takes)?;
    Ok(Found::Offenders(offenders))
}

/// Sorts `suspects` into `good` and `offenders`. The kernel takes `good`, and not `good` with all of `suspects`.
fn halve<K: Clone, E>(
    suspects: &[K],
    good: &mut Vec<K>,
    offenders: &mut Vec<K>,
    takes: &mut impl FnMut(&[K]) -> Result<bool, E>,
) -> Result<(), E> {
    if let [one] = suspects {
        offenders.push(one.clone());
        return Ok(());
    }
    let (left, right) = suspects.split_at(suspects.len() / 2);
    let mut is_left_clean = true;
    for (half, is_right) in [(left, false), (right, true)] {
        let before = good.len();
        good.extend_from_slice(half);
        // With a clean left half the right one is the whole again, which is known to be refused.
        let is_known_bad = is_right && is_left_clean;
        if is_known_bad || !takes(good)? {
            good.truncate(before);
            is_left_clean = false;
            halve(half, good, offenders, takes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Searches `count` suspects, of which the kernel does not take those in `bad`; gives what is found, and the number
    /// of questions.
    fn run(count: usize, bad: &[usize]) -> (Found<usize>, usize) {
        let suspects: Vec<usize> = (0..count).collect();
        let mut asked = BTreeSet::new();
        let found = search(&suspects, |set| {
            assert!(asked.insert(set.to_vec()), "asked twice: {set:?}");
            Ok::<_, ()>(!set.iter().any(|one| bad.contains(one)))
        });
        (found.unwrap(), asked.len())
    }

    #[test]
    fn every_offender_is_found_and_nobody_else_e711() {
        for (count, bad) in [
            (1, vec![]),
            (1, vec![0]),
            (2, vec![1]),
            (7, vec![0, 6]),
            (8, vec![0, 1, 2, 3, 4, 5, 6, 7]),
            (100, vec![99]),
            (1000, vec![0, 499, 500, 999]),
        ] {
            let (found, questions) = run(count, &bad);
            assert_eq!(found, Found::Offenders(bad.clone()), "{count}");
            let doublings = count.next_power_of_two().trailing_zeros() as usize;
            assert!(questions <= 2 + 2 * bad.len() * doublings.max(1), "{count}, {bad:?}: {questions} questions");
        }
    }

    #[test]
    fn of_two_that_are_refused_together_one_is_blamed() {
        let takes = |set: &[u32]| Ok::<_, ()>(!(set.contains(&3) && set.contains(&9)));
        assert_eq!(search(&(0..16).collect::<Vec<_>>(), takes), Ok(Found::Offenders(vec![9])));
    }

    #[test]
    fn a_kernel_that_refuses_everything_blames_nobody() {
        let mut questions = 0;
        let found = search(&[1, 2, 3], |_| {
            questions += 1;
            Ok::<_, ()>(false)
        });
        assert_eq!((found, questions), (Ok(Found::NotTheChanges), 2));
        assert_eq!(search::<u8, ()>(&[], |_| Ok(false)), Ok(Found::NotTheChanges));
    }

    #[test]
    fn an_error_ends_the_search() {
        let mut questions = 0;
        let result = search(&[1, 2, 3, 4], |set| {
            questions += 1;
            if questions == 3 { Err("gone") } else { Ok(set.is_empty()) }
        });
        assert_eq!((result, questions), (Err("gone"), 3));
    }
}
