//! The store that a command asks.

use std::path::Path;
use std::sync::Arc;

use tortie_datastore::{Access, Resources, Store};

use super::error::Error;
use super::flags::Given;
use crate::store;

/// An open store.
pub(super) struct Session {
    pub(super) store: Arc<dyn Store>,
}

impl Session {
    /// Opens the store that flags, environment and files name.
    pub(super) fn open(given: &Given, access: Access) -> Result<Session, Error> {
        let config = given.text("config").map(Path::new);
        let store = store::open_as_calicoctl(config, given.text("context"), access).map_err(Error::config)?;
        Ok(Session { store })
    }

    /// Opens it, and makes what every store has; a failure of that is left for the command to meet.
    pub(super) fn open_initialised(given: &Given) -> Result<Session, Error> {
        let session = Session::open(given, Access::Write)?;
        let _ = session.resources().ensure_initialised();
        Ok(session)
    }

    pub(super) fn resources(&self) -> Resources<'_> {
        Resources::new(&*self.store)
    }
}
