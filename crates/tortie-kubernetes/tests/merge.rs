//! Server-side apply on a real API server, in both groups (cli.md section 2.4, datastore.md section 3.2).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::kv::{FaultKind, OwnedField};
use tortie_datastore::resources::{Change, Done, Mode};
use tortie_datastore::store::FieldManager;
use tortie_datastore::{KvError, ResourceError, Resources};
use tortie_kubernetes::{Group, Kubernetes};

use support::{GROUPS, admin, change, policy, shared};

const METADATA: &str = "metadata.labels and metadata.annotations";

/// One manager of fields.
struct Manager<'a> {
    store: &'a Kubernetes,
    name: &'a str,
    is_forced: bool,
}

impl Manager<'_> {
    fn resources(&self) -> Resources<'_> {
        let manager = FieldManager { name: self.name.to_owned(), is_forced: self.is_forced };
        Resources::new(self.store).in_the_name_of(manager)
    }

    fn applies(&self, changes: &[Change]) -> Result<Vec<Done>, Vec<ResourceError>> {
        let done = self.resources().write(changes);
        let errors =
            |failures: Vec<(ResourceKey, ResourceError)>| failures.into_iter().map(|(_, error)| error).collect();
        done.map(|written| written.iter().map(|written| written.done).collect()).map_err(errors)
    }

    /// The fields of others that hinder a change.
    fn hindered(&self, change: &Change) -> Vec<OwnedField> {
        let errors = self.applies(std::slice::from_ref(change)).unwrap_err();
        let trial = self.resources().rehearse(std::slice::from_ref(change)).unwrap_err();
        let fields = |error: &ResourceError| match error {
            ResourceError::Store(KvError::Fault { kind: FaultKind::FieldsOwned { id, fields }, .. }) => {
                assert_eq!(**id, change.key);
                fields.clone()
            }
            other => panic!("no conflict of managers: {other}"),
        };
        assert_eq!(fields(&trial[0].1), fields(&errors[0]), "a rehearsal tells the same");
        fields(&errors[0])
    }
}

fn manager<'a>(store: &'a Kubernetes, name: &'a str) -> Manager<'a> {
    Manager { store, name, is_forced: false }
}

fn owned(path: &str, manager: &str) -> OwnedField {
    OwnedField { path: path.to_owned(), manager: manager.to_owned() }
}

fn apply(name: &str, labels: Value, spec: Value) -> Change {
    let mut change = change(Mode::Apply, &policy(name), spec);
    if labels != json!({}) {
        change.value["metadata"]["labels"] = labels;
    }
    change
}

fn get(store: &Kubernetes, name: &str) -> Value {
    Value::Object(Resources::new(store).get(&policy(name)).unwrap().value)
}

fn managers(group: Group, name: &str) -> Vec<String> {
    let plural = format!("globalnetworkpolicies.{}", group.name());
    let path = "jsonpath={range .metadata.managedFields[*]}{.manager} {.operation} {.fieldsV1}{\"\\n\"}{end}";
    let text = shared().kubectl_ok(&["get", &plural, name, "--show-managed-fields", "-o", path], "");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_others_do_not_manage_is_merged_and_what_they_do_is_told_field_by_field() {
    for group in GROUPS {
        let store = &*admin(group);
        let (first, second) = (manager(store, "first"), manager(store, "second"));
        let ordered = |order: u32| apply("merged", json!({}), json!({"order": order, "selector": "all()"}));
        assert_eq!(first.applies(&[ordered(1)]).unwrap(), [Done::Created], "{group}");
        assert_eq!(first.applies(&[ordered(1)]).unwrap(), [Done::Unchanged], "{group}");
        assert_eq!(first.applies(&[ordered(2)]).unwrap(), [Done::Configured], "{group}");
        // Another one adds what the first has not.
        let rules = json!({"ingress": [{"action": "Allow"}]});
        assert_eq!(second.applies(&[apply("merged", json!({}), rules)]).unwrap(), [Done::Configured], "{group}");
        let spec = &get(store, "merged")["spec"];
        assert_eq!(
            (&spec["order"], &spec["ingress"][0]["action"], &spec["types"]),
            (&json!(2), &json!("Allow"), &json!(["Ingress"]))
        );
        // And does not manage what only defaults would have filled.
        let lines = managers(group, "merged");
        let fields = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap();
        assert!(fields("first Apply").contains("f:tier") && !fields("second Apply").contains("f:tier"), "{lines:?}");

        assert_eq!(second.hindered(&ordered(3)), [owned("spec.order", "first")], "{group}");
        let forced = Manager { is_forced: true, ..second };
        let changed = |change: &Change| forced.resources().rehearse(std::slice::from_ref(change)).unwrap()[0].done;
        assert_eq!(changed(&ordered(3)), Done::Configured);
        assert_eq!(get(store, "merged")["spec"]["order"], 2, "a rehearsal writes nothing");
        assert_eq!(forced.applies(&[ordered(3)]).unwrap(), [Done::Configured]);
        assert_eq!(get(store, "merged")["spec"]["order"], 3);
        assert_eq!(changed(&ordered(3)), Done::Unchanged);
        // What a manager alone has and names no more goes.
        assert_eq!(forced.applies(&[apply("merged", json!({}), json!({}))]).unwrap(), [Done::Configured]);
        assert_eq!(get(store, "merged")["spec"].get("order"), None);
        assert_eq!(get(store, "merged")["spec"]["types"], json!(["Ingress"]), "a default that it manages is kept");
    }
}

#[test]
fn labels_belong_to_their_managers_and_folded_ones_to_one_together() {
    for group in GROUPS {
        let store = &*admin(group);
        let (first, second) = (manager(store, "first"), manager(store, "second"));
        let labelled = |labels: Value| apply("labels", labels, json!({"selector": "all()"}));
        assert_eq!(first.applies(&[labelled(json!({"team": "a"}))]).unwrap(), [Done::Created]);
        // Without labels of its own nobody touches those of others.
        second.applies(&[labelled(json!({}))]).unwrap();
        let labels = || get(store, "labels")["metadata"]["labels"].clone();
        let with_tier = |mut labels: Value| {
            labels["projectcalico.org/tier"] = json!("default");
            labels
        };
        assert_eq!(labels(), with_tier(json!({"team": "a"})), "{group}");
        let zone = labelled(json!({"zone": "1"}));
        match group {
            Group::Native => {
                second.applies(&[zone]).unwrap();
                assert_eq!(labels(), with_tier(json!({"team": "a", "zone": "1"})));
                let other = labelled(json!({"team": "b"}));
                assert_eq!(second.hindered(&other), [owned("metadata.labels.team", "first")]);
            }
            Group::Classic => {
                assert_eq!(second.hindered(&zone), [owned(METADATA, "first")]);
                Manager { is_forced: true, ..second }.applies(&[zone]).unwrap();
                assert_eq!(labels(), with_tier(json!({"zone": "1"})), "it has all of them now");
            }
        }
    }
}

#[test]
fn whoever_writes_the_whole_object_is_another_manager() {
    for group in GROUPS {
        let store = &*admin(group);
        let ordered = |order: u32| apply("whole", json!({}), json!({"order": order, "selector": "all()"}));
        Resources::new(store).write(&[ordered(1)]).unwrap();
        assert_eq!(manager(store, "tortie").hindered(&ordered(2)), [owned("spec.order", "tortie-write")], "{group}");
        // The same values are no conflict.
        manager(store, "tortie").applies(&[ordered(1)]).unwrap();
    }
}

#[test]
fn a_revision_is_a_condition_of_a_merge_too() {
    for group in GROUPS {
        let store = &*admin(group);
        let first = manager(store, "first");
        let at = |revision: &str| Change {
            resource_version: Some(revision.to_owned()),
            ..apply("pinned", json!({}), json!({"selector": "all()"}))
        };
        let missing = first.applies(&[at("1")]).unwrap_err();
        assert!(matches!(missing[0], ResourceError::DoesNotExist(_)), "{}", missing[0]);
        first.applies(&[apply("pinned", json!({}), json!({"selector": "has(x)"}))]).unwrap();
        let conflict = first.applies(&[at("1")]).unwrap_err();
        assert!(matches!(conflict[0], ResourceError::Conflict(_)), "{}", conflict[0]);
        let now = get(store, "pinned")["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        assert_eq!(first.applies(&[at(&now)]).unwrap(), [Done::Configured]);
    }
}

/// What is done halfway is taken back with the managers that the fields had.
#[test]
fn a_merge_that_only_fails_when_it_counts_is_undone() {
    for group in GROUPS {
        let store = &*admin(group);
        let namespace = format!("merge-quota-{}", support::word(group));
        support::quota_of_one(group, &namespace);
        let first = manager(store, "first");
        first.applies(&[apply("undone", json!({"team": "a"}), json!({"order": 1, "selector": "all()"}))]).unwrap();
        let (before, lines) = (get(store, "undone"), managers(group, "undone"));
        let set = |name: &str| {
            let key = ResourceKey::namespaced(Kind::NetworkSet, namespace.as_str(), name);
            change(Mode::Apply, &key, json!({}))
        };
        let forced = Manager { store, name: "second", is_forced: true };
        let changes = [
            apply("undone", json!({"team": "b"}), json!({"order": 2, "selector": "all()"})),
            apply("never", json!({}), json!({"selector": "all()"})),
            set("a"),
            set("b"),
        ];
        let error = tortie_api::with_causes(&forced.applies(&changes).unwrap_err()[0]);
        assert!(error.contains("exceeded quota"), "{error}");
        let after = get(store, "undone");
        assert_eq!((&after["spec"], &after["metadata"]["labels"]), (&before["spec"], &before["metadata"]["labels"]));
        assert_eq!(managers(group, "undone"), lines, "{group}");
        let never = Resources::new(store).get(&policy("never")).unwrap_err();
        assert!(matches!(never, ResourceError::DoesNotExist(_)), "{never}");
    }
}

#[test]
fn nodes_are_not_merged() {
    let store = &*admin(Group::Native);
    let node = change(Mode::Apply, &ResourceKey::global(Kind::Node, "n1"), json!({}));
    let error = manager(store, "first").applies(&[node]).unwrap_err()[0].to_string();
    assert!(error.starts_with("operation server-side apply is not supported on Node(n1)"), "{error}");
}
