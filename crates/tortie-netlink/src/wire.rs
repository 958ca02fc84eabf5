//! Netlink messages and attributes as bytes (`linux/netlink.h`). Attribute payloads of netfilter are big-endian.

use crate::consts::NLM_F_REQUEST;

/// `struct nlmsghdr`.
pub const HEADER_LEN: usize = 16;
/// `struct nfgenmsg`.
pub const NFGENMSG_LEN: usize = 4;
const ATTRIBUTE_HEADER_LEN: usize = 4;
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_TYPE_MASK: u16 = !(3 << 14);

fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// Messages being written, one behind the other.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// A message or nested attribute whose length is filled in when it ends.
#[must_use]
pub struct Open(usize);

impl Writer {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Starts a message of a netfilter subsystem (`NFNL_SUBSYS_*`) for an address family.
    pub fn begin(&mut self, subsystem: u16, message: u16, flags: u16, sequence: u32, family: u8) -> Open {
        self.begin_raw((subsystem << 8) | message, flags, sequence, family, 0)
    }

    /// Starts a message of any type, with its `struct nfgenmsg`.
    pub fn begin_raw(&mut self, kind: u16, flags: u16, sequence: u32, family: u8, resource: u16) -> Open {
        let start = self.bytes.len();
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.push(family);
        self.bytes.push(0);
        self.bytes.extend(resource.to_be_bytes());
        Open(start)
    }

    /// Ends a message.
    pub fn end(&mut self, message: Open) {
        let len = u32::try_from(self.bytes.len() - message.0).expect("a message is far below 4 GiB");
        self.bytes[message.0..message.0 + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// Starts a nested attribute.
    pub fn nest(&mut self, kind: u16) -> Open {
        let start = self.bytes.len();
        self.bytes.extend(0u16.to_ne_bytes());
        self.bytes.extend((kind | NLA_F_NESTED).to_ne_bytes());
        Open(start)
    }

    /// Ends a nested attribute. Its length must stay below 64 KiB; element lists are split before that (K-10).
    pub fn unnest(&mut self, attribute: Open) {
        let len = u16::try_from(self.bytes.len() - attribute.0).expect("lists are split below 64 KiB");
        self.bytes[attribute.0..attribute.0 + 2].copy_from_slice(&len.to_ne_bytes());
    }

    /// An attribute with these bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(ATTRIBUTE_HEADER_LEN + value.len()).expect("values are short");
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(align(self.bytes.len()), 0);
    }

    /// A big-endian number.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A string with the zero at its end.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }
}

/// One message that was received.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// `nlmsg_pid`: the port number of a socket.
    pub port: u32,
    /// What lies behind the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message number within this netfilter subsystem, if it is one of its.
    pub fn of(&self, subsystem: u16) -> Option<u16> {
        (self.kind >> 8 == subsystem).then_some(self.kind & 0xff)
    }

    /// The address family of its `struct nfgenmsg`.
    pub fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or(0)
    }

    /// The attributes behind `struct nfgenmsg`.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(self.payload.get(NFGENMSG_LEN..).unwrap_or_default())
    }
}

/// The messages of one datagram. A broken one ends the list.
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = self.0.get(..HEADER_LEN)?;
        let len = usize::try_from(u32_ne(header, 0)?).ok()?;
        let payload = self.0.get(HEADER_LEN..len)?;
        let message = Message {
            kind: u16_ne(header, 4)?,
            flags: u16_ne(header, 6)?,
            sequence: u32_ne(header, 8)?,
            port: u32_ne(header, 12)?,
            payload,
        };
        self.0 = self.0.get(align(len)..).unwrap_or_default();
        Some(message)
    }
}

/// A list of attributes. A broken one ends the list.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The payload of the first attribute of this type.
    pub fn find(self, kind: u16) -> Option<&'a [u8]> {
        let mut list = self;
        Iterator::find(&mut list, |(found, _)| *found == kind).map(|(_, payload)| payload)
    }

    /// The attributes within the first attribute of this type.
    pub fn nested(self, kind: u16) -> Option<Attributes<'a>> {
        self.find(kind).map(Attributes)
    }

    /// A big-endian number.
    pub fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// A big-endian number.
    pub fn u64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// A string up to its zero.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let bytes = self.find(kind)?;
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..len]).ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16_ne(self.0, 0)?);
        let kind = u16_ne(self.0, 2)? & NLA_TYPE_MASK;
        let payload = self.0.get(ATTRIBUTE_HEADER_LEN..len)?;
        self.0 = self.0.get(align(len)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// A number in the byte order of this machine, as headers have it.
pub fn u16_ne(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// A number in the byte order of this machine, as headers have it.
pub fn u32_ne(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        let message = writer.begin(10, 6, 0, 7, 1);
        writer.text(1, "tortie");
        let nest = writer.nest(4);
        writer.u32(2, 0x0102_0304);
        writer.bytes(3, &[1, 2, 3]);
        writer.unnest(nest);
        writer.end(message);
        let bytes = writer.into_bytes();
        let messages: Vec<_> = Messages(&bytes).collect();
        assert_eq!(messages.len(), 1);
        assert_eq!((messages[0].of(10), messages[0].sequence, messages[0].family()), (Some(6), 7, 1));
        let attributes = messages[0].attributes();
        assert_eq!(attributes.text(1), Some("tortie"));
        let nested = attributes.nested(4).unwrap();
        assert_eq!((nested.u32(2), nested.find(3)), (Some(0x0102_0304), Some(&[1, 2, 3][..])));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in Messages(&bytes) {
                for (_, payload) in message.attributes() {
                    let _ = Attributes(payload).u64(1);
                    let _ = Attributes(payload).text(2);
                }
            }
        }
    }
}
