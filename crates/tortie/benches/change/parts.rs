//! What is measured.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tortie_api::Kind;
use tortie_datastore::resources::Change;

use crate::agent::Agent;
use crate::table;
use crate::world::{Cost, World, deletion, deny, network_behind, policies, policy, rule, set, sets};

/// Changes that a row of a hundredth is made of.
const CHANGES: usize = 200;
/// Changes that take long.
const LONG_CHANGES: usize = 20;
/// Starts of an agent.
const STARTS: usize = 5;
/// Rules of a large policy.
const RULES: usize = 10_000;
/// Networks of a large set.
const SET: usize = 100_000;
/// Networks of the largest.
const LIST: usize = 1_000_000;
/// How long an agent is left alone.
const IDLE: Duration = Duration::from_secs(30);
/// How long changes come by the thousand.
const BURST: Duration = Duration::from_secs(10);

type Part = fn(bool);

/// The parts by name.
pub(crate) const ALL: [(&str, Part); 8] = [
    ("write", write),
    ("start-policies", start_policies),
    ("start-policy", start_policy),
    ("rule", one_rule),
    ("policy", one_policy),
    ("member", one_member),
    ("list", list),
    ("burst", burst),
];

pub(crate) fn names() -> String {
    ALL.map(|(name, _)| name).join(", ")
}

/// Carries out changes one after the other. On a machine with other work the processor time says more than the clock.
fn change_each(world: &World, agent: &Agent, what: &str, changes: impl Iterator<Item = Vec<Change>>) {
    let before = agent.cpu();
    let found: Vec<Cost> = changes.map(|change| world.change(agent, &change)).collect();
    costs(what, &found);
    let each = (agent.cpu() - before).as_secs_f64() * 1e3 / found.len() as f64;
    table::value(&format!("{what}: processor time of the agent for each"), &format!("{each:.1} ms"));
}

fn costs(what: &str, costs: &[Cost]) {
    let times = |of: fn(&Cost) -> Duration| costs.iter().map(of).collect::<Vec<_>>();
    table::times(&format!("{what}: from write to in force"), &times(|cost| cost.all));
    table::times(&format!("{what}: of that after the write"), &times(|cost| cost.after_write));
    table::times(&format!("{what}: in the kernel"), &times(|cost| cost.kernel));
}

/// A change of one rule among 1,000 policies.
fn write(on_etcd: bool) {
    let world = World::new(on_etcd);
    let revision = world.write(&policies(1_000));
    let agent = world.agent();
    agent.wait(revision);
    let change = |number: usize| vec![policy(&format!("p{number}"), number, &[rule(number, 1)])];
    let alone: Vec<Duration> = (0..CHANGES).map(|number| world.write_plain(&change(number))).collect();
    let store = if on_etcd { "etcd" } else { "embedded" };
    table::times(&format!("durable write alone, {store} (baseline)"), &alone);
    change_each(&world, &agent, &format!("one of 1,000 policies, {store}"), (0..CHANGES).map(change));
}

fn start_policies(_: bool) {
    let world = World::new(false);
    let revision = world.write(&policies(RULES));
    start(&world, "10,000 policies of one rule", revision);
    let agent = world.agent();
    agent.wait(revision);
    let changes = (0..CHANGES).map(|number| vec![policy(&format!("p{number}"), number, &[rule(number, 1)])]);
    change_each(&world, &agent, "one of 10,000 policies", changes);
}

fn start_policy(_: bool) {
    let world = World::new(false);
    let rules: Vec<_> = (0..RULES).map(|number| rule(number, 0)).collect();
    let revision = world.write(&[policy("p", 1, &rules)]);
    start(&world, "one policy of 10,000 rules", revision);
}

fn start(world: &World, what: &str, revision: u64) {
    let (mut times, mut cpu, mut memory) = (Vec::new(), Vec::new(), (0.0f64, 0.0f64));
    for _ in 0..STARTS {
        std::process::Command::new("nft").args(["delete", "table", "inet", "tortie"]).output().unwrap();
        let agent = world.agent();
        let programmed = agent.wait(revision);
        times.push(programmed.in_force - agent.started);
        cpu.push(agent.cpu());
        sleep(Duration::from_secs(2));
        let (now, highest) = agent.memory();
        memory = (memory.0.max(now), memory.1.max(highest));
    }
    table::times(&format!("start with {what}: until in force"), &times);
    table::times(&format!("start with {what}: processor time of the agent"), &cpu);
    table::value(
        &format!("start with {what}: resident memory, highest"),
        &format!("{:.1}, {:.1} MB", memory.0, memory.1),
    );
}

/// One rule of a policy of 10,000.
fn one_rule(_: bool) {
    let world = World::new(false);
    let rules: Vec<_> = (0..RULES).map(|number| rule(number, 0)).collect();
    let revision = world.write(&[policy("p", 1, &rules)]);
    let agent = world.agent();
    agent.wait(revision);
    let change = |number: usize| {
        let mut changed = rules.clone();
        changed[number * 400] = rule(number * 400, 1);
        vec![policy("p", 1, &changed)]
    };
    let alone: Vec<Duration> = (0..LONG_CHANGES).map(|number| world.write_plain(&change(number))).collect();
    table::times("durable write of a policy of 10,000 rules alone (baseline)", &alone);
    change_each(&world, &agent, "one rule of a policy of 10,000", (0..LONG_CHANGES).map(change));
}

/// All rules of a policy of 10,000.
fn one_policy(_: bool) {
    let world = World::new(false);
    let of_form = |form: usize| -> Vec<_> { (0..RULES).map(|number| rule(number, form)).collect() };
    let revision = world.write(&[policy("p", 1, &of_form(0))]);
    let agent = world.agent();
    agent.wait(revision);
    let changes = (1..=LONG_CHANGES).map(|number| vec![policy("p", 1, &of_form(number % 2))]);
    change_each(&world, &agent, "all rules of a policy of 10,000", changes);
}

/// A network that joins 100,000 others, and leaves them.
fn one_member(_: bool) {
    let world = World::new(false);
    world.write(&sets("large", SET, 1_000));
    let revision = world.write(&[deny("large")]);
    let agent = world.agent();
    agent.wait(revision);
    // Between two that are there, and away again.
    let changes = (0..CHANGES).map(|number| match number % 2 {
        0 => vec![set("one", "large", &[network_behind(number * 400)])],
        _ => vec![deletion(Kind::GlobalNetworkSet, "one")],
    });
    change_each(&world, &agent, "one network joins or leaves 100,000", changes);
}

/// A list of a million networks: with the agent there, at its start, and after it is gone.
fn list(_: bool) {
    let world = World::new(false);
    let revision = world.write(&policies(100));
    let agent = world.agent();
    agent.wait(revision);
    let (before, _) = agent.memory();
    world.write(&sets("large", LIST, 1_000));
    sleep(Duration::from_secs(5));
    let loaded: Cost = world.change(&agent, &[deny("large")]);
    costs("policy with 1,000,000 networks, which are stored", &[loaded]);
    sleep(Duration::from_secs(2));
    let (with, _) = agent.memory();
    world.change(&agent, &[deletion(Kind::GlobalNetworkPolicy, "deny-large")]);
    let names: Vec<_> = (0..LIST / 1_000).map(|n| deletion(Kind::GlobalNetworkSet, &format!("large-{n}"))).collect();
    world.write(&names);
    world.change(&agent, &[policy("p0", 0, &[rule(0, 1)])]);
    sleep(Duration::from_secs(40));
    let (after, highest) = agent.memory();
    table::value(
        "resident memory before, with 1,000,000 networks, after, highest",
        &format!("{before:.1}, {with:.1}, {after:.1}, {highest:.1} MB"),
    );
    drop(agent);
    world.write(&sets("large", LIST, 1_000));
    let revision = world.write(&[deny("large")]);
    start(&world, "1,000,000 networks", revision);
}

/// Nothing to do, then 1,000 changes a second, then nothing again.
fn burst(_: bool) {
    let world = World::new(false);
    let revision = world.write(&policies(1_000));
    let agent = world.agent();
    agent.wait(revision);
    sleep(Duration::from_secs(3));
    let idle = || {
        let before = agent.cpu();
        sleep(IDLE);
        (agent.cpu() - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0
    };
    table::value("idle with 1,000 policies, of a core", &format!("{:.3} %", idle()));
    let (before, _) = agent.memory();
    agent.times_programmed();
    let start = Instant::now();
    let (mut written, mut revision) = (0, 0);
    // Ten policies are ten changes, however they are written.
    while start.elapsed() < BURST {
        let some: Vec<_> = (written..written + 10)
            .map(|number| {
                policy(&format!("p{}", number % 1_000), number % 1_000, &[rule(number % 1_000, number / 1_000 % 2)])
            })
            .collect();
        revision = world.write(&some);
        written += 10;
        sleep((start + Duration::from_millis(written as u64)).saturating_duration_since(Instant::now()));
    }
    let wrote = start.elapsed();
    let last = Instant::now();
    let programmed = agent.times_programmed();
    let behind = agent.wait(revision).in_force.saturating_duration_since(last);
    let (_, highest) = agent.memory();
    table::value("changes a second, for 10 s", &format!("{:.0}", written as f64 / wrote.as_secs_f64()));
    table::value("of these changes, times the kernel was programmed", &programmed.to_string());
    table::times("from the last of them until it is in force", &[behind]);
    sleep(Duration::from_secs(40));
    let (after, _) = agent.memory();
    table::value("resident memory before, highest, after", &format!("{before:.1}, {highest:.1}, {after:.1} MB"));
    table::value("idle again, of a core", &format!("{:.3} %", idle()));
}
