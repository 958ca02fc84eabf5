//! Reads files up to a length: whatever a path leads to, memory stays bounded and no read is endless.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum BoundedError {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is more in it.
    #[error("it is longer than {}", shown(*.len_max))]
    TooLong {
        /// The bytes that are read at most.
        len_max: u64,
    },
    /// A pipe, a device or a folder.
    #[error("it is not a regular file")]
    NotRegular,
}

impl BoundedError {
    /// What the system says, when it refused.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            BoundedError::Io(error) => Some(error.kind()),
            BoundedError::TooLong { .. } | BoundedError::NotRegular => None,
        }
    }
}

fn shown(len: u64) -> String {
    const MIB: u64 = 1 << 20;
    if len >= MIB && len.is_multiple_of(MIB) { format!("{} MiB", len / MIB) } else { format!("{len} bytes") }
}

/// Reads what a path leads to: a file, or what a pipe or device gives until its end.
///
/// # Errors
/// [`BoundedError::TooLong`] for more than `len_max` bytes.
pub fn read(path: &Path, len_max: u64) -> Result<Vec<u8>, BoundedError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    // Known without reading a byte of it.
    if metadata.is_file() && metadata.len() > len_max {
        return Err(BoundedError::TooLong { len_max });
    }
    read_from(file, len_max)
}

/// Reads a regular file, and never waits for one that is something else.
///
/// # Errors
/// As [`read`]; [`BoundedError::NotRegular`] for a pipe, a device or a folder.
pub fn read_regular(path: &Path, len_max: u64) -> Result<Vec<u8>, BoundedError> {
    read_opened(open_regular(path)?, len_max)
}

/// Opens a regular file to read it by [`read_opened`].
///
/// # Errors
/// As [`read_regular`].
pub(crate) fn open_regular(path: &Path) -> Result<File, BoundedError> {
    // Without the flag opening a pipe waits for a writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(BoundedError::NotRegular) }
}

pub(crate) fn read_opened(file: File, len_max: u64) -> Result<Vec<u8>, BoundedError> {
    if file.metadata()?.len() > len_max {
        return Err(BoundedError::TooLong { len_max });
    }
    read_from(file, len_max)
}

/// Reads to the end of `reader`.
///
/// # Errors
/// As [`read`].
pub fn read_from(reader: impl Read, len_max: u64) -> Result<Vec<u8>, BoundedError> {
    let mut bytes = Vec::new();
    // One byte more tells a text of exactly this length from a longer one.
    reader.take(len_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > len_max { Err(BoundedError::TooLong { len_max }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    fn words<T: std::fmt::Debug>(result: Result<T, BoundedError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_no_byte_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, [7; 100]).unwrap();
        for read in [read, read_regular] {
            assert_eq!(read(&path, 100).unwrap(), [7; 100]);
            assert_eq!(words(read(&path, 99)), "it is longer than 99 bytes");
        }
        assert_eq!(read_from(&[7; 100][..], 100).unwrap(), [7; 100]);
        assert_eq!(words(read_from(&[7; 100][..], 99)), "it is longer than 99 bytes");
        assert_eq!(read(&folder.path().join("none"), 9).unwrap_err().io_kind(), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn what_has_no_end_is_read_to_the_limit_and_refused() {
        assert_eq!(words(read(Path::new("/dev/zero"), 2 << 20)), "it is longer than 2 MiB");
        assert_eq!(read(Path::new("/dev/null"), 10).unwrap(), b"");
    }

    #[test]
    fn only_a_regular_file_will_do_and_a_pipe_without_writer_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        for other in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert_eq!(words(read_regular(other, 10)), "it is not a regular file", "{}", other.display());
        }
    }
}
