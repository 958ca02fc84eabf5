//! Log lines: to standard error, and for an agent to a file as well, as its settings say while it runs (E-629).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::libc;
use tortie_agent::settings::{Log, Severity};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use crate::args::{Cli, Command, LogFormat};

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Changes what is logged.
pub(crate) struct Logging {
    /// The command line names a level: settings do not change it.
    is_fixed: bool,
    screen: reload::Handle<EnvFilter, Registry>,
    file: Sink,
    file_level: reload::Handle<LevelFilter, Registry>,
}

/// Logs go to standard error; results never do.
pub(crate) fn start(cli: &Cli) -> Logging {
    let global = &cli.global;
    let is_fixed = global.log_level.is_some() || global.quiet || global.verbose > 0;
    let level = match (&global.log_level, global.quiet, global.verbose, &cli.command) {
        (Some(level), ..) => level.clone(),
        (None, true, ..) => "error".to_owned(),
        (None, false, 0, Command::Agent(_) | Command::Controller(_)) => "info".to_owned(),
        (None, false, 0, _) => "warn".to_owned(),
        (None, false, 1, _) => "info".to_owned(),
        (None, false, 2, _) => "debug".to_owned(),
        (None, false, ..) => "trace".to_owned(),
    };
    let filter = EnvFilter::try_new(directives(&level)).unwrap_or_else(|_| directives("warn").into());
    let (filter, screen) = reload::Layer::new(filter);
    let file = Sink::default();
    let (file_filter, file_level) = reload::Layer::new(LevelFilter::OFF);
    let is_json = matches!(global.log_format, LogFormat::Json);
    let on_screen = lines(is_json, io::stderr).with_filter(filter);
    let in_file = lines(is_json, file.clone()).with_filter(file_filter);
    tracing_subscriber::registry().with(vec![on_screen.boxed(), in_file.boxed()]).init();
    Logging { is_fixed, screen, file, file_level }
}

fn lines<W>(is_json: bool, writer: W) -> Boxed
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_target(false).with_ansi(false);
    if is_json { layer.json().flatten_event(true).boxed() } else { layer.boxed() }
}

impl Logging {
    /// Takes settings as they are now.
    ///
    /// # Errors
    /// A sentence when the file cannot be opened; lines go on to standard error.
    pub(crate) fn set(&self, log: &Log) -> Result<(), String> {
        let cannot = |error: reload::Error| format!("cannot change what is logged: {error}");
        if !self.is_fixed {
            let level = level(log.screen).to_string().to_lowercase();
            self.screen.reload(EnvFilter::new(directives(&level))).map_err(cannot)?;
        }
        let path = log.file_path.as_ref().filter(|_| log.file.is_some());
        let opened = self.file.set(path).map_err(|error| {
            let shown = path.map(|path| path.display().to_string()).unwrap_or_default();
            format!("cannot write log lines to `{shown}`: {error}")
        });
        let level = if path.is_some() && opened.is_ok() { level(log.file) } else { LevelFilter::OFF };
        self.file_level.reload(level).map_err(cannot)?;
        opened
    }
}

/// What libraries of connections say below our own words; what they mean to users is in our errors.
const NOISE: [&str; 5] = ["kube_client", "h2", "hyper", "hyper_util", "tower"];

/// The filter for a level, or for directives, in which a user may ask for a library by its name.
fn directives(level: &str) -> String {
    if level.eq_ignore_ascii_case("trace") {
        return level.to_owned();
    }
    let noise: String = NOISE.iter().map(|target| format!("{target}=off,")).collect();
    noise + level
}

fn level(severity: Option<Severity>) -> LevelFilter {
    match severity {
        None => LevelFilter::OFF,
        Some(Severity::Trace) => LevelFilter::TRACE,
        Some(Severity::Debug) => LevelFilter::DEBUG,
        Some(Severity::Info) => LevelFilter::INFO,
        Some(Severity::Warning) => LevelFilter::WARN,
        Some(Severity::Error | Severity::Fatal) => LevelFilter::ERROR,
    }
}

/// The log file, if there is one.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Option<(PathBuf, File)>>>);

impl Sink {
    fn set(&self, path: Option<&PathBuf>) -> io::Result<()> {
        let mut open = self.lock();
        if open.as_ref().map(|(path, _)| path) == path {
            return Ok(());
        }
        *open = None;
        if let Some(path) = path {
            // Appended to, so that whoever rotates the file may cut it off.
            // A pipe that nobody reads must not stop the agent.
            let file = OpenOptions::new().create(true).append(true).custom_flags(libc::O_NONBLOCK).open(path)?;
            *open = Some((path.clone(), file));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(PathBuf, File)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        self.clone()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.lock().as_mut() {
            Some((_, file)) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // A file has no buffer of its own.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reaches the screen at a level, of an error in a library of connections and a line of ours.
    fn shown(level: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sink = Sink::default();
        sink.set(Some(&file.path().to_owned())).unwrap();
        let layer = lines(false, sink).with_filter(EnvFilter::new(directives(level)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.boxed()), || {
            tracing::error!(target: "kube_client::client", "theirs");
            tracing::debug!("ours");
        });
        std::fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn libraries_of_connections_are_heard_only_where_that_is_asked_for() {
        for (level, theirs, ours) in [
            ("warn", false, false),
            ("debug", false, true),
            ("TRACE", true, true),
            ("debug,kube_client=error", true, true),
        ] {
            let text = shown(level);
            assert_eq!((text.contains("theirs"), text.contains("ours")), (theirs, ours), "{level}: {text}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let sink = Sink::default();
        assert!(sink.set(Some(&pipe)).is_err());
        sink.set(Some(&folder.path().join("file"))).unwrap();
    }
}
