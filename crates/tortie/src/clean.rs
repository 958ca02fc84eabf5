//! `clean`: removes all of Tortie's kernel objects from this host (E-707).

use std::path::Path;

use tortie_agent::{LockError, NamespaceLock};
use tortie_nftables::{Kernel, OpenError};

use crate::exit::{Code, Failure, chain};

pub(crate) fn clean() -> Result<Code, Failure> {
    let mut kernel = Kernel::open().map_err(|error| match error {
        OpenError::NotPermitted => {
            Failure::new(Code::NotAuthorised, error.to_string()).with_hint("run `tortie clean` as root")
        }
        other => Failure::new(Code::General, chain(&other)),
    })?;
    let _lock = NamespaceLock::take(Path::new(".")).map_err(|error| match error {
        LockError::Taken => Failure::new(Code::General, "an agent runs here: it would put the rules back at once")
            .with_hint("stop the agent first"),
        other => Failure::new(Code::General, chain(&other)),
    })?;
    kernel.delete_table().map_err(|error| Failure::new(Code::General, chain(&error)))?;
    println!("removed table inet tortie: this host is open as far as Tortie is concerned");
    Ok(Code::Success)
}
