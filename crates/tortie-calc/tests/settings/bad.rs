//! Empty, `none`, and bad values (E-501, E-502, E-603, E-604, D-12).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tortie_calc::settings::{DenyAction, Failsafe, Kind, Remembered, SETTINGS, Setting};

use crate::{World, defaults, in_force, problems, world};

/// A value that a setting cannot have; any text is a text.
fn bad_value(setting: &Setting) -> Option<&'static str> {
    match setting.kind {
        Kind::Text => None,
        Kind::Patterns => Some("/(/"),
        Kind::Mask => Some("0x1"),
        _ => Some("/?"),
    }
}

#[test]
fn empty_is_unset_and_none_is_the_zero_value_e603() {
    for empty in ["", " "] {
        let resolved = world()
            .environment("LogPrefix", empty)
            .environment("FailsafeInboundHostPorts", empty)
            .file("LogPrefix", "file")
            .spec(json!({"interfacePrefix": "", "healthPort": null}))
            .resolve();
        assert_eq!(in_force(&resolved), ["logPrefix=file of file"]);
        assert_eq!(problems(&resolved), [""; 0]);
    }
    let mut all = world();
    for setting in SETTINGS {
        all = all.environment(setting.name, "NONE");
    }
    let resolved = all.resolve();
    let mut refused: Vec<&str> = SETTINGS.iter().filter(|s| s.refuses_none).map(|s| s.name).collect();
    refused.sort_unstable();
    assert_eq!(resolved.problems.iter().map(|problem| problem.name.as_str()).collect::<Vec<_>>(), refused);
    assert_eq!(resolved.settings.failsafe_inbound, []);
    assert_eq!(resolved.settings.interface_exclude, []);
    assert_eq!(resolved.settings.interface_prefixes, ["cali"]);
    assert_eq!(resolved.settings.log_prefix, "");
    assert!(!resolved.settings.polices_ipv6);
    assert_eq!(resolved.operation.table_refresh, None, "never (E-619)");
    assert_eq!(resolved.operation.log.screen, None, "no logging");
    assert_eq!(resolved.operation.dataplane_watchdog_timeout, Duration::from_secs(20), "at least (E-751)");
}

#[test]
fn a_bad_local_value_gives_the_default_or_stops_the_agent_e604() {
    let fatal = [
        "interfacePrefix",
        "failsafeInboundHostPorts",
        "failsafeOutboundHostPorts",
        "nftablesFilterDenyAction",
        "iptablesFilterDenyAction",
        "nftablesFilterAllowAction",
        "iptablesFilterAllowAction",
        "nftablesMangleAllowAction",
        "iptablesMangleAllowAction",
        "chainInsertMode",
        "defaultEndpointToHostAction",
        "nftablesMarkMask",
        "iptablesMarkMask",
    ];
    for (setting, bad) in SETTINGS.iter().filter_map(|setting| Some((setting, bad_value(setting)?))) {
        for (place, world) in
            [("environment", world().environment(setting.name, bad)), ("file", world().file(setting.name, bad))]
        {
            let resolved = world.resolve();
            let [problem] = resolved.problems.as_slice() else { panic!("{}: {:?}", setting.name, resolved.problems) };
            assert_eq!((problem.name.as_str(), problem.source.as_str()), (setting.name, place));
            assert_eq!(problem.is_fatal, fatal.contains(&setting.name), "{}", setting.name);
            assert_eq!((resolved.settings, resolved.operation), defaults(), "{}", setting.name);
        }
    }
    // The default, not the next weaker source.
    let world = world().environment("MaxIpsetSize", "many").file("MaxIpsetSize", "8").spec(json!({"maxIpsetSize": 9}));
    let resolved = world.resolve();
    assert_eq!(resolved.settings.set_size_max, 1_048_576);
    assert_eq!(problems(&resolved).len(), 1);
    assert_eq!(resolved.remembered.get("maxIpsetSize").map(String::as_str), Some("9"), "what the store says is known");
}

#[test]
fn a_bad_local_value_that_is_overridden_is_told_and_stops_nothing_e604() {
    let resolved = world().environment("InterfacePrefix", "tap").file("InterfacePrefix", "/?").resolve();
    assert_eq!(resolved.settings.interface_prefixes, ["tap"]);
    assert_eq!(resolved.problems.len(), 1);
    assert!(!resolved.problems[0].is_fatal);
}

#[test]
fn a_bad_stored_value_gives_the_default_when_none_was_valid_before_d12() {
    for (setting, bad) in SETTINGS.iter().filter_map(|setting| Some((setting, bad_value(setting)?))) {
        let resolved = world().in_store(setting, &json!(bad)).resolve();
        assert_eq!(problems(&resolved).len(), 1, "{}", setting.name);
        assert!(!resolved.problems[0].is_fatal, "{}: the store stops nobody", setting.name);
        assert_eq!((resolved.settings, resolved.operation), defaults(), "{}", setting.name);
        assert_eq!(resolved.remembered, Remembered::new());
    }
}

#[test]
fn a_bad_stored_value_leaves_the_last_valid_one_d12() {
    let mut remembered = Remembered::new();
    let mut step = |spec: Value, expected: DenyAction, source: &str, is_bad: bool| {
        let resolved = World { remembered: remembered.clone(), ..world().spec(spec.clone()) }.resolve();
        assert_eq!(resolved.settings.deny_action, expected, "{spec}");
        assert_eq!(resolved.in_force.first().map(|s| s.source.to_string()).unwrap_or_default(), source, "{spec}");
        assert_eq!(resolved.problems.len(), usize::from(is_bad), "{spec}");
        remembered = resolved.remembered;
    };
    let last = "last valid value of the store";
    step(json!({}), DenyAction::Drop, "", false);
    step(json!({"nftablesFilterDenyAction": "Reject"}), DenyAction::Reject, "FelixConfiguration(default)", false);
    step(json!({"nftablesFilterDenyAction": "Rejekt"}), DenyAction::Reject, last, true);
    step(json!({"nftablesFilterDenyAction": 7}), DenyAction::Reject, last, true);
    step(json!({"nftablesFilterDenyAction": "Drop"}), DenyAction::Drop, "", false);
    step(json!({"nftablesFilterDenyAction": "x"}), DenyAction::Drop, "", true);
    step(json!({"nftablesFilterDenyAction": "Reject"}), DenyAction::Reject, "FelixConfiguration(default)", false);
    // Taken away on purpose: nothing is remembered of it.
    step(json!({}), DenyAction::Drop, "", false);
    step(json!({"nftablesFilterDenyAction": "x"}), DenyAction::Drop, "", true);
}

#[test]
fn memory_is_of_the_store_alone_and_is_doubted_d12() {
    let mut world = world().environment("LogPrefix", "env").spec(json!({"healthPort": 70000, "interfaceExclude": "e"}));
    world.remembered.insert("healthPort".to_owned(), "nonsense".to_owned());
    let resolved = world.resolve();
    assert_eq!(resolved.operation.health.port, 9099, "what was saved is no port");
    let expected: Remembered = [("interfaceExclude".to_owned(), "e".to_owned())].into();
    assert_eq!(resolved.remembered, expected);
}

#[test]
fn every_kind_of_value_can_be_remembered_d12() {
    let spec = json!({
        "interfaceExclude": "/^veth/,eth9", "healthTimeoutOverrides": [{"name": "a b", "timeout": "1m30s"}],
        "logActionRateLimit": "3/hour", "nftablesMarkMask": 65280, "reportingTTL": "1500ms", "ipv6Support": false,
        "logPrefix": "%t: ", "healthHost": "::1", "prometheusMetricsPort": 1, "interfacePrefix": "cali,tap",
        "xdpRefreshInterval": "0s", "logSeveritySys": "Error",
    });
    let good = world().spec(spec.clone()).resolve();
    assert_eq!(problems(&good), [""; 0]);
    let broken: BTreeMap<&String, Value> = spec.as_object().unwrap().keys().map(|name| (name, json!([7]))).collect();
    let bad = World { remembered: good.remembered.clone(), ..world().spec(json!(broken)) }.resolve();
    assert_eq!((bad.settings, bad.operation), (good.settings, good.operation));
    assert_eq!(bad.remembered, good.remembered);
    assert_eq!(bad.problems.len(), broken.len());
}

fn ports(list: &[Failsafe]) -> Vec<u16> {
    list.iter().map(|failsafe| failsafe.port).collect()
}

#[test]
fn stored_failsafe_lists_replace_the_built_in_ones_and_never_vanish_by_mistake_e502() {
    let check = |value: Value, expected: &[u16], problems: usize| {
        let resolved = world().spec(json!({"failsafeInboundHostPorts": value.clone()})).resolve();
        assert_eq!(ports(&resolved.settings.failsafe_inbound), expected, "{value}");
        assert_eq!(resolved.problems.len(), problems, "{value}: {:?}", resolved.problems);
        assert!(resolved.problems.iter().all(|problem| !problem.is_fatal));
        assert_eq!(resolved.settings.failsafe_outbound, Failsafe::default_outbound());
    };
    check(json!([]), &[], 0);
    check(json!([{"protocol": "tcp", "port": 2222}]), &[2222], 0);
    check(json!([{"protocol": "SCTP", "port": 7, "net": "10.0.0.0/8"}]), &[7], 0);
    let built_in = [22, 179, 2222, 2379, 2380, 5473, 6443, 6666, 6667, 68];
    check(json!([{"port": 2222}, {"protocol": "icmp", "port": 1}]), &built_in, 1);
    check(json!([{"port": 2222, "net": "10.0.0.0/33"}, {"port": 2222}]), &built_in, 1);
    check(json!("2222"), &ports(&Failsafe::default_inbound()), 1);
}

#[test]
fn a_bad_failsafe_list_of_environment_or_file_stops_the_agent_e502() {
    let check = |text: &str, expected: Option<&[u16]>| {
        for world in
            [world().environment("FailsafeOutboundHostPorts", text), world().file("failsafeoutboundhostports", text)]
        {
            let resolved = world.resolve();
            assert_eq!(resolved.problems.iter().any(|problem| problem.is_fatal), expected.is_none(), "{text}");
            if let Some(expected) = expected {
                assert_eq!(ports(&resolved.settings.failsafe_outbound), expected, "{text}");
            }
        }
    };
    check("none", Some(&[]));
    check("udp:53, 22", Some(&[22, 53]));
    check("tcp:[2001:db8::/32]:22", Some(&[22]));
    check("udp:53,icmp:1", None);
    check("udp:53,tcp:10.0.0.0/33:1", None);
    check(",", None);
}
