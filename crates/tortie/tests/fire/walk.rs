//! A random walk through states that all say the same about every lane.

use serde_json::{Value, json};

use crate::host::Random;
use crate::lane::Shape;
use crate::rules::Junk;
use crate::world::{Block, Class, Cover, Knobs, Members, PolicyKnob};

/// The highest number of members that no lane needs.
const OTHERS_MAX: u64 = 3_000;
/// Policies of a class, at most.
const POLICIES_MAX: usize = 8;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What it was.
    pub(crate) what: &'static str,
    /// Whether the agent must have followed before and after it.
    pub(crate) is_barrier: bool,
}

/// The walker.
pub(crate) struct Walk {
    pub(crate) knobs: Knobs,
    pub(crate) random: Random,
    /// The number of the next policy.
    next: usize,
}

/// Turns one knob.
type Turn = (&'static str, u64, fn(&mut Walk));

/// What can be turned, and how often.
const TURNS: &[Turn] = &[
    ("a rule beside is edited", 20, Walk::edit_junk),
    ("a rule comes or goes before the deciding one", 20, Walk::add_or_remove_junk),
    ("rules are reordered", 8, Walk::reorder),
    ("the deciding rule is written another way", 10, Walk::rewrite_block),
    ("the deciding rule moves to another policy", 6, Walk::move_block),
    ("a policy comes or goes", 8, Walk::add_or_remove_policy),
    ("a policy gets another order", 5, Walk::order_policy),
    ("a policy gets another selector", 3, |walk| walk.some_policy().selector += 1),
    ("a policy moves to another tier", 5, Walk::move_policy),
    ("tiers are reordered", 4, Walk::reorder_tiers),
    ("a tier comes or goes", 3, Walk::add_or_remove_tier),
    ("members come and go", 30, Walk::exchange_members),
    ("networks around the lane's are joined and split", 40, Walk::cover),
    ("the lane's members move to another set", 8, Walk::move_members),
    ("a set exchanges thousands of members", 4, Walk::grow),
    ("a hash set becomes an interval set, or back", 6, Walk::mix),
    ("named ports come and go", 10, Walk::named_ports),
    ("another endpoint governs", 10, Walk::govern),
    ("the wildcard comes or goes", 4, |walk| walk.knobs.has_wildcard ^= true),
    ("the role moves to a profile, or back", 3, |walk| walk.knobs.by_profile ^= true),
    ("an endpoint beside comes or goes", 6, |walk| walk.knobs.beside = walk.random.below(5)),
    ("a setting changes", 6, Walk::setting),
];

impl Walk {
    /// The first state of a seed.
    pub(crate) fn new(seed: u64) -> Walk {
        let mut policies = Vec::new();
        for class in Class::ALL {
            for order in 0..2 {
                let mut blocks = Vec::new();
                for stage in class.stages() {
                    for (at, shape) in Shape::ALL.into_iter().enumerate() {
                        for must_pass in [true, false].into_iter().filter(|_| at % 2 == order) {
                            blocks.push(Block { stage: *stage, shape, must_pass, form: 0 });
                        }
                    }
                }
                policies.push(PolicyKnob {
                    class,
                    number: policies.len(),
                    tier: None,
                    order: 100 * i64::try_from(order).expect("small"),
                    blocks,
                    junk: Vec::new(),
                    is_staged: false,
                    selector: 0,
                });
            }
        }
        let mut members = Vec::new();
        for shape in [Shape::Hash, Shape::Interval] {
            for must_pass in [true, false] {
                members.push(Members {
                    shape,
                    must_pass,
                    parts: 2,
                    holder: 0,
                    cover: 0,
                    others: 5,
                    salt: 1,
                    is_mixed: false,
                });
            }
        }
        let knobs = Knobs {
            policies,
            tiers: [(0, 10), (1, 20)].into(),
            untracked: Cover::Stage,
            pre_dnat: Cover::Stage,
            members,
            named: 2,
            named_salt: 1,
            near: 0,
            far: 0,
            by_profile: false,
            has_wildcard: false,
            beside: 1,
            settings: Default::default(),
            is_opening: true,
        };
        Walk { knobs, random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), next: 100 }
    }

    /// Changes something, sometimes several things at once.
    pub(crate) fn step(&mut self) -> Step {
        if self.random.below(40) == 0 {
            self.turn_cover();
            return Step { what: "a stage comes or goes", is_barrier: true };
        }
        let what = self.turn();
        let more = if self.random.below(6) == 0 { self.random.below(4) } else { 0 };
        for _ in 0..more {
            self.turn();
        }
        Step { what: if more == 0 { what } else { "several changes at once" }, is_barrier: false }
    }

    /// Changes the deciding rules and the sets that they use at once: what is worst in one transaction.
    pub(crate) fn rules_and_sets(&mut self) -> Step {
        for members in &mut self.knobs.members {
            members.cover += 1;
            members.others = 200;
            members.salt += 1;
            members.is_mixed ^= true;
        }
        self.knobs.named_salt += 1;
        for block in self.knobs.policies.iter_mut().flat_map(|policy| &mut policy.blocks) {
            block.form += 3;
        }
        Step { what: "rules and sets change at once", is_barrier: false }
    }

    fn turn(&mut self) -> &'static str {
        let total: u64 = TURNS.iter().map(|(_, weight, _)| weight).sum();
        let mut at = self.random.below(total);
        for (what, weight, turn) in TURNS {
            if at < *weight {
                turn(self);
                return what;
            }
            at -= weight;
        }
        unreachable!("a number below the sum of the weights");
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.random.below(len as u64)).expect("below a usize")
    }

    fn some_policy(&mut self) -> &mut PolicyKnob {
        let at = self.index(self.knobs.policies.len());
        &mut self.knobs.policies[at]
    }

    fn some_junk(&mut self) -> Junk {
        let port = 20_000 + u16::try_from(self.random.below(40_000)).expect("below 40,000");
        Junk { kind: self.random.below(9), port, action: self.random.below(3) }
    }

    fn edit_junk(&mut self) {
        let junk = self.some_junk();
        let policy = self.some_policy();
        match policy.junk.first_mut() {
            Some(first) => first.1 = junk,
            None => policy.junk.push((0, junk)),
        }
    }

    fn add_or_remove_junk(&mut self) {
        let (position, junk) = (self.index(20), self.some_junk());
        let is_removal = self.random.below(2) == 0;
        let policy = self.some_policy();
        if is_removal && !policy.junk.is_empty() || policy.junk.len() > 12 {
            policy.junk.remove(position % policy.junk.len());
        } else {
            policy.junk.push((position, junk));
        }
    }

    fn reorder(&mut self) {
        let salt = self.random.below(1000) as usize;
        let policy = self.some_policy();
        if !policy.blocks.is_empty() {
            let at = salt % policy.blocks.len();
            policy.blocks.rotate_left(at);
        }
        for (position, _) in &mut policy.junk {
            *position += salt % 7;
        }
    }

    fn rewrite_block(&mut self) {
        let form = self.random.below(1000);
        let salt = self.random.below(1000) as usize;
        let policy = self.some_policy();
        if !policy.blocks.is_empty() {
            let at = salt % policy.blocks.len();
            policy.blocks[at].form = form;
        }
    }

    fn move_block(&mut self) {
        let from = self.index(self.knobs.policies.len());
        let to = self.index(self.knobs.policies.len());
        let (giver, taker) = (&self.knobs.policies[from], &self.knobs.policies[to]);
        if from == to || giver.class != taker.class || taker.is_staged || giver.blocks.is_empty() {
            return self.rewrite_block();
        }
        let block = self.knobs.policies[from].blocks.remove(0);
        self.knobs.policies[to].blocks.push(block);
    }

    fn add_or_remove_policy(&mut self) {
        let class = Class::ALL[self.index(4)];
        let count = self.knobs.policies.iter().filter(|policy| policy.class == class).count();
        let idle = self.knobs.policies.iter().position(|policy| policy.class == class && policy.blocks.is_empty());
        let is_removal = self.random.below(2) == 0 || count >= POLICIES_MAX;
        match idle.filter(|_| is_removal) {
            Some(at) => {
                self.knobs.policies.remove(at);
            }
            None if count < POLICIES_MAX => {
                let junk = (0..1 + self.random.below(4)).map(|at| (at as usize, self.some_junk())).collect();
                let policy = PolicyKnob {
                    class,
                    number: self.next,
                    tier: self.some_tier(),
                    order: self.random.below(1000) as i64,
                    blocks: Vec::new(),
                    junk,
                    is_staged: self.random.below(6) == 0,
                    selector: self.random.below(3),
                };
                self.next += 1;
                self.knobs.policies.push(policy);
            }
            None => self.edit_junk(),
        }
    }

    fn order_policy(&mut self) {
        let order = self.random.below(1000) as i64;
        self.some_policy().order = order;
    }

    fn some_tier(&mut self) -> Option<usize> {
        let tiers: Vec<usize> = self.knobs.tiers.keys().copied().collect();
        let at = self.index(tiers.len() + 1);
        tiers.get(at).copied()
    }

    fn move_policy(&mut self) {
        let tier = self.some_tier();
        self.some_policy().tier = tier;
    }

    fn reorder_tiers(&mut self) {
        let orders: Vec<i64> = (0..self.knobs.tiers.len()).map(|_| self.random.below(1000) as i64).collect();
        for (order, new) in self.knobs.tiers.values_mut().zip(orders) {
            *order = new;
        }
    }

    fn add_or_remove_tier(&mut self) {
        let tier = self.index(5);
        if !self.knobs.tiers.contains_key(&tier) {
            let order = self.random.below(1000) as i64;
            self.knobs.tiers.insert(tier, order);
        } else if self.knobs.policies.iter().all(|policy| policy.tier != Some(tier)) {
            self.knobs.tiers.remove(&tier);
        } else {
            self.reorder_tiers();
        }
    }

    fn some_members(&mut self) -> &mut Members {
        let at = self.index(self.knobs.members.len());
        &mut self.knobs.members[at]
    }

    fn exchange_members(&mut self) {
        let (more, salt) = (self.random.below(40), self.random.below(3));
        let members = self.some_members();
        members.others = more;
        if salt == 0 {
            members.salt += 1;
        }
    }

    fn cover(&mut self) {
        let cover = self.random.below(8);
        let members = self.some_members();
        members.cover = cover;
    }

    fn move_members(&mut self) {
        let (parts, holder) = (1 + self.random.below(3), self.random.below(3));
        let members = self.some_members();
        (members.parts, members.holder) = (parts, holder);
    }

    fn grow(&mut self) {
        let (others, cover) = (self.random.below(OTHERS_MAX), self.random.below(8));
        let members = self.some_members();
        (members.others, members.cover) = (others, cover);
        members.salt += 1;
    }

    fn mix(&mut self) {
        self.some_members().is_mixed ^= true;
    }

    fn named_ports(&mut self) {
        self.knobs.named = self.random.below(8);
        self.knobs.named_salt += self.random.below(2);
    }

    fn govern(&mut self) {
        if self.random.below(2) == 0 {
            self.knobs.near = self.random.below(4);
        } else {
            self.knobs.far = self.random.below(4);
        }
    }

    fn setting(&mut self) {
        let choices: [(&str, Vec<Value>); 8] = [
            ("nftablesFilterDenyAction", vec![json!("Drop"), json!("Reject")]),
            ("nftablesFilterAllowAction", vec![json!("Accept"), json!("Return")]),
            ("nftablesMangleAllowAction", vec![json!("Accept"), json!("Return")]),
            ("disableConntrackInvalidCheck", vec![json!(true), json!(false)]),
            ("nftablesRefreshInterval", vec![json!("2s"), json!("3m0s")]),
            ("reportingInterval", vec![json!("5s"), json!("30s")]),
            ("interfaceExclude", vec![json!("kube-ipvs0"), json!("kube-ipvs0,j1")]),
            (
                "failsafeInboundHostPorts",
                vec![
                    json!([{"protocol": "tcp", "port": 22}]),
                    json!([{"protocol": "tcp", "port": 22}, {"protocol": "udp", "port": 68, "net": "10.0.0.0/8"}]),
                ],
            ),
        ];
        let at = self.index(choices.len());
        let (name, values) = &choices[at];
        let choice = self.index(values.len() + 1);
        match values.get(choice) {
            Some(value) => self.knobs.settings.insert(name, value.clone()),
            None => self.knobs.settings.remove(name),
        };
    }

    /// One step from a stage of its own to the normal class, or back: never past the state in which both decide.
    fn turn_cover(&mut self) {
        let (choice, way) = (self.random.below(2), self.random.below(2));
        let cover = if choice == 0 { &mut self.knobs.untracked } else { &mut self.knobs.pre_dnat };
        *cover = match *cover {
            Cover::Both if way == 0 => Cover::Stage,
            Cover::Both => Cover::Normal,
            Cover::Stage | Cover::Normal => Cover::Both,
        };
    }
}
