//! A program in the kernel with its maps: loaded, filled, read back, and given frames.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use tortie_netmon::Mac;

use crate::asm::AssembleError;
use crate::bpf::{Map, MapKind, Program, ProgramInfo};
use crate::guard::{Blocked, Failsafes, Guard};
use crate::nets::Net;
use crate::program::{MapName, program};

/// Why a program is not in the kernel as it should be.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Too many failsafes.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// A map cannot be made, for want of rights, memory or kernel.
    #[error("cannot make map `{map}`")]
    Make {
        /// Which.
        map: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The verifier or the kernel refuses the program.
    #[error("the kernel does not take the program")]
    Load(#[source] io::Error),
    /// A map cannot be read or changed.
    #[error("cannot use map `{map}`")]
    Use {
        /// Which.
        map: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The program of one interface, loaded.
#[derive(Debug)]
pub struct Filter {
    pub(crate) program: Program,
    pub(crate) info: ProgramInfo,
    pub(crate) maps: Maps,
}

/// The maps of a program.
pub(crate) type Maps = BTreeMap<MapName, Arc<Map>>;

/// Elements for which there is room at least.
const ENTRIES_MIN: usize = 1024;
/// Elements for which a trie has room at least; room costs it nothing.
const TRIE_ENTRIES_MIN: usize = 1 << 20;

/// The kind of a map, and the bytes of its keys and values.
pub(crate) fn shape(map: MapName) -> (MapKind, usize, usize) {
    // A trie's key begins with the length of the prefix; only the two arrays have values that matter.
    match map {
        MapName::Hosts4 => (MapKind::Hash, 4, 4),
        MapName::Nets4 => (MapKind::Trie, 8, 4),
        MapName::Hosts6 => (MapKind::Hash, 16, 4),
        MapName::Nets6 => (MapKind::Trie, 20, 4),
        MapName::Hold => (MapKind::Array, 4, 4),
        MapName::Drops => (MapKind::PerCpuArray, 4, 8),
    }
}

/// The name of the program that `mac` and `failsafes` make: by it a later process knows whether it is the right one.
pub(crate) fn name(mac: Mac, failsafes: &Failsafes) -> Result<String, AssembleError> {
    Ok(format!("tortie_{:08x}", program(mac, failsafes)?.fingerprint()))
}

impl Filter {
    /// Loads the program with maps that block nothing yet and have room for `guard`.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn load(mac: Mac, guard: &Guard) -> Result<Filter, FilterError> {
        Self::load_beside(mac, guard, None)
    }

    /// The same, going on with the counter and the hold of `old`.
    pub(crate) fn load_beside(mac: Mac, guard: &Guard, old: Option<&Filter>) -> Result<Filter, FilterError> {
        let mut maps = Maps::new();
        for map in MapName::ALL {
            let kept = match map {
                MapName::Hold | MapName::Drops => old.map(|old| old.maps[&map].clone()),
                _ => None,
            };
            let made = kept.map_or_else(|| make(map, room(map, &guard.blocked)).map(Arc::new), Ok)?;
            maps.insert(map, made);
        }
        let instructions = program(mac, &guard.failsafes)?.with_maps(|map| maps[&map].number());
        let program = Program::load(&name(mac, &guard.failsafes)?, &instructions).map_err(FilterError::Load)?;
        let info = program.info().map_err(FilterError::Load)?;
        Ok(Filter { program, info, maps })
    }

    /// Whether there is room for `blocked`.
    pub(crate) fn has_room_for(&self, blocked: &Blocked) -> bool {
        let has_room = |map: &MapName| len_in(*map, blocked) <= self.maps[map].entries_max();
        [OF_V4, OF_V6].as_flattened().iter().all(has_room)
    }

    /// Blocks these as well.
    ///
    /// # Errors
    /// [`FilterError::Use`]; some of them may be blocked then.
    pub fn add(&self, blocked: &Blocked) -> Result<(), FilterError> {
        self.change(blocked, Map::add_all)
    }

    /// Blocks these no more.
    ///
    /// # Errors
    /// [`FilterError::Use`]; some of them may still be blocked then.
    pub fn remove(&self, blocked: &Blocked) -> Result<(), FilterError> {
        self.change(blocked, Map::remove_all)
    }

    fn change(&self, blocked: &Blocked, change: fn(&Map, &[u8]) -> io::Result<()>) -> Result<(), FilterError> {
        for (map, keys) in keys(blocked) {
            change(&self.maps[&map], &keys).map_err(in_use(map))?;
        }
        Ok(())
    }

    /// What the maps hold, read from the kernel.
    ///
    /// # Errors
    /// [`FilterError::Use`].
    pub fn blocked(&self) -> Result<Blocked, FilterError> {
        let v4 = self.nets(OF_V4)?.into_iter().map(|(octets, len)| net4(octets, len)).collect();
        let v6 = self.nets(OF_V6)?.into_iter().map(|(octets, len)| net6(octets, len)).collect();
        let mut blocked = Blocked { v4, v6 };
        blocked.v4.sort_unstable();
        blocked.v6.sort_unstable();
        Ok(blocked)
    }

    /// The addresses and prefix lengths that the maps of a family hold.
    fn nets<const N: usize>(&self, [hosts, nets]: [MapName; 2]) -> Result<Vec<([u8; N], u32)>, FilterError> {
        let keys = |map: MapName| self.maps[&map].keys().map_err(in_use(map));
        let (hosts, nets) = (keys(hosts)?, keys(nets)?);
        let single = hosts.as_chunks().0.iter().map(|address| (*address, 8 * N as u32));
        let wide = nets.chunks_exact(size_of::<u32>() + N).filter_map(|key| {
            let (len, address) = key.split_first_chunk()?;
            Some((*address.first_chunk()?, u32::from_ne_bytes(*len)))
        });
        Ok(single.chain(wide).collect())
    }

    /// While held it drops nothing.
    ///
    /// # Errors
    /// [`FilterError::Use`].
    pub fn hold(&self, is_held: bool) -> Result<(), FilterError> {
        self.maps[&MapName::Hold].set(&[0; 4], &u32::from(is_held).to_ne_bytes()).map_err(in_use(MapName::Hold))
    }

    /// Frames that were dropped, since the program stands on its interface.
    ///
    /// # Errors
    /// [`FilterError::Use`].
    pub fn drops(&self) -> Result<u64, FilterError> {
        let values = self.maps[&MapName::Drops].get(&[0; 4]).map_err(in_use(MapName::Drops))?;
        Ok(values.as_chunks().0.iter().map(|value| u64::from_ne_bytes(*value)).sum())
    }

    /// Keeps the program as a file of a bpf file system.
    ///
    /// # Errors
    /// When there is none, or the file is there already.
    pub fn pin(&self, path: &std::path::Path) -> io::Result<()> {
        self.program.pin(path)
    }

    /// Gives the program a frame (`BPF_PROG_TEST_RUN`): its verdict, and the nanoseconds of one of `repeat` runs.
    ///
    /// # Errors
    /// When the kernel refuses it: it wants 14 bytes at least.
    pub fn run(&self, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
        self.program.run(frame, repeat)
    }
}

fn in_use(map: MapName) -> impl Fn(io::Error) -> FilterError {
    move |source| FilterError::Use { map: map.as_str(), source }
}

fn make(map: MapName, entries: usize) -> Result<Map, FilterError> {
    let (kind, key_len, value_len) = shape(map);
    Map::create(kind, &format!("tortie_{}", map.as_str()), key_len, value_len, entries)
        .map_err(|source| FilterError::Make { map: map.as_str(), source })
}

/// For how many elements a new map is made: some may come, and a hash that is full has to be made anew.
fn room(map: MapName, blocked: &Blocked) -> usize {
    match map {
        MapName::Hosts4 | MapName::Hosts6 => {
            let len = len_in(map, blocked);
            (len + len / 4).max(ENTRIES_MIN).next_power_of_two()
        }
        MapName::Nets4 | MapName::Nets6 => blocked.len().max(TRIE_ENTRIES_MIN).next_power_of_two(),
        MapName::Hold | MapName::Drops => 1,
    }
}

/// The maps of a family: of addresses, and of networks.
const OF_V4: [MapName; 2] = [MapName::Hosts4, MapName::Nets4];
const OF_V6: [MapName; 2] = [MapName::Hosts6, MapName::Nets6];

/// How many elements of `map` what is blocked takes.
fn len_in(map: MapName, blocked: &Blocked) -> usize {
    fn singles<N: Net>(nets: &[N]) -> usize {
        nets.iter().filter(|net| net.is_single()).count()
    }
    match map {
        MapName::Hosts4 => singles(&blocked.v4),
        MapName::Nets4 => blocked.v4.len() - singles(&blocked.v4),
        MapName::Hosts6 => singles(&blocked.v6),
        MapName::Nets6 => blocked.v6.len() - singles(&blocked.v6),
        MapName::Hold | MapName::Drops => 0,
    }
}

/// What is blocked as keys of the four maps, one behind the other.
fn keys(blocked: &Blocked) -> BTreeMap<MapName, Vec<u8>> {
    let mut keys = BTreeMap::new();
    for net in &blocked.v4 {
        put(&mut keys, OF_V4, net.is_single(), net.prefix_len(), net.network().octets());
    }
    for net in &blocked.v6 {
        put(&mut keys, OF_V6, net.is_single(), net.prefix_len(), net.network().octets());
    }
    keys
}

fn put<const N: usize>(
    keys: &mut BTreeMap<MapName, Vec<u8>>,
    [hosts, nets]: [MapName; 2],
    is_single: bool,
    prefix_len: u8,
    address: [u8; N],
) {
    let keys = keys.entry(if is_single { hosts } else { nets }).or_default();
    if !is_single {
        keys.extend(u32::from(prefix_len).to_ne_bytes());
    }
    keys.extend(address);
}

/// The kernel takes no longer prefix than the address has bits.
fn net4(octets: [u8; 4], prefix_len: u32) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from(octets), prefix_len.min(32) as u8)
}

fn net6(octets: [u8; 16], prefix_len: u32) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from(octets), prefix_len.min(128) as u8)
}
