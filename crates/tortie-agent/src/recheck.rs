//! Ends established flows that tightened rules deny (`onTighten: Recheck`, E-731).
//!
//! The new rules are live before anything is cut. A cut flow is first held in the ruleset's `cut` sets, in every form of
//! its packets and both ways, and only then forgotten by connection tracking, so that no packet opens it again in
//! between.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use tortie_api::facts::{Links, Toward};
use tortie_api::flow::{Flow, Tuple};
use tortie_api::model::Family;
use tortie_flows::{DeleteError, Deleted, Flows, FlowsError};
use tortie_netmon::Routes;
use tortie_nftables::{CommitError, Kernel};
use tortie_rules::Ruleset;
use tortie_rules::compile::cut;
use tortie_rules::interpret::InterpretError;
use tortie_rules::plan::{Op, Phase, Transaction};
use tortie_rules::recheck::{sort, tuples};
use tortie_rules::ruleset::{Data, Element, Name, Origin};

/// Times connection tracking is walked. What was on its way through the old rules while the new ones came is confirmed
/// later than the first walk, so there is another one until nothing is left to cut.
const WALKS_MAX: usize = 3;
/// Flows that one transaction holds: at most six elements each.
const FLOWS_MAX: usize = 2_000;
/// Flows that are remembered so that they can be let go; no more than the kernel holds of them (65,535 elements of a set
/// that rules update, two for each flow).
const HELD_MAX: usize = 32_768;
/// `ENFILE`: the kernel's answer when a set is full.
const SET_FULL: i32 = nix::libc::ENFILE;

/// What is held since policy tightened. Dropping it forgets nothing in the kernel: what is held there ends by itself.
#[derive(Debug, Default)]
pub struct Recheck {
    /// Cut flows whose packets may still be held, the oldest first.
    held: Vec<Flow>,
}

/// What a recheck did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flows that were ended.
    pub cut: usize,
    /// Flows that the rules allow.
    pub kept: usize,
    /// Flows that stay because nobody can say by which interface they came or go.
    pub unjudged: usize,
    /// Denied flows that stay because another program has put them into a flow table.
    pub offloaded: usize,
    /// Flows among the cut ones that are not held, because the kernel's set is full.
    pub unheld: usize,
    /// Flows cut before that the rules allow again: they may go on.
    pub released: usize,
    /// Transactions committed to nf_tables: by so much the generation moved.
    pub transactions: u32,
}

/// A recheck was not finished. It may be tried again; nothing is done twice.
#[derive(Debug, thiserror::Error)]
pub enum RecheckError {
    /// Flows cannot be listed.
    #[error(transparent)]
    Flows(#[from] FlowsError),
    /// A flow cannot be deleted; the others were.
    #[error(transparent)]
    Delete(#[from] DeleteError),
    /// Routes cannot be asked.
    #[error("cannot ask for routes")]
    Routes(#[source] io::Error),
    /// The sets cannot be changed.
    #[error("cannot hold cut flows")]
    Hold(#[source] CommitError),
    /// The ruleset cannot be interpreted.
    #[error("the compiled ruleset is not consistent: this is a bug")]
    Interpret(#[from] InterpretError),
}

impl Recheck {
    /// Ends the flows that `ruleset` denies; to be called once the kernel holds it.
    ///
    /// Does nothing unless the ruleset has the sets of [`cut`], which it has when the setting says `Recheck`. What is done
    /// is done in the network namespace of the calling thread, which must be that of `kernel`.
    ///
    /// # Errors
    /// [`RecheckError`]; whoever gets it tries again soon, and does not rely on the kernel's generation.
    pub fn run(&mut self, kernel: &mut Kernel, ruleset: &Ruleset, links: &Links) -> Result<Counts, RecheckError> {
        let mut counts = Counts::default();
        if !ruleset.sets.contains_key(&cut::set_name(Family::V4)) {
            self.held.clear();
            return Ok(counts);
        }
        let mut flows = Flows::open()?;
        let mut routes = Asked::open(links)?;
        self.release(kernel, ruleset, &mut routes, &mut counts)?;
        for _ in 0..WALKS_MAX {
            let listed = flows.list()?;
            let sorted = sort(ruleset, &listed, links, |destination, source| routes.toward(destination, source))?;
            routes.check()?;
            (counts.kept, counts.unjudged, counts.offloaded) = (sorted.kept.len(), sorted.unjudged, 0);
            self.hold(kernel, ruleset, sorted.denied.iter().map(|(flow, _)| *flow).collect(), &mut counts)?;
            let before = counts.cut;
            delete(&mut flows, &sorted.denied, &mut counts)?;
            if counts.cut == before {
                break;
            }
        }
        Ok(counts)
    }

    /// Lets go what is held and allowed again: without that, a flow that never pauses would stay cut for ever.
    fn release(
        &mut self,
        kernel: &mut Kernel,
        ruleset: &Ruleset,
        routes: &mut Asked<'_>,
        counts: &mut Counts,
    ) -> Result<(), RecheckError> {
        let links = routes.links;
        let sorted = sort(ruleset, &self.held, links, |destination, source| routes.toward(destination, source))?;
        routes.check()?;
        for chunk in sorted.kept.chunks(FLOWS_MAX) {
            // Added first: an element may have ended by itself, and to delete what is not there is an error (K-14).
            let mut ops = add(ruleset, chunk);
            for op in ops.clone() {
                if let Op::AddElements { set, shape, elements } = op {
                    ops.push(Op::DeleteElements { set, shape, elements: elements.into_keys().collect() });
                }
            }
            commit(kernel, ops, counts).map_err(RecheckError::Hold)?;
        }
        counts.released = sorted.kept.len();
        let released: HashSet<Tuple> = sorted.kept.iter().map(|flow| flow.original).collect();
        self.held.retain(|flow| !released.contains(&flow.original));
        Ok(())
    }

    /// Holds every form of the packets of `flows`.
    fn hold(
        &mut self,
        kernel: &mut Kernel,
        ruleset: &Ruleset,
        flows: Vec<&Flow>,
        counts: &mut Counts,
    ) -> Result<(), RecheckError> {
        for chunk in flows.chunks(FLOWS_MAX) {
            match commit(kernel, add(ruleset, chunk), counts) {
                Ok(()) => {}
                Err(CommitError::Refused { source, .. }) if source.raw_os_error() == Some(SET_FULL) => {
                    counts.unheld += chunk.len();
                }
                Err(error) => return Err(RecheckError::Hold(error)),
            }
        }
        let new: HashSet<Tuple> = flows.iter().map(|flow| flow.original).collect();
        self.held.retain(|flow| !new.contains(&flow.original));
        self.held.extend(flows.into_iter().cloned());
        self.held.drain(..self.held.len().saturating_sub(HELD_MAX));
        Ok(())
    }
}

/// Lets connection tracking forget what is denied. One that cannot be deleted does not save the others.
fn delete(flows: &mut Flows, denied: &[(&Flow, Option<Origin>)], counts: &mut Counts) -> Result<(), RecheckError> {
    let mut failed = None;
    for (flow, origin) in denied {
        match flows.delete(flow) {
            Ok(Deleted::Done) => {
                counts.cut += 1;
                let reason = origin.as_ref().map(Origin::to_string).unwrap_or_default();
                tracing::debug!("cut {}: {reason}", text(&flow.original));
            }
            Ok(Deleted::AlreadyGone) => {}
            Ok(Deleted::Offloaded) => counts.offloaded += 1,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Operations that add every form of the packets of these flows to the sets of both families.
fn add(ruleset: &Ruleset, flows: &[&Flow]) -> Vec<Op> {
    let mut by_set: BTreeMap<Name, BTreeMap<Element, Option<Data>>> = BTreeMap::new();
    for tuple in flows.iter().flat_map(|flow| tuples(flow)) {
        if let Some((family, element)) = cut::element(&tuple) {
            by_set.entry(cut::set_name(family)).or_default().insert(element, None);
        }
    }
    let op = |(set, elements)| Some(Op::AddElements { shape: ruleset.sets.get(&set)?.clone(), set, elements });
    by_set.into_iter().filter_map(op).collect()
}

fn commit(kernel: &mut Kernel, ops: Vec<Op>, counts: &mut Counts) -> Result<(), CommitError> {
    if !ops.is_empty() {
        kernel.commit(&Transaction { phase: Phase::Members, ops }, None)?;
        counts.transactions += 1;
    }
    Ok(())
}

/// `TCP 10.0.0.9:4000 to 10.0.0.1:80`.
fn text(tuple: &Tuple) -> String {
    let from = SocketAddr::new(tuple.source, tuple.source_port);
    let to = SocketAddr::new(tuple.destination, tuple.destination_port);
    format!("{} {from} to {to}", tuple.protocol)
}

/// Routes, each asked once: flows are many, peers are few.
struct Asked<'a> {
    routes: Routes,
    links: &'a Links,
    known: HashMap<(IpAddr, Option<IpAddr>), Option<Toward>>,
    error: Option<io::Error>,
}

impl<'a> Asked<'a> {
    fn open(links: &'a Links) -> Result<Self, RecheckError> {
        let routes = Routes::open().map_err(RecheckError::Routes)?;
        Ok(Self { routes, links, known: HashMap::new(), error: None })
    }

    fn toward(&mut self, destination: IpAddr, source: Option<IpAddr>) -> Option<Toward> {
        if let Some(known) = self.known.get(&(destination, source)) {
            return known.clone();
        }
        let answer = self.routes.toward(destination, source, self.links).unwrap_or_else(|error| {
            self.error = Some(error);
            None
        });
        self.known.insert((destination, source), answer.clone());
        answer
    }

    /// Whether all questions were answered.
    fn check(&mut self) -> Result<(), RecheckError> {
        self.error.take().map_or(Ok(()), |error| Err(RecheckError::Routes(error)))
    }
}
