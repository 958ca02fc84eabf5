//! `vectors/validation.json` in an API server: what it decides otherwise than Tortie, and why (resources.md section 12).

use std::collections::BTreeMap;

use serde_json::Value;
use tortie_api::crd::is_defined;
use tortie_api::{Kind, decode};

use crate::defaults::without_client_only;
use crate::{CASE, native, try_all};

/// Refused by Tortie, accepted by the server.
const BEYOND_THE_SERVER: &[(&str, &str)] = &[
    ("sample-hep-ip-with-mask", "address syntax"),
    ("sample-hep-ip-bad", "address syntax"),
    ("sample-hep-port-proto-case", "protocol names"),
    ("sample-hep-port-name-long", "endpoint-port rules beyond 1-65535"),
    ("sample-hep-ports-not-tcp-udp-sctp", "endpoint-port rules beyond 1-65535"),
    ("sample-hep-unknown-field", "pruned: the client asks whether to refuse it"),
    ("sample-np-no-prednat-field", "pruned: the client asks whether to refuse it"),
    ("sample-felix-unknown", "pruned: the client asks whether to refuse it"),
    ("sample-gnp-bad-selector", "selector syntax"),
    ("sample-gnp-ports-without-protocol", "port/protocol agreement"),
    ("sample-gnp-mixed-families", "mixed families"),
    ("sample-gnp-host-bits", "strict masks"),
    ("sample-gnp-backwards-range", "port syntax"),
    ("sample-gnp-name-dots", "name rules beyond a DNS name"),
    ("sample-tier-dotted", "name rules beyond a DNS name"),
    ("sample-gns-bad", "network syntax"),
    ("sample-ns-reserved", "reserved label on sets"),
    ("sample-kcc-template-empty", "template rules"),
];

/// Accepted by Tortie, refused by the server.
const BEYOND_TORTIE: &[(&str, &str)] =
    &[("sample-hep-name-underscore", "D-2: a name that Kubernetes takes for no object")];

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/validation.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Vectors of kinds that have a definition, by name: the document, and whether Tortie accepts it.
fn applicable() -> BTreeMap<String, (String, bool)> {
    let field = |case: &Value, name: &str| case[name].as_str().unwrap().to_owned();
    vectors()
        .iter()
        .map(|case| (field(case, "name"), (field(case, "yaml"), case["expect"] == "accept")))
        .filter(|(_, (yaml, _))| {
            let kind = yaml.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap();
            is_defined(Kind::from_document(kind).unwrap())
        })
        .collect()
}

#[test]
fn the_server_decides_as_tortie_does_but_for_the_exceptions() {
    let vectors = applicable();
    let sent: Vec<String> = vectors
        .iter()
        .map(|(name, (yaml, _))| {
            let marked = yaml.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{CASE}: {name}}}\n"), 1);
            assert_ne!(&marked, yaml, "{name} has no block of metadata");
            marked
        })
        .collect();
    let answers = try_all(native(), &sent.join("---\n"));
    let is_listed = |list: &[(&str, &str)], name: &str| list.iter().any(|(listed, _)| *listed == name);
    let mut failures = Vec::new();
    for (name, (yaml, is_good)) in &vectors {
        let expected = if *is_good { !is_listed(BEYOND_TORTIE, name) } else { is_listed(BEYOND_THE_SERVER, name) };
        match answers.accepted.get(name) {
            Some(stored) if expected && *is_good => {
                let own = Value::Object(decode(yaml).documents.remove(0).value);
                let kind = Kind::from_document(own["kind"].as_str().unwrap()).unwrap();
                // What the server has of them was given: it fills none of them in.
                let expected = without_client_only(kind, &own["spec"], &stored["spec"]);
                assert_eq!(stored["spec"], expected, "{name}");
                assert_eq!(stored["metadata"]["labels"], own["metadata"]["labels"], "{name}");
            }
            found if found.is_some() != expected => {
                failures.push(format!("{name}: accepted by the server is {}", found.is_some()));
            }
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{}\n{}", failures.join("\n"), answers.refusals);
    for (name, _) in BEYOND_THE_SERVER.iter().chain(BEYOND_TORTIE) {
        assert!(vectors.contains_key(*name), "{name} is no vector any more");
    }
}
