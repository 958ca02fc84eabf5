//! Large builds, in portions.

use std::collections::BTreeSet;

use super::Op;
use crate::ruleset::Name;

/// Elements that one transaction builds, about. A kernel keeps some hundred bytes for each until it has committed, and the
/// whole transaction is one message.
const ELEMENTS_MAX: usize = 50_000;

/// The operations of a build as several transactions, each of about as many elements as is good for a kernel. Nobody uses
/// what a build makes, so nothing shows when it is there in part; what is put right where it stands stays together.
pub(super) fn portions(ops: Vec<Op>) -> Vec<Vec<Op>> {
    let made = ops.iter().filter_map(|op| if let Op::AddSet { name, .. } = op { Some(name.clone()) } else { None });
    let made: BTreeSet<Name> = made.collect();
    let mut portions = vec![Vec::new()];
    let mut len = 0;
    for op in ops {
        let Op::AddElements { set, shape, mut elements } = op else {
            add(&mut portions, op);
            continue;
        };
        while len + elements.len() > ELEMENTS_MAX && made.contains(&set) {
            let rest = elements.keys().nth(ELEMENTS_MAX - len).cloned();
            let rest = rest.map(|first| elements.split_off(&first)).unwrap_or_default();
            add(&mut portions, Op::AddElements { set: set.clone(), shape: shape.clone(), elements });
            portions.push(Vec::new());
            (len, elements) = (0, rest);
        }
        len += elements.len();
        if !elements.is_empty() {
            add(&mut portions, Op::AddElements { set, shape, elements });
        }
    }
    portions
}

fn add(portions: &mut [Vec<Op>], op: Op) {
    portions.last_mut().expect("there is a portion from the start").push(op);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::ruleset::{Data, Element, Set};

    fn elements(len: usize) -> BTreeMap<Element, Option<Data>> {
        (0..u32::try_from(len).unwrap()).map(|number| (Element::exact(number.to_be_bytes()), None)).collect()
    }

    fn add_elements(set: &str, len: usize) -> Op {
        Op::AddElements { set: Name::new(set), shape: Arc::new(Set::default()), elements: elements(len) }
    }

    /// The names and numbers of elements of each portion.
    fn shape(ops: Vec<Op>) -> Vec<Vec<(String, usize)>> {
        let of = |op: &Op| match op {
            Op::AddElements { set, elements, .. } => (set.to_string(), elements.len()),
            Op::AddSet { name, .. } => (format!("+{name}"), 0),
            other => panic!("{other:?}"),
        };
        portions(ops).iter().map(|portion| portion.iter().map(of).collect()).collect()
    }

    #[test]
    fn a_large_build_comes_in_portions_and_what_is_in_use_stays_together() {
        let add_set = |name: &str| Op::AddSet { name: Name::new(name), set: Arc::new(Set::default()) };
        let expect = |list: &[&[(&str, usize)]]| -> Vec<Vec<(String, usize)>> {
            list.iter().map(|portion| portion.iter().map(|(name, len)| ((*name).to_owned(), *len)).collect()).collect()
        };
        assert_eq!(shape(vec![add_set("a"), add_elements("a", 10)]), expect(&[&[("+a", 0), ("a", 10)]]));
        let ops = vec![add_set("a"), add_elements("a", 120_000), add_set("b"), add_elements("b", 30_001)];
        let found = shape(ops);
        let expected: &[&[(&str, usize)]] =
            &[&[("+a", 0), ("a", 50_000)], &[("a", 50_000)], &[("a", 20_000), ("+b", 0), ("b", 30_000)], &[("b", 1)]];
        assert_eq!(found, expect(expected));
        // It was there before: it changes in one piece.
        assert_eq!(shape(vec![add_elements("there", 120_000)]), expect(&[&[("there", 120_000)]]));
        let ops = vec![add_set("a"), add_elements("a", 120_000)];
        let all: BTreeMap<Element, Option<Data>> = portions(ops)
            .into_iter()
            .flatten()
            .filter_map(|op| if let Op::AddElements { elements, .. } = op { Some(elements) } else { None })
            .flatten()
            .collect();
        assert_eq!(all, elements(120_000));
    }
}
