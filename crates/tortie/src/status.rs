//! `status` and `version`.

mod text;

use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::ResourceKey;
use tortie_datastore::{Access, Resources};

use crate::args::{Global, StatusArgs, TextOrJson, VersionArgs};
use crate::exit::{Code, Failure};
use crate::{client, store};

/// How long an answer may take when nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `--wait` waits by default.
const WAIT: Duration = Duration::from_secs(30);

pub(crate) fn status(global: &Global, args: &StatusArgs) -> Result<Code, Failure> {
    let wait = args.wait.then(|| global.timeout.unwrap_or(WAIT));
    // The agent itself gives up in time; a little more, so that its words are heard.
    let patience = wait.map_or(global.timeout.unwrap_or(PATIENCE), |wait| wait + Duration::from_secs(2));
    let status = client::status_with_counters(&global.socket, wait, patience)?;
    match args.output {
        TextOrJson::Json => println!("{:#}", serde_json::to_value(&status).unwrap_or(Value::Null)),
        TextOrJson::Text => print!("{}", text::render(&status, global.color.is_on_stdout())),
    }
    Ok(Code::Success)
}

pub(crate) fn version(global: &Global, args: &VersionArgs) -> Result<Code, Failure> {
    let client = env!("CARGO_PKG_VERSION");
    let mut value = json!({"clientVersion": client});
    if !args.client {
        let store = store::open(global, Access::Read)?;
        let cluster = Resources::new(&*store).get(&ResourceKey::cluster_information());
        let spec = cluster.as_ref().ok().and_then(|object| object.value.get("spec")).cloned().unwrap_or_default();
        let text = |name: &str| spec.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
        value["clusterVersion"] = json!(text("calicoVersion"));
        value["clusterType"] = json!(text("clusterType"));
    }
    match args.output {
        TextOrJson::Json => println!("{value:#}"),
        TextOrJson::Text => {
            println!("Client Version:    {client}");
            for (name, label) in [("clusterVersion", "Cluster Version:   "), ("clusterType", "Cluster Type:      ")] {
                if let Some(text) = value.get(name).and_then(Value::as_str) {
                    println!("{label}{text}");
                }
            }
        }
    }
    Ok(Code::Success)
}
