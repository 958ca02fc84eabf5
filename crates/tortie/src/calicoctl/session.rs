//! The store that a command asks.

use std::path::Path;
use std::sync::Arc;

use tortie_datastore::{Access, Resources, Store};

use super::error::Error;
use super::flags::Given;
use crate::store::{ConfigFault, Unopened};

/// Where the store is. It is found before input is read and opened after that: mistakes in files come before those of the
/// connection, but not before a connection file that is not there.
pub(super) struct Located(Result<Unopened, Error>);

impl Located {
    /// Finds the store that flags, environment and files name.
    pub(super) fn find(given: &Given) -> Result<Located, Error> {
        let config = given.text("config").map(Path::new);
        match Unopened::of_calicoctl(config, given.text("context")) {
            // Who compares no versions opens nothing before input is read.
            Err(fault @ ConfigFault::Unread { .. }) if !given.is_set("allow-version-mismatch") => {
                Err(Error::config(fault))
            }
            found => Ok(Located(found.map_err(Error::config))),
        }
    }

    /// Opens it.
    pub(super) fn open(self, access: Access) -> Result<Session, Error> {
        let opened = self.0?.open(access);
        Ok(Session { store: opened.map_err(|failure| Error::config(failure.into()))? })
    }

    /// Opens it, and makes what every store has; a failure of that is left for the command to meet.
    pub(super) fn open_initialised(self) -> Result<Session, Error> {
        let session = self.open(Access::Write)?;
        let _ = session.resources().ensure_initialised();
        Ok(session)
    }
}

/// An open store.
pub(super) struct Session {
    pub(super) store: Arc<dyn Store>,
}

impl Session {
    /// Finds and opens the store of a command that reads nothing else.
    ///
    /// # Errors
    /// What keeps it from being asked, without the words in front that commands with input have.
    pub(super) fn open(given: &Given, access: Access) -> Result<Session, Error> {
        Located::find(given)?.open(access).map_err(Error::bare)
    }

    /// Finds and opens it, and makes what every store has.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(super) fn open_initialised(given: &Given) -> Result<Session, Error> {
        Located::find(given)?.open_initialised().map_err(Error::bare)
    }

    pub(super) fn resources(&self) -> Resources<'_> {
        Resources::new(&*self.store)
    }
}
