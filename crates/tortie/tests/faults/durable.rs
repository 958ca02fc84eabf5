//! What survives loss of power once it was acknowledged: every name that was made is synced with the folder that holds it.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::host::{Host, allow_udp, endpoint, on_a_host};

/// Runs the program and gives its system calls, one for each line.
fn trace(host: &Host, arguments: &[&str]) -> Vec<String> {
    let file = host.path("trace");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-qq",
        "-s",
        "4096",
        "-e",
        "trace=mkdir,mkdirat,link,linkat,rename,renameat,renameat2,fsync",
    ]);
    command.arg("-o").arg(&file).arg(env!("CARGO_BIN_EXE_tortie")).args(arguments);
    let output = command.output().expect("strace is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    whole(&std::fs::read_to_string(&file).unwrap())
}

/// The calls of a trace. One that was interrupted by another thread's has two lines; it counts where it ended.
fn whole(text: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let thread = line.split(' ').next().unwrap();
        if let Some(begin) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, begin);
        } else if let Some((_, end)) = line.split_once(" resumed>") {
            calls.push(format!("{}{end}", begun[thread]));
        } else {
            calls.push(line.to_owned());
        }
    }
    calls
}

/// The name that a call has made, the last one in quotes.
fn made(line: &str) -> Option<&str> {
    let is_making = ["mkdir", "link", "rename"].iter().any(|call| line.contains(&format!(" {call}")));
    if !is_making || !line.trim_end().ends_with("= 0") {
        return None;
    }
    let quotes = line.matches('"').count();
    line.split('"').nth(quotes.checked_sub(1)?)
}

/// The names below `folder` that a power cut after the end of the program could take.
fn not_durable(lines: &[String], folder: &Path) -> Vec<String> {
    let mut open = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = made(line).filter(|name| Path::new(name).starts_with(folder)) else { continue };
        let parent = format!("<{}>", Path::new(name).parent().unwrap().display());
        if !lines[at..].iter().any(|line| line.contains("fsync(") && line.contains(&parent)) {
            open.push(name.to_owned());
        }
    }
    open
}

#[test]
fn what_is_acknowledged_is_synced_with_every_folder_around_it() {
    on_a_host(|host| {
        let folder = host.path("new");
        let yaml = host.path("objects.yaml");
        std::fs::write(&yaml, endpoint("h", "interfaceName: eth0") + &allow_udp("web", "8055")).unwrap();
        let (store, state) = (folder.join("store.db"), host.path("a/b/state"));
        let store = format!("embedded:{}", store.display());
        let lines = trace(host, &["apply", "-q", "-f", yaml.to_str().unwrap(), "--store", &store]);
        assert!(lines.iter().filter_map(|line| made(line)).any(|name| name.ends_with("/store.db")), "{lines:?}");
        assert_eq!(not_durable(&lines, host.folder.path()), [""; 0]);
        let socket = host.path("agent.sock");
        let lines = trace(
            host,
            &[
                "agent",
                "--once",
                "--node",
                "n1",
                "--store",
                &store,
                "--state-dir",
                state.to_str().unwrap(),
                "--socket",
                socket.to_str().unwrap(),
            ],
        );
        assert!(lines.iter().filter_map(|line| made(line)).any(|name| name.ends_with("/state.jsonl")), "{lines:?}");
        assert_eq!(not_durable(&lines, host.folder.path()), [""; 0]);
    });
}
