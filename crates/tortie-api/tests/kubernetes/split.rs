//! Who refuses what: the server and Tortie, the server alone, or Tortie alone (resources.md section 12).

use serde_json::json;
use tortie_api::crd::Group;
use tortie_api::{Severity, decode};
use tortie_testkit::apiserver::ApiServer;

use crate::cases::{self, Case};
use crate::groups::{both, of_group};
use crate::{CASE, list_of, native, try_all};

fn tortie_refuses(case: &Case) -> bool {
    decode(&case.object.to_string()).problems.iter().any(|problem| problem.severity == Severity::Error)
}

#[test]
fn each_rule_is_checked_where_section_12_says() {
    check(Group::Native, native());
}

#[test]
fn the_classic_group_has_the_same_rules() {
    check(Group::Classic, both());
}

fn check(api: Group, server: &ApiServer) {
    let groups = [
        ("both", cases::refused_by_both(), true, true),
        ("the server alone", cases::refused_by_the_server(), true, false),
        ("Tortie alone", cases::refused_by_tortie(), false, true),
        ("nobody", cases::accepted(), false, false),
    ];
    let mut sent = Vec::new();
    for (group, cases, ..) in &groups {
        for (number, case) in cases.iter().enumerate() {
            let mut object = case.object.clone();
            object["metadata"]["annotations"] = json!({CASE: format!("{group} {number}")});
            sent.push(of_group(api, object));
        }
    }
    let answers = try_all(server, &list_of(&sent));
    let mut failures = Vec::new();
    for (group, cases, by_server, by_tortie) in &groups {
        for (number, case) in cases.iter().enumerate() {
            let is_refused = !answers.accepted.contains_key(&format!("{group} {number}"));
            if is_refused != *by_server {
                failures.push(format!("refused by {group}: the server says otherwise: {}", case.object));
            } else if is_refused && !is_explained(&answers.refusals, case) {
                failures.push(format!("refused without `{}`: {}", case.reason, case.object));
            }
            if tortie_refuses(case) != *by_tortie {
                failures.push(format!("refused by {group}: Tortie says otherwise: {}", case.object));
            }
        }
    }
    assert!(failures.is_empty(), "{}\n{}", failures.join("\n"), answers.refusals);
}

/// Whether some refusal of an object with this name gives the reason.
fn is_explained(refusals: &str, case: &Case) -> bool {
    let named = format!("\"{}\" is invalid", case.object["metadata"]["name"].as_str().unwrap());
    refusals.lines().any(|refusal| refusal.contains(&named) && refusal.contains(case.reason))
}
