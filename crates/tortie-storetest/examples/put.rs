//! Writes objects into a store as another program would: unchecked, straight under their keys.
//!
//! `put STORE.db < objects.json`, or `put etcd=ADDRESS`, takes JSON objects one after the other, with `kind` and `metadata`; one whose `spec` is
//! `null` is deleted. Tests put workload endpoints and invalid objects into a store with it, as network plugins and other
//! versions do. The conformance kit calls it through `TORTIE_PUT`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Deserializer, Value};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::{Access, Embedded, Kv, keys};
use tortie_etcd::{Etcd, Settings};

fn main() -> ExitCode {
    let Some(place) = std::env::args().nth(1) else {
        eprintln!("usage: put STORE.db|etcd=ADDRESS < objects.json");
        return ExitCode::from(2);
    };
    match run(&place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(place: &str) -> Result<(), Box<dyn std::error::Error>> {
    let store: Box<dyn Kv> = match place.strip_prefix("etcd=") {
        Some(address) => Box::new(Etcd::connect(&Settings::at([address]))?),
        None => Box::new(Embedded::open(Path::new(place), Access::Write)?),
    };
    for object in Deserializer::from_reader(std::io::stdin()).into_iter::<Value>() {
        let Value::Object(mut object) = object? else { return Err("not an object".into()) };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let kind = text(object.get("kind"))
            .and_then(|kind| Kind::from_document(&kind))
            .ok_or("an object without a known kind")?;
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        let name = text(metadata.get("name")).ok_or("an object without a name")?;
        let key = keys::key(&ResourceKey { kind, namespace: text(metadata.get("namespace")), name });
        if object.get("spec").is_some_and(Value::is_null) {
            store.delete(&key)?;
            continue;
        }
        object.entry("apiVersion").or_insert_with(|| "projectcalico.org/v3".into());
        store.put(&key, &serde_json::to_vec(&object)?, None)?;
    }
    Ok(())
}
