//! `tortie` under the name `calicoctl`: the recorded sessions of Calico's own program, on both stores, and what they leave
//! out of cli.md part 1.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The runner of the sessions.
fn runner(arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/calicoctl/run.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--bin", env!("CARGO_BIN_EXE_tortie"), "--as", "tortie"]).args(arguments);
    let output = command.output().expect("python3 runs the sessions and must be installed");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{arguments:?}: {}", said.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" passed, 0 failed"), "{said}");
}

#[test]
fn sessions_with_the_embedded_store_are_as_recorded() {
    runner(&["--store", "embedded"]);
}

#[test]
fn sessions_with_etcd_are_as_recorded() {
    runner(&["--store", "etcd"]);
}

/// What was read from the source of Calico's program and not recorded.
fn derived() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/calicoctl/derived").display().to_string()
}

#[test]
fn derived_sessions_hold_with_the_embedded_store() {
    runner(&["--store", "embedded", &derived()]);
}

#[test]
fn derived_sessions_hold_with_etcd() {
    runner(&["--store", "etcd", &derived()]);
}

#[test]
fn the_runner_tells_wrong_programs_from_right_ones() {
    runner(&["--store", "embedded", "--only", "01-*", "--self-check"]);
}

/// A folder with the program under its other name, and a store.
struct Calicoctl {
    folder: tempfile::TempDir,
}

/// What a command did.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Calicoctl {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tortie"), folder.path().join("calicoctl")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run_on(&self, store: &str, arguments: &[&str], input: &str) -> Done {
        let mut child = Command::new(self.path("calicoctl"))
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("TORTIE_STORE", format!("embedded:{store}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Done {
        self.run_on("store.db", arguments, input)
    }

    fn succeeds(&self, arguments: &[&str], input: &str) -> String {
        let done = self.run(arguments, input);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{arguments:?}: {}", done.out);
        done.out
    }

    /// What stands on standard error when a command fails; nothing stands on the other stream.
    fn fails(&self, arguments: &[&str], input: &str) -> String {
        let done = self.run(arguments, input);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{arguments:?}: {}", done.err);
        done.err
    }
}

fn endpoint(name: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: {name}}}\n\
         spec: {{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1, 192.0.2.2]}}\n"
    )
}

#[test]
fn mistakes_of_the_line_are_told_in_the_words_of_cobra() {
    let calicoctl = Calicoctl::new();
    for (line, words) in [
        (&["aply"][..], "unknown command \"aply\" for \"calicoctl\"\n\nDid you mean this?\n\tapply\n\n"),
        (&["zzzzzz"], "unknown command \"zzzzzz\" for \"calicoctl\"\n"),
        (&["get", "hep", "--bogus"], "unknown flag: --bogus\n"),
        (&["apply", "--skip-exists", "-f", "x"], "unknown flag: --skip-exists\n"),
        (&["get", "hep", "-x"], "unknown shorthand flag: 'x' in -x\n"),
        (&["get", "hep", "-o"], "flag needs an argument: 'o' in -o\n"),
        (
            &["label", "hep", "--overwrite=maybe"],
            "invalid argument \"maybe\" for \"--overwrite\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax\n",
        ),
        (&["patch", "hep"], "accepts 2 arg(s), received 1\n"),
        (&["label", "hep"], "requires at least 3 arg(s), only received 1\n"),
        (
            &["get", "hep", "-l", "loud"],
            "unknown log level: loud, expected one of: panic, fatal, error, warn, info, debug\n",
        ),
        (&["get", "hep", "-o", "custom-columns"], "need to specify at least one column\n"),
        (&["get", "hep", "-o", "go-template="], "need to specify a template\n"),
        (&["get", "hep", "-o", "go-template-file=none"], "open none: no such file or directory\n"),
    ] {
        assert_eq!(calicoctl.fails(line, ""), words);
    }
}

#[test]
fn what_is_not_offered_says_what_is() {
    let calicoctl = Calicoctl::new();
    for (line, part) in [
        (&["node", "status"][..], "tortie status"),
        (&["node", "run", "--name", "x"], "tortie agent"),
        (&["cluster", "diags"], "tortie dump"),
        (&["ipam", "show", "--ip=10.0.0.1"], "manages no addresses"),
        (&["get"], "a kind, or a file with -f, is needed"),
        (&["validate"], "a kind, or a file with -f, is needed"),
    ] {
        let said = calicoctl.fails(line, "");
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn help_and_completions_go_to_standard_output() {
    let calicoctl = Calicoctl::new();
    assert!(calicoctl.succeeds(&[], "").contains("\n  apply "));
    assert_eq!(calicoctl.succeeds(&["get", "-h"], ""), calicoctl.succeeds(&["help", "get"], ""));
    assert!(calicoctl.succeeds(&["datastore", "migrate"], "").contains("\n  unlock "));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(calicoctl.succeeds(&["completion", shell], "").contains("skip-exists"), "{shell}");
    }
}

#[test]
fn log_levels_and_versions_change_nothing() {
    let calicoctl = Calicoctl::new();
    calicoctl.succeeds(&["apply", "-f", "-", "-l", "debug", "--allow-version-mismatch"], &endpoint("h1"));
    assert_eq!(calicoctl.succeeds(&["get", "hep", "-lInfo"], ""), "NAME   NODE   \nh1     n1     \n\n");
}

#[test]
fn templates_see_an_array_of_results_with_the_names_of_go() {
    let calicoctl = Calicoctl::new();
    calicoctl.succeeds(&["apply", "-f", "-"], &endpoint("h1"));
    let text = "{{range .}}{{range .Items}}{{.ObjectMeta.Name}}={{join .Spec.ExpectedIPs \",\"}};{{end}}{{end}}";
    let shown = calicoctl.succeeds(&["get", "hep", "-o", &format!("go-template={text}")], "");
    assert_eq!(shown, "h1=192.0.2.1,192.0.2.2;");
    std::fs::write(calicoctl.path("t"), "{{(index . 0).Spec.Node | printf \"%q\"}}\n").unwrap();
    assert_eq!(calicoctl.succeeds(&["get", "hep", "h1", "-o", "go-template-file=t"], ""), "\"n1\"\n");
}

#[test]
fn what_is_shown_can_be_replaced_by_itself() {
    let calicoctl = Calicoctl::new();
    let settings = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {}\n";
    calicoctl.succeeds(&["create", "-f", "-"], settings);
    for (kind, format) in [("felixconfig", "yaml"), ("felixconfig", "json"), ("tier", "yaml"), ("tier", "json")] {
        let shown = calicoctl.succeeds(&["get", kind, "-o", format], "");
        calicoctl.succeeds(&["replace", "-f", "-"], &shown);
    }
}

#[test]
fn several_pairs_and_files_all_count() {
    let calicoctl = Calicoctl::new();
    std::fs::write(calicoctl.path("a.yaml"), endpoint("a")).unwrap();
    std::fs::write(calicoctl.path("b.yaml"), endpoint("b")).unwrap();
    let done = calicoctl.succeeds(&["create", "-f", "a.yaml", "-f", "b.yaml"], "");
    assert_eq!(done, "Successfully created 2 'HostEndpoint' resource(s)\n");
    let done = calicoctl.succeeds(&["label", "hep", "a", "x=1", "z=2"], "");
    assert_eq!(done, "Successfully set label x on hep a\nSuccessfully set label z on hep a\n");
    assert!(calicoctl.succeeds(&["get", "hep", "a", "-o", "yaml"], "").contains("    x: \"1\"\n    z: \"2\"\n"));
}

#[test]
fn a_store_moves_into_another() {
    let calicoctl = Calicoctl::new();
    calicoctl.succeeds(&["apply", "-f", "-"], &endpoint("h1"));
    assert_eq!(
        calicoctl.fails(&["datastore", "migrate", "export"], ""),
        "datastore is not locked. Run the `calicoctl datastore migrate lock` command in order to begin migration\n"
    );
    assert_eq!(calicoctl.succeeds(&["datastore", "migrate", "lock"], ""), "Datastore locked.\n");
    let export = calicoctl.succeeds(&["datastore", "migrate", "export"], "");
    assert!(export.contains("kind: HostEndpointList\n") && export.ends_with("===\n{}\n"), "{export}");
    let (objects, information) = export.split_once("===\n").unwrap();
    assert!(!objects.contains("uid:") && !objects.contains("creationTimestamp"), "{export}");
    let information: Value = serde_json::from_str(information.strip_suffix("===\n{}\n").unwrap()).unwrap();
    assert!(information["metadata"]["uid"].is_string(), "{export}");
    std::fs::write(calicoctl.path("e"), &export).unwrap();

    let import = &["datastore", "migrate", "import", "-f", "e"];
    let done = calicoctl.run_on("other.db", import, "");
    assert_eq!(
        (done.code, done.out.as_str(), done.err.as_str()),
        (
            Some(0),
            "Datastore information successfully imported. Please refer to the datastore migration documentation for next \
             steps.\n",
            ""
        )
    );
    let again = calicoctl.run_on("other.db", import, "");
    assert!(
        again.code == Some(1) && again.err.contains("Found existing Calico HostEndpoint resource"),
        "{}",
        again.err
    );
    let export = calicoctl.run_on("other.db", &["datastore", "migrate", "export"], "").out;
    let (moved, moved_information) = export.split_once("===\n").unwrap();
    // Lists have the revision of the store they come from.
    let unrevised = |lists: &str| {
        lists
            .lines()
            .filter(|line| !line.contains("resourceVersion:"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    assert_eq!(unrevised(moved), unrevised(objects));
    let moved: Value = serde_json::from_str(moved_information.strip_suffix("===\n{}\n").unwrap()).unwrap();
    assert_eq!(moved["spec"], information["spec"]);
    assert_eq!(calicoctl.succeeds(&["datastore", "migrate", "unlock"], ""), "Datastore unlocked.\n");

    std::fs::write(calicoctl.path("e"), "nothing\n").unwrap();
    let done = calicoctl.run_on("third.db", import, "");
    assert!(done.code == Some(1) && done.err.contains("improperly formatted"), "{}", done.err);
}

#[test]
fn policies_without_old_names_need_no_migration() {
    let calicoctl = Calicoctl::new();
    calicoctl.succeeds(&["apply", "-f", "-"], &endpoint("h1"));
    let done = calicoctl.succeeds(&["datastore", "migrate-policy-names"], "");
    assert_eq!(done, "Policy name migration complete, migrated 0 policies.\n");
}

#[test]
fn what_is_merged_strategically_keeps_the_other_fields() {
    let calicoctl = Calicoctl::new();
    calicoctl.succeeds(&["apply", "-f", "-"], &endpoint("h1"));
    let done = calicoctl.succeeds(&["patch", "hep", "h1", "-p", r#"{"spec":{"interfaceName":null}}"#], "");
    assert_eq!(done, "Successfully patched 1 'HostEndpoint' resource\n");
    let shown = calicoctl.succeeds(&["get", "hep", "h1", "-o", "json"], "");
    assert!(
        !shown.contains("interfaceName") && shown.contains("\"node\": \"n1\"") && !shown.ends_with('\n'),
        "{shown}"
    );
    assert_eq!(
        calicoctl.fails(&["patch", "hep", "h1", "-p", "[]"], ""),
        "hit error: performing strategic merge patch: invalid JSON document\n"
    );
}
