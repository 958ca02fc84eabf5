//! Numbers of rules in texts and in names of tests.

use std::fmt;

/// One rule of the specification, for instance `E-415`. Ordered by document: E, D, T, then the rows of appendix B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rule {
    rank: u8,
    number: u16,
}

/// The letters, in the order in which rules are listed.
const LETTERS: &[u8] = b"EDTB";

impl Rule {
    pub(crate) fn new(letter: u8, number: u16) -> Option<Self> {
        let rank = LETTERS.iter().position(|known| *known == letter)?;
        Some(Self { rank: rank as u8, number })
    }

    /// `E-415`, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (letter, number) = text.split_once('-')?;
        match letter.as_bytes() {
            [letter] if number.bytes().all(|b| b.is_ascii_digit()) => Self::new(*letter, number.parse().ok()?),
            _ => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", char::from(LETTERS[usize::from(self.rank)]), self.number))
    }
}

/// One rule or a range of rules, both ends included. Between the ends only rules that exist are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    pub(crate) first: Rule,
    pub(crate) last: Rule,
}

impl Citation {
    fn one(rule: Rule) -> Self {
        Self { first: rule, last: rule }
    }

    pub(crate) fn covers(&self, rule: Rule) -> bool {
        self.first.rank == rule.rank && (self.first..=self.last).contains(&rule)
    }
}

/// What a comment or a text of a scenario cites: `E-415`, `E-461/462`, `E-221..E-224`, `B-1 to B-3`.
pub(crate) fn in_text(text: &str) -> Vec<Citation> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let is_start = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || b"-_".contains(&bytes[at - 1]));
        let Some((rule, mut end)) = is_start.then(|| rule_at(bytes, at)).flatten() else {
            at += 1;
            continue;
        };
        let mut last = Citation::one(rule);
        while let Some((is_range, next, after)) = continued(bytes, end, rule) {
            if is_range {
                last.last = next;
            } else {
                found.push(last);
                last = Citation::one(next);
            }
            end = after;
        }
        found.push(last);
        at = end;
    }
    found
}

/// What the name of a test cites: `…_e502`, `…_e115_e121`, `b4_to_b7_…`.
pub(crate) fn in_name(name: &str) -> Vec<Citation> {
    let words: Vec<&str> = name.split('_').collect();
    let rule = |at: usize| words.get(at).and_then(|word| rule_of_word(word));
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match (rule(at), words.get(at + 1), rule(at + 2)) {
            (Some(first), Some(&"to"), Some(last)) => {
                found.push(Citation { first, last });
                at += 3;
            }
            (Some(rule), ..) => {
                found.push(Citation::one(rule));
                at += 1;
            }
            _ => at += 1,
        }
    }
    found
}

fn rule_of_word(word: &str) -> Option<Rule> {
    let (letter, digits) = (word.bytes().next()?, word.get(1..)?);
    let is_number = digits.bytes().all(|b| b.is_ascii_digit()) && has_usual_length(letter, digits.len());
    is_number.then(|| Rule::new(letter.to_ascii_uppercase(), digits.parse().ok()?)).flatten()
}

/// E-rules have three digits, the others one or two. Anything else, such as `e10`, is no rule.
fn has_usual_length(letter: u8, digits: usize) -> bool {
    if letter.eq_ignore_ascii_case(&b'E') { digits == 3 } else { (1..=2).contains(&digits) }
}

/// A rule written in full at `at`, and where it ends.
fn rule_at(bytes: &[u8], at: usize) -> Option<(Rule, usize)> {
    if bytes.get(at + 1) != Some(&b'-') {
        return None;
    }
    let letter = *bytes.get(at)?;
    let (number, end) = number_at(bytes, at + 2, letter)?;
    Some((Rule::new(letter, number)?, end))
}

fn number_at(bytes: &[u8], at: usize, letter: u8) -> Option<(u16, usize)> {
    let len = bytes.get(at..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    let end = at + len;
    let is_word = bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if !has_usual_length(letter, len) || is_word {
        return None;
    }
    Some((std::str::from_utf8(&bytes[at..end]).ok()?.parse().ok()?, end))
}

/// What follows a rule directly: whether it is the end of a range, which rule, and where that ends.
fn continued(bytes: &[u8], end: usize, before: Rule) -> Option<(bool, Rule, usize)> {
    let letter = LETTERS[usize::from(before.rank)];
    for (sign, is_range) in [("/", false), ("..=", true), ("..", true), (" to ", true)] {
        if !bytes[end..].starts_with(sign.as_bytes()) {
            continue;
        }
        let at = end + sign.len();
        if let Some((rule, end)) = rule_at(bytes, at).filter(|(rule, _)| rule.rank == before.rank || !is_range) {
            return Some((is_range, rule, end));
        }
        // "E-461/462": the number alone. Behind " to " a number may be anything.
        if sign != " to " {
            let (number, end) = number_at(bytes, at, letter)?;
            return Some((is_range, Rule::new(letter, number)?, end));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(citations: &[Citation]) -> String {
        let words = citations.iter().map(|citation| match citation {
            Citation { first, last } if first == last => first.to_string(),
            Citation { first, last } => format!("{first}..{last}"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn texts_cite_rules_lists_and_ranges() {
        for (text, expected) in [
            ("drops (E-415), as T-12 says", "E-415 T-12"),
            ("E-461/462 and E-503/E-504/505", "E-461 E-462 E-503 E-504 E-505"),
            ("E-461/T-17", "E-461 T-17"),
            ("E-221..E-224, E-601..604", "E-221..E-224 E-601..E-604"),
            ("B-1 to B-3; D-1 to 5", "B-1..B-3 D-1"),
            ("see E-415.", "E-415"),
            ("E-415..", "E-415"),
            ("E-41 E-4150 XE-415 E-415a K-4 --E-415 E-", ""),
            ("é E-415", "E-415"),
        ] {
            assert_eq!(shown(&in_text(text)), expected, "{text}");
        }
    }

    #[test]
    fn names_cite_rules_and_ranges() {
        for (name, expected) in [
            ("failsafes_stay_open_e502", "E-502"),
            ("one_e115_e121", "E-115 E-121"),
            ("b4_to_b7_profiles", "B-4..B-7"),
            ("b12_and_more_d10_t33", "B-12 D-10 T-33"),
            ("e10_e4150_t_d_b64x", ""),
        ] {
            assert_eq!(shown(&in_name(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_range_covers_what_lies_between() {
        let range = in_text("E-221..E-224")[0];
        for (rule, expected) in [("E-221", true), ("E-223", true), ("E-224", true), ("E-225", false), ("T-22", false)] {
            assert_eq!(range.covers(Rule::parse(rule).unwrap()), expected, "{rule}");
        }
        assert!(Rule::parse("E-").is_none() && Rule::parse("K-4").is_none() && Rule::parse("E-4x").is_none());
    }
}
