//! What must be told to a kernel that holds `actual` so that it comes to hold `desired`.
//!
//! Both are rulesets: the desired one with logical names, the actual one with the names of instances. A chain or set
//! whose instance already says the same is kept. Everything else is built beside it, turned to in one transaction, and
//! only then removed (K-4, D-10). So a plan that is cut off after any of its transactions leaves each endpoint whole,
//! old or new, and the next plan does the rest.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ruleset::{
    BaseChain, Chain, Data, Element, End, Holds, Match, Name, Rule, Ruleset, Set, Statement, Verdict,
};

mod by_class;
mod elements;
mod parts;
mod portions;
mod same;
mod torn;

use by_class::ByClass;
use elements::element_ops;

/// A plan: transactions, each of which the kernel takes as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order. At most one of them turns what is enforced (D-10).
    pub transactions: Vec<Transaction>,
    /// Instances that hold exactly what these desired sets say, once all transactions are carried out.
    pub adopted: Vec<(Name, Arc<Set>)>,
}

/// One transaction of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// What it is for.
    pub phase: Phase,
    /// The operations, in order.
    pub ops: Vec<Op>,
}

/// The part a transaction plays (K-4, D-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Builds what nobody uses yet, and clears away what was built before and never turned to. There may be several of
    /// them.
    Build,
    /// Changes members of sets that no turned rule uses (K-5).
    Members,
    /// The one moment at which the batch becomes visible.
    Turn,
    /// Removes what nobody uses any more.
    Remove,
}

/// One operation on our table. Names are instance names, as the kernel is to see them.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Make the table; no error when it is there.
    AddTable,
    /// Remove the table and all in it; no error when it is not there.
    DeleteTable,
    /// Make an empty chain.
    AddChain {
        /// Its name.
        name: Name,
        /// Set for base chains.
        base: Option<BaseChain>,
    },
    /// Append a rule.
    AddRule {
        /// To this chain.
        chain: Name,
        /// The rule; sets and chains in it are instance names.
        rule: Rule,
    },
    /// Remove all rules of a chain.
    FlushChain {
        /// The chain.
        name: Name,
    },
    /// Remove an empty chain that nothing refers to.
    DeleteChain {
        /// The chain.
        name: Name,
    },
    /// Make a set without elements.
    AddSet {
        /// Its name.
        name: Name,
        /// Its key and kind; `elements` are not looked at.
        set: Arc<Set>,
    },
    /// Add elements to a set.
    AddElements {
        /// The set's name.
        set: Name,
        /// Its key and kind, and the origins of what is added; its own elements are not looked at.
        shape: Arc<Set>,
        /// What to add; none of them is there, or the set has a timeout.
        elements: BTreeMap<Element, Option<Data>>,
    },
    /// Remove elements from a set.
    DeleteElements {
        /// The set's name.
        set: Name,
        /// Its key and kind; `elements` are not looked at.
        shape: Arc<Set>,
        /// What to remove; all of them are there.
        elements: Vec<Element>,
    },
    /// Remove a set that no rule refers to.
    DeleteSet {
        /// The set's name.
        name: Name,
    },
}

/// What is wrong with a desired ruleset. A ruleset of the compiler never has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A rule or element names something that is not there.
    #[error("`{from}` refers to `{to}`, which does not exist")]
    Dangling {
        /// The chain or map.
        from: Name,
        /// What it names.
        to: Name,
    },
    /// Chains call each other in a circle.
    #[error("chain `{chain}` calls itself")]
    Circular {
        /// One of them.
        chain: Name,
    },
}

/// Computes what turns `actual` into `desired`.
///
/// `actual` is `None` when the kernel has no table of ours. The plan is empty when nothing is to be done.
///
/// # Errors
/// [`PlanError`] when `desired` is not consistent in itself.
pub fn plan(desired: &Ruleset, actual: Option<&Ruleset>) -> Result<Plan, PlanError> {
    let empty = Ruleset::default();
    // Foreign hands have put the table to sleep: it judges nothing, so it can go before there is another one.
    let is_asleep = actual.is_some_and(|actual| is_asleep(desired, actual));
    let actual = actual.filter(|_| !is_asleep);
    let has_table = actual.is_some();
    let actual = actual.unwrap_or(&empty);
    let order = calls_first(desired)?;
    let anchors_of_desired = anchors(desired);
    let is_instanced_set = |name: &Name, set: &Set| !set.is_constant && !anchors_of_desired.contains(name);
    let instances = Instances::of(actual);
    let live = reachable(actual);
    let misshapen = misshapen(desired, actual, is_instanced_set);
    let uses_misshapen = |chain: &Chain| misshapen.iter().any(|set| uses(chain, set));

    let choose = |renewed: &BTreeSet<&Name>| {
        let mut chosen = Choice::default();
        let is_instanced = |(name, set): &(&Name, &Arc<Set>)| is_instanced_set(name, set);
        for (name, set) in desired.sets.iter().filter(is_instanced).filter(|(_, set)| set.holds != Holds::Verdicts) {
            let kept = (!renewed.contains(name)).then(|| instances.set(name, set, &live)).flatten();
            chosen.settle(name, kept, instances.next_set(name));
        }
        for name in &order {
            let chain = &desired.chains[name];
            for name in chain.rules.iter().flat_map(Rule::sets) {
                let is_open = |set: &&Arc<Set>| {
                    set.holds == Holds::Verdicts && is_instanced_set(name, set) && !chosen.is_settled(name)
                };
                let Some(set) = desired.sets.get(name).filter(is_open) else { continue };
                // Verdicts are never edited where packets find them. What stands under a class comes and goes where
                // none does, so such a map is another one only where a chain it leads to is.
                let kept = if set.is_by_class() {
                    let leads_to_new =
                        set.elements.values().flatten().filter_map(Data::target).any(|to| chosen.is_new(to));
                    (!leads_to_new).then(|| instances.set(name, set, &live)).flatten()
                } else {
                    let wanted = chosen.elements(set);
                    let says_it = |there: &Arc<Set>| {
                        Arc::ptr_eq(there, set) || there.elements == *wanted && there.has_same_comments(set)
                    };
                    instances.set(name, set, &live).filter(|kept| says_it(&actual.sets[kept]))
                };
                chosen.settle(name, kept, instances.next_set(name));
            }
            if chain.base.is_none() {
                let is_same = |there: &Chain| chosen.same_rules(&chain.rules, &there.rules) && !uses_misshapen(there);
                let kept = instances.chain(name, is_same, &live);
                chosen.settle(name, kept, instances.next_chain(name));
            }
        }
        // Maps that no chain asks.
        for (name, set) in desired.sets.iter().filter(is_instanced) {
            if !chosen.is_settled(name) {
                chosen.settle(name, instances.set(name, set, &live), instances.next_set(name));
            }
        }
        let anchors = Anchors::compare(desired, actual, &chosen, &misshapen, &anchors_of_desired);
        (chosen, anchors)
    };
    let (mut chosen, mut anchors) = choose(&BTreeSet::new());
    // A packet meets several stages, and all that changes with one plan shows at once (E-232): where something turns, no
    // members change beside it. Their sets are built anew, and so are all chains that use them.
    let are_torn =
        |chosen: &Choice| torn::are_torn(desired, actual, chosen) || parts::are_torn(desired, actual, chosen);
    if !anchors.turn.is_empty() || are_torn(&chosen) {
        let changes = |(name, set): &(&Name, &Arc<Set>)| {
            set.holds != Holds::Verdicts
                && chosen.there(actual, name).is_some_and(|there| !has_same_elements(there, set))
        };
        let renewed: BTreeSet<&Name> = desired.sets.iter().filter(changes).map(|(name, _)| name).collect();
        if !renewed.is_empty() {
            (chosen, anchors) = choose(&renewed);
        }
    }

    let mut transactions = Vec::new();
    let mut push = |phase, ops: Vec<Op>| {
        if !ops.is_empty() {
            transactions.push(Transaction { phase, ops });
        }
    };
    // What was built for a turn that never came goes before the next one is built: while turns fail, nothing piles up.
    let unwanted = Unwanted::find(desired, actual, &chosen, &anchors_of_desired);
    let goes_first = |name: &Name| !anchors.turn.is_empty() && unwanted.dead.contains(name);
    let mut build = clear_away(actual, &misshapen);
    build.extend(unwanted.removal(actual, goes_first, Vec::new()));
    build.extend(self::build(desired, actual, &chosen, &order, &anchors, &misshapen, &anchors_of_desired));
    if !has_table {
        build.insert(0, Op::AddTable);
    }
    if is_asleep {
        build.insert(0, Op::DeleteTable);
    }
    let by_class = ByClass::compare(desired, actual, &chosen);
    push(Phase::Build, by_class.before);
    portions::portions(build).into_iter().for_each(|portion| push(Phase::Build, portion));
    push(Phase::Members, members(desired, actual, &chosen));
    let removal = unwanted.removal(actual, |name| !goes_first(name), by_class.after);
    push(Phase::Turn, anchors.turn);
    push(Phase::Remove, removal);
    Ok(Plan { transactions, adopted: adopted(desired, &chosen) })
}

/// The desired sets that a kernel holds as they stand: they come and go by plan only, and name nothing that has instances.
fn adopted(desired: &Ruleset, chosen: &Choice) -> Vec<(Name, Arc<Set>)> {
    let stands = |set: &Set| set.timeout_s.is_none() && targets(set).next().is_none();
    let sets = desired.sets.iter().filter(|(_, set)| stands(set));
    sets.map(|(name, set)| (chosen.name(name), set.clone())).collect()
}

/// The chains that elements of a set lead to.
fn targets(set: &Set) -> impl Iterator<Item = &Name> {
    let leads = set.holds == Holds::Verdicts;
    leads.then(|| set.elements.values()).into_iter().flatten().flatten().filter_map(Data::target)
}

/// Whether both have the same elements, which is known at once where they are the same set.
fn has_same_elements(one: &Arc<Set>, other: &Arc<Set>) -> bool {
    Arc::ptr_eq(one, other) || one.elements == other.elements
}

/// Whether base chains of ours are there and the kernel calls none of them.
fn is_asleep(desired: &Ruleset, actual: &Ruleset) -> bool {
    let is_there = |(name, chain): (&Name, &Arc<Chain>)| chain.base.is_some() && actual.chains.contains_key(name);
    actual.chains.values().all(|chain| chain.base.is_none()) && desired.chains.iter().any(is_there)
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }
}

impl Ruleset {
    /// Applies a plan that a kernel has taken as a whole. Sets of the desired ruleset then stand in this one too, so that
    /// the next plan need not compare them.
    pub fn record_all(&mut self, plan: &Plan) {
        let adopted: BTreeSet<&Name> = plan.adopted.iter().map(|(name, _)| name).collect();
        for transaction in &plan.transactions {
            self.record_but(transaction, &|set| adopted.contains(set));
        }
        self.sets.extend(plan.adopted.iter().cloned());
    }

    /// Applies what a kernel has taken, so that a ruleset that was read once stays true without reading again.
    ///
    /// Operations on what does not exist change nothing: the kernel would have refused them.
    pub fn record(&mut self, transaction: &Transaction) {
        self.record_but(transaction, &|_| false);
    }

    /// The same without the elements of some sets.
    fn record_but(&mut self, transaction: &Transaction, is_left_out: &dyn Fn(&Name) -> bool) {
        for op in &transaction.ops {
            match op {
                Op::AddTable => {}
                Op::DeleteTable => *self = Ruleset::default(),
                Op::AddChain { name, base } => {
                    let chain = Chain { base: *base, rules: Vec::new() };
                    self.chains.entry(name.clone()).or_insert_with(|| Arc::new(chain));
                }
                Op::AddRule { chain, rule } => {
                    if let Some(chain) = self.chains.get_mut(chain) {
                        Arc::make_mut(chain).rules.push(rule.clone());
                    }
                }
                Op::FlushChain { name } => {
                    if let Some(chain) = self.chains.get_mut(name) {
                        Arc::make_mut(chain).rules.clear();
                    }
                }
                Op::DeleteChain { name } => {
                    self.chains.remove(name);
                }
                Op::AddSet { name, set } => {
                    let header = set.header();
                    self.sets.entry(name.clone()).or_insert_with(|| Arc::new(header));
                }
                Op::AddElements { set, .. } | Op::DeleteElements { set, .. } if is_left_out(set) => {}
                Op::AddElements { set, shape, elements } => {
                    if let Some(set) = self.sets.get_mut(set) {
                        let set = Arc::make_mut(set);
                        for (element, data) in elements {
                            set.elements.insert(element.clone(), data.clone());
                            if let Some(origins) = shape.origins.get(element) {
                                set.origins.insert(element.clone(), origins.clone());
                            }
                        }
                    }
                }
                Op::DeleteElements { set, elements, .. } => {
                    if let Some(set) = self.sets.get_mut(set) {
                        let set = Arc::make_mut(set);
                        elements.iter().for_each(|element| {
                            set.elements.remove(element);
                            set.origins.remove(element);
                        });
                    }
                }
                Op::DeleteSet { name } => {
                    self.sets.remove(name);
                }
            }
        }
    }
}

/// Dispatch maps: verdict maps that a base chain looks up. Only their elements ever change. They have one instance, as base
/// chains and constant sets have; the other sets have numbered ones.
fn anchors(ruleset: &Ruleset) -> BTreeSet<Name> {
    let bases = ruleset.chains.values().filter(|chain| chain.base.is_some());
    bases.flat_map(|chain| &chain.rules).flat_map(Rule::sets).cloned().collect()
}

fn uses(chain: &Chain, set: &Name) -> bool {
    chain.rules.iter().any(|rule| rule.sets().any(|used| used == set))
}

impl Rule {
    /// The sets and maps it looks up.
    pub fn sets(&self) -> impl Iterator<Item = &Name> {
        let matched = self.matches.iter().filter_map(|criterion| match criterion {
            Match::Lookup { set, .. } | Match::LookupMasked { set, .. } => Some(set),
            _ => None,
        });
        let refreshed = self.statements.iter().filter_map(|statement| match statement {
            Statement::Refresh { set, .. } => Some(set),
            _ => None,
        });
        let (classes, other, map) = match &self.end {
            End::Map { map, .. } => (None, None, Some(map)),
            End::Class { classes, other, map, .. } => {
                (Some(classes), other.as_ref().map(|other| &other.classes), Some(map))
            }
            End::Next | End::Verdict(_) => (None, None, None),
        };
        matched.chain(refreshed).chain(classes).chain(other).chain(map)
    }

    /// The chain it goes to by itself, if any.
    pub fn target(&self) -> Option<&Name> {
        match &self.end {
            End::Verdict(verdict) => verdict.target(),
            _ => None,
        }
    }

    /// The same rule with every name of a chain or set replaced.
    fn renamed(&self, rename: &dyn Fn(&Name) -> Name) -> Rule {
        let mut rule = self.clone();
        for criterion in &mut rule.matches {
            if let Match::Lookup { set, .. } | Match::LookupMasked { set, .. } = criterion {
                *set = rename(set);
            }
        }
        for statement in &mut rule.statements {
            if let Statement::Refresh { set, .. } = statement {
                *set = rename(set);
            }
        }
        match &mut rule.end {
            End::Map { map, .. } => *map = rename(map),
            End::Class { classes, other, map, .. } => {
                *classes = rename(classes);
                if let Some(other) = other {
                    other.classes = rename(&other.classes);
                }
                *map = rename(map);
            }
            End::Verdict(verdict) => *verdict = verdict.renamed(rename),
            End::Next => {}
        }
        rule
    }
}

impl Verdict {
    /// The chain it goes to.
    pub fn target(&self) -> Option<&Name> {
        match self {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
            Verdict::Accept | Verdict::Drop | Verdict::Reject | Verdict::Return => None,
        }
    }

    fn renamed(&self, rename: &dyn Fn(&Name) -> Name) -> Verdict {
        match self {
            Verdict::Jump(chain) => Verdict::Jump(rename(chain)),
            Verdict::Goto(chain) => Verdict::Goto(rename(chain)),
            other => other.clone(),
        }
    }
}

impl Data {
    fn renamed(&self, rename: &dyn Fn(&Name) -> Name) -> Data {
        match self {
            Data::Verdict(verdict) => Data::Verdict(verdict.renamed(rename)),
            Data::Class(class) => Data::Class(*class),
        }
    }
}

/// Chains of `desired` so that each comes after those it calls.
fn calls_first(desired: &Ruleset) -> Result<Vec<Name>, PlanError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Open,
        Done,
    }
    fn visit(
        desired: &Ruleset,
        name: &Name,
        marks: &mut BTreeMap<Name, Mark>,
        order: &mut Vec<Name>,
    ) -> Result<(), PlanError> {
        match marks.get(name) {
            Some(Mark::Done) => return Ok(()),
            Some(Mark::Open) => return Err(PlanError::Circular { chain: name.clone() }),
            None => marks.insert(name.clone(), Mark::Open),
        };
        let chain = &desired.chains[name];
        for rule in &chain.rules {
            for set in rule.sets() {
                let found = desired.sets.get(set);
                let found = found.ok_or_else(|| PlanError::Dangling { from: name.clone(), to: set.clone() })?;
                for target in targets(found) {
                    if !desired.chains.contains_key(target) {
                        return Err(PlanError::Dangling { from: set.clone(), to: target.clone() });
                    }
                    // Calls through dispatch maps count as calls: a circle through one is a circle.
                    visit(desired, target, marks, order)?;
                }
            }
            if let Some(target) = rule.target() {
                if !desired.chains.contains_key(target) {
                    return Err(PlanError::Dangling { from: name.clone(), to: target.clone() });
                }
                visit(desired, target, marks, order)?;
            }
        }
        marks.insert(name.clone(), Mark::Done);
        order.push(name.clone());
        Ok(())
    }
    let mut order = Vec::with_capacity(desired.chains.len());
    let mut marks = BTreeMap::new();
    for name in desired.chains.keys() {
        visit(desired, name, &mut marks, &mut order)?;
    }
    Ok(order)
}

/// Chains and sets of `actual` that packets can meet now.
fn reachable(actual: &Ruleset) -> BTreeSet<Name> {
    let bases = actual.chains.iter().filter(|(_, chain)| chain.base.is_some()).map(|(name, _)| name.clone());
    reachable_from(actual, bases.collect(), Vec::new())
}

/// Chains and sets that these lead to, and these themselves.
fn reachable_from(actual: &Ruleset, chains: Vec<Name>, sets: Vec<Name>) -> BTreeSet<Name> {
    let mut seen = BTreeSet::new();
    let mut open = chains;
    let targets = |set: &Name| actual.sets.get(set).into_iter().flat_map(|set| targets(set)).cloned();
    for set in sets {
        open.extend(targets(&set));
        seen.insert(set);
    }
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(chain) = actual.chains.get(&name) else { continue };
        for rule in &chain.rules {
            open.extend(rule.target().cloned());
            for set in rule.sets() {
                if seen.insert(set.clone()) {
                    open.extend(targets(set));
                }
            }
        }
    }
    seen
}

/// The instances that a kernel holds, by logical name.
struct Instances<'a> {
    actual: &'a Ruleset,
    chains: BTreeMap<&'a str, Vec<&'a Name>>,
    sets: BTreeMap<&'a str, Vec<&'a Name>>,
}

impl<'a> Instances<'a> {
    fn of(actual: &'a Ruleset) -> Self {
        let group = |names: &mut dyn Iterator<Item = &'a Name>| {
            let mut groups: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
            for name in names.filter(|name| name.instance().is_some()) {
                groups.entry(name.logical()).or_default().push(name);
            }
            groups
        };
        Self { actual, chains: group(&mut actual.chains.keys()), sets: group(&mut actual.sets.keys()) }
    }

    /// The instance of a chain that already says what is wanted; one in use is preferred.
    fn chain(&self, logical: &Name, is_same: impl Fn(&Chain) -> bool, live: &BTreeSet<Name>) -> Option<Name> {
        let candidates = self.chains.get(logical.as_str())?;
        let same = candidates.iter().filter(|name| {
            let chain = &self.actual.chains[**name];
            chain.base.is_none() && is_same(chain)
        });
        same.max_by_key(|name| live.contains(**name)).map(|name| (*name).clone())
    }

    /// The instance of a set that has the wanted shape; one in use is preferred, then one with the wanted elements.
    fn set(&self, logical: &Name, wanted: &Arc<Set>, live: &BTreeSet<Name>) -> Option<Name> {
        let candidates = self.sets.get(logical.as_str())?;
        let same = candidates.iter().filter(|name| self.actual.sets[**name].has_same_shape(wanted));
        if candidates.len() == 1 {
            return same.map(|name| (*name).clone()).next();
        }
        let key = |name: &&&Name| (live.contains(**name), has_same_elements(&self.actual.sets[**name], wanted));
        same.max_by_key(key).map(|name| (*name).clone())
    }

    fn next_chain(&self, logical: &Name) -> Name {
        next(logical, self.chains.get(logical.as_str()))
    }

    fn next_set(&self, logical: &Name) -> Name {
        next(logical, self.sets.get(logical.as_str()))
    }
}

fn next(logical: &Name, instances: Option<&Vec<&Name>>) -> Name {
    let highest = instances.into_iter().flatten().filter_map(|name| name.instance()).max();
    logical.with_instance(highest.map_or(1, |number| number.wrapping_add(1)))
}

/// Sets of one instance that are there with another shape than ours: foreign hands made them.
fn misshapen(desired: &Ruleset, actual: &Ruleset, is_instanced: impl Fn(&Name, &Set) -> bool) -> BTreeSet<Name> {
    let has_one_instance = |name: &Name, set: &Set| !is_instanced(name, set);
    let wrong = |name: &Name, set: &Set| actual.sets.get(name).is_some_and(|there| !there.has_same_shape(set));
    let found = desired.sets.iter().filter(|(name, set)| has_one_instance(name, set) && wrong(name, set));
    found.map(|(name, _)| name.clone()).collect()
}

/// Removes misshapen sets, and first the rules that use them: ours would not be what they seem with such a set.
fn clear_away(actual: &Ruleset, misshapen: &BTreeSet<Name>) -> Vec<Op> {
    let users = actual.chains.iter().filter(|(_, chain)| misshapen.iter().any(|set| uses(chain, set)));
    let mut ops: Vec<Op> = users.map(|(name, _)| Op::FlushChain { name: name.clone() }).collect();
    ops.extend(misshapen.iter().map(|name| Op::DeleteSet { name: name.clone() }));
    ops
}

/// Which instance stands for each logical name.
#[derive(Default)]
struct Choice {
    kept: BTreeMap<Name, Name>,
    new: BTreeMap<Name, Name>,
}

impl Choice {
    fn settle(&mut self, logical: &Name, kept: Option<Name>, next: Name) {
        match kept {
            Some(kept) => self.kept.insert(logical.clone(), kept),
            None => self.new.insert(logical.clone(), next),
        };
    }

    fn is_new(&self, logical: &Name) -> bool {
        self.new.contains_key(logical)
    }

    fn is_settled(&self, logical: &Name) -> bool {
        self.is_new(logical) || self.kept.contains_key(logical)
    }

    /// The elements of a set as the kernel is to see them.
    fn elements<'a>(&self, set: &'a Set) -> Cow<'a, BTreeMap<Element, Option<Data>>> {
        if targets(set).next().is_none() {
            return Cow::Borrowed(&set.elements);
        }
        Cow::Owned(set.elements.iter().map(|(element, data)| (element.clone(), self.data(data))).collect())
    }

    /// The instance that is kept for a set.
    fn there<'a>(&self, actual: &'a Ruleset, logical: &Name) -> Option<&'a Arc<Set>> {
        self.kept.get(logical).and_then(|kept| actual.sets.get(kept))
    }

    /// The instance, or the name itself for what has only one.
    fn name(&self, logical: &Name) -> Name {
        self.kept.get(logical).or_else(|| self.new.get(logical)).unwrap_or(logical).clone()
    }

    fn data(&self, data: &Option<Data>) -> Option<Data> {
        data.as_ref().map(|data| data.renamed(&|name| self.name(name)))
    }

    fn rule(&self, rule: &Rule) -> Rule {
        rule.renamed(&|name| self.name(name))
    }

    fn same_rules(&self, desired: &[Rule], actual: &[Rule]) -> bool {
        desired.len() == actual.len()
            && desired.iter().zip(actual).all(|(desired, actual)| self.rule(desired).is_same_in_kernel(actual))
    }
}

/// What changes in base chains and dispatch maps: the turn.
struct Anchors {
    turn: Vec<Op>,
    /// Base chains that are not there, or are something else, and dispatch maps likewise.
    missing: BTreeSet<Name>,
}

impl Anchors {
    fn compare(
        desired: &Ruleset,
        actual: &Ruleset,
        chosen: &Choice,
        misshapen: &BTreeSet<Name>,
        anchors_of_desired: &BTreeSet<Name>,
    ) -> Self {
        let mut turn = Vec::new();
        let mut missing = BTreeSet::new();
        for (name, set) in desired.sets.iter().filter(|(name, _)| anchors_of_desired.contains(*name)) {
            let wanted = chosen.elements(set);
            let there = actual.sets.get(name).filter(|there| there.has_same_shape(set));
            if there.is_none() {
                missing.insert(name.clone());
            }
            turn.extend(element_ops(name, set, there.map(|there| &there.elements), &wanted));
        }
        // Dispatch of a stage that is not needed any more ends with the turn; the stage itself is removed after it.
        let none = BTreeMap::new();
        let anchors_of_actual = anchors(actual);
        for (name, there) in &actual.sets {
            if !desired.sets.contains_key(name) && anchors_of_actual.contains(name) {
                turn.extend(element_ops(name, there, Some(&there.elements), &none));
            }
        }
        for (name, chain) in desired.chains.iter().filter(|(_, chain)| chain.base.is_some()) {
            match actual.chains.get(name) {
                Some(there) if there.base == chain.base => {
                    let is_cleared = misshapen.iter().any(|set| uses(there, set));
                    if is_cleared || !chosen.same_rules(&chain.rules, &there.rules) {
                        // Foreign hands, or another version of this program: rules are exchanged, never the chain (K-3).
                        turn.push(Op::FlushChain { name: name.clone() });
                        turn.extend(chain.rules.iter().map(|rule| add_rule(name, rule, chosen)));
                    }
                }
                Some(_) => {
                    // A chain of ours at another hook cannot be moved.
                    turn.push(Op::FlushChain { name: name.clone() });
                    turn.push(Op::DeleteChain { name: name.clone() });
                    turn.push(Op::AddChain { name: name.clone(), base: chain.base });
                    turn.extend(chain.rules.iter().map(|rule| add_rule(name, rule, chosen)));
                }
                None => {
                    missing.insert(name.clone());
                }
            }
        }
        Self { turn, missing }
    }
}

fn add_rule(chain: &Name, rule: &Rule, chosen: &Choice) -> Op {
    Op::AddRule { chain: chain.clone(), rule: chosen.rule(rule) }
}

/// What nobody uses yet: sets, chains, then elements and rules, which name both.
fn build(
    desired: &Ruleset,
    actual: &Ruleset,
    chosen: &Choice,
    order: &[Name],
    anchors: &Anchors,
    misshapen: &BTreeSet<Name>,
    anchors_of_desired: &BTreeSet<Name>,
) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut elements = Vec::new();
    let mut chains = Vec::new();
    let mut rules = Vec::new();
    for name in order {
        let chain = &desired.chains[name];
        let is_missing = if chain.base.is_some() { anchors.missing.contains(name) } else { chosen.is_new(name) };
        if is_missing {
            let instance = chosen.name(name);
            chains.push(Op::AddChain { name: instance.clone(), base: chain.base });
            rules.extend(chain.rules.iter().map(|rule| add_rule(&instance, rule, chosen)));
        }
    }
    for (name, set) in &desired.sets {
        let (is_missing, has_elements) = if anchors_of_desired.contains(name) {
            (anchors.missing.contains(name), false)
        } else if set.is_constant {
            (
                actual.sets.get(name).is_none_or(|there| !there.has_same_shape(set) || !has_same_elements(there, set)),
                true,
            )
        } else {
            (chosen.is_new(name), true)
        };
        if !is_missing {
            continue;
        }
        let instance = chosen.name(name);
        if actual.sets.contains_key(&instance) && !misshapen.contains(name) {
            // A constant set that foreign hands changed: its elements are put right where it stands.
            ops.extend(element_ops(&instance, set, Some(&actual.sets[&instance].elements), &set.elements));
            continue;
        }
        ops.push(Op::AddSet { name: instance.clone(), set: set.clone() });
        if has_elements {
            elements.extend(element_ops(&instance, set, None, &chosen.elements(set)));
        }
    }
    ops.extend(chains);
    // Behind the chains that they may lead to.
    ops.extend(elements);
    ops.extend(rules);
    ops
}

/// Changes of sets that stay in use as they are (K-5).
fn members(desired: &Ruleset, actual: &Ruleset, chosen: &Choice) -> Vec<Op> {
    let mut ops = Vec::new();
    for (name, kept) in &chosen.kept {
        if let (Some(set), Some(there)) = (desired.sets.get(name), actual.sets.get(kept))
            && set.holds != Holds::Verdicts
            && !Arc::ptr_eq(set, there)
        {
            ops.extend(element_ops(kept, set, Some(&there.elements), &set.elements));
        }
    }
    ops
}

/// Chains and sets that the desired ruleset has no use for.
struct Unwanted {
    chains: Vec<Name>,
    sets: Vec<Name>,
    /// Those of both that nothing leads to which is used or wanted.
    dead: BTreeSet<Name>,
}

impl Unwanted {
    fn find(desired: &Ruleset, actual: &Ruleset, chosen: &Choice, anchors: &BTreeSet<Name>) -> Self {
        let kept: BTreeSet<&Name> = chosen.kept.values().collect();
        let is_wanted_chain =
            |name: &Name| kept.contains(name) || desired.chains.get(name).is_some_and(|c| c.base.is_some());
        let is_wanted_set = |name: &Name| {
            kept.contains(name) || desired.sets.get(name).is_some_and(|set| set.is_constant || anchors.contains(name))
        };
        let (wanted_chains, chains): (Vec<Name>, Vec<Name>) = actual.chains.keys().cloned().partition(is_wanted_chain);
        let (wanted_sets, sets): (Vec<Name>, Vec<Name>) = actual.sets.keys().cloned().partition(is_wanted_set);
        let bases = actual.chains.iter().filter(|(_, chain)| chain.base.is_some()).map(|(name, _)| name.clone());
        let needed = reachable_from(actual, bases.chain(wanted_chains).collect(), wanted_sets);
        let dead = chains.iter().chain(&sets).filter(|name| !needed.contains(*name)).cloned().collect();
        Self { chains, sets, dead }
    }

    /// Removes those of them that are asked for: chains are emptied before anything they used is deleted (K-14). Between
    /// the two go the `elements` of maps that stay: until then rules may lead to them, and they may lead to chains.
    fn removal(&self, actual: &Ruleset, is_asked: impl Fn(&Name) -> bool, elements: Vec<Op>) -> Vec<Op> {
        let chains = || self.chains.iter().filter(|name| is_asked(name));
        let mut ops: Vec<Op> = chains().map(|name| Op::FlushChain { name: name.clone() }).collect();
        ops.extend(elements);
        // Maps first: their elements may still name the chains.
        let (maps, plain): (Vec<&Name>, Vec<&Name>) = self
            .sets
            .iter()
            .filter(|name| is_asked(name))
            .partition(|name| actual.sets[*name].holds == Holds::Verdicts);
        ops.extend(maps.into_iter().map(|name| Op::DeleteSet { name: name.clone() }));
        ops.extend(chains().map(|name| Op::DeleteChain { name: name.clone() }));
        ops.extend(plain.into_iter().map(|name| Op::DeleteSet { name: name.clone() }));
        ops
    }
}
