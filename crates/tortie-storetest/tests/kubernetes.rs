//! Resources and the syncer over an API server, in both groups of definitions (datastore.md section 3).
//!
//! The cases share one server, and take turns: some lock the store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Condvar, Mutex, OnceLock};

use serde_json::json;
use tortie_api::ResourceKey;
use tortie_datastore::{Resources, Store};
use tortie_kubernetes::{Group, Kubernetes, Settings};
use tortie_storetest::resource_cases;
use tortie_storetest::resources::World;
use tortie_testkit::apiserver::{ApiServer, User};

/// The server, with the definitions of both groups.
fn server() -> &'static ApiServer {
    static READY: OnceLock<&ApiServer> = OnceLock::new();
    READY.get_or_init(|| {
        let server = ApiServer::shared();
        ["native", "classic"].into_iter().for_each(|group| server.apply_lax_definitions(group));
        server
    })
}

static IS_TAKEN: Mutex<bool> = Mutex::new(false);
static IS_FREE: Condvar = Condvar::new();

/// The one case that runs.
struct Turn;

impl Turn {
    fn wait() -> Turn {
        let taken = IS_TAKEN.lock().unwrap();
        *IS_FREE.wait_while(taken, |taken| *taken).unwrap() = true;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *IS_TAKEN.lock().unwrap() = false;
        IS_FREE.notify_one();
    }
}

fn world(case: &str, group: Group) -> World {
    let turn = Turn::wait();
    let server = server();
    let word = if group == Group::Native { "n" } else { "c" };
    // Names of namespaces have at most 63 characters, and no `_`.
    let initials: String = case.split('_').filter_map(|word| word.chars().next()).collect();
    let prefix = format!("{word}-{initials}-");
    for namespace in ["1", "11"] {
        server.kubectl_ok(&["create", "namespace", &format!("{prefix}{namespace}")], "");
    }
    let settings = Settings {
        kubeconfig: Some(server.kubeconfig(User::Admin).to_string_lossy().into_owned()),
        api_group: Some(group),
        namespace: Some(format!("{prefix}1")),
        ..Settings::default()
    };
    let store = Arc::new(Kubernetes::open(&settings).unwrap());
    Resources::new(&*store).ensure_initialised().unwrap();
    Resources::new(&*store).set_ready(true).unwrap();
    let spoil = move |key: &ResourceKey| {
        let manifest = json!({"apiVersion": group.to_string(), "kind": key.kind.name(),
            "metadata": {"name": key.name, "annotations": {"projectcalico.org/metadata": "{"}}, "spec": {}});
        server.kubectl_ok(&["create", "-f", "-"], &manifest.to_string());
    };
    let store: Arc<dyn Store> = store;
    World { store, prefix, spoil: Box::new(spoil), keep: Box::new(turn) }
}

// What is no object does not come into this group: the server keeps it out.
mod native {
    use super::*;

    resource_cases!(|case| super::world(case, Group::Native));
}

mod classic {
    use tortie_storetest::spoiled_cases;

    use super::*;

    resource_cases!(|case| super::world(case, Group::Classic));
    spoiled_cases!(|case| super::world(case, Group::Classic));
}
