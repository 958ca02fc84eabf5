//! Names of chains and sets: readable where they can be, and never the same for two things.

use super::stage::Stage;
use crate::ruleset::Name;
use sha2::{Digest, Sha256};
use tortie_api::model::Family;

/// The longest part of a name that is taken from a resource as it stands.
const READABLE_LEN_MAX: usize = 78;

/// The chain of one endpoint and stage: its entry without a family, else section `section` of its policy.
pub fn endpoint_chain(stage: Stage, family: Option<Family>, endpoint: &str, section: usize) -> Name {
    let stage = stage.prefix();
    let family = family.map_or("", family_digit);
    let mut text = format!("{stage}{family}/{}", plain(endpoint));
    if section > 0 {
        // `/` cannot stand in the name of an endpoint, so this never meets another endpoint's chain.
        text.push_str(&format!("/{section}"));
    }
    Name::new(text)
}

/// The chain that counts staged policy number `number` of one endpoint, stage and family (D-6).
pub(crate) fn staged_chain(stage: Stage, family: Family, endpoint: &str, number: usize) -> Name {
    let base = endpoint_chain(stage, Some(family), endpoint, 0);
    Name::new(format!("{base}/staged-{number}"))
}

/// What the names of the maps of table number `number` of one endpoint, stage and family begin with.
///
/// Maps that lead to an answer are others than those that do not: the kernel takes no way to an answer at hooks where none
/// can be sent, and a map that turns from one to the other holds both for a moment.
pub(crate) fn table_name(stage: Stage, family: Family, endpoint: &str, number: usize, rejects: bool) -> Name {
    let base = endpoint_chain(stage, Some(family), endpoint, 0);
    match (rejects, number) {
        (false, 0) => base,
        (false, _) => Name::new(format!("{base}/table-{number}")),
        (true, _) => Name::new(format!("{base}/reject-{number}")),
    }
}

/// `4` or `6`.
pub(crate) fn family_digit(family: Family) -> &'static str {
    match family {
        Family::V4 => "4",
        Family::V6 => "6",
    }
}

/// The name as it is when `nft` can read it back, else a shortened form with a hash of the whole.
pub(crate) fn plain(text: &str) -> String {
    let is_plain = text.len() <= READABLE_LEN_MAX
        && !text.is_empty()
        && !text.contains("..")
        && !text.ends_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if is_plain { text.to_owned() } else { hashed(text, text) }
}

/// A readable beginning and 16 hexadecimal digits of SHA-256 over `content`. The underscores before the digits keep it
/// apart from every plain name of a resource, none of which holds two of them in front of its last 16 digits by chance
/// of more than 2^-64.
pub(crate) fn hashed(readable: &str, content: &str) -> String {
    let mut slug = String::with_capacity(40);
    for c in readable.chars().take(40) {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if !(c == '-' && slug.ends_with('-')) {
            slug.push(c);
        }
    }
    let slug = slug.trim_matches('-');
    let digest = Sha256::digest(content.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{slug}__{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_unless_they_cannot_be() {
        let check = |endpoint: &str, expected: &str| {
            assert_eq!(endpoint_chain(Stage::LocalIn, Some(Family::V4), endpoint, 0).as_str(), expected);
        };
        check("some.name", "in4/some.name");
        check("Edge_7", "in4/Edge_7");
        let long = endpoint_chain(Stage::LocalOut, Some(Family::V6), &"a".repeat(253), 12);
        assert!(long.as_str().len() <= Name::LEN_MAX, "{long}");
        assert_ne!(long, endpoint_chain(Stage::LocalOut, Some(Family::V6), &"a".repeat(252), 12));
        assert_eq!(endpoint_chain(Stage::LocalIn, None, "a..b", 0).instance(), None);
    }
}
