//! What people are to be told.

use std::collections::BTreeMap;

/// One thing to tell, of a template or of the default endpoint, and of a node where it is of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The template; `None` for the default endpoint and for nodes themselves.
    pub template: Option<String>,
    /// A sentence, without node and template.
    pub message: String,
    /// The node, if it is of one.
    pub node: Option<String>,
}

/// Everything to tell, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Endpoints that are not made, or not kept up to date.
    pub problems: Vec<Finding>,
    /// What may surprise.
    pub warnings: Vec<Finding>,
    /// Wanted names that an endpoint without the mark has, with the node: they are tried again (E-802).
    pub taken: BTreeMap<String, String>,
}

impl Findings {
    /// One sentence for each different problem, the endpoints of users that stand in the way among them.
    pub fn problems(&self) -> Vec<String> {
        let taken = self.taken.iter().map(|(name, node)| {
            format!(
                "node `{node}`: a host endpoint `{name}` without the controller's label is there, and is left alone"
            )
        });
        sentences(&self.problems).into_iter().chain(taken).collect()
    }

    /// One sentence for each different warning.
    pub fn warnings(&self) -> Vec<String> {
        sentences(&self.warnings)
    }
}

/// What is the same on many nodes is told once.
fn sentences(findings: &[Finding]) -> Vec<String> {
    let mut nodes: BTreeMap<(&Option<String>, &str), Vec<&str>> = BTreeMap::new();
    for finding in findings {
        nodes.entry((&finding.template, &finding.message)).or_default().extend(finding.node.as_deref());
    }
    let sentence = |((template, message), nodes): ((&Option<String>, &str), Vec<&str>)| {
        let template = template.as_ref().map(|name| format!("template `{name}`: ")).unwrap_or_default();
        let nodes = match nodes.as_slice() {
            [] => String::new(),
            [node] => format!("node `{node}`: "),
            [node, others @ ..] => format!("node `{node}` and {} more: ", others.len()),
        };
        format!("{template}{nodes}{message}")
    };
    nodes.into_iter().map(sentence).collect()
}
