//! Settings of environment, file and store in the loop (E-601..E-606, D-12).

use std::collections::BTreeMap;

use tortie_api::Kind;
use tortie_api::model::{FelixConfiguration, Resource};
use tortie_calc::settings::operation::InvalidObjectPolicy;
use tortie_calc::settings::{Local, Sources, is_local_name, resolve};

use super::Loop;
use crate::watching::Watching;

/// Settings as `name=value` pairs of an environment, with one of the prefixes; `TORTIE_` wins over `FELIX_`.
///
/// A variable `TORTIE_<Name>` that is no setting is left out: tests and demos use some (D-12). One with `FELIX_` is
/// kept, so that a misspelt one is told (E-603).
pub fn settings_of_environment(variables: impl Iterator<Item = (String, String)>) -> Local {
    // In the order of their names, so that two spellings of one name give the same winner at each start.
    let variables: BTreeMap<String, String> = variables.collect();
    let with_prefix = |prefix: &'static str| {
        variables.iter().filter_map(move |(name, value)| {
            let lower = name.to_lowercase();
            Some((lower.strip_prefix(prefix)?.to_owned(), value.clone()))
        })
    };
    let mut found: Local = with_prefix("felix_").collect();
    found.extend(with_prefix("tortie_").filter(|(name, value)| is_local_name(name) && !value.is_empty()));
    found
}

impl Loop {
    /// Whether the last valid form of an object that became invalid stays in force (D-11).
    pub(super) fn is_holding(&self) -> bool {
        self.resolved.operation.invalid_object_policy == InvalidObjectPolicy::Hold
    }

    fn configurations(&self) -> Vec<&FelixConfiguration> {
        self.hold
            .of_kind(Kind::FelixConfiguration)
            .filter_map(|resource| match &**resource {
                Resource::FelixConfiguration(configuration) => Some(configuration),
                _ => None,
            })
            .collect()
    }

    pub(super) fn read_settings(&mut self) {
        self.resolve_settings();
        if !self.is_holding() {
            // What was held until now goes: settings take effect at once (E-606).
            for key in self.hold.release() {
                self.engine.update(key, None);
            }
        }
        self.needs_programming = true;
    }

    /// Notes where the store listens now; whether that changed (E-467). Where it listened before counts until then, so that
    /// a lost connection can come back.
    pub(super) fn follow_peers(&mut self) -> bool {
        let peers = self.config.store.peers();
        if peers == self.peers {
            return false;
        }
        tracing::info!("the store listens at {peers:?}");
        self.peers = peers;
        self.is_unsaved = true;
        true
    }

    /// Settings of what is in force.
    pub(super) fn resolve_settings(&mut self) {
        let node = self.config.node.clone();
        let labels = self
            .hold
            .of_kind(Kind::Node)
            .find(|resource| resource.meta().name == node)
            .map(|resource| resource.meta().labels.clone())
            .unwrap_or_default();
        let resolved = resolve(&Sources {
            node: &node,
            node_labels: &labels,
            environment: &self.config.environment,
            file: &self.config.file,
            stored: &self.configurations(),
            remembered: &self.resolved.remembered,
        });
        for problem in resolved.problems.iter().filter(|problem| !self.resolved.problems.contains(problem)) {
            tracing::warn!("setting {} of {}: {}", problem.name, problem.source, problem.message);
        }
        for note in resolved.notes.iter().filter(|note| !self.resolved.notes.contains(note)) {
            tracing::info!("settings of {}: {}", note.source, note.message);
        }
        self.observe.set(Watching::of(&resolved.operation));
        self.observe.log(&resolved.operation.log, &self.config.set_log);
        let mut settings = resolved.settings.clone();
        if resolved.operation.pins_datastore {
            settings.pin(&self.peers);
        }
        self.engine.set_settings(settings);
        self.resolved = resolved;
        // Some settings change what is compiled, and not what is calculated.
        self.desired = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_both_prefixes_in_any_case_are_settings_d12_e603() {
        let variables = [
            ("FELIX_LogPrefix", "felix"),
            ("TORTIE_LOGPREFIX", "tortie"),
            ("felix_nosuchthing", "kept, so that it is told"),
            ("TORTIE_NOSUCHTHING", "left out"),
            ("TORTIE_STORE", "left out"),
            ("FELIX_HealthPort", "1"),
            ("TORTIE_HEALTHPORT", ""),
            ("PATH", "/bin"),
        ];
        let found = settings_of_environment(variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
        let expected: Local =
            [("logprefix", "tortie"), ("nosuchthing", "kept, so that it is told"), ("healthport", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        assert_eq!(found, expected);
    }
}
