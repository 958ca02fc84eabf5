use serde_json::json;
use tortie_api::Kind;

use super::*;

/// A policy's name that comes before `default.` in the order of keys, and one that comes after it.
const NAMES: [&str; 2] = ["abc", "web"];

fn key(name: &str) -> String {
    keys::key(&ResourceKey::global(Kind::GlobalNetworkPolicy, name))
}

/// The policy `name` as it is stored at `at`.
fn stored(at: &str, name: &str) -> Vec<u8> {
    let annotations = json!({keys::NAME_ANNOTATION: json!({"name": name}).to_string()});
    json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"selector": at}}).to_string().into_bytes()
}

/// The number of the last revision, and what was delivered up to it.
#[derive(Default)]
struct Told {
    delivered: Delivered,
    revision: u64,
}

impl Told {
    /// Takes one change of what lies at a name; what is told, and whether all is to be read.
    fn change(&mut self, at: &str, value: Option<Vec<u8>>) -> (Vec<String>, bool) {
        self.revision += 1;
        let event = Event { key: key(at), value, previous: None };
        let mut updates = Vec::new();
        let is_to_read = self.delivered.change(event, Revision(self.revision), &mut updates);
        (said(&updates), is_to_read)
    }

    fn put(&mut self, at: &str, name: &str) -> (Vec<String>, bool) {
        self.change(at, Some(stored(at, name)))
    }

    fn gone(&mut self, at: &str) -> (Vec<String>, bool) {
        self.change(at, None)
    }
}

/// What a store holds: names at which a policy lies, its name, and the revision.
fn found(entries: &[(&str, &str, u64)]) -> BTreeMap<String, (Revision, Vec<u8>)> {
    entries.iter().map(|(at, name, revision)| (key(at), (Revision(*revision), stored(at, name)))).collect()
}

/// Updates as text: the name, and the place it comes from.
fn said(updates: &[Update]) -> Vec<String> {
    let said = |update: &Update| match update.object() {
        None => format!("-{}", update.key.name),
        Some(Ok(value)) => format!("{} from {}", update.key.name, value["spec"]["selector"].as_str().unwrap()),
        Some(Err(error)) => format!("{}: {error}", update.key.name),
    };
    updates.iter().map(said).collect()
}

fn from(name: &str, at: &str) -> Vec<String> {
    vec![format!("{name} from {at}")]
}

#[test]
fn a_snapshot_tells_the_policy_at_its_own_name() {
    for name in NAMES {
        let old = format!("default.{name}");
        let mut delivered = Delivered::default();
        let both = found(&[(name, name, 1), (&old, name, 2)]);
        assert_eq!(said(&delivered.snapshot(both.clone(), false)), from(name, name));
        assert_eq!(said(&delivered.snapshot(both.clone(), false)), Vec::<String>::new());
        assert_eq!(said(&delivered.snapshot(both, true)), from(name, name));
    }
}

#[test]
fn the_old_place_counts_again_when_a_snapshot_lacks_the_new_one() {
    for name in NAMES {
        let old = format!("default.{name}");
        let mut delivered = Delivered::default();
        delivered.snapshot(found(&[(name, name, 1), (&old, name, 2)]), false);
        assert_eq!(said(&delivered.snapshot(found(&[(&old, name, 2)]), false)), from(name, &old));
        assert_eq!(said(&delivered.snapshot(found(&[(name, name, 3), (&old, name, 2)]), false)), from(name, name));
        assert_eq!(said(&delivered.snapshot(found(&[(name, name, 3)]), false)), Vec::<String>::new());
        assert_eq!(said(&delivered.snapshot(found(&[]), false)), [format!("-{name}")]);
    }
}

#[test]
fn the_place_of_its_own_name_wins_in_either_order_of_events() {
    for name in NAMES {
        let old = format!("default.{name}");
        let mut told = Told::default();
        assert_eq!(told.put(&old, name), (from(name, &old), false));
        assert_eq!(told.put(name, name), (from(name, name), false));
        assert_eq!(told.put(&old, name), (vec![], false), "the old one is not in force");

        let mut told = Told::default();
        assert_eq!(told.put(name, name), (from(name, name), false));
        assert_eq!(told.put(&old, name), (vec![], false), "the old one does not come into force");
        assert_eq!(told.put(name, name), (from(name, name), false));
    }
}

#[test]
fn the_end_of_either_place_leaves_the_other_in_force() {
    for name in NAMES {
        let old = format!("default.{name}");
        let mut told = Told::default();
        told.put(name, name);
        told.put(&old, name);
        assert_eq!(told.gone(&old), (vec![], false), "the old one was not in force");
        told.put(&old, name);
        assert_eq!(told.gone(name), (vec![], true), "the old one is to be read");
        assert_eq!(said(&told.delivered.snapshot(found(&[(&old, name, 4)]), false)), from(name, &old));
        assert_eq!(told.gone(&old), (vec![format!("-{name}")], false));
    }
}

#[test]
fn a_policy_that_takes_another_name_where_it_lies_leaves_the_one_it_had() {
    let mut told = Told::default();
    told.put("default.a", "a");
    assert_eq!(told.put("default.a", "b"), (vec!["-a".to_owned(), "b from default.a".to_owned()], false));
    assert_eq!(told.put("b", "b"), (from("b", "b"), false));
    assert_eq!(told.put("default.a", "a"), (from("a", "default.a"), false));
}

#[test]
fn a_policy_whose_name_cannot_be_read_keeps_the_one_it_had() {
    let mut told = Told::default();
    told.put("x", "a");
    let (said, _) = told.change("x", Some(b"{".to_vec()));
    assert!(said[0].starts_with("a: "), "{said:?}");
    let (said, _) = told.change("default.y", Some(b"{".to_vec()));
    assert!(said[0].starts_with("y: "), "{said:?}");
}
