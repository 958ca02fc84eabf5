//! Settings of all sources: what wins, what is refused, what is told (E-601..E-634, D-1, D-12).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad;
mod merge;
mod told;
mod values;

use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_api::model::{FelixConfiguration, Labels, Resource};
use tortie_api::read_stored;
use tortie_calc::Settings;
use tortie_calc::settings::{Local, Operation, Origin, Remembered, Resolved, Setting, Sources, resolve};

/// A world of sources; each test changes what it is about.
#[derive(Default)]
struct World {
    environment: Local,
    file: Local,
    stored: Vec<FelixConfiguration>,
    labels: Labels,
    remembered: Remembered,
}

impl World {
    fn environment(mut self, name: &str, text: &str) -> Self {
        self.environment.insert(name.to_lowercase(), text.to_owned());
        self
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        self.file.insert(name.to_lowercase(), text.to_owned());
        self
    }

    /// As the agent reads it from the store.
    fn stored(self, name: &str, annotations: Value, spec: Value) -> Self {
        self.created("2026-01-01T00:00:00Z", name, annotations, spec)
    }

    fn created(mut self, created: &str, name: &str, annotations: Value, spec: Value) -> Self {
        let metadata = json!({"name": name, "annotations": annotations, "creationTimestamp": created});
        let object = json!({"metadata": metadata, "spec": spec});
        match read_stored(Kind::FelixConfiguration, &object).unwrap().resource {
            Resource::FelixConfiguration(configuration) => self.stored.push(configuration),
            other => panic!("{other:?}"),
        }
        self
    }

    fn spec(self, spec: Value) -> Self {
        self.stored("default", json!({}), spec)
    }

    /// A setting in the place that the store has for it.
    fn in_store(self, setting: &Setting, value: &Value) -> Self {
        match setting.origin {
            Origin::Felix => self.spec(json!({setting.name: value})),
            Origin::Tortie => {
                let annotation = format!("tortie.dev/{}", setting.name);
                self.stored("default", json!({annotation: value}), json!({}))
            }
        }
    }

    fn resolve(&self) -> Resolved {
        let stored: Vec<&FelixConfiguration> = self.stored.iter().collect();
        resolve(&Sources {
            node: "n1",
            node_labels: &self.labels,
            environment: &self.environment,
            file: &self.file,
            stored: &stored,
            remembered: &self.remembered,
        })
    }
}

fn world() -> World {
    World::default()
}

fn defaults() -> (Settings, Operation) {
    (Settings { node: "n1".to_owned(), ..Settings::default() }, Operation::default())
}

/// `name=value of source` of each setting in force.
fn in_force(resolved: &Resolved) -> Vec<String> {
    resolved.in_force.iter().map(|s| format!("{}={} of {}", s.name, s.value, s.source)).collect()
}

fn problems(resolved: &Resolved) -> Vec<String> {
    resolved.problems.iter().map(|p| format!("{} of {}: {}", p.name, p.source, p.message)).collect()
}

fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}
