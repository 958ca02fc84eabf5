//! Every message of every transaction, and every request of every reading, in turn.

use std::sync::Arc;
use std::time::Instant;

use nix::libc::{EBUSY, EEXIST, EINTR, EMSGSIZE, ENOBUFS, ENOENT, ENOMEM, ENOSPC, EPERM};
use tortie_agent::Programmer;
use tortie_api::with_causes;
use tortie_nftables::{CommitError, Kernel};
use tortie_rules::plan;
use tortie_rules::plan::{Op, Phase, Transaction};
use tortie_testkit::sandbox::in_network_namespace;
use tracing::subscriber::DefaultGuard;

use crate::judge::{Judge, kinds};
use crate::log::Lines;
use crate::sample::Sample;
use crate::wire::{Fault, Sent, Wire, flush};
use crate::worlds::{Transition, packets, transitions};

/// Points of one transition and one start that a run takes, where it does not take all.
const SAMPLE: usize = 12;
/// Tries that one fault may cost: it happens once.
const TRIES_MAX: usize = 3;
/// What the kernel is made to refuse each message with.
const REFUSALS: [i32; 6] = [ENOENT, EBUSY, ENOMEM, EPERM, EEXIST, ENOSPC];

/// Where something goes wrong: before which transaction or request, and what.
type Point = (usize, Fault);

struct Bench {
    wire: Wire,
    programmer: Programmer,
    /// A handle with nothing in between.
    kernel: Kernel,
    lines: Lines,
    _guard: DefaultGuard,
}

impl Bench {
    fn new() -> Bench {
        let wire = Wire::default();
        let mut kernel = Kernel::open().unwrap();
        kernel.set_tap(Arc::new(wire.clone()));
        let lines = Lines::default();
        let _guard = lines.listen();
        Bench { wire, programmer: Programmer::new(kernel, None), kernel: Kernel::open().unwrap(), lines, _guard }
    }

    /// Brings the kernel into the state before the transition. `is_fresh` is a process that has read nothing yet.
    fn start(&mut self, transition: &Transition, is_fresh: bool) {
        self.programmer.program(&transition.before).unwrap();
        if transition.before.chains.is_empty() || transition.is_flush {
            flush(&mut self.kernel);
        }
        // What a flush removed is remembered still: its event may come later.
        if is_fresh {
            self.programmer.forget();
        }
        self.lines.take();
    }

    /// Lets one thing go wrong in one transition; gives what was sent.
    fn run(&mut self, transition: &Transition, is_fresh: bool, point: Option<Point>, judge: &Judge) -> Sent {
        self.start(transition, is_fresh);
        let what = format!("{}, fresh {is_fresh}, {point:?}", transition.name);
        let look = judge.clone();
        look.look();
        let (number, fault) = point.map_or((0, None), |(number, fault)| (number, Some(fault)));
        self.wire.arm(number, fault, Box::new(move || look.look()));
        let mut text = String::new();
        for tries in 1.. {
            let done = self.programmer.program(&transition.after);
            judge.look();
            match done {
                Ok(_) => break,
                Err(error) => {
                    text.push_str(&with_causes(&error));
                    // As the loop of the agent does (E-712).
                    self.programmer.forget();
                }
            }
            assert!(tries < TRIES_MAX, "{what}: does not converge: {text}");
        }
        let (sent, is_hit) = self.wire.disarm();
        assert_eq!(is_hit, point.is_some(), "{what}");
        if let (Err(complaint), _) = judge.result() {
            panic!("{what}: {complaint}");
        }
        let actual = self.kernel.read().unwrap().ruleset;
        let left = plan(&transition.after, actual.as_ref()).unwrap();
        assert!(left.is_empty(), "{what}: {left:#?}");
        // What was remembered is stale after a flush: the kernel refuses the first transaction before it looks at it.
        let is_stale = transition.is_flush && !is_fresh && number == 0;
        let is_unseen = is_stale && matches!(fault, Some(Fault::RefusedByKernel { .. }));
        if let Some(cause) = fault.and_then(Fault::cause).filter(|_| !is_unseen) {
            text.push_str(&self.lines.take());
            assert!(text.contains(&cause), "{what}: `{cause}` is not named: {text}");
        }
        sent
    }
}

/// All points of a transition that sends `sent` when nothing goes wrong.
pub(crate) fn points(sent: &Sent) -> Vec<Point> {
    let mut points = Vec::new();
    for (number, messages) in sent.transactions.iter().enumerate() {
        // The beginning too, under whose number the kernel refuses a transaction as a whole; the end is never answered.
        for message in 0..messages - 1 {
            points.extend(REFUSALS.map(|errno| (number, Fault::Refused { message, errno })));
            points.push((number, Fault::CutWithin { message }));
        }
        for message in 1..messages - 1 {
            points.push((number, Fault::RefusedByKernel { message }));
            points.push((number, Fault::RefusedLate { message }));
        }
        for message in 1..*messages {
            points.push((number, Fault::CutBefore { message }));
        }
        points.extend([ENOBUFS, ENOMEM, EMSGSIZE, EPERM].map(|errno| (number, Fault::Unsent { errno })));
        points.extend([Fault::AnswerLost, Fault::AnswerLate, Fault::Overtaken].map(|fault| (number, fault)));
    }
    for number in 0..sent.requests {
        points.extend([Fault::Torn, Fault::ReadingLost, Fault::ReadingOvertaken].map(|fault| (number, fault)));
        points.extend([EINTR, EBUSY, ENOMEM, EPERM].map(|errno| (number, Fault::Unread { errno })));
    }
    points
}

#[test]
fn whatever_happens_to_any_message_the_host_is_whole_and_converges_a6_e711_e712() {
    in_network_namespace(|| {
        let sample = Sample::of_environment();
        let mut bench = Bench::new();
        let (mut planned, mut taken, mut starts, mut states) = (0, 0, 0, 0);
        let start = Instant::now();
        for (salt, transition) in transitions().iter().enumerate() {
            let packets = packets();
            let before = if transition.is_flush { Default::default() } else { transition.before.clone() };
            let kinds = kinds(&packets, &before, &transition.after);
            assert!(kinds["allowed throughout"] > 0, "{}: {kinds:?}", transition.name);
            let judge = Judge::new(packets, &before, &transition.after);
            for is_fresh in [false, true].into_iter().filter(|is_fresh| *is_fresh || !transition.is_fresh_only()) {
                bench.start(transition, is_fresh);
                let actual = bench.kernel.read().unwrap().ruleset;
                let plan = plan(&transition.after, actual.as_ref()).unwrap();
                let sent = bench.run(transition, is_fresh, None, &judge);
                assert!(!plan.is_empty(), "{}", transition.name);
                let messages: usize = plan.transactions.iter().map(|transaction| transaction.ops.len() + 2).sum();
                assert!(sent.transactions.iter().sum::<usize>() >= messages, "{}: {sent:?}", transition.name);
                let points = points(&sent);
                // Each operation is a message at least, and each of them has these faults at least.
                assert!(points.len() >= messages * (REFUSALS.len() + 2), "{}", transition.name);
                planned += points.len();
                starts += 1;
                for point in sample.part(SAMPLE, usize::MAX).of(&points, salt as u64 * 2 + u64::from(is_fresh)) {
                    bench.run(transition, is_fresh, Some(point), &judge);
                    taken += 1;
                }
            }
            states += judge.result().1;
            assert!(judge.looks() > 0);
        }
        println!("{taken} of {planned} points, {states} states of the kernel judged, in {:?}", start.elapsed());
        assert_eq!(taken, if sample == Sample::All { planned } else { SAMPLE * starts });
    });
}

/// Whoever commits again without reading first, as a recheck does, must not take an old refusal for a new one.
#[test]
fn an_answer_that_comes_late_is_not_taken_for_that_of_the_next_transaction() {
    in_network_namespace(|| {
        let wire = Wire::default();
        let mut kernel = Kernel::open().unwrap();
        kernel.set_tap(Arc::new(wire.clone()));
        let transaction = Transaction { phase: Phase::Build, ops: vec![Op::AddTable] };
        wire.arm(0, Some(Fault::RefusedLate { message: 1 }), Box::new(|| {}));
        assert!(matches!(kernel.commit(&transaction, None), Err(CommitError::NoAnswer(_))));
        assert!(wire.disarm().1);
        kernel.commit(&transaction, None).unwrap();
        assert!(kernel.read().unwrap().ruleset.is_some());
    });
}
