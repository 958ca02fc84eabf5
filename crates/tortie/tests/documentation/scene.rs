//! The examples of a section as a scenario of the conformance kit: resources are applied, then packets are sent.
//!
//! Each section of a page (`##`) that has blocks of `probe` is a scene of its own. Its YAML blocks are applied one after
//! the other, and the probes under a block must find what they say, each time in the real network of the kit.

use std::process::Command;

use serde_json::{Value, json};
use tortie_testkit::sandbox::die_with_parent;

use super::markdown::{Block, Page, anchor, root};

/// A scenario of the kit.
pub(crate) struct Scene {
    /// Page and section.
    pub(crate) name: String,
    steps: Vec<Value>,
}

/// Who the documentation speaks of, and who it is in the kit.
const PLAYERS: [(&str, &str); 5] =
    [("client", "c0"), ("stranger", "c1"), ("inside", "d0"), ("host1", "host1"), ("host2", "host2")];

/// The port of `host1` that is translated, and the one of `inside` that it becomes.
const TRANSLATED: (u64, u64) = (30080, 8080);

/// The scenes of a page.
pub(crate) fn of_page(page: &Page) -> Vec<Scene> {
    let blocks: Vec<Block> = page.all_blocks().into_iter().filter(is_acted).collect();
    let sections = blocks.chunk_by(|one, next| one.section == next.section);
    let acted = sections.filter(|section| section.iter().any(|block| block.language == "probe"));
    acted.map(|section| scene(page, section)).collect()
}

fn is_acted(block: &Block) -> bool {
    block.language == "probe" || (block.language == "yaml" && block.mark.is_empty())
}

fn scene(page: &Page, blocks: &[Block]) -> Scene {
    let stem = page.path.file_stem().unwrap().to_str().unwrap();
    let steps = blocks.iter().map(|block| {
        let place = format!("{}:{}", page.name, block.line);
        if block.language == "yaml" {
            let resources = tortie_api::yaml::from_yaml(&block.text).unwrap_or_else(|e| panic!("{place}: {e:?}"));
            return json!({"step": "apply", "resources": resources});
        }
        let lines = block.text.lines().filter(|line| !line.trim().is_empty());
        let probes: Vec<Value> =
            lines.map(|line| probe(line).unwrap_or_else(|| panic!("{place}: `{line}` is no probe"))).collect();
        json!({"step": "probe", "rule": place, "why": block.section, "probes": probes})
    });
    Scene { name: format!("{stem}-{}", anchor(&blocks[0].section)), steps: steps.collect() }
}

/// `from A [to B] PROTOCOL PORT -> pass|drop [# why]`.
fn probe(line: &str) -> Option<Value> {
    let (line, _) = line.split_once('#').unwrap_or((line, ""));
    let (packet, verdict) = line.split_once("->")?;
    let words: Vec<&str> = packet.split_whitespace().collect();
    let (from, to, protocol, number) = match words[..] {
        ["from", from, protocol, number] => (from, "host1", protocol, number),
        ["from", from, "to", to, protocol, number] => (from, to, protocol, number),
        _ => return None,
    };
    let expect = match verdict.trim() {
        "pass" => "allow",
        "drop" => "deny",
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    let (protocol, family) = protocol.strip_suffix('6').map_or((protocol, 4), |protocol| (protocol, 6));
    let mut probe = json!({"from": player(from)?, "to": place(to)?, "proto": protocol, "ip": family, "expect": expect});
    match protocol {
        "tcp" | "udp" => probe["port"] = number.into(),
        "icmp" => probe["icmp_type"] = number.into(),
        _ => return None,
    }
    if number == TRANSLATED.0 {
        probe["listen_on"] = "d0".into();
        probe["listen_port"] = TRANSLATED.1.into();
    }
    Some(probe)
}

fn player(name: &str) -> Option<&'static str> {
    PLAYERS.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs)
}

/// `host1` is its `eth0`; `host1/eth1` is the other side.
fn place(name: &str) -> Option<String> {
    let (name, interface) = name.split_once('/').unwrap_or((name, "eth0"));
    Some(format!("{}/{interface}", player(name)?))
}

/// Hands the scenes to the kit, with this build of the program and an embedded store.
pub(crate) fn play(scenes: &[Scene]) {
    let folder = tempfile::tempdir().unwrap();
    let dnat = json!([{"host": "host1", "proto": "tcp", "daddr": "10.10.0.1", "dport": TRANSLATED.0,
                       "to": format!("10.20.0.10:{}", TRANSLATED.1)}]);
    for scene in scenes {
        let scenario = json!({
            "title": scene.name, "area": "docs", "steps": scene.steps,
            "topology": {"preset": "single", "add": ["host2", "d0"], "dnat": dnat},
        });
        std::fs::write(folder.path().join(format!("{}.json", scene.name)), scenario.to_string()).unwrap();
    }
    let mut kit = Command::new("python3");
    kit.arg(root().join("conformance/run.py")).args(["--adapter", "cli"]).arg(folder.path());
    kit.env("TORTIE_BIN", env!("CARGO_BIN_EXE_tortie"))
        .env("TORTIE_AGENT", "{bin} agent --node {host} --socket {dir}/{host}.sock")
        .env("TORTIE_APPLY", "{bin} apply -f -")
        .env("TORTIE_DELETE", "{bin} delete -f -")
        .env("TORTIE_SETTLED", "{bin} status --socket {dir}/{host}.sock --wait --timeout {timeout}s")
        .env("TORTIE_REFUSED", "3")
        .env("TORTIE_PATIENCE", "30")
        .env("TORTIE_ENV", "TORTIE_STORE=embedded:{dir}/store.db")
        .env_remove("TORTIE_STORE");
    let output = die_with_parent(&mut kit)
        .output()
        .unwrap_or_else(|error| panic!("the kit needs Debian package python3: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{} passed, 0 failed", scenes.len())), "{said}");
}
