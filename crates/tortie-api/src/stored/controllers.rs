//! Settings of the controller, as they lie in a store.
//!
//! A word that means nothing makes the whole object invalid: to guess would delete endpoints, and open hosts. What is wrong
//! inside one template makes that template bad, and no other (E-814).

use std::collections::BTreeSet;

use super::place::Member;
use super::{Object, Reader};
use crate::checks;
use crate::model::{AutoHostEndpoint, InterfacePattern, KubeControllersConfiguration, Labels, Meta};
use crate::model::{Template, TemplateRule};
use crate::problem::Problem;
use crate::shape::join;

const NODE: &str = "spec.controllers.node";

impl Reader {
    pub(super) fn kube_controllers(&mut self, meta: Meta, spec: &Object) -> Option<KubeControllersConfiguration> {
        let empty = Object::new();
        let controllers = self.object(spec, "controllers", "spec.controllers")?.unwrap_or(&empty);
        let node = self.object(controllers, "node", NODE)?.unwrap_or(&empty);
        let host_endpoint_path = join(NODE, "hostEndpoint");
        let host_endpoint = self.object(node, "hostEndpoint", &host_endpoint_path)?.unwrap_or(&empty);
        let default = AutoHostEndpoint::default();
        let host_endpoint = AutoHostEndpoint {
            is_enabled: self.switch(host_endpoint, "autoCreate", &host_endpoint_path, default.is_enabled)?,
            has_default: self.switch(
                host_endpoint,
                "createDefaultHostEndpoint",
                &host_endpoint_path,
                default.has_default,
            )?,
            templates: self.templates(host_endpoint, &join(&host_endpoint_path, "templates"))?,
        };
        let syncs_labels = self.switch(node, "syncLabels", NODE, true)?;
        Some(KubeControllersConfiguration { meta, host_endpoint, syncs_labels })
    }

    fn switch(&mut self, object: &Object, name: &str, path: &str, default: bool) -> Option<bool> {
        let path = join(path, name);
        match self.text(object, name, &path)?.unwrap_or_default() {
            "" => Some(default),
            "Enabled" => Some(true),
            "Disabled" => Some(false),
            other => {
                self.error(&path, format!("`{other}` is neither Enabled nor Disabled"));
                None
            }
        }
    }

    fn templates(&mut self, host_endpoint: &Object, path: &str) -> Option<Vec<Template>> {
        let mut names = BTreeSet::new();
        let mut templates = Vec::new();
        for (path, item) in self.list(host_endpoint, "templates", path)? {
            let template = template(item.as_object(), &path.to_string(), &mut names);
            for problem in template.rule.as_ref().err().into_iter().flatten() {
                self.warn(&problem.path, format!("{}: the template is left out", problem.message));
            }
            templates.push(template);
        }
        Some(templates)
    }
}

/// Reads one template with a reader of its own, so that its mistakes stay its own.
fn template(item: Option<&Object>, path: &str, names: &mut BTreeSet<String>) -> Template {
    let mut reader = Reader { problems: Vec::new() };
    let Some(item) = item else {
        return Template { name: String::new(), rule: Err(vec![Problem::error(path, "a template is an object")]) };
    };
    let name_path = join(path, "generateName");
    let name = reader.text(item, "generateName", &name_path).flatten().unwrap_or_default().to_owned();
    if name.is_empty() {
        reader.error(&name_path, "`generateName` is missing");
    } else if !names.insert(name.clone()) {
        reader.error(&name_path, format!("`{name}` is used twice"));
    }
    let rule = reader.template_rule(item, path);
    match rule {
        Some(rule) if reader.problems.is_empty() => Template { name, rule: Ok(rule) },
        _ => Template { name, rule: Err(reader.problems) },
    }
}

impl Reader {
    fn template_rule(&mut self, item: &Object, path: &str) -> Option<TemplateRule> {
        let mut cidrs = Vec::new();
        let texts = self.texts(item, "interfaceCIDRs", Member(path, "interfaceCIDRs"))?;
        let has_cidrs = !texts.is_empty();
        for (path, text) in texts {
            match checks::loose_net(text) {
                Ok(net) => cidrs.push(net.trunc()),
                Err(refusal) => self.error(path, refusal.message),
            }
        }
        let pattern_path = join(path, "interfacePattern");
        let pattern = self.text(item, "interfacePattern", &pattern_path)?.filter(|text| !text.is_empty());
        if !has_cidrs && pattern.is_none() {
            self.error(path, "at least one of `interfaceCIDRs` and `interfacePattern` must be given");
        }
        let pattern = match pattern.map(|text| (text, InterfacePattern::parse(text))) {
            None => None,
            Some((_, Ok(pattern))) => Some(pattern),
            Some((text, Err(_))) => {
                self.error(&pattern_path, format!("`{text}` is not a regular expression, or too large a one"));
                None
            }
        };
        let node_selector = self.selector(item, "nodeSelector", &join(path, "nodeSelector"))?;
        let node_selector = node_selector.unwrap_or_else(tortie_selector::Selector::all);
        let labels = self.template_labels(item, path)?;
        let annotations: Labels = self.texts_map(item, "annotations", &join(path, "annotations"))?;
        for key in annotations.keys() {
            if let Err(refusal) = checks::label_key(&key.to_lowercase()) {
                self.error(&join(path, "annotations"), refusal.message);
            }
        }
        Some(TemplateRule { cidrs, pattern, node_selector, labels, annotations })
    }

    /// Labels that every store takes.
    fn template_labels(&mut self, item: &Object, path: &str) -> Option<Labels> {
        let path = join(path, "labels");
        let labels: Labels = self.texts_map(item, "labels", &path)?;
        for (key, value) in &labels {
            for refusal in [checks::label_key(key), checks::label_value(value)].into_iter().filter_map(Result::err) {
                self.error(&path, refusal.message);
            }
        }
        Some(labels)
    }
}
