//! `datastore`, `lock` and `unlock` on the embedded store (cli.md section 2.3, datastore.md sections 2.8 and 7).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod support;

use serde_json::Value;
use support::Cli;

const OBJECTS: &str = "apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: 100}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth0, labels: {role: web, env: \"yes\"}, annotations: {note: \"a: b\\n---\\nc\"}}
spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.1]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec: {tier: security, selector: role == 'web', ingress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: s, namespace: ns}
spec: {nets: [10.0.0.0/8]}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {failsafeInboundHostPorts: []}
";

const KINDS: &str = "tiers,hep,gnp,networksets,felixconfig,clusterinfo";

/// Everything that is stored, without what each store gives itself.
fn everything(cli: &Cli) -> Vec<Value> {
    let run = cli.run(&["get", KINDS, "-A", "-o", "jsonl"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let mut objects: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for object in &mut objects {
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    }
    objects.sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
    objects
}

fn is_ready(cli: &Cli) -> Value {
    let run = cli.run(&["get", "clusterinfo", "default", "-o", "json"]);
    let value: Value = serde_json::from_str(&run.out).unwrap();
    value["spec"]["datastoreReady"].clone()
}

#[test]
fn what_is_exported_is_imported_with_the_identity_of_the_store_and_of_its_objects() {
    let (from, to) = (Cli::new(), Cli::new());
    from.ok(&["apply", "-f", "-"], OBJECTS);
    let text = from.ok(&["datastore", "export"], "").out;
    assert!(to.ok(&["datastore", "import", "-f", "-", "--dry-run"], &text).out.contains("would be imported"));
    assert_eq!(to.count("tiers"), 0, "a dry run writes nothing");
    to.ok(&["datastore", "import", "-f", "-"], &text);
    assert_eq!(everything(&to), everything(&from));
    assert_eq!(is_ready(&to), true);
    // A second time it is refused as a whole, or leaves what is there.
    to.fails(&["datastore", "import", "-f", "-"], &text, 5, "resource already exists: Tier(security), ");
    to.ok(&["delete", "gnp", "p"], "");
    let told = to.ok(&["datastore", "import", "-f", "-", "--skip-exists"], &text).out;
    assert!(told.contains("were there already"), "{told}");
    assert_eq!(to.count("gnp"), 1);
}

#[test]
fn an_export_to_a_file_is_whole_and_never_written_over_another() {
    let cli = Cli::new();
    cli.ok(&["apply", "-f", "-"], OBJECTS);
    cli.ok(&["datastore", "export", "-o", "all.yaml"], "");
    assert_eq!(
        std::fs::read_to_string(cli.folder.path().join("all.yaml")).unwrap(),
        cli.ok(&["datastore", "export"], "").out
    );
    cli.fails(&["datastore", "export", "-o", "all.yaml"], "", 1, "name a new file");
    cli.fails(&["datastore", "import", "-f", "all.yaml", "-f", "none.yaml"], "", 3, "cannot read `none.yaml`");
    cli.fails(&["datastore", "import", "-f", "-"], "kind: Tier\n", 3, "line 1: `apiVersion`");
}

#[test]
fn a_copy_locks_where_it_comes_from_and_unlocks_where_it_goes() {
    let (from, to) = (Cli::new(), Cli::new());
    from.ok(&["apply", "-f", "-"], OBJECTS);
    let before = everything(&from);
    let run = from.run(&["datastore", "copy", "--from", &from.store(), "--to", &to.store()]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("stays locked"), "{}", run.err);
    assert_eq!((is_ready(&from), is_ready(&to)), (Value::Bool(false), Value::Bool(true)));
    assert_eq!(everything(&to), before);
    // What cannot be brought in leaves the first store as it was.
    from.ok(&["unlock"], "");
    from.fails(&["datastore", "copy", "--from", &from.store(), "--to", &to.store()], "", 5, "is unlocked again");
    assert_eq!(is_ready(&from), true);
    from.ok(&["datastore", "copy", "--no-lock", "--skip-exists", "--from", &from.store(), "--to", &to.store()], "");
    assert_eq!(is_ready(&from), true);
    from.fails(&["datastore", "copy", "--from", &from.store(), "--to", &from.store()], "", 2, "both ends");
}

#[test]
fn more_than_one_transaction_is_brought_in_behind_a_lock() {
    let (from, to) = (Cli::new(), Cli::new());
    let sets: String = (0..1_200)
        .map(|number| {
            format!("---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: s{number}}}\nspec: {{nets: [10.0.0.0/8]}}\n")
        })
        .collect();
    from.ok(&["apply", "-f", "-"], &sets);
    to.ok(&["datastore", "init"], "");
    let text = from.ok(&["datastore", "export"], "").out;
    to.ok(&["datastore", "import", "-f", "-"], &text);
    assert_eq!((to.count("globalnetworksets"), is_ready(&to)), (1_200, Value::Bool(true)));
    // A store that was locked before stays so.
    to.ok(&["lock"], "");
    to.ok(&["datastore", "import", "-f", "-", "--skip-exists"], &text);
    assert_eq!(is_ready(&to), false);
}

#[test]
fn the_embedded_store_is_copied_compacted_and_checked() {
    let cli = Cli::new();
    cli.ok(&["apply", "-f", "-"], OBJECTS);
    cli.ok(&["datastore", "backup", "copy.db"], "");
    cli.fails(&["datastore", "backup", "copy.db"], "", 1, "exists; name a new file");
    let copy = cli.folder.path().join("copy.db").display().to_string();
    cli.ok(&["--store", &copy, "datastore", "check"], "");
    assert!(cli.ok(&["datastore", "compact"], "").out.contains("history is forgotten"));
    assert!(cli.ok(&["datastore", "check"], "").out.contains("the store is sound"));
    assert_eq!(everything(&cli).len(), 9);
    cli.fails(&["--store", "etcd://127.0.0.1:1", "datastore", "check"], "", 2, "etcd's own tools");
}

/// On a terminal a line of progress is gone before the result is told (cli.md section 2.8).
#[test]
fn the_line_of_progress_is_cleared_before_the_result() {
    let cli = Cli::new();
    cli.ok(&["apply", "-f", "-"], OBJECTS);
    let command = format!("stty cols 100; {} datastore export -o all.yaml", env!("CARGO_BIN_EXE_tortie"));
    let mut terminal = std::process::Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    terminal.env("TORTIE_STORE", cli.store()).current_dir(cli.folder.path()).stdin(std::process::Stdio::null());
    let output = terminal.output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("exported, "), "a line of progress: {shown:?}");
    let cleared = shown.rsplit(['\r', '\n', 'K']).find(|part| part.contains("objects are exported")).unwrap();
    assert!(cleared.starts_with(|first: char| first.is_ascii_digit()), "{shown:?}");
    assert!(shown.trim_end().ends_with("are exported to `all.yaml`"), "nothing follows: {shown:?}");
}
