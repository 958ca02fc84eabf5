//! Programs on interfaces: attached, changed, looked after, removed.
//!
//! A change of policy comes in two steps around that of the rules, so that no packet is dropped early that the rules in
//! force accept: [`Driver::before`] takes away what is blocked no longer, and [`Driver::after`] adds what is new. Where
//! the instructions change the program is held, and drops nothing until the second step is done.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use nix::libc;
use tortie_api::with_causes;
use tortie_netmon::{Device, Mac, XdpMode, devices};

use crate::attached::{AttachError, Attached};
use crate::filter::FilterError;
use crate::guard::{Guard, NoGuard};
use crate::pins::Pins;

/// What may be dropped early on each interface.
pub type Guards = BTreeMap<String, Result<Guard, NoGuard>>;

/// What is in force on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How the program is attached; `None` when it is not.
    pub mode: Option<XdpMode>,
    /// Addresses and networks that it blocks.
    pub entries: usize,
    /// Frames that it dropped since it is attached.
    pub drops: u64,
    /// Why there is no program, or what is wrong with it.
    pub problem: Option<Problem>,
}

/// Why packets of an interface are judged by rules alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Policy gives nothing to block.
    #[error(transparent)]
    NoGuard(#[from] NoGuard),
    /// It may come later.
    #[error("there is no such interface")]
    NoInterface,
    /// Only Ethernet has frames that the program understands.
    #[error("the interface is not Ethernet")]
    NotEthernet,
    /// What arrives is seen as arriving on the controller.
    #[error("the interface is a port of a bridge, bond or VRF, where its packets arrive")]
    IsPort,
    /// A frame whose tag the card took off looks like one of the interface itself.
    #[error("{} shares the interface's frames, and the program cannot tell whose they are", .0.join(", "))]
    IsShared(Vec<String>),
    /// E-722.
    #[error("another XDP program is attached (id {0}); it is left alone")]
    Foreign(u32),
    /// E-484.
    #[error("the driver has no XDP ({0}); `genericXDPEnabled: true` would use the kernel's slower form")]
    NoDriverMode(String),
    /// Neither programs nor maps may be made.
    #[error(
        "bpf(2) is not permitted: it takes CAP_BPF beside CAP_NET_ADMIN, and a filter of system calls that lets it"
    )]
    NotPermitted,
    /// Anything else that the kernel does not do.
    #[error("{0}")]
    Failed(String),
}

/// The programs of one network namespace: that of the thread that uses it.
pub struct Driver {
    pins: Option<Pins>,
    /// By the interface's index.
    attached: BTreeMap<u32, Attached>,
    /// Interfaces on which attaching failed, and why: not tried again until somebody asks to look again.
    failed: BTreeMap<u32, Problem>,
    /// Whether the generic mode may be used.
    is_generic_enabled: bool,
    /// Whether what a former process left has been looked for.
    has_adopted: bool,
}

impl Driver {
    /// The driver of the present network namespace, with pins in the bpf file system at `bpf`. Where there is none,
    /// programs end with the process. Changes nothing yet.
    ///
    /// # Errors
    /// When the namespace cannot be told.
    pub fn new(bpf: &Path) -> io::Result<Driver> {
        Ok(Driver {
            pins: Pins::of_namespace(bpf)?,
            attached: BTreeMap::new(),
            failed: BTreeMap::new(),
            is_generic_enabled: false,
            has_adopted: false,
        })
    }

    /// Whether programs outlive the process.
    pub fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// Before the rules change to those that `guards` go with: nothing is blocked any more that is not to be blocked then.
    /// `name_of` tells the present name of an interface.
    pub fn before(&mut self, guards: &Guards, name_of: impl Fn(u32) -> Option<String>) {
        self.adopt();
        let mut lost = Vec::new();
        for (index, attached) in &mut self.attached {
            let guard = name_of(*index).and_then(|name| guards.get(&name)).and_then(|guard| guard.as_ref().ok());
            if let Err(error) = attached.retract(guard) {
                lost.push((*index, error));
            }
        }
        for (index, error) in lost {
            // What cannot be held must not stay.
            self.take_off(index);
            self.failed.insert(index, Problem::Failed(with_causes(&error)));
        }
    }

    /// After the rules have changed: each interface of `guards` has its program, and no other has one. What is in force
    /// then, by interface.
    pub fn after(&mut self, guards: &Guards, is_generic_enabled: bool) -> BTreeMap<String, State> {
        self.adopt();
        if self.is_generic_enabled != is_generic_enabled {
            self.is_generic_enabled = is_generic_enabled;
            self.failed.clear();
        }
        let has_work = !self.attached.is_empty() || guards.values().any(Result::is_ok);
        // Most hosts have no such policy: they do not pay for a listing.
        let listed = if has_work { devices() } else { Ok(BTreeMap::new()) };
        let devices = match listed {
            Ok(devices) => devices,
            Err(error) => return self.blind(guards, &error),
        };
        let by_name: BTreeMap<&str, &Device> = devices.values().map(|device| (&*device.name, device)).collect();
        let mut wanted = BTreeMap::new();
        let mut problems = BTreeMap::new();
        for (name, guard) in guards {
            match self.place(by_name.get(&**name).copied(), guard) {
                Ok(place) => {
                    wanted.insert(place.device.index, (name, place));
                }
                Err(problem) => {
                    problems.insert(name.clone(), problem);
                }
            }
        }
        let unwanted: Vec<u32> = self.attached.keys().filter(|index| !wanted.contains_key(index)).copied().collect();
        unwanted.into_iter().for_each(|index| self.take_off(index));
        self.failed.retain(|index, _| devices.contains_key(index));
        let mut states: BTreeMap<String, State> =
            problems.into_iter().map(|(name, problem)| (name, State::without(problem))).collect();
        for (index, (name, place)) in wanted {
            let problem = self.put_on(&place).err();
            states.insert(name.clone(), self.state(index, problem));
        }
        states
    }

    /// The present state of an interface, with its counter read from the kernel.
    fn state(&self, index: u32, problem: Option<Problem>) -> State {
        match self.attached.get(&index) {
            Some(attached) => {
                State { mode: Some(attached.mode()), entries: attached.entries(), drops: attached.drops(), problem }
            }
            None => State { problem, ..State::default() },
        }
    }

    /// Frames that were dropped on each interface with a program, by index.
    pub fn drops(&self) -> BTreeMap<u32, u64> {
        self.attached.iter().map(|(index, attached)| (*index, attached.drops())).collect()
    }

    /// Trusts nothing that is known: the next [`Driver::after`] looks at programs in the kernel and writes lists anew (E-723),
    /// and tries again where attaching failed.
    pub fn doubt(&mut self) {
        self.failed.clear();
        self.attached.values_mut().for_each(Attached::doubt);
    }

    /// Takes all programs off, also those of a former process (E-484, E-707): how many there were.
    ///
    /// # Errors
    /// When pins cannot be read or removed.
    pub fn remove_all(&mut self) -> io::Result<usize> {
        let own = std::mem::take(&mut self.attached);
        own.values().for_each(Attached::take_off);
        self.failed.clear();
        self.has_adopted = true;
        // What has just been taken off is not attached any more, and not counted by its pin.
        Ok(own.len() + self.pins.as_ref().map_or(Ok(0), Pins::remove_all)?)
    }

    /// Takes over what a former process left.
    fn adopt(&mut self) {
        if std::mem::replace(&mut self.has_adopted, true) {
            return;
        }
        let Some(pins) = &self.pins else { return };
        // Pins that cannot be read are those of nobody: the interface then has a program that is not ours.
        for found in pins.found().unwrap_or_default() {
            let interface = found.interface;
            match found.filter {
                Some(filter) => {
                    self.attached.insert(interface, Attached::adopted(interface, found.link, filter));
                }
                None => {
                    // The interface may be gone by now, and the program with it.
                    let _ = found.link.detach();
                    self.take_off(interface);
                }
            }
        }
    }

    /// The device on which a program may stand for `guard`.
    fn place<'a>(&self, device: Option<&'a Device>, guard: &'a Result<Guard, NoGuard>) -> Result<Place<'a>, Problem> {
        let guard = guard.as_ref().map_err(|why| Problem::from(*why))?;
        let device = device.ok_or(Problem::NoInterface)?;
        let mac = device.mac.ok_or(Problem::NotEthernet)?;
        if device.controller.is_some() {
            return Err(Problem::IsPort);
        }
        if !device.sharers.is_empty() {
            return Err(Problem::IsShared(device.sharers.clone()));
        }
        Ok(Place { device, mac, guard })
    }

    /// Makes the program of a device right.
    fn put_on(&mut self, place: &Place<'_>) -> Result<(), Problem> {
        let Place { device, mac, guard } = *place;
        let index = device.index;
        let is_generic_enabled = self.is_generic_enabled;
        let is_right = |on: &mut Attached| on.is_on(device) && (on.mode() != XdpMode::Generic || is_generic_enabled);
        if self.attached.get_mut(&index).is_some_and(|attached| !is_right(attached)) {
            self.take_off(index);
        }
        let result = match self.attached.get_mut(&index) {
            Some(attached) => attached.change(mac, guard, self.pins.as_ref()).map_err(|error| failed(&error)),
            None => self.attach(place),
        };
        if let Err(problem) = &result {
            // What it blocks is right, but nobody knows how much of it is there.
            self.take_off(index);
            self.failed.insert(index, problem.clone());
        }
        result
    }

    fn attach(&mut self, place: &Place<'_>) -> Result<(), Problem> {
        let Place { device, mac, guard } = *place;
        if let Some(problem) = self.failed.get(&device.index) {
            return Err(problem.clone());
        }
        let pins = self.pins.as_ref();
        // A program of ours that has just been taken off was still there when devices were listed.
        let attached = match Attached::attach(device, mac, guard, XdpMode::Driver, pins) {
            Err(AttachError::Attach(_)) if !device.programs.is_empty() => {
                return Err(Problem::Foreign(device.programs[0].1));
            }
            Err(AttachError::Refused(_)) if self.is_generic_enabled => {
                Attached::attach(device, mac, guard, XdpMode::Generic, pins).map_err(|error| failed(&error))?
            }
            Err(AttachError::Refused(source)) => return Err(Problem::NoDriverMode(source.to_string())),
            other => other.map_err(|error| failed(&error))?,
        };
        self.attached.insert(device.index, attached);
        Ok(())
    }

    /// Takes a program off; the rules go on alone.
    fn take_off(&mut self, index: u32) {
        if let Some(attached) = self.attached.remove(&index) {
            attached.take_off();
        }
        if let Some(pins) = &self.pins {
            // Whoever looks for pins next removes those that lead to no program.
            let _ = pins.remove(index);
        }
    }

    /// Nothing is known of devices: what [`Driver::before`] left blocks nothing wrong, and stays.
    fn blind(&self, guards: &Guards, error: &io::Error) -> BTreeMap<String, State> {
        let problem = Problem::Failed(format!("cannot list devices: {error}"));
        guards.keys().map(|name| (name.clone(), State::without(problem.clone()))).collect()
    }
}

/// An interface on which a program may stand, and which.
#[derive(Clone, Copy)]
struct Place<'a> {
    device: &'a Device,
    mac: Mac,
    guard: &'a Guard,
}

impl State {
    fn without(problem: Problem) -> State {
        State { problem: Some(problem), ..State::default() }
    }
}

fn failed(error: &AttachError) -> Problem {
    match error {
        AttachError::Filter(FilterError::Make { source, .. } | FilterError::Load(source))
            if matches!(source.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) =>
        {
            Problem::NotPermitted
        }
        other => Problem::Failed(with_causes(other)),
    }
}
