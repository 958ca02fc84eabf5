//! What is told beside bad values (E-510, E-603, E-613, E-618, E-624, E-631..E-634).

use serde_json::json;
use tortie_calc::settings::SETTINGS;

use crate::{in_force, problems, world};

#[test]
fn names_that_nobody_knows_are_told_e603() {
    let resolved = world()
        .environment("FailsafeInboundHostPort", "22")
        .file("NoSuchThing", "1")
        .environment("FelixHostname", "n1")
        .environment("TyphaAddr", "x")
        .stored(
            "default",
            json!({"tortie.dev/onTightn": "Keep", "tortie.dev/logprefix": "a", "tortie.dev/confirm": "{}", "example.org/x": "y"}),
            json!({"logPrefixx": "a"}),
        )
        .resolve();
    let lines = problems(&resolved);
    assert_eq!(lines.len(), 5, "{lines:?}");
    for part in [
        "write it as `spec.logPrefix`",
        "did you mean `failsafeinboundhostports`",
        "nosuchthing",
        "did you mean `onTighten`",
        "`logPrefix`?",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:?}");
    }
    assert!(resolved.problems.iter().all(|problem| !problem.is_fatal));
}

#[test]
fn closing_all_failsafe_ports_is_told_e510() {
    let empty = json!({"failsafeInboundHostPorts": []});
    for world in [world().spec(empty), world().file("FailsafeOutboundHostPorts", "none")] {
        let notes = world.resolve().notes;
        assert!(notes.len() == 1 && notes[0].message.contains("E-510"), "{notes:?}");
    }
}

#[test]
fn values_without_effect_are_told_once_e613_e624_e629_e631_e634() {
    let resolved = world()
        .environment("IpInIpMtu", "1400")
        .spec(json!({
            "chainInsertMode": "Append", "bpfEnabled": true, "nftablesMode": "Disabled", "iptablesBackend": "NFT",
            "xdpEnabled": true, "genericXDPEnabled": true, "xdpRefreshInterval": "10s", "logSeveritySys": "Debug",
            "ipForwarding": "Enabled", "vxlanEnabled": true, "wireguardMTU": 1, "ipv6Support": false,
            // Filled in by every tool.
            "floatingIPs": "Disabled", "bpfConnectTimeLoadBalancing": "TCP", "bpfLogLevel": "",
            "bpfHostNetworkedNATWithoutCTLB": "Enabled", "nftablesFlowTableOffload": "Disabled",
        }))
        .resolve();
    assert_eq!(problems(&resolved), [""; 0]);
    let notes: Vec<String> = resolved.notes.iter().map(|note| format!("{}: {}", note.source, note.message)).collect();
    let stored = "FelixConfiguration(default)";
    assert_eq!(
        notes,
        [
            "environment: not applicable to host protection: IpInIpMtu".to_owned(),
            format!("{stored}: not applicable to host protection: vxlanEnabled, wireguardMTU"),
            format!("{stored}: chainInsertMode: Append has no effect: the rules stand in a table of their own"),
            format!("{stored}: bpfEnabled: true has no effect: the data plane in use is nftables"),
            format!("{stored}: nftablesMode: Disabled has no effect: the data plane in use is nftables"),
            format!("{stored}: iptablesBackend: NFT has no effect: the data plane in use is nftables, not iptables"),
            format!("{stored}: logSeveritySys: Debug has no effect: the log goes to standard error and `logFilePath`"),
            format!("{stored}: ipForwarding: Enabled has no effect: forwarding of the host is left as it is"),
            format!("{stored}: ipv6Support: IPv6 is not policed, every IPv6 packet passes (E-618)"),
        ]
    );
    let in_force = in_force(&resolved);
    assert!(in_force.contains(&format!("ipv6Support=false of {stored}")), "{in_force:?}");
    assert!(in_force.iter().all(|line| !line.starts_with("chainInsertMode")), "{in_force:?}");
    let quiet = world()
        .spec(json!({"nftablesMode": "Auto", "iptablesBackend": "Auto", "bpfEnabled": false, "xdpEnabled": false}));
    assert_eq!(quiet.resolve().notes, []);
}

/// The user's page names each setting, its default, and whether a bad local value stops the agent.
#[test]
fn the_page_of_settings_is_complete() {
    let page = include_str!("../../../../docs/settings.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name, *cells.get(3)?, *cells.get(5)?))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(
        rows.iter().map(|row| row.0).collect::<Vec<_>>(),
        SETTINGS.iter().map(|setting| setting.name).collect::<Vec<_>>()
    );
    for (setting, (name, default, bad)) in SETTINGS.iter().zip(rows) {
        assert_eq!(bad, if setting.is_fatal { "stops" } else { "default" }, "{name}");
        if let Some(default) = default.strip_prefix('`') {
            assert_eq!(default.strip_suffix('`'), Some(setting.default), "{name}");
        } else {
            assert!(setting.default.is_empty() || name.starts_with("failsafe"), "{name}: {default}");
        }
    }
}
