//! Where links, programs and maps are kept beyond a process: files of a bpf file system.
//!
//! `<bpf>/tortie/<network namespace>-<index>/` holds `link`, `program` and a file for each map of one interface. The
//! program is pinned last and unpinned first: whoever finds it finds its maps.

use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::bpf::{Link, LinkInfo, Map, Program};
use crate::filter::{Filter, Maps, kind};
use crate::program::MapName;

/// Where systemd mounts the bpf file system.
pub const BPF_FS: &str = "/sys/fs/bpf";

const LINK: &str = "link";
const PROGRAM: &str = "program";

/// The pins of one network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    folder: PathBuf,
    namespace: u64,
}

/// One interface's program as a former process left it.
pub(crate) struct Found {
    pub(crate) interface: u32,
    pub(crate) link: Link,
    /// `None` when the link's program is not whole here.
    pub(crate) filter: Option<Filter>,
}

impl Pins {
    /// The pins of the thread's network namespace; `None` when there is no bpf file system at `bpf`.
    ///
    /// # Errors
    /// When the namespace has no name.
    pub(crate) fn of_namespace(bpf: &Path) -> io::Result<Option<Pins>> {
        if !statfs(bpf).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC) {
            return Ok(None);
        }
        let namespace = std::fs::metadata("/proc/thread-self/ns/net")?.st_ino();
        Ok(Some(Pins { folder: bpf.join("tortie"), namespace }))
    }

    fn of(&self, interface: u32) -> PathBuf {
        self.folder.join(format!("{}-{interface}", self.namespace))
    }

    /// The indices of all interfaces that have pins.
    fn interfaces(&self) -> io::Result<Vec<u32>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let prefix = format!("{}-", self.namespace);
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            found.extend(
                name.to_str().and_then(|name| name.strip_prefix(&prefix)).and_then(|index| index.parse::<u32>().ok()),
            );
        }
        Ok(found)
    }

    /// What a former process left on interfaces that are still there. Pins that lead to none are removed.
    pub(crate) fn found(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for interface in self.interfaces()? {
            match self.attached(interface) {
                Some((link, info)) => {
                    // What cannot be opened, or belongs to another program, is made anew.
                    let filter = self.filter(interface).ok().filter(|filter| filter.info.id == info.program);
                    found.push(Found { interface, link, filter });
                }
                None => self.remove(interface)?,
            }
        }
        Ok(found)
    }

    fn attached(&self, interface: u32) -> Option<(Link, LinkInfo)> {
        let link = Link::pinned(&self.of(interface).join(LINK)).ok()?;
        let info = link.info().ok().flatten().filter(|info| info.interface == interface)?;
        Some((link, info))
    }

    fn filter(&self, interface: u32) -> io::Result<Filter> {
        let folder = self.of(interface);
        let program = Program::pinned(&folder.join(PROGRAM))?;
        let mut maps = Maps::new();
        for map in MapName::ALL {
            maps.insert(map, Map::pinned(&folder.join(map.as_str()), kind(map))?.into());
        }
        Ok(Filter { info: program.info()?, program, maps })
    }

    /// Keeps a program and its maps in the place of what was kept before.
    pub(crate) fn keep(&self, interface: u32, filter: &Filter) -> io::Result<()> {
        let folder = self.of(interface);
        std::fs::create_dir_all(&folder)?;
        unlink(&folder.join(PROGRAM))?;
        for (map, kept) in &filter.maps {
            let path = folder.join(map.as_str());
            unlink(&path)?;
            kept.pin(&path)?;
        }
        filter.program.pin(&folder.join(PROGRAM))
    }

    /// Keeps a new link.
    pub(crate) fn keep_link(&self, interface: u32, link: &Link) -> io::Result<()> {
        let path = self.of(interface).join(LINK);
        unlink(&path)?;
        link.pin(&path)
    }

    /// Removes the pins of an interface, also those that only a former version knew.
    pub(crate) fn remove(&self, interface: u32) -> io::Result<()> {
        let folder = self.of(interface);
        unlink(&folder.join(PROGRAM))?;
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            unlink(&entry?.path())?;
        }
        match std::fs::remove_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes all programs off and removes all pins: how many links there were.
    pub(crate) fn remove_all(&self) -> io::Result<usize> {
        let mut count = 0;
        for interface in self.interfaces()? {
            if let Some((link, _)) = self.attached(interface) {
                link.detach()?;
                count += 1;
            }
            self.remove(interface)?;
        }
        // Others' namespaces may have pins here.
        let _ = std::fs::remove_dir(&self.folder);
        Ok(count)
    }
}

fn unlink(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
