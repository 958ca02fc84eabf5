//! Kinds that are read only when something needs them (datastore.md section 4).

use serde_json::json;
use tortie_testkit::apiserver::User;

use crate::gate::{Closed, Gate};
use crate::kubernetes::{Cluster, POD, TEAM};
use crate::support::{Host, in_namespace, until};
use crate::{enforced, objects, rules, wait_saved, wait_state};

const PODS: &str = "/api/v1/pods";
const NETWORK_SETS: &str = "/apis/projectcalico.org/v3/networksets";
/// What no agent reads without need.
const LAZY: [&str; 4] = [PODS, NETWORK_SETS, "/api/v1/namespaces", "/api/v1/serviceaccounts"];
/// The pod's address, which [`TEAM`] lets in.
const ADDRESS: &str = "10.65.0.9";

/// A set of the pod's namespace, which [`TEAM`] lets in too.
const SET: &str = "apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: more, namespace: shop, labels: {app: client}}
spec: {nets: [198.51.100.0/24]}
";

/// A cluster with the pod, and an agent's host behind a gate; what is stored needs no pods.
struct Rig {
    cluster: Cluster,
    gate: Gate,
    agent: Host,
}

impl Rig {
    fn new(host: &Host) -> Rig {
        let cluster = Cluster::new(host);
        let gate = Gate::new(&cluster.server, host);
        let kubeconfig = gate.kubeconfig().display().to_string();
        let agent = host.on(&[("TORTIE_STORE", "kubernetes"), ("KUBECONFIG", &kubeconfig)]);
        let rig = Rig { cluster, gate, agent };
        rig.apply(&format!("{}---\n{POD}", objects(8001)));
        let running = json!({"status": {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}});
        let patch = ["patch", "pod", "client", "-n", "shop", "--subresource", "status", "-p", &running.to_string()];
        rig.cluster.kubectl(&patch, "");
        rig
    }

    fn apply(&self, objects: &str) {
        self.cluster.kubectl(&["apply", "-f", "-"], objects);
    }

    fn apply_and_wait(&self, objects: &str) {
        let (code, _, err) = self.cluster.admin.tortie(&["apply", "-f", "-", "--wait=60s"], objects);
        assert!(code == 0 && err.contains("enforced on 1 of 1 hosts"), "{code} {err}");
    }

    fn until_table(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        until(what, || is_there(&self.agent.table()).then_some(()));
    }
}

#[test]
fn what_no_rule_can_need_is_not_read_and_needs_no_right() {
    in_namespace(|host| {
        let rig = Rig::new(host);
        let process = rig.agent.agent(&[]);
        rig.agent.settle();
        assert!(rules(&rig.agent).contains("8001") && rig.gate.was_asked("/apis/projectcalico.org/v3/hostendpoints"));
        // Nobody is waited for who does not need it.
        rig.apply_and_wait(SET);
        let asked: Vec<&str> = LAZY.into_iter().filter(|path| rig.gate.was_asked(path)).collect();
        assert!(asked.is_empty(), "{asked:?}");
        drop(process);

        // One that has no right to read them, whose warnings would tell.
        let server = &rig.cluster.server;
        let read = |groups: &[&str], resources: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": ["get", "list", "watch"]});
        let kinds = [
            "hostendpoints",
            "globalnetworkpolicies",
            "stagedglobalnetworkpolicies",
            "globalnetworksets",
            "tiers",
            "clusterinformations",
            "felixconfigurations",
        ];
        server.grant(User::Nobody, "lean", &json!([read(&["projectcalico.org"], &kinds), read(&[""], &["nodes"])]));
        let kubeconfig = server.kubeconfig(User::Nobody).display().to_string();
        let lean = host.on(&[("TORTIE_STORE", "kubernetes"), ("KUBECONFIG", &kubeconfig)]);
        let (_process, lean_rules) = enforced(&lean);
        assert!(lean_rules.contains("8001"));
        assert_eq!(lean.state()["store"]["message"], json!(null));
    });
}

#[test]
fn what_a_rule_needs_is_read_when_it_comes_and_enforced_with_all_of_it() {
    in_namespace(|host| {
        let rig = Rig::new(host);
        let _process = rig.agent.agent(&[]);
        rig.agent.settle();
        rig.apply(TEAM);
        // Whoever waits for the policy gets it with the pods.
        rig.agent.settle();
        assert!(rig.agent.table().contains(ADDRESS));
        let unasked: Vec<&str> = LAZY.into_iter().filter(|path| !rig.gate.was_asked(path)).collect();
        assert!(unasked.is_empty(), "{unasked:?}");
        // And it is followed from then on.
        rig.cluster.kubectl(&["label", "namespace", "shop", "--overwrite", "team=b"], "");
        rig.until_table("a namespace of another team", |table| !table.contains(ADDRESS));

        // Sets too, and whoever applies one waits for the agent that reads them.
        rig.cluster.kubectl(&["label", "namespace", "shop", "--overwrite", "team=a"], "");
        rig.until_table("the team again", |table| table.contains(ADDRESS));
        rig.apply_and_wait(SET);
        assert!(rig.agent.table().contains("198.51.100.0/24"));
    });
}

#[test]
fn what_is_enforced_stays_while_what_changes_need_is_not_there() {
    in_namespace(|host| {
        let rig = Rig::new(host);
        let agent = &rig.agent;
        let (_process, before) = enforced(agent);
        rig.gate.close(Closed::Silent, PODS);
        rig.apply(TEAM);
        rig.gate.wait_held();
        let message = || agent.state()["store"]["message"].as_str().unwrap_or_default().to_owned();
        until("it is told what is waited for", || message().contains("workloadendpoints").then_some(()));
        rig.apply(&objects(8002));
        let revision = ["get", "gnp", "web", "-o", "jsonpath={.metadata.resourceVersion}"];
        let revision: u64 = rig.cluster.server.kubectl_ok(&revision, "").parse().unwrap();
        until("the next change", || (agent.state()["store"]["revision"].as_u64() >= Some(revision)).then_some(()));
        assert_eq!(rules(agent), before, "all that changed waits");

        // What is enforced is still looked after.
        agent.sh("nft flush chain inet tortie input");
        until("the repair", || (rules(agent) == before).then_some(()));
        // The way out: without the rule nothing has to be waited for.
        rig.cluster.kubectl(&["delete", "gnp", "team"], "");
        rig.until_table("what changed beside it", |table| table.contains("8002"));
        assert_eq!(message(), "");

        rig.apply(TEAM);
        rig.gate.open();
        rig.until_table("the pod", |table| table.contains(ADDRESS));
        agent.settle();
    });
}

#[test]
fn an_agent_that_starts_programs_nothing_before_it_has_what_it_needs_e708() {
    in_namespace(|host| {
        let rig = Rig::new(host);
        let agent = &rig.agent;
        rig.apply(TEAM);
        let (process, before) = enforced(agent);
        assert!(before.contains(ADDRESS));
        wait_saved(agent, ADDRESS);
        drop(process);

        // What the last run left stays, though all but the pods is known.
        rig.gate.close(Closed::Refusing, PODS);
        rig.apply(&objects(8002));
        let process = agent.agent(&[]);
        wait_state(agent, "lost");
        assert_eq!(rules(agent), before);
        drop(process);
        // After a boot the kernel has nothing, and what was saved stands in.
        agent.sh("nft delete table inet tortie");
        let _process = agent.agent(&[]);
        rig.until_table("the saved state", |table| table.contains(ADDRESS));
        assert_eq!(rules(agent), before);
        rig.gate.open();
        rig.until_table("what is stored now", |table| table.contains("8002") && table.contains(ADDRESS));
        agent.settle();
    });
}
