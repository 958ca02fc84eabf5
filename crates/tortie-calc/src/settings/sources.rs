//! Where settings come from: environment, file, and the stored configurations that count for a node (E-601, E-602).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;
use tortie_api::model::{FelixConfiguration, Labels};

use super::SettingProblem;
use super::list::{Origin, Setting};

/// Settings of environment or file: names in lower case, without prefix, as written.
pub type Local = BTreeMap<String, String>;

/// Valid stored values by the names of their settings, as a file would write them.
///
/// This is the memory that D-12 asks for: whoever calculates settings gives the one of the last time, and saves the new
/// one with its snapshot.
pub type Remembered = BTreeMap<String, String>;

/// All that settings depend on. The sources, strongest first: environment, file, node, selected, default.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The node's name.
    pub node: &'a str,
    /// The node's labels, for configurations with a selector.
    pub node_labels: &'a Labels,
    /// `FELIX_<Name>` and `TORTIE_<Name>` variables.
    pub environment: &'a Local,
    /// The settings file.
    pub file: &'a Local,
    /// All stored configurations, in any order.
    pub stored: &'a [&'a FelixConfiguration],
    /// What the last calculation gave back; empty at first.
    pub remembered: &'a Remembered,
}

/// Where a value in force stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueSource {
    /// A variable.
    Environment,
    /// The settings file.
    File,
    /// The stored configuration of this name.
    Stored(String),
    /// The store, some time ago: what stands there now cannot be used (D-12).
    LastValid,
    /// `compatibility: Strict` (D-1).
    Strict,
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueSource::Environment => f.write_str("environment"),
            ValueSource::File => f.write_str("file"),
            ValueSource::Stored(name) => write!(f, "FelixConfiguration({name})"),
            ValueSource::LastValid => f.write_str("last valid value of the store"),
            ValueSource::Strict => f.write_str("compatibility: Strict"),
        }
    }
}

impl<'a> Sources<'a> {
    /// The texts that environment and file have for a setting, strongest first. Empty text is no value (E-603).
    pub(super) fn local(&self, setting: &Setting) -> impl Iterator<Item = (&'a str, ValueSource)> + use<'a> {
        let names: Vec<String> =
            std::iter::once(setting.name).chain(setting.local_name).map(str::to_lowercase).collect();
        [(self.environment, ValueSource::Environment), (self.file, ValueSource::File)].into_iter().filter_map(
            move |(local, source)| {
                let texts = names.iter().filter_map(|name| local.get(name));
                texts.map(String::as_str).find(|text| !text.trim().is_empty()).map(|text| (text, source))
            },
        )
    }

    /// The stored configurations that count for this node, strongest first.
    ///
    /// Of those that select the node the oldest counts as a whole, ties by name; the others are problems (E-602).
    pub(super) fn scopes(&self, problems: &mut Vec<SettingProblem>) -> Vec<&'a FelixConfiguration> {
        let named = |name: &str| self.stored.iter().find(|c| c.meta.name == name).copied();
        let mut selected: Vec<&FelixConfiguration> = self
            .stored
            .iter()
            .filter(|c| is_selecting(&c.meta.name))
            .filter(|c| c.node_selector.as_ref().is_some_and(|selector| selector.matches(self.node_labels)))
            .copied()
            .collect();
        selected.sort_by(|a, b| (&a.meta.created, &a.meta.name).cmp(&(&b.meta.created, &b.meta.name)));
        for ignored in selected.iter().skip(1) {
            problems.push(SettingProblem {
                name: "nodeSelector".to_owned(),
                source: ValueSource::Stored(ignored.meta.name.clone()).to_string(),
                message: format!("ignored: `{}` selects this node too and comes first", selected[0].meta.name),
                is_fatal: false,
            });
        }
        let node = format!("node.{}", self.node);
        [named(&node), selected.first().copied(), named("default")].into_iter().flatten().collect()
    }
}

/// Whether a configuration of this name counts by its selector.
pub(super) fn is_selecting(name: &str) -> bool {
    name != "default" && !name.starts_with("node.")
}

/// What a configuration says of a setting, unless that is empty (E-603). Names of annotations count in any case.
pub(super) fn stored_value(configuration: &FelixConfiguration, setting: &Setting) -> Option<Json> {
    let value = match setting.origin {
        Origin::Felix => configuration.values.get(setting.name).cloned(),
        Origin::Tortie => own_annotations(configuration)
            .find(|(name, _)| name.eq_ignore_ascii_case(setting.name))
            .map(|(_, text)| Json::from(text)),
    };
    value.filter(|value| !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty()))
}

/// The annotations `tortie.dev/<name>` of a configuration: names and texts.
pub(super) fn own_annotations(configuration: &FelixConfiguration) -> impl Iterator<Item = (&str, &str)> {
    let annotations = configuration.meta.annotations.iter();
    annotations.filter_map(|(key, text)| Some((key.strip_prefix("tortie.dev/")?, text.as_str())))
}
