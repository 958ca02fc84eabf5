//! One program on one interface.

use std::io;

use nix::libc;
use tortie_netmon::{Device, Mac, XdpMode};

use crate::bpf::Link;
use crate::filter::{Filter, FilterError, name};
use crate::guard::{Blocked, Failsafes, Guard};
use crate::pins::Pins;
use crate::tree::Shapes;

/// Why a program does not stand on its interface as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The driver does not take programs in this mode, or not this one.
    #[error("the driver refuses the program")]
    Refused(#[source] io::Error),
    #[error("cannot attach the program")]
    Attach(#[source] io::Error),
    #[error("cannot turn to the new program")]
    Turn(#[source] io::Error),
    #[error("cannot keep the program in the bpf file system")]
    Pin(#[source] io::Error),
}

/// A program that is attached, and what is known of it.
#[derive(Debug)]
pub(crate) struct Attached {
    interface: u32,
    link: Link,
    filter: Filter,
    mode: XdpMode,
    /// What it blocks; `None` when nobody knows.
    blocked: Option<Blocked>,
    /// What stands in its instructions; `None` when a former process loaded it.
    built: Option<Built>,
    is_held: bool,
}

/// What the instructions of a program depend on, but for the interface.
#[derive(Clone, Debug)]
struct Built {
    failsafes: Failsafes,
    shapes: Shapes,
}

impl Attached {
    /// Attaches a new program, and then fills its maps: what is refused costs little.
    pub(crate) fn attach(
        device: &Device,
        mac: Mac,
        guard: &Guard,
        mode: XdpMode,
        pins: Option<&Pins>,
    ) -> Result<Attached, AttachError> {
        let shapes = Shapes::of(&guard.blocked);
        let filter = Filter::load(mac, &guard.failsafes, shapes)?;
        let link = Link::create(&filter.program, device.index, mode).map_err(|error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE | libc::E2BIG) => AttachError::Refused(error),
            _ => AttachError::Attach(error),
        })?;
        filter.block(shapes, &guard.blocked, None)?;
        if let Some(pins) = pins {
            let kept = pins.keep(device.index, &filter).and_then(|()| pins.keep_link(device.index, &link));
            kept.map_err(AttachError::Pin)?;
        }
        Ok(Attached {
            interface: device.index,
            link,
            filter,
            mode,
            blocked: Some(guard.blocked.clone()),
            built: Some(Built { failsafes: guard.failsafes.clone(), shapes }),
            is_held: false,
        })
    }

    /// The program of a former process: nothing is known of what it blocks.
    pub(crate) fn adopted(interface: u32, link: Link, filter: Filter) -> Attached {
        // Its mode is seen when devices are listed.
        let mode = XdpMode::Driver;
        Attached { interface, link, filter, mode, blocked: None, built: None, is_held: false }
    }

    pub(crate) fn mode(&self) -> XdpMode {
        self.mode
    }

    pub(crate) fn entries(&self) -> usize {
        self.blocked.as_ref().map_or(0, Blocked::len)
    }

    /// Frames that were dropped; 0 when the kernel does not tell.
    pub(crate) fn drops(&self) -> u64 {
        self.filter.drops().unwrap_or(0)
    }

    /// Nobody knows what the lists hold: they are made anew.
    pub(crate) fn doubt(&mut self) {
        self.blocked = None;
    }

    /// Whether the program still stands on the device; tells its mode.
    pub(crate) fn is_on(&mut self, device: &Device) -> bool {
        let id = self.filter.info.id;
        let is_linked = self.link.info().ok().flatten().is_some_and(|info| info.program == id && info.interface != 0);
        let seen = device.programs.iter().find(|(_, program)| *program == id).filter(|_| is_linked);
        if let Some((mode, _)) = seen {
            self.mode = *mode;
        }
        seen.is_some()
    }

    /// Blocks nothing any more that `guard` does not block. Where its instructions will change, or nobody knows what is
    /// blocked, the program is held.
    pub(crate) fn retract(&mut self, guard: Option<&Guard>) -> Result<(), FilterError> {
        let same = self.built.as_ref().zip(guard).filter(|(built, guard)| built.failsafes == guard.failsafes);
        let Some(((built, guard), blocked)) = same.zip(self.blocked.as_ref()) else { return self.hold() };
        let gone = blocked.without(&guard.blocked);
        if !gone.is_empty() {
            let left = blocked.without(&gone);
            self.filter.block(built.shapes, &left, Some(blocked))?;
            self.blocked = Some(left);
        }
        Ok(())
    }

    fn hold(&mut self) -> Result<(), FilterError> {
        if !self.is_held {
            self.filter.hold(true)?;
            self.is_held = true;
        }
        Ok(())
    }

    /// Makes it block what `guard` blocks: by new lists where the instructions stay the same, by a new program with lists
    /// of its own otherwise.
    pub(crate) fn change(&mut self, mac: Mac, guard: &Guard, pins: Option<&Pins>) -> Result<(), AttachError> {
        let Guard { blocked, failsafes } = guard;
        let present = self.built.as_ref().map(|built| built.shapes).filter(|shapes| shapes.fit(blocked));
        let shapes = present.unwrap_or_else(|| Shapes::of(blocked));
        // Unknown until it is done.
        let known = self.blocked.take();
        if name(mac, failsafes, shapes).map_err(FilterError::from)? == self.filter.info.name {
            self.filter.block(shapes, blocked, known.as_ref())?;
        } else {
            self.turn(mac, guard, shapes, pins)?;
        }
        self.blocked = Some(known.filter(|known| known == blocked).unwrap_or_else(|| blocked.clone()));
        self.built = Some(Built { failsafes: failsafes.clone(), shapes });
        // Written also when nothing is known of it: a former process may have ended while it held.
        self.filter.hold(false)?;
        self.is_held = false;
        Ok(())
    }

    fn turn(&mut self, mac: Mac, guard: &Guard, shapes: Shapes, pins: Option<&Pins>) -> Result<(), AttachError> {
        let filter = Filter::load_beside(mac, &guard.failsafes, shapes, Some(&self.filter))?;
        filter.block(shapes, &guard.blocked, None)?;
        if let Some(pins) = pins {
            // Should the process end between the two, the next one finds a program that is not the link's, and makes both
            // anew.
            pins.keep(self.interface, &filter).map_err(AttachError::Pin)?;
        }
        self.link.turn(&filter.program).map_err(AttachError::Turn)?;
        self.filter = filter;
        Ok(())
    }

    /// Takes the program off.
    pub(crate) fn take_off(&self) {
        // The interface may be gone, and the program with it.
        let _ = self.link.detach();
    }
}
