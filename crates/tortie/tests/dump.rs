//! `tortie dump` on a real kernel, each test in a network namespace that vanishes with its thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};

mod support;

use support::{Host, in_namespace, until};

const RESOURCES: &str = "\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h, labels: {role: web}}
spec: {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: friends, labels: {friend: 'yes'}}
spec: {nets: [10.1.0.0/16, 10.7.7.7/32]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: role == 'web'
  ingress:
  - {action: Deny, source: {nets: [10.66.0.0/16]}}
  - {action: Allow, protocol: TCP, destination: {ports: [8055]}}
  - {action: Allow, protocol: TCP, source: {selector: \"friend == 'yes'\"}, destination: {ports: ['9000:9099']}}
";

/// An agent enforced [`RESOURCES`] and has gone.
fn enforced(host: &Host) {
    let agent = host.agent(&[]);
    host.settle();
    host.apply(RESOURCES);
    host.settle();
    let (code, out, err) = host.tortie(&["dump", "--verify"], "");
    assert_eq!(code, 0, "while it runs: {out}{err}");
    // Killed: what is in force is on the disk, because it was asked for.
    drop(agent);
}

/// The handle of the rule of our table whose line holds `text`, and its chain.
fn rule(host: &Host, text: &str) -> (String, String) {
    let table = host.sh("nft --handle list table inet tortie");
    let mut chain = String::new();
    for line in table.lines() {
        if let Some(name) = line.trim().strip_prefix("chain ") {
            chain = name.split_whitespace().next().unwrap().to_owned();
        }
        if line.contains(text) {
            return (chain, line.rsplit("handle ").next().unwrap().to_owned());
        }
    }
    panic!("no rule with `{text}` in {table}");
}

fn verify(host: &Host) -> (i32, String) {
    let (code, out, err) = host.tortie(&["dump", "--verify"], "");
    assert_eq!(err, "");
    (code, out)
}

#[test]
fn a_kernel_that_nobody_touched_is_proved_k13() {
    in_namespace(|host| {
        enforced(host);
        let (code, out) = verify(host);
        assert_eq!(code, 0, "{out}");
        assert!(out.lines().count() == 8 && out.contains("S3      input"), "a line for each base chain: {out}");
        assert!(out.contains("the kernel does what policy says, for every packet (saved state of "), "{out}");
        let (code, out, _) = host.tortie(&["--quiet", "dump", "--verify"], "");
        assert!(code == 0 && out.lines().count() == 1, "{out}");
        let (code, out, _) = host.tortie(&["dump", "--verify", "--nodes", "40"], "");
        assert!(code == 0 && out.contains("its diagrams are over the budget of 40 nodes"), "{out}");
        assert!(out.contains("not every packet was looked at"), "{out}");
        let (code, out, _) = host.tortie(&["dump"], "");
        assert_eq!(code, 0);
        for words in [
            "table inet tortie {",
            "type filter hook input priority 0; policy accept;",
            "ip saddr 10.66.0.0/16 counter drop comment \"policy GlobalNetworkPolicy web ingress[0]\"",
            "th dport 9000-9099",
            "10.1.0.0-10.1.255.255",
            "\"eth0\" : goto in/h",
        ] {
            assert!(out.contains(words), "{words} is missing in {out}");
        }
    });
}

/// What a foreign edit of an enforced host is found to be.
fn found(edit: impl Fn(&Host) -> String + Send + 'static, expected: &'static [&'static str]) {
    in_namespace(move |host| {
        enforced(host);
        let again = edit;
        let edit = again(host);
        host.sh(&edit);
        let (code, out) = verify(host);
        assert_eq!(code, 9, "{edit}: {out}");
        for words in expected {
            assert!(out.contains(words), "{edit}: `{words}` is missing in {out}");
        }
        // The agent comes back and repairs it; once more, it does so at once (E-721).
        let _agent = host.agent(&[]);
        host.settle();
        let (code, out) = verify(host);
        assert_eq!(code, 0, "{edit}: {out}");
        let edit = again(host);
        host.sh(&edit);
        until("the agent repairs it", || (verify(host).0 == 0).then_some(()));
    });
}

#[test]
fn a_rule_that_is_gone_is_found_by_a_packet_that_it_dropped_k13() {
    let edit = |host: &Host| {
        let (chain, handle) = rule(host, "GlobalNetworkPolicy web ingress[0]");
        format!("nft delete rule inet tortie {chain} handle {handle}")
    };
    found(
        edit,
        &[
            "chain `input` (S3) does not do what policy says",
            "packet:  TCP 10.66.0.0:40000 -> 198.51.100.1:8055, arriving on eth0 for this host, state New",
            "policy:  drop by `policy GlobalNetworkPolicy web ingress[0]`",
            "ruleset: accept by `policy GlobalNetworkPolicy web ingress[1]`",
        ],
    );
}

#[test]
fn a_rule_that_somebody_wrote_is_found_by_a_packet_that_it_drops_k13() {
    found(
        |_| "nft insert rule inet tortie input iifname eth0 tcp dport 8055 drop".to_owned(),
        &[
            "TCP 192.0.2.1:40000 -> 198.51.100.1:8055, arriving on eth0 for this host",
            "policy:  accept by `policy GlobalNetworkPolicy web ingress[1]`",
            "ruleset: drop by `not ours: a rule without comment`",
        ],
    );
}

#[test]
fn a_member_that_is_gone_is_found_by_a_packet_from_it_k13() {
    let edit = |host: &Host| {
        let table = host.sh("nft list table inet tortie");
        let set = table.lines().find_map(|line| line.trim().strip_prefix("set s4/")).unwrap();
        let set = set.split_whitespace().next().unwrap();
        format!("nft delete element inet tortie s4/{set} '{{ 10.7.7.7 }}'")
    };
    found(
        edit,
        &[
            "packet:  TCP 10.7.7.7:40000 -> 198.51.100.1:9000,",
            "policy:  accept by `policy GlobalNetworkPolicy web ingress[2]`",
            "ruleset: drop by `end of tier default ingress`",
        ],
    );
}

#[test]
fn a_rule_that_cannot_be_read_is_a_difference_k13() {
    found(
        |_| "nft insert rule inet tortie input meta length 100 accept".to_owned(),
        &["the kernel does not do what policy says", "a rule on the way of packets to `input` is not ours: "],
    );
}

#[test]
fn an_element_for_everything_is_a_difference_and_is_repaired_k13() {
    found(
        |_| "nft add element inet tortie in-any '{ * : drop }'".to_owned(),
        &["the kernel does not do what policy says", "`in-any`"],
    );
}

#[test]
fn a_chain_that_drops_by_its_policy_is_a_difference_and_is_repaired_e401() {
    found(
        |_| "nft add chain inet tortie input '{ type filter hook input priority 0; policy drop; }'".to_owned(),
        &["the kernel does not do what policy says", "`input`"],
    );
}

#[test]
fn a_table_that_sleeps_is_a_difference_and_is_repaired_e721() {
    found(
        |_| "nft add table inet tortie '{ flags dormant; }'".to_owned(),
        &["the kernel does not do what policy says", "`forward`"],
    );
}

#[test]
fn an_agent_at_work_is_no_difference_d14() {
    in_namespace(|host| {
        enforced(host);
        let _agent = host.agent(&[]);
        host.settle();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Endpoints by address come and go with the address, and the policy changes.
            let work = scope.spawn(|| {
                let mut rounds = 0;
                while !is_done.load(Ordering::Relaxed) {
                    host.apply(&RESOURCES.replace("8055", &(8_000 + rounds % 50).to_string()));
                    host.apply(&RESOURCES.replace("interfaceName: eth0, ", ""));
                    host.sh("ip addr add 192.0.2.1/24 dev eth0; ip addr del 192.0.2.1/24 dev eth0");
                    rounds += 1;
                }
                rounds
            });
            let results: Vec<_> = (0..15).map(|_| host.tortie(&["dump", "--verify"], "")).collect();
            is_done.store(true, Ordering::Relaxed);
            assert!(work.join().unwrap() > 0);
            for (code, out, err) in results {
                assert_eq!(code, 0, "{out}{err}");
            }
        });
    });
}

/// `nft` takes what `dump` prints, rule for rule; it may choose other expressions for them than we do.
#[test]
fn a_dump_is_in_the_words_of_nft() {
    in_namespace(|host| {
        enforced(host);
        let (_, dump, _) = host.tortie(&["dump"], "");
        let file = host.folder.path().join("dump.nft");
        std::fs::write(&file, &dump).unwrap();
        let count = |table: &str| {
            ["comment \"", "goto ", "accept", "drop", "vmap", "elements"].map(|word| table.matches(word).count())
        };
        let before = count(&host.table());
        host.sh(&format!("nft delete table inet tortie; nft -f {}", file.display()));
        assert_eq!(count(&host.table()), before, "{dump}");
    });
}

#[test]
fn sets_for_flows_that_were_cut_are_no_difference_e731() {
    in_namespace(|host| {
        enforced(host);
        let _agent = host.agent(&[]);
        host.apply(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n\
             metadata: {name: default, annotations: {tortie.dev/onTighten: Recheck}}\nspec: {}\n",
        );
        host.settle();
        assert!(host.table().contains("set cut4"), "{}", host.table());
        host.sh("nft add element inet tortie cut4 '{ 192.0.2.9 . 192.0.2.1 . tcp . 40000 . 8055 }'");
        let (code, out) = verify(host);
        assert_eq!(code, 0, "{out}");
    });
}

#[test]
fn what_cannot_be_compared_says_why() {
    in_namespace(|host| {
        let (code, _, err) = host.tortie(&["dump"], "");
        assert!(code == 4 && err.contains("there is no table inet tortie"), "{code}: {err}");
        let (code, _, err) = host.tortie(&["dump", "--verify"], "");
        assert!(code == 4 && err.contains("there is no saved state in `"), "{code}: {err}");
        enforced(host);
        host.sh("nft delete table inet tortie");
        let (code, _, err) = host.tortie(&["dump", "--verify"], "");
        assert!(code == 4 && err.contains("there is no table inet tortie"), "{code}: {err}");
        let state = host.folder.path().join("agent.sock.state/state.jsonl");
        std::fs::write(&state, "nonsense").unwrap();
        let (code, _, err) = host.tortie(&["dump", "--verify"], "");
        assert!(code == 1 && err.contains("it is no saved state of an agent"), "{code}: {err}");
    });
}
