//! Rows of the report, as Markdown.

use std::time::Duration;

/// The head of all rows.
pub(crate) const HEAD: &str = "| What | p50 | p99 | Samples |\n|---|---|---|---|";

/// One row of durations.
pub(crate) fn times(what: &str, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |part: f64| ms(sorted[((sorted.len() - 1) as f64 * part).round() as usize]);
    if sorted.len() == 1 {
        println!("| {what} | {} | | 1 |", at(0.5));
    } else {
        println!("| {what} | {} | {} | {} |", at(0.5), at(0.99), sorted.len());
    }
}

/// One row with something else.
pub(crate) fn value(what: &str, value: &str) {
    println!("| {what} | {value} | | |");
}

fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
