//! Judges every state that the kernel is seen in: each packet meets the old policy or the new one, and failsafes pass.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tortie_api::model::Protocol;
use tortie_api::packet::{Packet, Route};
use tortie_nftables::Kernel;
use tortie_rules::interpret::Decision;
use tortie_rules::{Ruleset, interpret};

/// A verdict and what gave it.
type Found = (Decision, String);

/// States that are remembered, so that the same one is not judged again and again.
const KNOWN: usize = 8;

/// Judges one transition; clones are the same one.
#[derive(Clone)]
pub(crate) struct Judge(Arc<Mutex<State>>);

struct State {
    /// A handle of its own, with nothing in between.
    kernel: Kernel,
    generation: u32,
    packets: Vec<Packet>,
    old: Vec<Found>,
    new: Vec<Found>,
    /// States that were judged last.
    known: VecDeque<Option<Ruleset>>,
    judged: usize,
    complaint: Option<String>,
    looks: usize,
}

impl Judge {
    pub(crate) fn new(packets: Vec<Packet>, before: &Ruleset, after: &Ruleset) -> Judge {
        let verdicts = |ruleset: &Ruleset| packets.iter().map(|packet| verdict(ruleset, packet)).collect();
        let (old, new) = (verdicts(before), verdicts(after));
        let kernel = Kernel::open().unwrap();
        let known = VecDeque::new();
        Judge(Arc::new(Mutex::new(State {
            kernel,
            generation: 0,
            packets,
            old,
            new,
            known,
            judged: 0,
            complaint: None,
            looks: 0,
        })))
    }

    /// Looks at the kernel, if anything changed since.
    pub(crate) fn look(&self) {
        self.0.lock().unwrap().look();
    }

    /// What was wrong at any look, and how many states were judged.
    pub(crate) fn result(&self) -> (Result<(), String>, usize) {
        let mut state = self.0.lock().unwrap();
        (state.complaint.take().map_or(Ok(()), Err), state.judged)
    }

    /// Looks that found a changed generation.
    pub(crate) fn looks(&self) -> usize {
        self.0.lock().unwrap().looks
    }
}

impl State {
    fn look(&mut self) {
        let generation = self.kernel.generation().unwrap();
        if self.generation == generation {
            return;
        }
        self.generation = generation;
        self.looks += 1;
        let ruleset = self.kernel.read().unwrap().ruleset;
        if self.known.contains(&ruleset) {
            return;
        }
        if let Err(complaint) = self.judge(ruleset.as_ref().unwrap_or(&Ruleset::default())) {
            self.complaint.get_or_insert(complaint);
        }
        self.judged += 1;
        self.known.push_front(ruleset);
        self.known.truncate(KNOWN);
    }

    fn judge(&self, ruleset: &Ruleset) -> Result<(), String> {
        for ((packet, old), new) in self.packets.iter().zip(&self.old).zip(&self.new) {
            let now = verdict(ruleset, packet);
            // Verdict and cause are those of the policy before, or of the one after, and nothing in between.
            if now != *old && now != *new {
                return Err(format!("{packet:?}\n  now    {now:?}\n  before {old:?}\n  after  {new:?}"));
            }
            if is_failsafe(packet) && now.0 == Decision::Drop {
                return Err(format!("locked out: {packet:?} {now:?}"));
            }
        }
        Ok(())
    }
}

/// SSH to the host and DNS from it are failsafe ports by default (E-501).
fn is_failsafe(packet: &Packet) -> bool {
    match &packet.route {
        Route::Delivered { .. } => packet.protocol == Protocol::TCP && packet.destination_port == 22,
        Route::Generated { .. } => packet.protocol == Protocol::UDP && packet.destination_port == 53,
        Route::Forwarded { .. } => false,
    }
}

fn verdict(ruleset: &Ruleset, packet: &Packet) -> Found {
    let outcome = interpret(ruleset, packet).unwrap();
    (outcome.verdict, outcome.origin.map(|origin| origin.comment()).unwrap_or_default())
}

/// How many packets of each kind there are, so that nobody judges by packets that never change.
pub(crate) fn kinds(packets: &[Packet], before: &Ruleset, after: &Ruleset) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for packet in packets {
        let is_denied = |ruleset: &Ruleset| verdict(ruleset, packet).0 == Decision::Drop;
        let kind = match (is_denied(before), is_denied(after)) {
            (true, true) => "denied throughout",
            (false, false) => "allowed throughout",
            _ => "changed",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}
