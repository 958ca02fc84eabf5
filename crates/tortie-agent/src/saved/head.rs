//! The first line of a saved state: what it is, how long the rest is, and its checksum.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the first line says the file is.
pub(super) const FORMAT: &str = "tortie-agent-state";
/// The version that this program writes and reads.
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) version: u32,
    #[serde(default)]
    pub(super) len: usize,
    #[serde(default)]
    pub(super) sha256: String,
}

/// Length and checksum of what is written to it.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) len: usize,
    digest: Sha256,
}

impl Sum {
    /// The line that names them.
    pub(super) fn head(&self) -> Vec<u8> {
        let sha256 = hex(&self.digest.clone().finalize());
        line(&Head { format: FORMAT.to_owned(), version: VERSION, len: self.len, sha256 })
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.len += bytes.len();
        self.digest.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Content behind the line that names its length and checksum.
pub(crate) fn sealed(content: &[u8]) -> Vec<u8> {
    let sum = Sum { len: content.len(), digest: Sha256::new_with_prefix(content) };
    [&sum.head(), content].concat()
}

pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("plain data");
    bytes.push(b'\n');
    bytes
}

pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
