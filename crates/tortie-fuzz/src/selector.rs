//! Selectors: text to tree, and back.

use std::collections::BTreeMap;

use tortie_selector::{Restriction, Selector};

/// Bytes of the longest selector.
const LEN_MAX: usize = 64 << 10;

/// Canonical text is read as a selector that means the same, and everything that is derived agrees with evaluation.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = Selector::parse(text);
    assert_eq!(parsed, Selector::parse(text), "two readings differ");
    let Ok(selector) = parsed else { return };
    let canonical = selector.canonical();
    // It has more spaces; a selector near the limit of length has none that is read.
    let is_short = text.len() <= LEN_MAX / 2;
    let again = match Selector::parse(&canonical) {
        Ok(again) => again,
        Err(error) => {
            assert!(!is_short, "canonical text is refused: {error}");
            return;
        }
    };
    // One wrinkle: `!!` vanishes on reading (selectors.md section 5). What is left is stable.
    let settled = again.canonical();
    assert_eq!(Selector::parse(&settled).unwrap().canonical(), settled);
    assert_eq!(settled == canonical, selector.id() == again.id());
    let restrictions = selector.restrictions();
    for labels in items(&selector) {
        let is_match = selector.matches(&labels);
        assert_eq!(again.matches(&labels), is_match, "{canonical} and {settled} differ on {labels:?}");
        assert_eq!(selector.not().matches(&labels), !is_match);
        if is_match {
            let restrictions = restrictions.as_ref().expect("what matches is not impossible");
            for (label, restriction) in restrictions {
                let value = labels.get(label);
                let is_met = match restriction {
                    Restriction::Absent => value.is_none(),
                    Restriction::Present => value.is_some(),
                    Restriction::OneOf(values) => value.is_some_and(|value| values.contains(value)),
                };
                assert!(is_met, "{restriction:?} of {label} for {labels:?}");
            }
        }
    }
    let prefixed = selector.with_prefix("pcns.");
    assert!(prefixed.label_names().iter().all(|label| label.starts_with("pcns.")));
    assert!(!selector.replace_global_with(&Selector::all()).contains_global());
}

/// Items that tell selectors apart: without labels, with all of them, and with every second one.
fn items(selector: &Selector) -> Vec<BTreeMap<String, String>> {
    let names = selector.label_names();
    let values = |value: &str| names.iter().map(|name| (name.clone(), value.to_owned())).collect();
    let half = names.iter().step_by(2).map(|name| (name.clone(), "a".to_owned())).collect();
    vec![BTreeMap::new(), values(""), values("a"), values("b"), half]
}
