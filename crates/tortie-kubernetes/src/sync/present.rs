//! The present revision (D-14): what is stored now, read afresh, and when the syncer has delivered it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tortie_api::Kind;
use tortie_datastore::kv::FaultKind;
use tortie_datastore::{KvError, Revision};

use super::{Message, Question, Running, Wanted};
use crate::group::Group;
use crate::list::{Filter, Want};
use crate::server::Server;
use crate::source::{Id, Source};

/// What is being done, in messages.
const READ: &str = "read the present revision";

/// The revision with which the consumer of `running` has what is stored at this moment. With no syncer there is no count
/// of deliveries: the newest revision of the kinds that agents read.
pub(crate) async fn present(server: &Arc<Server>, running: Option<Running>) -> Result<Revision, KvError> {
    let Some(running) = running else { return newest(server).await };
    let wanted = wanted(server, &running.sources()).await?;
    let (reply, answer) = oneshot::channel();
    let unavailable =
        || KvError::Fault { store: server.place.clone(), action: READ, kind: FaultKind::Unavailable, cause: None };
    let messages = running.messages.upgrade().ok_or_else(unavailable)?;
    messages.send(Message::Question(Question { wanted, reply })).await.map_err(|_| unavailable())?;
    drop(messages);
    match tokio::time::timeout(server.settings.request_timeout, answer).await {
        Ok(Ok(revision)) => Ok(revision),
        Ok(Err(_)) | Err(_) => Err(unavailable()),
    }
}

/// The names and revisions of each collection now.
async fn wanted(server: &Server, sources: &[(Source, Filter)]) -> Result<BTreeMap<Source, Wanted>, KvError> {
    let mut wanted = BTreeMap::new();
    let told = |source: Source, group, failure| server.told(failure, READ, "list", source.resource(group));
    let name = |object: serde_json::Value| {
        Some((Id::of(&object)?, object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()))
    };
    for (source, filter) in sources {
        let group = server.group().await.map_err(|failure| told(*source, Group::Native, failure))?;
        let listed = match server.list(*source, group, filter, Want::Names, &name).await {
            Ok(listed) => listed,
            // The syncer tells what of it is no longer there, and does without what it may not read.
            Err(failure) if failure.is_code(404) && source.is_defined() => continue,
            Err(failure) if failure.is_code(403) && source.is_optional() => continue,
            Err(failure) => return Err(told(*source, group, failure)),
        };
        wanted.insert(*source, Wanted { names: listed.objects.into_iter().collect(), revision: listed.revision });
    }
    Ok(wanted)
}

async fn newest(server: &Server) -> Result<Revision, KvError> {
    let sources: Vec<(Source, Filter)> = Kind::all()
        .flat_map(Source::of)
        .filter(|source| source.is_defined())
        .map(|source| (*source, Filter::default()))
        .collect();
    let wanted = wanted(server, &sources).await?;
    let newest = wanted.values().filter_map(|wanted| wanted.revision.parse().ok()).max();
    Ok(Revision(newest.unwrap_or_default()))
}
