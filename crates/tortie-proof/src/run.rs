//! The ruleset, run for all packets at once (`nft_do_chain` in `net/netfilter/nf_tables_core.c`).
//!
//! A chain is read from its end, like a list of policy: what a rule does where it matches, else what the rest of the
//! chain does. What comes after the chain is given, so a jump is the called chain with the rest of the caller behind it,
//! and a `goto` the other chain with what stood behind this one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use tortie_rules::ruleset::{End, Field, Match, Name, Origin, Rule, Ruleset, Set, Statement, Verdict};

use crate::diagram::Node;
use crate::field::{loads, masked, number, within};
use crate::logic::{Logic, Made, Stop};
use crate::outcome::{Decision, Effect, Left};
use crate::place::Place;
use crate::space::{Pool, Range, Ranges};

/// Chains that call one another: the kernel takes 16 (`NFT_JUMP_STACK_SIZE`), and counts a `goto` as one.
const DEPTH_MAX: usize = 64;

/// Runs a ruleset.
pub(crate) struct Runner<'a> {
    ruleset: &'a Ruleset,
    /// Bits of the mark that are ours.
    mark_mask: u32,
    /// The text of the first part of a rule, by that of any other part.
    comments: HashMap<String, Rc<str>>,
    shapes: HashMap<&'a Name, Shape>,
}

/// The elements of a set, those together that share their verdict and all fields but the first.
type Shape = Rc<[Group]>;

struct Group {
    first: Ranges,
    rest: Vec<Ranges>,
    verdict: Option<Verdict>,
}

/// Where elements with each verdict are found.
type Found = Vec<(Option<Verdict>, Node)>;

/// One base chain as it is run.
struct Run {
    place: Place,
    known: HashMap<(Name, Node), Node>,
    open: BTreeSet<Name>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(ruleset: &'a Ruleset, mark_mask: u32, comments: HashMap<String, Rc<str>>) -> Self {
        Self { ruleset, mark_mask, comments, shapes: HashMap::new() }
    }

    /// A base chain that is none of ours, or one of ours that the kernel does not call where it has to.
    pub(crate) fn stranger(&self) -> Option<String> {
        self.ruleset.chains.iter().find_map(|(name, chain)| {
            let place = Place::ALL.into_iter().find(|place| place.name() == name.logical());
            match (place, chain.base) {
                (None, None) => None,
                (None, Some(_)) => Some(format!("base chain `{name}` is none of ours")),
                (Some(place), base) if base == Some(place.base()) => None,
                (Some(_), _) => Some(format!(
                    "chain `{name}` is not called where it has to be: it has another hook, type or policy, or its table \
                     sleeps"
                )),
            }
        })
    }

    /// What the ruleset says at a base chain; where it has none, nothing.
    pub(crate) fn judge(&mut self, logic: &mut Logic<'_>, place: Place) -> Made {
        let undecided = logic.undecided()?;
        let ruleset = self.ruleset;
        let mut run = Run { place, known: HashMap::new(), open: BTreeSet::new() };
        let own = ruleset.chains.keys().find(|name| name.logical() == place.name());
        match own {
            Some(name) => self.chain(logic, &mut run, name, undecided),
            None => Ok(undecided),
        }
    }

    /// A chain, with `end` behind it.
    fn chain(&mut self, logic: &mut Logic<'_>, run: &mut Run, name: &Name, end: Node) -> Made {
        if let Some(known) = run.known.get(&(name.clone(), end)) {
            return Ok(*known);
        }
        let ruleset = self.ruleset;
        let Some((name, chain)) = ruleset.chains.get_key_value(name) else {
            return Err(Stop::Broken(format!("chain `{name}` is called and does not exist")));
        };
        if !run.open.insert(name.clone()) || run.open.len() > DEPTH_MAX {
            return Err(Stop::Broken(format!("chains call one another too deep, or in a circle at `{name}`")));
        }
        let mut node = end;
        for rule in chain.rules.iter().rev() {
            node = self.rule(logic, run, rule, node, end)?;
        }
        run.open.remove(name);
        run.known.insert((name.clone(), end), node);
        Ok(node)
    }

    /// A rule, with `next` behind it in its chain and `end` behind its chain.
    fn rule(&mut self, logic: &mut Logic<'_>, run: &mut Run, rule: &'a Rule, next: Node, end: Node) -> Made {
        if let Origin::Unread(why) = &rule.origin {
            return Err(Stop::Broken(format!(
                "a rule on the way of packets to `{}` is not ours: {why}",
                run.place.name()
            )));
        }
        let mut matches = Node::TRUE;
        for criterion in &rule.matches {
            let holds = self.criterion(logic, run.place, criterion)?;
            matches = logic.and(matches, holds)?;
        }
        let mut does = match &rule.end {
            End::Next => next,
            End::Verdict(verdict) => self.verdict(logic, run, verdict, &rule.origin, next, end)?,
            End::Map { key, map } => {
                let mut node = next;
                let (loads, elements) = self.lookup(logic, run.place, key, map)?;
                for (verdict, is_element) in elements.into_iter().rev() {
                    let Some(verdict) = verdict else { continue };
                    let does = self.verdict(logic, run, &verdict, &rule.origin, next, end)?;
                    node = logic.choose(is_element, does, node)?;
                }
                logic.choose(loads, node, next)?
            }
        };
        for statement in rule.statements.iter().rev() {
            does = self.statement(logic, statement, does)?;
        }
        logic.choose(matches, does, next)
    }

    fn statement(&self, logic: &mut Logic<'_>, statement: &Statement, node: Node) -> Made {
        match statement {
            Statement::Counter | Statement::Refresh { .. } => Ok(node),
            Statement::Log { prefix } => logic.with_effect(node, &Effect::Log(prefix.clone())),
            Statement::Limit { packets, unit_s, burst } => {
                logic.with_effect(node, &Effect::Limit(*packets, *unit_s, *burst))
            }
            Statement::SetMark { mask, value } => {
                let node = logic.behind(node, Left { mask: *mask, value: *value, is_no_track: false })?;
                if mask & !self.mark_mask == 0 { Ok(node) } else { logic.with_effect(node, &Effect::ForeignMark) }
            }
            Statement::NoTrack => logic.behind(node, Left { is_no_track: true, ..Left::default() }),
        }
    }

    fn verdict(
        &mut self,
        logic: &mut Logic<'_>,
        run: &mut Run,
        verdict: &Verdict,
        origin: &Origin,
        next: Node,
        end: Node,
    ) -> Made {
        match verdict {
            Verdict::Return => Ok(end),
            Verdict::Jump(target) => self.chain(logic, run, target, next),
            Verdict::Goto(target) => self.chain(logic, run, target, end),
            Verdict::Accept | Verdict::Drop | Verdict::Reject => {
                let decision = Decision::of(verdict).expect("a verdict that ends the chain");
                logic.decided(decision, self.reason(origin))
            }
        }
    }

    /// The comment of a rule, which says the same of all parts that one rule of policy became.
    fn reason(&self, origin: &Origin) -> Rc<str> {
        let mut origin = origin.clone();
        if let Origin::Policy { part, .. } | Origin::Profile { part, .. } = &mut origin {
            *part = 0;
        }
        let comment = origin.comment();
        match &origin {
            Origin::Comment(_) => self.comments.get(&comment).cloned().unwrap_or_else(|| comment.into()),
            _ => comment.into(),
        }
    }

    /// Where a criterion holds; a field that cannot be loaded ends the rule, inverted or not (`NFT_BREAK`).
    fn criterion(&mut self, logic: &mut Logic<'_>, place: Place, criterion: &Match) -> Made {
        let (loads, holds, invert) = match criterion {
            // A shorter value is a prefix.
            Match::Equals { field, invert, value } => {
                let range = logic.pool.ranges(number(value, *field, 0).zip(number(value, *field, 0xff)));
                (loads(logic, place, *field)?, within(logic, place, *field, range)?, *invert)
            }
            Match::Masked { field, mask, invert, value } => {
                (loads(logic, place, *field)?, masked(logic, place, *field, mask, value)?, *invert)
            }
            Match::Range { field, invert, first, last } => {
                let range = logic.pool.ranges(number(first, *field, 0).zip(number(last, *field, 0)));
                (loads(logic, place, *field)?, within(logic, place, *field, range)?, *invert)
            }
            Match::Lookup { key, invert, set } => {
                let (loads, elements) = self.lookup(logic, place, key, set)?;
                let mut any = Node::FALSE;
                for (_, is_element) in elements {
                    any = logic.or(any, is_element)?;
                }
                (loads, any, *invert)
            }
        };
        let holds = if invert { logic.not(holds)? } else { holds };
        logic.and(loads, holds)
    }

    /// Where all fields of a key are there; and for each verdict where an element with it is found.
    fn lookup(
        &mut self,
        logic: &mut Logic<'_>,
        place: Place,
        key: &[Field],
        name: &Name,
    ) -> Result<(Node, Found), Stop> {
        let ruleset = self.ruleset;
        let Some((name, set)) = ruleset.sets.get_key_value(name) else {
            return Err(Stop::Broken(format!("set `{name}` is looked up and does not exist")));
        };
        if key.len() != set.key.len() || key.iter().zip(&set.key).any(|(asked, has)| asked.width() != has.width()) {
            return Err(Stop::Broken(format!("set `{name}` is looked up with a key of another kind")));
        }
        let shape = match self.shapes.get(name) {
            Some(shape) => shape.clone(),
            None => {
                let shape = shape(logic.pool, set)
                    .ok_or_else(|| Stop::Broken(format!("set `{name}` has an element that is no value of its key")))?;
                self.shapes.insert(name, shape.clone());
                shape
            }
        };
        let mut all_load = Node::TRUE;
        for field in key {
            let loads = loads(logic, place, *field)?;
            all_load = logic.and(all_load, loads)?;
        }
        let mut found = Found::new();
        for group in shape.iter() {
            let mut holds = within(logic, place, key[0], group.first)?;
            for (field, range) in key[1..].iter().zip(&group.rest) {
                let is_in = within(logic, place, *field, *range)?;
                holds = logic.and(holds, is_in)?;
            }
            found.push((group.verdict.clone(), holds));
        }
        Ok((all_load, found))
    }
}

/// The elements of a set in groups; `None` where one is no value of the set's key.
fn shape(pool: &mut Pool, set: &Set) -> Option<Shape> {
    let mut groups: BTreeMap<(Vec<Range>, &Option<Verdict>), Vec<Range>> = BTreeMap::new();
    for (element, verdict) in &set.elements {
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
        let first = ranges.remove(0);
        groups.entry((ranges, verdict)).or_default().push(first);
    }
    let mut group = |((rest, verdict), first): ((Vec<Range>, &Option<Verdict>), Vec<Range>)| Group {
        first: pool.ranges(first),
        rest: rest.into_iter().map(|range| pool.ranges([range])).collect(),
        verdict: verdict.clone(),
    };
    Some(groups.into_iter().map(&mut group).collect())
}
