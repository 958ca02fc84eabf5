//! From knobs to the rules of policies.

use serde_json::{Value, json};

use crate::lane::{Shape, Stage, port};
use crate::world::{Block, Class, Cover, Members, PolicyKnob};

/// A rule that matches no packet of any lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Junk {
    pub(crate) kind: u64,
    /// From 20,000 on.
    pub(crate) port: u16,
    pub(crate) action: u64,
}

impl Junk {
    fn rule(self, is_staged: bool) -> Value {
        let actions: &[&str] = if is_staged { &["Allow", "Deny"] } else { &["Allow", "Deny", "Pass"] };
        let action = actions[usize::try_from(self.action).expect("small") % actions.len()];
        let (port, next) = (self.port, self.port + 1);
        match self.kind % 9 {
            0 => json!({"action": action, "protocol": "UDP", "destination": {"ports": [port]}}),
            1 => json!({"action": action, "protocol": "TCP", "destination": {"ports": [port, port + 7]}}),
            2 => json!({"action": action, "protocol": "UDP", "destination": {"ports": [format!("{port}:{next}")]}}),
            3 => json!({"action": action, "source": {"nets": [format!("10.{}.0.0/16", port % 250)]}}),
            4 => json!({"action": action, "protocol": "SCTP"}),
            5 => json!({
                "action": action, "protocol": "UDP", "source": {"selector": "fire == 'hash-pass'"},
                "destination": {"ports": [port]},
            }),
            6 => json!({
                "action": action, "protocol": "TCP", "source": {"notSelector": "fire == 'interval-never'"},
                "destination": {"ports": [port]},
            }),
            7 => json!({
                "action": action, "protocol": "UDP", "source": {"nets": ["10.9.0.0/16", "fd10:9::/32"]},
                "destination": {"ports": [port_name(Stage::LocalIn, true)]},
            }),
            _ => json!({"action": action, "protocol": "UDP", "source": {"ports": [port % 1000 + 1]}}),
        }
    }
}

/// The name of the ports that lanes of a stage use.
pub(crate) fn port_name(stage: Stage, must_pass: bool) -> String {
    let word = if must_pass { "fire" } else { "ban" };
    format!("{word}{}", stage as u8)
}

/// The spec of a policy.
pub(crate) fn policy(knob: &PolicyKnob) -> Value {
    let selectors = ["role == 'web'", "has(role)", "role in {'web', 'db'}"];
    let mut spec = json!({
        "tier": knob.tier.map_or("default".to_owned(), |tier| format!("t{tier}")),
        "order": knob.order,
        "selector": selectors[usize::try_from(knob.selector % 3).expect("small")],
        "types": if knob.class == Class::PreDnat { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) },
        "ingress": list(knob, false),
    });
    let object = spec.as_object_mut().expect("it is one");
    if knob.class != Class::PreDnat {
        object.insert("egress".to_owned(), Value::Array(list(knob, true)));
    }
    match knob.class {
        Class::Normal => {}
        Class::Forward => {
            object.insert("applyOnForward".to_owned(), json!(true));
        }
        Class::Untracked => {
            object.extend([("applyOnForward".to_owned(), json!(true)), ("doNotTrack".to_owned(), json!(true))]);
        }
        Class::PreDnat => {
            object.extend([("applyOnForward".to_owned(), json!(true)), ("preDNAT".to_owned(), json!(true))]);
        }
    }
    if knob.is_staged {
        object.insert("stagedAction".to_owned(), json!("Set"));
    }
    spec
}

fn list(knob: &PolicyKnob, is_egress: bool) -> Vec<Value> {
    let blocks =
        knob.blocks.iter().filter(|block| block.stage == Stage::Forward || block.stage.is_outward() == is_egress);
    let mut rules: Vec<Value> = blocks.flat_map(block).collect();
    for (position, junk) in &knob.junk {
        rules.insert(position % (rules.len() + 1), junk.rule(knob.is_staged));
    }
    rules
}

/// What the normal class says about the lanes of a stage of its own.
pub(crate) fn cover(cover: Cover, class: Class) -> Value {
    let all = class.stages().iter().flat_map(|stage| {
        Shape::ALL
            .into_iter()
            .flat_map(move |shape| [true, false].map(|must_pass| Block { stage: *stage, shape, must_pass, form: 0 }))
    });
    let rules = |is_egress| -> Vec<Value> {
        let here = all.clone().filter(|block| block.stage.is_outward() == is_egress);
        match cover {
            // Whatever the stage does not deny would pass, and what it does not allow would not.
            Cover::Stage => here.filter(|block| !block.must_pass).map(|block| allow(&block)).collect(),
            Cover::Both | Cover::Normal => here.flat_map(|one| block(&one)).collect(),
        }
    };
    json!({
        "tier": "default", "order": 500, "selector": "role == 'web'", "types": ["Ingress", "Egress"],
        "ingress": rules(false), "egress": rules(true),
    })
}

/// The rules of one lane.
fn block(block: &Block) -> Vec<Value> {
    let protocols: &[&str] = if block.stage == Stage::LocalIn { &["UDP", "TCP"] } else { &["UDP"] };
    protocols.iter().flat_map(|protocol| rules_of(block, protocol)).collect()
}

fn rules_of(block: &Block, protocol: &str) -> Vec<Value> {
    let Block { stage, shape, must_pass, form } = *block;
    let number = port(stage, shape, must_pass);
    let label = Members::label(shape, must_pass);
    let selector = match form % 3 {
        0 => format!("fire == '{label}'"),
        1 => format!("has(fire-{label})"),
        _ => format!("fire in {{'{label}', 'none'}}"),
    };
    let with = |action: &str, key: &str, selector: &str, ports: Value| {
        let (mut source, mut destination) = (json!({}), json!({"ports": ports}));
        if !key.is_empty() {
            let end = if stage.is_outward() { &mut destination } else { &mut source };
            end.as_object_mut().expect("it is one").insert(key.to_owned(), json!(selector));
        }
        json!({"action": action, "protocol": protocol, "source": source, "destination": destination})
    };
    let numbers = match form % 2 {
        0 => json!([number]),
        _ => json!([number, 19_000 + form % 50]),
    };
    let named = json!([port_name(stage, must_pass)]);
    let plain = json!([number]);
    match (shape, must_pass) {
        (Shape::Ports, true) => vec![with("Allow", "", "", numbers)],
        (Shape::Ports, false) => vec![with("Deny", "", "", numbers), with("Allow", "", "", plain)],
        (Shape::Named, true) => vec![with("Allow", "", "", named)],
        (Shape::Named, false) => vec![with("Deny", "", "", named), with("Allow", "", "", plain)],
        (_, true) => vec![with("Allow", "selector", &selector, numbers)],
        // Only where what is not allowed is denied.
        (_, false) if form % 5 == 4 && has_default_deny(stage) => {
            vec![with("Allow", "notSelector", &selector, numbers)]
        }
        (_, false) => vec![with("Deny", "selector", &selector, numbers), with("Allow", "", "", plain)],
    }
}

/// Whether what policy does not allow is denied at once; other stages leave it to the normal class.
const fn has_default_deny(stage: Stage) -> bool {
    matches!(stage, Stage::LocalIn | Stage::LocalOut | Stage::Forward)
}

/// A rule that lets pass what must not, for a stage that has denied it before.
fn allow(block: &Block) -> Value {
    let number = port(block.stage, block.shape, block.must_pass);
    json!({"action": "Allow", "protocol": "UDP", "destination": {"ports": [number]}})
}
