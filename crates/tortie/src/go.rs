//! What Calico's tools, which are written in Go, make of resources: the names of fields in Go, and the members that a
//! printed object has, in their order.

use serde_json::{Map, Value};
use tortie_api::Kind;
use tortie_api::schema::{self, Field, Text, Type};

/// Words that are written in capitals in Go, wherever a name begins with them.
const INITIALISMS: &[(&str, &str)] = &[
    ("api", "API"),
    ("as", "AS"),
    ("aws", "AWS"),
    ("bgp", "BGP"),
    ("bpf", "BPF"),
    ("cidr", "CIDR"),
    ("http", "HTTP"),
    ("icmp", "ICMP"),
    ("ip", "IP"),
    ("ipip", "IPIP"),
    ("ipv4", "IPv4"),
    ("ipv6", "IPv6"),
    ("mac", "MAC"),
    ("mtu", "MTU"),
    ("nat", "NAT"),
    ("qos", "QoS"),
    ("uid", "UID"),
    ("vxlan", "VXLAN"),
    ("xdp", "XDP"),
];

/// Names that follow no rule.
const IRREGULAR: &[(&str, &str)] = &[
    ("bpfMapSizePerCpuConntrack", "BPFMapSizePerCPUConntrack"),
    ("externalNodesList", "ExternalNodesCIDRList"),
    ("nftablesMode", "NFTablesMode"),
    ("wireguardKeepAlive", "WireguardPersistentKeepAlive"),
];

/// A field that is printed though it is empty, for it is filled so; documents need not name it.
const FILLED_EMPTY: &str = "bpfLogLevel";

/// The name in Go of a field that documents call `name`: `expectedIPs` is `ExpectedIPs`, `ipVersion` is `IPVersion`.
pub(crate) fn field_name(name: &str) -> String {
    if let Some((_, go)) = IRREGULAR.iter().find(|(json, _)| *json == name) {
        return (*go).to_owned();
    }
    let len = name.find(|c: char| c.is_ascii_uppercase()).unwrap_or(name.len());
    let (word, rest) = name.split_at(len);
    if let Some((_, go)) = INITIALISMS.iter().find(|(json, _)| *json == word) {
        return format!("{go}{rest}");
    }
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// The fields of a whole object.
pub(crate) fn fields(kind: Kind) -> Vec<Field> {
    let member = |name, ty| Field { name, ty, doc: "", is_required: true, keeps_empty: true, default: None };
    let mut fields = vec![
        member("kind", Type::Text(Text::Any(usize::MAX))),
        member("apiVersion", Type::Text(Text::Any(usize::MAX))),
        member("metadata", Type::Object(schema::METADATA)),
        member("spec", Type::Object(schema::spec(kind))),
    ];
    if schema::has_status(kind) {
        fields.push(member("status", schema::status(kind).map_or(Type::Any, Type::Object)));
    }
    fields
}

/// The object as Calico's tools print it: members in their order, without those that no kind has and without empty ones.
///
/// # Errors
/// A sentence when a member is of another type than its field: such an object cannot be read at all.
pub(crate) fn shown(kind: Kind, object: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut shown = members(&fields(kind), object, "")?;
    if schema::has_status(kind) {
        shown.entry("status").or_insert_with(|| Value::Object(Map::new()));
    }
    Ok(shown)
}

fn members(fields: &[Field], object: &Map<String, Value>, path: &str) -> Result<Map<String, Value>, String> {
    let mut shown = Map::new();
    for field in fields {
        let Some(value) = object.get(field.name).filter(|value| !value.is_null()) else { continue };
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let value = member(&field.ty, value, &path)?;
        if field.keeps_empty || field.is_required || field.name == FILLED_EMPTY || !is_empty(&value) {
            shown.insert(field.name.to_owned(), value);
        }
    }
    Ok(shown)
}

fn member(ty: &Type, value: &Value, path: &str) -> Result<Value, String> {
    let mistyped = || Err(format!("{path} has another type than its field: {value}"));
    let same = |fits: bool| if fits { Ok(value.clone()) } else { mistyped() };
    match ty {
        Type::Any => Ok(value.clone()),
        Type::IntOrText => same(value.is_string() || value.is_number()),
        Type::Text(Text::Protocol | Text::PortProtocol | Text::Port | Text::NumericPort | Text::AsNumber) => {
            same(value.is_string() || value.is_u64())
        }
        Type::Text(_) => same(value.is_string()),
        Type::Int(..) => same(value.is_i64() || value.is_u64()),
        Type::Float => same(value.is_number()),
        Type::Bool => same(value.is_boolean()),
        Type::Ruled(inner, _) => member(inner, value, path),
        Type::Object(fields) => match value {
            Value::Object(object) => members(fields, object, path).map(Value::Object),
            _ => mistyped(),
        },
        Type::Map(_) => match value {
            Value::Object(object) if object.values().all(Value::is_string) => {
                let mut members: Vec<(&String, &Value)> = object.iter().collect();
                members.sort_by_key(|(key, _)| *key);
                Ok(members.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            _ => mistyped(),
        },
        Type::List(inner, _) | Type::Set(inner, _) | Type::Keyed(inner, _) => match value {
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(n, item)| member(inner, item, &format!("{path}[{n}]")));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            _ => mistyped(),
        },
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// JSON as Go's `MarshalIndent` writes it: two spaces a level, no line feed at the end, and `<`, `>`, `&` as escapes.
pub(crate) fn to_json(value: &Value) -> String {
    // None of the three stands outside of a text.
    format!("{value:#}")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Why Go's `time.ParseDuration` takes a text for none.
pub(crate) fn duration_mistake(text: &str) -> Option<String> {
    const UNITS: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
    let invalid = || Some(format!("time: invalid duration {text:?}"));
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return None;
    }
    if rest.is_empty() {
        return invalid();
    }
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(number_len);
        if !number.bytes().any(|b| b.is_ascii_digit()) || number.matches('.').count() > 1 {
            return invalid();
        }
        let unit_len = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_len);
        if unit.is_empty() {
            return Some(format!("time: missing unit in duration {text:?}"));
        }
        if !UNITS.contains(&unit) {
            return Some(format!("time: unknown unit {unit:?} in duration {text:?}"));
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_fail_in_the_words_of_go() {
        for (text, words) in [
            ("never", Some("time: invalid duration \"never\"")),
            ("", Some("time: invalid duration \"\"")),
            ("7", Some("time: missing unit in duration \"7\"")),
            ("5x", Some("time: unknown unit \"x\" in duration \"5x\"")),
            ("1.5h3m", None),
            ("1..5h", Some("time: invalid duration \"1..5h\"")),
            ("-0", None),
        ] {
            assert_eq!(duration_mistake(text).as_deref(), words, "{text}");
        }
    }

    #[test]
    fn fields_have_their_names_in_go() {
        for (json, go) in [
            ("node", "Node"),
            ("expectedIPs", "ExpectedIPs"),
            ("ipVersion", "IPVersion"),
            ("ipv4Address", "IPv4Address"),
            ("asNumber", "ASNumber"),
            ("icmp", "ICMP"),
            ("notICMP", "NotICMP"),
            ("interfaceName", "InterfaceName"),
            ("iptablesBackend", "IptablesBackend"),
            ("nftablesMode", "NFTablesMode"),
            ("bpfLogLevel", "BPFLogLevel"),
            ("preDNAT", "PreDNAT"),
            ("assignIPs", "AssignIPs"),
        ] {
            assert_eq!(field_name(json), go);
        }
    }

    #[test]
    fn what_is_shown_is_ordered_and_known() {
        let object = json!({"spec": {"types": ["Ingress"], "future": 1, "order": 0, "tier": "", "ingress": []},
            "metadata": {"labels": {"b": "1", "a": "2"}, "name": "p"}, "kind": "K", "apiVersion": "A"});
        let shown = shown(Kind::GlobalNetworkPolicy, object.as_object().unwrap()).unwrap();
        let expected = r#"{"kind":"K","apiVersion":"A","metadata":{"name":"p","labels":{"a":"2","b":"1"}},"spec":{"order":0,"types":["Ingress"]}}"#;
        assert_eq!(Value::Object(shown).to_string(), expected);
        let mistyped = json!({"metadata": {"name": "a"}, "spec": {"node": 5}});
        assert!(super::shown(Kind::HostEndpoint, mistyped.as_object().unwrap()).unwrap_err().starts_with("spec.node"));
    }

    #[test]
    fn json_escapes_what_html_would_read() {
        assert_eq!(to_json(&json!({"a": "x && <y>"})), "{\n  \"a\": \"x \\u0026\\u0026 \\u003cy\\u003e\"\n}");
    }
}
