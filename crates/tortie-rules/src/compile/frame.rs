//! Sixth pass: what stands around policy.
//!
//! ```text
//! raw-prerouting     S1  state bits cleared ─ iifname → map `raw-in-if` ─▶ raw-in/<endpoint>
//! mangle-prerouting  S2  known flows pass ─── iifname → map `pre-if`, any → map `pre-any` ─▶ pre/<endpoint>
//! input              S3  established passes ─ iifname → `in-if`, any → `in-any` ─▶ in/<endpoint>
//! forward        S4, S5  bit for S8 cleared
//!                        iifname → `fwd-in-if`, `fwd-in-any` ─▶ fwd-in/<endpoint> ─▶ fwd-accepted or fwd-undecided
//!                        oifname → `fwd-out-if`, `fwd-out-any` ─▶ fwd-out/<endpoint>
//! raw-output         S6  state bits cleared ─ oifname → map `raw-out-if` ─▶ raw-out/<endpoint>
//! output             S7  translated destinations go to S8 ─ oifname → `out-if`, `out-any` ─▶ out/<endpoint>
//! mangle-postrouting S8  oifname → `post-if`, `post-any` ─▶ out/<endpoint>, or post/<endpoint> where denies are answered
//! ```
//!
//! Base chains and dispatch maps are made when the first endpoint needs their stage; while a stage is needed only
//! elements of its maps change (K-3, K-9).

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::Family;
use tortie_calc::HostPolicy;
use tortie_calc::policy::EndpointPolicy;
use tortie_calc::settings::DenyAction;

use super::names::endpoint_chain;
use super::parts::{NFPROTO, go, has_bit, insert, insert_map, interface_key, is_family, is_known, lacks_bit, map_rule};
use super::program;
use super::sets::SetPool;
use super::stage::{FORWARD_ACCEPTED, FORWARD_UNDECIDED, Mark, Stage};
use super::workload::{WORKLOAD_TO_HOST, WORKLOADS_ANY};
use crate::ruleset::{
    Chain, Element, End, Field, Match, Name, Origin, Rule, Ruleset, Set, Statement, Verdict, ct_state, ct_status,
};

/// Which stages this host needs, and what they know of each other.
pub(super) struct Layout<'a> {
    pub(super) policy: &'a HostPolicy,
    pub(super) mark: Mark,
    /// S1 has endpoints.
    has_untracked_in: bool,
    /// S2 has endpoints.
    has_pre_dnat: bool,
    /// S6 has endpoints.
    has_untracked_out: bool,
}

impl<'a> Layout<'a> {
    pub(super) fn of(policy: &'a HostPolicy) -> Self {
        let mut layout = Self {
            policy,
            mark: Mark::of(&policy.settings),
            has_untracked_in: false,
            has_pre_dnat: false,
            has_untracked_out: false,
        };
        let judges = |stage| policy.endpoints.values().any(|endpoint| layout.judges(stage, endpoint));
        let (untracked_in, pre_dnat) = (judges(Stage::UntrackedIn), judges(Stage::PreDnat));
        let untracked_out = judges(Stage::UntrackedOut);
        layout.has_untracked_in = untracked_in;
        layout.has_pre_dnat = pre_dnat;
        layout.has_untracked_out = untracked_out;
        layout
    }

    /// Whether `endpoint` has a program at `stage`.
    pub(super) fn judges(&self, stage: Stage, endpoint: &EndpointPolicy) -> bool {
        let is_wildcard = self.policy.dispatch.wildcard.as_ref() == Some(&endpoint.name);
        match stage {
            // E-413, E-415.
            Stage::UntrackedIn if endpoint.reverse_path.is_some() => !is_wildcard,
            Stage::UntrackedIn | Stage::UntrackedOut => !is_wildcard && !stage.class(endpoint).is_empty(),
            // A named endpoint without such a policy falls through to the wildcard's (E-111). Where there is no such
            // policy on the wildcard, staged ones alone are counted.
            Stage::PreDnat => {
                let class = stage.class(endpoint);
                class.has_enforced() || !class.is_empty() && !self.wildcard_has_pre_dnat()
            }
            _ => true,
        }
    }

    fn wildcard_has_pre_dnat(&self) -> bool {
        let wildcard = self.policy.dispatch.wildcard.as_ref().and_then(|name| self.policy.endpoints.get(name));
        wildcard.is_some_and(|endpoint| endpoint.pre_dnat.has_enforced())
    }

    /// Whether the stage has a base chain of its own.
    pub(super) fn needs(&self, stage: Stage) -> bool {
        let has_endpoints = !self.policy.endpoints.is_empty();
        match stage {
            // S1 also clears the bits that S2 sets (E-404).
            Stage::UntrackedIn => self.has_untracked_in || self.has_pre_dnat,
            Stage::PreDnat => self.has_pre_dnat,
            Stage::UntrackedOut => self.has_untracked_out,
            Stage::ForwardIn | Stage::ForwardOut => has_endpoints || self.policy.drops_unknown_workloads(),
            Stage::LocalOutAfterDnat => has_endpoints,
            // Always there, so that connection tracking knows every flow before the first endpoint judges any.
            Stage::LocalIn | Stage::LocalOut => true,
        }
    }

    /// Whether packets may come with the ACCEPT bit of an earlier stage (E-405).
    pub(super) fn may_be_accepted(&self, stage: Stage) -> bool {
        match stage {
            Stage::LocalIn | Stage::ForwardIn => self.has_untracked_in || self.has_pre_dnat,
            Stage::LocalOut | Stage::LocalOutAfterDnat => self.has_untracked_out,
            _ => false,
        }
    }

    /// What passes a stage without a word to later ones. Where staged policies alone are counted nothing is decided
    /// (E-206).
    pub(super) fn pass(&self, stage: Stage, endpoint: &EndpointPolicy) -> Verdict {
        if self.only_counts(stage, endpoint) { Verdict::Return } else { stage.pass(&self.policy.settings) }
    }

    /// Whether the endpoint has nothing but staged policies at a stage that would not judge without policy.
    pub(super) fn only_counts(&self, stage: Stage, endpoint: &EndpointPolicy) -> bool {
        stage == Stage::PreDnat && !stage.class(endpoint).has_enforced()
    }

    /// Whether policy is asked at a stage: a reverse-path check needs none.
    pub(super) fn has_policy(&self, stage: Stage, endpoint: &EndpointPolicy) -> bool {
        !is_raw(stage) || !stage.class(endpoint).is_empty()
    }

    /// The entry chain of an endpoint at a stage.
    fn entry(&self, stage: Stage, endpoint: &str) -> Name {
        endpoint_chain(self.chains_of(stage), None, endpoint, 0)
    }

    /// S8 judges by the chains of S7, except where S7 answers what it denies, which the kernel refuses in S8.
    fn chains_of(&self, stage: Stage) -> Stage {
        match (stage, self.policy.settings.deny_action) {
            (Stage::LocalOutAfterDnat, DenyAction::Drop) => Stage::LocalOut,
            _ => stage,
        }
    }

    /// Stages at which endpoints have chains of their own.
    pub(super) fn stages(&self) -> impl Iterator<Item = Stage> {
        Stage::ALL.into_iter().filter(|stage| self.needs(*stage) && self.chains_of(*stage) == *stage)
    }

    /// Base chains, dispatch maps and what all endpoints share.
    pub(super) fn frame(&self, ruleset: &mut Ruleset, pool: &mut SetPool<'_>) {
        for stage in Stage::ALL.into_iter().filter(|stage| self.needs(*stage)) {
            self.dispatch(ruleset, stage);
        }
        self.bases(ruleset);
        if self.needs(Stage::ForwardIn) {
            // The rule that decided is the one that came here.
            let accept = || go(Stage::ForwardOut.accept(&self.policy.settings), "accepted by the in-interface");
            let mut accepted = self.forward_out();
            if let Some(matches) = self.leaves_exempt(pool) {
                // In dispatch such an interface ends the base chain, which would lose what S4 said.
                let before_dispatch = accepted.len() - 2;
                accepted.insert(before_dispatch, Rule { matches: vec![matches], ..accept() });
            }
            accepted.push(accept());
            insert(ruleset, FORWARD_ACCEPTED, accepted);
            insert(ruleset, FORWARD_UNDECIDED, self.forward_out());
        }
        self.workloads(ruleset, pool);
        if self.policy.settings.allows_ipv6_essentials && !self.policy.endpoints.is_empty() {
            program::shared_essentials(ruleset, pool);
        }
    }

    /// Whether a packet leaves by an interface that the wildcard endpoint leaves alone.
    fn leaves_exempt(&self, pool: &mut SetPool<'_>) -> Option<Match> {
        let dispatch = &self.policy.dispatch;
        let exempt = dispatch.exempt.iter().filter(|name| !dispatch.interfaces.contains_key(*name));
        let elements: BTreeMap<_, _> = exempt.map(|name| (Element::exact(interface_key(name)), None)).collect();
        if dispatch.wildcard.is_none() || elements.is_empty() {
            return None;
        }
        let key = vec![Field::InInterface];
        let set = Set { key, elements, ..Set::default() };
        Some(Match::Lookup { key: vec![Field::OutInterface], invert: false, set: pool.constant("exempt", set) })
    }

    fn bases(&self, ruleset: &mut Ruleset) {
        let mut base = |stage: Stage, rules: Vec<Rule>| {
            if self.needs(stage) {
                let (name, place) = stage.base();
                let mut all = Vec::new();
                if !self.policy.settings.polices_ipv6 {
                    all.push(Rule {
                        matches: vec![is_family(Family::V6)],
                        ..go(Verdict::Return, "ipv6Support is off")
                    });
                }
                all.extend(rules);
                ruleset.chains.insert(Name::new(name), Arc::new(Chain { base: Some(place), rules: all }));
            }
        };
        let mut raw_in = vec![self.clear()];
        if self.has_untracked_in {
            raw_in.push(by_interface(Stage::UntrackedIn));
        }
        base(Stage::UntrackedIn, raw_in);
        base(Stage::UntrackedOut, vec![self.clear(), by_interface(Stage::UntrackedOut)]);

        // E-422: known flows, and what S1 accepted, pass before dispatch. A known flow that was accepted before its
        // packets met any policy is asked about in S3 or S4.
        let pre = vec![
            Rule { matches: vec![is_known()], ..go(Verdict::Return, "known flow") },
            Rule { matches: vec![has_bit(self.mark.accept)], ..go(Verdict::Return, "accepted by S1") },
            by_interface(Stage::PreDnat),
            by_any(Stage::PreDnat),
        ];
        base(Stage::PreDnat, pre);
        let mut local_in = vec![by_interface(Stage::LocalIn), by_any(Stage::LocalIn)];
        if !self.judges_workloads() {
            // E-423: one comparison for most of all traffic.
            let value = ct_state::ESTABLISHED.to_be_bytes().to_vec();
            let is_established = Match::Equals { field: Field::CtState, invert: false, value };
            let accept = go(Stage::LocalIn.accept(&self.policy.settings), "known flow");
            local_in.insert(0, Rule { matches: vec![is_established], origin: Origin::ConnState, ..accept });
        }
        base(Stage::LocalIn, local_in);

        // S8 is not to judge what is forwarded, and where S1 has no chain foreign hands may have set its bit (E-407).
        let not_for_s8 = Statement::SetMark { mask: self.mark.translated, value: 0 };
        let forwarded = Rule {
            matches: vec![has_bit(self.mark.translated)],
            statements: vec![not_for_s8],
            end: End::Next,
            origin: Origin::Frame("not for S8"),
        };
        // S4 never comes back to this chain: it goes to S5 by itself.
        let mut forward = vec![forwarded, by_interface(Stage::ForwardIn), by_any(Stage::ForwardIn)];
        forward.extend(self.forward_out());
        base(Stage::ForwardIn, forward);

        // S7 judges what is not translated; a translated packet is judged after routing, in S8 (E-410, E-411, K-17).
        let left = Statement::SetMark { mask: self.mark.translated, value: self.mark.translated };
        let translated = Rule {
            matches: vec![is_translated()],
            statements: vec![left],
            ..go(Verdict::Return, "translated destination")
        };
        base(Stage::LocalOut, vec![translated, by_interface(Stage::LocalOut), by_any(Stage::LocalOut)]);
        let mut post =
            vec![Rule { matches: vec![lacks_bit(self.mark.translated)], ..go(Verdict::Return, "not for S8") }];
        for rule in [by_interface(Stage::LocalOutAfterDnat), by_any(Stage::LocalOutAfterDnat)] {
            // The bit alone may come from foreign hands, or from the packet inside a tunnel's.
            post.push(Rule { matches: vec![is_translated()], ..rule });
        }
        base(Stage::LocalOutAfterDnat, post);
    }

    /// E-404: no bit of ours comes in from outside.
    fn clear(&self) -> Rule {
        let all = self.mark.all();
        Rule {
            matches: vec![Match::Masked {
                field: Field::Mark,
                mask: all.to_be_bytes().to_vec(),
                invert: true,
                value: vec![0; 4],
            }],
            statements: vec![Statement::SetMark { mask: all, value: 0 }],
            end: End::Next,
            origin: Origin::Frame("state bits"),
        }
    }

    /// S5, and before it what workloads nobody knows send and get (E-450).
    fn forward_out(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.policy.drops_unknown_workloads() {
            rules.push(map_rule(vec![Field::NfProto], Name::new(WORKLOADS_ANY), "unknown workloads"));
        }
        rules.extend([by_interface(Stage::ForwardOut), by_any(Stage::ForwardOut)]);
        rules
    }

    /// The two maps of a stage: by interface, and for any other.
    fn dispatch(&self, ruleset: &mut Ruleset, stage: Stage) {
        let dispatch = &self.policy.dispatch;
        let endpoints = &self.policy.endpoints;
        let judging = |name: &String| endpoints.get(name).filter(|endpoint| self.judges(stage, endpoint));
        let wildcard = dispatch.wildcard.as_ref().filter(|_| !is_raw(stage)).and_then(judging);
        let mut named = BTreeMap::new();
        if wildcard.is_some() {
            for name in &dispatch.exempt {
                // Not for the wildcard to judge; in S4 the other interface still is asked about.
                let next = stage.undecided().map_or(Verdict::Return, Verdict::Goto);
                named.insert(Element::exact(interface_key(name)), next);
            }
        }
        for (interface, name) in &dispatch.interfaces {
            if judging(name).is_some() {
                named.insert(
                    Element::exact(interface_key(interface)),
                    Verdict::Goto(self.target(stage, &endpoints[name])),
                );
            }
        }
        insert_map(ruleset, &map_name(stage, "if"), stage.interface(), named);
        if is_raw(stage) {
            return;
        }

        let mut rules = Vec::new();
        let prefixes = &self.policy.settings.interface_prefixes;
        let of_workload = |prefix: &String| Match::Equals {
            field: stage.interface(),
            invert: false,
            value: prefix.as_bytes().to_vec(),
        };
        let workload_verdict = match stage {
            Stage::LocalIn if self.judges_workloads() => Some(Verdict::Goto(Name::new(WORKLOAD_TO_HOST))),
            _ if stage.covers_workloads() || wildcard.is_none() => None,
            // E-112, E-441.
            _ => Some(Verdict::Return),
        };
        if let Some(verdict) = workload_verdict {
            let workload =
                |prefix| Rule { matches: vec![of_workload(prefix)], ..go(verdict.clone(), "workload interface") };
            rules.extend(prefixes.iter().map(workload));
        }
        if let Some(endpoint) = wildcard {
            rules.push(go(Verdict::Goto(self.target(stage, endpoint)), "wildcard endpoint"));
        }
        let mut any = BTreeMap::new();
        if !rules.is_empty() {
            let name = Name::new(format!("{}-other", stage.prefix()));
            for (_, number) in NFPROTO {
                any.insert(Element::exact([number]), Verdict::Goto(name.clone()));
            }
            ruleset.chains.insert(name, Arc::new(Chain { base: None, rules }));
        }
        insert_map(ruleset, &map_name(stage, "any"), Field::NfProto, any);
    }

    /// Where packets of `endpoint` go at `stage`: endpoints without forward policy share one program.
    pub(super) fn target(&self, stage: Stage, endpoint: &EndpointPolicy) -> Name {
        if is_open(stage, endpoint) { open_chain(stage) } else { self.entry(stage, &endpoint.name) }
    }
}

const fn is_raw(stage: Stage) -> bool {
    matches!(stage, Stage::UntrackedIn | Stage::UntrackedOut)
}

/// Whether the endpoint lets all forwarded traffic pass here (E-452).
pub(super) fn is_open(stage: Stage, endpoint: &EndpointPolicy) -> bool {
    // Staged forward policies alone are counted, so they have a program.
    matches!(stage, Stage::ForwardIn | Stage::ForwardOut) && !endpoint.has_forward() && stage.class(endpoint).is_empty()
}

fn open_chain(stage: Stage) -> Name {
    Name::new(format!("{}-open", stage.prefix()))
}

fn map_name(stage: Stage, which: &str) -> Name {
    Name::new(format!("{}-{which}", stage.prefix()))
}

fn by_interface(stage: Stage) -> Rule {
    map_rule(vec![stage.interface()], map_name(stage, "if"), "interface")
}

fn by_any(stage: Stage) -> Rule {
    map_rule(vec![Field::NfProto], map_name(stage, "any"), "any interface")
}

fn is_translated() -> Match {
    let dnat = ct_status::DST_NAT.to_be_bytes().to_vec();
    Match::Masked { field: Field::CtStatus, mask: dnat, invert: true, value: vec![0; 4] }
}
