//! `clean`: removes all of Tortie's kernel objects from this host, and what would bring them back (E-707).

use std::os::unix::net::UnixStream;
use std::path::Path;

use tortie_agent::{LockError, NamespaceLock, forget_state};
use tortie_api::with_causes;
use tortie_nftables::{Kernel, OpenError};
use tortie_xdp::{BPF_FS, Driver};

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
    // Its saved state is that of another namespace, where its rules are: nothing of it is to go by mistake.
    if args.state.state_dir.is_none() && UnixStream::connect(&global.socket).is_ok() {
        let socket = global.socket.display();
        let message = format!("the agent at `{socket}` runs in another network namespace than this one");
        return Err(Failure::new(Code::General, message)
            .with_hint("stop it and clean there, or name another `--socket` or `--state-dir` for this namespace"));
    }
    // First: with rules and no state the next boot is open as asked for, the other way round it would not be.
    let folder = args.state.folder(&global.socket);
    let had_state = forget_state(&folder).map_err(|error| Failure::new(Code::General, with_causes(&error)))?;
    let programs = Driver::new(Path::new(BPF_FS)).and_then(|mut driver| driver.remove_all());
    let programs = programs.map_err(|error| Failure::new(Code::General, format!("XDP programs: {error}")))?;
    // A table that cannot be read is one to be removed.
    let had_table = kernel.read().map_or(true, |actual| actual.ruleset.is_some());
    kernel.delete_table().map_err(|error| Failure::new(Code::General, with_causes(&error)))?;
    if had_table {
        println!("removed table inet tortie: this host is open as far as Tortie is concerned");
    } else {
        println!("there is no table inet tortie here: nothing to remove");
    }
    if programs > 0 {
        println!("removed the XDP programs of {programs} interfaces");
    }
    if had_state {
        println!("removed the saved state in {}: nothing is restored at boot", folder.display());
    }
    Ok(Code::Success)
}
