//! Sets, maps and classes as conditions on the header space.

use tortie_rules::ruleset::{Field, Holds, Name, Set};

use super::{Asks, Run, Runner};
use crate::diagram::Node;
use crate::elements::Shape;
use crate::field::{loads, number, within};
use crate::logic::{Logic, Made, Stop};
use crate::place::Place;
use crate::space::{Pool, Ranges};

/// What a rule asks for a class, or for a pair of them.
pub(super) struct Asked<'a> {
    /// Addresses, and the sets of their classes.
    pub(super) ends: Vec<(Field, &'a Name)>,
    pub(super) key: &'a [Field],
    pub(super) map: &'a Name,
}

impl<'a> Runner<'a> {
    /// Where all fields of a key are there, and the elements of the set that is asked with it.
    pub(super) fn look_up(
        &mut self,
        logic: &mut Logic<'_>,
        place: Place,
        key: &[Field],
        name: &Name,
    ) -> Result<(Node, Shape), Stop> {
        let (name, set) = self.set(name)?;
        if !is_asked_by(set, key) {
            return Err(other_key(name));
        }
        let shape = self.shapes.of(logic.pool, &self.comments, name, set).ok_or_else(|| no_value(name))?;
        Ok((all_load(logic, place, key)?, shape))
    }

    /// The addresses of which the bits of a prefix are in a set.
    pub(super) fn nets(&self, pool: &mut Pool, field: Field, mask: &[u8], name: &Name) -> Result<Ranges, Stop> {
        let (name, set) = self.set(name)?;
        if !is_asked_by(set, &[field]) {
            return Err(other_key(name));
        }
        let rest = u128::MAX >> (128 - 8 * field.width()) & !number(mask, field, 0).ok_or_else(|| no_value(name))?;
        if rest & rest.wrapping_add(1) != 0 {
            return Err(Stop::NotCovered("a mask of a lookup that is no prefix".to_owned()));
        }
        let mut nets = Vec::with_capacity(set.elements.len());
        for element in set.elements.keys() {
            let [first, last] = [&element.first, &element.last].map(|value| number(value, field, 0));
            let (first, last) = first.zip(last).ok_or_else(|| no_value(name))?;
            // Bits behind the prefix are never asked for: of a range those count whose rest is zero.
            let (first, last) = (first.checked_add(rest).map(|next| next & !rest), last & !rest);
            nets.extend(first.filter(|first| *first <= last).map(|first| (first, last | rest)));
        }
        Ok(pool.ranges(nets))
    }

    /// What the verdicts of a map do, with `miss` where no element is found.
    pub(super) fn element_of(
        &mut self,
        logic: &mut Logic<'_>,
        run: &mut Run,
        key: &[Field],
        shape: &Shape,
        asks: Asks<'a>,
        miss: Node,
    ) -> Made {
        let mut node = miss;
        for group in shape.iter().rev() {
            let Some(verdict) = group.data.as_ref().and_then(|data| data.verdict()) else { continue };
            let is_element = group.holds(logic, run.place, key)?;
            let reason = group.reason.clone().unwrap_or_else(|| self.comments.reason(&asks.rule.origin));
            let does = self.verdict(logic, run, verdict, reason, asks.next, asks.end)?;
            node = logic.choose(is_element, does, node)?;
        }
        Ok(node)
    }

    /// The map under the class of an address, or under those of both.
    pub(super) fn class(&mut self, logic: &mut Logic<'_>, run: &mut Run, asked: Asked<'_>, asks: Asks<'a>) -> Made {
        let map = self.set(asked.map)?;
        let mut loads_all = Node::TRUE;
        let mut sets = Vec::with_capacity(asked.ends.len());
        for (address, classes) in &asked.ends {
            let classes = self.set(classes)?;
            if !is_asked_by(classes.1, &[*address]) {
                return Err(other_key(classes.0));
            }
            if classes.1.holds != Holds::Classes {
                return Err(Stop::Broken(format!("map `{}` is asked for classes and holds none", classes.0)));
            }
            sets.push(classes);
            let loads = loads(logic, run.place, *address)?;
            loads_all = logic.and(loads_all, loads)?;
        }
        let classes = vec![Field::Class; sets.len()];
        if !is_asked_by(map.1, &[&classes, asked.key].concat()) || !map.1.key.starts_with(&classes) {
            return Err(other_key(map.0));
        }
        if map.1.holds != Holds::Verdicts {
            return Err(Stop::Broken(format!("map `{}` is asked for verdicts and holds none", map.0)));
        }
        let found = self.shapes.classes(logic.pool, &self.comments, &sets, map).map_err(no_value)?;
        // What follows the rule is put in at the end, once: every class may miss, and what follows may be large.
        let miss = logic.placeholder()?;
        let mut each = Vec::with_capacity(found.len());
        for class in found.iter() {
            let mut has_class = Node::TRUE;
            for ((address, _), addresses) in asked.ends.iter().zip(&class.addresses) {
                let is_there = within(logic, run.place, *address, *addresses)?;
                has_class = logic.and(has_class, is_there)?;
            }
            each.push((has_class, self.element_of(logic, run, asked.key, &class.elements, asks, miss)?));
        }
        let (has_class, node) = one_of(logic, &each)?;
        let rest_loads = all_load(logic, run.place, asked.key)?;
        let loads = logic.and(loads_all, rest_loads)?;
        let is_found = logic.and(loads, has_class)?;
        let node = logic.choose(is_found, node, miss)?;
        logic.put_in(node, asks.next)
    }

    fn set(&self, name: &Name) -> Result<(&'a Name, &'a Set), Stop> {
        let found = self.ruleset.sets.get_key_value(name).map(|(name, set)| (name, set.as_ref()));
        found.ok_or_else(|| Stop::Broken(format!("set `{name}` is looked up and does not exist")))
    }
}

fn is_asked_by(set: &Set, key: &[Field]) -> bool {
    key.len() == set.key.len() && key.iter().zip(&set.key).all(|(asked, has)| asked.width() == has.width())
}

fn other_key(name: &Name) -> Stop {
    Stop::Broken(format!("set `{name}` is looked up with a key of another kind"))
}

fn no_value(name: &Name) -> Stop {
    Stop::Broken(format!("set `{name}` has an element that is no value of its key"))
}

fn all_load(logic: &mut Logic<'_>, place: Place, key: &[Field]) -> Made {
    let mut all = Node::TRUE;
    for field in key {
        let loads = loads(logic, place, *field)?;
        all = logic.and(all, loads)?;
    }
    Ok(all)
}

/// Where one of these conditions holds, of which never two do, and what is said there. By halves: one after the other,
/// each would go through all that those before it say.
fn one_of(logic: &mut Logic<'_>, each: &[(Node, Node)]) -> Result<(Node, Node), Stop> {
    match each {
        [] => Ok((Node::FALSE, Node::FALSE)),
        [one] => Ok(*one),
        _ => {
            let (left, right) = each.split_at(each.len() / 2);
            let ((is_left, left), (is_right, right)) = (one_of(logic, left)?, one_of(logic, right)?);
            Ok((logic.or(is_left, is_right)?, logic.choose(is_left, left, right)?))
        }
    }
}
