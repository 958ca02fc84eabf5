//! What `apply` does on stores across a network: trials, merging, groups, conflicts (cli.md sections 2.4 and 2.9).

use serde_json::json;
use tortie_testkit::apiserver::User;
use tortie_testkit::etcd::{Etcd, Options, PASSWORD, Version};

use crate::kubernetes::Cluster;
use crate::support::{Host, in_namespace, until};
use crate::{objects, rules};

fn policy(name: &str, tier: &str, order: u32) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}, labels: {{app: shop}}}}\n\
         spec: {{tier: {tier}, order: {order}, selector: all(), ingress: [{{action: Allow}}]}}\n---\n"
    )
}

fn tier(name: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {name}, labels: {{app: shop}}}}\n\
         spec: {{order: 100}}\n---\n"
    )
}

fn set(kind: &str, place: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{{place}, labels: {{app: shop}}}}\n\
         spec: {{nets: [10.0.0.0/8]}}\n---\n"
    )
}

fn apply(host: &Host, input: &str, arguments: &[&str]) -> (i32, String, String) {
    host.tortie(&[&["apply", "-f", "-"], arguments].concat(), input)
}

fn names(host: &Host) -> String {
    let (_, out, _) = host.tortie(&["get", "gnp,gns", "-o", "name"], "");
    let name = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
    out.lines().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_trial_on_etcd_asks_for_the_right_to_write_and_makes_no_revision() {
    in_namespace(|host| {
        let etcd = Etcd::start(Options { has_users: true, ..Options::plain(Version::Debian) });
        let as_user = |user: &str| {
            host.on(&[("ETCD_ENDPOINTS", &etcd.address()), ("ETCD_USERNAME", user), ("ETCD_PASSWORD", PASSWORD)])
        };
        let (root, agent) = (as_user("root"), as_user("agent"));
        root.apply(&policy("a", "default", 1));
        let revision = || etcd.control(&["get", "/calico/x", "-w", "json"]);
        let dry = ["--dry-run=server"];
        let before = revision();
        let (code, out, err) = apply(&root, &policy("a", "default", 2), &dry);
        assert_eq!((code, out.as_str()), (0, "GlobalNetworkPolicy(a) configured (server dry run)\n"), "{err}");
        let (code, _, err) = apply(&agent, &policy("a", "default", 2), &dry);
        assert_eq!(code, 8, "{err}");
        let (code, _, err) = agent.tortie(&["delete", "gnp", "a", "--dry-run=server"], "");
        assert_eq!(code, 8, "{err}");
        assert_eq!(revision(), before);
        let (code, _, err) = apply(&root, &policy("a", "default", 2), &["--server-side"]);
        assert!(code == 2 && err.contains("etcd has no server-side apply"), "{code} {err}");
    });
}

#[test]
fn more_than_one_transaction_takes_is_written_in_groups_whose_boundaries_are_told() {
    in_namespace(|host| {
        let etcd = Etcd::start(Options::plain(Version::Recent));
        let host = host.on(&[("ETCD_ENDPOINTS", &etcd.address())]);
        host.apply(&set("GlobalNetworkSet", "name: s0"));
        let sets: String = (0..300).map(|number| set("GlobalNetworkSet", &format!("name: s{number}"))).collect();
        let all = policy("a", "default", 1) + &sets;
        let told = "301 changes are more than one transaction takes: they are written in 3 groups, new ones beginning with \
                    GlobalNetworkSet(s128), GlobalNetworkSet(s255);";
        let (code, out, err) = apply(&host, &all, &["--dry-run=server"]);
        assert!(code == 0 && err.contains(told) && out.lines().count() == 301, "{code} {err}");
        assert_eq!(names(&host), "s0");
        let (code, out, err) = apply(&host, &all, &[]);
        assert!(code == 0 && err.contains(told), "{code} {err}");
        assert_eq!(out, "Successfully applied 301 resource(s) (300 created, 1 unchanged)\n");
        let path = "jsonpath={.items[*].metadata.resourceVersion}";
        let (_, revisions, _) = host.tortie(&["get", "gnp,gns", "-o", path], "");
        let revisions: std::collections::BTreeSet<&str> = revisions.split(' ').collect();
        assert_eq!(revisions.len(), 4, "three groups, and the one before: {revisions:?}");
        let (code, out, err) = apply(&host, &policy("a", "default", 1), &["--prune", "-l", "app=shop", "--yes"]);
        assert!(code == 0 && out.ends_with("(1 unchanged, 300 pruned)\n"), "{code} {out}{err}");
    });
}

#[test]
fn a_conflict_on_etcd_shows_three_sides_until_history_is_compacted() {
    in_namespace(|host| {
        let etcd = Etcd::start(Options::plain(Version::Recent));
        let host = host.on(&[("ETCD_ENDPOINTS", &etcd.address())]);
        host.apply(&policy("a", "default", 1));
        let (_, read, _) = host.tortie(&["get", "gnp", "a", "-o", "yaml"], "");
        host.apply(&policy("a", "default", 7));
        let given = read.replace("order: 1", "order: 4");
        let (code, _, err) = apply(&host, &given, &[]);
        assert!(code == 5 && err.contains("  ! spec.order: 1 -> 7 stored / 4 given\n"), "{code} {err}");
        let (_, now, _) = host.tortie(&["get", "gnp", "a", "-o", "jsonpath={.metadata.resourceVersion}"], "");
        etcd.compact(now.parse().unwrap());
        let (code, _, err) = apply(&host, &given, &[]);
        assert!(code == 5 && err.contains("is not kept any more\n--- stored now\n+++ given\n"), "{code} {err}");
        assert!(err.contains("-  order: 7\n+  order: 4\n"), "{err}");
    });
}

#[test]
fn an_api_server_merges_in_a_managers_name_and_names_who_stands_against_it() {
    in_namespace(|host| {
        let cluster = Cluster::new(host);
        let apply = |order: u32, arguments: &[&str]| {
            let (code, out, err) = self::apply(&cluster.admin, &policy("a", "default", order), arguments);
            (code, format!("{out}{err}"))
        };
        let merge = ["--server-side"];
        let order = || cluster.admin.tortie(&["get", "gnp", "a", "-o", "jsonpath={.spec.order}"], "").1;
        let dry = ["--server-side", "--dry-run=server"];
        assert_eq!(apply(1, &dry), (0, "GlobalNetworkPolicy(a) created (server dry run)\n".to_owned()));
        assert_eq!(names(&cluster.admin), "");
        let (code, said) = apply(1, &merge);
        assert!(code == 0 && said.contains("(1 created)"), "{code} {said}");
        // kubectl knows it by its name, and takes a field over.
        let patch = ["apply", "--server-side", "--force-conflicts", "--field-manager", "ops", "-f", "-"];
        cluster.kubectl(&patch, &policy("a", "default", 5));
        for arguments in [&merge[..], &dry] {
            let (code, said) = apply(2, arguments);
            assert_eq!(code, 5, "{said}");
            assert!(said.contains("conflict with other field managers: GlobalNetworkPolicy(a)\n"), "{said}");
            assert!(said.contains("  spec.order: managed by `ops` (stored 5, given 2)\n"), "{said}");
            assert!(said.contains("help: `--force-conflicts` takes these fields over"), "{said}");
        }
        assert_eq!(order(), "5");
        let (code, said) = apply(2, &["--server-side", "--force-conflicts", "--field-manager", "me"]);
        assert!(code == 0 && said.contains("(1 configured)"), "{code} {said}");
        assert_eq!(order(), "2");
        let managers =
            ["get", "gnp", "a", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}"];
        let managers = cluster.server.kubectl_ok(&managers, "");
        assert!(
            ["tortie", "ops", "me"].iter().all(|name| managers.split(' ').any(|found| found == *name)),
            "{managers}"
        );
        // A server keeps nothing older.
        let (_, read, _) = cluster.admin.tortie(&["get", "gnp", "a", "-o", "yaml"], "");
        cluster.admin.apply(&policy("a", "default", 7));
        let (code, _, err) = self::apply(&cluster.admin, &read, &[]);
        assert!(
            code == 5 && err.contains("this store keeps no older versions") && err.contains("-  order: 7\n"),
            "{err}"
        );
        let (code, _, err) = self::apply(&cluster.admin, &read, &merge);
        assert!(code == 5 && err.contains("-  order: 7\n") && !err.contains("-  uid"), "{err}");
    });
}

#[test]
fn a_trial_on_an_api_server_has_its_rights_and_admission_and_what_fails_leaves_nothing() {
    in_namespace(|host| {
        let cluster = Cluster::new(host);
        let dry = ["--dry-run=server"];
        let reads = json!([{"apiGroups": ["projectcalico.org"], "resources": ["*"], "verbs": ["get", "list"]}]);
        cluster.server.grant(User::Nobody, "reads", &reads);
        let kubeconfig = cluster.server.kubeconfig(User::Nobody).display().to_string();
        let reader = host.on(&[("TORTIE_STORE", "kubernetes"), ("KUBECONFIG", &kubeconfig)]);
        until("the right is heeded", || (reader.tortie(&["get", "gnp"], "").0 == 0).then_some(()));
        for arguments in [&dry[..], &["--dry-run=server", "--server-side"]] {
            let (code, _, err) = apply(&reader, &policy("a", "default", 1), arguments);
            assert!(code == 8 && err.contains("globalnetworkpolicies.projectcalico.org"), "{code} {err}");
        }
        // A namespace that is not there: nothing of either kind is written, and the server's words are said once.
        let missing = set("NetworkSet", "name: s, namespace: nowhere") + &policy("a", "default", 1);
        for arguments in [&[][..], &dry, &["--server-side"]] {
            let (code, _, err) = apply(&cluster.admin, &missing, arguments);
            assert_eq!(code, 3, "{err}");
            assert_eq!(err.matches("namespaces \"nowhere\" not found").count(), 1, "{err}");
            assert!(err.contains("nothing was written: all 2 objects or none"), "{err}");
            assert_eq!(names(&cluster.admin), "");
        }
    });
}

/// A server tells no revision of what it deletes: hosts have it with the next change of its kind that they see.
#[test]
fn what_is_pruned_on_an_api_server_is_waited_for() {
    in_namespace(|host| {
        let cluster = Cluster::new(host);
        let kept = objects(8001);
        let more = kept.split("---").nth(1).unwrap().replace("name: web", "name: more, labels: {app: old}");
        cluster.admin.apply(&format!("{kept}---{}", more.replace("8001", "8002")));
        let _agent = cluster.agent.agent(&[]);
        cluster.agent.settle();
        assert!(rules(&cluster.agent).contains("8002"));
        let (code, out, err) = apply(&cluster.admin, &kept, &["--prune", "-l", "app=old", "--yes", "--wait=60s"]);
        assert!(code == 0 && out.contains("1 pruned"), "{code} {out}{err}");
        assert!(err.contains("enforced on 1 of 1 hosts"), "{err}");
        let rules = rules(&cluster.agent);
        assert!(rules.contains("8001") && !rules.contains("8002"), "{rules}");
    });
}

/// The server refuses to delete a tier that has policies: those that go with it are not there any more when it counts.
#[test]
fn a_tier_is_pruned_with_its_policies() {
    in_namespace(|host| {
        let cluster = Cluster::new(host);
        let kept = set("GlobalNetworkSet", "name: kept");
        let all = tier("sec") + &policy("sec.a", "sec", 1) + &kept;
        cluster.admin.apply(&all);
        until("admission protects the tier", || {
            let output = cluster.server.kubectl(&["delete", "tier", "sec", "--dry-run=server"], "");
            (!output.status.success()).then_some(())
        });
        let prune = ["--prune", "-l", "app=shop", "--yes"];
        let (code, out, err) = apply(&cluster.admin, &kept, &[&prune[..], &["--dry-run=server"]].concat());
        assert!(code == 0 && out.contains("Tier(sec) pruned (server dry run)\n"), "{code} {out}{err}");
        assert!(err.contains("Tier(sec) is not tried"), "{err}");
        assert_eq!(names(&cluster.admin), "sec.a kept");
        let (code, out, err) = apply(&cluster.admin, &kept, &prune);
        assert_eq!(
            (code, out.as_str()),
            (0, "Successfully applied 1 'GlobalNetworkSet' resource(s) (1 unchanged, 2 pruned)\n"),
            "{err}"
        );
        assert_eq!(names(&cluster.admin), "kept");
    });
}
