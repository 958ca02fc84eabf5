//! `status` and `version`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tortie_agent::Status;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::{Access, Resources};

use crate::args::{Global, StatusArgs, VersionArgs};
use crate::exit::{Code, Failure};
use crate::{client, store, table};

/// How long an answer may take when nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `--wait` waits by default.
const WAIT: Duration = Duration::from_secs(30);

pub(crate) fn status(global: &Global, args: &StatusArgs) -> Result<Code, Failure> {
    if !["text", "json"].contains(&args.output.as_str()) {
        return Err(Failure::new(Code::Usage, format!("unrecognized output format '{}'", args.output))
            .with_hint("use text or json"));
    }
    let wait = args.wait.then(|| global.timeout.unwrap_or(WAIT));
    // The agent itself gives up in time; a little more, so that its words are heard.
    let patience = wait.map_or(global.timeout.unwrap_or(PATIENCE), |wait| wait + Duration::from_secs(2));
    let status = client::status(&global.socket, wait, patience)?;
    match args.output.as_str() {
        "json" => println!("{:#}", serde_json::to_value(&status).unwrap_or(Value::Null)),
        _ => print!("{}", text(&status, global.color.is_on_stdout())),
    }
    Ok(Code::Success)
}

fn text(status: &Status, is_bold: bool) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<12}{value}");
    };
    line("node", format!("{} (tortie {})", status.node, status.version));
    let stale = status.store.stale_since.as_ref().map(|since| format!(", stale since {since}")).unwrap_or_default();
    line("store", format!("{} {}, revision {}{stale}", status.store.place, status.store.state, status.store.revision));
    if let Some(message) = &status.store.message {
        line("", message.clone());
    }
    let kernel = &status.kernel;
    match kernel.revision {
        Some(revision) => line(
            "kernel",
            format!("revision {revision}, {} chains, {} rules, {} sets", kernel.chains, kernel.rules, kernel.sets),
        ),
        None => line("kernel", "nothing programmed yet".to_owned()),
    }
    if let Some(at) = &kernel.last_apply {
        line("last change", format!("{at}, {} us", kernel.last_apply_us));
    }
    if kernel.repairs > 0 {
        let author = kernel.last_repair_author.as_deref().unwrap_or("somebody");
        line("repairs", format!("{}, the last one after {author}", kernel.repairs));
    }
    if let Some(error) = &kernel.error {
        line("error", error.clone());
    }
    if let Some(what) = &kernel.stand_in {
        line("stale", format!("in place of the store: {what}"));
    }
    if let Some(error) = &kernel.state_error {
        line("saved state", error.clone());
    }
    for refused in &kernel.refused {
        let rule = refused.rule.as_ref().map(|rule| format!(" {rule}")).unwrap_or_default();
        let held = if refused.is_held { "its last good form stays in force" } else { "it counts as missing" };
        line("refused", format!("{}{rule} ({held}): {}", refused.object, refused.message));
    }
    line("failsafes", format!("in {}; out {}", list(&status.failsafes.inbound), list(&status.failsafes.outbound)));
    for foreign in &kernel.foreign {
        line("may drop", foreign.clone());
    }
    let rows: Vec<Vec<String>> = status
        .interfaces
        .iter()
        .map(|interface| {
            let endpoint =
                interface.endpoint.clone().or_else(|| interface.note.clone().map(|note| format!("({note})")));
            let running = if interface.is_running { "running" } else { "down" };
            vec![
                interface.name.clone(),
                running.to_owned(),
                endpoint.unwrap_or_else(|| "- not protected".to_owned()),
                interface.addresses.join(","),
            ]
        })
        .collect();
    out.push('\n');
    out.push_str(&table::render(&["INTERFACE", "LINK", "HOST ENDPOINT", "ADDRESSES"], &rows, is_bold));
    if !status.endpoints.is_empty() {
        out.push('\n');
        let rows: Vec<Vec<String>> = status
            .endpoints
            .iter()
            .map(|endpoint| {
                let interfaces: Vec<String> = endpoint.interfaces.iter().cloned().collect();
                vec![
                    endpoint.name.clone(),
                    endpoint.state.clone(),
                    endpoint.reason.clone().unwrap_or_else(|| interfaces.join(",")),
                    list(&endpoint.ingress),
                    list(&endpoint.egress),
                    list(&endpoint.profiles),
                ]
            })
            .collect();
        out.push_str(&table::render(
            &["HOST ENDPOINT", "STATE", "INTERFACES", "INGRESS", "EGRESS", "PROFILES"],
            &rows,
            is_bold,
        ));
    }
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}");
            lines.iter().for_each(|text| {
                let _ = writeln!(out, "  {text}");
            });
        }
    };
    section(
        "not enforced:",
        status
            .not_enforced
            .iter()
            .map(|entry| {
                let on = entry.endpoint.as_ref().map(|endpoint| format!(" on {endpoint}")).unwrap_or_default();
                format!("{}{on}: {}", entry.object, entry.reason)
            })
            .collect(),
    );
    section(
        "invalid in the store:",
        status
            .invalid
            .iter()
            .map(|entry| {
                let held = if entry.is_held { "its last valid form stays in force" } else { "it counts as missing" };
                format!("{} ({held}): {}", entry.object, entry.messages.join("; "))
            })
            .collect(),
    );
    section("warnings:", status.warnings.clone());
    out
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

pub(crate) fn version(global: &Global, args: &VersionArgs) -> Result<Code, Failure> {
    let client = env!("CARGO_PKG_VERSION");
    let mut value = json!({"clientVersion": client});
    if !args.client {
        let kv = store::open(global, Access::Read)?;
        let cluster = Resources::new(&*kv).get(&ResourceKey::global(Kind::ClusterInformation, "default"));
        let spec = cluster.as_ref().ok().and_then(|object| object.value.get("spec")).cloned().unwrap_or_default();
        let text = |name: &str| spec.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
        value["clusterVersion"] = json!(text("calicoVersion"));
        value["clusterType"] = json!(text("clusterType"));
    }
    match args.output.as_str() {
        "json" => println!("{value:#}"),
        "text" => {
            println!("Client Version:    {client}");
            for (name, label) in [("clusterVersion", "Cluster Version:   "), ("clusterType", "Cluster Type:      ")] {
                if let Some(text) = value.get(name).and_then(Value::as_str) {
                    println!("{label}{text}");
                }
            }
        }
        other => {
            return Err(Failure::new(Code::Usage, format!("unrecognized output format '{other}'"))
                .with_hint("use text or json"));
        }
    }
    Ok(Code::Success)
}
