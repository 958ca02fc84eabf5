//! Which source wins (E-601, E-602), and what the data plane's names and the mode do.

use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_api::model::Resource;
use tortie_api::read_stored;
use tortie_calc::Settings;
use tortie_calc::settings::operation::InvalidObjectPolicy;
use tortie_calc::settings::{AllowAction, DenyAction, HostAction, Operation, Remembered};

use crate::{World, defaults, in_force, problems, secs, world};

#[test]
fn nothing_set_gives_the_defaults_of_both_structs() {
    let resolved = world().resolve();
    assert_eq!((resolved.settings, resolved.operation), defaults());
    assert_eq!((resolved.in_force, resolved.problems, resolved.notes), (vec![], vec![], vec![]));
    assert_eq!(resolved.remembered, Remembered::new());
}

#[test]
fn the_strongest_source_wins_setting_by_setting_e601() {
    let mut world = world()
        .spec(json!({"logPrefix": "default", "maxIpsetSize": 5}))
        .stored("racks", json!({}), json!({"logPrefix": "selected", "nodeSelector": "rack == 'a'"}))
        .stored("node.n1", json!({}), json!({"logPrefix": "node"}))
        .stored("node.n2", json!({}), json!({"logPrefix": "other node", "ipv6Support": false}))
        .file("LogPrefix", "file")
        .environment("logprefix", "environment");
    world.labels.insert("rack".to_owned(), "a".to_owned());
    let check = |world: &World, prefix: &str, source: &str| {
        let resolved = world.resolve();
        assert_eq!(resolved.settings.log_prefix, prefix);
        assert_eq!(in_force(&resolved)[0], format!("logPrefix={prefix} of {source}"));
        assert_eq!(resolved.settings.set_size_max, 5, "field by field");
        assert_eq!(resolved.problems, []);
        assert!(resolved.settings.polices_ipv6, "another node's configuration");
    };
    check(&world, "environment", "environment");
    world.environment.clear();
    check(&world, "file", "file");
    world.file.clear();
    check(&world, "node", "FelixConfiguration(node.n1)");
    world.stored.retain(|c| c.meta.name != "node.n1");
    check(&world, "selected", "FelixConfiguration(racks)");
    world.labels.clear();
    check(&world, "default", "FelixConfiguration(default)");
    world.stored.clear();
    assert_eq!(world.resolve().settings.log_prefix, "calico-packet");
}

#[test]
fn the_oldest_configuration_that_selects_the_node_counts_as_a_whole_e602() {
    let configuration = |world: World, name: &str, created: &str, field: &str| {
        world.created(created, name, json!({}), json!({"nodeSelector": "rack == 'a'", field: "x"}))
    };
    let mut world = configuration(world(), "a", "2026-01-02T00:00:00Z", "logFilePath");
    world = configuration(world, "c", "2026-01-01T00:00:00Z", "interfacePrefix");
    world = configuration(world, "b", "2026-01-01T00:00:00Z", "logPrefix");
    // Without a selector it counts for no node, and that is told.
    world = world.stored("lost", json!({}), json!({"logPrefix": "lost"}));
    world.labels.insert("rack".to_owned(), "a".to_owned());
    let resolved = world.resolve();
    assert_eq!(in_force(&resolved), ["logPrefix=x of FelixConfiguration(b)"]);
    assert_eq!(
        problems(&resolved),
        [
            "nodeSelector of FelixConfiguration(a): ignored: `b` selects this node too and comes first",
            "nodeSelector of FelixConfiguration(c): ignored: `b` selects this node too and comes first",
        ]
    );
    assert_eq!(resolved.notes.len(), 1, "{:?}", resolved.notes);
    assert_eq!(resolved.notes[0].source, "FelixConfiguration(lost)");
    // Labels of the node are asked afresh.
    world.labels.clear();
    assert_eq!(in_force(&world.resolve()), [""; 0]);
}

#[test]
fn a_broken_node_selector_never_counts_e602() {
    let object = |name: &str| json!({"metadata": {"name": name}, "spec": {"nodeSelector": "a ==", "logPrefix": "x"}});
    assert!(read_stored(Kind::FelixConfiguration, &object("racks")).is_err());
    for name in ["default", "node.n1"] {
        let stored = read_stored(Kind::FelixConfiguration, &object(name)).unwrap();
        assert_eq!(stored.warnings.len(), 1, "{name} counts by its name: its other settings stay in force");
        let Resource::FelixConfiguration(configuration) = stored.resource else { panic!("{name}") };
        let world = World { stored: vec![configuration], ..world() };
        assert_eq!(world.resolve().settings.log_prefix, "x", "{name}");
    }
}

#[test]
fn strict_turns_all_deliberate_differences_unless_one_is_set_by_itself_d1() {
    let annotate = |annotations: Value| world().stored("default", annotations, json!({})).resolve();
    let strict = annotate(json!({"tortie.dev/compatibility": "strict"}));
    let settings = Settings {
        is_loopback_exempt: false,
        ignores_http: true,
        allows_ipv6_essentials: false,
        drops_unknown_workloads: true,
        drops_unknown_beside_known_only: true,
        endpoint_to_host_action: Some(HostAction::Drop),
        ..defaults().0
    };
    assert_eq!(strict.settings, settings);
    let operation =
        Operation { pins_datastore: false, invalid_object_policy: InvalidObjectPolicy::Calico, ..Operation::default() };
    assert_eq!(strict.operation, operation);
    assert_eq!(
        in_force(&strict),
        [
            "compatibility=Strict of FelixConfiguration(default)",
            "wildcardLoopback=Police of compatibility: Strict",
            "invalidObjectPolicy=Calico of compatibility: Strict",
            "httpRules=IgnoreHTTP of compatibility: Strict",
            "unknownWorkloads=Drop of compatibility: Strict",
            "ipv6Essentials=Off of compatibility: Strict",
            "datastorePin=Disabled of compatibility: Strict",
        ]
    );
    let apart = annotate(json!({
        "tortie.dev/compatibility": "Strict", "tortie.dev/ipv6Essentials": "Allow",
        "tortie.dev/INVALIDOBJECTPOLICY": "hold", "tortie.dev/unknownWorkloads": "Leave",
    }));
    assert!(apart.settings.allows_ipv6_essentials && !apart.settings.is_loopback_exempt);
    assert_eq!(apart.operation.invalid_object_policy, InvalidObjectPolicy::Hold);
    assert_eq!((apart.settings.drops_unknown_workloads, apart.settings.endpoint_to_host_action), (false, None));
    // Each alone, without Strict; a stronger scope may take the mode back.
    let alone = annotate(json!({"tortie.dev/httpRules": "IgnoreHTTP"}));
    assert_eq!(in_force(&alone), ["httpRules=IgnoreHTTP of FelixConfiguration(default)"]);
    let scopes = world().stored("default", json!({"tortie.dev/compatibility": "Strict"}), json!({})).stored(
        "node.n1",
        json!({"tortie.dev/compatibility": "Safe"}),
        json!({}),
    );
    assert_eq!(in_force(&scopes.resolve()), [""; 0]);
}

#[test]
fn workload_to_host_is_return_only_where_unknown_workloads_are_left_alone_e442() {
    let check = |action: Option<&str>, unknown: Option<&str>, expected: Option<HostAction>| {
        let mut world = world();
        if let Some(action) = action {
            world = world.spec(json!({"defaultEndpointToHostAction": action}));
        }
        if let Some(unknown) = unknown {
            world = world.environment("unknownWorkloads", unknown);
        }
        let settings = world.resolve().settings;
        assert_eq!(settings.endpoint_to_host_action, expected, "{action:?} {unknown:?}");
        assert_eq!(settings.drops_unknown_workloads, unknown == Some("Drop"));
    };
    check(None, None, None);
    check(None, Some("Leave"), None);
    check(None, Some("Drop"), Some(HostAction::Drop));
    check(Some("return"), Some("Drop"), Some(HostAction::Return));
    check(Some("Accept"), None, Some(HostAction::Accept));
    check(Some("DROP"), None, Some(HostAction::Drop));
}

#[test]
fn settings_of_this_data_plane_win_over_those_of_iptables_e610_e611_e612_e617_e619() {
    let iptables = json!({
        "iptablesFilterDenyAction": "Reject", "iptablesFilterAllowAction": "Return",
        "iptablesMangleAllowAction": "Return", "iptablesMarkMask": 255, "iptablesRefreshInterval": "10s",
    });
    let resolved = world().spec(iptables.clone()).resolve();
    let settings = &resolved.settings;
    assert_eq!(
        (settings.deny_action, settings.filter_allow_action, settings.mangle_allow_action, settings.mark_mask),
        (DenyAction::Reject, AllowAction::Return, AllowAction::Return, 255)
    );
    assert_eq!(resolved.operation.table_refresh, secs(10));
    assert_eq!(resolved.in_force.len(), 5);
    let mut both = iptables;
    for (name, value) in [
        ("nftablesFilterDenyAction", json!("Drop")),
        ("nftablesFilterAllowAction", json!("Accept")),
        ("nftablesMangleAllowAction", json!("Accept")),
        ("nftablesMarkMask", json!(65280)),
        ("nftablesRefreshInterval", json!("0s")),
    ] {
        both[name] = value;
    }
    // The weakest scope of the one wins over the strongest of the other.
    let resolved = world().spec(both).environment("IptablesFilterDenyAction", "REJECT").resolve();
    assert_eq!(resolved.settings, Settings { mark_mask: 65280, ..defaults().0 });
    assert_eq!((resolved.operation.table_refresh, resolved.operation.ruleset_refresh()), (None, secs(90)));
    assert_eq!(
        in_force(&resolved),
        [
            "nftablesMarkMask=0xff00 of FelixConfiguration(default)",
            "nftablesRefreshInterval=0s of FelixConfiguration(default)"
        ]
    );
    // A bad one is set all the same: its default holds, not the other's value.
    let spec = json!({"nftablesFilterDenyAction": "x", "iptablesFilterDenyAction": "Reject"});
    assert_eq!(world().spec(spec).resolve().settings.deny_action, DenyAction::Drop);
}
