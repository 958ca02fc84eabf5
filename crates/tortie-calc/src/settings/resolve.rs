//! Merges the sources of settings (E-601..E-604, D-12).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use tortie_api::model::{FelixConfiguration, Labels};

use super::list::{SETTINGS, STRICT, Setting, Usage};
use super::sources::{Remembered, Sources, ValueSource, stored_value};
use super::value::{Kind, Value, sorted};
use super::{Operation, Settings, assemble, failsafe, notes};

/// A value that could not be used, and what is used instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingProblem {
    /// The setting.
    pub name: String,
    /// Where the value stands: `environment`, `file`, or `FelixConfiguration(name)`.
    pub source: String,
    /// What is wrong, and what is used instead.
    pub message: String,
    /// Whether the agent must not start with it (E-604). Never for values of the store.
    pub is_fatal: bool,
}

/// A value that is accepted and has no effect, or one that is worth a second look; no mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingNote {
    /// Where the value stands, as for [`SettingProblem`].
    pub source: String,
    /// What to know about it.
    pub message: String,
}

/// A setting in force that differs from its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The setting.
    pub name: &'static str,
    /// Its value as a file would write it.
    pub value: String,
    /// The source that won.
    pub source: ValueSource,
}

/// What [`resolve`] gives. By default: all defaults, of no node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// What changes rules.
    pub settings: Settings,
    /// What changes how the agent runs.
    pub operation: Operation,
    /// All settings in force that differ from their defaults, in the order of [`SETTINGS`].
    pub in_force: Vec<InForce>,
    /// What is wrong with the sources.
    pub problems: Vec<SettingProblem>,
    /// What is accepted without effect, and what is worth a look.
    pub notes: Vec<SettingNote>,
    /// To be given as [`Sources::remembered`] the next time, also after a restart.
    pub remembered: Remembered,
}

/// What is wrong with one configuration by itself, for who is about to write it: values that agents cannot use, and names
/// that nobody knows. An agent with a last valid value keeps that one where a problem speaks of the default (D-12).
pub fn check(configuration: &FelixConfiguration) -> Vec<SettingProblem> {
    let mut alone = configuration.clone();
    let name = std::mem::replace(&mut alone.meta.name, "default".to_owned());
    alone.node_selector = None;
    let (none, no_labels) = (BTreeMap::new(), Labels::new());
    let sources = Sources {
        node: "",
        node_labels: &no_labels,
        environment: &none,
        file: &none,
        stored: &[&alone],
        remembered: &none,
    };
    let source = ValueSource::Stored(name).to_string();
    resolve(&sources).problems.into_iter().map(|problem| SettingProblem { source: source.clone(), ..problem }).collect()
}

/// The settings in force and what is wrong with their sources. Depends on its argument alone.
///
/// A bad value in environment or file gives the default, never that of a weaker source; for some settings it is fatal
/// (E-604). A bad value in the store gives the last valid one that the store had, else the default (D-12); of failsafe
/// lists every good entry stays and the built-in ones are added.
pub fn resolve(sources: &Sources<'_>) -> Resolved {
    let mut problems = Vec::new();
    let scopes = sources.scopes(&mut problems);
    let mut merger = Merger { sources, scopes, problems, remembered: Remembered::new(), chosen: Chosen::default() };
    for setting in SETTINGS {
        merger.choose(setting);
    }
    let Merger { scopes, mut problems, remembered, mut chosen, .. } = merger;
    chosen.take_strict();
    let (settings, operation) = assemble::assemble(sources.node, &chosen);
    let notes = notes::notes(sources, &scopes, &chosen, &mut problems);
    problems.sort();
    problems.dedup();
    Resolved { in_force: chosen.in_force(), settings, operation, problems, notes, remembered }
}

/// Values of settings that some source gives, by their names.
#[derive(Default)]
pub(super) struct Chosen {
    values: BTreeMap<&'static str, (Value, ValueSource)>,
    /// Those that some source has, even if with a bad value.
    set: BTreeSet<&'static str>,
}

impl Chosen {
    /// The value and its source, unless it is the default.
    pub(super) fn get(&self, name: &str) -> Option<&(Value, ValueSource)> {
        self.values.get(name)
    }

    /// The value in force.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        self.get(name).map(|(value, _)| value.clone()).or_else(|| {
            let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
            default(setting)
        })
    }

    /// Settings of the nftables data plane are ours; those of Felix's other one count where these are not set.
    pub(super) fn either(&self, rest: &str) -> String {
        let ours = format!("nftables{rest}");
        if self.set.contains(ours.as_str()) { ours } else { format!("iptables{rest}") }
    }

    /// `compatibility: Strict` gives the six their second value, unless one is set by itself (D-1).
    fn take_strict(&mut self) {
        if self.value("compatibility") != Some(Value::Word("Strict")) {
            return;
        }
        for setting in SETTINGS.iter().filter(|setting| STRICT.contains(&setting.name)) {
            if let Kind::Word([_, second]) = setting.kind {
                self.values.entry(setting.name).or_insert((Value::Word(second), ValueSource::Strict));
            }
        }
    }

    fn in_force(&self) -> Vec<InForce> {
        let is_replaced = |name: &str| {
            name.strip_prefix("iptables").is_some_and(|rest| self.set.contains(format!("nftables{rest}").as_str()))
        };
        SETTINGS
            .iter()
            .filter(|setting| setting.usage != Usage::Told && !is_replaced(setting.name))
            .filter_map(|setting| {
                let (value, source) = self.get(setting.name)?;
                let is_default = default(setting).is_some_and(|default| default == *value);
                let entry = InForce { name: setting.name, value: value.to_string(), source: source.clone() };
                (!is_default).then_some(entry)
            })
            .collect()
    }
}

fn default(setting: &Setting) -> Option<Value> {
    Value::of_text(setting.kind, setting.default).ok().filter(|_| !setting.default.is_empty())
}

struct Merger<'a> {
    sources: &'a Sources<'a>,
    scopes: Vec<&'a FelixConfiguration>,
    problems: Vec<SettingProblem>,
    remembered: Remembered,
    chosen: Chosen,
}

impl Merger<'_> {
    fn choose(&mut self, setting: &'static Setting) {
        let mut local = self.sources.local(setting);
        let strongest = local.next();
        let by = strongest.as_ref().map(|(_, source)| source.clone());
        let stored = self.stored(setting, by.as_ref());
        if let Some((text, source)) = strongest {
            self.chosen.set.insert(setting.name);
            match of_text(setting, text) {
                Ok(value) => {
                    self.chosen.values.insert(setting.name, (value, source.clone()));
                }
                Err(message) => {
                    let then = if setting.is_fatal { String::new() } else { default_is_used(setting) };
                    self.problem(setting, &source, format!("{message}{then}"), setting.is_fatal);
                }
            }
            for (text, weaker) in local {
                if let Err(message) = of_text(setting, text) {
                    self.problem(setting, &weaker, format!("{message}; the {source} sets it anyway"), false);
                }
            }
        } else if let Some(found) = stored {
            self.chosen.values.insert(setting.name, found);
        }
    }

    /// What the store says; remembers it when it is valid. `by` is the local source that sets it anyway, if any.
    fn stored(&mut self, setting: &'static Setting, by: Option<&ValueSource>) -> Option<(Value, ValueSource)> {
        let scoped = |configuration: &&FelixConfiguration| {
            Some((stored_value(configuration, setting)?, configuration.meta.name.clone()))
        };
        let (json, name) = self.scopes.iter().find_map(scoped)?;
        self.chosen.set.insert(setting.name);
        let source = ValueSource::Stored(name);
        let message = match of_json(setting, &json) {
            Ok(value) => {
                if setting.kind != Kind::Failsafes {
                    self.remembered.insert(setting.name.to_owned(), value.to_string());
                }
                return Some((value, source));
            }
            Err(message) => message,
        };
        let (then, found) = if setting.kind == Kind::Failsafes {
            let value = with_built_in(setting, &json);
            ("; the built-in ports are open as well".to_owned(), Some((value, source.clone())))
        } else {
            let last = self.sources.remembered.get(setting.name);
            match last.and_then(|text| Some((text, of_text(setting, text).ok()?))) {
                Some((text, value)) => {
                    self.remembered.insert(setting.name.to_owned(), text.clone());
                    (format!("; the last valid value, `{text}`, stays"), Some((value, ValueSource::LastValid)))
                }
                None => (default_is_used(setting), None),
            }
        };
        let then = by.map_or(then, |by| format!("; the {by} sets it anyway"));
        self.problem(setting, &source, format!("{message}{then}"), false);
        found
    }

    fn problem(&mut self, setting: &Setting, source: &ValueSource, message: String, is_fatal: bool) {
        let (name, source) = (setting.name.to_owned(), source.to_string());
        self.problems.push(SettingProblem { name, source, message, is_fatal });
    }
}

fn default_is_used(setting: &Setting) -> String {
    match setting.default {
        "" => "; it counts as not set".to_owned(),
        default => format!("; the default, `{default}`, is used"),
    }
}

fn of_text(setting: &Setting, text: &str) -> Result<Value, String> {
    if setting.refuses_none && text.trim().eq_ignore_ascii_case("none") {
        return Err(format!("`none` is no value of `{}`", setting.name));
    }
    Value::of_text(setting.kind, text)
}

fn of_json(setting: &Setting, json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) if text.trim().eq_ignore_ascii_case("none") => of_text(setting, text),
        _ => Value::of_json(setting.kind, json),
    }
}

/// Every good entry of a stored failsafe list, and the built-in ones (resources.md section 9).
fn with_built_in(setting: &Setting, json: &Json) -> Value {
    let items = json.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut list: Vec<_> = items.iter().filter_map(|item| failsafe::from_json(item).ok()).collect();
    if let Some(Value::Failsafes(built_in)) = default(setting) {
        list.extend(built_in);
    }
    Value::Failsafes(sorted(list))
}
