//! The command line as a newcomer meets it: each mistake gives one clear error, the right exit code (cli.md section
//! 2.2), and nothing half-written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod support;

use std::io::{Read, Write};
use std::path::Path;

use support::Cli;

const HEP: &str = "apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata:
  name: web1-eth0
spec:
  node: web1
  interfaceName: eth0
  expectedIPs: [192.0.2.1]
";

fn policy(rule: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata:\n  name: p\nspec:\n  ingress:\n  - {rule}\n"
    )
}

#[test]
fn bad_input_is_refused_with_its_place_and_a_hint_and_nothing_is_written() {
    let cli = Cli::new();
    let apply = |input: &str, part: &str| {
        cli.fails(&["apply", "-f", "-"], input, 3, part);
        assert_eq!(cli.count("hep") + cli.count("gnp"), 0);
    };
    apply("a: [1\n", "not valid YAML");
    apply(&HEP.replace("HostEndpoint", "HostEndpont"), "did you mean `HostEndpoint`?");
    apply(&HEP.replace("interfaceName", "interfacName"), "did you mean `interfaceName`?");
    apply(&HEP.replace("expectedIPs", "\texpectedIPs"), "error");
    apply(&policy("{action: Allow, protocol: TCP, destination: {ports: [70000]}}"), "`70000` is not a port");
    apply(&policy("{action: Allow, source: {selector: \"role == 'db\"}}"), "unterminated string");
    apply(&policy("{action: Alow}"), "did you mean `Allow`?");
    apply("", "no resources specified");
    apply("# nothing\n", "no resources specified");
    // A good document does not slip through beside a bad one, and the bad one is shown with its line.
    apply(&format!("{HEP}---\n{}", policy("{action: Alow}")), "<stdin>:16:14");
    let run = cli.run_with(
        &["apply", "-f", "-"],
        &format!("{}---\n{}", HEP.replace("node: web1", ""), policy("{action: Alow}")),
    );
    assert!(run.err.contains("2 mistakes; nothing was written"), "{}", run.err);
}

#[test]
fn what_cannot_be_read_is_named() {
    let cli = Cli::new();
    cli.fails(&["apply", "-f", "missing.yaml"], "", 3, "cannot read `missing.yaml`");
    std::fs::write(cli.folder.path().join("latin1.yaml"), [0xe9, 0x0a]).unwrap();
    cli.fails(&["apply", "-f", "latin1.yaml"], "", 3, "is not UTF-8");
    cli.fails(&["apply"], "", 2, "--filename");
    cli.fails(&["aply"], "", 2, "apply");
    cli.fails(&["get", "hepp"], "", 2, "did you mean");
    cli.fails(&["get", "hep", "-o", "yam"], "", 2, "did you mean `yaml`?");
    cli.fails(&["get", "hep", "-o", "custom-columns=NAMES"], "", 2, "valid values are");
    cli.fails(&["--store", "etcd://127.0.0.1:1", "get", "hep"], "", 7, "Connection refused");
    cli.fails(&["--store", "embedded:/no/such/folder/store.db", "apply", "-f", "-"], HEP, 1, "does not exist");
    let file = cli.file("notes.txt", "a shopping list\n");
    cli.fails(&["--store", &format!("embedded:{file}"), "get", "hep"], "", 1, "not a store");
    cli.fails(&["--socket", "nowhere.sock", "status"], "", 7, "no agent answers");
}

#[test]
fn input_without_end_or_of_another_kind_is_refused_and_never_waited_for() {
    let cli = Cli::new();
    cli.fails(&["apply", "-f", "/dev/zero"], "", 3, "cannot read `/dev/zero`: it is longer than 64 MiB");
    cli.fails(&["apply", "-f", "/dev/zero"], "", 3, "divide it into several files");
    let long = cli.file("long.yaml", "");
    std::fs::File::options().write(true).open(cli.folder.path().join(&long)).unwrap().set_len((64 << 20) + 1).unwrap();
    cli.fails(&["validate", "-f", &long], "", 3, "it is longer than 64 MiB");
    std::fs::create_dir(cli.folder.path().join("d")).unwrap();
    nix::unistd::mkfifo(&cli.folder.path().join("d/pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    cli.fails(&["apply", "-f", "d"], "", 3, "pipe.yaml`: it is not a regular file");
    // A pipe that is named is read to its end.
    let run = cli.run_with(&["apply", "-f", "/dev/stdin"], HEP);
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let cli = Cli::new();
    let socket = cli.folder.path().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _request = stream.read(&mut [0; 1 << 10]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // Until the client has had enough.
        while stream.write_all(&[b' '; 1 << 16]).is_ok() {}
    });
    cli.fails(&["status", "--socket", "agent.sock"], "", 7, "length limit exceeded");
    server.join().unwrap();
}

#[test]
fn links_in_a_circle_are_read_once() {
    let cli = Cli::new();
    std::fs::create_dir_all(cli.folder.path().join("d/e")).unwrap();
    for name in ["d/e/up", "d/e/again", "d/self"] {
        std::os::unix::fs::symlink(cli.folder.path().join("d"), cli.folder.path().join(name)).unwrap();
    }
    cli.file("d/e/a.yaml", HEP);
    let run = cli.run(&["apply", "-R", "-f", "d"]);
    assert_eq!((run.code, run.out.lines().count()), (0, 1), "{}{}", run.out, run.err);
}

#[test]
fn what_a_document_blows_up_to_is_refused_with_its_place() {
    let cli = Cli::new();
    let levels = ["b: &b", "c: &c", "d: &d", "e: &e", "f: &f", "g: &g"];
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (level, before) in levels.iter().zip('a'..) {
        laughs += &format!("{level} [{}]\n", vec![format!("*{before}"); 10].join(", "));
    }
    cli.fails(&["apply", "-f", "-"], &laughs, 3, "anchors and aliases repeat more than 100000 nodes");
    cli.fails(&["apply", "-f", "-"], &laughs, 3, "<stdin>:5:");
    let deep = format!("spec: {}{}", "[".repeat(5000), "]".repeat(5000));
    cli.fails(&["apply", "-f", "-"], &deep, 3, "nested more than 100 levels deep");
    let json = format!("{}{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    cli.fails(&["apply", "-f", "-"], &json, 3, "nested more than 100 levels deep");
}

#[test]
fn the_sample_of_the_specification_is_stored_and_returned_without_an_agent_d3() {
    let cli = Cli::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/1-sample.yaml");
    let run = cli.run(&["apply", "-f", sample.to_str().unwrap()]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "Successfully applied 1 'HostEndpoint' resource(s) (1 created)\n"),
        "{}",
        run.err
    );
    let run = cli.run(&["get", "hep", "-o", "wide"]);
    assert_eq!(
        run.out,
        "NAME       NODE    INTERFACE  IPS                      PROFILES\n\
         some.name  myhost  eth0       192.168.0.1,192.168.0.2  profile1,profile2\n"
    );
    let run = cli.run(&["get", "hep/some.name", "-o", "yaml", "--export"]);
    assert!(run.out.starts_with("apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata:\n  labels:\n    type: production\n  name: some.name\nspec:\n"), "{}", run.out);
    // What is printed can be given back.
    let whole = cli.run(&["get", "hep", "-o", "yaml"]).out;
    let run = cli.run_with(&["apply", "-f", "-"], &whole);
    assert_eq!((run.code, run.out.contains("(1 unchanged)")), (0, true), "{}{}", run.out, run.err);
}

#[test]
fn every_format_prints_every_object() {
    let cli = Cli::new();
    cli.run_with(&["apply", "-f", "-"], HEP);
    let shows = |format: &str, part: &str| {
        let run = cli.run(&["get", "hep", "-o", format]);
        assert_eq!(run.code, 0, "{format}: {}", run.err);
        assert!(run.out.contains(part), "{format}: {}", run.out);
    };
    shows("ps", "web1-eth0  web1");
    shows("name", "hostendpoints/web1-eth0");
    shows("jsonl", "{\"");
    shows("json", "\"kind\": \"HostEndpointList\"");
    shows("yaml", "kind: HostEndpointList");
    shows("custom-columns=NODE,NAME", "NODE  NAME\nweb1  web1-eth0");
    let tiers = cli.run(&["get", "tiers"]).out;
    let names: Vec<&str> = tiers.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["kube-admin", "default", "kube-baseline"], "sorted by order");
    assert!(cli.run(&["get"]).out.contains("hostendpoints"));
    assert!(cli.run(&["get", "profiles"]).out.contains("projectcalico-default-allow"));
}

#[test]
fn exit_codes_tell_what_happened() {
    let cli = Cli::new();
    cli.fails(&["replace", "-f", "-"], HEP, 4, "resource does not exist: HostEndpoint(web1-eth0)");
    assert_eq!(cli.run_with(&["create", "-f", "-"], HEP).code, 0);
    cli.fails(&["create", "-f", "-"], HEP, 5, "resource already exists: HostEndpoint(web1-eth0)");
    assert_eq!(cli.run_with(&["create", "--skip-exists", "-f", "-"], HEP).code, 0);
    let stale = HEP.replace("  name:", "  resourceVersion: '1'\n  name:");
    cli.fails(&["apply", "-f", "-"], &stale, 5, "update conflict: HostEndpoint(web1-eth0)");
    let other = HEP.replace("web1-eth0", "web2-eth0");
    cli.fails(&["create", "-f", "-"], &format!("{HEP}---\n{other}"), 6, "1 of 2 resources failed");
    cli.fails(
        &["create", "--atomic", "-f", "-"],
        &format!("{HEP}---\n{}", HEP.replace("web1-eth0", "web3")),
        5,
        "nothing was written",
    );
    assert_eq!(cli.count("hep"), 2);
    cli.fails(&["get", "hep", "web1-eth0", "nobody"], "", 4, "resource does not exist: HostEndpoint(nobody)");
    cli.fails(&["delete", "hep", "nobody"], "", 4, "resource does not exist");
    assert_eq!(cli.run(&["delete", "-s", "hep", "nobody"]).code, 0);
    let needs_tier = policy("{action: Allow}").replace("spec:", "spec:\n  tier: sec");
    cli.fails(&["apply", "-f", "-"], &needs_tier, 3, "resource does not exist: Tier(sec)");
    cli.fails(&["apply", "-f", "-"], &format!("{HEP}---\n{HEP}"), 3, "given twice");
    assert_eq!(cli.run(&["delete", "hep/web1-eth0", "hep/web2-eth0"]).code, 0);
    assert_eq!(cli.count("hep"), 0);
    cli.fails(&["delete", "tier", "default"], "", 1, "is not supported on");
}

#[test]
fn several_kinds_are_written_all_or_none_in_the_order_of_dependency() {
    let cli = Cli::new();
    let tier = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata:\n  name: sec\nspec:\n  order: 5\n";
    let policy = policy("{action: Allow}").replace("spec:", "spec:\n  tier: sec");
    let run = cli.run_with(&["apply", "-f", "-"], &format!("{policy}---\n{tier}"));
    assert_eq!((run.code, run.out.as_str()), (0, "Successfully applied 2 resource(s) (2 created)\n"), "{}", run.err);
    cli.fails(
        &["apply", "-f", "-"],
        &format!("{HEP}---\n{}", policy.replace("tier: sec", "tier: no")),
        3,
        "nothing was written",
    );
    assert_eq!(cli.count("hep"), 0);
    let run = cli.run_with(&["delete", "-f", "-"], &format!("{tier}---\n{policy}"));
    assert_eq!((run.code, run.out.as_str()), (0, "Successfully deleted 2 resource(s)\n"), "{}", run.err);
}

#[test]
fn policies_of_all_classes_are_applied_e212() {
    let cli = Cli::new();
    for fields in
        ["doNotTrack: true, applyOnForward: true", "preDNAT: true, applyOnForward: true", "applyOnForward: true"]
    {
        let document = format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p}}\nspec: {{{fields}}}\n"
        );
        let run = cli.run_with(&["apply", "-f", "-"], &document);
        assert!(run.code == 0 && !run.err.contains("not enforced"), "{}", run.err);
    }
    assert_eq!(cli.count("gnp"), 1);
}

#[test]
fn traps_are_told_before_the_write_and_strict_refuses_them_t12_t23() {
    let cli = Cli::new();
    let wild = |name: &str| HEP.replace("web1-eth0", name).replace("eth0", "\"*\"");
    let (first, second) = (wild("w1"), wild("w2").replace("node: web1", "node: web2"));
    let untracked = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\n\
                     spec: {doNotTrack: true, applyOnForward: true, ingress: [{action: Deny}]}\n";
    let http = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: q}\n\
                spec: {ingress: [{action: Allow, protocol: TCP, http: {methods: [GET]}}]}\n";

    // Files alone do not show what else there is, so nothing is said of it.
    let run = cli.run_with(&["validate", "-f", "-"], &first);
    assert!(run.code == 0 && run.err.is_empty(), "{}", run.err);
    cli.fails(
        &["validate", "--strict", "-f", "-"],
        http,
        3,
        "error[T-23]: GlobalNetworkPolicy(q): spec.ingress[0].http",
    );

    // The store does. Of several of a kind one is shown.
    let run = cli.run_with(&["apply", "-f", "-"], &format!("{first}---\n{second}"));
    assert!(run.code == 0 && run.err.contains("warning[T-1]: HostEndpoint(w1): no policy"), "{}", run.err);
    assert!(run.err.contains("(and 1 more, which `-v` shows)") && !run.err.contains("HostEndpoint(w2)"), "{}", run.err);
    let run = cli.run_with(&["-v", "apply", "-f", "-"], &format!("{first}---\n{second}"));
    assert!(run.err.contains("HostEndpoint(w1)") && run.err.contains("HostEndpoint(w2)"), "{}", run.err);
    let run = cli.run_with(&["-q", "apply", "-f", "-"], &format!("{first}---\n{second}"));
    assert!(run.code == 0 && run.err.is_empty(), "{}", run.err);

    for verb in ["apply", "create", "replace"] {
        cli.fails(&[verb, "--strict", "-f", "-"], untracked, 3, "error[T-12]: GlobalNetworkPolicy(p): spec.doNotTrack");
        assert_eq!(cli.count("gnp"), 0, "{verb} wrote in spite of --strict");
    }
    let run = cli.run_with(&["apply", "-f", "-"], untracked);
    assert!(run.code == 0 && run.err.contains("warning[T-12]") && run.err.contains("help: "), "{}", run.err);
    assert_eq!(cli.count("gnp"), 1);
    // What is only worth a warning stays one.
    let run = cli.run_with(&["apply", "--strict", "-f", "-"], &wild("w3"));
    assert!(run.code == 3 && run.err.contains("warning[T-4]"), "the untracked policy is ignored there: {}", run.err);
    let run = cli.run_with(&["apply", "--strict", "-f", "-"], &HEP.replace("web1-eth0", "e"));
    assert!(run.code == 0 && run.err.contains("warning[T-1]"), "{}", run.err);
}

#[test]
fn settings_that_agents_cannot_use_are_told_when_they_are_written_d12() {
    let cli = Cli::new();
    let settings = |name: &str, annotations: &str, spec: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: {name}, annotations: {annotations}}}\nspec: {spec}\n"
        )
    };
    let bad = settings("node.n1", "{tortie.dev/onTighten: Rechek, tortie.dev/onTightn: Keep}", "{logPrefix: x}");
    for arguments in [&["validate", "-f", "-"][..], &["apply", "-f", "-"]] {
        let run = cli.run_with(arguments, &bad);
        assert_eq!(run.code, 0, "{}", run.err);
        for text in [
            "warning: setting onTighten of FelixConfiguration(node.n1): `Rechek` is not one of Keep, Recheck",
            "did you mean `onTighten`?",
            "help: correct it",
        ] {
            assert!(run.err.contains(text), "{text}: {}", run.err);
        }
    }
    let run = cli.run_with(&["apply", "-q", "-f", "-"], &bad);
    assert!(run.code == 0 && run.err.is_empty(), "{}", run.err);
    let run = cli.run_with(&["apply", "-f", "-"], &settings("default", "{tortie.dev/onTighten: Recheck}", "{}"));
    assert!(run.code == 0 && !run.err.contains("warning"), "{}", run.err);
}

#[test]
fn nothing_is_written_by_a_dry_run_or_a_validation() {
    let cli = Cli::new();
    let run = cli.run_with(&["apply", "--dry-run=client", "-f", "-"], HEP);
    assert_eq!((run.code, run.out.as_str()), (0, "HostEndpoint(web1-eth0) would be applied\n"), "{}", run.err);
    let run = cli.run_with(&["validate", "-f", "-"], HEP);
    assert_eq!((run.code, run.out.as_str()), (0, "Successfully validated 1 'HostEndpoint' resource(s)\n"));
    assert!(!cli.folder.path().join("store.db").exists());
}

#[test]
fn a_folder_is_read_in_lexical_order_and_deeper_only_when_asked() {
    let cli = Cli::new();
    std::fs::create_dir_all(cli.folder.path().join("d/deeper")).unwrap();
    cli.file("d/b.yaml", &HEP.replace("web1-eth0", "b"));
    cli.file("d/a.json", r#"{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"a"}}"#);
    cli.file("d/readme.txt", "not yaml: [");
    cli.file("d/deeper/c.yml", &HEP.replace("web1-eth0", "c"));
    assert_eq!(cli.run(&["apply", "-f", "d"]).code, 0);
    assert_eq!((cli.count("hep"), cli.count("tiers")), (1, 4));
    assert_eq!(cli.run(&["apply", "-R", "-f", "d"]).code, 0);
    assert_eq!(cli.count("hep"), 2);
}

#[test]
fn versions_are_printed() {
    let cli = Cli::new();
    assert!(cli.run(&["version", "--client"]).out.starts_with("Client Version:"));
    assert!(cli.run(&["version", "-o", "json"]).out.contains("clientVersion"));
}
