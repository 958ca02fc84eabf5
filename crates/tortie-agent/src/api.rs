//! The local API: HTTP/1.1 with JSON under `/v1/` on a Unix socket (D-13).

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use nix::errno::Errno;
use nix::unistd::Group;
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tortie_datastore::Store;

use crate::event::{Event, Request};
use crate::http::{self, Limits};
use crate::notify;
use crate::serve::{self, Served};
use crate::status::{Counters, Failure, Sets, Status};

/// The longest wait that a caller may ask for, in seconds.
const WAIT_MAX_S: f64 = 86_400.0;

#[derive(Clone)]
struct Shared {
    events: Sender<Event>,
    store: Arc<dyn Store>,
}

/// Serves until the process ends, on a thread of its own, which health and metrics share.
pub(crate) fn serve(
    socket: &Path,
    events: Sender<Event>,
    store: Arc<dyn Store>,
    served: Served,
) -> std::io::Result<()> {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Left behind by an agent that was killed; a living one holds the lock of the namespace.
    match std::fs::remove_file(socket) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _inside = runtime.enter();
        UnixListener::bind(socket)?
    };
    give_to_group(socket);
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660))?;
    let app = router(events, store);
    let serve = move || {
        runtime.block_on(async {
            tokio::spawn(notify::watchdog(served.board.clone()));
            tokio::spawn(notify::ask_for_time(served.board.clone()));
            tokio::spawn(serve::health(served.clone()));
            tokio::spawn(serve::metrics(served));
            http::serve(listener, app, Limits::default(), std::future::pending()).await;
        });
    };
    std::thread::Builder::new().name("api".to_owned()).spawn(serve)?;
    Ok(())
}

/// Gives the socket to the group `tortie`, where there is one and this process may do so (D-13).
fn give_to_group(socket: &Path) {
    let given = match Group::from_name("tortie") {
        Ok(Some(group)) => chown(socket, None, Some(group.gid.as_raw())),
        // Some C libraries say so by an error where there is no /etc/group.
        Ok(None) | Err(Errno::ENOENT) => return,
        Err(errno) => Err(errno.into()),
    };
    if let Err(error) = given {
        tracing::info!("only root can ask at `{}`: cannot give it to the group `tortie`: {error}", socket.display());
    }
}

/// Requests by their path.
pub(crate) fn router(events: Sender<Event>, store: Arc<dyn Store>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/counters", get(counters))
        .route("/v1/sets", get(sets))
        .with_state(Shared { events, store })
}

#[derive(Deserialize)]
struct StatusQuery {
    /// Seconds to wait until the store's present revision and the present links are in the kernel.
    wait: Option<f64>,
    /// Whether the kernel's counters are read for it.
    #[serde(default)]
    counters: bool,
    /// Whether the state is saved before the answer, for whoever reads it then.
    #[serde(default)]
    save: bool,
}

type Answer<T> = Result<Json<T>, (StatusCode, Json<Failure>)>;

fn failure(code: StatusCode, error: impl Into<String>) -> (StatusCode, Json<Failure>) {
    (code, Json(Failure { error: error.into(), details: Default::default() }))
}

fn ending() -> (StatusCode, Json<Failure>) {
    failure(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending")
}

async fn counters(State(shared): State<Shared>) -> Answer<Counters> {
    let (reply, answer) = oneshot::channel();
    shared.events.send(Event::Request(Request::Counters(reply))).map_err(|_| ending())?;
    let read = answer.await.map_err(|_| ending())?;
    read.map(Json).map_err(|error| failure(StatusCode::INTERNAL_SERVER_ERROR, error))
}

async fn sets(State(shared): State<Shared>) -> Answer<Sets> {
    let (reply, answer) = oneshot::channel();
    shared.events.send(Event::Request(Request::Sets(reply))).map_err(|_| ending())?;
    answer.await.map(Json).map_err(|_| ending())
}

async fn status(State(shared): State<Shared>, Query(query): Query<StatusQuery>) -> Answer<Status> {
    let with_counters = query.counters;
    let Some(seconds) = query.wait else {
        let (reply, answer) = oneshot::channel();
        shared
            .events
            .send(Event::Request(Request::Status { with_counters, saves: query.save, reply }))
            .map_err(|_| ending())?;
        return answer.await.map(Json).map_err(|_| ending());
    };
    let patience = Duration::from_secs_f64(if seconds.is_finite() { seconds.clamp(0.0, WAIT_MAX_S) } else { 0.0 });
    let wait = async {
        // Read afresh, so that everything written before this request counts (D-14).
        let store = shared.store.clone();
        let fresh = tokio::task::spawn_blocking(move || (store.present(), tortie_netmon::list_now()));
        let (revision, links) = fresh.await.map_err(|_| ending())?;
        let revision = revision.map_err(|e| failure(StatusCode::BAD_GATEWAY, format!("cannot read the store: {e}")))?;
        let links = links.map_err(|e| failure(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot list links: {e}")))?;
        let (reply, answer) = oneshot::channel();
        shared
            .events
            .send(Event::Request(Request::Wait { revision, links, with_counters, reply }))
            .map_err(|_| ending())?;
        answer.await.map(Json).map_err(|_| ending())
    };
    match tokio::time::timeout(patience, wait).await {
        Ok(answer) => answer,
        Err(_) => Err(failure(StatusCode::GATEWAY_TIMEOUT, "the present revision is not enforced yet")),
    }
}
