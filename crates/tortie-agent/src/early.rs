//! Early drops beside the rules (E-480..E-484): what the loop keeps for `tortie-xdp`.
//!
//! Whatever fails here is told and tried again at the next look; rules never wait for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tortie_api::facts::Links;
use tortie_calc::HostPolicy;
use tortie_calc::settings::operation::{Operation, Xdp};
use tortie_xdp::{BPF_FS, Driver, Guards, Problem, State, XdpMode, guards};

use crate::status::{EarlyDropStatus, InterfaceStatus};

/// Programs on interfaces, and what they are to block.
pub(crate) struct Early {
    /// `None` until the first use, and where the namespace cannot be told.
    driver: Option<Driver>,
    guards: Guards,
    states: BTreeMap<String, State>,
    /// Whether the programs of a former process, or of before it was disabled, have been removed.
    is_swept: bool,
    /// Why nothing can be done at all.
    error: Option<String>,
    /// When programs were last looked at and lists written anew, or are known to be right.
    refreshed_at: Instant,
}

impl Early {
    pub(crate) fn new() -> Early {
        Early {
            driver: None,
            guards: Guards::new(),
            states: BTreeMap::new(),
            is_swept: false,
            error: None,
            refreshed_at: Instant::now(),
        }
    }

    /// Takes what the calculation gives now.
    pub(crate) fn calculate(&mut self, policy: &HostPolicy, xdp: Xdp) {
        self.guards = if xdp.is_enabled { guards(policy) } else { Guards::new() };
    }

    /// When programs are to be looked at and lists written anew, if ever (E-620).
    pub(crate) fn refresh_at(&self, operation: &Operation) -> Option<Instant> {
        // Without a list there is nothing to look at.
        let has_list = operation.xdp.is_enabled && self.guards.values().any(Result::is_ok);
        let interval = operation.xdp_refresh.filter(|_| has_list)?;
        self.refreshed_at.checked_add(interval)
    }

    /// Trusts nothing that is known (E-723).
    pub(crate) fn doubt(&mut self) {
        self.refreshed_at = Instant::now();
        if let Some(driver) = &mut self.driver {
            driver.doubt();
        }
    }

    /// Before the rules change.
    pub(crate) fn before(&mut self, links: &Links) {
        let Some(driver) = open(&mut self.driver, &mut self.error) else { return };
        let names: BTreeMap<u32, &String> = links.values().map(|link| (link.index, &link.name)).collect();
        driver.before(&self.guards, |index| names.get(&index).map(|name| (*name).clone()));
    }

    /// After they have changed.
    pub(crate) fn after(&mut self, xdp: Xdp) {
        let Some(driver) = open(&mut self.driver, &mut self.error) else { return };
        if !xdp.is_enabled {
            self.states.clear();
            if !self.is_swept {
                // Tried again after the next change.
                match driver.remove_all() {
                    Ok(0) => self.is_swept = true,
                    Ok(count) => {
                        tracing::info!("early drops are disabled: {count} XDP programs removed");
                        self.is_swept = true;
                    }
                    Err(error) => tracing::warn!("XDP programs cannot be removed: {error}"),
                }
            }
            return;
        }
        self.is_swept = false;
        let states = driver.after(&self.guards, xdp.is_generic_enabled);
        for (interface, state) in &states {
            let before = self.states.get(interface);
            if before.map(|before| (&before.mode, &before.problem)) != Some((&state.mode, &state.problem)) {
                tell(interface, state);
            }
        }
        self.states = states;
    }

    /// What there is to know of each interface.
    pub(crate) fn tell(&self, links: &Links, interfaces: &mut [InterfaceStatus]) {
        let drops = self.driver.as_ref().map(Driver::drops).unwrap_or_default();
        for interface in interfaces {
            let Some(state) = self.states.get(&interface.name) else { continue };
            let now = links.get(&interface.name).and_then(|link| drops.get(&link.index));
            interface.early_drop = Some(EarlyDropStatus {
                mode: state.mode.map(|mode| mode_text(mode).to_owned()),
                entries: state.entries,
                dropped_packets: now.copied().unwrap_or(state.drops),
                reason: state.problem.as_ref().map(ToString::to_string),
            });
        }
    }

    /// What somebody should look at.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let told = |(interface, state): (&String, &State)| {
            let problem = state.problem.as_ref().filter(|problem| is_worth_a_warning(problem))?;
            Some(format!("no early drops on {interface}: {problem}; the rules judge alone"))
        };
        self.states.iter().filter_map(told).chain(self.error.clone()).collect()
    }
}

fn open<'a>(driver: &'a mut Option<Driver>, error: &mut Option<String>) -> Option<&'a mut Driver> {
    if driver.is_none() {
        match Driver::new(Path::new(BPF_FS)) {
            Ok(opened) => {
                *error = None;
                *driver = Some(opened);
            }
            Err(why) => *error = Some(format!("no early drops: {why}")),
        }
    }
    driver.as_mut()
}

/// Kernels, drivers and rights without XDP are no fault of this host; others' programs, and failures, are told.
fn is_worth_a_warning(problem: &Problem) -> bool {
    matches!(problem, Problem::Foreign(_) | Problem::Failed(_))
}

fn tell(interface: &str, state: &State) {
    match (&state.mode, &state.problem) {
        (Some(mode), None) => {
            tracing::info!("early drops on {interface}: {} entries, {} mode", state.entries, mode_text(*mode));
        }
        (_, Some(problem)) if is_worth_a_warning(problem) => {
            tracing::warn!("no early drops on {interface}: {problem}; the rules judge alone");
        }
        (_, Some(problem)) => tracing::info!("no early drops on {interface}: {problem}"),
        (None, None) => {}
    }
}

fn mode_text(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Driver => "driver",
        XdpMode::Generic => "generic",
        XdpMode::Hardware => "hardware",
    }
}
