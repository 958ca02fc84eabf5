//! The agent's saved state, its local API, and its answers.

use std::fmt::Debug;

use serde_json::Value;
use tortie_agent::status::{Counters, Failure, Sets};
use tortie_agent::{AgentReport, Status, fuzzing};

/// A saved state: with a fitting first line when it begins with `S`, else as it is. What is read is written as the same.
pub fn saved_state(data: &[u8]) {
    let sealed;
    let bytes = match data.split_first() {
        Some((b'S', body)) => {
            sealed = fuzzing::seal(body);
            &sealed
        }
        _ => data,
    };
    let Some(written) = fuzzing::saved_state(bytes) else { return };
    assert_eq!(fuzzing::saved_state(&written).as_ref(), Some(&written));
}

/// A request of the local API: method, target, then header lines, then a body behind an empty line.
pub fn local_api(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap_or_default().split_once(' ').unwrap_or(("GET", "/"));
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let Some((code, body)) = fuzzing::local_api(method, target, &headers, body) else { return };
    assert!((200..600).contains(&code), "{code}");
    if code == 200 && method == "GET" {
        let _: Value = serde_json::from_slice(&body).expect("an answer is JSON");
    }
}

/// What `tortie status` and `tortie wait` read from an agent: whatever is understood is printed as the same.
pub fn answer(data: &[u8]) {
    round_trip::<Status>(data);
    round_trip::<Sets>(data);
    round_trip::<Counters>(data);
    round_trip::<Failure>(data);
    round_trip::<AgentReport>(data);
}

fn round_trip<T: Debug + PartialEq + serde::Serialize + serde::de::DeserializeOwned>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_vec(&read).unwrap();
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, read);
}
