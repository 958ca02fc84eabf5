//! From one node to its endpoints (E-803..E-808). Nothing here knows of other nodes or of what is stored.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tortie_api::check_text;
use tortie_api::model::{AutoHostEndpoint, Labels, Node, TemplateRule};
use tortie_api::schema::Text;

use super::endpoint::{CREATED_BY, CREATED_BY_VALUE, Endpoint};
use super::findings::Finding;
use super::name::{Names, endpoint_name};

/// What the settings make of one node.
#[derive(Default)]
pub(super) struct Made {
    pub(super) endpoints: Vec<Claim>,
    pub(super) problems: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// An endpoint that is wanted.
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) template: Option<String>,
    pub(super) endpoint: Endpoint,
}

/// The endpoints of a node, in the order of the settings, each name once.
pub(super) fn make(auto: &AutoHostEndpoint, names: Names, node: &Node) -> Made {
    let mut maker = Maker { names, node, seen: BTreeSet::new(), made: Made::default() };
    if !auto.is_enabled {
        return maker.made;
    }
    let addresses = node.expected_ips();
    if auto.has_default {
        maker.add(None, Some("*"), addresses.clone());
    }
    for template in &auto.templates {
        let Ok(rule) = &template.rule else { continue };
        if rule.node_selector.matches(&node.meta.labels) {
            maker.template(&template.name, rule, &addresses);
        }
    }
    maker.made
}

struct Maker<'a> {
    names: Names,
    node: &'a Node,
    seen: BTreeSet<String>,
    made: Made,
}

impl Maker<'_> {
    fn template(&mut self, name: &str, rule: &TemplateRule, addresses: &[IpAddr]) {
        let is_inside = |address: &&IpAddr| rule.cidrs.iter().any(|cidr| cidr.contains(*address));
        // Each endpoint gets a list of its own (E-814).
        let inside: Vec<IpAddr> = addresses.iter().filter(is_inside).copied().collect();
        let Some(pattern) = &rule.pattern else {
            if !inside.is_empty() {
                self.add(Some((name, rule)), None, inside);
            }
            return;
        };
        for interface in self.node.interfaces.iter().filter(|interface| pattern.is_match(&interface.name)) {
            let mut expected_ips = inside.clone();
            expected_ips.extend(interface.addresses.iter().filter(|address| !inside.contains(address)));
            self.add(Some((name, rule)), Some(&interface.name), expected_ips);
        }
    }

    fn add(&mut self, template: Option<(&str, &TemplateRule)>, interface: Option<&str>, expected_ips: Vec<IpAddr>) {
        let template_name = template.map(|(name, _)| name);
        // The default endpoint's `*` is no part of its name.
        let name = endpoint_name(&self.node.meta.name, template_name, interface.filter(|_| template.is_some()));
        let interface = interface.unwrap_or_default();
        if !interface.is_empty()
            && let Err(why) = check_text(Text::Interface, interface)
        {
            return self.problem(template_name, why);
        }
        if let Err(why) = self.names.check(&name) {
            return self.problem(template_name, why);
        }
        if !self.seen.insert(name.clone()) {
            return self
                .problem(template_name, format!("another template makes `{name}` as well: the first one counts"));
        }
        let labels = self.labels(template);
        let endpoint = Endpoint {
            node: self.node.meta.name.clone(),
            interface: interface.to_owned(),
            expected_ips: expected_ips.iter().map(ToString::to_string).collect(),
            labels,
            annotations: template.map(|(_, rule)| rule.annotations.clone()).unwrap_or_default(),
        };
        self.made.endpoints.push(Claim { name, template: template_name.map(str::to_owned), endpoint });
    }

    /// Labels of the node, then of the template over them, then the mark over all (E-804).
    fn labels(&mut self, template: Option<(&str, &TemplateRule)>) -> Labels {
        let mut labels = self.node.meta.labels.clone();
        let mark = (CREATED_BY.to_owned(), CREATED_BY_VALUE.to_owned());
        let of_template = template.into_iter().flat_map(|(_, rule)| rule.labels.clone());
        for (key, value) in of_template.chain([mark]) {
            let before = labels.insert(key.clone(), value.clone());
            if before.is_some_and(|before| before != value) {
                let message = format!("label `{key}` is overwritten by `{value}`");
                self.warn(template.map(|(name, _)| name), message);
            }
        }
        labels
    }

    fn problem(&mut self, template: Option<&str>, message: String) {
        let finding = self.finding(template, message);
        self.made.problems.push(finding);
    }

    fn warn(&mut self, template: Option<&str>, message: String) {
        let finding = self.finding(template, message);
        // An endpoint for each interface says the same.
        if !self.made.warnings.contains(&finding) {
            self.made.warnings.push(finding);
        }
    }

    fn finding(&self, template: Option<&str>, message: String) -> Finding {
        let node = Some(self.node.meta.name.clone());
        Finding { template: template.map(str::to_owned), message, node }
    }
}
