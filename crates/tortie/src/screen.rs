//! What the program prints. Where nobody takes it, because the reader went away or the disk is full, the work goes on: half
//! an `apply` would be worse. [`finish`] says so at the end.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::OnceLock;

use crate::exit::{Code, Failure};

/// In place of the standard library's, which panics when nobody takes the text.
macro_rules! print {
    ($($argument:tt)*) => { $crate::screen::out(format_args!($($argument)*)) };
}

/// As `print!`, with the end of a line.
macro_rules! println {
    () => { $crate::screen::out(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::screen::out(format_args!("{}\n", format_args!($($argument)*))) };
}

/// The same for standard error, where nobody is left to be told.
macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::screen::err(format_args!("{}\n", format_args!($($argument)*))) };
}

/// Why results could not be printed; nothing more is then.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints results.
pub(crate) fn out(text: Arguments<'_>) {
    if FAILED.get().is_none()
        && let Err(error) = io::stdout().lock().write_fmt(text)
    {
        // Only the first error counts.
        let _ = FAILED.set(error);
    }
}

/// Whether results reach nobody any more.
pub(crate) fn is_closed() -> bool {
    FAILED.get().is_some()
}

/// Prints what is no result.
pub(crate) fn err(text: Arguments<'_>) {
    // There is no other place to say so.
    let _ = io::stderr().lock().write_fmt(text);
}

/// The end of a program that printed results: a failure when they did not reach a reader who still wants them.
pub(crate) fn finish(code: Code) -> Result<Code, Failure> {
    // `out` has flushed whole lines only.
    let flushed = io::stdout().lock().flush();
    match FAILED.get().or(flushed.as_ref().err()) {
        // The reader has seen enough, as with `| head`.
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::General, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(code),
    }
}
