//! The real binary and the real kernel, each test in a network namespace that vanishes with its thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

mod support;

use support::{Host, Process, in_namespace, until};

/// An agent that enforces what is stored.
fn start(host: &Host) -> Process {
    let agent = host.agent(&[]);
    host.settle();
    agent
}

fn apply(host: &Host, input: &str) {
    host.apply(input);
    host.settle();
}

fn endpoint(extra: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: h, labels: {{role: web}}}}\n\
         spec: {{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1]{extra}}}\n"
    )
}

fn policy(name: &str, spec: &str) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

const WEB: &str =
    "{selector: \"role == 'web'\", ingress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]}";

#[test]
fn rules_outlive_the_agent_and_a_restart_changes_nothing_e706_e709() {
    in_namespace(|host| {
        let mut agent = start(host);
        apply(host, &format!("{}---\n{}", endpoint(""), policy("web", WEB)));
        let before = host.table();
        assert!(before.contains("policy GlobalNetworkPolicy web ingress[0]"), "{before}");
        agent.0.kill().unwrap();
        agent.0.wait().unwrap();
        assert_eq!(host.table(), before, "killed");
        let agent = start(host);
        assert_eq!(host.table(), before, "the same instances: nothing was rewritten");
        drop(agent);
        let (code, out, err) = host.tortie(&["clean"], "");
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(host.table(), "");
    });
}

#[test]
fn a_second_agent_in_the_same_namespace_is_refused_and_so_is_clean_d13() {
    in_namespace(|host| {
        let _agent = start(host);
        let (code, _, err) = host.tortie(&["agent", "--node", "n1", "--socket", "other.sock"], "");
        assert_eq!(code, 2, "the flag is given twice: {err}");
        let mut second = Command::new(env!("CARGO_BIN_EXE_tortie"));
        second
            .args(["agent", "--node", "n1", "--store"])
            .arg(format!("embedded:{}", host.folder.path().join("b.db").display()));
        let output = second.arg("--socket").arg(host.folder.path().join("b.sock")).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("another agent runs in this network namespace already"), "{err}");
        let (code, _, err) = host.tortie(&["clean"], "");
        assert!(code == 1 && err.contains("an agent runs here"), "{code}: {err}");
    });
}

#[test]
fn foreign_changes_are_repaired_and_their_author_is_named_e721() {
    in_namespace(|host| {
        let _agent = start(host);
        apply(host, &format!("{}---\n{}", endpoint(""), policy("web", WEB)));
        // Instances may get other numbers, and the kernel lists in the order of making.
        let lines = || {
            let table = host.table();
            let plain = |line: &str| {
                line.split("..").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect::<String>()
            };
            let mut lines: Vec<String> = table.lines().map(plain).collect();
            lines.sort();
            lines
        };
        let before = lines();
        host.sh("nft flush ruleset");
        // The repair is an event of the kernel: whoever asks afterwards finds it done.
        until("the rules are back", || (lines() == before).then_some(()));
        let status = host.status();
        assert!(status.contains("repairs") && status.contains("nft (process"), "{status}");
    });
}

#[test]
fn open_connections_end_only_when_the_setting_says_so_e730_e731_d4() {
    in_namespace(|host| {
        let _agent = start(host);
        let endpoint = endpoint("").replace("eth0", "lo").replace(", expectedIPs: [192.0.2.1]", "");
        let config = |word: &str| {
            format!(
                "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n\
                 metadata: {{name: default, annotations: {{tortie.dev/onTighten: {word}}}}}\nspec: {{}}\n"
            )
        };
        let open = policy("web", &WEB.replace("ingress:", "egress: [{action: Allow}], ingress:"));
        let shut = policy("web", "{selector: \"role == 'web'\", ingress: [], egress: [{action: Allow}]}");
        // Keep is the default (D-4).
        apply(host, &[endpoint.clone(), open.clone()].join("---\n"));
        let listener = TcpListener::bind("127.0.0.1:8055").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:8055").unwrap();
        let held = format!(". tcp . {} . 8055", client.local_addr().unwrap().port());
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut arrives = |what: &[u8]| {
            client.write_all(what).unwrap();
            let mut bytes = vec![0; what.len()];
            server.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, what);
        };
        apply(host, &shut);
        arrives(b"kept");
        assert!(!host.table().contains("cut4"), "{}", host.table());
        apply(host, &config("Recheck"));
        assert!(host.table().contains(&held), "{}", host.table());
        apply(host, &open);
        assert!(!host.table().contains(&held), "{}", host.table());
        arrives(b"let go");
        assert!(!host.status().contains("repairs"), "{}", host.status());
    });
}

#[test]
fn an_object_that_becomes_invalid_leaves_its_last_valid_form_in_force_d11_t33_t34() {
    in_namespace(|host| {
        let _agent = start(host);
        apply(host, &format!("{}---\n{}", endpoint(""), policy("web", WEB)));
        let before = host.table();
        assert!(before.contains("in4/h"), "{before}");
        // Other programs write what they like: here, straight into the store.
        let file = host.folder.path().join("store.db");
        let store = tortie_datastore::Embedded::open(&file, tortie_datastore::Access::Write).unwrap();
        let key = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/web";
        let bad =
            br#"{"metadata":{"name":"web"},"spec":{"ingress":[{"action":"Allow","source":{"nets":["10.0.0.0/33"]}}]}}"#;
        tortie_datastore::Kv::put(&store, key, bad, None).unwrap();
        host.settle();
        assert_eq!(host.table(), before);
        let status = host.status();
        assert!(status.contains("its last valid form stays in force") && status.contains("10.0.0.0/33"), "{status}");
        let endpoint_key = "/calico/resources/v3/projectcalico.org/hostendpoints/h";
        let no_node = br#"{"metadata":{"name":"h"},"spec":{"interfaceName":"eth0"}}"#;
        tortie_datastore::Kv::put(&store, endpoint_key, no_node, None).unwrap();
        host.settle();
        assert_eq!(host.table(), before, "an endpoint without a node goes on protecting (T-34)");
        tortie_datastore::Kv::delete(&store, key).unwrap();
        host.settle();
        assert!(!host.table().contains("GlobalNetworkPolicy web"), "a real delete counts");
        tortie_datastore::Kv::delete(&store, endpoint_key).unwrap();
        host.settle();
        assert!(!host.table().contains("in4/h"), "and so does that of the endpoint:\n{}", host.table());
    });
}

#[test]
fn what_is_not_enforced_or_may_surprise_is_said_on_status_t9_t12() {
    in_namespace(|host| {
        let _agent = start(host);
        let untracked =
            "{selector: \"role == 'web'\", doNotTrack: true, applyOnForward: true, ingress: [{action: Deny}]}";
        let documents = [
            endpoint(", profiles: [missing]"),
            endpoint("").replace("name: h", "name: any").replace("interfaceName: eth0", "interfaceName: '*'"),
            policy("fast", untracked),
            policy("node-port", "{ingress: [{action: Allow, protocol: TCP, destination: {ports: [30080]}}]}"),
        ];
        apply(host, &documents.join("---\n"));
        let status = host.status();
        for part in [
            "GlobalNetworkPolicy(fast) on any: untracked policy never applies to a wildcard endpoint",
            "profile `missing` does not exist",
            "T-9: GlobalNetworkPolicy(node-port): ",
        ] {
            assert!(status.contains(part), "`{part}` is missing in\n{status}");
        }
    });
}

#[test]
fn links_that_come_go_and_are_renamed_are_followed_e113() {
    in_namespace(|host| {
        let _agent = start(host);
        apply(host, &endpoint("").replace("interfaceName: eth0, ", ""));
        assert!(!host.table().contains("\"eth0\""), "nobody has the address");
        host.sh("ip addr add 192.0.2.1/24 dev eth0");
        host.settle();
        assert!(host.table().contains("\"eth0\" : goto in/h"), "{}", host.table());
        host.sh("ip link set eth0 down; ip link set eth0 name wan0; ip link set wan0 up");
        host.settle();
        let table = host.table();
        assert!(table.contains("\"wan0\" : goto in/h") && !table.contains("\"eth0\""), "{table}");
        host.sh("ip link del wan0");
        host.settle();
        assert!(!host.table().contains("goto in/h"), "{}", host.table());
    });
}

#[test]
fn apply_waits_until_the_host_enforces_d14() {
    in_namespace(|host| {
        let (code, _, err) = host.tortie(&["apply", "--wait=200ms", "-f", "-"], &endpoint(""));
        assert!(code == 11 && err.contains("n1: unknown, its agent does not report"), "{code}: {err}");
        let _agent = start(host);
        let (code, _, err) = host.tortie(&["apply", "--wait=60s", "-f", "-"], &policy("web", WEB));
        assert!(code == 0 && err.contains("enforced on 1 of 1 hosts"), "{code}: {err}");
        assert!(host.table().contains("GlobalNetworkPolicy web"));
    });
}

#[test]
fn without_leave_to_program_the_kernel_the_agent_says_so() {
    in_namespace(|host| {
        let store = host.folder.path().join("user.db");
        let script = format!(
            "chmod 777 {folder}; cp {tortie} {folder}/tortie; chmod 755 {folder}/tortie; setpriv --reuid 65534 --regid 65534 \
             --clear-groups --inh-caps=-all --bounding-set=-all {folder}/tortie agent --node n1 --store embedded:{store} --socket {folder}/user.sock",
            folder = host.folder.path().display(),
            tortie = env!("CARGO_BIN_EXE_tortie"),
            store = store.display(),
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(8), "{err}");
        assert!(err.contains("not allowed to program nf_tables"), "{err}");
    });
}

/// `golden/NAME.yaml` beside the ruleset it becomes, as `nft` prints it. `cargo xtask golden` rewrites the rulesets; the
/// review reads the difference (laws K-2, K-8, K-9, K-12).
#[test]
fn resources_become_the_rulesets_beside_them() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["sample", "policies"] {
        let (folder, yaml) = (folder.clone(), std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap());
        in_namespace(move |host| {
            let (code, _, err) = host.tortie(&["apply", "-q", "-f", "-"], &yaml);
            assert_eq!(code, 0, "{err}");
            let (code, _, err) = host.tortie(&["agent", "--node", "myhost", "--once", "--log-level", "error"], "");
            assert_eq!(code, 0, "{err}");
            // The kernel lists elements of hash sets in any order.
            let mut blocks: Vec<String> = host
                .table()
                .split("\n\n")
                .map(|block| {
                    let (head, rules) = block.split_once("elements = {").unwrap_or((block, ""));
                    let mut elements: Vec<&str> =
                        rules.split([',', '}', '\n', '\t']).map(str::trim).filter(|e| !e.is_empty()).collect();
                    elements.sort_unstable();
                    format!("{head}{}", elements.iter().map(|e| format!("\n\t\t  {e}")).collect::<String>())
                })
                .collect();
            blocks.sort();
            let found = blocks.join("\n\n") + "\n";
            let path = folder.join(format!("{name}.nft"));
            if std::env::var_os("TORTIE_GOLDEN").is_some() {
                std::fs::write(&path, &found).unwrap();
            }
            let wanted = std::fs::read_to_string(&path).unwrap();
            assert_eq!(found, wanted, "{name}: if this is right, run `cargo xtask golden`");
        });
    }
}

#[test]
fn settings_take_effect_live_and_a_bad_stored_value_leaves_the_last_valid_one_e606_d12() {
    in_namespace(|host| {
        let _agent = start(host);
        apply(host, &format!("{}---\n{}", endpoint(""), policy("web", WEB)));
        let store =
            tortie_datastore::Embedded::open(&host.folder.path().join("store.db"), tortie_datastore::Access::Write);
        let store = store.unwrap();
        let put = |kind: &str, name: &str, annotations: &str, spec: &str| {
            let key = format!("/calico/resources/v3/projectcalico.org/{kind}/{name}");
            let object =
                format!("{{\"metadata\":{{\"name\":\"{name}\",\"annotations\":{annotations}}},\"spec\":{spec}}}");
            tortie_datastore::Kv::put(&store, &key, object.as_bytes(), None).unwrap();
            host.settle();
        };
        let is_governed = || host.table().contains("\"eth0\"");
        assert!(is_governed());
        put("felixconfigurations", "default", "{}", "{\"interfaceExclude\":\"eth0\"}");
        assert!(!is_governed(), "{}", host.table());
        put("felixconfigurations", "default", "{}", "{\"interfaceExclude\":\"/(/\",\"logPrefix\":7}");
        assert!(!is_governed(), "the last valid value stays");
        let status = host.status();
        for part in ["the last valid value, `eth0`, stays", "setting logPrefix of FelixConfiguration(default)"] {
            assert!(status.contains(part), "{part}: {status}");
        }
        put("felixconfigurations", "default", "{\"tortie.dev/interfaceExclude\":\"eth0\"}", "{}");
        assert!(is_governed(), "unset; and an annotation is for Tortie's own settings only");
        // What is held goes when nothing is to be held any more, also by a configuration with a selector.
        put("nodes", "n1", "{}", "{}");
        put("globalnetworkpolicies", "web", "{}", "{\"order\":\"ten\"}");
        assert!(host.table().contains("GlobalNetworkPolicy web"), "held");
        let strict = "{\"tortie.dev/compatibility\":\"Strict\"}";
        put("felixconfigurations", "nodes", strict, "{\"nodeSelector\":\"all()\"}");
        assert!(!host.table().contains("GlobalNetworkPolicy web"), "{}", host.table());
    });
}

#[test]
fn the_name_of_the_node_comes_from_the_environment_e605() {
    in_namespace(|host| {
        let mut command = host.command(&["agent", "--log-level", "warn"]);
        let _agent = Process(command.env("FELIX_FELIXHOSTNAME", "n1").stdin(Stdio::null()).spawn().unwrap());
        host.settle();
        apply(host, &endpoint(""));
        let status = host.status();
        assert!(status.contains("node        n1 ") && status.contains("eth0"), "{status}");
        assert!(host.table().contains("\"eth0\" : goto in/h"), "the endpoint of n1 is local");
    });
}

#[test]
fn a_bad_local_setting_stops_the_start_and_leaves_the_rules_e604() {
    in_namespace(|host| {
        let agent = start(host);
        apply(host, &format!("{}---\n{}", endpoint(""), policy("web", WEB)));
        drop(agent);
        let before = host.table();
        let start = |name: &str, value: &str| {
            let arguments = ["agent", "--node", "n1", "--once", "--log-level", "warn"];
            let output = host.command(&arguments).env(name, value).output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        for (name, value) in [
            ("FELIX_FailsafeInboundHostPorts", "tcp:22,ssh"),
            ("FELIX_NFTABLESMARKMASK", "0x1"),
            ("TORTIE_INTERFACEPREFIX", "none"),
        ] {
            let (code, err) = start(name, value);
            assert_eq!(code, Some(3), "{name}: {err}");
            assert!(err.contains("setting") && err.contains("environment"), "{name}: {err}");
            assert_eq!(host.table(), before, "{name}");
        }
        let (code, err) = start("FELIX_HEALTHPORT", "many");
        assert!(code == Some(0) && err.contains("the default, `9099`, is used"), "{code:?}: {err}");
        let (code, err) = start("FELIX_HEALTHPROT", "1");
        assert!(code == Some(0) && err.contains("did you mean `healthport`?"), "{code:?}: {err}");
    });
}
