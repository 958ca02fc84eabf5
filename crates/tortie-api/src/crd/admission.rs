//! Admission policies for the native group: what schemas cannot say (resources.md section 12).

use serde_json::{Value, json};

use super::{Definition, Group};
use crate::defaults::{FIXED_TIERS, TIER_LABEL};
use crate::{DEFAULT_TIER, Kind};

const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// Fills what Tortie's command line fills (datastore.md section 2.3).
const POLICY_DEFAULTS: &str = "tortie-policy-defaults";
/// Keeps the tiers that are always there.
const FIXED_TIERS_KEPT: &str = "tortie-fixed-tiers";

pub(super) fn policies() -> Vec<Definition> {
    let mut all = vec![
        of("MutatingAdmissionPolicy", POLICY_DEFAULTS, policy_defaults()),
        of("MutatingAdmissionPolicyBinding", POLICY_DEFAULTS, json!({"policyName": POLICY_DEFAULTS})),
        of("ValidatingAdmissionPolicy", FIXED_TIERS_KEPT, fixed_tiers()),
        of(
            "ValidatingAdmissionPolicyBinding",
            FIXED_TIERS_KEPT,
            json!({"policyName": FIXED_TIERS_KEPT, "validationActions": ["Deny"]}),
        ),
    ];
    // Policies of namespaces are out of reach: what is deleted has no namespace in which to look for them.
    let kinds = Kind::all().filter(|kind| kind.is_tiered_policy() && !kind.is_namespaced());
    all.extend(kinds.flat_map(used_tiers));
    all
}

fn of(kind: &'static str, name: &str, spec: Value) -> Definition {
    let object = json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec});
    Definition { kind, name: name.to_owned(), object }
}

fn resources(plurals: &[&str], operations: &[&str]) -> Value {
    json!({"resourceRules": [{
        "apiGroups": [Group::Native.name()],
        "apiVersions": [Group::Native.version()],
        "operations": operations,
        "resources": plurals,
    }]})
}

fn policy_defaults() -> Value {
    let plurals: Vec<&str> = Kind::all().filter(|kind| kind.is_tiered_policy()).map(Kind::plural).collect();
    let variable = |name: &str, expression: &str| json!({"name": name, "expression": expression});
    let mutation = |expression: String| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}});
    // An empty list is as good as none (resources.md section 4.3).
    let has_rules = |direction: &str| {
        format!("has(object.spec) && has(object.spec.{direction}) && size(object.spec.{direction}) > 0")
    };
    // A `/` in a member's name is written `~1` in a JSON pointer (RFC 6901).
    let pointer = TIER_LABEL.replace('/', "~1");
    json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": resources(&plurals, &["CREATE", "UPDATE"]),
        "variables": [
            variable("isTierGiven", "has(object.spec) && has(object.spec.tier) && object.spec.tier != ''"),
            variable("tier", &format!("variables.isTierGiven ? object.spec.tier : '{DEFAULT_TIER}'")),
            variable("hasIngress", &has_rules("ingress")),
            variable("hasEgress", &has_rules("egress")),
            variable(
                "types",
                "!variables.hasEgress ? ['Ingress'] : (variables.hasIngress ? ['Ingress', 'Egress'] : ['Egress'])",
            ),
            variable(
                "isDelete",
                "has(object.spec) && has(object.spec.stagedAction) && object.spec.stagedAction == 'Delete'",
            ),
        ],
        "mutations": [
            mutation(format!(
                "has(object.metadata.labels) \
                 ? [JSONPatch{{op: 'add', path: '/metadata/labels/{pointer}', value: variables.tier}}] \
                 : [JSONPatch{{op: 'add', path: '/metadata/labels', value: {{'{TIER_LABEL}': variables.tier}}}}]"
            )),
            mutation(
                "!has(object.spec) || variables.isTierGiven \
                 ? [] : [JSONPatch{op: 'add', path: '/spec/tier', value: variables.tier}]"
                    .to_owned(),
            ),
            mutation(
                "!has(object.spec) ? [] : has(object.spec.types) \
                 ? (variables.isDelete ? [JSONPatch{op: 'remove', path: '/spec/types'}] : []) \
                 : (variables.isDelete ? [] : [JSONPatch{op: 'add', path: '/spec/types', value: variables.types}])"
                    .to_owned(),
            ),
        ],
    })
}

/// Refuses to delete a tier that a policy of a kind names. The server asks each policy that it knows of, and may know of
/// one a moment late.
fn used_tiers(kind: Kind) -> [Definition; 2] {
    let name = format!("tortie-tiers-of-{}", kind.plural());
    let policy = json!({
        "failurePolicy": "Fail",
        "paramKind": {"apiVersion": crate::API_VERSION, "kind": kind.name()},
        "matchConstraints": resources(&[Kind::Tier.plural()], &["DELETE"]),
        // Those have their own policy, which gives the better reason.
        "matchConditions": [{"name": "not-fixed", "expression": is_not_fixed()}],
        "validations": [{
            "expression": "!has(params.spec) || !has(params.spec.tier) || params.spec.tier != oldObject.metadata.name",
            "messageExpression":
                format!("'tier ' + oldObject.metadata.name + ' still has {kind} ' + params.metadata.name"),
            "reason": "Forbidden",
        }],
    });
    let binding = json!({
        "policyName": name,
        "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
        "validationActions": ["Deny"],
    });
    [of("ValidatingAdmissionPolicy", &name, policy), of("ValidatingAdmissionPolicyBinding", &name, binding)]
}

fn fixed_tiers() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": resources(&[Kind::Tier.plural()], &["DELETE"]),
        "validations": [{
            "expression": is_not_fixed(),
            "messageExpression": "'tier ' + oldObject.metadata.name + ' is always there and cannot be deleted'",
            "reason": "Forbidden",
        }],
    })
}

fn is_not_fixed() -> String {
    let names: Vec<String> = FIXED_TIERS.iter().map(|(name, ..)| format!("'{name}'")).collect();
    format!("!(oldObject.metadata.name in [{}])", names.join(", "))
}
