//! What others see of an agent: the real binary and the real kernel, each test in a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use tortie_datastore::{Access, Embedded, Kv};

mod support;

use support::{PATIENCE, Process, in_namespace, until};

/// Status code and body of one request; `None` when nobody listens.
fn http(mut stream: impl Read + Write, path: &str) -> Option<(u16, String)> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    http(stream, path)
}

fn endpoint(name: &str, interface: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: {name}, labels: {{role: web}}}}\n\
         spec: {{node: n1, interfaceName: {interface}, expectedIPs: [192.0.2.1]}}\n---\n"
    )
}

fn felix(spec: &str) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: default}}\nspec: {spec}\n")
}

const HEALTH: [(&str, &str); 2] = [("FELIX_HealthEnabled", "true"), ("FELIX_PrometheusMetricsEnabled", "true")];

/// Somebody else owns a table of our name, so the kernel refuses every change of it, until its owner goes away.
#[test]
fn readiness_turns_when_the_kernel_takes_the_first_rules_e750_e751() {
    in_namespace(|host| {
        host.apply(&endpoint("h", "eth0"));
        let mut owner =
            Process(Command::new("nft").arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
        owner.0.stdin.as_mut().unwrap().write_all(b"add table inet tortie { flags owner; }\n").unwrap();
        until("the table is there", || host.sh("nft list tables").contains("inet tortie").then_some(()));
        let _agent = host.agent(&HEALTH);
        let (_, body) = until("the agent is refused", || {
            get(9091, "/metrics").filter(|(_, body)| body.contains("\ntortie_kernel_failing 1\n"))
        });
        assert!(!body.contains("tortie_interface_protected{interface=\"eth0\"} 1"), "{body}");
        let (code, body) = get(9099, "/readiness").unwrap();
        assert!(code == 503 && body.contains("nothing was programmed yet"), "{code} {body}");
        let (code, body) = get(9099, "/liveness").unwrap();
        assert_eq!((code, body.as_str()), (200, "{\"ok\":true,\"reasons\":[]}"));
        assert_eq!(get(9099, "/other").unwrap().0, 404);
        let keys = host.store().range("/calico/felix/").unwrap().0;
        assert_eq!(keys, [], "no state is written before the first programming (E-741)");

        drop(owner);
        until("ready", || get(9099, "/readiness").filter(|(code, _)| *code == 200));
        let body = get(9091, "/metrics").unwrap().1;
        assert!(body.contains("tortie_interface_protected{interface=\"eth0\"} 1"), "{body}");
        assert!(!body.contains("felix_int_dataplane_failures 0"), "{body}");
    });
}

#[test]
fn a_wildcard_endpoint_leaves_probes_on_loopback_alone_e753() {
    in_namespace(|host| {
        let _agent = host.agent(&HEALTH);
        host.apply(&endpoint("all", "\"*\""));
        host.settle();
        assert_eq!(get(9099, "/readiness").unwrap().0, 200);
        let body = get(9091, "/metrics").unwrap().1;
        for line in [
            "tortie_interface_protected{interface=\"eth0\"} 1",
            "tortie_interface_protected{interface=\"lo\"} 0",
            "tortie_endpoint_state{endpoint=\"all\",state=\"up\"} 1",
            "felix_cluster_num_host_endpoints 1",
            "felix_resync_state 3",
            "tortie_ready 1",
            "tortie_invalid_dropped_packets{endpoint=\"all\"} 0",
        ] {
            assert!(body.lines().any(|found| found == line), "`{line}` is missing in\n{body}");
        }
    });
}

#[test]
fn servers_follow_the_settings_of_a_running_agent_e606() {
    in_namespace(|host| {
        let _agent = host.agent(&[]);
        host.settle();
        assert_eq!(get(9099, "/liveness"), None, "off by default");

        let taken = TcpListener::bind("127.0.0.1:9099").unwrap();
        host.apply(&felix("{healthEnabled: true}"));
        until("a taken port is a warning", || {
            host.status().contains("health cannot be served at localhost:9099").then_some(())
        });
        drop(taken);
        until("it is tried again", || get(9099, "/readiness").filter(|(code, _)| *code == 200));
        assert!(!host.status().contains("health cannot be served"));

        host.apply(&felix("{healthEnabled: true, healthPort: 9100}"));
        until("it moves", || get(9100, "/readiness").filter(|(code, _)| *code == 200));
        until("nothing is left at the old place", || get(9099, "/readiness").is_none().then_some(()));

        // What was to be encrypted is not served in the clear.
        host.apply(&felix("{prometheusMetricsEnabled: true, prometheusMetricsCertFile: /etc/cert.pem}"));
        until("it is off, and what is missing for TLS is a warning", || {
            (get(9100, "/readiness").is_none() && host.status().contains("`prometheusMetricsKeyFile` is not set"))
                .then_some(())
        });
        assert_eq!(get(9091, "/metrics"), None);
    });
}

#[test]
fn states_of_endpoints_come_and_go_in_the_store_e740_e741() {
    in_namespace(|host| {
        let folder = "/calico/felix/v1/host/n1/endpoint/";
        let state = |name: &str| {
            let entry = host.store().get(&format!("{folder}{name}")).unwrap();
            entry.map(|entry| String::from_utf8(entry.value).unwrap())
        };
        // Left behind by an agent of former times.
        let writer = Embedded::open(&host.folder.path().join("store.db"), Access::Write).unwrap();
        writer.put(&format!("{folder}gone"), b"{\"status\":\"up\"}", None).unwrap();
        let _agent = host.agent(&[]);
        host.apply(&(endpoint("h", "eth0") + &endpoint("later", "eth7")));
        let revision = writer.resource_revision().unwrap();
        let is = |name: &str, expected: Option<&str>| {
            until(&format!("{name} is {expected:?}"), || {
                let expected = expected.map(|state| format!("{{\"status\":\"{state}\"}}"));
                (state(name) == expected).then_some(())
            });
        };
        is("h", Some("up"));
        is("later", Some("error"));
        is("gone", None);
        host.sh("ip link set peer0 down");
        is("h", Some("down"));
        host.sh("ip link add eth7 type veth peer name peer7; ip link set eth7 up; ip link set peer7 up");
        is("later", Some("up"));
        let status = "/calico/felix/v2/no-region/host/n1/status";
        let record = until("the host's record is there", || host.store().get(status).unwrap());
        let text = String::from_utf8(record.value).unwrap();
        assert!(text.starts_with("{\"time\":\"20") && text.contains("\"first_update\":"), "{text}");
        assert!(host.store().get("/calico/felix/v2/no-region/host/n1/last_reported_status").unwrap().is_some());
        assert_eq!(writer.resource_revision().unwrap(), revision, "reports move no revision (D-14)");
        let (code, _, err) = host.tortie(&["delete", "hep", "h"], "");
        assert_eq!(code, 0, "{err}");
        is("h", None);
        host.apply(&felix("{endpointReportingEnabled: false}"));
        is("later", None);
    });
}

#[test]
fn systemd_is_told_of_start_life_and_end() {
    in_namespace(|host| {
        let path = host.folder.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut heard = String::new();
        let mut hear = |word: &str| {
            while !heard.lines().any(|line| line.starts_with(word)) {
                let mut buffer = [0; 4096];
                let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {word}: {error}; heard {heard}"));
                heard.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
            }
        };
        let agent = host.agent(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")]);
        hear("READY=1");
        hear("STATUS=revision ");
        hear("WATCHDOG=1");
        host.sh(&format!("kill -TERM {}", agent.0.id()));
        hear("STOPPING=1");
    });
}

#[test]
fn status_tells_classes_conflicts_policies_and_counters_e742() {
    in_namespace(|host| {
        let _agent = host.agent(&[]);
        let policy = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web}\n\
                      spec: {selector: \"role == 'web'\", order: 7, ingress: [{action: Allow, protocol: TCP, \
                      source: {selector: \"role == 'web'\"}}]}\n";
        host.apply(&(endpoint("a", "eth0") + &endpoint("b", "eth0") + policy));
        host.settle();
        let (code, out, err) = host.tortie(&["status", "-o", "json"], "");
        assert_eq!(code, 0, "{err}");
        let status: serde_json::Value = serde_json::from_str(&out).unwrap();
        let eth0 = status["interfaces"].as_array().unwrap().iter().find(|i| i["name"] == "eth0").unwrap();
        assert_eq!((&eth0["protected"], &eth0["classes"]["forward"]), (&true.into(), &"a".into()), "{eth0:#}");
        let endpoints = status["endpoints"].as_array().unwrap();
        assert_eq!(endpoints[0]["shadows"]["eth0"][0], "b", "{endpoints:#?}");
        assert_eq!(endpoints[1]["shadowed_by"]["eth0"], "a", "{endpoints:#?}");
        let first = &endpoints[0]["policies"][0];
        assert_eq!(
            (&first["policy"], &first["class"], &first["position"], &first["order"]),
            (&"GlobalNetworkPolicy(web)".into(), &"normal".into(), &1.into(), &7.0.into())
        );
        assert_eq!(endpoints[0]["invalid_drops"]["packets"], 0);
        assert!(status["kernel"]["last_apply_generation"].as_u64().unwrap() > 0, "{status:#}");
        assert_eq!(status["store"]["is_stale"], false);

        host.sh("nft add table ip fw; nft 'add chain ip fw in { type filter hook input priority 10; policy drop; }'");
        host.sh("nft add rule ip fw in meta mark set 0x1");
        let status = host.status();
        assert!(status.contains("ip table fw chain in (hook input, priority 10)"), "{status}");
        assert!(
            status.contains("rules of ip table fw chain in write mark bits 0xffff0000, which are ours"),
            "{status}"
        );
        host.sh("nft delete table ip fw");
        assert!(!host.status().contains("table fw"), "read again after a change (E-409, T-16, T-26)");

        let stream = UnixStream::connect(host.folder.path().join("agent.sock")).unwrap();
        let sets: serde_json::Value = serde_json::from_str(&http(stream, "/v1/sets").unwrap().1).unwrap();
        assert_eq!(
            sets,
            serde_json::json!({"sets": [{
                "selector": "role == \"web\"", "port": null, "protocol": null,
                "members": {"192.0.2.1/32": ["HostEndpoint(a)", "HostEndpoint(b)"]},
            }]}),
            "where each member is from (T-27)"
        );

        let stream = UnixStream::connect(host.folder.path().join("agent.sock")).unwrap();
        let (code, body) = http(stream, "/v1/counters").unwrap();
        let counters: serde_json::Value = serde_json::from_str(&body).unwrap();
        let has = |comment: &str| counters["counters"].as_array().unwrap().iter().any(|c| c["comment"] == comment);
        assert!(code == 200 && has("policy GlobalNetworkPolicy web ingress[0]") && has("connection state"), "{body}");
    });
}

/// Rules that lie in one element of a map are told apart by what they counted.
#[test]
fn a_rule_that_passes_packets_on_counts_them_c7() {
    in_namespace(|host| {
        let _agent = host.agent(&[]);
        let wildcard =
            endpoint("all", "\"*\"").replace("node: n1", "node: n1, profiles: [projectcalico-default-allow]");
        let police = felix("{}")
            .replace("metadata: {name", "metadata: {annotations: {tortie.dev/wildcardLoopback: Police}, name");
        let policies = "\
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: first}
spec: {order: 10, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: first.on}
spec: {tier: first, selector: \"role == 'web'\", ingress: [{action: Pass, protocol: UDP, destination: {ports: [7001]}}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: both}
spec: {selector: \"role == 'web'\", ingress: [{action: Allow, protocol: UDP, destination: {ports: [\"7001:7002\"]}}]}
";
        host.apply(&(wildcard + &police + policies));
        host.settle();
        for (port, count) in [(7001, 3), (7002, 2)] {
            let receiver = std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
            receiver.set_read_timeout(Some(PATIENCE)).unwrap();
            for _ in 0..count {
                let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                sender.send_to(b"x", receiver.local_addr().unwrap()).unwrap();
                assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 1);
            }
        }
        let stream = UnixStream::connect(host.folder.path().join("agent.sock")).unwrap();
        let counters: serde_json::Value = serde_json::from_str(&http(stream, "/v1/counters").unwrap().1).unwrap();
        let packets = |comment: &str| -> u64 {
            let all = counters["counters"].as_array().unwrap();
            all.iter().filter(|c| c["comment"] == comment).map(|c| c["packets"].as_u64().unwrap()).sum()
        };
        assert_eq!(packets("policy GlobalNetworkPolicy first.on ingress[0]"), 3, "{counters:#}");
        assert_eq!(packets("policy GlobalNetworkPolicy both ingress[0]"), 5, "{counters:#}");
    });
}

/// Real packets against a staged deny: nothing is dropped, and everything is told.
#[test]
fn staged_policies_tell_what_they_would_have_done_d6() {
    in_namespace(|host| {
        let _agent = host.agent(&HEALTH);
        let staged = "apiVersion: projectcalico.org/v3\nkind: StagedGlobalNetworkPolicy\nmetadata: {name: next}\n\
             spec: {selector: \"role == 'web'\", types: [Ingress], ingress: [\
             {action: Deny, protocol: UDP, destination: {ports: [7001]}, metadata: {annotations: {why: audit}}},\
             {action: Allow, protocol: UDP, destination: {ports: [7002, 7003]}}]}\n";
        let wildcard =
            endpoint("all", "\"*\"").replace("node: n1", "node: n1, profiles: [projectcalico-default-allow]");
        let police = felix("{}")
            .replace("metadata: {name", "metadata: {annotations: {tortie.dev/wildcardLoopback: Police}, name");
        host.apply(&(wildcard + &police + "---\n" + staged));
        host.settle();
        let receivers: Vec<std::net::UdpSocket> =
            [7001, 7002, 7004].iter().map(|port| std::net::UdpSocket::bind(("127.0.0.1", *port)).unwrap()).collect();
        for (receiver, count) in receivers.iter().zip([3, 2, 1]) {
            receiver.set_read_timeout(Some(PATIENCE)).unwrap();
            for _ in 0..count {
                // A new flow each time: staged policies see first packets, as others do.
                let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                sender.send_to(b"x", receiver.local_addr().unwrap()).unwrap();
                assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 1, "staged policies drop nothing");
            }
        }
        let body = get(9091, "/metrics").unwrap().1;
        let policy = "policy=\"StagedGlobalNetworkPolicy(next)\",direction=\"ingress\"";
        for (rule, verdict, packets) in [("0", "Deny", 3), ("1", "Allow", 2)] {
            let line = format!("tortie_staged_packets{{{policy},rule=\"{rule}\",verdict=\"{verdict}\"}} {packets}");
            assert!(
                body.lines().any(|found| found == line),
                "`{line}` is missing in\n{body}\n{}",
                host.sh("nft list ruleset")
            );
        }
        // The other flow, and the scrape itself.
        let end = format!("tortie_staged_packets{{{policy},rule=\"end\",verdict=\"no match\"}} ");
        let count = body.lines().find_map(|line| line.strip_prefix(&end)).unwrap();
        assert!(count.parse::<u64>().unwrap() >= 1, "{count}");
        let status = host.status();
        assert!(status.contains("STAGED"), "{status}");
    });
}

#[test]
fn log_lines_go_where_the_settings_say_e629() {
    in_namespace(|host| {
        let file = host.folder.path().join("agent.log");
        let command = host.command(&["agent", "--node", "n1"]).stderr(Stdio::piped()).stdin(Stdio::null()).spawn();
        let mut agent = Process(command.unwrap());
        host.settle();
        assert!(!file.exists());
        let spec = |severity: &str| {
            format!("{{logSeverityScreen: Error, logSeverityFile: {severity}, logFilePath: {}}}", file.display())
        };
        host.apply(&felix(&spec("Info")));
        host.apply(&endpoint("h", "eth0"));
        let log = || std::fs::read_to_string(&file).unwrap_or_default();
        until("a line about programming", || log().contains("programmed revision").then_some(()));
        host.apply(&felix(&spec("Error")));
        host.settle();
        let before = log();
        host.apply(&endpoint("other", "eth0"));
        host.settle();
        assert_eq!(log(), before, "info lines are not written any more");
        host.apply(&felix("{logFilePath: /proc/none/agent.log}"));
        until("a file that cannot be opened is a warning", || {
            host.status().contains("cannot write log lines to `/proc/none/agent.log`").then_some(())
        });
        agent.0.kill().unwrap();
        let mut screen = String::new();
        agent.0.stderr.take().unwrap().read_to_string(&mut screen).unwrap();
        assert!(screen.contains("INFO"), "info is the default: {screen}");
        let quiet = screen.lines().filter(|line| line.contains("programmed revision")).count();
        assert!(quiet <= 2, "with `Error` no more of them: {screen}");
    });
}

#[test]
fn a_lost_store_makes_an_agent_stale_and_not_dead_e752() {
    in_namespace(|host| {
        let _agent = host.agent(&HEALTH);
        host.apply(&endpoint("h", "eth0"));
        host.settle();
        host.sh(&format!("cd {}; mkdir away; mv store.db* away", host.folder.path().display()));
        let status = until("status says it", || Some(host.status()).filter(|status| status.contains("stale since")));
        assert!(status.contains("eth0") && status.contains("yes"), "what is enforced stays: {status}");
        assert_eq!(get(9099, "/liveness").unwrap().0, 200);
        assert_eq!(get(9099, "/readiness").unwrap().0, 200);
        let body = get(9091, "/metrics").unwrap().1;
        assert!(body.contains("\ntortie_store_state{state=\"lost\"} 1\n"), "{body}");
        assert!(body.contains("\nfelix_resync_state 1\n"), "{body}");
    });
}
