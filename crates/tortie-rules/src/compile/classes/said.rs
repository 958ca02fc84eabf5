//! What policy does, as the verdict of an element.

use tortie_calc::Settings;

use crate::compile::lower::Place;
use crate::compile::stage::Stage;
use crate::ruleset::{Chain, End, Name, Origin, Rule, Statement, Verdict};

/// A verdict that a map can hold, and the chain it leads to where there is more to do: a mark to set, an answer to send.
pub(super) struct Said {
    pub(super) verdict: Verdict,
    pub(super) chain: Option<(Name, Chain)>,
}

impl Said {
    /// An allow.
    pub(super) fn allow(place: &Place<'_>) -> Self {
        let (statements, verdict) = place.allow();
        Self::of(place.stage, if place.tells_by_mark() { "told" } else { "allowed" }, statements, verdict)
    }

    /// A deny.
    pub(super) fn deny(stage: Stage, settings: &Settings) -> Self {
        Self::of(stage, "denied", Vec::new(), stage.deny(settings))
    }

    fn of(stage: Stage, what: &str, mut statements: Vec<Statement>, verdict: Verdict) -> Self {
        // The element counts.
        statements.retain(|statement| *statement != Statement::Counter);
        if statements.is_empty() && verdict != Verdict::Reject {
            return Self { verdict, chain: None };
        }
        let name = Name::new(format!("{}-{what}", stage.prefix()));
        let rule = Rule { matches: Vec::new(), statements, end: End::Verdict(verdict), origin: Origin::AsTold };
        Self { verdict: Verdict::Goto(name.clone()), chain: Some((name, Chain { base: None, rules: vec![rule] })) }
    }
}
