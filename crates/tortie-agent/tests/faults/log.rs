//! What is logged on the present thread.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Log lines since the last look; they are taken as long as this lives.
pub(crate) struct Lines {
    bytes: Bytes,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn new() -> Lines {
        let bytes = Bytes::default();
        let subscriber = tracing_subscriber::fmt().with_writer(bytes.clone()).with_ansi(false).finish();
        Lines { bytes, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.bytes.0.lock().unwrap())).unwrap()
    }
}

impl<'a> MakeWriter<'a> for Bytes {
    type Writer = Bytes;

    fn make_writer(&'a self) -> Bytes {
        self.clone()
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
