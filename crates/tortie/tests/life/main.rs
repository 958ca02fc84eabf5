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

/// A real kernel follows 16 jumps. Policies that need more are refused; everything else is enforced, and all of it is told.
#[test]
fn what_a_real_kernel_refuses_affects_itself_only_e711() {
    on_a_host(|host| {
        host.sh("ip link add eth0 type veth peer name peer0; ip link set eth0 up");
        host.store(&host::endpoint("h", "interfaceName: eth0"));
        let name = |n: usize| format!("t{n:02}.p");
        let tier = |n: usize| {
            let spec = format!(
                "{{tier: t{n:02}, selector: \"role == 'web'\", \
                 ingress: [{{action: Pass, protocol: UDP, destination: {{ports: [{}]}}}}]}}",
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
        assert!(table.contains("sctp"), "a later change does not wait behind what is refused: {table}");
        let refused: Vec<&str> =
            status["kernel"]["refused"].as_array().unwrap().iter().filter_map(|one| one["object"].as_str()).collect();
        for n in 0..40 {
            let is_enforced = table.contains(&format!("policy GlobalNetworkPolicy {} ingress[0]", name(n)));
            let is_told = refused.contains(&format!("GlobalNetworkPolicy({})", name(n)).as_str());
            assert!(is_enforced != is_told, "{}: enforced {is_enforced}, told {is_told}", name(n));
        }
        assert!(refused.len() < 30, "{refused:?}");
    });
}
