//! Writing and reading.

use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Done, Mode};
use tortie_datastore::store::{Commit, Select, Step};

use super::World;

/// What is created has what its store gives, and is read as it was written.
pub fn what_is_created_is_read_with_what_the_store_adds(world: &World) {
    assert_eq!(world.write(world.endpoint(Mode::Create, "a", "n")), Ok(Done::Created));
    let stored = world.get(Kind::HostEndpoint, "a");
    assert_eq!((&stored["kind"], &stored["apiVersion"]), (&json!("HostEndpoint"), &json!("projectcalico.org/v3")));
    for name in ["uid", "creationTimestamp", "resourceVersion"] {
        assert!(stored["metadata"][name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
    assert_eq!(stored["metadata"].get("selfLink"), None);
    assert_eq!(stored["spec"], json!({"node": "n", "interfaceName": "eth0"}));
}

/// Each mistake is its own error.
pub fn create_update_and_delete_have_their_errors(world: &World) {
    let id = format!("HostEndpoint({})", world.name("a"));
    let missing = Err(format!("resource does not exist: {id}"));
    assert_eq!(world.write(world.endpoint(Mode::Replace, "a", "n")), missing);
    assert_eq!(world.write(world.endpoint(Mode::Delete, "a", "n")), missing);
    assert_eq!(world.write(world.endpoint(Mode::Create, "a", "n")), Ok(Done::Created));
    let there = Err(format!("resource already exists: {id}"));
    assert_eq!(world.write(world.endpoint(Mode::Create, "a", "n")), there);
    assert_eq!(world.write(world.endpoint(Mode::Replace, "a", "m")), Ok(Done::Configured));
    assert_eq!(world.write(world.endpoint(Mode::Delete, "a", "n")), Ok(Done::Deleted));
    assert_eq!(world.names(Kind::HostEndpoint), [""; 0]);
}

/// A revision that was given is a condition.
pub fn a_revision_is_a_condition_of_update_and_delete(world: &World) {
    let with = |mode, node: &str, version: &str| Change {
        resource_version: Some(version.to_owned()),
        ..world.endpoint(mode, "a", node)
    };
    let conflict = Err(format!("update conflict: HostEndpoint({})", world.name("a")));
    world.write(world.endpoint(Mode::Create, "a", "n")).unwrap();
    let version =
        |world: &World| world.get(Kind::HostEndpoint, "a")["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let first = version(world);
    assert_eq!(world.write(with(Mode::Replace, "m", &first)), Ok(Done::Configured));
    let second = version(world);
    assert_ne!(first, second);
    for mode in [Mode::Replace, Mode::Apply, Mode::Delete] {
        assert_eq!(world.write(with(mode, "x", &first)), conflict, "{mode:?}");
    }
    assert_eq!(world.write(with(Mode::Replace, "x", "no-number")), conflict);
    let refused = world.write(with(Mode::Create, "x", &second)).unwrap_err();
    assert!(refused.starts_with("error with field Metadata") && refused.contains("field must not be set"), "{refused}");
    assert_eq!(world.get(Kind::HostEndpoint, "a")["spec"]["node"], "m");
    assert_eq!(world.write(with(Mode::Delete, "x", &second)), Ok(Done::Deleted));
}

/// Nothing is written when nothing changes.
pub fn an_object_that_would_not_change_is_not_written(world: &World) {
    let written = world.write_all(&[world.endpoint(Mode::Apply, "a", "n")]).unwrap();
    assert_eq!(written[0].done, Done::Created);
    let before = world.get(Kind::HostEndpoint, "a");
    assert_eq!(written[0].revision, before["metadata"]["resourceVersion"].as_str().unwrap());
    let again = world.write_all(&[world.endpoint(Mode::Apply, "a", "n")]).unwrap();
    assert_eq!((again[0].done, &again[0].revision), (Done::Unchanged, &written[0].revision));
    assert_eq!(world.get(Kind::HostEndpoint, "a"), before);
    assert_eq!(world.write(world.endpoint(Mode::Apply, "a", "m")), Ok(Done::Configured));
}

/// Labels and annotations come from the document as a whole, the rest of the metadata from the store.
pub fn an_update_takes_labels_and_annotations_whole_and_keeps_the_rest(world: &World) {
    let with = |mode, metadata: Value| {
        let mut change = world.endpoint(mode, "a", "n");
        for (name, value) in metadata.as_object().unwrap() {
            change.value["metadata"][name] = value.clone();
        }
        change
    };
    let first = json!({"labels": {"a": "1", "b": "2"}, "annotations": {"x": "y", "example.org/z": "<&>"}});
    world.write(with(Mode::Create, first.clone())).unwrap();
    let before = world.get(Kind::HostEndpoint, "a")["metadata"].clone();
    assert_eq!((&before["labels"], &before["annotations"]), (&first["labels"], &first["annotations"]));
    world.write(with(Mode::Replace, json!({"labels": {"b": "3"}, "uid": "other"}))).unwrap();
    let after = world.get(Kind::HostEndpoint, "a")["metadata"].clone();
    assert_eq!((&after["labels"], after.get("annotations")), (&json!({"b": "3"}), None));
    for name in ["uid", "creationTimestamp", "name"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    world.write(world.endpoint(Mode::Apply, "a", "n")).unwrap();
    assert_eq!(world.get(Kind::HostEndpoint, "a")["metadata"].get("labels"), None);
}

/// What is empty and still a value survives, and so does text that JSON or YAML could change.
pub fn values_are_kept_as_they_are(world: &World) {
    let spec = json!({"nets": ["10.0.0.0/8", "2001:db8::/32"]});
    let mut set = world.change(Mode::Create, Kind::GlobalNetworkSet, "s", spec.clone());
    set.value["metadata"]["labels"] = json!({"empty": "", "number": "010", "yes": "yes"});
    world.write(set).unwrap();
    let stored = world.get(Kind::GlobalNetworkSet, "s");
    assert_eq!(stored["spec"], spec);
    assert_eq!(stored["metadata"]["labels"], json!({"empty": "", "number": "010", "yes": "yes"}));
    let mut policy = world.policy(Mode::Create, "p", "default");
    policy.value["spec"]["selector"] = json!("a == 'x' && b in {'<', '>'} || c == \"é\"");
    policy.value["spec"]["order"] = json!(0);
    world.write(policy.clone()).unwrap();
    let stored = world.get(Kind::GlobalNetworkPolicy, "p");
    assert_eq!(stored["spec"]["selector"], policy.value["spec"]["selector"]);
    assert_eq!(stored["spec"]["order"], json!(0));
    assert_eq!(stored["metadata"].get("annotations"), None, "the annotation of the name is not shown");
    let name = format!("node.{}", world.name("n"));
    let key = ResourceKey::global(Kind::FelixConfiguration, &name);
    let Value::Object(value) = json!({"metadata": {"name": name}, "spec": {"failsafeInboundHostPorts": []}}) else {
        unreachable!()
    };
    world.write(Change { mode: Mode::Create, key: key.clone(), value, resource_version: None }).unwrap();
    let stored = world.resources().get(&key).unwrap().value;
    assert_eq!(stored["spec"]["failsafeInboundHostPorts"], json!([]), "no failsafes at all (section 2.2)");
}

/// Lists are of one kind and one namespace, sorted, and whole.
pub fn lists_hold_one_kind_and_one_namespace(world: &World) {
    let set = |namespace: &str, name: &str| {
        let key = ResourceKey::namespaced(Kind::NetworkSet, namespace, world.name(name));
        let Value::Object(value) =
            json!({"metadata": {"name": key.name, "namespace": namespace}, "spec": {"nets": ["10.0.0.0/8"]}})
        else {
            unreachable!()
        };
        Change { mode: Mode::Create, key, value, resource_version: None }
    };
    let (one, other) = (format!("{}1", world.prefix), format!("{}11", world.prefix));
    world.write_all(&[set(&one, "b"), set(&one, "a"), set(&other, "c")]).unwrap();
    let names = |namespace: Option<&str>| -> Vec<String> {
        let list = world.list(Kind::NetworkSet, namespace).into_iter();
        list.map(|object| object.key.name[world.prefix.len()..].to_owned()).collect()
    };
    assert_eq!(names(Some(&one)), ["a", "b"], "a namespace does not take those that begin like it");
    assert_eq!(names(None), ["a", "b", "c"]);
    world.write(world.set(Mode::Create, "g", &["10.0.0.0/8"])).unwrap();
    assert_eq!(world.names(Kind::GlobalNetworkSet), ["g"]);
    let found = world.store.select(&[
        Select::Object(world.key(Kind::GlobalNetworkSet, "g")),
        Select::Object(world.key(Kind::GlobalNetworkSet, "none")),
        Select::Kind(Kind::NetworkSet, Some(other)),
    ]);
    let counts: Vec<usize> = found.unwrap().iter().map(|list| list.items.len()).collect();
    assert_eq!(counts, [1, 0, 1]);
}

/// More objects than one page, and more than one transaction takes.
pub fn a_list_of_many_pages_is_whole(world: &World) {
    let changes: Vec<Change> =
        (0..1_203).map(|number| world.set(Mode::Create, &format!("s{number:04}"), &["10.0.0.0/8"])).collect();
    let written = world.write_all(&changes).unwrap();
    assert!(written.iter().all(|written| written.done == Done::Created && !written.revision.is_empty()));
    let names = world.names(Kind::GlobalNetworkSet);
    assert_eq!(names.len(), changes.len());
    assert!(names.is_sorted());
}

/// An object of some hundred kilobytes.
pub fn a_large_object_is_kept(world: &World) {
    let nets: Vec<String> = (0..20_000).map(|n| format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255)).collect();
    let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
    world.write(world.set(Mode::Create, "s", &nets)).unwrap();
    assert_eq!(world.get(Kind::GlobalNetworkSet, "s")["spec"]["nets"].as_array().unwrap().len(), nets.len());
}

/// A policy needs its tier, and a tier is needed by its policies (D-9).
pub fn tiers_come_before_their_policies_and_go_after_them_d9(world: &World) {
    world.resources().ensure_initialised().unwrap();
    let tier = world.name("sec");
    for mode in [Mode::Create, Mode::Apply, Mode::Replace] {
        let error = world.write(world.policy(mode, "p", &tier)).unwrap_err();
        assert!(error.starts_with(&format!("resource does not exist: Tier({tier})")), "{mode:?}: {error}");
    }
    let made = world.change(Mode::Create, Kind::Tier, "sec", json!({"order": 5, "defaultAction": "Deny"}));
    let gone = || world.change(Mode::Delete, Kind::Tier, "sec", json!({}));
    let written = world.write_all(&[made, world.policy(Mode::Create, "p", &tier)]).unwrap();
    assert!(!world.store.is_atomic() || written[0].revision == written[1].revision, "both in one revision");
    assert_eq!(world.get(Kind::GlobalNetworkPolicy, "p")["spec"]["tier"], json!(tier));
    assert_eq!(world.get(Kind::GlobalNetworkPolicy, "p")["metadata"]["labels"]["projectcalico.org/tier"], json!(tier));
    let error = world.write(gone()).unwrap_err();
    assert!(error.contains("Cannot delete a non-empty tier"), "{error}");
    world.write_all(&[world.policy(Mode::Delete, "p", &tier), gone()]).unwrap();
    let fixed = ResourceKey::global(Kind::Tier, "kube-admin");
    let delete = Change { mode: Mode::Delete, key: fixed, value: Default::default(), resource_version: None };
    assert!(world.write(delete).unwrap_err().starts_with("operation delete is not supported on Tier(kube-admin)"));
}

/// All or nothing.
pub fn a_batch_with_one_bad_change_writes_nothing(world: &World) {
    world.resources().ensure_initialised().unwrap();
    world.write(world.endpoint(Mode::Create, "old", "n")).unwrap();
    let error = world
        .write_all(&[
            world.endpoint(Mode::Create, "a", "n"),
            world.endpoint(Mode::Replace, "none", "n"),
            world.endpoint(Mode::Delete, "old", "n"),
            world.policy(Mode::Create, "p", "no-such-tier"),
        ])
        .unwrap_err();
    assert!(error.contains("HostEndpoint(") && error.contains("Tier(no-such-tier)"), "all mistakes are told: {error}");
    assert_eq!(world.names(Kind::HostEndpoint), ["old"]);
}

/// A rehearsal has the errors and the results of the real change, and leaves no trace (cli.md section 2.9).
pub fn a_rehearsal_finds_what_a_write_would_and_writes_nothing(world: &World) {
    let rehearse = |changes: &[Change]| {
        let done = world.resources().rehearse(changes);
        done.map(|written| written.iter().map(|written| written.done).collect::<Vec<_>>())
            .map_err(|failures| failures[0].1.to_string())
    };
    world.write(world.endpoint(Mode::Create, "a", "n")).unwrap();
    world.write(world.endpoint(Mode::Create, "b", "n")).unwrap();
    let before = world.get(Kind::HostEndpoint, "a");
    assert_eq!(
        rehearse(&[
            world.endpoint(Mode::Apply, "a", "m"),
            world.endpoint(Mode::Apply, "b", "n"),
            world.endpoint(Mode::Create, "c", "n"),
            world.set(Mode::Apply, "s", &["10.0.0.0/8"]),
        ]),
        Ok(vec![Done::Configured, Done::Unchanged, Done::Created, Done::Created])
    );
    assert_eq!(rehearse(&[world.endpoint(Mode::Delete, "a", "n")]), Ok(vec![Done::Deleted]));
    let id = format!("HostEndpoint({})", world.name("a"));
    assert_eq!(rehearse(&[world.endpoint(Mode::Create, "a", "n")]), Err(format!("resource already exists: {id}")));
    let mut old = world.endpoint(Mode::Replace, "a", "m");
    old.resource_version = Some("1".to_owned());
    assert_eq!(rehearse(&[old]), Err(format!("update conflict: {id}")));
    let error = rehearse(&[world.policy(Mode::Create, "p", "nowhere")]).unwrap_err();
    assert!(error.contains("names it as its tier"), "{error}");
    assert_eq!(world.get(Kind::HostEndpoint, "a"), before);
    assert_eq!(world.names(Kind::HostEndpoint), ["a", "b"]);
    assert_eq!(world.names(Kind::GlobalNetworkSet), [""; 0]);
}

/// What somebody else is faster with is noticed by a rehearsal too.
pub fn a_rehearsal_tells_what_somebody_changed_meanwhile(world: &World) {
    let key = world.endpoint(Mode::Create, "a", "n").key;
    let read = || world.store.select(&[Select::Object(key.clone())]).unwrap().remove(0).items.pop();
    world.write(world.endpoint(Mode::Create, "a", "n")).unwrap();
    let old = read().unwrap();
    world.write(world.endpoint(Mode::Apply, "a", "m")).unwrap();
    let value = world.endpoint(Mode::Apply, "a", "x").value;
    let rehearse = |step: Step| world.store.rehearse(&[step]).unwrap();
    let refused = Commit::Refused { step: 0 };
    assert_eq!(rehearse(Step::Update { before: old.clone(), value: value.clone() }), refused);
    assert_eq!(rehearse(Step::Delete { before: old }), refused);
    assert_eq!(rehearse(Step::Create { key: key.clone(), value: value.clone() }), refused);
    let now = read().unwrap();
    assert!(matches!(rehearse(Step::Update { before: now.clone(), value }), Commit::Done(_)));
    assert!(matches!(rehearse(Step::Delete { before: now.clone() }), Commit::Done(_)));
    assert_eq!(read(), Some(now), "nothing was written");
}

/// What a store always has.
pub fn what_is_always_there_cannot_be_changed(world: &World) {
    let resources = world.resources();
    resources.ensure_initialised().unwrap();
    let change = |mode, kind, name: &str| {
        let Value::Object(value) = json!({"metadata": {"name": name}, "spec": {}}) else { unreachable!() };
        Change { mode, key: ResourceKey::global(kind, name), value, resource_version: None }
    };
    let profile = |mode| change(mode, Kind::Profile, "projectcalico-default-allow");
    assert!(world.write(profile(Mode::Create)).unwrap_err().starts_with("resource already exists"));
    for refused in [
        profile(Mode::Apply),
        profile(Mode::Delete),
        change(Mode::Delete, Kind::Tier, "default"),
        change(Mode::Apply, Kind::ClusterInformation, "default"),
        change(Mode::Delete, Kind::ClusterInformation, "default"),
        change(Mode::Create, Kind::WorkloadEndpoint, "w"),
    ] {
        let error = world.write(refused).unwrap_err();
        assert!(error.starts_with("operation") && error.contains("is not supported on"), "{error}");
    }
    let (profiles, _) = resources.list(Kind::Profile, None).unwrap();
    assert!(profiles.iter().any(|profile| profile.key.name == "projectcalico-default-allow"));
    let (tiers, _) = resources.list(Kind::Tier, None).unwrap();
    for name in ["default", "kube-admin", "kube-baseline"] {
        assert!(tiers.iter().any(|tier| tier.key.name == name), "{name}");
    }
}

/// However many initialise a store at once, it has one identity, which stays.
pub fn a_store_is_initialised_once(world: &World) {
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| tortie_datastore::Resources::new(&*world.store).ensure_initialised()))
            .collect();
        tries.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    });
    let key = ResourceKey::global(Kind::ClusterInformation, "default");
    let first = world.resources().get(&key).unwrap().value;
    assert_eq!(first["spec"]["clusterGUID"].as_str().unwrap().len(), 32);
    assert_eq!(first["spec"]["datastoreReady"], json!(true));
    assert_eq!(first["spec"].get("calicoVersion"), None, "never written (section 2.8)");
    world.resources().ensure_initialised().unwrap();
    assert_eq!(world.resources().get(&key).unwrap().value, first);
}

/// Several writers lose nothing.
pub fn writers_at_once_lose_no_update(world: &World) {
    const WRITERS: usize = 4;
    const UPDATES: usize = 10;
    world.write(world.endpoint(Mode::Create, "a", "n")).unwrap();
    let count = || {
        for _ in 0..UPDATES {
            loop {
                let object = world.get(Kind::HostEndpoint, "a");
                let count: usize = object["metadata"]["annotations"]
                    .get("count")
                    .and_then(Value::as_str)
                    .map_or(0, |t| t.parse().unwrap());
                let mut change = world.endpoint(Mode::Replace, "a", "n");
                change.value["metadata"]["annotations"] = json!({"count": (count + 1).to_string()});
                change.resource_version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                match world.write(change) {
                    Ok(_) => break,
                    Err(error) => assert!(error.starts_with("update conflict"), "{error}"),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        (0..WRITERS).for_each(|_| drop(scope.spawn(count)));
    });
    let found = world.get(Kind::HostEndpoint, "a");
    assert_eq!(found["metadata"]["annotations"]["count"], json!((WRITERS * UPDATES).to_string()));
}

/// What is no object is left out of lists and told by name.
pub fn what_is_no_object_is_told_by_name_and_left_out_of_lists(world: &World) {
    world.write(world.endpoint(Mode::Create, "good", "n")).unwrap();
    (world.spoil)(&world.key(Kind::HostEndpoint, "bad"));
    assert_eq!(world.names(Kind::HostEndpoint), ["good"]);
    let error = world.resources().get(&world.key(Kind::HostEndpoint, "bad")).unwrap_err().to_string();
    assert!(error.starts_with("failed to parse datastore entry key="), "{error}");
    let items = &world.store.select(&[Select::Kind(Kind::HostEndpoint, None)]).unwrap()[0].items;
    assert!(items.iter().any(|item| item.at.name == world.name("bad") && item.value.is_err()));
    // It can be removed.
    assert_eq!(world.write(world.endpoint(Mode::Delete, "bad", "n")), Ok(Done::Deleted));
}
