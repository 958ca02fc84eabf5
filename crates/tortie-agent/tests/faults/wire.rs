//! Stands between the agent and the kernel, and lets one thing go wrong at one point.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tortie_nftables::{Kernel, Tap};
use tortie_rules::plan::{Op, Phase, Transaction};

/// `NFNL_MSG_BATCH_BEGIN`: the first message of a transaction.
const BATCH_BEGIN: u16 = 0x10;
/// `NFT_MSG_DELCHAIN` of `NFNL_SUBSYS_NFTABLES`.
const DELETE_CHAIN: u16 = (10 << 8) | 5;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const HEADER_LEN: usize = 16;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The kernel is said to refuse this message of a transaction; it never sees the transaction.
    Refused { message: usize, errno: i32 },
    /// The kernel itself refuses this message, after it has taken those before it: something is deleted that is not there.
    RefusedByKernel { message: usize },
    /// The same, and the kernel's answer comes after nobody waits for it any more.
    RefusedLate { message: usize },
    /// The kernel gets the messages before this one only, and not the end.
    CutBefore { message: usize },
    /// The kernel gets half of this message, and nothing behind it.
    CutWithin { message: usize },
    /// The transaction cannot be sent.
    Unsent { errno: i32 },
    /// The kernel carries the transaction out, and its answer is lost (`ENOBUFS`).
    AnswerLost,
    /// The kernel carries the transaction out, and its answer comes after nobody waits for it any more.
    AnswerLate,
    /// Somebody else changes a ruleset between reading and committing.
    Overtaken,
    /// A datagram of a listing says that the list changed meanwhile.
    Torn,
    /// A request of a reading is answered with an error.
    Unread { errno: i32 },
    /// An answer of a reading is lost.
    ReadingLost,
    /// Somebody else changes a ruleset while it is read.
    ReadingOvertaken,
}

impl Fault {
    /// Whether it happens to transactions, else to requests of a reading.
    fn is_of_transactions(self) -> bool {
        !matches!(self, Fault::Torn | Fault::Unread { .. } | Fault::ReadingLost | Fault::ReadingOvertaken)
    }

    /// What a message about it must hold.
    pub(crate) fn cause(self) -> Option<String> {
        let text = |errno| io::Error::from_raw_os_error(errno).to_string();
        match self {
            // A listing that was interrupted is begun again.
            Fault::Unread { errno: nix::libc::EINTR } => None,
            Fault::Refused { errno, .. } | Fault::Unsent { errno } | Fault::Unread { errno } => Some(text(errno)),
            Fault::RefusedByKernel { .. } => Some(text(nix::libc::ENOENT)),
            Fault::CutBefore { .. } | Fault::CutWithin { .. } => Some("took part of a transaction".to_owned()),
            Fault::AnswerLost | Fault::ReadingLost => Some(text(nix::libc::ENOBUFS)),
            Fault::AnswerLate | Fault::RefusedLate { .. } => Some(text(nix::libc::EAGAIN)),
            // These are no failures: everything is read and planned again.
            Fault::Overtaken | Fault::Torn | Fault::ReadingOvertaken => None,
        }
    }
}

/// The wire to the kernel; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<State>>);

type Look = Box<dyn FnMut() + Send>;

#[derive(Default)]
struct State {
    /// The fault, and before the how-manieth transaction or request it is due.
    due: Option<(usize, Fault)>,
    is_hit: bool,
    /// What was sent since the wire was armed.
    sent: Sent,
    /// Answers in the kernel's place.
    answers: VecDeque<io::Result<Vec<u8>>>,
    /// Whether the kernel's own answers are lost, until there is none.
    is_losing: bool,
    is_tearing: bool,
    /// Looks at the host between any two steps.
    look: Option<Look>,
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Messages of each transaction, its beginning and end included.
    pub(crate) transactions: Vec<usize>,
    /// Requests of readings.
    pub(crate) requests: usize,
}

impl Wire {
    /// Lets `fault` happen to transaction or request `number` from now on; `look` sees the host between any two steps.
    pub(crate) fn arm(&self, number: usize, fault: Option<Fault>, look: Look) {
        let mut state = self.0.lock().unwrap();
        *state = State { due: fault.map(|fault| (number, fault)), look: Some(look), ..State::default() };
    }

    /// Ends the fault; gives what was sent, and whether the fault happened.
    pub(crate) fn disarm(&self) -> (Sent, bool) {
        let state = std::mem::take(&mut *self.0.lock().unwrap());
        (state.sent, state.is_hit)
    }
}

impl State {
    fn take_due(&mut self, number: usize, is_transaction: bool) -> Option<Fault> {
        let (at, fault) = self.due?;
        if at != number || fault.is_of_transactions() != is_transaction {
            return None;
        }
        self.due = None;
        self.is_hit = true;
        Some(fault)
    }

    fn send(&mut self, bytes: &[u8], kernel: &dyn Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let messages = messages(bytes);
        let is_transaction = messages.first().is_some_and(|first| first.kind == BATCH_BEGIN);
        let number = if is_transaction { self.sent.transactions.len() } else { self.sent.requests };
        let fault = self.take_due(number, is_transaction);
        if is_transaction {
            self.sent.transactions.push(messages.len());
        } else {
            self.sent.requests += 1;
        }
        let part = |len: usize| {
            kernel(&bytes[..len])?;
            Err(io::Error::other("the kernel took part of a transaction"))
        };
        match fault {
            None => kernel(bytes),
            Some(Fault::Refused { message, errno }) => {
                self.answers.push_back(Ok(answer(messages[message].sequence, errno)));
                // The last message asks for an answer, which comes whatever became of the others.
                self.answers.push_back(Ok(answer(messages[messages.len() - 2].sequence, 0)));
                Ok(())
            }
            Some(Fault::RefusedByKernel { message } | Fault::RefusedLate { message }) => {
                if let Some(Fault::RefusedLate { .. }) = fault {
                    self.answers.push_back(Err(io::ErrorKind::WouldBlock.into()));
                }
                let one = &messages[message];
                let mut changed = bytes[..one.start].to_vec();
                changed.extend(delete_what_is_not_there(one.sequence));
                changed.extend(&bytes[one.end..]);
                kernel(&changed)
            }
            Some(Fault::CutBefore { message }) => part(messages[message].start),
            Some(Fault::CutWithin { message }) => {
                let Place { start, end, .. } = messages[message];
                part(start + (end - start) / 2)
            }
            Some(Fault::Unsent { errno }) => Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::AnswerLost) => {
                self.is_losing = true;
                kernel(bytes)
            }
            Some(Fault::AnswerLate) => {
                self.answers.push_back(Err(io::ErrorKind::WouldBlock.into()));
                kernel(bytes)
            }
            Some(Fault::Overtaken | Fault::ReadingOvertaken) => {
                change_another_table();
                kernel(bytes)
            }
            Some(Fault::Torn) => {
                self.is_tearing = true;
                kernel(bytes)
            }
            Some(Fault::Unread { errno }) => {
                self.answers.push_back(Ok(answer(messages[0].sequence, errno)));
                Ok(())
            }
            Some(Fault::ReadingLost) => {
                self.answers.push_back(Err(io::Error::from_raw_os_error(nix::libc::ENOBUFS)));
                kernel(bytes)
            }
        }
    }

    fn receive(&mut self, kernel: &dyn Fn() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        if let Some(answer) = self.answers.pop_front() {
            return answer.map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::Error::from_raw_os_error(nix::libc::EAGAIN),
                _ => error,
            });
        }
        if std::mem::take(&mut self.is_losing) {
            while kernel().is_ok() {}
            return Err(io::Error::from_raw_os_error(nix::libc::ENOBUFS));
        }
        let mut bytes = kernel()?;
        if std::mem::take(&mut self.is_tearing) {
            for message in messages(&bytes) {
                bytes[message.start + 6] |= NLM_F_DUMP_INTR as u8;
            }
        }
        Ok(bytes)
    }
}

impl Tap for Wire {
    fn send(&self, bytes: &[u8], kernel: &dyn Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if let Some(look) = &mut state.look {
            look();
        }
        state.send(bytes, kernel)
    }

    fn receive(&self, kernel: &dyn Fn() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        self.0.lock().unwrap().receive(kernel)
    }
}

/// Where one message lies in a datagram.
struct Place {
    start: usize,
    end: usize,
    kind: u16,
    sequence: u32,
}

fn messages(bytes: &[u8]) -> Vec<Place> {
    let mut found = Vec::new();
    let mut start = 0;
    let u32_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    while start + HEADER_LEN <= bytes.len() {
        let end = start + (u32_at(start) as usize).next_multiple_of(4);
        let kind = u16::from_ne_bytes([bytes[start + 4], bytes[start + 5]]);
        found.push(Place { start, end, kind, sequence: u32_at(start + 8) });
        start = end;
    }
    found
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let len = (HEADER_LEN + payload.len()) as u32;
    let head = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence.to_ne_bytes(), &[0; 4]];
    [&head.concat(), payload].concat()
}

/// `struct nlmsgerr` without the original message.
fn answer(sequence: u32, errno: i32) -> Vec<u8> {
    message(NLMSG_ERROR, 0, sequence, &[&(-errno).to_ne_bytes()[..], &[0; HEADER_LEN]].concat())
}

fn delete_what_is_not_there(sequence: u32) -> Vec<u8> {
    let text = |kind: u16| [&8u16.to_ne_bytes()[..], &kind.to_ne_bytes(), b"no.\0"].concat();
    // `struct nfgenmsg` for `NFPROTO_INET`, then table and chain.
    message(DELETE_CHAIN, NLM_F_REQUEST, sequence, &[vec![1, 0, 0, 0], text(1), text(3)].concat())
}

/// A commit of another program: the generation moves, and nothing of ours changes.
fn change_another_table() {
    let output = std::process::Command::new("nft").args(["add", "table", "ip", "others"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = std::process::Command::new("nft").args(["delete", "table", "ip", "others"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Removes our table as somebody's `nft flush ruleset` does.
pub(crate) fn flush(kernel: &mut Kernel) {
    kernel.commit(&Transaction { phase: Phase::Remove, ops: vec![Op::DeleteTable] }, None).unwrap();
}
