//! What stands in for the store while it cannot be read and the kernel holds no rules of ours (E-708).

use std::path::Path;
use std::sync::Arc;

use tortie_api::facts::Links;
use tortie_api::model::{Attachment, FelixConfiguration, HostEndpoint, Labels, Meta, Resource};
use tortie_api::{Kind, ResourceKey, with_causes};
use tortie_calc::settings::operation::BootPolicy;
use tortie_calc::settings::{Local, Remembered, Resolved, Sources, resolve};
use tortie_calc::{Engine, Settings};
use tortie_nftables::Kernel;
use tortie_rules::compile;

use crate::agent::{AgentError, pause_after};
use crate::hold::Form;
use crate::lock::NamespaceLock;
use crate::program::{Fault, ProgramError, Programmer};
use crate::saved::Saved;

/// The name of the endpoint that stands for all interfaces where there is no saved state. No stored object can have it.
const BOOT_ENDPOINT: &str = "boot policy";

/// Times that something is tried again before the host stays open; with their pauses about three seconds.
const RETRIES: u32 = 5;

/// What is known of a host without any store.
#[derive(Clone)]
pub struct Boot<'a> {
    /// The node; `None` takes that of the saved state, and there is none without one.
    pub node: Option<&'a str>,
    /// Settings of the environment, names in lower case without prefix.
    pub environment: &'a Local,
    /// Settings of the file, likewise.
    pub file: &'a Local,
    /// The folder of the saved state.
    pub state_dir: &'a Path,
    /// For tests: answers in the kernel's place.
    pub fault: Option<Fault>,
}

/// What [`restore`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The kernel holds rules of ours: they were left alone.
    RulesThere,
    /// Something stands in now; this says what.
    StandsIn(String),
    /// Nothing was programmed; this says why.
    Open(String),
}

/// A calculation over something else than the store.
pub(crate) struct StandIn {
    pub(crate) engine: Engine,
    /// What it is, for people.
    pub(crate) what: String,
}

/// Reads the saved state. One that cannot be used is reported, and counts as none.
pub(crate) fn read_saved(folder: &Path) -> (Option<Saved>, Option<String>) {
    match Saved::read(folder) {
        Ok(saved) => (saved, None),
        Err(error) => {
            let text = with_causes(&error);
            tracing::warn!("saved state: {text}");
            (None, Some(text))
        }
    }
}

/// Programs what stands in for the store, if the kernel holds no rules of ours. Asks no store.
///
/// `lock_dir` is as for [`NamespaceLock::take`].
///
/// # Errors
/// [`AgentError`] when an agent runs, and when the kernel cannot be used or refuses.
pub fn restore(boot: &Boot<'_>, lock_dir: &Path) -> Result<Restored, AgentError> {
    let failed = |error: &dyn std::error::Error| AgentError::Program(with_causes(error));
    let kernel = Kernel::open()?;
    let _lock = NamespaceLock::take(lock_dir)?;
    let mut programmer = Programmer::new(kernel, boot.fault.clone());
    if patiently(|| Ok(programmer.has_rules()?)).map_err(|error| failed(&error))? {
        return Ok(Restored::RulesThere);
    }
    let (saved, damage) = read_saved(boot.state_dir);
    match stand_in(boot, saved.as_ref(), None) {
        Ok(mut stand_in) => {
            patiently(|| stand_in.program(&mut programmer)).map_err(|error| failed(&error))?;
            Ok(Restored::StandsIn(stand_in.what))
        }
        Err(reason) => Ok(Restored::Open(damage.unwrap_or(reason))),
    }
}

/// Tries again what fails for want of memory or the like (E-712): nobody else would before the network is up.
fn patiently<R>(mut work: impl FnMut() -> Result<R, ProgramError>) -> Result<R, ProgramError> {
    for failures in 0..RETRIES {
        match work() {
            Err(error) if !error.is_refusal() => {
                let pause = pause_after(failures);
                tracing::error!("{}; next try in {} ms", with_causes(&error), pause.as_millis());
                std::thread::sleep(pause);
            }
            done => return done,
        }
    }
    work()
}

/// The saved state, or else what `bootPolicy` says; `Err` says why the host stays open.
///
/// `links` are those of the host where they are known, else the saved ones count.
pub(crate) fn stand_in(boot: &Boot<'_>, saved: Option<&Saved>, links: Option<&Links>) -> Result<StandIn, String> {
    let reason = match saved {
        Some(saved) if boot.node.is_none_or(|node| node == saved.node) => {
            let mut engine = Engine::new(resolved(boot, &saved.node, Some(saved)).settings);
            for (key, text) in &saved.objects {
                if let Some(form) = Form::read_saved(key, text) {
                    engine.update(key.clone(), Some(form.resource));
                }
            }
            engine.set_links(links.unwrap_or(&saved.links).clone());
            let what = format!("saved state of {}, revision {}", saved.time, saved.revision);
            return Ok(StandIn { engine, what });
        }
        Some(saved) => format!("the saved state is that of node `{}`", saved.node),
        None => format!("there is no saved state in `{}`", boot.state_dir.display()),
    };
    let node = boot.node.unwrap_or_default();
    let resolved = resolved(boot, node, saved);
    if resolved.operation.boot_policy != BootPolicy::FailsafeOnly {
        return Err(reason);
    }
    // For all interfaces but `lo`, whatever is set for the endpoints of users.
    let mut engine = Engine::new(Settings { is_loopback_exempt: true, ..resolved.settings });
    let endpoint = HostEndpoint {
        meta: Meta { name: BOOT_ENDPOINT.to_owned(), ..Meta::default() },
        node: node.to_owned(),
        attachment: Attachment::AllInterfaces,
        expected_ips: Vec::new(),
        profiles: Vec::new(),
        ports: Vec::new(),
    };
    let key = ResourceKey::global(Kind::HostEndpoint, BOOT_ENDPOINT);
    engine.update(key, Some(Arc::new(Resource::HostEndpoint(endpoint))));
    engine.set_links(links.cloned().unwrap_or_default());
    Ok(StandIn { engine, what: format!("bootPolicy FailsafeOnly: failsafe ports only, because {reason}") })
}

impl StandIn {
    /// Programs it. An object that the kernel does not take any more is left out.
    pub(crate) fn program(&mut self, programmer: &mut Programmer) -> Result<(), ProgramError> {
        let mut left_out = Vec::new();
        loop {
            self.engine.flush();
            let error = match programmer.program(&compile(self.engine.policy())) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match error.object().filter(|(key, _)| error.is_refusal() && !left_out.contains(key)) {
                Some((key, _)) => {
                    tracing::error!("saved {key} is left out: {}", with_causes(&error));
                    self.engine.update(key.clone(), None);
                    left_out.push(key.clone());
                }
                None => return Err(error),
            }
        }
    }
}

/// The saved settings of agents.
fn configurations(saved: Option<&Saved>) -> Vec<Form> {
    let objects = saved.into_iter().flat_map(|saved| &saved.objects);
    let configurations = objects.filter(|(key, _)| key.kind == Kind::FelixConfiguration);
    configurations.filter_map(|(key, text)| Form::read_saved(key, text)).collect()
}

/// The settings of environment, file and saved state.
fn resolved(boot: &Boot<'_>, node: &str, saved: Option<&Saved>) -> Resolved {
    let key = ResourceKey::global(Kind::Node, node);
    let labels = saved
        .and_then(|saved| saved.objects.iter().find(|(found, _)| *found == key))
        .and_then(|(_, text)| Form::read_saved(&key, text))
        .map_or_else(Labels::new, |form| form.resource.meta().labels.clone());
    let configurations = configurations(saved);
    let stored = configurations.iter().filter_map(|form| match &*form.resource {
        Resource::FelixConfiguration(configuration) => Some(configuration),
        _ => None,
    });
    let stored: Vec<&FelixConfiguration> = stored.collect();
    let none = Remembered::new();
    let mut resolved = resolve(&Sources {
        node,
        node_labels: &labels,
        environment: boot.environment,
        file: boot.file,
        stored: &stored,
        remembered: saved.map_or(&none, |saved| &saved.settings),
    });
    if let (true, Some(saved)) = (resolved.operation.pins_datastore, saved) {
        resolved.settings.pin(&saved.peers);
    }
    resolved
}
