//! Stored objects without a defined meaning, made from good ones.

use serde_json::{Value, json};

use super::Random;

/// One way to spoil an object: where in it, and what stands there instead.
type Spoil = (&'static [&'static str], fn() -> Value);

const OF_RULES: &[Spoil] = &[
    (&["action"], || json!("Permit")),
    (&["action"], || Value::Null),
    (&["ipVersion"], || json!(5)),
    (&["protocol"], || json!("HTTP")),
    (&["protocol"], || json!(256)),
    (&["notProtocol"], || json!(0)),
    (&["icmp"], || json!({"code": 3})),
    (&["notICMP"], || json!({"type": 255})),
    (&["source"], || json!("10.0.0.0/8")),
    (&["source", "nets"], || json!(["10.0.0.0/40"])),
    (&["source", "notNets"], || json!(["10.0.0.0/8", "ten"])),
    (&["source", "selector"], || json!("a ==")),
    (&["source", "notSelector"], || json!("has(a) &&")),
    (&["destination", "nets"], || json!([4])),
    (&["destination", "ports"], || json!(["8099:8000"])),
    (&["destination", "ports"], || json!([70_000])),
    (&["destination", "selector"], || json!("global()")),
    (&["destination", "namespaceSelector"], || json!("global() && has(a)")),
];

const OF_POLICIES: &[Spoil] = &[
    (&["spec", "selector"], || json!("a = 'x'")),
    (&["spec", "selector"], || json!("global()")),
    (&["spec", "namespaceSelector"], || json!("all(")),
    (&["spec", "order"], || json!("first")),
    (&["spec", "types"], || json!(["Inward"])),
    (&["spec", "applyOnForward"], || json!("yes")),
    (&["spec", "ingress"], || json!({"action": "Allow"})),
    (&["spec", "egress"], || json!(["Allow"])),
];

const OF_ENDPOINTS: &[Spoil] = &[
    (&["spec", "node"], || Value::Null),
    (&["spec", "interfaceName"], || json!("an-interface-name")),
    (&["spec", "profiles"], || json!("p1")),
    (&["spec", "ports"], || json!([{"name": "http", "protocol": "TCP", "port": 0}])),
    (&["spec", "ports"], || json!([{"name": "http", "port": 80}])),
];

const OF_ALL: &[Spoil] = &[
    (&["metadata", "name"], || json!("")),
    (&["metadata", "labels"], || json!({"a": 1})),
    (&["metadata"], || json!("a")),
    (&["spec"], || json!([])),
];

/// The stored object with one mistake for which it must be refused as a whole (E-120, E-305, resources.md section 12).
pub fn spoiled(stored: &Value, random: &mut Random) -> Value {
    let mut value = stored.clone();
    let kind = stored["kind"].as_str().unwrap_or_default();
    let is_policy = kind.ends_with("NetworkPolicy");
    let lists: Vec<(&str, usize)> = ["ingress", "egress"]
        .into_iter()
        .filter_map(|list| Some((list, stored["spec"][list].as_array()?.len())))
        .filter(|(_, len)| *len > 0)
        .collect();
    if !lists.is_empty() && random.one_in(2) {
        let (list, len) = *random.pick(&lists);
        let rule = &mut value["spec"][list][random.below(len)];
        put(rule, random.pick(OF_RULES));
        return value;
    }
    let table = match kind {
        _ if is_policy && !random.one_in(4) => OF_POLICIES,
        "HostEndpoint" if !random.one_in(4) => OF_ENDPOINTS,
        _ => OF_ALL,
    };
    put(&mut value, random.pick(table));
    value
}

fn put(value: &mut Value, (path, bad): &Spoil) {
    let mut at = value;
    for name in *path {
        if !at[*name].is_object() && *name != path[path.len() - 1] {
            at[*name] = json!({});
        }
        at = &mut at[*name];
    }
    *at = bad();
}
