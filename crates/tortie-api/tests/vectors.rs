//! Runs `validation.json` of the directory named by `TORTIE_VECTORS` (default: `vectors/` of the repository).
#![allow(clippy::disallowed_methods, reason = "the vectors are files, and their place is given by the environment")]

use std::path::PathBuf;

use serde_json::Value;
use tortie_api::{Severity, decode};

#[test]
fn every_vector_has_its_outcome() {
    let dir = std::env::var_os("TORTIE_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors")), PathBuf::from);
    let path = dir.join("validation.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Vec<Value> = serde_json::from_str(&text).expect("an array of cases");
    assert!(!cases.is_empty(), "{} holds no case", path.display());
    let failures: Vec<String> = cases.iter().filter_map(|case| judge(case).err()).collect();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
    println!("{} validation vectors", cases.len());
}

fn judge(case: &Value) -> Result<(), String> {
    let text = |name: &str| case[name].as_str().ok_or_else(|| format!("case without `{name}`: {case}"));
    let (name, yaml, expected, why) = (text("name")?, text("yaml")?, text("expect")?, text("why")?);
    let decoded = decode(yaml);
    let errors: Vec<String> =
        decoded.problems.iter().filter(|p| p.severity == Severity::Error).map(ToString::to_string).collect();
    let found = match (errors.is_empty(), decoded.documents.len()) {
        (true, 1) => "accept",
        (false, 0) => "reject",
        (_, count) => return Err(format!("{name}: {count} documents and errors {errors:?}")),
    };
    match (expected, found) {
        ("accept" | "reject", found) if found == expected => Ok(()),
        ("accept", _) => Err(format!("{name}: must be accepted ({why}), refused: {}", errors.join("; "))),
        ("reject", _) => Err(format!("{name}: must be refused ({why})")),
        (other, _) => Err(format!("{name}: `expect` is `{other}`")),
    }
}
