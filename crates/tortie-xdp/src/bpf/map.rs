//! Maps.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::libc;

use super::attributes::{Batch, Element, MapCreate, RawMapInfo};
use super::{Command, address, address_mut, call, call_for_descriptor, info, length, name, number, pin, pinned};

/// Kinds of maps (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// Numbers from 0.
    Array = 2,
    /// The same, once for each processor.
    PerCpuArray = 6,
    /// Maps as values.
    ArrayOfMaps = 12,
}

/// `BPF_F_MMAPABLE` (Linux 5.5): values begin with a page, so that those of one cache line stand in one.
const WHOLE_PAGES: u32 = 1 << 10;
/// The kernel's own error for "this map has no such operation", which no header of the C library knows.
const ENOTSUPP: i32 = 524;

/// Bytes of an index, which all our maps have as keys, and of a map as a value.
const INDEX_LEN: usize = size_of::<u32>();

/// A map: an array of some kind.
#[derive(Debug)]
pub(crate) struct Map {
    descriptor: OwnedFd,
    /// Bytes that the kernel reads and writes for one value: of each processor, if the kind says so.
    value_len: usize,
}

impl Map {
    /// A new array.
    pub(crate) fn create(kind: MapKind, text: &str, value_len: usize, max: usize) -> io::Result<Map> {
        Self::create_with(kind, text, value_len, max, MapCreate::default())
    }

    /// A new array whose values begin with a page.
    pub(crate) fn create_aligned(text: &str, value_len: usize, max: usize) -> io::Result<Map> {
        let aligned = MapCreate { flags: WHOLE_PAGES, ..MapCreate::default() };
        Self::create_with(MapKind::Array, text, value_len, max, aligned)
    }

    /// A new map with one element, which is a map like `inner`; it is absent as yet.
    pub(crate) fn create_of_maps(text: &str, inner: &Map) -> io::Result<Map> {
        let like = MapCreate { inner_map: number(&inner.descriptor), ..MapCreate::default() };
        Self::create_with(MapKind::ArrayOfMaps, text, INDEX_LEN, 1, like)
    }

    fn create_with(kind: MapKind, text: &str, value_len: usize, max: usize, other: MapCreate) -> io::Result<Map> {
        let mut attributes = MapCreate {
            kind: kind as u32,
            key_len: length(INDEX_LEN)?,
            value_len: length(value_len)?,
            entries_max: length(max)?,
            name: name(text),
            ..other
        };
        // SAFETY: no addresses; a map's file descriptor comes back.
        let descriptor = unsafe { call_for_descriptor(Command::MapCreate, &mut attributes)? };
        Self::of(descriptor, kind)
    }

    /// The map that is pinned at `path`.
    ///
    /// # Errors
    /// `InvalidData` when it is of another kind, and when the kernel gives none.
    pub(crate) fn pinned(path: &Path, kind: MapKind) -> io::Result<Map> {
        Self::of(pinned(path)?, kind)
    }

    /// Asks the kernel how large keys and values are: what it reads and writes later depends on it.
    fn of(descriptor: OwnedFd, kind: MapKind) -> io::Result<Map> {
        let mut raw = RawMapInfo::default();
        info(&descriptor, &mut raw)?;
        if raw.kind != kind as u32 || raw.key_len as usize != INDEX_LEN {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a pinned map is of another kind"));
        }
        let value_len = if kind == MapKind::PerCpuArray {
            (raw.value_len as usize).next_multiple_of(8) * processors()?
        } else {
            raw.value_len as usize
        };
        Ok(Map { descriptor, value_len })
    }

    pub(crate) fn number(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }

    pub(crate) fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.descriptor, path)
    }

    /// The first value; of a map of values for each processor all of them.
    pub(crate) fn first(&self) -> io::Result<Vec<u8>> {
        let mut value = vec![0; self.value_len];
        let mut attributes = self.element(&[0], address_mut(&mut value));
        // SAFETY: the kernel reads an index and writes `value_len` bytes.
        unsafe { call(Command::MapLookup, &mut attributes)? };
        Ok(value)
    }

    /// Sets the first value.
    pub(crate) fn set_first(&self, value: &[u8]) -> io::Result<()> {
        self.set(&[0], value)
    }

    /// Makes `inner` the first value of a map of maps. No program looks into what was before when this returns.
    pub(crate) fn set_first_map(&self, inner: &Map) -> io::Result<()> {
        self.set(&[0], &number(&inner.descriptor).to_ne_bytes())
    }

    fn set(&self, index: &[u32; 1], value: &[u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.value_len, "the kernel reads as many bytes");
        let mut attributes = self.element(index, address(value));
        // SAFETY: the kernel reads an index and `value_len` bytes.
        unsafe { call(Command::MapUpdate, &mut attributes)? };
        Ok(())
    }

    /// Sets values one behind the other, beginning with that of the index `first`: in one call, or one by one where the
    /// kernel has no such call.
    pub(crate) fn fill(&self, first: usize, values: &[u8]) -> io::Result<()> {
        let first = length(first)?;
        let indices: Vec<u32> = (first..).take(values.len() / self.value_len).collect();
        if indices.is_empty() {
            return Ok(());
        }
        let mut attributes = Batch {
            keys: address(&indices),
            values: address(values),
            count: length(indices.len())?,
            map: number(&self.descriptor),
            ..Batch::default()
        };
        // SAFETY: the kernel reads `count` indices and as many values of `value_len` bytes.
        match unsafe { call(Command::MapUpdateBatch, &mut attributes) } {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP)) => {
                let mut each = indices.into_iter().zip(values.chunks_exact(self.value_len));
                each.try_for_each(|(index, value)| self.set(&[index], value))
            }
            Err(error) => Err(error),
        }
    }

    fn element(&self, index: &[u32; 1], value: u64) -> Element {
        Element { map: number(&self.descriptor), key: address(index), value, ..Element::default() }
    }
}

/// How many processors there may ever be: at least as many as the kernel writes values for. Written as `0-3` or `0,2-7`.
fn processors() -> io::Result<usize> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(POSSIBLE)?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<usize>().ok());
    let last = last.ok_or_else(|| io::Error::other(format!("{POSSIBLE} holds `{}`", text.trim())))?;
    Ok(last + 1)
}
