//! Foreign hands flush our table again and again, under traffic (E-720, E-721).

use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tortie_nftables::{Event, Events, Kernel};

use crate::host::{Host, PATIENCE, allow_udp, endpoint, percentile, policy};
use crate::stream;

/// What was found.
pub(crate) struct Report {
    /// From each flush to the moment at which everything was there again.
    pub(crate) times: Vec<Duration>,
    /// Packets that must not pass: sent, and come through while there were no rules.
    pub(crate) denied: u64,
    pub(crate) slipped: u64,
    /// Packets that must pass and did not.
    pub(crate) lost: u64,
    /// Repairs that the agent counted.
    pub(crate) repairs: u64,
}

impl Report {
    pub(crate) fn print(&self) {
        let mut times = self.times.clone();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{} flushes, all repaired: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms; the agent counted {} repairs",
            times.len(),
            ms(percentile(&mut times, 0.5)),
            ms(percentile(&mut times, 0.99)),
            ms(percentile(&mut times, 1.0)),
            self.repairs
        );
        println!(
            "of {} packets that must not pass {} slipped; {} that must pass were lost",
            self.denied, self.slipped, self.lost
        );
    }
}

/// Removes the table `count` times, each time as soon as the agent has repaired it.
///
/// The time of a repair is that between two events of the kernel: the flush, and the transaction after which everything
/// is there again.
pub(crate) fn run(host: &Host, count: usize, policies: usize) -> Report {
    let neighbour = host.neighbour();
    host.store(&endpoint("h", "interfaceName: eth0"));
    host.store(
        &(0..policies).map(|n| allow_udp(&format!("p{n}"), &format!("{}, 8055", 10_000 + n))).collect::<String>(),
    );
    // Answers pass by policy, not as part of a known flow: the kernel tracks no flows while no rule asks for them, so a
    // flow that began between a flush and its repair is not known afterwards.
    host.store(&policy("answers", "{selector: \"role == 'web'\", types: [Egress], egress: [{action: Allow}]}"));
    let _agent = host.agent();
    let counts = stream::start(&neighbour);
    stream::some_more(host, &counts);

    let mut foreign = Kernel::open().unwrap();
    let events = listen();
    let mut times = Vec::with_capacity(count);
    // The first repair gives the numbers of instances that every later one gives.
    let mut whole = None;
    for number in 0..=count {
        foreign.delete_table().unwrap();
        let (mut start, mut end) = (None, None);
        while end.is_none() {
            let (at, event) =
                events.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("flush {number} is not repaired"));
            if event.port == foreign.port() {
                start = Some(at);
            } else if event.touches_ours && start.is_some() {
                let ruleset = foreign.read().unwrap().ruleset;
                match &whole {
                    None => {
                        host.settle_after_repair();
                        whole = Some(foreign.read().unwrap().ruleset);
                        end = Some(at);
                    }
                    Some(whole) if *whole == ruleset => end = Some(at),
                    Some(_) => {}
                }
            }
        }
        if number > 0 {
            times.extend(start.zip(end).map(|(start, end)| end - start));
        }
        // Some packets meet the rules before the next flush.
        let before = counts.get();
        host.wait("traffic", || counts.get()[2] > before[2]);
    }
    stream::some_more(host, &counts);
    counts.stop();
    let [_, lost, denied, slipped] = counts.get();
    let repairs = host.status()["kernel"]["repairs"].as_u64().unwrap();
    Report { times, denied, slipped, lost, repairs }
}

/// Changes of rulesets, each with the time at which the kernel told of it.
fn listen() -> Receiver<(Instant, Event)> {
    let (sender, receiver) = channel();
    let mut events = Events::open().unwrap();
    std::thread::spawn(move || {
        loop {
            let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::NONE).unwrap();
            for event in events.drain().unwrap() {
                if sender.send((Instant::now(), event)).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

impl Host {
    /// Waits until two readings of the rules are the same and not empty.
    fn settle_after_repair(&self) {
        self.settle();
        self.wait("a repair", || {
            let before = self.lines();
            !before.is_empty() && before.iter().any(|line| line.contains("\"eth0\"")) && before == self.lines()
        });
    }
}
