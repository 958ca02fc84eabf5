//! Bytes of a key, without an allocation where they are few: large sets have millions.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

/// The longest key that needs no allocation: any but those with two addresses of IPv6.
const INLINE_LEN_MAX: usize = 22;

/// The values of all fields of a key, side by side. It is used as the bytes that it holds.
#[derive(Clone)]
pub struct Key(Bytes);

#[derive(Clone)]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE_LEN_MAX] },
    Heap(Box<[u8]>),
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for Key {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Bytes::Inline { len, bytes } => &mut bytes[..usize::from(*len)],
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Key {
    fn from(from: &[u8]) -> Self {
        let mut bytes = [0; INLINE_LEN_MAX];
        match bytes.get_mut(..from.len()) {
            Some(inline) => {
                inline.copy_from_slice(from);
                Self(Bytes::Inline { len: from.len() as u8, bytes })
            }
            None => Self(Bytes::Heap(from.into())),
        }
    }
}

impl<const N: usize> From<[u8; N]> for Key {
    fn from(bytes: [u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Box<[u8]>> for Key {
    fn from(bytes: Box<[u8]>) -> Self {
        Self::from(&bytes[..])
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_as_their_bytes_do_however_long_they_are() {
        let texts: Vec<Vec<u8>> = (0..64).map(|len| vec![7; len]).chain([vec![6; 40], vec![8]]).collect();
        for one in &texts {
            let key = Key::from(one.clone());
            assert_eq!(&*key, &one[..]);
            for other in &texts {
                assert_eq!(key.cmp(&Key::from(other.clone())), one.cmp(other));
            }
        }
        assert_eq!(size_of::<Key>(), 24);
    }
}
