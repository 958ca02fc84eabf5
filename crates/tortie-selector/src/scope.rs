//! The effective selectors of policies and rules (section 6 of the specification).

use crate::Selector;

/// Prefix under which an endpoint shows the labels of its namespace.
pub const NAMESPACE_PREFIX: &str = "pcns.";
/// Prefix under which an endpoint shows the labels of its service account.
pub const SERVICE_ACCOUNT_PREFIX: &str = "pcsa.";
/// The label that names an item's namespace.
pub const NAMESPACE_LABEL: &str = "projectcalico.org/namespace";
/// The label that names a workload's service account.
pub const SERVICE_ACCOUNT_LABEL: &str = "projectcalico.org/serviceaccount";

/// The effective selector of a global policy.
pub fn global_policy(
    selector: &Selector,
    namespace_selector: Option<&Selector>,
    service_account_selector: Option<&Selector>,
) -> Selector {
    let mut result = selector.clone();
    if let Some(namespaces) = namespace_selector {
        result = result.and(&namespaces.with_prefix(NAMESPACE_PREFIX));
        result = result.replace_all_with(&Selector::has(NAMESPACE_LABEL));
    }
    if let Some(accounts) = service_account_selector {
        result = result.and(&accounts.with_prefix(SERVICE_ACCOUNT_PREFIX));
        result = result.replace_all_with(&Selector::has(SERVICE_ACCOUNT_LABEL));
    }
    result
}

/// The effective selector of a policy in `namespace`.
pub fn namespaced_policy(
    selector: &Selector,
    namespace: &str,
    service_account_selector: Option<&Selector>,
) -> Selector {
    let mut result = selector.and(&Selector::equals(NAMESPACE_LABEL, namespace));
    if let Some(accounts) = service_account_selector {
        result = result.and(&accounts.with_prefix(SERVICE_ACCOUNT_PREFIX));
    }
    result
}

/// The selectors of one end of a rule, as written; empty ones are `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleScope<'a> {
    /// The namespace of the policy, for namespaced kinds.
    pub policy_namespace: Option<&'a str>,
    /// `selector`.
    pub selector: Option<&'a Selector>,
    /// Whether `notSelector` is given. It is never rewritten itself.
    pub has_not_selector: bool,
    /// `namespaceSelector`.
    pub namespace_selector: Option<&'a Selector>,
    /// `serviceAccounts.names`.
    pub service_account_names: &'a [String],
    /// `serviceAccounts.selector`.
    pub service_account_selector: Option<&'a Selector>,
}

/// The effective positive selector of one end of a rule; `None` is no condition.
pub fn rule(scope: &RuleScope<'_>) -> Option<Selector> {
    let has_accounts = !scope.service_account_names.is_empty() || scope.service_account_selector.is_some();
    if scope.selector.is_none() && !scope.has_not_selector && scope.namespace_selector.is_none() && !has_accounts {
        return None;
    }
    let namespaces = match (scope.namespace_selector, scope.policy_namespace) {
        (Some(selector), _) => Some(
            selector
                .with_prefix(NAMESPACE_PREFIX)
                .replace_all_with(&Selector::has(NAMESPACE_LABEL))
                .replace_global_with(&Selector::not_has(NAMESPACE_LABEL)),
        ),
        (None, Some(namespace)) => Some(Selector::equals(NAMESPACE_LABEL, namespace)),
        (None, None) => None,
    };
    let account_selector = scope.service_account_selector.map(|s| s.with_prefix(SERVICE_ACCOUNT_PREFIX));
    let account_names = (!scope.service_account_names.is_empty())
        .then(|| Selector::is_in(SERVICE_ACCOUNT_LABEL, scope.service_account_names.iter().cloned()));
    [namespaces, account_selector, account_names, scope.selector.cloned()]
        .into_iter()
        .flatten()
        .reduce(|all, next| all.and(&next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Selector {
        Selector::parse(text).unwrap()
    }

    #[test]
    fn a_positive_namespace_selector_keeps_a_global_policy_off_hosts_e204() {
        let host = [("role", "db")];
        for (namespaces, expected) in
            [("all()", false), ("has(x)", false), ("x == 'y'", false), ("x != 'y'", true), ("!has(x)", true)]
        {
            // The policy's own selector must not be `all()` here: it would be replaced too.
            let effective = global_policy(&parse("role == 'db'"), Some(&parse(namespaces)), None);
            assert_eq!(effective.matches(&host), expected, "{namespaces}");
            let effective = global_policy(&parse("role == 'db'"), None, Some(&parse(namespaces)));
            assert_eq!(effective.matches(&host), expected, "service accounts {namespaces}");
        }
        assert!(!global_policy(&parse("all()"), Some(&parse("x != 'y'")), None).matches(&host));
    }

    #[test]
    fn a_namespaced_policy_never_selects_a_host_e205() {
        assert!(!namespaced_policy(&Selector::all(), "ns", None).matches(&[("role", "db")]));
        assert!(namespaced_policy(&Selector::all(), "ns", None).matches(&[(NAMESPACE_LABEL, "ns")]));
    }

    #[test]
    fn rule_selectors_are_joined_as_section_6_says() {
        let check = |scope: RuleScope<'_>, expected: Option<&str>| {
            assert_eq!(rule(&scope).map(|s| s.canonical()).as_deref(), expected);
        };
        let (role, global, all) = (parse("role == 'db'"), parse("global()"), parse("all()"));
        check(RuleScope::default(), None);
        check(RuleScope { policy_namespace: Some("ns"), ..Default::default() }, None);
        check(RuleScope { selector: Some(&role), ..Default::default() }, Some("role == \"db\""));
        check(
            RuleScope { policy_namespace: Some("ns"), has_not_selector: true, ..Default::default() },
            Some("projectcalico.org/namespace == \"ns\""),
        );
        check(RuleScope { has_not_selector: true, ..Default::default() }, None);
        check(
            RuleScope { namespace_selector: Some(&global), selector: Some(&role), ..Default::default() },
            Some("(!has(projectcalico.org/namespace) && role == \"db\")"),
        );
        check(
            RuleScope { namespace_selector: Some(&all), ..Default::default() },
            Some("has(projectcalico.org/namespace)"),
        );
        let names = ["b".to_owned(), "a".to_owned()];
        check(
            RuleScope { service_account_names: &names, ..Default::default() },
            Some("projectcalico.org/serviceaccount in {\"a\", \"b\"}"),
        );
    }
}
