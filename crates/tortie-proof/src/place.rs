//! The base chains of enforcement.md section 4.1.

use tortie_rules::ruleset::{BaseChain, Hook};

/// Where a ruleset may judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// S1.
    RawPrerouting,
    /// S2.
    ManglePrerouting,
    /// S3.
    Input,
    /// S4 and S5.
    Forward,
    /// S6.
    RawOutput,
    /// S7.
    Output,
    /// S8.
    ManglePostrouting,
}

impl Place {
    pub(crate) const ALL: [Place; 7] = [
        Place::RawPrerouting,
        Place::ManglePrerouting,
        Place::Input,
        Place::Forward,
        Place::RawOutput,
        Place::Output,
        Place::ManglePostrouting,
    ];

    /// The name of the base chain, the stages that it holds, and where the kernel calls it.
    const fn row(self) -> (&'static str, &'static str, Hook, i32) {
        match self {
            Place::RawPrerouting => ("raw-prerouting", "S1", Hook::Prerouting, -300),
            Place::ManglePrerouting => ("mangle-prerouting", "S2", Hook::Prerouting, -150),
            Place::Input => ("input", "S3", Hook::Input, 0),
            Place::Forward => ("forward", "S4, S5", Hook::Forward, 0),
            Place::RawOutput => ("raw-output", "S6", Hook::Output, -300),
            Place::Output => ("output", "S7", Hook::Output, 0),
            Place::ManglePostrouting => ("mangle-postrouting", "S8", Hook::Postrouting, -150),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.row().0
    }

    pub(crate) const fn stages(self) -> &'static str {
        self.row().1
    }

    pub(crate) const fn base(self) -> BaseChain {
        BaseChain { hook: self.row().2, priority: self.row().3 }
    }

    pub(crate) const fn hook(self) -> Hook {
        self.row().2
    }

    /// Whether connection tracking has not seen the packet yet.
    pub(crate) const fn is_before_tracking(self) -> bool {
        matches!(self, Place::RawPrerouting | Place::RawOutput)
    }

    /// Whether a destination that is translated is still the first one.
    pub(crate) const fn is_before_translation(self) -> bool {
        matches!(self, Place::RawPrerouting | Place::ManglePrerouting | Place::RawOutput)
    }
}

/// The ways of a packet through the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Delivered,
    Forwarded,
    Generated,
}

impl Way {
    pub(crate) const ALL: [Way; 3] = [Way::Delivered, Way::Forwarded, Way::Generated];

    /// The base chains on the way, in order.
    pub(crate) const fn places(self) -> &'static [Place] {
        match self {
            Way::Delivered => &[Place::RawPrerouting, Place::ManglePrerouting, Place::Input],
            Way::Forwarded => {
                &[Place::RawPrerouting, Place::ManglePrerouting, Place::Forward, Place::ManglePostrouting]
            }
            Way::Generated => &[Place::RawOutput, Place::Output, Place::ManglePostrouting],
        }
    }
}
