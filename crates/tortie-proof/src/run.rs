//! The ruleset, run for all packets at once (`nft_do_chain` in `net/netfilter/nf_tables_core.c`).
//!
//! A chain is read from its end, like a list of policy: what a rule does where it matches, else what the rest of the
//! chain does. What comes after the chain is given, so a jump is the called chain with the rest of the caller behind it,
//! and a `goto` the other chain with what stood behind this one.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use tortie_rules::ruleset::{End, Match, Name, Origin, Rule, Ruleset, Statement, Verdict};

use crate::diagram::Node;
use crate::elements::Shapes;
use crate::field::{loads, masked, number, within};
use crate::logic::{Logic, Made, Stop};
use crate::outcome::{Decision, Effect, Left};
use crate::place::Place;
use crate::texts::Comments;

mod lookup;

use self::lookup::Asked;

/// Chains that call one another: the kernel takes 16 (`NFT_JUMP_STACK_SIZE`), and counts a `goto` as one.
const DEPTH_MAX: usize = 64;

/// Runs a ruleset.
pub(crate) struct Runner<'a> {
    ruleset: &'a Ruleset,
    /// Bits of the mark that are ours.
    mark_mask: u32,
    comments: Comments,
    shapes: Shapes<'a>,
}

/// A rule that asks a map, with what follows it in its chain and what follows its chain.
#[derive(Clone, Copy)]
struct Asks<'a> {
    rule: &'a Rule,
    next: Node,
    end: Node,
}

/// One base chain as it is run.
struct Run {
    place: Place,
    known: HashMap<(Name, Node), Node>,
    open: BTreeSet<Name>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(ruleset: &'a Ruleset, mark_mask: u32, comments: HashMap<String, Rc<str>>) -> Self {
        Self { ruleset, mark_mask, comments: Comments(comments), shapes: Shapes::default() }
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
            End::Verdict(verdict) => {
                let reason = self.comments.reason(&rule.origin);
                self.verdict(logic, run, verdict, reason, next, end)?
            }
            End::Map { key, map } => {
                let (loads, shape) = self.look_up(logic, run.place, key, map)?;
                let node = self.element_of(logic, run, key, &shape, Asks { rule, next, end }, next)?;
                logic.choose(loads, node, next)?
            }
            End::Class { address, classes, other, key, map } => {
                let other = other.as_ref().map(|other| (other.address, &other.classes));
                let ends = std::iter::once((*address, classes)).chain(other).collect();
                let asked = Asked { ends, key, map };
                self.class(logic, run, asked, Asks { rule, next, end })?
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
        reason: Rc<str>,
        next: Node,
        end: Node,
    ) -> Made {
        match verdict {
            Verdict::Return => Ok(end),
            Verdict::Jump(target) => self.go(logic, run, target, reason, next),
            Verdict::Goto(target) => self.go(logic, run, target, reason, end),
            Verdict::Accept | Verdict::Drop | Verdict::Reject => {
                let decision = Decision::of(verdict).expect("a verdict that ends the chain");
                logic.decided(decision, reason)
            }
        }
    }

    /// A chain that was gone to for this reason, with `end` behind it.
    fn go(&mut self, logic: &mut Logic<'_>, run: &mut Run, target: &Name, reason: Rc<str>, end: Node) -> Made {
        let Some(Rule { statements, end: End::Verdict(verdict), .. }) = self.told(target) else {
            return self.chain(logic, run, target, end);
        };
        let mut does = self.verdict(logic, run, verdict, reason, end, end)?;
        for statement in statements.iter().rev() {
            does = self.statement(logic, statement, does)?;
        }
        Ok(does)
    }

    /// The only rule of a chain that carries out what led there, for the reason of that.
    fn told(&self, name: &Name) -> Option<&'a Rule> {
        match self.ruleset.chains.get(name)?.rules.as_slice() {
            [rule] if rule.matches.is_empty() && rule.origin.is_as_told() => Some(rule),
            _ => None,
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
                let (loads, shape) = self.look_up(logic, place, key, set)?;
                let mut any = Node::FALSE;
                for group in shape.iter() {
                    let is_element = group.holds(logic, place, key)?;
                    any = logic.or(any, is_element)?;
                }
                (loads, any, *invert)
            }
            Match::LookupMasked { field, mask, invert, set } => {
                let nets = self.nets(logic.pool, *field, mask, set)?;
                (loads(logic, place, *field)?, within(logic, place, *field, nets)?, *invert)
            }
        };
        let holds = if invert { logic.not(holds)? } else { holds };
        logic.and(loads, holds)
    }
}
