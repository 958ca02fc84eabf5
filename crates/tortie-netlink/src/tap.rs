//! What can be put between a socket and the kernel, for tests of what goes wrong there.

use std::io;

/// Stands between a socket and the kernel: it may change, hold back, lose or answer what passes. Nothing that ships has
/// one; without it a socket speaks to the kernel itself.
///
/// Each method passes on what it is given unless a test says otherwise.
pub trait Tap: Send + Sync {
    /// A datagram on its way to the kernel; `kernel` sends one.
    ///
    /// # Errors
    /// What the socket is to report.
    fn send(&self, datagram: &[u8], kernel: &dyn Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        kernel(datagram)
    }

    /// A datagram is asked for; `kernel` gives the next one of the kernel's, or `WouldBlock`.
    ///
    /// # Errors
    /// What the socket is to report.
    fn receive(&self, kernel: &dyn Fn() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        kernel()
    }
}
