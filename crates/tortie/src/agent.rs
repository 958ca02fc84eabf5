//! `agent`: reads its settings, and runs until a signal.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use tortie_agent::{Agent, AgentError, Boot, Config, Restored, has_saved_state, restore, settings_of_environment};
use tortie_api::with_causes;
use tortie_datastore::Access;
use tortie_nftables::OpenError;

use crate::args::{AgentArgs, Global};
use crate::exit::{Code, Failure};
use crate::late::initialise;
use crate::log::Logging;
use crate::store;

/// Settings of environment or file: names in lower case, without prefix.
pub(crate) type Local = BTreeMap<String, String>;

/// Settings files, the first one that exists counts (D-12).
const FILES: [&str; 2] = ["/etc/tortie/agent.cfg", "/etc/calico/felix.cfg"];

pub(crate) fn agent(global: &Global, args: &AgentArgs, logging: Logging) -> Result<Code, Failure> {
    // Before any thread is started, so that all of them leave these signals to the one that waits for them.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().map_err(|error| Failure::new(Code::General, format!("cannot block signals: {error}")))?;

    let (environment, file) = local_settings()?;
    // A configured name is used as it is given (E-101), from environment or file only (E-605).
    let configured = || [&environment, &file].into_iter().filter_map(|local| local.get("felixhostname"));
    let configured = || configured().find(|name| !name.is_empty()).cloned();
    let node = args.node.clone().or_else(configured);
    let state_dir = args.state.folder(&global.socket);
    if args.restore {
        let boot =
            Boot { node: node.as_deref(), environment: &environment, file: &file, state_dir: &state_dir, fault: None };
        return restored(&restore(&boot, global.socket.parent().unwrap_or(Path::new("."))));
    }
    let node = match node {
        Some(node) => node,
        None => host_name()?,
    };
    let is_known = has_saved_state(&state_dir);
    let kv = match (args.once, is_known) {
        (false, _) => store::open_for_agent(global, is_known)?,
        (true, true) => store::open_known(global)?,
        (true, false) => store::open(global, Access::Write)?,
    };
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
        planner: None,
        set_log: Box::new(move |log| logging.set(log)),
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

/// The settings of environment and file.
pub(crate) fn local_settings() -> Result<(Local, Local), Failure> {
    let file = match FILES.iter().find(|file| Path::new(file).exists()) {
        Some(file) => settings_file(file)?,
        None => Local::new(),
    };
    Ok((settings_of_environment(std::env::vars()), file))
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
    let failure = Failure::new(code, with_causes(error));
    match error {
        AgentError::Kernel(OpenError::NotPermitted) => failure.with_hint("run `tortie agent` as root"),
        AgentError::Setting { .. } => {
            failure.with_hint("correct it there, or take it out; the rules in the kernel stay as they are")
        }
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

fn settings_file(path: &str) -> Result<Local, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Code::Invalid, format!("cannot read `{path}`: {error}")))?;
    settings_of_file(path, &text)
}

/// `name = value` or `name: value` lines; sections and comments do not count (E-601), the last of several values does.
///
/// As in other INI files, ` #` and ` ;` begin a comment behind a value, and quotes around a value are not part of it.
fn settings_of_file(path: &str, text: &str) -> Result<Local, Failure> {
    let mut settings = Local::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with(['#', ';', '[']) {
            continue;
        }
        let Some((name, value)) = line.split_once(['=', ':']).filter(|(name, _)| !name.trim().is_empty()) else {
            let message = format!("{path}:{}: expected `name = value`", number + 1);
            return Err(Failure::new(Code::Invalid, message));
        };
        let (name, value) = (name.trim(), value_of_line(value.trim()));
        if settings.insert(name.to_lowercase(), value.to_owned()).is_some() {
            tracing::warn!("{path}:{}: `{name}` is set a second time, this one counts", number + 1);
        }
    }
    Ok(settings)
}

fn value_of_line(value: &str) -> &str {
    for quote in ['"', '\'', '`'] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    if value.starts_with(['#', ';']) {
        return "";
    }
    let comment = [" #", " ;", "\t#", "\t;"].into_iter().filter_map(|mark| value.find(mark)).min();
    comment.map_or(value, |at| value[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_file_has_names_values_sections_and_comments_e601() {
        let text = "\u{feff}# felix\n[global]\nLogPrefix = x # why\nFailsafeInboundHostPorts=tcp:22,udp:68\r\n\
                    ; off\nInterfacePrefix: cali\nEmpty =\nOnlyComment = # none\nHealthHost = \"a # b\"\n\
                    [other]\nlogprefix = y;z\nExclude = '/a#b/'\n";
        let found = settings_of_file("f", text).map_err(|failure| failure.messages).unwrap();
        let expected: Local = [
            ("logprefix", "y;z"),
            ("failsafeinboundhostports", "tcp:22,udp:68"),
            ("interfaceprefix", "cali"),
            ("empty", ""),
            ("onlycomment", ""),
            ("healthhost", "a # b"),
            ("exclude", "/a#b/"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        assert_eq!(found, expected);
        for bad in ["LogPrefix", "a = b\n= c"] {
            let failure = settings_of_file("f", bad).unwrap_err();
            assert!(failure.messages[0].contains("expected `name = value`"), "{bad}: {:?}", failure.messages);
        }
    }
}
