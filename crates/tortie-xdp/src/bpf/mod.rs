//! The system call bpf(2), as far as it is needed: maps, programs, links, pins.
//!
//! All `unsafe` of the crate is here. Each command has its structure of `union bpf_attr` (`linux/bpf.h`): the kernel takes
//! a shorter one than its own for one whose other fields are zero.
#![expect(unsafe_code, reason = "nix has no bpf(2); docs/dependencies.md says why no other crate is asked for it")]

mod attributes;
mod link;
mod map;
mod program;

pub(crate) use link::{Link, LinkInfo};
pub(crate) use map::{Map, MapKind};
pub(crate) use program::{Program, ProgramInfo};

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use attributes::{InfoAttributes, PinAttributes};

/// Commands (`enum bpf_cmd`).
#[derive(Clone, Copy)]
enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    ProgramLoad = 5,
    Pin = 6,
    GetPinned = 7,
    TestRun = 10,
    Info = 15,
    MapUpdateBatch = 26,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkDetach = 34,
}

/// Bytes of a name with its end (`BPF_OBJ_NAME_LEN`).
const NAME_LEN: usize = 16;
/// `BPF_XDP`, where a program of that type is attached.
const ATTACH_XDP: u32 = 37;

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
