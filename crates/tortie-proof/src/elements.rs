//! Elements of sets as ranges of each field of the key.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use tortie_rules::ruleset::{ClassId, Data, Element, Field, Name, Ranges as Kind, Set};

use crate::diagram::Node;
use crate::field::{number, within};
use crate::logic::{Logic, Made};
use crate::place::Place;
use crate::space::{Pool, Range, Ranges};
use crate::texts::Comments;

/// Elements that say the same and share all fields but the first.
pub(crate) struct Group {
    first: Ranges,
    rest: Vec<Ranges>,
    pub(crate) data: Option<Data>,
    /// The comment of the rule they stand for, where that is not the one that asks.
    pub(crate) reason: Option<Rc<str>>,
}

impl Group {
    /// Where the fields of a key, if they are there, are one of these elements.
    pub(crate) fn holds(&self, logic: &mut Logic<'_>, place: Place, key: &[Field]) -> Made {
        let Some((first, rest)) = key.split_first() else { return Ok(Node::TRUE) };
        let mut holds = within(logic, place, *first, self.first)?;
        for (field, ranges) in rest.iter().zip(&self.rest) {
            let is_in = within(logic, place, *field, *ranges)?;
            holds = logic.and(holds, is_in)?;
        }
        Ok(holds)
    }
}

pub(crate) type Shape = Rc<[Group]>;

/// The addresses of a class, or of each class of a pair, and the elements under it, whose keys are without the classes.
pub(crate) struct Class {
    pub(crate) addresses: Vec<Ranges>,
    pub(crate) elements: Shape,
}

/// What was worked out of the sets of a ruleset.
#[derive(Default)]
pub(crate) struct Shapes<'a> {
    sets: HashMap<&'a Name, Shape>,
    classes: HashMap<(Vec<&'a Name>, &'a Name), Rc<[Class]>>,
}

impl<'a> Shapes<'a> {
    /// The elements of a set; `None` where one is no value of the set's key.
    pub(crate) fn of(&mut self, pool: &mut Pool, comments: &Comments, name: &'a Name, set: &'a Set) -> Option<Shape> {
        if let Some(known) = self.sets.get(name) {
            return Some(known.clone());
        }
        let mut groups = Groups::default();
        for (element, data) in &set.elements {
            for area in areas(element, set)? {
                groups.add(area, data, reason(comments, set, element));
            }
        }
        let shape = groups.shape(pool);
        self.sets.insert(name, shape.clone());
        Some(shape)
    }

    /// The classes that addresses have, and what each says, or each pair of them where two sets of classes are asked; the
    /// name of the set of whose key an element is no value. Classes under which nothing stands are left out.
    ///
    /// Elements are sorted by their class first, so that each is looked at once however many classes there are.
    pub(crate) fn classes(
        &mut self,
        pool: &mut Pool,
        comments: &Comments,
        ends: &[(&'a Name, &'a Set)],
        (map_name, map): (&'a Name, &'a Set),
    ) -> Result<Rc<[Class]>, &'a Name> {
        let key = (ends.iter().map(|(name, _)| *name).collect(), map_name);
        if let Some(known) = self.classes.get(&key) {
            return Ok(known.clone());
        }
        let mut addresses = Vec::with_capacity(ends.len());
        for (name, classes) in ends {
            let of_end = addresses_of(classes).ok_or(*name)?;
            let to_ranges = |(class, addresses)| (class, pool.ranges(addresses));
            addresses.push(of_end.into_iter().map(to_ranges).collect::<BTreeMap<ClassId, Ranges>>());
        }
        let mut elements: BTreeMap<Vec<ClassId>, Groups<'_>> = BTreeMap::new();
        for (element, data) in &map.elements {
            let reason = reason(comments, map, element);
            for mut area in areas(element, map).ok_or(map_name)? {
                let mut under = vec![Vec::new()];
                for (of_end, (first, last)) in addresses.iter().zip(area.drain(..addresses.len())) {
                    let class = |number: u128| ClassId(u64::try_from(number).unwrap_or(u64::MAX));
                    let met = || of_end.range(class(first)..=class(last)).map(|(class, _)| *class);
                    let longer = |before: Vec<ClassId>| met().map(move |class| [&before[..], &[class]].concat());
                    under = under.into_iter().flat_map(longer).collect();
                }
                for classes in under {
                    elements.entry(classes).or_default().add(area.clone(), data, reason.clone());
                }
            }
        }
        let to_class = |(classes, elements): (Vec<ClassId>, Groups<'_>)| Class {
            addresses: addresses.iter().zip(&classes).map(|(of_end, class)| of_end[class]).collect(),
            elements: elements.shape(pool),
        };
        let found: Rc<[Class]> = elements.into_iter().map(to_class).collect();
        self.classes.insert(key, found.clone());
        Ok(found)
    }
}

/// The addresses of each class; `None` where an element is no value of the set's key.
fn addresses_of(classes: &Set) -> Option<BTreeMap<ClassId, Vec<Range>>> {
    let mut addresses: BTreeMap<ClassId, Vec<Range>> = BTreeMap::new();
    for (element, data) in &classes.elements {
        let Some(Data::Class(class)) = data else { continue };
        for area in areas(element, classes)? {
            addresses.entry(*class).or_default().extend(area);
        }
    }
    Some(addresses)
}

/// The comment of the rule for which an element stands.
fn reason(comments: &Comments, set: &Set, element: &Element) -> Option<Rc<str>> {
    set.origins.get(element).and_then(|origins| origins.first()).map(|origin| comments.reason(origin))
}

/// Ranges of the fields of a key, side by side.
type Area = Vec<Range>;

/// All fields but the first, and what elements there say.
type Says<'a> = (Vec<Range>, &'a Option<Data>, Option<Rc<str>>);

#[derive(Default)]
struct Groups<'a>(BTreeMap<Says<'a>, Vec<Range>>);

impl<'a> Groups<'a> {
    fn add(&mut self, mut area: Area, data: &'a Option<Data>, reason: Option<Rc<str>>) {
        // A map that is asked with nothing beside the class has one element for each.
        let first = if area.is_empty() { (0, 0) } else { area.remove(0) };
        self.0.entry((area, data, reason)).or_default().push(first);
    }

    fn shape(self, pool: &mut Pool) -> Shape {
        let mut group = |((rest, data, reason), first): (Says<'_>, Vec<Range>)| Group {
            first: pool.ranges(first),
            rest: rest.into_iter().map(|range| pool.ranges([range])).collect(),
            data: data.clone(),
            reason,
        };
        self.0.into_iter().map(&mut group).collect()
    }
}

/// An element as areas of the fields of its set's key; `None` where it is no value of that key.
fn areas(element: &Element, set: &Set) -> Option<Vec<Area>> {
    let mut ranges = Vec::with_capacity(set.key.len());
    let mut from = 0;
    for field in &set.key {
        let part = from..from + field.width();
        from = part.end;
        let (first, last) = (element.first.get(part.clone())?, element.last.get(part)?);
        ranges.push((number(first, *field, 0)?, number(last, *field, 0)?));
    }
    if from != element.first.len() || from != element.last.len() {
        return None;
    }
    Some(if set.ranges == Kind::OfKey { in_order(&ranges, &set.key) } else { vec![ranges] })
}

/// All values of a key from the first fields of `ends` to the last ones, the key read as one number: at most `2 n - 1`
/// areas of `n` fields.
fn in_order(ends: &[Range], key: &[Field]) -> Vec<Area> {
    let ([(first, last), rest @ ..], [_, fields @ ..]) = (ends, key) else { return vec![Vec::new()] };
    let with = |range: Range, areas: Vec<Area>| -> Vec<Area> {
        areas.into_iter().map(|area| std::iter::once(range).chain(area).collect()).collect()
    };
    if first > last {
        return Vec::new();
    }
    if first == last {
        return with((*first, *first), in_order(rest, fields));
    }
    let all: Vec<Range> = fields.iter().map(|field| (0, u128::MAX >> (128 - 8 * field.width()))).collect();
    let (mut low, mut high) = (*first, *last);
    let mut areas = Vec::new();
    if rest.iter().any(|(first, _)| *first != 0) {
        let from: Vec<Range> = rest.iter().zip(&all).map(|((first, _), (_, top))| (*first, *top)).collect();
        areas.extend(with((low, low), in_order(&from, fields)));
        low += 1;
    }
    if rest.iter().zip(&all).any(|((_, last), (_, top))| last != top) {
        let to: Vec<Range> = rest.iter().map(|(_, last)| (0, *last)).collect();
        areas.extend(with((high, high), in_order(&to, fields)));
        high -= 1;
    }
    if low <= high {
        areas.push(std::iter::once((low, high)).chain(all).collect());
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each value of a key of two small fields and a wide one is in exactly one area when it is in the range, else in none.
    #[test]
    fn a_range_of_a_key_is_cut_into_areas_of_its_fields() {
        let key = [Field::L4Proto, Field::IcmpType, Field::SourcePort];
        let ends = [0u128, 1, 6, 7, 254, 255];
        let bytes = |(a, b, c): (u128, u128, u128)| [a as u8, b as u8, (c >> 8) as u8, c as u8];
        let values: Vec<_> = ends
            .iter()
            .flat_map(|a| ends.iter().flat_map(move |b| [0, 1, 255, 256, 0xffff].map(|c| (*a, *b, c))))
            .collect();
        for (at, first) in values.iter().enumerate().step_by(7) {
            for last in values[at..].iter().step_by(5) {
                let element = Element::range(bytes(*first), bytes(*last));
                let set = Set { key: key.to_vec(), ranges: Kind::OfKey, ..Set::default() };
                let areas = areas(&element, &set).unwrap();
                assert!(areas.len() <= 5, "{areas:?}");
                for value in &values {
                    let fields = [value.0, value.1, value.2];
                    let is_in =
                        |area: &&Area| area.iter().zip(fields).all(|((low, high), v)| (*low..=*high).contains(&v));
                    let expected = usize::from(first <= value && value <= last);
                    assert_eq!(areas.iter().filter(is_in).count(), expected, "{first:?} {last:?} {value:?} {areas:?}");
                }
            }
        }
    }

    #[test]
    fn an_element_of_another_length_is_no_value_of_the_key() {
        let set = Set { key: vec![Field::L4Proto, Field::SourcePort], ..Set::default() };
        assert_eq!(areas(&Element::exact([6, 0]), &set), None);
        assert_eq!(areas(&Element::exact([6, 0, 80, 0]), &set), None);
        assert_eq!(areas(&Element::exact([6, 0, 80]), &set), Some(vec![vec![(6, 6), (80, 80)]]));
    }
}
