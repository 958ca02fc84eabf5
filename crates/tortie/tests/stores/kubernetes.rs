//! A Kubernetes API server (datastore.md sections 3 and 5, E-703, E-704, E-708). Agents have the rights of
//! `packaging/kubernetes/rbac.yaml` and no others.

use std::path::Path;
use std::time::Instant;

use tortie_testkit::apiserver::{ApiServer, User};

use crate::support::{Host, in_namespace, until};
use crate::{enforced, objects, rules, wait_saved, wait_state};

/// The rights that are shipped.
const RIGHTS: &str = include_str!("../../../../packaging/kubernetes/rbac.yaml");
const LOCK: &str = r#"{"spec":{"datastoreReady":false}}"#;
const UNLOCK: &str = r#"{"spec":{"datastoreReady":true}}"#;

/// A cluster, and the host of an agent. Both are in the namespace of the test, which has no way out.
pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    /// Whoever may do everything.
    pub(crate) admin: Host,
    /// The agent.
    pub(crate) agent: Host,
}

impl Cluster {
    /// A server without anything of ours.
    fn bare(host: &Host) -> Cluster {
        let server = ApiServer::start(&[]);
        let on = |user: User| {
            let kubeconfig = server.kubeconfig(user).display().to_string();
            host.on(&[("TORTIE_STORE", "kubernetes"), ("KUBECONFIG", &kubeconfig)])
        };
        let (admin, agent) = (on(User::Admin), on(User::Agent));
        Cluster { server, admin, agent }
    }

    /// One with definitions, and rights for the agent.
    pub(crate) fn new(host: &Host) -> Cluster {
        let cluster = Cluster::bare(host);
        cluster.init();
        cluster.kubectl(&["apply", "-f", "-"], RIGHTS);
        cluster.grant();
        cluster
    }

    fn init(&self) -> String {
        let (code, out, err) = self.admin.tortie(&["datastore", "init", "--crds"], "");
        assert_eq!(code, 0, "{err}");
        out
    }

    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) {
        self.server.kubectl_ok(arguments, input);
    }

    /// Binds the shipped roles to the user that the agent is here: the manifest binds them to the account of a pod.
    fn grant(&self) {
        self.kubectl(
            &["create", "clusterrolebinding", "agent-user", "--clusterrole", "tortie-agent", "--user", "agent"],
            "",
        );
        let namespace = ["-n", "tortie-system"];
        let binding = ["create", "rolebinding", "agent-user", "--role", "tortie-leases", "--user", "agent"];
        self.kubectl(&[&binding[..], &namespace].concat(), "");
    }

    /// What a user does, and how long after it the kernel has it.
    fn change(&self, what: &str, arguments: &[&str], input: &str, is_there: impl Fn(&str) -> bool) {
        self.kubectl(arguments, input);
        let returned = Instant::now();
        until(what, || is_there(&self.agent.table()).then_some(()));
        println!("{what}: in the kernel {} ms after kubectl had returned", returned.elapsed().as_millis());
    }

    fn flag(&self, patch: &str) {
        self.kubectl(&["patch", "clusterinformation", "default", "--type", "merge", "-p", patch], "");
    }

    fn message(&self) -> String {
        self.agent.state()["store"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

fn in_cluster(test: impl FnOnce(&Cluster) + Send + 'static) {
    in_namespace(move |host| test(&Cluster::new(host)));
}

#[test]
fn definitions_are_installed_once_and_what_is_there_stays() {
    in_namespace(|host| {
        let cluster = Cluster::bare(host);
        let (code, _, err) = cluster.admin.tortie(&["datastore", "init"], "");
        assert!(code != 0 && err.contains("tortie datastore init --crds"), "{code} {err}");
        let out = cluster.init();
        assert!(out.contains("`hostendpoints.projectcalico.org` is installed"), "{out}");
        assert!(out.contains("MutatingAdmissionPolicy `tortie-policy-defaults` is installed"), "{out}");
        // The very next write of a policy, with no pause: admission has the definitions it needs.
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let kubectl = |arguments: &[&str]| cluster.server.kubectl_ok(arguments, "");
        let types = kubectl(&["get", "gnp", "web", "-o", "jsonpath={.spec.types}"]);
        assert_eq!(types, r#"["Ingress"]"#);
        assert!(kubectl(&["get", "tiers", "-o", "name"]).contains("kube-admin"));

        // One that somebody else has made is not touched, and what is missing comes.
        kubectl(&["label", "crd", "tiers.projectcalico.org", "made-by=somebody"]);
        kubectl(&["delete", "crd", "networksets.projectcalico.org"]);
        let out = cluster.init();
        assert!(out.contains("`tiers.projectcalico.org` is there already, and stays as it is"), "{out}");
        assert!(out.contains("`networksets.projectcalico.org` is installed"), "{out}");
        assert_eq!(out.matches("is installed").count(), 1, "{out}");
        assert_eq!(
            kubectl(&["get", "crd", "tiers.projectcalico.org", "-L", "made-by", "--no-headers"])
                .matches("somebody")
                .count(),
            1
        );

        // A second group would hide all policy.
        let other = ["datastore", "init", "--crds", "--group", "crd.projectcalico.org"];
        let (code, _, err) = cluster.admin.tortie(&other, "");
        assert!(code == 3 && err.contains("projectcalico.org/v3 is in use"), "{code} {err}");
        // Who may not install is told so.
        let (code, _, err) = cluster.agent.tortie(&["datastore", "init", "--crds"], "");
        assert!(code == 8 && err.contains("customresourcedefinitions"), "{code} {err}");
    });
}

#[test]
fn the_classic_group_is_installed_where_it_is_asked_for_and_status_says_which_is_in_use() {
    in_namespace(|host| {
        let cluster = Cluster::bare(host);
        let init = ["datastore", "init", "--crds", "--group", "crd.projectcalico.org"];
        let (code, out, err) = cluster.admin.tortie(&init, "");
        assert!(code == 0 && out.contains("`tiers.crd.projectcalico.org` is installed"), "{code} {out}{err}");
        assert!(!out.contains("AdmissionPolicy"), "{out}");
        cluster.kubectl(&["apply", "-f", "-"], RIGHTS);
        cluster.grant();
        cluster.admin.apply(&objects(8001));
        let _agent = cluster.agent.agent(&[]);
        cluster.agent.settle();
        assert!(rules(&cluster.agent).contains("8001"));
        let status = cluster.agent.status();
        assert!(status.contains("API group crd.projectcalico.org/v1: the server has this group"), "{status}");
        let remarks = &cluster.agent.state()["store"]["remarks"];
        assert!(remarks[0].as_str().is_some_and(|remark| remark.contains("crd.projectcalico.org/v1")), "{remarks}");
    });
}

#[test]
fn policy_in_the_group_that_is_not_in_use_is_told_to_who_writes_and_in_the_status() {
    in_namespace(|host| {
        let cluster = Cluster::new(host);
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let group = ["datastore", "crds", "--group", "crd.projectcalico.org"];
        let (code, classic, err) = cluster.admin.tortie(&group, "");
        assert_eq!(code, 0, "{err}");
        // What somebody left over hides all that is in use.
        cluster.server.apply_definitions(&classic);
        let (code, out, err) = cluster.admin.tortie(&["datastore", "init"], "");
        let told = "API group projectcalico.org/v3 holds objects too, HostEndpoint `n1-eth0` is one";
        assert!(code == 0 && err.contains(&format!("warning: {told}")), "{code} {out}{err}");
        let (code, _, err) = cluster.admin.tortie(&["apply", "-f", "-"], &objects(8002));
        assert!(code == 0 && err.contains(&format!("warning: {told}")), "{code} {err}");
        let _agent = cluster.agent.agent(&[]);
        cluster.agent.settle();
        assert!(rules(&cluster.agent).contains("8002"));
        until("the status tells it", || cluster.agent.status().contains(told).then_some(()));

        cluster.kubectl(&["delete", "hostendpoints.projectcalico.org,gnp", "--all"], "");
        let (code, _, err) = cluster.admin.tortie(&["apply", "-f", "-"], &objects(8002));
        assert!(code == 0 && !err.contains("API group"), "{code} {err}");
    });
}

#[test]
fn no_other_store_takes_definitions() {
    in_namespace(|host| {
        let (code, _, err) = host.tortie(&["datastore", "init", "--crds"], "");
        assert!(code == 2 && err.contains("only a Kubernetes API server does"), "{code} {err}");
    });
}

#[test]
fn the_proxy_of_the_environment_counts() {
    in_namespace(|host| {
        let server = [("TORTIE_STORE", "kubernetes"), ("K8S_API_ENDPOINT", "https://192.0.2.1")];
        let get = |variables: &[(&str, &str)]| host.on(&[&server, variables].concat()).tortie(&["get", "hep"], "");
        for variable in ["HTTPS_PROXY", "https_proxy"] {
            let (code, _, err) = get(&[(variable, "ftp://proxy")]);
            assert!(code == 3 && err.contains("HTTPS_PROXY names no proxy: `ftp://proxy`"), "{code} {err}");
        }
        let (code, _, err) = get(&[("HTTPS_PROXY", "ftp://proxy"), ("NO_PROXY", "192.0.2.0/24")]);
        assert!(code == 7 && !err.contains("proxy"), "{code} {err}");
    });
}

#[test]
fn the_agent_follows_kubectl_with_the_shipped_rights() {
    in_cluster(|cluster| {
        let Cluster { agent, admin, .. } = cluster;
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let _process = agent.agent(&[]);
        agent.settle();
        assert!(rules(agent).contains("8001"));

        cluster.change("an applied policy", &["apply", "-f", "-"], &objects(8002), |table| table.contains("8002"));
        let label = |value: &'static str| ["label", "hep", "n1-eth0", "--overwrite", value];
        cluster.change("a label taken away", &label("role-"), "", |table| !table.contains("8002"));
        cluster.change("a label given", &label("role=web"), "", |table| table.contains("8002"));
        let delete = ["delete", "gnp", "web"];
        cluster.change("a deleted policy", &delete, "", |table| !table.contains("8002"));

        let (code, _, err) = admin.tortie(&["apply", "-f", "-", "--wait=60s"], &objects(8003));
        assert!(code == 0 && err.contains("enforced on 1 of 1 hosts"), "{code} {err}");
        assert!(rules(agent).contains("8003"));
    });
}

/// A policy that lets in the pods of a team.
pub(crate) const TEAM: &str = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: team}
spec:
  selector: role == 'web'
  ingress:
  - {action: Allow, source: {selector: app == 'client', namespaceSelector: team == 'a'}}
";
/// A pod of that team.
pub(crate) const POD: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {nodeName: n2, containers: [{name: c, image: none}]}
";

#[test]
fn pods_and_labels_of_namespaces_reach_the_sets() {
    in_cluster(|cluster| {
        cluster.kubectl(&["apply", "-f", "-"], &format!("{}---\n{TEAM}---\n{POD}", objects(8001)));
        let _process = cluster.agent.agent(&[]);
        cluster.agent.settle();
        let has = |table: &str| table.contains("10.65.0.9");
        assert!(!has(&cluster.agent.table()));
        let running = r#"{"status":{"phase":"Running","podIP":"10.65.0.9","podIPs":[{"ip":"10.65.0.9"}]}}"#;
        let patch = ["patch", "pod", "client", "-n", "shop", "--subresource", "status", "-p", running];
        cluster.change("the address of a pod", &patch, "", has);
        let team = |value: &'static str| ["label", "namespace", "shop", "--overwrite", value];
        cluster.change("a namespace of another team", &team("team=b"), "", |table| !has(table));
        cluster.change("a namespace of the team", &team("team=a"), "", has);
        let delete = ["delete", "pod", "client", "-n", "shop", "--grace-period=0", "--force"];
        cluster.change("a deleted pod", &delete, "", |table| !has(table));
    });
}

#[test]
fn a_pod_of_the_own_node_is_a_known_workload_e442() {
    in_cluster(|cluster| {
        let here = POD.replace("n2", "n1");
        cluster.kubectl(&["apply", "-f", "-"], &format!("{}---\n{here}", objects(8001)));
        let settings = [("TORTIE_UNKNOWNWORKLOADS", "Drop"), ("FELIX_INTERFACEPREFIX", "eni,tap")];
        let _process = cluster.agent.agent(&settings);
        cluster.agent.settle();
        // By `printf shop.client | sha1sum`.
        let has = |table: &str| table.contains("eniaa50613ef2d");
        assert!(has(&cluster.agent.table()));
        let delete = ["delete", "pod", "client", "-n", "shop", "--grace-period=0", "--force"];
        cluster.change("a deleted pod", &delete, "", |table| !has(table));
    });
}

#[test]
fn what_is_enforced_stays_until_a_whole_snapshot_is_there_e703_e704() {
    in_cluster(|cluster| {
        let Cluster { server, agent, .. } = cluster;
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let (_process, before) = enforced(agent);

        // Away, and back.
        server.kill();
        wait_state(agent, "lost");
        assert!(cluster.message().contains("connection"), "{}", cluster.message());
        assert_eq!(rules(agent), before);
        server.start_again();
        agent.settle();
        assert_eq!(rules(agent), before);

        // Connections that nobody answers: the agent does.
        server.pause();
        let (code, _, err) = agent.tortie(&["get", "hep", "--timeout", "1s"], "");
        assert!(code == 7, "{code} {err}");
        assert!(agent.status().contains("API group projectcalico.org/v3"));
        assert_eq!(rules(agent), before);
        server.resume();
        cluster.change("a change after a pause", &["apply", "-f", "-"], &objects(8002), |table| table.contains("8002"));
    });
}

#[test]
fn a_locked_store_changes_nothing_and_one_without_its_flag_neither() {
    in_cluster(|cluster| {
        let agent = &cluster.agent;
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let (_process, before) = enforced(agent);
        cluster.flag(LOCK);
        wait_state(agent, "locked");
        assert!(cluster.message().contains("datastoreReady"), "{}", cluster.message());
        cluster.kubectl(&["apply", "-f", "-"], &objects(8002));
        cluster.kubectl(&["delete", "hep", "n1-eth0"], "");
        assert_eq!(rules(agent), before);
        cluster.kubectl(&["apply", "-f", "-"], &objects(8002));
        cluster.flag(UNLOCK);
        agent.settle();
        let changed = rules(agent);
        assert!(changed.contains("8002"));

        // The flag's own definition is gone, and so is the flag.
        cluster.kubectl(&["delete", "crd", "clusterinformations.projectcalico.org"], "");
        until("the agent has noticed", || (agent.state()["store"]["state"] != "in-sync").then_some(()));
        cluster.kubectl(&["apply", "-f", "-"], &objects(8003));
        assert_eq!(rules(agent), changed);
        cluster.init();
        until("the flag is back", || agent.table().contains("8003").then_some(()));
        agent.settle();
    });
}

#[test]
fn an_agent_without_its_rights_keeps_what_it_enforces_and_says_which_it_lacks() {
    in_cluster(|cluster| {
        let Cluster { server, agent, .. } = cluster;
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let (_process, before) = enforced(agent);
        cluster.kubectl(&["delete", "clusterrolebinding", "agent-user"], "");
        cluster.kubectl(&["delete", "rolebinding", "agent-user", "-n", "tortie-system"], "");
        // Watches that run go on; a new one is refused.
        server.kill();
        server.start_again();
        until("what is lacking is told", || {
            let message = cluster.message();
            (message.contains("this user may not") && message.contains("projectcalico.org")).then_some(())
        });
        cluster.kubectl(&["apply", "-f", "-"], &objects(8002));
        assert_eq!(rules(agent), before);
        cluster.grant();
        until("the rights are back", || agent.table().contains("8002").then_some(()));
        agent.settle();
    });
}

#[test]
fn an_agent_that_starts_without_its_server_restores_what_it_saved_e708() {
    in_cluster(|cluster| {
        let Cluster { server, agent, .. } = cluster;
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let (process, before) = enforced(agent);
        wait_saved(agent, "8001");
        drop(process);
        server.kill();
        // What the kernel has stays, whoever starts.
        let process = agent.agent(&[]);
        wait_state(agent, "lost");
        assert!(agent.table().contains("8001"));
        drop(process);
        // After a boot it has nothing.
        agent.sh("nft delete table inet tortie");
        let _process = agent.agent(&[]);
        until("the saved state stands in", || agent.table().contains("8001").then_some(()));
        server.start_again();
        until("the server is back", || (agent.state()["store"]["state"] == "in-sync").then_some(()));
        agent.settle();
        assert_eq!(rules(agent), before);
    });
}

#[test]
fn what_a_cluster_holds_moves_to_another_store_and_back() {
    in_namespace(|host| {
        let cluster = Cluster::new(host);
        let admin = &cluster.admin;
        cluster.kubectl(&["apply", "-f", "-"], &objects(8001));
        let file = |name: &str| host.folder.path().join(name).display().to_string();
        let export = |from: &Host, name: &str| {
            let (code, _, err) = from.tortie(&["datastore", "export", "-o", &file(name)], "");
            assert_eq!(code, 0, "{err}");
            std::fs::read_to_string(Path::new(&file(name))).unwrap()
        };
        let first = export(admin, "cluster.yaml");
        assert!(first.contains("n1-eth0") && first.contains("kind: GlobalNetworkPolicy"), "{first}");
        let (code, _, err) = host.tortie(&["datastore", "import", "-f", &file("cluster.yaml")], "");
        assert_eq!(code, 0, "{err}");
        let (code, out, _) = host.tortie(&["get", "gnp", "web", "-o", "yaml"], "");
        assert!(code == 0 && out.contains("8001"), "{out}");

        // Back: over what is there only when that is asked for.
        host.apply(&objects(8002).replace("name: web", "name: more"));
        let second = export(host, "embedded.yaml");
        assert!(second.contains("name: more"), "{second}");
        let import = ["datastore", "import", "-f", &file("embedded.yaml")];
        let (code, _, err) = admin.tortie(&import, "");
        assert!(code == 5 && err.contains("n1-eth0"), "{code} {err}");
        let (code, _, err) = admin.tortie(&[&import[..], &["--skip-exists"]].concat(), "");
        assert_eq!(code, 0, "{err}");
        assert!(cluster.server.kubectl_ok(&["get", "gnp", "-o", "name"], "").contains("/more"));

        // And at once, into a cluster that has only the definitions.
        cluster.kubectl(&["delete", "hep,gnp", "--all"], "");
        let from = format!("embedded:{}", host.folder.path().join("store.db").display());
        let copy = ["datastore", "copy", "--from", &from, "--to", "kubernetes", "--skip-exists"];
        let (code, out, err) = admin.tortie(&copy, "");
        assert_eq!(code, 0, "{out}{err}");
        let names = cluster.server.kubectl_ok(&["get", "gnp,hep", "-o", "name"], "");
        assert!(names.contains("/more") && names.contains("/web") && names.contains("/n1-eth0"), "{names}");
        let (code, _, err) = host.tortie(&["unlock"], "");
        assert_eq!(code, 0, "{err}");
    });
}
