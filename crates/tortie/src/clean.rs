//! `clean`: removes all of Tortie's kernel objects from this host, and what would bring them back (E-707).

use std::path::Path;

use tortie_agent::{LockError, NamespaceLock, forget_state};
use tortie_api::with_causes;
use tortie_nftables::{Kernel, OpenError};

use crate::args::{CleanArgs, Global};
use crate::exit::{Code, Failure};

pub(crate) fn clean(global: &Global, args: &CleanArgs) -> Result<Code, Failure> {
    let mut kernel = Kernel::open().map_err(|error| match error {
        OpenError::NotPermitted => {
            Failure::new(Code::NotAuthorised, error.to_string()).with_hint("run `tortie clean` as root")
        }
        other => Failure::new(Code::General, with_causes(&other)),
    })?;
    let _lock = NamespaceLock::take(global.socket.parent().unwrap_or(Path::new("."))).map_err(|error| match error {
        LockError::Taken => Failure::new(Code::General, "an agent runs here: it would put the rules back at once")
            .with_hint("stop the agent first"),
        other => Failure::new(Code::General, with_causes(&other)),
    })?;
    // First: with rules and no state the next boot is open as asked for, the other way round it would not be.
    let folder = args.state.folder(&global.socket);
    let had_state = forget_state(&folder).map_err(|error| Failure::new(Code::General, with_causes(&error)))?;
    kernel.delete_table().map_err(|error| Failure::new(Code::General, with_causes(&error)))?;
    println!("removed table inet tortie: this host is open as far as Tortie is concerned");
    if had_state {
        println!("removed the saved state in {}: nothing is restored at boot", folder.display());
    }
    Ok(Code::Success)
}
