//! Objects of ours in the API group that is not in use (datastore.md section 3.1): policy that somebody wrote, and that no
//! agent reads.

use std::sync::Arc;

use serde_json::Value;
use tortie_api::{Kind, with_causes};

use crate::failure::Failure;
use crate::group::{Chosen, Group};
use crate::server::{Ask, METADATA_ONLY, Server};
use crate::source::{Id, Source};
use crate::uid::convert;
use tortie_datastore::random;

/// Kinds that are missed when they are not read, and that agents may list in both groups. What every initialisation makes
/// is in neither.
const KINDS: [Kind; 6] = [
    Kind::HostEndpoint,
    Kind::GlobalNetworkPolicy,
    Kind::GlobalNetworkSet,
    Kind::NetworkSet,
    Kind::FelixConfiguration,
    Kind::StagedGlobalNetworkPolicy,
];

/// Looks now and then, and whenever another group is in use, for as long as it runs.
pub(crate) async fn follow(server: Arc<Server>) {
    let mut groups = server.group_changes();
    loop {
        groups.mark_unchanged();
        let waits = &server.settings.waits;
        let pause = match look(&server).await {
            Ok(found) => {
                if let Some(sentence) = server.set_beside(found) {
                    tracing::warn!("{sentence}");
                }
                waits.absent
            }
            // The watchers tell of a server that does not answer.
            Err(failure) => {
                tracing::debug!("cannot see which API groups hold objects: {}", with_causes(&failure));
                waits.pause_max
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause + random::up_to(pause)) => {}
            // The server lives as long as this does.
            _ = groups.changed() => {}
        }
    }
}

/// A sentence on what lies in the group that is not in use, if anything does. Where only one group is served that takes one
/// request.
pub(crate) async fn look(server: &Server) -> Result<Option<String>, Failure> {
    let used = server.chosen().await?.group;
    let served = Chosen::served(&server.fetch(&Ask::get("/apis")).await?);
    let Some(other) = served.into_iter().find(|group| *group != used) else { return Ok(None) };
    let flag = Source::Resources(Kind::ClusterInformation);
    let id = Id { namespace: None, name: "default".to_owned() };
    let here = optional(server, &Ask::get(flag.object_path(used, &id))).await?;
    let there = optional(server, &Ask::get(flag.object_path(other, &id))).await?;
    if here.zip(there).is_some_and(|(here, there)| is_view(&here, &there)) {
        return Ok(None);
    }
    for kind in KINDS {
        let mut ask = Ask::get(Source::Resources(kind).path(other, None)).with("limit", "1");
        ask.accept = METADATA_ONLY;
        let list = optional(server, &ask).await?;
        if let Some(id) = list.and_then(|list| Id::of(&list["items"][0])) {
            return Ok(Some(sentence(used, other, kind, &id)));
        }
    }
    Ok(None)
}

/// The answer, or `None` where this is not there, or not this user's to read.
async fn optional(server: &Server, ask: &Ask) -> Result<Option<Value>, Failure> {
    match server.fetch(ask).await {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.is_code(404) || failure.is_code(403) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether two objects are one: Calico's own API server shows those of the classic group in the native one, with the uid
/// converted (section 3.3).
fn is_view(one: &Value, other: &Value) -> bool {
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let (one, other) = (uid(one), uid(other));
    !one.is_empty() && (one == other || convert(&one) == other)
}

fn sentence(used: Group, other: Group, kind: Kind, id: &Id) -> String {
    format!(
        "API group {other} holds objects too, {kind} `{id}` is one, and none of them counts while {used} is in use: \
         move them there and delete them here, or set `calicoAPIGroup: {other}`"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_native_group_may_be_a_view_of_the_classic_one() {
        let object = |uid: &str| json!({"metadata": {"name": "default", "uid": uid}});
        let (shown, stored) = ("aa844ac0-87c8-440a-b270-307cdba8fd25", "55215203-e113-4450-b20e-0c3edb15bfa4");
        assert!(is_view(&object(shown), &object(stored)));
        assert!(is_view(&object(stored), &object(shown)));
        assert!(is_view(&object(shown), &object(shown)));
        assert!(!is_view(&object(shown), &object("0a844ac0-87c8-440a-b270-307cdba8fd25")));
        assert!(!is_view(&json!({}), &json!({})));
    }
}
