//! What the calculation of a large cluster costs: `cargo bench -p tortie-calc --bench scale [-- SHAPE]`.
//!
//! The shapes are those of the benchmark of Calico's calculation graph. Each runs in a process of its own, for its memory;
//! objects are made in portions, and only the time that the engine takes is counted. Changes are measured in a cluster of
//! the shape's size and in one of a tenth of it: work that is proportional to a change costs the same in both.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]
#![allow(clippy::disallowed_methods, reason = "it measures time and memory, and starts itself for each shape")]

#[path = "../../tests/support/policies.rs"]
mod policies;
mod world;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tortie_api::ResourceKey;
use tortie_api::model::Resource;
use tortie_calc::policy::EndpointPolicy;
use tortie_calc::{Engine, Settings};
use world::{NODE, Shape, World};

/// Changes of each kind.
const CHANGES: usize = 400;
/// Says to a process of this bench which shape it is for.
const SHAPE: &str = "TORTIE_BENCH_SHAPE";

fn main() {
    if let Ok(text) = std::env::var(SHAPE) {
        return run(Shape::parse(&text).unwrap());
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    for (name, shape) in Shape::ALL.iter().filter(|(name, _)| named.is_empty() || named.iter().any(|n| n == name)) {
        for shape in [shape.tenth(), *shape] {
            println!("\n{name}: {shape}");
            let program = std::env::current_exe().unwrap();
            assert!(Command::new(program).env(SHAPE, shape.to_string()).status().unwrap().success(), "{shape}");
        }
    }
}

fn run(shape: Shape) {
    let world = World::new(shape);
    let before = resident_kib();
    let mut engine = Engine::new(Settings { node: NODE.to_owned(), ..Settings::default() });
    let mut feeding = Duration::ZERO;
    for portion in world.portions() {
        // Whoever made the objects forgets them when the clock stands.
        let portion: Vec<Arc<Resource>> = portion.map(Arc::new).collect();
        let updates: Vec<(ResourceKey, Arc<Resource>)> = portion.iter().map(|r| (r.key(), r.clone())).collect();
        let start = Instant::now();
        for (key, resource) in updates {
            engine.update(key, Some(resource));
        }
        feeding += start.elapsed();
    }
    let start = Instant::now();
    let delta = engine.flush();
    let flushing = start.elapsed();
    let held = resident_kib();
    let policy = engine.policy();
    assert_eq!(policy.endpoints.len(), shape.local, "each local endpoint governs its interface");
    assert_eq!(delta.sets_added.len(), policy.sets.len());
    let members: usize = policy.sets.values().map(|set| set.len()).sum();
    assert!(members >= shape.sets, "the sets are filled");
    let total = feeding + flushing;
    println!("  first full result  {:.0} ms ({:.0} updates, {:.0} flush)", ms(total), ms(feeding), ms(flushing));
    println!("  sets and members   {}, {members}", policy.sets.len());
    let mb = |kib: u64| kib as f64 / 1024.0;
    println!("  resident memory    {:.0} MB, before {:.0} MB, peak {:.0} MB", mb(held), mb(before), mb(peak_kib()));

    let mut host = Host { compiled: engine.policy().endpoints.clone(), engine };
    host.tell("label of an endpoint elsewhere", (0..CHANGES).map(|n| world.remote_label(n)));
    host.take(world.lone_policy());
    host.tell("a label that one policy reads", (0..CHANGES).map(|n| world.lone_label(n)));
    host.tell("label of a local endpoint", (0..CHANGES).map(|n| world.local_label(n)));
    host.tell("rule of a policy", (0..CHANGES).map(|n| world.policy_rule(n)));
    host.tell("one member of a set", (0..CHANGES).map(|n| world.set_member(n)));
}

/// The calculation, and what a compiler keeps of its output: what changes there is a copy.
struct Host {
    engine: Engine,
    compiled: BTreeMap<String, Arc<EndpointPolicy>>,
}

impl Host {
    /// Makes the changes one by one. The first of them make room for what they add.
    fn tell(&mut self, what: &str, changes: impl Iterator<Item = Resource>) {
        let mut effects = 0;
        let mut times: Vec<f64> = changes
            .map(|resource| {
                let (time, has_effect) = self.take(resource);
                effects += usize::from(has_effect);
                time.as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
        println!("  {what:31} p50 {:8.1} us, p99 {:8.1} us, {effects} of {CHANGES} had an effect", at(0.5), at(0.99));
    }

    fn take(&mut self, resource: Resource) -> (Duration, bool) {
        let (key, resource) = (resource.key(), Arc::new(resource));
        let start = Instant::now();
        self.engine.update(key, Some(resource));
        let delta = self.engine.flush();
        let time = start.elapsed();
        for name in &delta.endpoints_changed {
            self.compiled.insert(name.clone(), self.engine.policy().endpoints[name].clone());
        }
        (time, !delta.is_empty())
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn resident_kib() -> u64 {
    status("VmRSS:")
}

fn peak_kib() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
