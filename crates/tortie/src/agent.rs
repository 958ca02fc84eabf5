//! `agent`: reads its settings, and runs until a signal.

use std::ffi::OsString;
use std::path::Path;

use tortie_agent::{
    Agent, AgentError, Boot, Config, Restored, bounded, has_saved_state, restore, settings_of_environment,
};
use tortie_api::with_causes;
use tortie_calc::settings::{FILE_LEN_MAX, Local, settings_of_file};
use tortie_nftables::OpenError;

use crate::args::{AgentArgs, Global};
use crate::exit::{Code, Failure};
use crate::log::Logging;
use crate::signals::Signals;
use crate::store;

/// Settings files, the first one that exists counts (D-12).
const FILES: [&str; 2] = ["/etc/tortie/agent.cfg", "/etc/calico/felix.cfg"];

pub(crate) fn agent(global: &Global, args: &AgentArgs, logging: Logging) -> Result<Code, Failure> {
    let signals = Signals::block()?;

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
    let open = if args.once { store::open_once } else { store::open_for_agent };
    let store = open(global, [&environment, &file], is_known)?;
    let config = Config {
        node,
        store,
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
    signals.then(agent.stopper())?;
    agent.run().map_err(|error| failure(&error))?;
    Ok(Code::Success)
}

/// The settings of environment and file.
pub(crate) fn local_settings() -> Result<(Local, Local), Failure> {
    let file = match FILES.iter().find(|file| Path::new(file).exists()) {
        Some(file) => settings_file(file)?,
        None => Local::new(),
    };
    Ok((settings_of_environment(texts(std::env::vars_os())), file))
}

/// The variables of the environment. What is no text names no setting, and is no value of one.
pub(crate) fn texts(variables: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (String, String)> {
    variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
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
pub(crate) fn host_name() -> Result<String, Failure> {
    let name =
        nix::unistd::gethostname().map_err(|error| Failure::new(Code::General, format!("no host name: {error}")))?;
    let name = name.to_string_lossy().trim().to_lowercase();
    if name.is_empty() {
        return Err(Failure::new(Code::General, "this host has no name").with_hint("give one with `--node`"));
    }
    Ok(name)
}

fn settings_file(path: &str) -> Result<Local, Failure> {
    let refused = |why: String| Failure::new(Code::Invalid, format!("cannot use settings file `{path}`: {why}"));
    let bytes = bounded::read_regular(Path::new(path), FILE_LEN_MAX).map_err(|error| refused(with_causes(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8 text".to_owned()))?;
    let found = settings_of_file(&text).map_err(|error| refused(error.to_string()))?;
    for (line, name) in found.repeated {
        tracing::warn!("{path}:{line}: `{name}` is set a second time, this one counts");
    }
    Ok(found.settings)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_variable_that_is_no_text_is_passed_over() {
        let no_text = || OsString::from_vec(vec![0xff]);
        let variables = [("A".into(), no_text()), (no_text(), "b".into()), ("FELIX_LOGPREFIX".into(), "x".into())];
        let found: Vec<_> = texts(variables.into_iter()).collect();
        assert_eq!(found, [("FELIX_LOGPREFIX".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn a_settings_file_is_read_up_to_its_limit_and_what_is_wrong_with_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.cfg");
        let shown = path.display().to_string();
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            settings_file(&shown).map_err(|failure| failure.messages.join("; "))
        };
        let text = |len: u64| format!("LogPrefix = x\n#{}", " ".repeat(len as usize - 15));
        assert_eq!(read(text(FILE_LEN_MAX).as_bytes()).unwrap()["logprefix"], "x");
        for (content, words) in [
            (text(FILE_LEN_MAX + 1).into_bytes(), "it is longer than 1 MiB"),
            (b"LogPrefix = \xff\n".to_vec(), "it is not UTF-8 text"),
            (b"[global]\nLogPrefix\n".to_vec(), "line 2: expected `name = value`"),
        ] {
            let error = read(&content).unwrap_err();
            assert!(error.contains(&shown) && error.contains(words), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = settings_file(&shown).unwrap_err().messages.join("; ");
        assert!(error.contains("it is not a regular file"), "{error}");
    }
}
