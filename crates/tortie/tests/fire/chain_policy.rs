//! What law K-3 forbids, without an agent: a base chain whose policy is drop is deleted and made anew in one transaction.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tortie_nftables::Kernel;

use crate::gun::{Board, Gun};
use crate::host::Host;
use crate::lane::{Flow, Lane, Shape, Stage};
use crate::range::Range;
use crate::report::Report;
use crate::rig::{Options, REHEARSAL};

/// What each change is.
const WHAT: &str = "the base chain is made anew";

/// Elements of a set that is made anew with the chain, as the sets of a whole ruleset would be.
const ELEMENTS: u32 = 2_000;

/// A ruleset with one chain and one set; `delete` is empty the first time.
fn script(delete: &str, port: u16) -> String {
    let elements = (0..ELEMENTS).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect::<Vec<_>>().join(", ");
    format!(
        "add table inet fire\n{delete}\n\
         add set inet fire members {{ type ipv4_addr; }}\nadd element inet fire members {{ {elements} }}\n\
         add chain inet fire input {{ type filter hook input priority 0; policy drop; }}\n\
         add rule inet fire input udp dport {port} accept\nadd rule inet fire input ip saddr @members accept\n"
    )
}

/// Runs it on `host`.
pub(crate) fn run(host: &Host, options: Options) -> Report {
    let is_plain = |lane: &Lane| (lane.stage, lane.shape, lane.flow) == (Stage::LocalIn, Shape::Ports, Flow::Udp);
    let lanes: Vec<Lane> = Lane::all().into_iter().filter(is_plain).collect();
    let port = lanes.iter().find(|lane| lane.must_pass).expect("one of them must pass").port();
    let range = Range::build(host);
    nft(&script("", port));
    let board = Arc::new(Board::default());
    let gun = Gun::new(lanes.clone(), range.open(&lanes), board.clone());
    let gun = std::thread::spawn(move || gun.fire());
    std::thread::sleep(REHEARSAL);
    let mut kernel = Kernel::open().unwrap();
    let (first, start) = (kernel.generation().unwrap(), Instant::now());
    let mut log = Vec::new();
    for number in (1..=options.changes).take_while(|_| !options.is_done(&board)) {
        log.push(WHAT);
        board.step.store(number, Ordering::Relaxed);
        nft(&script("delete chain inet fire input\ndelete set inet fire members", port));
    }
    let swaps = kernel.generation().unwrap().wrapping_sub(first);
    let took = start.elapsed();
    board.stop.store(true, Ordering::Relaxed);
    let volley = gun.join().unwrap();
    let whats = BTreeMap::from([(WHAT, log.len() as u64)]);
    Report { options, lanes, volley, swaps, kills: 0, took, whats, log }
}

fn nft(script: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
}
