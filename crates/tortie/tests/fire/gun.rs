//! Sends the packets of all lanes in turn, without pause, and counts what arrives.
//!
//! One thread does both: on a veth link a packet that is sent has been judged and delivered when the call returns, or
//! soon after. So no queue grows, nothing but a verdict loses a packet, and each lane comes round every few hundred
//! microseconds.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6, recv, send, sendto};

use crate::frame::{self, Tag};
use crate::lane::{Flow, Lane};

/// How long a packet may be on its way. Delivery takes microseconds; only a machine without a free processor needs more.
const GRACE: Duration = Duration::from_secs(3);
/// Packets of a lane that may be on their way at once.
const WINDOW: u64 = 8;
/// How long a full window stops its lane: where packets are lost they never come.
const WINDOW_WAIT: Duration = Duration::from_millis(20);
/// Packets between two looks at what has arrived.
const BURST: usize = 16;
/// Losses and leaks that are kept one by one.
const KEPT: usize = 1000;

/// The sockets of the rig, each in the namespace in which it was made.
pub(crate) struct Sockets {
    /// Frames into the host's `eth0`.
    pub(crate) wire: OwnedFd,
    /// Packets of the host itself.
    pub(crate) local: [OwnedFd; 2],
    /// Whatever arrives, of either family and protocol, in all three namespaces.
    pub(crate) arrivals: Vec<OwnedFd>,
}

/// What the gun and whoever changes policy tell each other.
#[derive(Default)]
pub(crate) struct Board {
    /// The change that was written last.
    pub(crate) step: AtomicU32,
    pub(crate) stop: AtomicBool,
    pub(crate) lost: AtomicU64,
    pub(crate) leaked: AtomicU64,
}

/// What became of a lane's packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    pub(crate) lost: u64,
}

/// A packet that was lost, or one that leaked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrong {
    pub(crate) lane: usize,
    /// The change that was written last when it was sent.
    pub(crate) step: u32,
    pub(crate) number: u64,
}

/// What the gun has seen.
pub(crate) struct Volley {
    pub(crate) tallies: Vec<Tally>,
    pub(crate) wrong: Vec<Wrong>,
    /// How long it fired.
    pub(crate) took: Duration,
    /// Packets that came twice, or that nobody sent: always 0 in a rig that counts rightly.
    pub(crate) strange: u64,
}

/// One lane's packets on their way.
#[derive(Default)]
struct Flight {
    next: u64,
    /// Numbers from `next - pending.len()` on; `None` once arrived.
    pending: VecDeque<Option<(Instant, u32)>>,
    /// One more than the highest number that arrived.
    seen: u64,
    waits_since: Option<Instant>,
}

pub(crate) struct Gun {
    lanes: Vec<Lane>,
    sockets: Sockets,
    board: Arc<Board>,
    flights: Vec<Flight>,
    volley: Volley,
}

impl Gun {
    pub(crate) fn new(lanes: Vec<Lane>, sockets: Sockets, board: Arc<Board>) -> Gun {
        let count = lanes.len();
        let volley =
            Volley { tallies: vec![Tally::default(); count], wrong: Vec::new(), took: Duration::ZERO, strange: 0 };
        Gun { lanes, sockets, board, flights: (0..count).map(|_| Flight::default()).collect(), volley }
    }

    /// Fires until the board says stop, and waits for the last packets.
    pub(crate) fn fire(mut self) -> Volley {
        let start = Instant::now();
        while !self.board.stop.load(Ordering::Relaxed) {
            for lane in 0..self.lanes.len() {
                self.shoot(lane);
                if lane % BURST == BURST - 1 {
                    self.look();
                }
            }
            self.look();
            self.write_off(Instant::now());
        }
        self.volley.took = start.elapsed();
        let end = Instant::now() + GRACE;
        while Instant::now() < end && self.flights.iter().any(|flight| !flight.pending.is_empty()) {
            self.look();
            self.write_off(Instant::now());
            std::thread::yield_now();
        }
        self.look();
        self.write_off(end + GRACE);
        self.volley
    }

    fn shoot(&mut self, number: usize) {
        let lane = self.lanes[number];
        let flight = &mut self.flights[number];
        let now = Instant::now();
        if lane.must_pass && flight.next - flight.seen >= WINDOW {
            let since = *flight.waits_since.get_or_insert(now);
            if now - since < WINDOW_WAIT {
                return;
            }
            flight.seen = flight.next;
        }
        flight.waits_since = None;
        let step = self.board.step.load(Ordering::Relaxed);
        let lane_number = u16::try_from(number).expect("not so many lanes");
        let tag = Tag { lane: lane_number, step, number: flight.next };
        match deliver(&self.sockets, &lane, tag) {
            // The host was told at once that its own packet was dropped.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(Errno::ENOBUFS | Errno::EAGAIN) => return,
            Err(errno) => panic!("lane {}: {errno}", lane.name()),
        }
        flight.next += 1;
        if lane.must_pass {
            flight.pending.push_back(Some((now, step)));
        }
        self.volley.tallies[number].sent += 1;
    }

    /// Takes all that has arrived.
    fn look(&mut self) {
        let mut buffer = [0; 256];
        for arrivals in 0..self.sockets.arrivals.len() {
            loop {
                match recv(self.sockets.arrivals[arrivals].as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                    Ok(len) => {
                        if let Some(tag) = Tag::of(&buffer[..len]) {
                            self.arrived(tag);
                        }
                    }
                    Err(Errno::EAGAIN) => break,
                    Err(errno) => panic!("cannot receive: {errno}"),
                }
            }
        }
    }

    fn arrived(&mut self, tag: Tag) {
        let lane = usize::from(tag.lane);
        self.volley.tallies[lane].arrived += 1;
        if !self.lanes[lane].must_pass {
            self.board.leaked.fetch_add(1, Ordering::Relaxed);
            self.keep(Wrong { lane, step: tag.step, number: tag.number });
            return;
        }
        let flight = &mut self.flights[lane];
        let first = flight.next - flight.pending.len() as u64;
        let slot = tag.number.checked_sub(first).and_then(|at| flight.pending.get_mut(usize::try_from(at).ok()?));
        if slot.and_then(Option::take).is_none() {
            self.volley.strange += 1;
        }
        flight.seen = flight.seen.max(tag.number + 1);
        while let Some(None) = flight.pending.front() {
            flight.pending.pop_front();
        }
    }

    /// Counts as lost what is on its way for too long at `now`.
    fn write_off(&mut self, now: Instant) {
        for lane in 0..self.flights.len() {
            while let Some(entry) = self.flights[lane].pending.front().copied() {
                let flight = &mut self.flights[lane];
                if let Some((since, step)) = entry {
                    if now.saturating_duration_since(since) < GRACE {
                        break;
                    }
                    let number = flight.next - flight.pending.len() as u64;
                    self.volley.tallies[lane].lost += 1;
                    self.board.lost.fetch_add(1, Ordering::Relaxed);
                    self.keep(Wrong { lane, step, number });
                }
                self.flights[lane].pending.pop_front();
            }
        }
    }

    fn keep(&mut self, wrong: Wrong) {
        if self.volley.wrong.len() < KEPT {
            self.volley.wrong.push(wrong);
        }
    }
}

fn deliver(sockets: &Sockets, lane: &Lane, tag: Tag) -> nix::Result<()> {
    if !lane.stage.is_outward() {
        return send(sockets.wire.as_raw_fd(), &frame::frame(lane, tag), MsgFlags::empty()).map(|_| ());
    }
    let packet = frame::packet(lane, tag);
    debug_assert_ne!(lane.flow, Flow::Known, "known flows come from outside");
    match lane.addresses(tag.number).1 {
        std::net::IpAddr::V4(to) => {
            let to = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
            sendto(sockets.local[0].as_raw_fd(), &packet, &to, MsgFlags::empty()).map(|_| ())
        }
        std::net::IpAddr::V6(to) => {
            let to = SockaddrIn6::from(std::net::SocketAddrV6::new(to, 0, 0, 0));
            sendto(sockets.local[1].as_raw_fd(), &packet, &to, MsgFlags::empty()).map(|_| ())
        }
    }
}
