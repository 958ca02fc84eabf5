//! The rig: an agent, changes of policy, kills, and packets without pause.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tortie_api::ResourceKey;
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Embedded, Resources};
use tortie_nftables::Kernel;

use crate::chain_policy;
use crate::gun::{Board, Gun};
use crate::host::{Agent, Host, PATIENCE};
use crate::lane::Lane;
use crate::range::Range;
use crate::report::Report;
use crate::variants::{Inside, Variant};
use crate::walk::Walk;
use crate::world::Objects;

/// With plans that break laws, one change in so many is one that is worst for them.
const WORST_EVERY: u32 = 10;
/// Changes between two lines about how far it is.
const PROGRESS_EVERY: u32 = 1_000;
/// The longest that the agent lives after the change before its death: an apply takes some milliseconds.
const LAST_MOMENT_US: u64 = 12_000;
/// Before the first change every lane is fired this long, and all must be as policy says.
pub(crate) const REHEARSAL: Duration = Duration::from_millis(300);

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) changes: u32,
    pub(crate) seed: u64,
    /// One change in so many is followed by the death of the agent.
    pub(crate) kill_every: u64,
    pub(crate) variant: Option<Variant>,
    /// Whether the first packet that is lost or leaked is enough; all changes are then those that are worst.
    pub(crate) stops_when_seen: bool,
}

impl Options {
    /// Whether change `number` is one of those that are worst for plans that break laws.
    fn wants_worst(&self, number: u32) -> bool {
        self.stops_when_seen || self.variant.is_some() && number.is_multiple_of(WORST_EVERY)
    }

    /// Whether there is nothing more to find out.
    pub(crate) fn is_done(&self, board: &Board) -> bool {
        let wrong = board.lost.load(Ordering::Relaxed) + board.leaked.load(Ordering::Relaxed);
        self.stops_when_seen && wrong > 0
    }
}

/// Who programs the kernel.
enum Programmer {
    /// The real program.
    Process(Option<Agent>),
    /// One that breaks laws.
    Inside(#[expect(dead_code, reason = "it runs as long as it is held")] Inside),
}

/// The store and the agent, while packets fly.
struct Rig<'a> {
    host: &'a Host,
    store: Embedded,
    written: Objects,
    programmer: Programmer,
}

/// Runs it all on `host`, which has no links yet but `lo`.
pub(crate) fn run(host: &Host, options: Options) -> Report {
    if options.variant == Some(Variant::ChainPolicy) {
        return chain_policy::run(host, options);
    }
    let lanes = Lane::all();
    let range = Range::build(host);
    let store = Embedded::open(&host.path("store.db"), Access::Write).unwrap();
    Resources::new(&store).ensure_initialised().unwrap();
    let programmer = match options.variant {
        None => Programmer::Process(None),
        Some(variant) => Programmer::Inside(Inside::start(host.folder.path(), variant.planner())),
    };
    let board = Arc::new(Board::default());
    let mut rig = Rig { host, store, written: Objects::new(), programmer };
    let mut walk = Walk::new(options.seed);
    rig.write(&walk.knobs.objects());
    rig.start();
    rig.settle();
    range.make_known(&lanes);
    let gun = Gun::new(lanes.clone(), range.open(&lanes), board.clone());
    let gun = std::thread::spawn(move || gun.fire());
    walk.knobs.is_opening = false;
    rig.write(&walk.knobs.objects());
    rig.settle();
    std::thread::sleep(REHEARSAL);

    let mut kernel = Kernel::open().unwrap();
    let (first, start) = (kernel.generation().unwrap(), Instant::now());
    let (mut kills, mut whats, mut log) = (0, BTreeMap::<&str, u64>::new(), Vec::new());
    for number in (1..=options.changes).take_while(|_| !options.is_done(&board)) {
        let step = if options.wants_worst(number) { walk.rules_and_sets() } else { walk.step() };
        *whats.entry(step.what).or_default() += 1;
        if step.is_barrier {
            rig.settle();
        }
        board.step.store(number, Ordering::Relaxed);
        log.push(step.what);
        rig.write(&walk.knobs.objects());
        if options.variant.is_none() && walk.random.below(options.kill_every) == 0 {
            std::thread::sleep(Duration::from_micros(walk.random.below(LAST_MOMENT_US)));
            rig.kill();
            kills += 1;
        }
        if walk.random.below(12) == 0 {
            rig.touch_links(walk.random.below(4));
        }
        // Half of the changes are waited for; the others come in bursts, and the agent takes several at once.
        if step.is_barrier || walk.random.below(2) == 0 {
            rig.settle();
        }
        if number.is_multiple_of(PROGRESS_EVERY) {
            let [lost, leaked] = [&board.lost, &board.leaked].map(|count| count.load(Ordering::Relaxed));
            eprintln!("{number} changes, {lost} lost, {leaked} leaked");
        }
    }
    rig.settle();
    let swaps = kernel.generation().unwrap().wrapping_sub(first);
    let took = start.elapsed();
    rig.check();
    board.stop.store(true, Ordering::Relaxed);
    let volley = gun.join().unwrap();
    Report { options, lanes, volley, swaps, kills, took, whats, log }
}

impl Rig<'_> {
    /// Writes what differs, as one revision.
    fn write(&mut self, wanted: &Objects) {
        let mut changes = Vec::new();
        let change = |mode, (kind, name): &(tortie_api::Kind, String), value: Map<String, Value>| Change {
            mode,
            key: ResourceKey::global(*kind, name),
            value,
            resource_version: None,
        };
        for key in self.written.keys().filter(|key| !wanted.contains_key(*key)) {
            changes.push(change(Mode::Delete, key, Map::new()));
        }
        for (key, value) in wanted.iter().filter(|(key, value)| self.written.get(*key) != Some(*value)) {
            changes.push(change(Mode::Apply, key, value.as_object().unwrap().clone()));
        }
        if !changes.is_empty() {
            Resources::new(&self.store).write(&changes).unwrap();
        }
        self.written.clone_from(wanted);
    }

    fn start(&mut self) {
        if let Programmer::Process(agent @ None) = &mut self.programmer {
            *agent = Some(self.host.start(&[]));
        }
    }

    /// Kills the agent and starts the next one.
    fn kill(&mut self) {
        if let Programmer::Process(agent) = &mut self.programmer
            && let Some(agent) = agent.take()
        {
            agent.kill();
        }
        self.start();
    }

    /// Waits until the agent says that everything written is in force.
    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask("/v1/status?wait=30") {
                Some(_) => return,
                // It may just be starting.
                None => assert!(Instant::now() < deadline, "the agent does not follow: {:?}", self.ask("/v1/status")),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the agent answers, if it does.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(self.host.path("agent.sock")).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).ok()).flatten()
    }

    /// Nothing was refused, held back or repaired: what was fired at is what was written.
    fn check(&self) {
        let status = self.ask("/v1/status").expect("the agent answers");
        let kernel = &status["kernel"];
        assert!(kernel["error"].is_null(), "{kernel}");
        assert!(kernel["refused"].as_array().is_some_and(Vec::is_empty), "{kernel}");
        assert_eq!(kernel["repairs"], 0, "{kernel}");
        assert!(status["invalid"].as_array().is_none_or(Vec::is_empty), "{}", status["invalid"]);
    }

    /// Makes, raises, lowers or removes a link that no lane uses.
    fn touch_links(&self, choice: u64) {
        self.host.sh(match choice {
            0 => "ip link del j0 2>/dev/null || ip link add j0 type veth peer name p0",
            1 => {
                "ip link show j1 >/dev/null 2>&1 || ip link add j1 type veth peer name p1
                 ip link set j1 up; ip addr replace 10.77.0.1/24 dev j1"
            }
            2 => "ip link set j1 down 2>/dev/null || true",
            _ => "ip link del j1 2>/dev/null || true; ip link del j2 2>/dev/null || ip link add j2 type veth peer name p2",
        });
    }
}
