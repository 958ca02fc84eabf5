//! `version`.

use std::time::Duration;

use serde_json::Value;
use tortie_api::ResourceKey;
use tortie_datastore::Access;

use super::error::{Error, Operation, of_store};
use super::flags::Given;
use super::session::Session;
use crate::go;

/// Two answers are at most a day apart.
const POLL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn version(given: &Given) -> Result<(), Error> {
    let poll = match given.text("poll") {
        None => Duration::ZERO,
        Some(text) => match (go::duration_mistake(text), tortie_api::parse_duration(text)) {
            (Some(mistake), _) => return Err(Error::Poll(mistake)),
            // A negative one polls as little as none.
            (None, pause) => pause.unwrap_or_default().min(POLL_MAX),
        },
    };
    loop {
        show(given)?;
        if poll.is_zero() || given.is_set("client") {
            return Ok(());
        }
        std::thread::sleep(poll);
    }
}

fn show(given: &Given) -> Result<(), Error> {
    println!("Client Version:    v{}", env!("CARGO_PKG_VERSION"));
    println!("Git commit:        {}", option_env!("TORTIE_COMMIT").unwrap_or("unknown"));
    if given.is_set("client") {
        return Ok(());
    }
    let session = Session::open(given, Access::Read)?;
    let key = ResourceKey::cluster_information();
    let found = session.resources().get(&key).map_err(|error| of_store(error, Operation::Get));
    let cluster = found.map_err(|error| error.within(Error::Version))?;
    let spec = &cluster.value["spec"];
    let text = |name: &str| spec.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or("unknown");
    println!("Cluster Version:   {}", text("calicoVersion"));
    println!("Cluster Type:      {}", text("clusterType"));
    Ok(())
}
