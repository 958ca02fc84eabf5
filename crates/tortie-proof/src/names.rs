//! Names of interfaces as numbers: 16 bytes, zero-padded, as the kernel compares them (`IFNAMSIZ`).

use crate::space::Range;

/// The bytes of a name and its padding.
const LEN: usize = 16;

/// The number of a name; what is too long for one is cut.
pub(crate) fn value(name: &str) -> u128 {
    padded(name.as_bytes(), 0)
}

/// This name alone.
pub(crate) fn exact(name: &str) -> Range {
    (value(name), value(name))
}

/// Every name that begins so.
pub(crate) fn prefix(beginning: &str) -> Range {
    (padded(beginning.as_bytes(), 0), padded(beginning.as_bytes(), 0xff))
}

fn padded(bytes: &[u8], with: u8) -> u128 {
    let mut all = [with; LEN];
    for (place, byte) in all.iter_mut().zip(bytes) {
        *place = *byte;
    }
    u128::from_be_bytes(all)
}

/// The name of a number.
pub(crate) fn text(value: u128) -> String {
    let bytes = value.to_be_bytes();
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(LEN);
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

/// A name between two numbers: no interface has any of the values without one.
pub(crate) fn within(first: u128, last: u128) -> Option<u128> {
    let bytes = first.to_be_bytes();
    let len = bytes.iter().take(LEN - 1).position(|byte| !is_plain(*byte)).unwrap_or(LEN - 1);
    let name = &bytes[..len];
    // A readable one where there is one, else the first of all.
    let mut candidates = vec![name.to_vec()];
    if len > 0 {
        candidates.push([name, b"0"].concat());
    }
    candidates.extend([&b"x0"[..], b"zz9", b"A0"].map(<[u8]>::to_vec));
    candidates.extend(next(&bytes));
    candidates
        .into_iter()
        .filter(|name| !name.is_empty() && name.len() < LEN && name.iter().all(|byte| is_plain(*byte)))
        .map(|name| padded(&name, 0))
        .find(|value| (first..=last).contains(value))
}

/// The first name that is not before these bytes.
fn next(bytes: &[u8; LEN]) -> Option<Vec<u8>> {
    let len = bytes.iter().take(LEN - 1).position(|byte| !is_plain(*byte)).unwrap_or(LEN - 1);
    let mut name = bytes[..len].to_vec();
    if len > 0 && bytes[len..].iter().all(|byte| *byte == 0) {
        return Some(name);
    }
    let mut at_least = if len < LEN - 1 { bytes[len] } else { u8::MAX };
    loop {
        if let Some(byte) = (at_least..=u8::MAX).find(|byte| is_plain(*byte)).filter(|_| name.len() < LEN - 1) {
            name.push(byte);
            return Some(name);
        }
        at_least = name.pop()?.checked_add(1)?;
    }
}

/// Whether a name may hold the byte (`dev_valid_name` in `net/core/dev.c`; more is not asked of names here).
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'/' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_names_is_a_third_or_none() {
        let check = |first: u128, last: u128, expected: Option<&str>| {
            assert_eq!(within(first, last).map(text).as_deref(), expected);
        };
        check(value("eth0"), value("eth0"), Some("eth0"));
        check(value("eth0") + 1, value("eth1") - 1, Some("eth00"));
        check(value("eth0") + 1, value("eth00") - 1, Some("eth0!"));
        check(0, value("a"), Some("A0"));
        check(value("a") + 1, value("a!") - 1, None);
        check(prefix("cali").0, prefix("cali").1, Some("cali"));
        check(prefix("cali").1 + 1, u128::MAX, Some("calj"));
        let longest = value("123456789012345");
        check(longest, longest, Some("123456789012345"));
        check(longest + 1, longest + 2, None);
    }
}
