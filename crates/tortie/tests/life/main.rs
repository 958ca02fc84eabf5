//! The life cycle of the agent with the real binary and the real kernel, each test in network namespaces that vanish with
//! its threads (enforcement.md sections 7.1 and 7.2).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appear;
mod host;
mod kill;
mod links;
mod repair;
mod selfheal;
mod state;
mod stream;

use host::on_a_host;

#[test]
fn foreign_flushes_are_repaired_every_time_e721() {
    on_a_host(|host| {
        let report = selfheal::run(host, 20, 5);
        report.print();
        assert_eq!((report.times.len(), report.lost), (20, 0));
        assert!(report.repairs >= 20, "{}", report.repairs);
    });
}

#[test]
fn killed_at_any_moment_the_host_is_neither_open_nor_locked_out_a6() {
    on_a_host(|host| {
        let report = kill::run(host, 15, 1);
        report.print();
        assert!(report.passed > 0 && report.denied > 0 && report.changes > 0);
        assert_eq!((report.lost, report.leaked), (0, 0));
    });
}

#[test]
fn an_interface_is_protected_before_its_first_packet_e115() {
    on_a_host(|host| {
        let report = appear::run(host, 10);
        report.print();
        assert!(report.times == 10 && report.sent > 0);
        assert_eq!(report.leaked, 0);
    });
}

/// The kernel follows 16 steps from chain to chain: however many tiers there are, none of them costs one.
#[test]
fn forty_tiers_are_enforced_and_changed_c2() {
    on_a_host(|host| {
        host.sh("ip link add eth0 type veth peer name peer0; ip link set eth0 up");
        host.store(&host::endpoint("h", "interfaceName: eth0"));
        let name = |n: usize| format!("t{n:02}.p");
        let tier = |n: usize| {
            let spec = format!(
                "{{tier: t{n:02}, selector: \"role == 'web'\", \
                 ingress: [{{action: Allow, protocol: UDP, destination: {{ports: [{}]}}}}]}}",
                1000 + n
            );
            format!(
                "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: t{n:02}}}\n\
                 spec: {{order: {n}, defaultAction: Pass}}\n---\n{}",
                host::policy(&name(n), &spec)
            )
        };
        host.store(&(0..40).map(tier).collect::<String>());
        let _agent = host.agent();
        host.apply(&host::policy(
            &name(0),
            "{tier: t00, selector: \"role == 'web'\", ingress: [{action: Deny, protocol: SCTP}]}",
        ));
        let (table, status) = (host.table(), host.status());
        assert!(status["kernel"]["error"].is_null(), "{status}");
        assert!(status["kernel"]["refused"].as_array().unwrap().is_empty(), "{status}");
        assert!(table.contains("sctp"), "{table}");
        for n in 0..40 {
            let comment = format!("policy GlobalNetworkPolicy {} ingress[0]", name(n));
            assert!(table.contains(&comment), "{} is not enforced", name(n));
        }
    });
}
