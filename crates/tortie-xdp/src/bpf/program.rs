//! Programs of XDP.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::libc;

use super::attributes::{ProgramLoad, RawProgramInfo, TestRun};
use super::{
    ATTACH_XDP, Command, NAME_LEN, address, address_mut, call, call_for_descriptor, info, length, name, number, pin,
    pinned,
};
use crate::asm::Instruction;

/// `BPF_PROG_TYPE_XDP`.
const PROGRAM_XDP: u32 = 6;
/// `BPF_F_XDP_HAS_FRAGS`: frames of several pages pass too; the program looks at their beginning only. Since Linux 5.18.
const HAS_FRAGS: u32 = 1 << 5;

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Program(pub(super) OwnedFd);

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
