//! A program in the kernel with its maps: loaded, given its lists, and given frames.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tortie_netmon::Mac;

use crate::asm::AssembleError;
use crate::bpf::{Map, MapKind, Program, ProgramInfo};
use crate::guard::{Blocked, Failsafes};
use crate::nets::Net;
use crate::program::{MapName, program};
use crate::tree::{Shape, Shapes, boundaries};

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

/// The kind of a map.
pub(crate) const fn kind(map: MapName) -> MapKind {
    match map {
        MapName::List4 | MapName::List6 => MapKind::ArrayOfMaps,
        MapName::Hold => MapKind::Array,
        MapName::Drops => MapKind::PerCpuArray,
    }
}

/// The name of the program that these make: by it a later process knows whether it is the right one.
pub(crate) fn name(mac: Mac, failsafes: &Failsafes, shapes: Shapes) -> Result<String, AssembleError> {
    Ok(format!("tortie_{:08x}", program(mac, failsafes, shapes)?.fingerprint()))
}

impl Filter {
    /// Loads the program with lists that block nothing yet, for trees of these shapes.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn load(mac: Mac, failsafes: &Failsafes, shapes: Shapes) -> Result<Filter, FilterError> {
        Self::load_beside(mac, failsafes, shapes, None)
    }

    /// The same, going on with the counter and the hold of `old`.
    pub(crate) fn load_beside(
        mac: Mac,
        failsafes: &Failsafes,
        shapes: Shapes,
        old: Option<&Filter>,
    ) -> Result<Filter, FilterError> {
        let mut maps = Maps::new();
        for map in MapName::ALL {
            let kept = match map {
                MapName::Hold | MapName::Drops => old.map(|old| old.maps[&map].clone()),
                MapName::List4 | MapName::List6 => None,
            };
            let made = kept.map_or_else(|| make(map, shapes).map(Arc::new), Ok)?;
            maps.insert(map, made);
        }
        let instructions = program(mac, failsafes, shapes)?.with_maps(|map| maps[&map].number());
        let program = Program::load(&name(mac, failsafes, shapes)?, &instructions).map_err(FilterError::Load)?;
        let info = program.info().map_err(FilterError::Load)?;
        Ok(Filter { program, info, maps })
    }

    /// Blocks `wanted` and nothing else, where `known` is blocked now, if that is known. Each packet meets the old list or
    /// the new one as a whole.
    ///
    /// # Errors
    /// [`FilterError`], also when `shapes` are not those of the program; one family's list may be new then.
    pub fn block(&self, shapes: Shapes, wanted: &Blocked, known: Option<&Blocked>) -> Result<(), FilterError> {
        if known.is_none_or(|known| known.v4 != wanted.v4) {
            self.turn(MapName::List4, shapes.v4, &wanted.v4)?;
        }
        if known.is_none_or(|known| known.v6 != wanted.v6) {
            self.turn(MapName::List6, shapes.v6, &wanted.v6)?;
        }
        Ok(())
    }

    /// Turns to a new tree.
    fn turn<N: Net>(&self, map: MapName, shape: Shape, nets: &[N]) -> Result<(), FilterError> {
        let tree = make_tree(map, shape)?;
        for (first, nodes) in shape.nodes(&boundaries(shape.bits, nets)) {
            tree.fill(first, &nodes).map_err(in_use(map))?;
        }
        self.maps[&map].set_first_map(&tree).map_err(in_use(map))
    }

    /// While held it drops nothing.
    ///
    /// # Errors
    /// [`FilterError::Use`].
    pub fn hold(&self, is_held: bool) -> Result<(), FilterError> {
        self.maps[&MapName::Hold].set_first(&u32::from(is_held).to_ne_bytes()).map_err(in_use(MapName::Hold))
    }

    /// Frames that were dropped, since the program stands on its interface.
    ///
    /// # Errors
    /// [`FilterError::Use`].
    pub fn drops(&self) -> Result<u64, FilterError> {
        let values = self.maps[&MapName::Drops].first().map_err(in_use(MapName::Drops))?;
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

fn make(map: MapName, shapes: Shapes) -> Result<Map, FilterError> {
    let name = format!("tortie_{}", map.as_str());
    let made = match map {
        MapName::List4 => Map::create_of_maps(&name, &make_tree(map, shapes.v4)?),
        MapName::List6 => Map::create_of_maps(&name, &make_tree(map, shapes.v6)?),
        MapName::Hold => Map::create(kind(map), &name, size_of::<u32>(), 1),
        MapName::Drops => Map::create(kind(map), &name, size_of::<u64>(), 1),
    };
    made.map_err(|source| FilterError::Make { map: map.as_str(), source })
}

/// An empty tree.
fn make_tree(map: MapName, shape: Shape) -> Result<Map, FilterError> {
    Map::create_aligned("tortie_tree", shape.bits.node_len(), shape.nodes_max())
        .map_err(|source| FilterError::Make { map: map.as_str(), source })
}
