//! What `apply` adds to Calico's (cli.md section 2.4): pruning, and conflicts that show both sides.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod support;

use support::Cli;

fn policy(name: &str, label: &str, order: u32) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}, labels: {{app: {label}}}}}\n\
         spec: {{order: {order}, selector: all(), ingress: [{{action: Allow}}]}}\n"
    )
}

fn set(name: &str, namespace: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: NetworkSet\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{app: shop}}}}\nspec: {{nets: [10.0.0.0/8]}}\n"
    )
}

fn apply(cli: &Cli, documents: &[String], arguments: &[&str]) -> (i32, String, String) {
    let run = cli.run_with(&[&["apply", "-f", "-"], arguments].concat(), &documents.join("---\n"));
    (run.code, run.out, run.err)
}

fn names(cli: &Cli) -> String {
    cli.run(&["get", "gnp,networksets", "-A", "-o", "jsonpath={.items[*].metadata.name}"]).out
}

fn filled() -> Cli {
    let cli = Cli::new();
    let all = [
        policy("a", "shop", 1),
        policy("b", "shop", 2),
        policy("other", "bank", 3),
        set("near", "ns"),
        set("gone", "ns"),
        set("far", "elsewhere"),
    ];
    assert_eq!(apply(&cli, &all, &[]).0, 0);
    cli
}

#[test]
fn what_a_selector_takes_and_the_files_do_not_hold_is_pruned() {
    let cli = filled();
    let kept = [policy("a", "shop", 1), policy("c", "shop", 5), set("near", "ns")];
    let prune = ["--prune", "-l", "app=shop", "--yes"];
    let (code, out, err) = apply(&cli, &kept, &[&prune[..], &["--dry-run", "client"]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("GlobalNetworkPolicy(b) would be deleted\n"), "{out}");
    assert_eq!(names(&cli), "a b other far gone near");

    let (code, out, err) = apply(&cli, &kept, &prune);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "Successfully applied 3 resource(s) (1 created, 2 unchanged, 2 pruned)\n");
    assert_eq!(
        err.lines().filter(|line| !line.starts_with("warning")).collect::<Vec<_>>(),
        ["no longer in the files:", "  GlobalNetworkPolicy(b)", "  NetworkSet(ns/gone)"],
        "the list comes first, and policies before what they name"
    );
    assert_eq!(names(&cli), "a c other far near", "nothing of another label or namespace");
    // There is nothing left to prune.
    assert_eq!(apply(&cli, &kept, &prune).1, "Successfully applied 3 resource(s) (3 unchanged)\n");
}

#[test]
fn pruning_that_is_not_sure_deletes_nothing() {
    let cli = filled();
    let kept = [policy("a", "shop", 9)];
    for (arguments, code, part) in [
        (&["--prune", "-l", "app=shop"][..], 2, "`--yes` answers every question with yes"),
        (&["--prune", "--yes"], 2, "--selector"),
        (&["-l", "app=shop"], 2, "--prune"),
        (&["--prune", "-l", "all()", "--yes"], 2, "does not take everything"),
        (&["--prune", "-l", "app=(", "--yes"], 2, "is no selector"),
    ] {
        let (found, _, err) = apply(&cli, &kept, arguments);
        assert!(found == code && err.contains(part), "{arguments:?}: {found} {err}");
    }
    let (code, _, err) = apply(&cli, &["# nothing\n".to_owned()], &["--prune", "-l", "app=shop", "--yes"]);
    assert_ne!(code, 0, "{err}");
    // What the store refuses keeps everything as it was.
    let refused = policy("a", "shop", 9).replace("{order", "{tier: none, order");
    assert_ne!(apply(&cli, &[refused], &["--prune", "-l", "app=shop", "--yes"]).0, 0);
    assert_eq!(names(&cli), "a b other far gone near");
    assert_eq!(cli.run(&["get", "gnp", "a", "-o", "jsonpath={.spec.order}"]).out, "1");
    // A file that the selector does not take is told of.
    let (code, _, err) = apply(&cli, &[policy("other", "bank", 3)], &["--prune", "-l", "app=nobody", "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("GlobalNetworkPolicy(other) is not taken by the selector"), "{err}");
}

/// Whoever was slower sees what was written meanwhile, and what the own form would change of it.
#[test]
fn a_conflict_shows_both_sides() {
    let cli = filled();
    let read = cli.run(&["get", "gnp", "a", "-o", "yaml"]).out;
    assert_eq!(apply(&cli, &[policy("a", "shop", 7)], &[]).0, 0);
    for arguments in [&["replace", "-f", "-"][..], &["apply", "-f", "-"], &["apply", "-f", "-", "--atomic"]] {
        let run = cli.run_with(arguments, &read.replace("order: 1", "order: 4"));
        assert_eq!(run.code, 5, "{arguments:?}: {}", run.err);
        assert!(run.err.contains("--- stored now\n+++ given\n"), "{}", run.err);
        assert!(run.err.contains("-  order: 7\n+  order: 4\n"), "{}", run.err);
    }
    assert_eq!(cli.run(&["get", "gnp", "a", "-o", "jsonpath={.spec.order}"]).out, "7");
}
