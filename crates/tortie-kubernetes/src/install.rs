//! Puts definitions and admission policies onto a server that lacks them (datastore.md section 3.7).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tortie_api::crd::Definition;
use tortie_datastore::KvError;

use crate::failure::{Failure, is_missing_definition};
use crate::server::{Ask, Server};
use crate::source::segment;

/// The kind of a definition; everything else that is installed is an admission policy.
const DEFINITION: &str = "CustomResourceDefinition";
/// The pause between two questions whether the server is ready: it takes a second or two, and tells nobody.
const PAUSE: Duration = Duration::from_millis(50);
/// What the server calls an object that is asked for only to see whether it is ready. Nothing of this name is stored.
const TRIAL: &str = "tortie-trial";

/// What was done with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was missing, and is there now.
    Created,
    /// It was there, and is as it was.
    Present,
    /// The server does not know objects of its kind, which only newer ones do.
    Unknown,
}

/// One object, and what was done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The kind of the object.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What was done.
    pub outcome: Outcome,
}

/// Creates what is missing, in the order given, and returns when all of it is in use.
pub(crate) async fn install(
    server: &Server,
    definitions: &[Definition],
    within: Duration,
) -> Result<Vec<Installed>, KvError> {
    let mut installer = Installer { server, until: Instant::now() + within, within, plurals: BTreeMap::new() };
    let mut done = Vec::new();
    for definition in definitions {
        let outcome = installer.put(definition).await?;
        done.push(Installed { kind: definition.kind, name: definition.name.clone(), outcome });
    }
    for definition in definitions.iter().filter(|definition| definition.kind == DEFINITION) {
        installer.wait_established(definition).await?;
    }
    for definition in definitions.iter().filter(|definition| definition.kind == DEFINITION) {
        installer.wait_writable(definition).await?;
    }
    let detected = server.detect().await;
    detected.map_err(|failure| server.told(failure, "ask for the API groups", "get", "/apis".to_owned()))?;
    Ok(done)
}

struct Installer<'a> {
    server: &'a Server,
    until: Instant,
    within: Duration,
    /// The plural of each kind of an API version that the server knows.
    plurals: BTreeMap<String, BTreeMap<String, String>>,
}

impl Installer<'_> {
    async fn put(&mut self, definition: &Definition) -> Result<Outcome, KvError> {
        let version = definition.object["apiVersion"].as_str().unwrap_or_default();
        let Some(plural) = self.plural(version, definition.kind).await? else { return Ok(Outcome::Unknown) };
        let path = format!("/apis/{version}/{plural}");
        let resource = || format!("{plural}.{}", version.split('/').next().unwrap_or_default());
        let told = |failure, action, verb| self.server.told(failure, action, verb, resource());
        match self.server.fetch(&Ask::get(format!("{path}/{}", segment(&definition.name)))).await {
            Ok(_) => return Ok(Outcome::Present),
            Err(failure) if failure.is_code(404) => {}
            Err(failure) => return Err(told(failure, "look for definitions", "get")),
        }
        match self.server.fetch(&Ask::send(Method::POST, path.as_str(), definition.object.clone())).await {
            Ok(_) => Ok(Outcome::Created),
            // Somebody else installs at the same time.
            Err(failure) if failure.is_code(409) => Ok(Outcome::Present),
            Err(failure) => Err(told(failure, "install definitions", "create")),
        }
    }

    /// The plural of a kind, if the server knows it.
    async fn plural(&mut self, version: &str, kind: &str) -> Result<Option<String>, KvError> {
        if !self.plurals.contains_key(version) {
            let known = match self.server.fetch(&Ask::get(format!("/apis/{version}"))).await {
                Ok(list) => list,
                Err(failure) if failure.is_code(404) => Value::Null,
                Err(failure) => {
                    return Err(self.server.told(failure, "ask for kinds", "get", format!("/apis/{version}")));
                }
            };
            let names = known["resources"].as_array().into_iter().flatten().filter_map(|resource| {
                let name = resource["name"].as_str().filter(|name| !name.contains('/'))?;
                Some((resource["kind"].as_str()?.to_owned(), name.to_owned()))
            });
            self.plurals.insert(version.to_owned(), names.collect());
        }
        Ok(self.plurals.get(version).and_then(|kinds| kinds.get(kind)).cloned())
    }

    async fn wait_established(&self, definition: &Definition) -> Result<(), KvError> {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", segment(&definition.name));
        let told = |failure| {
            let resource = "customresourcedefinitions.apiextensions.k8s.io".to_owned();
            self.server.told(failure, "wait for definitions", "get", resource)
        };
        loop {
            let found = self.server.fetch(&Ask::get(path.as_str())).await.map_err(told)?;
            match condition(&found, "Established") {
                Some(("True", _)) => return Ok(()),
                _ if self.is_late() => {
                    let why = condition(&found, "NamesAccepted").filter(|(status, _)| *status == "False");
                    let why = why.map_or("the server does not establish it", |(_, message)| message);
                    return Err(told(self.never(format!("the definition `{}`: {why}", definition.name))));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Until an object of the definition passes admission, which needs the definitions for its own policies and notices new
    /// ones a moment late. Nothing is stored.
    async fn wait_writable(&self, definition: &Definition) -> Result<(), KvError> {
        let spec = &definition.object["spec"];
        let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, version, plural) = (text("/group"), text("/versions/0/name"), text("/names/plural"));
        let namespace = if text("/scope") == "Namespaced" { "namespaces/default/" } else { "" };
        let object = json!({
            "apiVersion": format!("{group}/{version}"), "kind": text("/names/kind"),
            "metadata": {"name": TRIAL}, "spec": {},
        });
        let ask = Ask::send(Method::POST, format!("/apis/{group}/{version}/{namespace}{plural}"), object);
        let ask = ask.with("dryRun", "All");
        loop {
            match self.server.fetch(&ask).await {
                Err(failure) if is_too_early(&failure) => {
                    if self.is_late() {
                        let resource = format!("{plural}.{group}");
                        return Err(self.server.told(failure, "wait for definitions", "create", resource));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                // Whether this object is good, and this user may write it, is not the question.
                Ok(_) | Err(Failure::Answered(_)) => return Ok(()),
                Err(failure) => {
                    let resource = format!("{plural}.{group}");
                    return Err(self.server.told(failure, "wait for definitions", "create", resource));
                }
            }
        }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    fn never(&self, what: String) -> Failure {
        Failure::Never { what, within: self.within }
    }
}

/// The server has the definition, and not every part of it has heard of it.
fn is_too_early(failure: &Failure) -> bool {
    match failure {
        Failure::Answered(answer) => answer.code >= 500 || is_missing_definition(answer),
        _ => false,
    }
}

/// Status and message of a condition of a definition.
fn condition<'a>(object: &'a Value, name: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == name)?;
    Some((found["status"].as_str()?, found["message"].as_str().unwrap_or_default()))
}
