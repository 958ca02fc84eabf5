//! Tells the service manager how the agent does (sd_notify(3)): ready, alive, ending. Without one it tells nobody.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The way to the service manager.
#[derive(Default)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the loop goes round: half of `WATCHDOG_USEC`.
    interval: Option<Duration>,
    alive_at: Option<Instant>,
    said: String,
}

impl Notifier {
    /// What `NOTIFY_SOCKET` and `WATCHDOG_USEC` name.
    pub(crate) fn of_environment() -> Notifier {
        Self::new(std::env::var("NOTIFY_SOCKET").ok().as_deref(), std::env::var("WATCHDOG_USEC").ok().as_deref())
    }

    fn new(path: Option<&str>, watchdog_us: Option<&str>) -> Notifier {
        let address = path.and_then(|path| match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(path).ok(),
        });
        let socket = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        let interval = watchdog_us
            .and_then(|text| text.parse().ok())
            .filter(|us| *us > 0 && socket.is_some())
            .map(|us| Duration::from_micros(us) / 2);
        Notifier { alive_at: interval.map(|_| Instant::now()), socket, interval, said: String::new() }
    }

    /// When the loop must come by at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.alive_at
    }

    /// The loop goes round.
    pub(crate) fn alive(&mut self, now: Instant) {
        if self.alive_at.is_some_and(|at| at <= now) {
            self.alive_at = self.interval.map(|interval| now + interval);
            self.send("WATCHDOG=1");
        }
    }

    /// Something is enforced, or the store is known to be missing; told when `store` changes.
    pub(crate) fn ready(&mut self, store: &str) {
        if self.said != store {
            store.clone_into(&mut self.said);
            self.send(&format!("READY=1\nSTATUS=store: {store}"));
        }
    }

    /// The loop ends.
    pub(crate) fn ending(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!("cannot tell the service manager: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_of_ready_alive_and_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let hear = || {
            let mut buffer = [0; 100];
            manager.recv(&mut buffer).ok().map(|len| String::from_utf8(buffer[..len].to_vec()).unwrap())
        };
        let mut notifier = Notifier::new(path.to_str(), Some("20000000"));
        let start = notifier.due().unwrap();
        notifier.ready("in-sync");
        notifier.ready("in-sync");
        assert_eq!((hear().as_deref(), hear()), (Some("READY=1\nSTATUS=store: in-sync"), None));
        notifier.alive(start);
        notifier.alive(start + Duration::from_secs(9));
        assert_eq!((hear().as_deref(), hear()), (Some("WATCHDOG=1"), None), "once in half of the time");
        notifier.alive(start + Duration::from_secs(10));
        notifier.ending();
        assert_eq!((hear().as_deref(), hear().as_deref()), (Some("WATCHDOG=1"), Some("STOPPING=1")));
    }

    #[test]
    fn without_a_service_manager_nothing_is_due() {
        for path in [None, Some(""), Some("/nowhere/notify")] {
            let mut notifier = Notifier::new(path, Some("0"));
            assert_eq!(notifier.due(), None, "{path:?}");
            notifier.ready("in-sync");
            notifier.alive(Instant::now());
            notifier.ending();
        }
    }
}
