//! The stages of enforcement.md section 4.1: where each one stands, what it looks at, what its verdicts do.

use tortie_calc::Settings;
use tortie_calc::policy::{ClassPolicy, Direction, EndpointPolicy};
use tortie_calc::settings::{AllowAction, DenyAction};

use crate::ruleset::{BaseChain, Field, Hook, Name, Statement, Verdict};

/// A stage. Both forward stages share one base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// S1: before connection tracking, inward.
    UntrackedIn,
    /// S2: before destination NAT.
    PreDnat,
    /// S3: to local processes.
    LocalIn,
    /// S4: forwarded, by the interface a packet arrives on.
    ForwardIn,
    /// S5: forwarded, by the interface a packet leaves by.
    ForwardOut,
    /// S6: before connection tracking, outward.
    UntrackedOut,
    /// S7: from local processes, destination not translated.
    LocalOut,
    /// S8: from local processes, destination translated (E-410).
    LocalOutAfterDnat,
}

impl Stage {
    /// All stages in the order of the specification.
    pub const ALL: [Stage; 8] = [
        Stage::UntrackedIn,
        Stage::PreDnat,
        Stage::LocalIn,
        Stage::ForwardIn,
        Stage::ForwardOut,
        Stage::UntrackedOut,
        Stage::LocalOut,
        Stage::LocalOutAfterDnat,
    ];

    /// The beginning of names of chains and maps of this stage.
    pub const fn prefix(self) -> &'static str {
        match self {
            Stage::UntrackedIn => "raw-in",
            Stage::PreDnat => "pre",
            Stage::LocalIn => "in",
            Stage::ForwardIn => "fwd-in",
            Stage::ForwardOut => "fwd-out",
            Stage::UntrackedOut => "raw-out",
            Stage::LocalOut => "out",
            Stage::LocalOutAfterDnat => "post",
        }
    }

    /// The number of the specification: `S1` to `S8`.
    pub const fn number(self) -> &'static str {
        match self {
            Stage::UntrackedIn => "S1",
            Stage::PreDnat => "S2",
            Stage::LocalIn => "S3",
            Stage::ForwardIn => "S4",
            Stage::ForwardOut => "S5",
            Stage::UntrackedOut => "S6",
            Stage::LocalOut => "S7",
            Stage::LocalOutAfterDnat => "S8",
        }
    }

    /// Name and place of the base chain. Priorities are those of `linux/netfilter_ipv4.h`: raw -300, mangle -150,
    /// filter 0.
    pub(super) const fn base(self) -> (&'static str, BaseChain) {
        match self {
            Stage::UntrackedIn => ("raw-prerouting", BaseChain { hook: Hook::Prerouting, priority: -300 }),
            Stage::PreDnat => ("mangle-prerouting", BaseChain { hook: Hook::Prerouting, priority: -150 }),
            Stage::LocalIn => ("input", BaseChain { hook: Hook::Input, priority: 0 }),
            Stage::ForwardIn | Stage::ForwardOut => ("forward", BaseChain { hook: Hook::Forward, priority: 0 }),
            Stage::UntrackedOut => ("raw-output", BaseChain { hook: Hook::Output, priority: -300 }),
            Stage::LocalOut => ("output", BaseChain { hook: Hook::Output, priority: 0 }),
            Stage::LocalOutAfterDnat => ("mangle-postrouting", BaseChain { hook: Hook::Postrouting, priority: -150 }),
        }
    }

    /// The direction of the policy that judges here.
    pub const fn direction(self) -> Direction {
        match self {
            Stage::UntrackedIn | Stage::PreDnat | Stage::LocalIn | Stage::ForwardIn => Direction::Ingress,
            Stage::ForwardOut | Stage::UntrackedOut | Stage::LocalOut | Stage::LocalOutAfterDnat => Direction::Egress,
        }
    }

    /// The interface by which packets are dispatched.
    pub(super) const fn interface(self) -> Field {
        match self.direction() {
            Direction::Ingress => Field::InInterface,
            Direction::Egress => Field::OutInterface,
        }
    }

    /// Whether connection tracking has seen the packet.
    pub(super) const fn is_tracked(self) -> bool {
        !matches!(self, Stage::UntrackedIn | Stage::UntrackedOut)
    }

    /// E-455, E-506.
    pub(super) const fn has_failsafes(self) -> bool {
        !matches!(self, Stage::ForwardIn | Stage::ForwardOut)
    }

    /// Whether the wildcard endpoint judges workload interfaces too (E-112).
    pub(super) const fn covers_workloads(self) -> bool {
        matches!(self, Stage::PreDnat | Stage::ForwardIn | Stage::ForwardOut)
    }

    /// The policies of `endpoint` that judge here.
    pub(super) const fn class(self, endpoint: &EndpointPolicy) -> &ClassPolicy {
        match self {
            Stage::UntrackedIn => &endpoint.untracked_ingress,
            Stage::PreDnat => &endpoint.pre_dnat,
            Stage::LocalIn => &endpoint.normal_ingress,
            Stage::ForwardIn => &endpoint.forward_ingress,
            Stage::ForwardOut => &endpoint.forward_egress,
            Stage::UntrackedOut => &endpoint.untracked_egress,
            Stage::LocalOut | Stage::LocalOutAfterDnat => &endpoint.normal_egress,
        }
    }

    /// What an `Allow` of policy does.
    pub(super) fn allow(self, settings: &Settings) -> (Vec<Statement>, Verdict) {
        let accept = Mark::of(settings).accept();
        match self {
            Stage::UntrackedIn | Stage::UntrackedOut => {
                (vec![Statement::Counter, Statement::NoTrack, accept], Verdict::Accept)
            }
            Stage::PreDnat => (vec![Statement::Counter, accept], self.accept(settings)),
            // Egress policy of the other interface is always asked (E-406, E-450).
            Stage::ForwardIn => (vec![Statement::Counter], Verdict::Goto(Name::new(FORWARD_ACCEPTED))),
            _ => (vec![Statement::Counter], self.accept(settings)),
        }
    }

    /// The end of a packet that is accepted here. `Return` leaves it to the rules of others (E-408, E-611, E-612); it
    /// must stand in chains that are gone to, never in those that are called.
    pub(super) const fn accept(self, settings: &Settings) -> Verdict {
        let action = match self {
            Stage::UntrackedIn | Stage::UntrackedOut => AllowAction::Accept,
            Stage::PreDnat => settings.mangle_allow_action,
            _ => settings.filter_allow_action,
        };
        match action {
            AllowAction::Accept => Verdict::Accept,
            AllowAction::Return => Verdict::Return,
        }
    }

    /// What passes here without a word to later stages: failsafes, IPv6 essentials.
    pub(super) fn pass(self, settings: &Settings) -> Verdict {
        match self {
            // Not a verdict: the packet stays tracked and is judged later (E-505, E-461).
            Stage::UntrackedIn | Stage::UntrackedOut => Verdict::Return,
            Stage::ForwardIn => Verdict::Goto(Name::new(FORWARD_ACCEPTED)),
            _ => self.accept(settings),
        }
    }

    /// What a deny does (E-610): the kernel refuses an answer at the stages that are no filter stages.
    pub(super) const fn deny(self, settings: &Settings) -> Verdict {
        match (self, settings.deny_action) {
            (Stage::LocalIn | Stage::ForwardIn | Stage::ForwardOut | Stage::LocalOut, DenyAction::Reject) => {
                Verdict::Reject
            }
            _ => Verdict::Drop,
        }
    }

    /// Whether an allow in a section that is called is told to the caller by a mark, because its verdict would only come
    /// back.
    pub(super) fn is_told_by_mark(self, settings: &Settings) -> bool {
        self.allow(settings).1 != Verdict::Accept
    }

    /// Where an undecided packet goes; `None` is the end of the base chain, without a verdict of ours.
    pub(super) fn undecided(self) -> Option<Name> {
        (self == Stage::ForwardIn).then(|| Name::new(FORWARD_UNDECIDED))
    }
}

/// The chain in which S5 judges what S4 accepted; what S5 has no endpoint for is accepted.
pub(super) const FORWARD_ACCEPTED: &str = "fwd-accepted";

/// The chain in which S5 judges what S4 left undecided; what S5 has no endpoint for is left alone.
pub(super) const FORWARD_UNDECIDED: &str = "fwd-undecided";

/// State bits in the packet mark (E-403): the two lowest bits of the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Accepted by S1, S2 or S6 (E-405).
    pub(super) accept: u32,
    /// Left to S8 by S7, because its destination is translated. Only local packets ever have it, so that S8 does not
    /// judge forwarded ones (E-407).
    pub(super) translated: u32,
}

impl Mark {
    pub(super) fn of(settings: &Settings) -> Mark {
        let lowest = |bits: u32| bits & bits.wrapping_neg();
        let accept = lowest(settings.mark_mask);
        Mark { accept, translated: lowest(settings.mark_mask & !accept) }
    }

    pub(super) const fn accept(self) -> Statement {
        Statement::SetMark { mask: self.accept, value: self.accept }
    }

    pub(super) const fn all(self) -> u32 {
        self.accept | self.translated
    }
}
