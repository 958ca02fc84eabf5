//! Reads: single objects and whole kinds.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tortie_datastore::KvError;
use tortie_datastore::store::{Item, List, Select};

use crate::failure::{Failure, is_missing_definition};
use crate::group::Group;
use crate::list::{Filter, Want};
use crate::server::{Ask, Server};
use crate::source::{Id, Source};

/// Requests at the same time.
const REQUESTS_MAX: usize = 16;
/// What is being done, in messages.
const READ: &str = "read";

/// Answers several selections, a few at a time.
pub(crate) async fn select(server: &Arc<Server>, what: &[Select]) -> Result<Vec<List>, KvError> {
    let permits = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut running = JoinSet::new();
    for (position, select) in what.iter().cloned().enumerate() {
        let (server, permits) = (server.clone(), permits.clone());
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            (position, one(&server, &select).await)
        });
    }
    let mut lists = vec![List::default(); what.len()];
    while let Some(done) = running.join_next().await {
        // A panic of a task goes on here, where its caller sees it.
        let (position, list) = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        lists[position] = list?;
    }
    Ok(lists)
}

async fn one(server: &Server, select: &Select) -> Result<List, KvError> {
    match select {
        Select::Object(key) => {
            let Some((source, id)) = Source::find(key) else { return Ok(List::default()) };
            let item = object(server, source, &id).await?.filter(|item| item.at == *key);
            let revision = item.as_ref().map(|item| item.revision.clone()).unwrap_or_default();
            Ok(List { items: item.into_iter().collect(), revision })
        }
        Select::Kind(kind, namespace) => {
            let mut items = Vec::new();
            let mut revisions = Vec::new();
            for source in Source::of(*kind) {
                let namespace = namespace.clone().filter(|_| kind.is_namespaced());
                let (found, revision) = collection(server, *source, namespace).await?;
                items.extend(found);
                revisions.push(revision);
            }
            items.sort_by(|a, b| a.at.cmp(&b.at));
            Ok(List { items, revision: revisions.join("/") })
        }
    }
}

async fn object(server: &Server, source: Source, id: &Id) -> Result<Option<Item>, KvError> {
    let told = |group, failure| server.told(failure, READ, "get", source.resource(group));
    let mut group = server.group().await.map_err(|failure| told(Group::Classic, failure))?;
    loop {
        match server.fetch(&Ask::get(source.object_path(group, id))).await {
            Ok(raw) => return Ok(source.item(group, &server.settings.interface_prefix, raw)),
            Err(failure) if failure.is_code(404) => match other_group(server, source, group, &failure).await {
                Some(other) => group = other,
                None => return Ok(None),
            },
            Err(failure) => return Err(told(group, failure)),
        }
    }
}

async fn collection(
    server: &Server,
    source: Source,
    namespace: Option<String>,
) -> Result<(Vec<Item>, String), KvError> {
    let told = |group, failure| server.told(failure, READ, "list", source.resource(group));
    let mut group = server.group().await.map_err(|failure| told(Group::Classic, failure))?;
    let filter = Filter { namespace, name: None };
    let prefix = &server.settings.interface_prefix;
    loop {
        match server.list(source, group, &filter, Want::Fresh, &|raw| source.item(group, prefix, raw)).await {
            Ok(listed) => return Ok((listed.objects, listed.revision)),
            Err(failure) if failure.is_code(404) => match other_group(server, source, group, &failure).await {
                Some(other) => group = other,
                // A kind that is not installed holds nothing.
                None => return Ok((Vec::new(), String::new())),
            },
            Err(failure) => return Err(told(group, failure)),
        }
    }
}

/// Another group than `group`, when a definition is missing in that one and the server has another now.
pub(crate) async fn other_group(server: &Server, source: Source, group: Group, failure: &Failure) -> Option<Group> {
    let Failure::Answered(answer) = failure else { return None };
    if !source.is_defined() || !is_missing_definition(answer) {
        return None;
    }
    // A server that cannot be asked has no other group now; the next request says what is wrong with it.
    server.detect().await.ok().map(|chosen| chosen.group).filter(|other| *other != group)
}
