//! What was probably meant, wherever a word can be misspelt (cli.md sections 2.3 and 2.8).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/cli.rs"]
mod cli;

use cli::Cli;

const OBJECTS: &str = include_str!("support/words.yaml");

/// A policy in which one field stands as it is given.
fn policy(field: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: web}}\nspec:\n  types: [Ingress]\n  {field}\n"
    )
}

fn stored() -> Cli {
    let cli = Cli::new();
    cli.ok(&["apply", "-q", "-f", "-"], OBJECTS);
    cli
}

#[test]
fn misspelt_words_are_answered_with_what_was_meant() {
    let cli = stored();
    for (line, code, meant) in [
        ("gte", 2, "'get'"),
        ("datastore exprot", 2, "'export'"),
        ("get --outptu json", 2, "'--output'"),
        ("docs -o jsn", 2, "'json'"),
        ("get --log-level wran", 2, "`warn`"),
        ("get hpe", 2, "`hep`"),
        ("get hpe/web1-eth0", 2, "`hep`"),
        ("get hep -o jsn", 2, "`json`"),
        ("get hep -o custom-columns=NMAE", 2, "`NAME`"),
        ("get hep -l hass(role)", 2, "`has(`"),
        ("docs hep.spec.interfceName", 2, "`interfaceName`"),
        ("get hep web1-eht0", 4, "`web1-eth0`"),
        ("get hep/web1-eht0", 4, "`web1-eth0`"),
        ("get hep -o go-template={{range.}}{{range.Items}}{{.Spec.Nod}}{{end}}{{end}}", 2, "`Node`"),
        ("delete hep web1-eth", 4, "`web1-eth0`"),
        ("label hep web1-eth00 a=b", 4, "`web1-eth0`"),
        ("patch tier securty -p {}", 4, "`security`"),
        ("edit tier secruity", 4, "`security`"),
        ("get networkset office", 4, "`office` is in namespace `shop`: add `-n shop`"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        // The template has no spaces of its own.
        let arguments: Vec<String> = arguments.iter().map(|word| word.replace("range.", "range .")).collect();
        cli.fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "", code, meant);
    }
}

#[test]
fn fields_that_no_object_has_are_told_beside_the_result() {
    let cli = stored();
    let said = |arguments: &[&str]| cli.ok(arguments, "").err;
    for (arguments, meant) in [
        (["get", "hep", "-o", "jsonpath={.items[*].spec.nod}"], "`node`"),
        (["get", "hep/web1-eth0", "-o", "jsonpath={.metadata.nme}"], "`name`"),
        (["get", "hep", "--sort-by", ".spec.interfceName"], "`interfaceName`"),
        (["get", "hep,tiers", "--sort-by", "spec.ordr"], "`order`"),
    ] {
        let said = said(&arguments);
        assert!(said.contains("warning: no object has a field") && said.contains(meant), "{arguments:?}: {said}");
    }
    for arguments in [
        ["get", "hep", "-o", "jsonpath={.items[*].metadata.labels.rle}"],
        ["get", "hep", "-o", "jsonpath={.items[0].metadata.uid}{.items[0].metadata.generateName}"],
        ["get", "hep/web1-eth0", "-o", "jsonpath={.metadata.annotations.nothing}{.spec.expectedIPs[0]}"],
        ["get", "hep,tiers", "-o", "jsonpath={.items[*].spec.node}{.items[*].spec.order}"],
        ["get", "tiers", "--sort-by", ".spec.order"],
        ["-q", "get", "hep", "--sort-by=.spec.nod"],
    ] {
        assert_eq!(said(&arguments), "", "{arguments:?}");
    }
}

#[test]
fn mistakes_in_files_are_answered_with_what_was_meant() {
    let cli = stored();
    for (field, meant) in [
        ("selector: hass(role)", "did you mean `has(`?"),
        ("selector: role conatins 'w'", "did you mean `contains`?"),
        ("selector: role = 'web'", "write `==`"),
        ("selector: role == 'a' and has(b)", "did you mean `&&`?"),
        ("ingress: [{action: Allow, source: {selector: alll()}}]", "did you mean `all(`?"),
        ("selctor: all()", "did you mean `selector`?"),
    ] {
        for command in [&["validate", "-f", "-"], &["apply", "-f", "-"]] {
            cli.fails(command, &policy(field), 3, meant);
        }
    }
    cli.fails(
        &["apply", "-f", "-"],
        &policy("tier: securty").replace("name: web", "name: securty.web"),
        3,
        "`security`",
    );
}

/// Their texts are exact (cli.md part 1).
#[test]
fn calicoctl_says_nothing_of_what_was_meant() {
    let cli = stored();
    let program = cli.folder.path().join("calicoctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tortie"), &program).unwrap();
    std::fs::write(cli.folder.path().join("p.yaml"), policy("selector: hass(role)")).unwrap();
    for arguments in [&["get", "hep", "web1-eht0"][..], &["apply", "-f", "p.yaml"], &["get", "hep", "-o", "jsn"]] {
        let output = std::process::Command::new(&program)
            .args(arguments)
            .env("TORTIE_STORE", cli.store())
            .env("_TORTIE_COMPLETE", "bash")
            .current_dir(cli.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.is_empty() && !said.contains("did you mean") && !said.contains("help:"), "{said}");
    }
}
