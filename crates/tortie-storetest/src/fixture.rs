//! The stores that the cases run on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tortie_datastore::{Access, Embedded, Kv, Revision};
use tortie_etcd::{Etcd, Settings, Source, Tls};
use tortie_testkit::etcd::{self, Options, PASSWORD, Version};

/// A store that a case has for itself. It is empty at first.
pub trait Fixture {
    /// A new handle on it.
    fn open(&self) -> Arc<dyn Kv>;
    /// Forgets the history before a revision.
    fn compact(&self, revision: Revision);
    /// What [`open_place`] opens it by, in another process.
    fn place(&self) -> String;
}

/// Opens what [`Fixture::place`] names.
pub fn open_place(place: &str) -> Arc<dyn Kv> {
    match place.strip_prefix("embedded:") {
        Some(path) => Arc::new(Embedded::open(Path::new(path), Access::Write).unwrap()),
        None => Arc::new(Etcd::connect(&Settings::at([place])).unwrap()),
    }
}

/// An embedded store in a folder of its own.
pub struct EmbeddedStore {
    folder: TempDir,
}

impl EmbeddedStore {
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }
}

impl Fixture for EmbeddedStore {
    fn open(&self) -> Arc<dyn Kv> {
        open_place(&self.place())
    }

    fn compact(&self, revision: Revision) {
        // This store names the newest revision that goes, etcd the oldest that stays.
        let newest = Revision(revision.0 - 1);
        Embedded::open(self.folder.path(), Access::Write).unwrap().compact(newest).unwrap();
    }

    fn place(&self) -> String {
        format!("embedded:{}", self.folder.path().join("store.db").display())
    }
}

/// A server of etcd, and how to reach it.
pub struct EtcdStore {
    pub server: etcd::Etcd,
    has_tls: bool,
}

impl EtcdStore {
    /// Without TLS and users.
    pub fn new(version: Version) -> Self {
        Self::with(Options::plain(version))
    }

    pub fn with(options: Options) -> Self {
        Self { has_tls: options.has_tls, server: etcd::Etcd::start(options) }
    }

    /// Settings that reach it, with a certificate where it wants one.
    pub fn settings(&self) -> Settings {
        let inline = |text: &str| Some(Source::Inline(text.to_owned()));
        let client = self.server.client_certificate();
        let tls = match self.has_tls {
            false => Tls::default(),
            true => Tls {
                ca: inline(&self.server.authority().certificate()),
                cert: inline(&client.certificate),
                key: inline(&client.key),
            },
        };
        Settings { tls, ..Settings::at([self.server.address()]) }
    }

    /// Settings of a user.
    pub fn settings_of(&self, user: &str) -> Settings {
        Settings { user: Some((user.to_owned(), PASSWORD.to_owned())), ..self.settings() }
    }

    /// Settings that do not wait for long.
    pub fn hasty_settings(&self) -> Settings {
        Settings {
            connect_timeout: Duration::from_millis(1500),
            request_timeout: Duration::from_millis(1500),
            ..self.settings()
        }
    }

    /// A handle.
    pub fn connect(&self) -> Etcd {
        Etcd::connect(&self.settings()).unwrap()
    }
}

impl Fixture for EtcdStore {
    fn open(&self) -> Arc<dyn Kv> {
        Arc::new(self.connect())
    }

    fn compact(&self, revision: Revision) {
        self.server.compact(revision.0);
    }

    fn place(&self) -> String {
        self.server.address()
    }
}
