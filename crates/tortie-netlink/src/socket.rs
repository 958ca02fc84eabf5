//! The netlink socket: one `sendmsg` for each transaction, buffers that are large enough (K-10).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

use crate::consts::NLMSGERR_ATTR_MSG;
use crate::consts::{
    NETLINK_NETFILTER, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR,
};
use crate::tap::Tap;
use crate::wire::{Attributes, HEADER_LEN, Message, Messages, u32_ne};

/// Bytes of the send buffer: enough for a transaction of 100,000 elements. The default of 212,992 is not enough for
/// 2,000 rules.
const SEND_BUFFER_LEN: usize = 64 << 20;
/// Bytes of the receive buffer.
const RECEIVE_BUFFER_LEN: usize = 8 << 20;
/// Times a dump is started again when what it lists changes under it.
const DUMP_TRIES: usize = 10;

/// A netlink socket of the netfilter family.
pub struct Netlink {
    socket: Arc<Socket>,
    /// The number by which the kernel knows this socket.
    port: u32,
    sequence: u32,
    tap: Option<Arc<dyn Tap>>,
}

/// The kernel's answer to one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message's number.
    pub sequence: u32,
    /// 0 or a positive error number.
    pub errno: i32,
    /// What the kernel says of the cause, if anything.
    pub text: Option<String>,
}

impl Netlink {
    /// A socket in the present network namespace.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        let port = socket.bind_auto()?.port_number();
        // The forced sizes need CAP_NET_ADMIN in the initial user namespace; without it the limits of the system hold.
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER_LEN).is_err() {
            setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER_LEN)?;
        }
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_LEN).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_LEN)?;
        }
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // The kernel answers before `sendmsg` returns, so nothing here ever waits.
        socket.set_non_blocking(true)?;
        Ok(Self { socket: Arc::new(socket), port, sequence: 0, tap: None })
    }

    /// A socket that hears a multicast group.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn listen(group: u32) -> io::Result<Self> {
        let netlink = Self::open()?;
        netlink.socket.add_membership(group)?;
        Ok(netlink)
    }

    /// The membership of this socket in a multicast group, for whoever wants it to miss something.
    pub fn membership(&self, group: u32) -> Membership {
        Membership { socket: self.socket.clone(), group }
    }

    /// Puts something between this socket and the kernel. For tests.
    pub fn set_tap(&mut self, tap: Arc<dyn Tap>) {
        self.tap = Some(tap);
    }

    /// The number under which the kernel announces what this socket changes.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// The next sequence number; `count` more are taken behind it.
    pub fn sequence(&mut self, count: u32) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = first.wrapping_add(count);
        first
    }

    /// Sends messages as one datagram.
    ///
    /// # Errors
    /// When the kernel does not take all of them.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.tap {
            Some(tap) => tap.send(bytes, &|bytes| self.send_to_kernel(bytes)),
            None => self.send_to_kernel(bytes),
        }
    }

    fn send_to_kernel(&self, bytes: &[u8]) -> io::Result<()> {
        let kernel = SocketAddr::new(0, 0);
        loop {
            match self.socket.send_to(bytes, &kernel, 0) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(_) => return Err(io::Error::other("the kernel took part of a transaction")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// One datagram, or `WouldBlock`.
    ///
    /// # Errors
    /// Also `ENOBUFS` when something was lost.
    pub fn receive(&self) -> io::Result<Vec<u8>> {
        match &self.tap {
            Some(tap) => tap.receive(&|| self.receive_from_kernel()),
            None => self.receive_from_kernel(),
        }
    }

    fn receive_from_kernel(&self) -> io::Result<Vec<u8>> {
        loop {
            match self.socket.recv_from_full() {
                Ok((bytes, _)) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends `request` and hands every message of the answer to `each`.
    ///
    /// A dump that the kernel says is torn is started again from an empty result: `restart` is called then.
    ///
    /// # Errors
    /// What the kernel answers, and `ResourceBusy` when no listing is whole.
    pub fn dump(
        &mut self,
        request: impl Fn(u32, u16) -> Vec<u8>,
        mut restart: impl FnMut(),
        mut each: impl FnMut(&Message<'_>),
    ) -> io::Result<()> {
        for _ in 0..DUMP_TRIES {
            restart();
            let sequence = self.sequence(0);
            self.send(&request(sequence, NLM_F_DUMP))?;
            if self.collect(sequence, &mut each)? {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the kernel changes its list faster than it can be read"))
    }

    /// Reads one dump to its end; `false` when it is torn.
    fn collect(&mut self, sequence: u32, each: &mut impl FnMut(&Message<'_>)) -> io::Result<bool> {
        let mut is_whole = true;
        loop {
            let bytes = self.receive()?;
            for message in Messages(&bytes).filter(|message| message.sequence == sequence) {
                is_whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE => return Ok(is_whole),
                    NLMSG_ERROR => match answer(&message) {
                        Some(Answer { errno: nix::libc::EINTR, .. }) => return Ok(false),
                        Some(Answer { errno, .. }) if errno != 0 => return Err(io::Error::from_raw_os_error(errno)),
                        _ => return Ok(is_whole),
                    },
                    _ => each(&message),
                }
            }
        }
    }

    /// Sends a request that is answered with success or an error number only.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn acknowledge(&mut self, request: impl Fn(u32, u16) -> Vec<u8>) -> io::Result<()> {
        match self.get(|sequence, flags| request(sequence, flags | NLM_F_ACK)) {
            Err(error) if error.raw_os_error() == Some(0) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel answered something else")),
        }
    }

    /// Sends a request that has one message as its answer.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn get(&mut self, request: impl Fn(u32, u16) -> Vec<u8>) -> io::Result<Vec<u8>> {
        let sequence = self.sequence(0);
        self.send(&request(sequence, 0))?;
        loop {
            let bytes = self.receive()?;
            let Some(message) = Messages(&bytes).find(|message| message.sequence == sequence) else { continue };
            if message.kind == NLMSG_ERROR {
                let errno = answer(&message).map_or(nix::libc::EIO, |answer| answer.errno);
                return Err(io::Error::from_raw_os_error(errno));
            }
            return Ok(bytes);
        }
    }
}

/// Whether a socket hears a multicast group.
pub struct Membership {
    socket: Arc<Socket>,
    group: u32,
}

impl Membership {
    /// The socket hears nothing of the group from now on. A kernel makes no messages for a group that nobody hears.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn leave(&self) -> io::Result<()> {
        self.socket.drop_membership(self.group)
    }

    /// The socket hears the group again.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn join(&self) -> io::Result<()> {
        self.socket.add_membership(self.group)
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The answer in an error message: `struct nlmsgerr`, then attributes with the kernel's own words.
pub fn answer(message: &Message<'_>) -> Option<Answer> {
    let errno = u32_ne(message.payload, 0)?.cast_signed().checked_neg()?;
    let text = (message.flags & NLM_F_ACK_TLVS != 0)
        .then(|| {
            let original = usize::try_from(u32_ne(message.payload, 4)?).ok()?;
            let skip = if message.flags & NLM_F_CAPPED != 0 { HEADER_LEN } else { original.next_multiple_of(4) };
            let attributes = Attributes(message.payload.get(4 + skip..)?);
            attributes.text(NLMSGERR_ATTR_MSG).map(str::to_owned)
        })
        .flatten();
    Some(Answer { sequence: message.sequence, errno, text })
}
