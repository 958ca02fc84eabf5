//! Rows of the report, as Markdown and for other programs.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

/// The head of all rows.
pub(crate) const HEAD: &str = "| What | p50 | p99 | Samples |\n|---|---|---|---|";

static ROWS: Mutex<Vec<Value>> = Mutex::new(Vec::new());

/// All rows so far: quantiles in milliseconds, or a value as text.
pub(crate) fn rows() -> Vec<Value> {
    ROWS.lock().unwrap().clone()
}

/// One row of durations.
pub(crate) fn times(what: &str, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
    let [p25, p50, p75, p99] = [0.25, 0.5, 0.75, 0.99].map(at);
    if sorted.len() == 1 {
        println!("| {what} | {} | | 1 |", ms(p50));
    } else {
        println!("| {what} | {} | {} | {} |", ms(p50), ms(p99), sorted.len());
    }
    let row = json!({"what": what, "p25": p25, "p50": p50, "p75": p75, "p99": p99, "samples": sorted.len()});
    ROWS.lock().unwrap().push(row);
}

/// One row with something else.
pub(crate) fn value(what: &str, value: &str) {
    println!("| {what} | {value} | | |");
    ROWS.lock().unwrap().push(json!({"what": what, "value": value}));
}

fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
