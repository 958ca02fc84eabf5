//! `agent`: reads its settings, and runs until a signal.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use tortie_agent::{Agent, AgentError, Boot, Config, Restored, restore, settings_of_environment};
use tortie_datastore::Access;
use tortie_nftables::OpenError;

use crate::args::{AgentArgs, Global};
use crate::exit::{Code, Failure, chain};
use crate::late::initialise;
use crate::store;

/// Settings files, the first one that exists counts (D-12).
const FILES: [&str; 2] = ["/etc/tortie/agent.cfg", "/etc/calico/felix.cfg"];

pub(crate) fn agent(global: &Global, args: &AgentArgs) -> Result<Code, Failure> {
    // Before any thread is started, so that all of them leave these signals to the one that waits for them.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().map_err(|error| Failure::new(Code::General, format!("cannot block signals: {error}")))?;

    let environment = settings_of_environment(std::env::vars());
    let file = match FILES.iter().find(|file| Path::new(file).exists()) {
        Some(file) => settings_file(file)?,
        None => Default::default(),
    };
    let state_dir = args.state.folder(&global.socket);
    if args.restore {
        let boot = Boot {
            node: args.node.as_deref(),
            environment: &environment,
            file: &file,
            state_dir: &state_dir,
            fault: None,
        };
        return restored(&restore(&boot, global.socket.parent().unwrap_or(Path::new("."))));
    }
    let node = match &args.node {
        Some(node) => node.clone(),
        None => host_name()?,
    };
    let kv = if args.once { store::open(global, Access::Write)? } else { store::open_for_agent(global)? };
    if args.once {
        initialise(&*kv);
    }
    let config = Config {
        node,
        kv,
        socket: global.socket.clone(),
        environment,
        file,
        state_dir,
        is_once: args.once,
        fault: None,
    };
    let agent = Agent::prepare(config).map_err(|error| failure(&error))?;
    let stop = agent.stopper();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if let Ok(signal) = signals.wait() {
                tracing::info!("received {signal}");
                stop();
            }
        })
        .map_err(|error| Failure::new(Code::General, format!("cannot wait for signals: {error}")))?;
    agent.run().map_err(|error| failure(&error))?;
    Ok(Code::Success)
}

/// Says what `--restore` did. An open host is no failure: that is what is asked for where nothing was saved.
fn restored(result: &Result<Restored, AgentError>) -> Result<Code, Failure> {
    match result {
        Ok(Restored::RulesThere) => println!("there are rules of Tortie already: left alone"),
        Ok(Restored::StandsIn(what)) => println!("restored: {what}"),
        Ok(Restored::Open(reason)) => println!("nothing restored, the host stays open: {reason}"),
        Err(error) => return Err(failure(error)),
    }
    Ok(Code::Success)
}

fn failure(error: &AgentError) -> Failure {
    let code = match error {
        AgentError::Kernel(OpenError::NotPermitted) => Code::NotAuthorised,
        AgentError::Setting { .. } => Code::Invalid,
        _ => Code::General,
    };
    let failure = Failure::new(code, chain(error));
    match error {
        AgentError::Kernel(OpenError::NotPermitted) => failure.with_hint("run `tortie agent` as root"),
        AgentError::Lock(_) => failure.with_hint("`tortie status` asks the one that runs"),
        _ => failure,
    }
}

/// The kernel's host name, trimmed and in lower case (E-101).
fn host_name() -> Result<String, Failure> {
    let name =
        nix::unistd::gethostname().map_err(|error| Failure::new(Code::General, format!("no host name: {error}")))?;
    let name = name.to_string_lossy().trim().to_lowercase();
    if name.is_empty() {
        return Err(Failure::new(Code::General, "this host has no name").with_hint("give one with `--node`"));
    }
    Ok(name)
}

/// `name = value` lines; sections and comments do not count (E-601).
fn settings_file(path: &str) -> Result<BTreeMap<String, String>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Code::Invalid, format!("cannot read `{path}`: {error}")))?;
    let mut settings = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';', '[']) {
            continue;
        }
        let Some((name, value)) = line.split_once(['=', ':']) else {
            let message = format!("{path}:{}: expected `name = value`", number + 1);
            return Err(Failure::new(Code::Invalid, message));
        };
        settings.insert(name.trim().to_lowercase(), value.trim().to_owned());
    }
    Ok(settings)
}
