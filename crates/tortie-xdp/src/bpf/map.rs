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
    /// Any key of one length.
    Hash = 1,
    /// Numbers from 0.
    Array = 2,
    /// The same, once for each processor.
    PerCpuArray = 6,
    /// Longest prefix.
    Trie = 11,
}

/// `BPF_F_NO_PREALLOC`: elements take memory when they come; tries must have it.
const NO_PREALLOC: u32 = 1;
/// The kernel's own error for "this map has no such operation", which no header of the C library knows.
const ENOTSUPP: i32 = 524;

/// A map.
#[derive(Debug)]
pub(crate) struct Map {
    descriptor: OwnedFd,
    key_len: usize,
    /// Bytes that the kernel reads and writes for one value: of each processor, if the kind says so.
    value_len: usize,
    entries_max: usize,
}

impl Map {
    /// A new map.
    pub(crate) fn create(kind: MapKind, text: &str, key_len: usize, value_len: usize, max: usize) -> io::Result<Map> {
        let flags = if matches!(kind, MapKind::Hash | MapKind::Trie) { NO_PREALLOC } else { 0 };
        let mut attributes = MapCreate {
            kind: kind as u32,
            key_len: length(key_len)?,
            value_len: length(value_len)?,
            entries_max: length(max)?,
            flags,
            name: name(text),
            ..MapCreate::default()
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
        if raw.kind != kind as u32 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a pinned map is of another kind"));
        }
        let value_len = if kind == MapKind::PerCpuArray {
            (raw.value_len as usize).next_multiple_of(8) * processors()?
        } else {
            raw.value_len as usize
        };
        Ok(Map { descriptor, key_len: raw.key_len as usize, value_len, entries_max: raw.entries_max as usize })
    }

    pub(crate) fn number(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }

    pub(crate) fn entries_max(&self) -> usize {
        self.entries_max
    }

    pub(crate) fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.descriptor, path)
    }

    /// The value of `key`; of a map of values for each processor all of them.
    pub(crate) fn get(&self, key: &[u8]) -> io::Result<Vec<u8>> {
        assert_eq!(key.len(), self.key_len, "the kernel reads as many bytes as keys have");
        let mut value = vec![0; self.value_len];
        let mut attributes = self.element(address(key), address_mut(&mut value));
        // SAFETY: the kernel reads `key_len` bytes and writes `value_len` ones.
        unsafe { call(Command::MapLookup, &mut attributes)? };
        Ok(value)
    }

    /// Sets the value of `key`.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!((key.len(), value.len()), (self.key_len, self.value_len), "the kernel reads as many bytes");
        let mut attributes = self.element(address(key), address(value));
        // SAFETY: the kernel reads `key_len` and `value_len` bytes.
        unsafe { call(Command::MapUpdate, &mut attributes)? };
        Ok(())
    }

    /// Removes `key`; one that is not there is no error.
    pub(crate) fn remove(&self, key: &[u8]) -> io::Result<()> {
        assert_eq!(key.len(), self.key_len, "the kernel reads as many bytes as keys have");
        let mut attributes = self.element(address(key), 0);
        // SAFETY: the kernel reads `key_len` bytes.
        match unsafe { call(Command::MapDelete, &mut attributes) } {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Adds keys, one behind the other in `keys`, with values of zeros.
    pub(crate) fn add_all(&self, keys: &[u8]) -> io::Result<()> {
        let count = keys.len() / self.key_len;
        let values = vec![0; count * self.value_len];
        self.batch(Command::MapUpdateBatch, keys, address(&values), |key| self.set(key, &vec![0; self.value_len]))
    }

    /// Removes keys, one behind the other in `keys`.
    pub(crate) fn remove_all(&self, keys: &[u8]) -> io::Result<()> {
        self.batch(Command::MapDeleteBatch, keys, 0, |key| self.remove(key))
    }

    /// Many elements in one call; one by one where the kernel has no such call for this map, or stops at one of them.
    fn batch(
        &self,
        command: Command,
        keys: &[u8],
        values: u64,
        one: impl Fn(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let count = keys.len() / self.key_len;
        if count == 0 {
            return Ok(());
        }
        let mut attributes = Batch {
            keys: address(keys),
            values,
            count: length(count)?,
            map: number(&self.descriptor),
            ..Batch::default()
        };
        // SAFETY: the kernel reads `count` keys of `key_len` bytes, and as many values where `values` is their address.
        match unsafe { call(command, &mut attributes) } {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOENT | ENOTSUPP) => {
                    keys.chunks_exact(self.key_len).try_for_each(one)
                }
                _ => Err(error),
            },
        }
    }

    /// All keys, one behind the other.
    pub(crate) fn keys(&self) -> io::Result<Vec<u8>> {
        let mut keys = Vec::new();
        let mut next = vec![0; self.key_len];
        let mut last: Option<Vec<u8>> = None;
        // A map that others change under the reading may begin again; it has an end all the same.
        for _ in 0..=self.entries_max {
            let before = last.as_ref().map_or(0, |key| address(key));
            let mut attributes = self.element(before, address_mut(&mut next));
            // SAFETY: the kernel reads the last key, if any, and writes the next one; both have `key_len` bytes.
            match unsafe { call(Command::MapNextKey, &mut attributes) } {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                Err(error) => return Err(error),
            }
            keys.extend_from_slice(&next);
            last.get_or_insert_default().clone_from(&next);
        }
        Ok(keys)
    }

    fn element(&self, key: u64, value: u64) -> Element {
        Element { map: number(&self.descriptor), key, value, ..Element::default() }
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
