//! From objects of a store to what the kernel is told, and back.

use std::sync::Arc;

use serde_json::Value;
use tortie_api::facts::{Link, Links};
use tortie_api::lint::lint_host;
use tortie_api::model::{FelixConfiguration, Labels, Resource};
use tortie_api::{Kind, read_stored};
use tortie_calc::settings::{Local, Remembered, Sources, resolve};
use tortie_calc::{Engine, Settings};
use tortie_rules::plan::{Op, plan};
use tortie_rules::{Ruleset, compile};

/// The node whose agent this is.
const NODE: &str = "n1";

/// Objects of a store, one on each line behind a letter for its kind: what is read back of what the kernel was told needs
/// no change.
pub fn policy(data: &[u8]) {
    let objects: Vec<Resource> = data.split(|byte| *byte == b'\n').filter_map(object).collect();
    let desired = compile(engine(&objects).policy());
    let backwards: Vec<Resource> = objects.iter().rev().cloned().collect();
    if is_without_repeats(&objects) {
        assert_eq!(compile(engine(&backwards).policy()), desired, "the order of objects matters");
    }
    let made = plan(&desired, None).expect("what the compiler makes is consistent");
    let ops: Vec<Op> = made.transactions.iter().flat_map(|transaction| transaction.ops.iter().cloned()).collect();
    let actual: Ruleset = tortie_nftables::fuzzing::ruleset(&tortie_nftables::fuzzing::messages(&ops)).0;
    let again = plan(&desired, Some(&actual)).expect("what the compiler makes is consistent");
    let changes: Vec<&Op> = again.transactions.iter().flat_map(|transaction| &transaction.ops).collect();
    assert!(changes.is_empty(), "what was read back is changed: {changes:?}");
    assert_eq!(lint_host(NODE, &objects, Some(&links())), lint_host(NODE, &objects, Some(&links())));
}

fn object(line: &[u8]) -> Option<Resource> {
    let (letter, json) = line.split_first()?;
    let kind = Kind::all().nth(usize::from(letter.wrapping_sub(b'A')) % Kind::all().count())?;
    let value: Value = serde_json::from_slice(json).ok()?;
    Some(read_stored(kind, &value).ok()?.resource)
}

fn is_without_repeats(objects: &[Resource]) -> bool {
    let keys: std::collections::BTreeSet<_> = objects.iter().map(Resource::key).collect();
    keys.len() == objects.len()
}

fn engine(objects: &[Resource]) -> Engine {
    let mut engine = Engine::new(settings(objects));
    engine.set_links(links());
    for object in objects {
        engine.update(object.key(), Some(Arc::new(object.clone())));
    }
    engine.flush();
    engine
}

fn settings(objects: &[Resource]) -> Settings {
    // Of one name the last counts, as in a store.
    let mut stored: Vec<&FelixConfiguration> = Vec::new();
    for object in objects {
        if let Resource::FelixConfiguration(found) = object {
            stored.retain(|before| before.meta.name != found.meta.name);
            stored.push(found);
        }
    }
    let (labels, none, remembered) = (Labels::new(), Local::new(), Remembered::new());
    let sources = Sources {
        node: NODE,
        node_labels: &labels,
        environment: &none,
        file: &none,
        stored: &stored,
        remembered: &remembered,
    };
    resolve(&sources).settings
}

fn links() -> Links {
    let link = |index: u32, name: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        (name.to_owned(), Link { index, name: name.to_owned(), is_running: true, controller: None, addresses })
    };
    Links::from([
        link(1, "lo", &["127.0.0.1", "::1"]),
        link(2, "eth0", &["192.0.2.1", "2001:db8::1", "fe80::1"]),
        link(3, "eth1", &["198.51.100.1"]),
        link(4, "cali1", &[]),
    ])
}
