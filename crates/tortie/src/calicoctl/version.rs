//! `version`.

use std::time::Duration;

use serde_json::Value;
use tortie_api::ResourceKey;
use tortie_datastore::Access;

use super::error::{Error, Operation, of_store};
use super::flags::Given;
use super::session::{Located, Session};
use crate::go;

/// Two answers are at most a day apart.
const POLL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn version(given: &Given) -> Result<(), Error> {
    let poll = match given.text("poll") {
        None => Duration::ZERO,
        Some(text) if go::duration_mistake(text).is_some() => return Err(Error::Poll(text.to_owned())),
        // A negative one polls as little as none.
        Some(text) => tortie_api::parse_duration(text).unwrap_or_default().min(POLL_MAX),
    };
    println!("Client Version:    v{}", env!("CARGO_PKG_VERSION"));
    println!("Git commit:        {}", option_env!("TORTIE_COMMIT").unwrap_or("unknown"));
    if given.is_set("client") {
        return Ok(());
    }
    let session = match Located::find(given)?.open(Access::Read) {
        Ok(session) => session,
        Err(Error::NoCluster(_)) => {
            println!("Unable to detect installed Calico version");
            return Ok(());
        }
        Err(error) => return Err(error.bare()),
    };
    let mut shown = [None, None];
    loop {
        let answer = cluster(&session);
        if poll.is_zero() {
            return answer.map(|words| show(&mut shown, words));
        }
        match answer {
            Ok(words) => show(&mut shown, words),
            Err(error) => {
                eprintln!("{error}");
                shown = [None, None];
            }
        }
        std::thread::sleep(poll);
    }
}

/// Version and type of the cluster.
fn cluster(session: &Session) -> Result<[String; 2], Error> {
    let found = session.resources().get(&ResourceKey::cluster_information());
    let found = found.map_err(|error| of_store(error, Operation::Get).within(Error::Version))?;
    let spec = &found.value["spec"];
    let text = |name: &str| spec.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or("unknown");
    Ok(["calicoVersion", "clusterType"].map(|name| text(name).to_owned()))
}

/// Prints what is not known yet.
fn show(shown: &mut [Option<String>; 2], words: [String; 2]) {
    for ((title, word), shown) in ["Cluster Version:   ", "Cluster Type:      "].into_iter().zip(words).zip(shown) {
        if shown.as_ref() != Some(&word) {
            println!("{title}{word}");
            *shown = Some(word);
        }
    }
}
