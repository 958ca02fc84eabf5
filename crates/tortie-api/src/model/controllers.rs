//! Settings of the controller: its host endpoint part (resources.md section 10).

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};
use tortie_selector::Selector;

use super::{Labels, Meta};
use crate::problem::Problem;

/// Bytes that a compiled expression may take. Names of interfaces are short; an expression that needs more is a mistake.
const PATTERN_LEN_MAX: usize = 1 << 20;

/// What the controller is to do, one object named `default`.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeControllersConfiguration {
    /// Name.
    pub meta: Meta,
    /// `controllers.node.hostEndpoint`.
    pub host_endpoint: AutoHostEndpoint,
    /// `controllers.node.syncLabels`, Enabled unless it says otherwise (E-813).
    pub syncs_labels: bool,
}

/// Which host endpoints the controller makes (E-801).
#[derive(Clone, Debug, PartialEq)]
pub struct AutoHostEndpoint {
    /// `autoCreate`, Disabled unless it says otherwise.
    pub is_enabled: bool,
    /// `createDefaultHostEndpoint`, Enabled unless it says otherwise (E-803).
    pub has_default: bool,
    /// `templates[]`, in order.
    pub templates: Vec<Template>,
}

impl Default for AutoHostEndpoint {
    fn default() -> Self {
        Self { is_enabled: false, has_default: true, templates: Vec::new() }
    }
}

/// One template. A bad one is kept with what is wrong with it, so that it does not stop the others (E-814).
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// `generateName`; empty when it is missing.
    pub name: String,
    /// What it makes, or why it makes nothing.
    pub rule: Result<TemplateRule, Vec<Problem>>,
}

/// What a good template makes (E-806).
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateRule {
    /// `interfaceCIDRs`; a bare address is a network of one address.
    pub cidrs: Vec<IpNet>,
    /// `interfacePattern`.
    pub pattern: Option<InterfacePattern>,
    /// `nodeSelector`; the empty one is `all()`.
    pub node_selector: Selector,
    /// Labels that endpoints get over those of the node (E-804).
    pub labels: Labels,
    /// Annotations that endpoints get.
    pub annotations: Labels,
}

/// A regular expression that may match anywhere in the name of an interface (E-808).
///
/// The syntax is that of the `regex` crate. It differs from Go's, which Calico uses, in rare forms only: `\Q…\E` and octal
/// escapes such as `\101` are refused here; `&&`, `--`, `~~` and `[` inside a class are set operations here.
#[derive(Clone, Debug)]
pub struct InterfacePattern(Regex);

impl InterfacePattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is none, or takes more than 1 MiB in its compiled form.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        RegexBuilder::new(text).size_limit(PATTERN_LEN_MAX).dfa_size_limit(PATTERN_LEN_MAX).build().map(Self)
    }

    /// Whether the expression matches somewhere in the name.
    pub fn is_match(&self, interface: &str) -> bool {
        self.0.is_match(interface)
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Two patterns are equal when their texts are.
impl PartialEq for InterfacePattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
