//! What `get` adds to Calico's (cli.md sections 2.3 and 2.9): selectors, order, templates of kubectl, watching.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod support;

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use support::Cli;

const OBJECTS: &str = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web, labels: {role: web, app.kubernetes.io/name: shop}}
spec: {order: 10, selector: role == 'web', ingress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: db, labels: {role: db}}
spec: {order: 9, selector: role == 'db', ingress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: any}
spec: {selector: all(), ingress: [{action: Deny}]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth0, labels: {role: web}}
spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.1, 192.0.2.2]}
";

fn filled() -> Cli {
    let cli = Cli::new();
    cli.ok(&["apply", "-f", "-"], OBJECTS);
    cli
}

fn out(cli: &Cli, arguments: &[&str]) -> String {
    cli.ok(arguments, "").out
}

#[test]
fn selectors_of_policies_and_of_kubectl_choose_objects() {
    let cli = filled();
    let names = |arguments: &[&str]| out(&cli, &[&["get"], arguments, &["-o", "name"]].concat());
    assert_eq!(names(&["gnp", "-l", "role == 'web'"]), "globalnetworkpolicies/web\n");
    assert_eq!(names(&["gnp", "-l", "role=web"]), "globalnetworkpolicies/web\n");
    assert_eq!(names(&["gnp", "-l", "app.kubernetes.io/name in (shop)"]), "globalnetworkpolicies/web\n");
    assert_eq!(names(&["gnp", "-l", "!role"]), "globalnetworkpolicies/any\n");
    assert_eq!(names(&["gnp", "--selector", "has(role) && role != 'web'"]), "globalnetworkpolicies/db\n");
    assert_eq!(names(&["all", "-l", "role=web"]), "hostendpoints/web1-eth0\nglobalnetworkpolicies/web\n");
    assert_eq!(names(&["gnp", "-l", "role=none"]), "");
    cli.fails(&["get", "gnp", "-l", "role == web &&"], "", 2, "is no selector: expected string at byte 8");
    cli.fails(&["get", "gnp", "web", "-l", "role=web"], "", 2, "a name and a selector cannot be given together");
    cli.fails(&["get", "-l", "role=web"], "", 2, "need a kind");
}

#[test]
fn objects_come_in_the_order_that_is_asked_for() {
    let cli = filled();
    let names = |path: &str| out(&cli, &["get", "gnp", "--sort-by", path, "-o", "jsonpath={.items[*].metadata.name}"]);
    assert_eq!(names(".spec.order"), "any db web", "9 before 10, and nothing first");
    assert_eq!(names("{.metadata.name}"), "any db web");
    assert_eq!(names("spec.selector"), "any db web");
    cli.fails(&["get", "gnp", "--sort-by", ".a[x]"], "", 2, "`x` is no index");
}

#[test]
fn templates_of_kubectl_are_filled() {
    let cli = filled();
    let fill = |arguments: &[&str], template: &str| {
        out(&cli, &[&["get"], arguments, &["-o", &format!("jsonpath={template}")]].concat())
    };
    assert_eq!(fill(&["hep", "web1-eth0"], "{.spec.expectedIPs[1]}"), "192.0.2.2", "one object stands by itself");
    assert_eq!(fill(&["gnp"], "{range .items[*]}{.metadata.name}={.spec.order}{\"\\n\"}{end}"), "any=\ndb=9\nweb=10\n");
    assert_eq!(fill(&["hep/web1-eth0", "gnp/db"], "{.items[*].kind}"), "HostEndpoint GlobalNetworkPolicy");
    assert_eq!(fill(&["gnp", "web"], "{.metadata.labels.app\\.kubernetes\\.io/name}"), "shop");
    let file = cli.file("names.tpl", "{.items[*].metadata.name}\n");
    assert_eq!(out(&cli, &["get", "gnp", "-o", &format!("jsonpath-file={file}")]), "any db web\n");
    cli.fails(&["get", "gnp", "-o", "jsonpath={.a"], "", 2, "`{` is not closed at character 1 of the template");
    cli.fails(&["get", "gnp", "-o", "jsonpath="], "", 2, "need to specify a template");
    cli.fails(&["get", "gnp", "-o", "jsonpath-file=none"], "", 3, "cannot read `none`");
}

#[test]
fn go_templates_are_filled_with_the_array_of_results() {
    let cli = filled();
    let fill = |arguments: &[&str], template: &str| {
        out(&cli, &[&["get"], arguments, &["-o", &format!("go-template={template}")]].concat())
    };
    let names = "{{range .}}{{range .Items}}{{.ObjectMeta.Name}} {{end}}{{end}}";
    assert_eq!(fill(&["gnp"], names), "any db web ");
    assert_eq!(fill(&["gnp", "-l", "role=db"], names), "db ");
    assert_eq!(fill(&["hep/web1-eth0"], "{{range .}}{{join .Spec.ExpectedIPs \",\"}}{{end}}"), "192.0.2.1,192.0.2.2");
    let file = cli.file("names.tpl", names);
    assert_eq!(out(&cli, &["get", "gnp", "-o", &format!("go-template-file={file}")]), "any db web ");
    cli.fails(&["get", "gnp", "-o", "go-template={{"], "", 2, "template: get:1");
    cli.fails(&["get", "gnp", "-o", "go-template="], "", 2, "need to specify a template");
    cli.fails(&["get", "gnp", "-o", "go-template={{.Nothing.At}}"], "", 2, "template: get:1");
}

/// A program that watches, and ends with the test.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(cli: &Cli, arguments: &[&str]) -> Watching {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        command.arg("get").args(arguments).arg("-w").env("TORTIE_STORE", cli.store()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Watching { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the program goes on").unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whoever presses Ctrl-C ends it at once, with what a shell calls 130 (cli.md 2.2).
#[test]
fn an_interrupt_ends_a_watch() {
    let cli = filled();
    let mut watching = Watching::start(&cli, &["gnp", "-o", "name"]);
    watching.line();
    let pid = nix::unistd::Pid::from_raw(watching.child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(watching.child.wait().unwrap().signal(), Some(nix::libc::SIGINT));
}

/// Each change once, as soon as it is stored; what leaves a selector is gone for who asked by it.
#[test]
fn changes_are_shown_as_they_come() {
    let cli = filled();
    let mut all = Watching::start(&cli, &["gnp", "-o", "jsonl"]);
    let mut webs = Watching::start(&cli, &["gnp,hep", "-l", "role=web"]);
    let mut one = Watching::start(&cli, &["gnp", "db", "-o", "name"]);
    let mut told = || {
        let line: Value = serde_json::from_str(&all.line()).unwrap();
        format!("{} {}", line["type"].as_str().unwrap(), line["object"]["metadata"]["name"].as_str().unwrap())
    };
    let mut first = [told(), told(), told()];
    first.sort();
    assert_eq!(first, ["ADDED any", "ADDED db", "ADDED web"]);
    let mut table: Vec<String> = (0..4).map(|_| webs.line()).collect();
    table.sort();
    assert_eq!(
        table.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
        ["ADDED web default", "ADDED web1-eth0 web1", "EVENT NAME NODE", "EVENT NAME TIER"]
    );
    assert_eq!(one.line(), "globalnetworkpolicies/db");

    let changed = OBJECTS.replace("role: web,", "role: other,").replace("order: 9", "order: 8");
    assert_eq!(cli.run_with(&["apply", "-f", "-"], &changed).code, 0);
    let mut both = [told(), told()];
    both.sort();
    assert_eq!(both, ["MODIFIED db", "MODIFIED web"]);
    let gone = (0..2).map(|_| webs.line()).find(|line| line.starts_with("DELETED")).expect("it has left the selector");
    assert_eq!(gone.split_whitespace().collect::<Vec<_>>(), ["DELETED", "web", "default"]);
    assert_eq!(one.line(), "globalnetworkpolicies/db");
    assert_eq!(cli.run(&["delete", "gnp", "any"]).code, 0);
    assert_eq!(told(), "DELETED any");
    cli.fails(&["get", "-w"], "", 2, "need a kind");
}
