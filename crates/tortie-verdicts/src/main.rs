//! `tortie-verdicts`: three roads to each verdict, over random worlds. `cargo xtask verdicts` builds and runs it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;
use tortie_testkit::sandbox::{die_with_parent, in_network_namespace};
use tortie_verdicts::order::walk;
use tortie_verdicts::search::{Found, Search, Tally, with_kernel, without_kernel};

/// Draws random worlds and packets, and compares reference, compiled ruleset and, with --kernel, the kernel.
#[derive(Parser)]
struct Arguments {
    /// The same seed always draws the same worlds and packets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many packets to judge.
    #[arg(long, default_value_t = 2_000_000)]
    count: u64,
    /// Send the packets through the kernel too, in network namespaces of their own (root).
    #[arg(long)]
    kernel: bool,
    /// Walk so many random updates instead, and compare every state with one from scratch; with --kernel in the kernel.
    #[arg(long, value_name = "STEPS")]
    order: Option<usize>,
    /// The number of the first world.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// One world by the seed that a message named, instead of those of --seed.
    #[arg(long, value_name = "SEED")]
    world: Option<u64>,
    /// Threads, or processes with --kernel [default: one per core].
    #[arg(long)]
    jobs: Option<usize>,
    /// Where to write what disagrees.
    #[arg(long, value_name = "FOLDER")]
    cases: Option<PathBuf>,
    /// Tell how often each rule, pass and reason was exercised, and fail when one never was.
    #[arg(long)]
    coverage: bool,
    /// One process of --kernel: prints its tally as JSON.
    #[arg(long, hide = true)]
    part: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let search =
        Search { seed: arguments.seed, first: arguments.first, packets: arguments.count, only: arguments.world };
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1);
    if arguments.part {
        return part(search, arguments.cases.as_deref());
    }
    let start = Instant::now();
    if let Some(steps) = arguments.order {
        return order(arguments.seed, steps, arguments.kernel, start);
    }
    let (tally, is_good) = if arguments.kernel {
        in_processes(search, jobs, arguments.cases.as_deref())
    } else {
        let (tally, found) = without_kernel(search, jobs);
        tell(&found, arguments.cases.as_deref());
        (tally, found.is_empty())
    };
    let seconds = start.elapsed().as_secs_f64();
    if arguments.coverage {
        coverage(&tally);
    }
    let missing = tally.missing();
    println!(
        "{} packets in {} worlds, seed {}, {}: {} in {seconds:.1} s on {jobs} cores, {:.0} packets/s",
        tally.packets,
        tally.worlds,
        arguments.seed,
        if arguments.kernel { "with the kernel" } else { "without the kernel" },
        if is_good { "0 differences" } else { "ROADS PART" },
        tally.packets as f64 / seconds,
    );
    if arguments.coverage && !missing.is_empty() {
        eprintln!("error: never exercised: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A walk of random updates.
fn order(seed: u64, steps: usize, in_kernel: bool, start: Instant) -> ExitCode {
    let (sender, receiver) = std::sync::mpsc::channel();
    let work = move || sender.send(walk(seed, steps, in_kernel)).expect("the receiver waits");
    if in_kernel {
        in_network_namespace(work)
    } else {
        work()
    }
    match receiver.recv().expect("the sender has sent") {
        Ok(walked) => {
            println!("{walked:?}, seed {seed}: 0 differences in {:.1} s", start.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("error: the order of updates matters: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Shows what was found, and writes it where it is to be kept.
fn tell(found: &[Found], folder: Option<&Path>) {
    for one in found {
        eprintln!("error: the roads part in world {}\n{}", one.world_seed, one.text);
        let Some(case) = &one.case else { continue };
        let text = case.to_text();
        eprintln!("\n{text}");
        if let Some(folder) = folder {
            let file = folder.join(format!("world-{}.yaml", one.world_seed));
            match fs::create_dir_all(folder).and_then(|()| fs::write(&file, text)) {
                Ok(()) => eprintln!("written to {}", file.display()),
                Err(error) => eprintln!("error: cannot write {}: {error}", file.display()),
            }
        }
    }
}

/// One process of several, in a network namespace of its own.
fn part(search: Search, folder: Option<&Path>) -> ExitCode {
    let (sender, receiver) = std::sync::mpsc::channel();
    in_network_namespace(move || sender.send(with_kernel(search)).expect("the receiver waits"));
    let (tally, found) = receiver.recv().expect("the sender has sent");
    tell(&found, folder);
    let text = serde_json::to_string(&tally).expect("texts and numbers are JSON");
    let is_written = writeln!(std::io::stdout(), "{text}").is_ok();
    if found.is_empty() && is_written { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The kernel's road in as many processes as there are jobs, each with its share of the worlds.
fn in_processes(search: Search, jobs: usize, folder: Option<&Path>) -> (Tally, bool) {
    let program = std::env::current_exe().expect("a running program has a file");
    let share = search.packets.div_ceil(jobs as u64);
    let children: Vec<_> = (0..jobs as u64)
        .map(|job| {
            let mut command = Command::new(&program);
            command.args(["--part", "--seed", &search.seed.to_string(), "--count", &share.to_string()]);
            // Worlds have numbers: shares far from each other never overlap.
            command.args(["--first", &(search.first + (job << 40)).to_string()]);
            if let Some(world) = search.only {
                command.args(["--world", &world.to_string()]);
            }
            if let Some(folder) = folder {
                command.arg("--cases").arg(folder);
            }
            die_with_parent(&mut command).stdout(Stdio::piped()).spawn().expect("the program starts again")
        })
        .collect();
    let mut tally = Tally::default();
    let mut is_good = true;
    for child in children {
        let output = child.wait_with_output().expect("it can be waited for");
        is_good &= output.status.success();
        match serde_json::from_slice(&output.stdout) {
            Ok(part) => tally.add(part),
            Err(error) => {
                eprintln!("error: a part of the search ended without a tally: {error}");
                is_good = false;
            }
        }
    }
    (tally, is_good)
}

fn coverage(tally: &Tally) {
    println!("{:>10}  verdict by stage and reason", "packets");
    for (what, count) in &tally.reasons {
        println!("{count:>10}  {what}");
    }
    println!("{:>10}  rule of the specification or pass of the compiler", "met by");
    for (what, count) in &tally.features {
        println!("{count:>10}  {what}");
    }
}
