//! What a change leaves alone stays itself, and what it leads to is what a calculation from scratch gives (E-215, E-216,
//! E-221..E-224; design.md section 2).
#![allow(clippy::unwrap_used, reason = "a test that cannot make its world has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tortie_api::model::{
    Action, Attachment, HostEndpoint, Labels, Meta, PolicyClass, PolicyKind, Resource, Rule, Tier, TierAction,
};
use tortie_api::{Kind, ResourceKey};
use tortie_calc::policy::{EndpointPolicy, PolicyRules, ResolvedRule};
use tortie_calc::{Engine, Settings};
use tortie_selector::Selector;

#[path = "support/policies.rs"]
mod policies;
#[path = "support/random.rs"]
mod random;

use random::Random;

const NODE: &str = "here";
const LOCAL: usize = 5;
const POLICIES: usize = 40;
const CLASSES: [PolicyClass; 4] =
    [PolicyClass::Normal, PolicyClass::NormalAndForward, PolicyClass::PreDnat, PolicyClass::Untracked];

impl Random {
    fn order(&mut self) -> Option<f64> {
        (!self.one_in(3)).then(|| f64::from(u32::try_from(self.below(6)).unwrap()))
    }

    fn label(&mut self) -> String {
        format!("l{}", self.below(4))
    }

    fn change(&mut self, present: &BTreeMap<ResourceKey, Arc<Resource>>) -> (ResourceKey, Option<Resource>) {
        let resource = match self.below(20) {
            0 => self.tier(),
            1..=3 => self.endpoint(),
            4..=9 => self.policy(),
            _ => self.another(present),
        };
        (resource.key(), (!self.one_in(12)).then_some(resource))
    }

    fn tier(&mut self) -> Resource {
        let meta = Meta { name: format!("t{}", self.below(3)), ..Meta::default() };
        let default_action = if self.one_in(2) { TierAction::Deny } else { TierAction::Pass };
        Resource::Tier(Tier { meta, order: self.order(), default_action })
    }

    fn endpoint(&mut self) -> Resource {
        let labels: Labels = (0..self.below(4)).map(|_| (self.label(), "x".to_owned())).collect();
        let number = self.below(LOCAL);
        let mut resource = host(number, labels);
        if self.one_in(6)
            && let Resource::HostEndpoint(hep) = &mut resource
        {
            hep.attachment = Attachment::Named("eth0".to_owned());
        }
        resource
    }

    fn policy(&mut self) -> Resource {
        let label = self.label();
        let selector = match self.below(4) {
            0 => Selector::all(),
            1 => Selector::not_has(&label),
            _ => Selector::has(&label),
        };
        let name = format!("p{}", self.below(POLICIES));
        let rules = (0..self.below(4)).map(|_| rule(self.below(5))).collect();
        let mut policy = policies::policy(name, selector, rules);
        policy.tier = format!("t{}", self.below(3));
        policy.order = self.order();
        policy.class = CLASSES[self.below(CLASSES.len())];
        policy.governs_ingress = !self.one_in(5);
        policy.governs_egress = self.one_in(2);
        policy.egress = policy.ingress.clone();
        policy.kind = if self.one_in(4) { PolicyKind::StagedGlobal } else { PolicyKind::Global };
        Resource::Policy(policy)
    }

    /// A policy that is there, changed in one respect.
    fn another(&mut self, present: &BTreeMap<ResourceKey, Arc<Resource>>) -> Resource {
        let policies: Vec<&Arc<Resource>> = present.values().filter(|r| matches!(***r, Resource::Policy(_))).collect();
        if policies.is_empty() {
            return self.policy();
        }
        let Resource::Policy(mut policy) = (**policies[self.below(policies.len())]).clone() else {
            unreachable!("only policies are left")
        };
        match self.below(8) {
            0 => policy.order = self.order(),
            1 => policy.tier = format!("t{}", self.below(3)),
            2 => policy.selector = Selector::has(&self.label()),
            3 => policy.governs_egress ^= true,
            4 => policy.meta.labels = Labels::from([("nobody".to_owned(), self.label())]),
            _ => {
                let at = self.below(policy.ingress.len() + 1);
                policy.ingress.insert(at, rule(self.below(5)));
            }
        }
        Resource::Policy(policy)
    }
}

fn host(number: usize, labels: Labels) -> Resource {
    Resource::HostEndpoint(HostEndpoint {
        meta: Meta { name: format!("h{number}"), labels, ..Meta::default() },
        node: NODE.to_owned(),
        attachment: Attachment::Named(format!("eth{number}")),
        expected_ips: Vec::new(),
        profiles: Vec::new(),
        ports: Vec::new(),
    })
}

fn rule(from: usize) -> Arc<Rule> {
    let mut rule = Rule::any(if from.is_multiple_of(2) { Action::Allow } else { Action::Deny });
    rule.source.selector = Some(Selector::equals("from", &format!("f{from}")));
    rule.has_http = from == 4;
    Arc::new(rule)
}

fn policy(name: &str, selector: Selector, ingress: Vec<Arc<Rule>>) -> Resource {
    Resource::Policy(policies::policy(name.to_owned(), selector, ingress))
}

fn settings(ignores_http: bool) -> Settings {
    Settings { node: NODE.to_owned(), ignores_http, ..Settings::default() }
}

fn calculated<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>, ignores_http: bool) -> Engine {
    let mut engine = Engine::new(settings(ignores_http));
    for resource in resources {
        engine.update(resource.key(), Some(resource.clone()));
    }
    engine.flush();
    engine
}

#[test]
fn changes_lead_where_a_calculation_from_scratch_does() {
    let (mut changed, mut kept, mut quiet) = (0, 0, 0);
    for seed in 0..12 {
        let mut random = Random(seed);
        let mut present: BTreeMap<ResourceKey, Arc<Resource>> = BTreeMap::new();
        let mut ignores_http = false;
        let mut engine = Engine::new(settings(ignores_http));
        for step in 0..200 {
            // Mostly one by one; sometimes many at once.
            let at_once = if random.one_in(20) { 30 } else { 1 + random.below(3) };
            for _ in 0..at_once {
                let (key, resource) = random.change(&present);
                let resource = resource.map(Arc::new);
                match &resource {
                    Some(resource) => present.insert(key.clone(), resource.clone()),
                    None => present.remove(&key),
                };
                engine.update(key, resource);
            }
            if random.one_in(50) {
                ignores_http = !ignores_http;
                engine.set_settings(settings(ignores_http));
            }
            // As a compiler keeps them.
            let before = engine.policy().endpoints.clone();
            let delta = engine.flush();
            let place = format!("seed {seed}, step {step}");
            let fresh = calculated(present.values(), ignores_http);
            assert_eq!(engine.policy(), fresh.policy(), "{place}");
            assert_eq!(engine.report(), fresh.report(), "{place}");
            assert_eq!(engine.needs(), fresh.needs(), "{place}");
            let now = &engine.policy().endpoints;
            let gone: BTreeSet<String> = before.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
            assert_eq!(delta.endpoints_removed, gone, "{place}");
            for (name, endpoint) in now {
                if delta.endpoints_changed.contains(name) {
                    changed += 1;
                    continue;
                }
                kept += 1;
                assert!(Arc::ptr_eq(endpoint, &before[name]), "{place}: {name} is another one and nobody is told");
            }
            quiet += usize::from(delta.is_empty());
        }
    }
    assert!(changed > 1_000 && kept > 1_000 && quiet > 20, "{changed} changed, {kept} kept, {quiet} quiet");
}

fn rules_of(endpoint: &EndpointPolicy) -> Vec<Arc<PolicyRules>> {
    endpoint.normal_ingress.tiers.iter().flat_map(|tier| tier.policies.clone()).collect()
}

#[test]
fn rules_that_say_the_same_stay_themselves() {
    let long = |rules: Vec<Arc<Rule>>| Arc::new(policy("long", Selector::all(), rules));
    let other = Arc::new(policy("other", Selector::all(), vec![rule(1)]));
    let rules: Vec<Arc<Rule>> = (10..10_010).map(rule).collect();
    let mut engine = calculated([Arc::new(host(0, Labels::new())), other, long(rules.clone())].iter(), false);
    let lists = |engine: &Engine| rules_of(&engine.policy().endpoints["h0"]);
    let mut swap = |rules: Vec<Arc<Rule>>| -> (Vec<Arc<ResolvedRule>>, Vec<Arc<ResolvedRule>>) {
        let before = lists(&engine);
        // As read again from a store: no rule is the same object.
        let read = rules.iter().map(|rule| Arc::new((**rule).clone())).collect();
        engine.update(ResourceKey::global(Kind::GlobalNetworkPolicy, "long"), Some(long(read)));
        engine.flush();
        let now = lists(&engine);
        assert!(Arc::ptr_eq(&before[1], &now[1]), "the other policy stays");
        (before[0].rules.clone(), now[0].rules.clone())
    };
    let same = |(one, other): (&Arc<ResolvedRule>, &Arc<ResolvedRule>)| Arc::ptr_eq(one, other);

    let mut changed = rules.clone();
    changed[5_000] = rule(3);
    let (before, now) = swap(changed);
    assert_eq!(before.iter().zip(&now).filter(|pair| !same(*pair)).count(), 1);
    assert!(!Arc::ptr_eq(&before[5_000], &now[5_000]));

    let mut moved = rules.clone();
    let taken = moved.remove(7_000);
    moved.insert(100, taken);
    let (before, now) = swap(moved.clone());
    assert!(
        Arc::ptr_eq(&before[7_000], &now[100])
            && before[100..7_000].iter().zip(&now[101..]).enumerate().all(
                // Where the former change is taken back.
                |(at, pair)| at == 4_900 || same(pair)
            )
    );

    moved.remove(9_000);
    moved.remove(50);
    let (before, now) = swap(moved);
    assert_eq!(now.len(), 9_998);
    let kept = before.iter().enumerate().filter(|(at, _)| ![50, 9_000].contains(at)).map(|(_, rule)| rule);
    assert!(kept.zip(&now).all(same));

    let (before, now) = swap(rules[..10].to_vec());
    assert!(now.iter().all(|rule| before.iter().any(|known| Arc::ptr_eq(known, rule))));
}

#[test]
fn an_order_that_moves_nothing_changes_nothing_e216() {
    let with_order = |name: &str, order: f64| {
        let Resource::Policy(mut policy) = policy(name, Selector::all(), vec![rule(1)]) else {
            unreachable!("it is one")
        };
        policy.order = Some(order);
        Arc::new(Resource::Policy(policy))
    };
    let key = |name: &str| ResourceKey::global(Kind::GlobalNetworkPolicy, name);
    let world = [Arc::new(host(0, Labels::new())), with_order("a", 1.0), with_order("b", 2.0), with_order("c", 3.0)];
    let mut engine = calculated(world.iter(), false);
    engine.update(key("b"), Some(with_order("b", 2.5)));
    assert!(engine.flush().is_empty());
    assert_eq!(engine.report().endpoints["h0"].policies[1].order, Some(2.5));
    engine.update(key("b"), Some(with_order("b", 3.5)));
    assert_eq!(engine.flush().endpoints_changed, BTreeSet::from(["h0".to_owned()]));
    let names: Vec<String> =
        rules_of(&engine.policy().endpoints["h0"]).iter().map(|rules| rules.id.name.clone()).collect();
    assert_eq!(names, ["a", "c", "b"]);
}
