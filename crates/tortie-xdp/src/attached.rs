//! One program on one interface.

use std::io;

use nix::libc;
use tortie_netmon::{Device, Mac, XdpMode};

use crate::bpf::Link;
use crate::filter::{Filter, FilterError, name};
use crate::guard::{Blocked, Failsafes, Guard};
use crate::pins::Pins;

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
    /// What its maps hold; `None` when that has to be read.
    blocked: Option<Blocked>,
    /// What stands in its instructions; `None` when a former process loaded it.
    failsafes: Option<Failsafes>,
    is_held: bool,
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
        let filter = Filter::load(mac, guard)?;
        let link = Link::create(&filter.program, device.index, mode).map_err(|error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE | libc::E2BIG) => AttachError::Refused(error),
            _ => AttachError::Attach(error),
        })?;
        filter.add(&guard.blocked)?;
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
            failsafes: Some(guard.failsafes.clone()),
            is_held: false,
        })
    }

    /// The program of a former process: nothing is known of what it blocks.
    pub(crate) fn adopted(interface: u32, link: Link, filter: Filter) -> Attached {
        // Its mode is seen when devices are listed.
        let mode = XdpMode::Driver;
        Attached { interface, link, filter, mode, blocked: None, failsafes: None, is_held: false }
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

    /// What the maps hold has to be read again.
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

    /// Blocks nothing any more that `guard` does not block. Where that takes more than `elements_max` elements, or what is
    /// blocked is not known, the program is held.
    pub(crate) fn retract(&mut self, guard: Option<&Guard>, elements_max: usize) -> Result<(), FilterError> {
        let same = guard.filter(|guard| self.failsafes.as_ref() == Some(&guard.failsafes));
        let gone = same.zip(self.blocked.as_ref()).map(|(guard, blocked)| blocked.without(&guard.blocked));
        match gone {
            Some(gone) if gone.is_empty() => Ok(()),
            Some(gone) if gone.len() <= elements_max => {
                // Unknown until it is done.
                let before = self.blocked.take();
                self.filter.remove(&gone)?;
                self.blocked = before.map(|before| before.without(&gone));
                Ok(())
            }
            _ => self.hold(),
        }
    }

    fn hold(&mut self) -> Result<(), FilterError> {
        if !self.is_held {
            self.filter.hold(true)?;
            self.is_held = true;
        }
        Ok(())
    }

    /// Makes it block what `guard` blocks: by elements where the instructions stay the same and there is room, by a new
    /// program with maps of its own otherwise.
    pub(crate) fn change(&mut self, mac: Mac, guard: &Guard, pins: Option<&Pins>) -> Result<(), AttachError> {
        let is_same = name(mac, &guard.failsafes).map_err(FilterError::from)? == self.filter.info.name;
        if !is_same || self.blocked.as_ref() != Some(&guard.blocked) {
            if is_same && self.filter.has_room_for(&guard.blocked) {
                self.edit(&guard.blocked)?;
            } else {
                self.turn(mac, guard, pins)?;
            }
            self.blocked = Some(guard.blocked.clone());
        }
        self.failsafes = Some(guard.failsafes.clone());
        // Written also when nothing is known of it: a former process may have ended while it held.
        self.filter.hold(false)?;
        self.is_held = false;
        Ok(())
    }

    fn edit(&mut self, wanted: &Blocked) -> Result<(), FilterError> {
        let known = match self.blocked.take() {
            Some(known) => known,
            None => self.filter.blocked()?,
        };
        self.filter.remove(&known.without(wanted))?;
        self.filter.add(&wanted.without(&known))
    }

    fn turn(&mut self, mac: Mac, guard: &Guard, pins: Option<&Pins>) -> Result<(), AttachError> {
        let filter = Filter::load_beside(mac, guard, Some(&self.filter))?;
        filter.add(&guard.blocked)?;
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
