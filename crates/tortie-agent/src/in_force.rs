//! What the saved state says is in force, for whoever compares a kernel with it.

use std::path::PathBuf;

use tortie_api::facts::Links;
use tortie_calc::HostPolicy;

use crate::restore::{Boot, stand_in};
use crate::saved::{Saved, SavedError};

/// What applies to this host, by the saved state of its agent.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// What the kernel has to enforce.
    pub policy: HostPolicy,
    /// Which state it is, for people.
    pub what: String,
}

/// Why nothing is known to be in force.
#[derive(Debug, thiserror::Error)]
pub enum InForceError {
    /// No agent has saved anything there.
    #[error("there is no saved state in `{}`", .folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// There is one that must not be used.
    #[error("the saved state cannot be read")]
    Saved(#[source] SavedError),
}

/// Reads what is in force from the saved state, on a host that has these links now.
///
/// `boot.node` does not matter: the node is that of the state.
///
/// # Errors
/// [`InForceError`] when there is no state that can be used. A `bootPolicy` never stands in for it.
pub fn in_force(boot: &Boot<'_>, links: &Links) -> Result<InForce, InForceError> {
    let folder = || boot.state_dir.to_path_buf();
    let saved = Saved::read(boot.state_dir).map_err(InForceError::Saved)?;
    let saved = saved.ok_or_else(|| InForceError::None { folder: folder() })?;
    let boot = Boot { node: Some(&saved.node), ..boot.clone() };
    let mut found = stand_in(&boot, Some(&saved), Some(links)).map_err(|_| InForceError::None { folder: folder() })?;
    found.engine.flush();
    Ok(InForce { policy: found.engine.policy().clone(), what: found.what })
}
