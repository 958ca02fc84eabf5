//! `docs` (cli.md section 2.3).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod support;

use serde_json::Value;
use support::Cli;

/// What is printed, without asking any store.
fn out(cli: &Cli, arguments: &[&str]) -> String {
    let all: Vec<&str> =
        ["docs", "--store", "embedded:/nonexistent/store.db"].iter().chain(arguments).copied().collect();
    let run = cli.run(&all);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{arguments:?}");
    run.out
}

fn json(cli: &Cli, arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().chain(&["-o", "json"]).copied().collect();
    serde_json::from_str(&out(cli, &all)).unwrap()
}

/// `golden/docs-hep.txt` is what a reader sees; `cargo xtask golden` rewrites it.
#[test]
fn a_kind_is_shown_with_an_example_and_its_fields() {
    let cli = Cli::new();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/docs-hep.txt");
    let found = out(&cli, &["hep"]);
    if std::env::var_os("TORTIE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap(), "if this is right, run `cargo xtask golden`");
    for word in ["HostEndpoint", "hostendpoints", "HEPS", "hep.spec"] {
        let other = out(&cli, &[word]);
        assert!(
            other.contains("FIELDS") && other.contains("  interfaceName  name of an interface\n"),
            "{word}: {other}"
        );
    }
    assert!(found.lines().all(|line| line.chars().count() <= 100), "100 columns where there is no terminal");
    assert!(out(&cli, &["hep", "--color", "always"]).contains("\x1b[1mFIELDS\x1b[0m"));
}

#[test]
fn without_a_kind_every_kind_has_its_sentence() {
    let cli = Cli::new();
    let text = out(&cli, &[]);
    let kinds = json(&cli, &[]);
    let kinds = kinds.as_array().unwrap();
    assert_eq!(kinds.len(), 15);
    for kind in kinds {
        let name = kind["kind"].as_str().unwrap();
        assert!(text.contains(name), "{name} is missing in:\n{text}");
        assert!(kind["summary"].as_str().unwrap().ends_with('.'));
        assert_eq!(json(&cli, &[kind["plural"].as_str().unwrap()])["kind"], name);
    }
    cli.fails(&["docs", "--recursive"], "", 2, "required");
}

#[test]
fn a_path_goes_down_with_or_without_spec() {
    let cli = Cli::new();
    let source = out(&cli, &["gnp.spec.ingress.source"]);
    for what in ["gnp.ingress.source", "gnp.ingress[0].source", "gnp.spec.ingress[12].source"] {
        assert_eq!(out(&cli, &[what]), source, "{what}");
    }
    assert!(source.contains("FIELD  spec.ingress.source\n"), "{source}");
    assert!(source.contains("\n  nets  list of different networks, at most 256\n"), "{source}");
    assert!(!source.contains("\n  action"), "{source}");
    let action = out(&cli, &["gnp.egress.action"]);
    assert!(
        action.contains("TYPE   word: Allow, Deny, Log, Pass; required\n") && !action.contains("FIELDS"),
        "{action}"
    );
    assert!(out(&cli, &["tier.defaultAction"]).contains("TYPE   word: Deny, Pass; default `Deny`\n"));
    assert!(out(&cli, &["tier.status.conditions"]).contains("\n  reason  text\n"));
    assert!(out(&cli, &["hep.metadata"]).contains("\n  labels  map of labels\n"));
    assert!(out(&cli, &["hep.kind"]).contains("TYPE   text; required\n"));
}

#[test]
fn what_is_not_there_is_a_usage_error_with_a_hint() {
    let cli = Cli::new();
    for (what, message, hint) in [
        ("hepp", "resource type 'hepp' is not supported", "did you mean `hep`?"),
        ("", "resource type '' is not supported", "`tortie get` lists the kinds"),
        ("IPPool", "resource type 'IPPool' is not supported", ""),
        ("hep.spec.interfacName", "HostEndpoint has no field `spec.interfacName`", "did you mean `interfaceName`?"),
        ("hep.metdata", "has no field `spec.metdata`", "did you mean `metadata`?"),
        ("gnp.ingress.sorce", "has no field `spec.ingress.sorce`", "did you mean `source`?"),
        ("hep.ports.zzz", "has no field `spec.ports.zzz`", "its fields are name, protocol, port"),
        ("hep.zzz", "has no field `spec.zzz`", "`tortie docs hostendpoints` tells its fields"),
        ("hep.node.name", "`spec.node` of HostEndpoint has no fields", ""),
        ("hep..node", "has no field `spec.`", ""),
        // Fields of global policies do not exist on namespaced ones (resources.md section 4.2).
        ("np.preDNAT", "NetworkPolicy has no field `spec.preDNAT`", ""),
    ] {
        cli.fails(&["docs", what], "", 2, message);
        cli.fails(&["docs", what], "", 2, hint);
    }
    cli.fails(&["docs", "hep", "-o", "yaml"], "", 2, "invalid value 'yaml'");
}

/// The paths of a tree that `--recursive` printed.
fn paths(tree: &str) -> Vec<String> {
    let mut above: Vec<&str> = Vec::new();
    let mut paths = Vec::new();
    for line in tree.lines().skip(1) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        above.truncate(depth);
        above.push(line.split_whitespace().next().unwrap());
        paths.push(above.join("."));
    }
    paths
}

#[test]
fn every_path_of_a_tree_can_be_asked_for() {
    let cli = Cli::new();
    // Those of the other kinds are found by a test without processes.
    for kind in ["hep", "gnp", "sknp", "kcc", "tiers"] {
        let tree = out(&cli, &[kind, "--recursive"]);
        let paths = paths(&tree);
        assert_eq!(paths[0], "spec", "{tree}");
        assert!(paths.len() > 2, "{tree}");
        for path in paths.iter().skip(1) {
            let page = out(&cli, &[&format!("{kind}.{path}")]);
            assert!(page.contains(&format!("FIELD  {path}\n")), "{kind}.{path}: {page}");
        }
    }
    let below = out(&cli, &["gnp.ingress.source", "--recursive"]);
    assert!(below.contains("\nspec.ingress.source "), "{below}");
    assert!(below.lines().any(|line| line.split_whitespace().eq(["namespace", "name"])), "{below}");
}

#[test]
fn programs_get_the_same_as_json() {
    let cli = Cli::new();
    let kind = json(&cli, &["gnp"]);
    assert_eq!(kind["apiVersion"], "projectcalico.org/v3");
    assert!(kind["example"].as_str().unwrap().starts_with("apiVersion:"));
    let by_name = |fields: &Value, name: &str| fields.as_array().unwrap().iter().find(|f| f["name"] == name).cloned();
    let ingress = by_name(&kind["fields"], "ingress").unwrap();
    assert_eq!((&ingress["path"], &ingress["maxItems"]), (&"spec.ingress".into(), &1024.into()));
    assert!(ingress.get("fields").is_none(), "one level without --recursive");
    let deep = json(&cli, &["gnp", "--recursive"]);
    let deep = by_name(&by_name(&deep["fields"], "ingress").unwrap()["fields"], "action").unwrap();
    assert_eq!(deep["path"], "spec.ingress.action");
    assert_eq!(deep["values"], serde_json::json!(["Allow", "Deny", "Log", "Pass"]));
    let port = json(&cli, &["hep.ports.port"]);
    assert_eq!((&port["minimum"], &port["maximum"], &port["required"]), (&1.into(), &65535.into(), &true.into()));
    assert_eq!((&port["kind"], &port["used"]), (&"HostEndpoint".into(), &true.into()));
    assert_eq!(json(&cli, &["felixconfig.routeSource"])["used"], false);
}

/// Defaults of settings come from where the agent has them; fields that it does not read are named without ceremony.
#[test]
fn settings_show_what_holds_without_them_and_which_ones_are_of_no_use() {
    let cli = Cli::new();
    assert!(out(&cli, &["felixconfig.logPrefix"]).contains("TYPE   text; default `calico-packet`\n"));
    let page = out(&cli, &["felixconfig"]);
    let (fields, also) = page.split_once("\nALSO\n").unwrap();
    assert!(fields.contains("\n  logPrefix  ") && !fields.contains("vxlanEnabled"), "{fields}");
    assert!(also.contains(" vxlanEnabled,") && also.starts_with("  Kept for Calico; "), "{also}");
    assert!(out(&cli, &["felixconfig.vxlanEnabled"]).contains(" Kept for Calico; "));
}
