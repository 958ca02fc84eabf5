//! Runs `selectors.json` of the directory named by `TORTIE_VECTORS` (default: `vectors/` of the repository).
#![allow(clippy::disallowed_methods, reason = "the vectors are files, and their place is given by the environment")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tortie_selector::Selector;

#[test]
fn every_vector_has_its_outcome() {
    let dir = std::env::var_os("TORTIE_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors")), PathBuf::from);
    let path = dir.join("selectors.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Vec<Value> = serde_json::from_str(&text).expect("an array of cases");
    assert!(!cases.is_empty(), "{} holds no case", path.display());
    let failures: Vec<String> = cases
        .iter()
        .enumerate()
        .filter_map(|(index, case)| judge(case).err().map(|why| format!("case {index}: {why}: {case}")))
        .collect();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
    println!("{} selector vectors", cases.len());
}

fn judge(case: &Value) -> Result<(), String> {
    let text = case["selector"].as_str().ok_or("`selector` is not a string")?;
    let labels: BTreeMap<String, String> =
        serde_json::from_value(case["labels"].clone()).map_err(|e| format!("`labels`: {e}"))?;
    let parsed = Selector::parse(text);
    match &case["expect"] {
        Value::String(word) if word == "error" => match parsed {
            Ok(selector) => Err(format!("accepted as `{selector}`")),
            Err(_) => Ok(()),
        },
        Value::Bool(expected) => {
            let selector = parsed.map_err(|e| format!("refused: {e}"))?;
            let found = selector.matches(&labels);
            if found != *expected {
                return Err(format!("evaluates to {found}"));
            }
            let canonical = selector.canonical();
            let again = Selector::parse(&canonical).map_err(|e| format!("canonical `{canonical}` refused: {e}"))?;
            if again.matches(&labels) != *expected {
                return Err(format!("canonical `{canonical}` evaluates otherwise"));
            }
            Ok(())
        }
        other => Err(format!("`expect` is {other}")),
    }
}
