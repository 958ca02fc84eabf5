//! Plans that break the laws of programming, and the agent that carries them out: proof that the rig sees what the laws
//! are for. They exist here only.
#![allow(dead_code, reason = "each program that includes this uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tortie_agent::{Agent, Config, Planner};
use tortie_datastore::{Access, Embedded};
use tortie_rules::Ruleset;
use tortie_rules::plan::{Op, Phase, Plan, Transaction, plan};
use tortie_rules::ruleset::{Chain, Data, Element, Name, Set};

/// Which laws are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// K-4: new sets are made, filled and turned to in one transaction; what they replace goes in it as well.
    OneTransaction,
    /// K-4, K-5: one instance of everything; rules of chains in use are exchanged, and members of the sets that they use
    /// with them, all in one transaction.
    InPlace,
    /// K-3: a base chain whose policy is drop is made anew in the transaction that deletes it.
    ChainPolicy,
}

impl Variant {
    pub(crate) const ALL: [Variant; 3] = [Variant::OneTransaction, Variant::InPlace, Variant::ChainPolicy];

    /// Whether what a run found is what the law describes.
    pub(crate) fn is_seen(self, lost: u64, leaked: u64) -> bool {
        match self {
            Variant::OneTransaction | Variant::InPlace => lost > 0 || leaked > 0,
            Variant::ChainPolicy => leaked > 0,
        }
    }

    pub(crate) fn planner(self) -> Planner {
        match self {
            Variant::OneTransaction => Arc::new(|desired, actual| Ok(merged(plan(desired, actual)?))),
            Variant::InPlace => Arc::new(|desired, actual| Ok(in_place(desired, actual))),
            Variant::ChainPolicy => unreachable!("no agent programs it"),
        }
    }
}

/// An agent in this process.
pub(crate) struct Inside {
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    pub(crate) fn start(folder: &Path, planner: Planner) -> Inside {
        let agent = Agent::prepare(Config {
            node: "n1".to_owned(),
            store: Arc::new(Embedded::open(&folder.join("store.db"), Access::Write).unwrap()),
            socket: folder.join("agent.sock"),
            environment: Default::default(),
            file: Default::default(),
            state_dir: folder.join("agent.sock.state"),
            is_once: false,
            set_log: Box::new(|_| Ok(())),
            fault: None,
            planner: Some(planner),
        })
        .unwrap();
        let stop = Box::new(agent.stopper());
        // A thread inherits the network namespace of the one that starts it.
        let thread = std::thread::spawn(move || agent.run().unwrap());
        Inside { stop, thread: Some(thread) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

/// All transactions as one.
fn merged(plan: Plan) -> Plan {
    let ops: Vec<Op> = plan.transactions.into_iter().flat_map(|transaction| transaction.ops).collect();
    single(ops)
}

fn single(ops: Vec<Op>) -> Plan {
    let transactions = if ops.is_empty() { Vec::new() } else { vec![Transaction { phase: Phase::Turn, ops }] };
    Plan { transactions, adopted: Vec::new() }
}

/// Turns `actual` into `desired` by the same names.
fn in_place(desired: &Ruleset, actual: Option<&Ruleset>) -> Plan {
    let empty = Ruleset::default();
    let there = actual.unwrap_or(&empty);
    let has_shape = |a: &Set, b: &Set| {
        let keys = |set: &Set| set.key.iter().map(|field| field.as_key()).collect::<Vec<_>>();
        keys(a) == keys(b) && a.ranges == b.ranges && a.holds == b.holds && a.is_counted == b.is_counted
    };
    let stays = |name: &Name, set: &Set| desired.sets.get(name).is_some_and(|wanted| has_shape(wanted, set));
    let leaving: BTreeSet<&Name> = there.sets.iter().filter(|(name, set)| !stays(name, set)).map(|(n, _)| n).collect();
    let is_same = |name: &Name, chain: &Chain| {
        desired.chains.get(name).is_some_and(|wanted| {
            let same_rules = wanted.rules.len() == chain.rules.len()
                && wanted.rules.iter().zip(&chain.rules).all(|(a, b)| a.is_same_in_kernel(b));
            same_rules && !chain.rules.iter().any(|rule| rule.sets().any(|set| leaving.contains(set)))
        })
    };
    let changed: Vec<&Name> = there.chains.iter().filter(|(name, c)| !is_same(name, c)).map(|(name, _)| name).collect();

    let mut ops = if actual.is_none() { vec![Op::AddTable] } else { Vec::new() };
    ops.extend(changed.iter().map(|name| Op::FlushChain { name: (*name).clone() }));
    for (name, set) in there.sets.iter().filter(|(name, _)| !leaving.contains(name)) {
        let wanted = &desired.sets[name].elements;
        let gone: Vec<Element> =
            set.elements.iter().filter(|(e, data)| wanted.get(*e) != Some(*data)).map(|(e, _)| e.clone()).collect();
        if !gone.is_empty() {
            ops.push(Op::DeleteElements { set: name.clone(), shape: set.clone(), elements: gone });
        }
    }
    ops.extend(leaving.iter().map(|name| Op::DeleteSet { name: (*name).clone() }));
    let gone = there.chains.keys().filter(|name| !desired.chains.contains_key(*name));
    ops.extend(gone.map(|name| Op::DeleteChain { name: name.clone() }));
    let new = desired.chains.iter().filter(|(name, _)| !there.chains.contains_key(*name));
    ops.extend(new.map(|(name, chain)| Op::AddChain { name: name.clone(), base: chain.base }));
    for (name, set) in &desired.sets {
        let old = there.sets.get(name).filter(|_| !leaving.contains(name));
        if old.is_none() {
            ops.push(Op::AddSet { name: name.clone(), set: set.clone() });
        }
        let is_added = |(element, data): &(&Element, &Option<Data>)| {
            old.is_none_or(|old| old.elements.get(*element) != Some(*data))
        };
        let elements: BTreeMap<_, _> =
            set.elements.iter().filter(is_added).map(|(e, data)| (e.clone(), data.clone())).collect();
        if !elements.is_empty() {
            ops.push(Op::AddElements { set: name.clone(), shape: set.clone(), elements });
        }
    }
    for (name, chain) in &desired.chains {
        let is_written = !there.chains.contains_key(name) || changed.contains(&name);
        let rules = chain.rules.iter().filter(|_| is_written);
        ops.extend(rules.map(|rule| Op::AddRule { chain: name.clone(), rule: rule.clone() }));
    }
    single(ops)
}
