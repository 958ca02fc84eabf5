//! The system call bpf(2), as far as it is needed: maps, programs, links, pins.
//!
//! All `unsafe` of the crate is here. Each command has its structure of `union bpf_attr` (`linux/bpf.h`): the kernel takes
//! a shorter one than its own for one whose other fields are zero.
#![expect(unsafe_code, reason = "nix has no bpf(2); docs/dependencies.md says why no other crate is asked for it")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use tortie_netmon::XdpMode;

use crate::asm::Instruction;

/// Commands (`enum bpf_cmd`).
#[derive(Clone, Copy)]
enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgramLoad = 5,
    Pin = 6,
    GetPinned = 7,
    TestRun = 10,
    Info = 15,
    MapUpdateBatch = 26,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkDetach = 34,
}

/// Bytes of a name with its end (`BPF_OBJ_NAME_LEN`).
const NAME_LEN: usize = 16;

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
/// `BPF_PROG_TYPE_XDP`.
const PROGRAM_XDP: u32 = 6;
/// `BPF_XDP`, where a program of that type is attached.
const ATTACH_XDP: u32 = 37;
/// `BPF_F_XDP_HAS_FRAGS`: frames of several pages pass too; the program looks at their beginning only. Since Linux 5.18.
const HAS_FRAGS: u32 = 1 << 5;
/// `BPF_LINK_TYPE_XDP`.
const LINK_XDP: u32 = 6;
/// The kernel's own error for "this map has no such operation", which no header of the C library knows.
const ENOTSUPP: i32 = 524;

/// `XDP_FLAGS_*` of `linux/if_link.h`.
const fn flag(mode: XdpMode) -> u32 {
    match mode {
        XdpMode::Generic => 1 << 1,
        XdpMode::Driver => 1 << 2,
        XdpMode::Hardware => 1 << 3,
    }
}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_len: u32,
    value_len: u32,
    entries_max: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; NAME_LEN],
}

#[repr(C)]
#[derive(Default)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    kind: u32,
    instructions_len: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_len: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; NAME_LEN],
    interface: u32,
    attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct PinAttributes {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    verdict: u32,
    data_in_len: u32,
    data_out_len: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoAttributes {
    descriptor: u32,
    len: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct RawProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_len: u32,
    xlated_len: u32,
    jited: u64,
    xlated: u64,
    load_time: u64,
    created_by: u32,
    maps_len: u32,
    maps: u64,
    name: [u8; NAME_LEN],
}

/// The beginning of `struct bpf_map_info`.
#[repr(C)]
#[derive(Default)]
struct RawMapInfo {
    kind: u32,
    id: u32,
    key_len: u32,
    value_len: u32,
    entries_max: u32,
}

/// The beginning of `struct bpf_link_info`, of a link of XDP.
#[repr(C)]
#[derive(Default)]
struct RawLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    interface: u32,
    padding_end: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Calls bpf(2).
///
/// # Safety
/// `A` is the structure of `command` with all padding in fields, and every address in it is that of memory that lives now
/// and is as long as the command says: to be read, or, where the kernel answers in it, to be written by nobody else.
unsafe fn call<A>(command: Command, attributes: &mut A) -> io::Result<i32> {
    // SAFETY: the kernel reads, and for some commands writes, `size_of::<A>()` bytes at `attributes`, which is exclusively
    // borrowed; for what it points to the caller stands good.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(attributes), size_of::<A>())
    };
    let result = Errno::result(result)?;
    // File descriptors and counts are small.
    i32::try_from(result).map_err(io::Error::other)
}

/// The same of commands that answer with a new file descriptor.
///
/// # Safety
/// As [`call`], and `command` makes a file descriptor.
unsafe fn call_for_descriptor<A>(command: Command, attributes: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just made the descriptor for this process, and nobody else knows of it.
    unsafe { Ok(OwnedFd::from_raw_fd(call(command, attributes)?)) }
}

fn address<T>(of: &[T]) -> u64 {
    of.as_ptr() as u64
}

fn address_mut<T>(of: &mut [T]) -> u64 {
    of.as_mut_ptr() as u64
}

fn number(descriptor: &OwnedFd) -> u32 {
    // Open descriptors are not negative.
    descriptor.as_raw_fd().unsigned_abs()
}

fn name(text: &str) -> [u8; NAME_LEN] {
    let mut name = [0; NAME_LEN];
    // The last byte stays zero: the kernel wants an end.
    for (to, from) in name.iter_mut().take(NAME_LEN - 1).zip(text.bytes()) {
        *to = from;
    }
    name
}

fn length(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(io::Error::other)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

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

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

/// What the kernel says of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgramInfo {
    pub(crate) id: u32,
    pub(crate) name: String,
}

/// Bytes of the verifier's words that are kept.
const LOG_LEN: usize = 64 << 10;

impl Program {
    /// Loads a program of XDP.
    pub(crate) fn load(text: &str, instructions: &[Instruction]) -> io::Result<Program> {
        // Older kernels do not know the flag.
        match Self::load_with(text, instructions, HAS_FRAGS) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Self::load_with(text, instructions, 0),
            other => other,
        }
    }

    fn load_with(text: &str, instructions: &[Instruction], flags: u32) -> io::Result<Program> {
        const LICENCE: &CStr = c"Apache-2.0";
        let attributes = || -> io::Result<ProgramLoad> {
            Ok(ProgramLoad {
                kind: PROGRAM_XDP,
                instructions_len: length(instructions.len())?,
                instructions: address(instructions),
                licence: LICENCE.as_ptr() as u64,
                flags,
                name: name(text),
                attach_type: ATTACH_XDP,
                ..ProgramLoad::default()
            })
        };
        // SAFETY: the kernel reads that many instructions and a text with an end; a descriptor comes back.
        let error = match unsafe { call_for_descriptor(Command::ProgramLoad, &mut attributes()?) } {
            Ok(descriptor) => return Ok(Program(descriptor)),
            Err(error) => error,
        };
        if error.raw_os_error() != Some(libc::EACCES) {
            return Err(error);
        }
        // The verifier says why when it is given room for it.
        let mut log = vec![0; LOG_LEN];
        let mut again = attributes()?;
        (again.log_level, again.log_len, again.log) = (1, length(LOG_LEN)?, address_mut(&mut log));
        // SAFETY: as above, and the kernel writes at most `log_len` bytes.
        match unsafe { call_for_descriptor(Command::ProgramLoad, &mut again) } {
            Ok(descriptor) => Ok(Program(descriptor)),
            Err(_) => {
                let text = log.split(|byte| *byte == 0).next().map(String::from_utf8_lossy).unwrap_or_default();
                Err(io::Error::other(format!("{error}: {}", text.trim())))
            }
        }
    }

    /// The program that is pinned at `path`.
    pub(crate) fn pinned(path: &Path) -> io::Result<Program> {
        pinned(path).map(Program)
    }

    pub(crate) fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.0, path)
    }

    pub(crate) fn info(&self) -> io::Result<ProgramInfo> {
        let mut raw = RawProgramInfo::default();
        info(&self.0, &mut raw)?;
        let len = raw.name.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
        Ok(ProgramInfo { id: raw.id, name: String::from_utf8_lossy(&raw.name[..len]).into_owned() })
    }

    /// Gives the program a frame, `repeat` times, and returns its verdict and the nanoseconds of one run. The frame stands
    /// at the beginning of a page of its own.
    pub(crate) fn run(&self, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
        let mut attributes = TestRun {
            program: number(&self.0),
            data_in_len: length(frame.len())?,
            data_in: address(frame),
            repeat,
            ..TestRun::default()
        };
        // SAFETY: the kernel reads `data_in_len` bytes and writes back no data, as `data_out` is absent.
        unsafe { call(Command::TestRun, &mut attributes)? };
        Ok((attributes.verdict, attributes.duration))
    }
}

/// A program on an interface. The kernel takes it off when the last descriptor and the last pin are gone.
#[derive(Debug)]
pub(crate) struct Link(OwnedFd);

/// What the kernel says of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub(crate) program: u32,
    /// 0 when it was taken off, or the interface is gone.
    pub(crate) interface: u32,
}

impl Link {
    /// Attaches `program` to an interface of the present network namespace. The kernel refuses it where another is.
    pub(crate) fn create(program: &Program, interface: u32, mode: XdpMode) -> io::Result<Link> {
        let mut attributes =
            LinkCreate { program: number(&program.0), interface, attach_type: ATTACH_XDP, flags: flag(mode) };
        // SAFETY: no addresses; a link's file descriptor comes back.
        unsafe { call_for_descriptor(Command::LinkCreate, &mut attributes).map(Link) }
    }

    /// The link that is pinned at `path`.
    pub(crate) fn pinned(path: &Path) -> io::Result<Link> {
        pinned(path).map(Link)
    }

    pub(crate) fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.0, path)
    }

    /// Turns it to another program: each packet meets the old or the new one.
    pub(crate) fn turn(&self, program: &Program) -> io::Result<()> {
        let mut attributes = LinkUpdate { link: number(&self.0), program: number(&program.0), ..LinkUpdate::default() };
        // SAFETY: no addresses.
        unsafe { call(Command::LinkUpdate, &mut attributes).map(|_| ()) }
    }

    /// Takes the program off the interface, whoever else holds the link.
    pub(crate) fn detach(&self) -> io::Result<()> {
        let mut attributes = number(&self.0);
        // SAFETY: the structure is one number, the link's; no addresses.
        unsafe { call(Command::LinkDetach, &mut attributes).map(|_| ()) }
    }

    /// `None` when it is no link of XDP.
    pub(crate) fn info(&self) -> io::Result<Option<LinkInfo>> {
        let mut raw = RawLinkInfo::default();
        info(&self.0, &mut raw)?;
        Ok((raw.kind == LINK_XDP).then_some(LinkInfo { program: raw.program, interface: raw.interface }))
    }
}

/// Asks about a map, a program or a link; `I` is the beginning of the structure of that kind, numbers only.
fn info<I>(descriptor: &OwnedFd, info: &mut I) -> io::Result<()> {
    let mut attributes = InfoAttributes {
        descriptor: number(descriptor),
        len: length(size_of::<I>())?,
        info: std::ptr::from_mut(info) as u64,
    };
    // SAFETY: the kernel writes at most `len` bytes into `info`, which is exclusively borrowed; its addresses are zero, so
    // that nothing is written elsewhere.
    unsafe { call(Command::Info, &mut attributes).map(|_| ()) }
}

fn pin(descriptor: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attributes =
        PinAttributes { path: path.as_ptr() as u64, descriptor: number(descriptor), ..PinAttributes::default() };
    // SAFETY: the kernel reads a text with an end.
    unsafe { call(Command::Pin, &mut attributes).map(|_| ()) }
}

fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attributes = PinAttributes { path: path.as_ptr() as u64, ..PinAttributes::default() };
    // SAFETY: the kernel reads a text with an end; a descriptor comes back.
    unsafe { call_for_descriptor(Command::GetPinned, &mut attributes) }
}

/// How many processors there may ever be: at least as many as the kernel writes values for. Written as `0-3` or `0,2-7`.
fn processors() -> io::Result<usize> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(POSSIBLE)?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<usize>().ok());
    let last = last.ok_or_else(|| io::Error::other(format!("{POSSIBLE} holds `{}`", text.trim())))?;
    Ok(last + 1)
}
