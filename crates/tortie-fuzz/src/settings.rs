//! Settings of files, of the environment and of stored configurations.

use serde_json::Value;
use tortie_agent::settings_of_environment;
use tortie_api::model::{FelixConfiguration, Labels, Resource};
use tortie_api::{Kind, read_stored};
use tortie_calc::settings::{Local, Remembered, Resolved, Sources, check, resolve, settings_of_file};

/// A settings file, variables and a stored configuration, divided by zero bytes: settings in force stay what they are
/// when they are calculated from themselves.
pub fn settings(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0).map(String::from_utf8_lossy);
    let mut part = || parts.next().unwrap_or_default();
    let (file, environment, stored) = (part(), part(), part());
    let file = settings_of_file(&file);
    let environment = settings_of_environment(
        environment.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    let file = file.map(|file| file.settings).unwrap_or_default();
    let stored = configuration(&stored);
    let stored: Vec<&FelixConfiguration> = stored.iter().collect();
    let first = resolved(&environment, &file, &stored, &Remembered::new());
    assert_same(&first, &resolved(&environment, &file, &stored, &Remembered::new()));
    // With its own memory nothing changes (D-12).
    assert_same(&first, &resolved(&environment, &file, &stored, &first.remembered));
    // What the store said counts on alone, unless environment or file said something else.
    let alone = resolved(&Local::new(), &Local::new(), &[], &first.remembered);
    let from_store = resolved(&Local::new(), &Local::new(), &stored, &Remembered::new());
    assert_eq!(alone.remembered.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "nothing is stored any more");
    assert_eq!(from_store.remembered, first.remembered, "the memory is the store's alone");
    for name in ["eth0", "cali12345678", "tap0", "", "veth\u{fc}"] {
        first.settings.is_workload_interface(name);
    }
    stored.iter().for_each(|configuration| assert_eq!(check(configuration), check(configuration)));
}

fn resolved(environment: &Local, file: &Local, stored: &[&FelixConfiguration], remembered: &Remembered) -> Resolved {
    let node_labels = Labels::from([("role".to_owned(), "web".to_owned())]);
    resolve(&Sources { node: "n1", node_labels: &node_labels, environment, file, stored, remembered })
}

fn assert_same(a: &Resolved, b: &Resolved) {
    assert_eq!(a.settings, b.settings);
    assert_eq!(a.in_force, b.in_force);
    assert_eq!(a.remembered, b.remembered);
}

fn configuration(text: &str) -> Option<FelixConfiguration> {
    let value: Value = serde_json::from_str(text).ok()?;
    match read_stored(Kind::FelixConfiguration, &value).ok()?.resource {
        Resource::FelixConfiguration(configuration) => Some(configuration),
        _ => None,
    }
}
