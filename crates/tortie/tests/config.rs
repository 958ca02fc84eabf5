//! `tortie config` (cli.md section 2.3, datastore.md section 2.9).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A user with a home of its own, whom nothing tells of a store.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn own_file(&self) -> PathBuf {
        self.home.path().join(".config/tortie/tortie.cfg")
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.home.path().join(name), text).unwrap();
        name.to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command
    }

    fn run_in(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let output = self.command(arguments).envs(variables.iter().copied()).output().unwrap();
        Run {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn ok(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let run = self.run_in(arguments, variables);
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.err);
        run
    }

    /// The value and the source of a setting.
    fn view(&self, arguments: &[&str], variables: &[(&str, &str)], name: &str) -> Option<(String, String)> {
        let run = self.ok(&[&["config", "view", "-o", "json"], arguments].concat(), variables);
        let view: Value = serde_json::from_str(&run.out).unwrap();
        let text = |member: &str| view.get(name)?.get(member)?.as_str().map(str::to_owned);
        Some((text("value")?, text("source")?))
    }
}

fn pair(value: &str, source: &str) -> Option<(String, String)> {
    Some((value.to_owned(), source.to_owned()))
}

#[test]
fn each_value_says_where_it_is_from() {
    let user = User::new();
    assert_eq!(user.view(&[], &[], "store"), pair("embedded:/var/lib/tortie/store.db", "default"));
    assert_eq!(user.view(&["--store", "/x.db"], &[], "store"), pair("embedded:/x.db", "flag --store"));
    let store = [("TORTIE_STORE", "/y.db")];
    assert_eq!(user.view(&[], &store, "store"), pair("embedded:/y.db", "variable TORTIE_STORE"));
    assert_eq!(user.view(&["--store", "/x.db"], &store, "store"), pair("embedded:/x.db", "flag --store"));
    let etcd = [("ETCD_ENDPOINTS", "http://u:hush@a:1"), ("CALICO_ETCD_USERNAME", "u"), ("ETCD_PASSWORD", "hush")];
    assert_eq!(user.view(&[], &etcd, "store"), pair("etcd", "variable ETCD_ENDPOINTS"));
    assert_eq!(user.view(&[], &etcd, "etcdEndpoints"), pair("http://a:1", "variable ETCD_ENDPOINTS"));
    assert_eq!(user.view(&[], &etcd, "etcdUsername"), pair("u", "variable CALICO_ETCD_USERNAME"));
    assert_eq!(user.view(&[], &etcd, "etcdPassword"), pair("(not shown)", "variable ETCD_PASSWORD"));
    let named = ["--store", "etcds://b:2"];
    assert_eq!(user.view(&named, &etcd, "etcdEndpoints"), pair("https://b:2", "flag --store"));
    assert_eq!(user.view(&named, &etcd, "etcdUsername"), pair("u", "variable CALICO_ETCD_USERNAME"));
    let cluster = [("KUBECONFIG", "/k"), ("ETCD_CA_CERT_FILE", "/ca")];
    assert_eq!(user.view(&[], &cluster, "kubeconfig"), pair("/k", "variable KUBECONFIG"));
    assert_eq!(user.view(&[], &cluster, "etcdCACertFile"), None, "it says nothing of a cluster");
    assert_eq!(user.view(&["--context", "c"], &cluster, "k8sCurrentContext"), pair("c", "flag --context"));
    assert_eq!(user.view(&["-n", "shop"], &cluster, "namespace"), pair("shop", "flag --namespace"));
    assert_eq!(user.view(&[], &cluster, "socket"), pair("/run/tortie/agent.sock", "default"));
    assert_eq!(user.view(&[], &cluster, "namespace"), None);
    for arguments in [&["config", "view"][..], &["config", "view", "-o", "json"]] {
        let run = user.ok(arguments, &etcd);
        assert!(!run.out.contains("hush") && run.out.contains("(not shown)"), "{}", run.out);
    }
}

#[test]
fn a_file_of_ones_own_is_written_and_read() {
    let user = User::new();
    let file = user.own_file().display().to_string();
    assert_eq!(user.ok(&["config", "path"], &[]).out, format!("{file}\n"), "where it would be");
    let run = user.ok(&["config", "set", "etcdEndpoints", "http://a:1"], &[("ETCD_USERNAME", "u")]);
    assert_eq!(run.out, format!("etcdEndpoints set in {file}\n"));
    assert!(run.err.contains("counts alone") && run.err.contains("ETCD_USERNAME"), "{}", run.err);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let source = format!("file {file}");
    assert_eq!(user.view(&[], &[("ETCD_USERNAME", "u")], "etcdUsername"), None);
    assert_eq!(user.view(&[], &[], "store"), pair("etcd", &source));
    // A secret comes from standard input, and stays in the file.
    let mut command = user.command(&["config", "set", "etcdPassword", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hush # now\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(std::fs::read_to_string(&file).unwrap().contains("etcdPassword: 'hush # now'"));
    assert_eq!(user.view(&[], &[], "etcdPassword"), pair("(not shown)", &source));
    assert_eq!(user.ok(&["config", "set", "etcdPassword", ""], &[]).err, "");
    assert_eq!(user.view(&[], &[], "etcdPassword"), None);
    // Flags and the variable of the store still win.
    assert_eq!(user.view(&["--store", "/x.db"], &[], "store"), pair("embedded:/x.db", "flag --store"));
    // Where configuration is kept elsewhere, the file is there.
    let elsewhere = user.home.path().join("elsewhere");
    let run = user.ok(&["config", "path"], &[("XDG_CONFIG_HOME", elsewhere.to_str().unwrap())]);
    assert_eq!(run.out, format!("{}\n", elsewhere.join("tortie/tortie.cfg").display()));
}

#[test]
fn a_named_file_is_changed_where_it_is_and_keeps_its_comments() {
    let user = User::new();
    let text = "# of the team\napiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  etcdEndpoints: http://a:1 # first\n";
    let name = user.file("team.cfg", text);
    for naming in [["--config", &name], ["--store", &format!("config:{name}")]] {
        assert_eq!(user.ok(&[&["config", "path"][..], &naming].concat(), &[]).out, format!("{name}\n"));
    }
    let named = ["--store", &format!("config:{name}")];
    for field in ["store", "etcdEndpoints"] {
        assert_eq!(user.view(&named, &[], field).map(|(_, source)| source), Some(format!("file {name}")));
    }
    user.ok(&["config", "set", "etcdEndpoints", "http://b:1", "--config", &name], &[]);
    let path = user.home.path().join(&name);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text.replace("a:1", "b:1"));
    assert!(!user.own_file().exists());
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let run = user.run_in(arguments, &[]);
        assert_eq!(run.code, Some(code), "{arguments:?}: {}", run.err);
        assert!(run.err.contains(part), "{arguments:?}: {}", run.err);
    };
    fails(&["config", "set", "etcdEndpoint", "x"], 2, "did you mean `etcdEndpoints`?");
    fails(&["config", "set", "datastoreType", "etcd3"], 2, "did you mean `etcdv3`?");
    fails(&["config", "set", "kubeconfig", "/k", "--config", "/proc/none/x.cfg"], 1, "cannot write");
    let other = user.file("other.cfg", "apiVersion: v1\nkind: Config\n");
    fails(&["config", "set", "kubeconfig", "/k", "--config", &other], 3, "unknown APIVersion 'v1'");
    assert_eq!(std::fs::read_to_string(user.home.path().join(other)).unwrap(), "apiVersion: v1\nkind: Config\n");
    fails(&["config", "view", "--config", "none.cfg"], 3, "none.cfg");
}

/// The rules of a host do not depend on whose home the agent was started in.
#[test]
fn an_agent_reads_no_file_of_a_user() {
    let user = User::new();
    user.ok(&["config", "set", "kubeconfig", "/k"], &[]);
    std::fs::write(user.own_file(), "apiVersion: v1\n").unwrap();
    let etcd = [("ETCD_ENDPOINTS", "http://127.0.0.1:1")];
    let run = user.run_in(&["get", "hep"], &etcd);
    assert!(run.code == Some(3) && run.err.contains("unknown APIVersion"), "{:?} {}", run.code, run.err);
    let run = user.run_in(&["controller", "--once", "--standalone", "--timeout", "1"], &etcd);
    assert!(run.code == Some(7) && !run.err.contains("unknown APIVersion"), "{:?} {}", run.code, run.err);
}
