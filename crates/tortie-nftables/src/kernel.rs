//! The handle on the kernel's nf_tables of one network namespace.

use std::io;
use std::sync::Arc;

use tortie_netlink::Tap;
use tortie_netlink::socket::Membership;
use tortie_rules::Ruleset;
use tortie_rules::plan::{Op, Transaction};
use tortie_rules::ruleset::{Element, Name, Set};

use crate::consts::NLMSG_ERROR;
use crate::dump;
use crate::encode;
use crate::foreign::{self, ForeignChain, MarkWriter};
use crate::socket::{Answer, Netlink, answer};
use crate::wire::Messages;

/// Times our table is read again when somebody changes a ruleset meanwhile.
const READ_TRIES: usize = 20;

/// Rules and elements of a transaction that nobody of us hears. A kernel makes a message of 4 kB for each of them as soon
/// as anybody listens, and keeps all until it has committed: that takes longer than all else.
const UNHEARD_MIN: usize = 100;

/// nf_tables of the network namespace in which this was opened.
pub struct Kernel {
    netlink: Netlink,
    /// What of us hears changes of rulesets.
    hearing: Option<Hearing>,
    is_overtaken: bool,
}

/// Somebody of us who hears changes of rulesets.
struct Hearing {
    membership: Membership,
    /// Whether it could not be joined again.
    is_left: bool,
}

/// What the kernel holds of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Actual {
    /// The generation at which it was read; it moves with every change of any table.
    pub generation: u32,
    /// Our table with the names of instances; `None` when there is none.
    pub ruleset: Option<Ruleset>,
}

/// Packets and bytes of one rule, or of one element of a map, since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The instance of the chain, or of the map.
    pub place: Name,
    /// The element that counted; `None` of a rule.
    pub element: Option<Element>,
    /// The comment of the rule or element: [`tortie_rules::ruleset::Origin::comment`]. Empty where an element stands for
    /// no rule of its own.
    pub comment: String,
    /// Packets.
    pub packets: u64,
    /// Bytes, headers of the network layer included.
    pub bytes: u64,
}

/// nf_tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `CAP_NET_ADMIN` is missing.
    #[error("not allowed to program nf_tables: root or CAP_NET_ADMIN is needed")]
    NotPermitted,
    /// The kernel was built without it, or the module cannot be loaded.
    #[error("this kernel has no nf_tables (CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET are needed)")]
    Missing,
    /// Anything else.
    #[error("cannot open nf_tables")]
    Io(#[source] io::Error),
}

/// Our table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Others change rulesets faster than ours can be read.
    #[error("the ruleset changed {READ_TRIES} times while it was read")]
    Restless,
    /// Anything else.
    #[error("cannot read the ruleset")]
    Io(#[source] io::Error),
}

/// A transaction was not carried out; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody changed a ruleset since it was read: read again and plan anew.
    #[error("the ruleset changed after generation {expected}")]
    Raced {
        /// The generation the plan was made for.
        expected: u32,
    },
    /// The kernel refuses one operation.
    #[error("the kernel refused operation {} of {total}{}", .op + 1, .text.as_deref().map(|t| format!(" ({t})")).unwrap_or_default())]
    Refused {
        /// Its position in the transaction.
        op: usize,
        /// How many there are.
        total: usize,
        /// What the kernel says of it, if anything.
        text: Option<String>,
        /// The error number.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses the transaction as a whole.
    #[error("the kernel refused the transaction")]
    RefusedWhole(#[source] io::Error),
    /// The kernel did not answer; whether it took the transaction is told by reading.
    #[error("the kernel did not answer")]
    NoAnswer(#[source] io::Error),
    /// It could not be sent.
    #[error("cannot send the transaction")]
    Send(#[source] io::Error),
    /// The kernel took it, or not, but changes by others are not heard any more.
    #[error("cannot hear changes of rulesets any more")]
    Deaf(#[source] io::Error),
}

/// The generation after one transaction: the kernel counts each, and never uses 0.
pub fn next_generation(generation: u32) -> u32 {
    generation.wrapping_add(1).max(1)
}

impl Kernel {
    /// Opens nf_tables in the present network namespace.
    ///
    /// # Errors
    /// [`OpenError`] when it is not allowed, or the kernel has none.
    pub fn open() -> Result<Kernel, OpenError> {
        let mut netlink = Netlink::open().map_err(open_error)?;
        dump::generation(&mut netlink).map_err(open_error)?;
        Ok(Kernel { netlink, hearing: None, is_overtaken: false })
    }

    /// Lets a transaction of many rules or elements go unheard where our own changes are heard with those of others; with a
    /// generation only, by which it is told whether somebody else changed something meanwhile.
    pub fn set_heard_by(&mut self, membership: Membership) {
        self.hearing = Some(Hearing { membership, is_left: false });
    }

    /// Whether, since this was last asked, somebody changed a ruleset behind a transaction of this handle and no event will
    /// tell of it. What the kernel holds must then be read again.
    pub fn take_overtaken(&mut self) -> bool {
        std::mem::take(&mut self.is_overtaken)
    }

    /// Puts something between this handle and the kernel. For tests.
    pub fn set_tap(&mut self, tap: Arc<dyn Tap>) {
        self.netlink.set_tap(tap);
    }

    /// The number by which events name the changes of this handle.
    pub fn port(&self) -> u32 {
        self.netlink.port()
    }

    /// Reads our table at one generation.
    ///
    /// # Errors
    /// [`ReadError`] when the kernel does not answer, or others never stop changing rulesets.
    pub fn read(&mut self) -> Result<Actual, ReadError> {
        self.hear_again().map_err(ReadError::Io)?;
        self.read_table(|_| true)
            .map(|(generation, table)| Actual { generation, ruleset: table.map(|table| table.ruleset) })
    }

    /// Reads the counters of our rules and elements; empty when there is no table.
    ///
    /// # Errors
    /// As [`Kernel::read`].
    pub fn counters(&mut self) -> Result<Vec<Counter>, ReadError> {
        // Sets of addresses count nothing, and may be long.
        Ok(self.read_table(|set| set.is_counted)?.1.map(|table| table.counters).unwrap_or_default())
    }

    /// Hears again what was left for a transaction.
    fn hear_again(&mut self) -> io::Result<()> {
        match self.hearing.as_mut().filter(|hearing| hearing.is_left) {
            Some(hearing) => hearing.membership.join().map(|()| hearing.is_left = false),
            None => Ok(()),
        }
    }

    fn read_table(&mut self, lists: fn(&Set) -> bool) -> Result<(u32, Option<dump::Table>), ReadError> {
        for _ in 0..READ_TRIES {
            let before = dump::generation(&mut self.netlink).map_err(ReadError::Io)?;
            let table = dump::table(&mut self.netlink, lists);
            let after = dump::generation(&mut self.netlink).map_err(ReadError::Io)?;
            if before != after {
                continue;
            }
            return table.map(|table| (before, table)).map_err(ReadError::Io);
        }
        Err(ReadError::Restless)
    }

    /// The present generation of all rulesets.
    ///
    /// # Errors
    /// [`ReadError`] when the kernel does not answer.
    pub fn generation(&mut self) -> Result<u32, ReadError> {
        dump::generation(&mut self.netlink).map_err(ReadError::Io)
    }

    /// Base chains of other tables at hooks that packets of hosts meet (K-16, E-409).
    ///
    /// # Errors
    /// As [`Kernel::read`].
    pub fn foreign_chains(&mut self) -> Result<Vec<ForeignChain>, ReadError> {
        foreign::list(&mut self.netlink).map_err(ReadError::Io)
    }

    /// Rules of other tables that write bits of the packet mark (T-26).
    ///
    /// # Errors
    /// As [`Kernel::read`].
    pub fn mark_writers(&mut self) -> Result<Vec<MarkWriter>, ReadError> {
        foreign::mark_writers(&mut self.netlink).map_err(ReadError::Io)
    }

    /// Carries out a transaction: as a whole or not at all.
    ///
    /// With `generation` the kernel refuses it when any ruleset changed since (K-13).
    ///
    /// # Errors
    /// [`CommitError`] says whether to read again, which operation is at fault, or that nobody knows.
    pub fn commit(&mut self, transaction: &Transaction, generation: Option<u32>) -> Result<(), CommitError> {
        match generation {
            Some(before) if changes(&transaction.ops) >= UNHEARD_MIN => self.commit_unheard(&transaction.ops, before),
            _ => self.commit_ops(&transaction.ops, generation, false),
        }
    }

    fn commit_unheard(&mut self, ops: &[Op], before: u32) -> Result<(), CommitError> {
        let Some(hearing) = &mut self.hearing else { return self.commit_ops(ops, Some(before), false) };
        // Where it cannot be left everything is heard, which only takes longer.
        hearing.is_left |= hearing.membership.leave().is_ok();
        let result = self.commit_ops(ops, Some(before), false);
        self.hear_again().map_err(CommitError::Deaf)?;
        // A transaction that was not carried out is planned anew, after reading.
        result?;
        self.is_overtaken |= self.generation().ok() != Some(next_generation(before));
        Ok(())
    }

    /// Asks whether the kernel would take operations as one transaction, and changes nothing.
    ///
    /// Circles and too long paths of jumps are found only in a table that is there already: a kernel forgets what it found
    /// in a table that it makes for the check.
    ///
    /// # Errors
    /// As [`Kernel::commit`] would.
    pub fn check(&mut self, ops: &[Op], generation: Option<u32>) -> Result<(), CommitError> {
        self.commit_ops(ops, generation, true)
    }

    /// Removes our table and everything in it; no error when there is none (E-707).
    ///
    /// # Errors
    /// [`CommitError`] as for any transaction.
    pub fn delete_table(&mut self) -> Result<(), CommitError> {
        self.commit_ops(&[Op::DeleteTable], None, false)
    }

    fn commit_ops(&mut self, ops: &[Op], generation: Option<u32>, is_check: bool) -> Result<(), CommitError> {
        if ops.is_empty() {
            return Ok(());
        }
        let first = self.netlink.sequence(0);
        let batch = encode::batch(ops, generation, first);
        self.netlink.sequence(batch.last.wrapping_sub(first).wrapping_add(1));
        // A batch without its end is validated and then undone (`NFNL_ABORT_VALIDATE`).
        let bytes = if is_check { &batch.bytes[..batch.end] } else { &batch.bytes[..] };
        self.netlink.send(bytes).map_err(CommitError::Send)?;

        let mut refused: Option<Answer> = None;
        let whole = loop {
            let bytes = match self.netlink.receive() {
                Ok(bytes) => bytes,
                // The first refusal says enough when the buffer is too small for all of them.
                Err(_) if refused.is_some() => break None,
                Err(error) => return Err(CommitError::NoAnswer(error)),
            };
            let answers = Messages(&bytes).filter(|message| message.kind == NLMSG_ERROR).filter_map(|m| answer(&m));
            let mut last = None;
            // Answers to former transactions, for which nobody waited any more, say nothing about this one.
            for answer in answers.filter(|answer| batch.holds(answer.sequence)) {
                if answer.errno != 0 && answer.sequence != batch.first {
                    refused.get_or_insert_with(|| answer.clone());
                }
                if answer.sequence == batch.last || answer.sequence == batch.first {
                    last = Some(answer);
                }
            }
            if last.is_some() {
                break last;
            }
        };
        // A transaction that fails as a whole is answered under the number of its beginning, maybe behind the answer to
        // its last message.
        let whole = match whole {
            Some(answer) if answer.sequence == batch.first => Some(answer),
            _ => self.late_refusal(batch.first),
        };
        if let Some(answer) = whole.filter(|answer| answer.errno != 0) {
            if let (nix::libc::ERESTART, Some(expected)) = (answer.errno, generation) {
                return Err(CommitError::Raced { expected });
            }
            if refused.is_none() {
                return Err(CommitError::RefusedWhole(io::Error::from_raw_os_error(answer.errno)));
            }
        }
        match refused {
            None => Ok(()),
            Some(answer) => {
                let message = answer.sequence.wrapping_sub(batch.first).wrapping_sub(1) as usize;
                let op = batch.ops.get(message).copied().unwrap_or(0);
                let source = io::Error::from_raw_os_error(answer.errno);
                Err(CommitError::Refused { op, total: ops.len(), text: answer.text, source })
            }
        }
    }

    /// Whatever else lies in the buffer about the transaction that began with `first`.
    fn late_refusal(&self, first: u32) -> Option<Answer> {
        let mut found = None;
        while let Ok(bytes) = self.netlink.receive() {
            let answers = Messages(&bytes).filter(|message| message.kind == NLMSG_ERROR).filter_map(|m| answer(&m));
            found = answers.filter(|answer| answer.sequence == first).last().or(found);
        }
        found
    }
}

/// Rules and elements that come or go, of which the kernel tells one by one.
fn changes(ops: &[Op]) -> usize {
    let of = |op: &Op| match op {
        Op::AddElements { elements, .. } => elements.len(),
        Op::DeleteElements { elements, .. } => elements.len(),
        _ => 1,
    };
    ops.iter().map(of).sum()
}

fn open_error(error: io::Error) -> OpenError {
    match error.raw_os_error() {
        Some(nix::libc::EPERM | nix::libc::EACCES) => OpenError::NotPermitted,
        // No netlink family, or a family without the subsystem (`nfnetlink_rcv_msg`).
        Some(nix::libc::EPROTONOSUPPORT | nix::libc::EAFNOSUPPORT | nix::libc::EOPNOTSUPP | nix::libc::EINVAL) => {
            OpenError::Missing
        }
        _ => OpenError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_nf_tables_is_told_from_one_that_does_not_allow_it() {
        let text = |errno| open_error(io::Error::from_raw_os_error(errno)).to_string();
        assert!(text(nix::libc::EPERM).contains("not allowed"));
        assert!(text(nix::libc::EPROTONOSUPPORT).contains("has no nf_tables"));
        assert!(text(nix::libc::EINVAL).contains("has no nf_tables"));
        assert!(text(nix::libc::ENOMEM).contains("cannot open"));
    }
}
