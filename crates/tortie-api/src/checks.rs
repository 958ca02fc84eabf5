//! Rules of single texts: names, addresses, networks, ports, protocols, durations, selectors (resources.md 1.3 to 1.5).

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};
use tortie_selector::Selector;

use crate::model::{Family, InterfacePattern, Port, PortRange, Protocol};
use crate::schema::Text;
use crate::selector_hint::selector_hint;

/// The longest selector in characters.
pub(crate) const SELECTOR_LEN_MAX: usize = 1024;

/// The longest name in bytes.
pub(crate) const NAME_LEN_MAX: usize = 253;

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

pub(crate) fn refuse<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { message: message.into(), hint: None })
}

pub(crate) fn refuse_with<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { message: message.into(), hint: Some(hint.into()) })
}

/// Whether a text keeps its rule.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_text(rule: Text, text: &str) -> Result<(), String> {
    self::text(rule, text).map(drop).map_err(|refusal| refusal.message)
}

/// Checks a text and gives the form in which it is stored.
///
/// # Errors
/// [`Refusal`] when the text breaks its rule.
pub(crate) fn text(rule: Text, text: &str) -> Result<Value, Refusal> {
    let same = || Ok(Value::from(text));
    match rule {
        Text::Any(limit) => at_most(text, limit).and_then(|()| same()),
        Text::OneOf(words) => one_of(words, text, false),
        Text::OneOfAnyCase(words) => one_of(words, text, true),
        Text::Name => name(text).and_then(|()| same()),
        Text::TierName => tier_name(text).and_then(|()| same()),
        Text::Interface => interface(text).and_then(|()| same()),
        Text::Address => address(text).and_then(|_| same()),
        Text::AddressV4 => address(text).and_then(|a| of_family(Family::of(a), Family::V4)).and_then(|()| same()),
        Text::AddressV6 => address(text).and_then(|a| of_family(Family::of(a), Family::V6)).and_then(|()| same()),
        Text::StrictNet => strict_net(text).and_then(|_| same()),
        Text::LooseNet => loose_net(text).and_then(|_| same()),
        Text::LooseNetV4 => {
            loose_net(text).and_then(|n| of_family(Family::of_net(n), Family::V4)).and_then(|()| same())
        }
        Text::LooseNetV6 => {
            loose_net(text).and_then(|n| of_family(Family::of_net(n), Family::V6)).and_then(|()| same())
        }
        Text::Selector => selector(text).and_then(|_| same()),
        Text::ScopedSelector if text.contains("global(") => refuse("`global()` is not allowed here"),
        Text::ScopedSelector => selector(text).and_then(|_| same()),
        Text::NamespaceSelector => {
            let parsed = selector(text)?;
            if parsed.contains_global() && parsed.canonical() != "global()" {
                return refuse("`global()` cannot be joined with anything else");
            }
            same()
        }
        Text::Protocol => protocol(text).map(|(_, stored)| stored),
        Text::PortProtocol => {
            let (protocol, stored) = protocol(text)?;
            if !protocol.has_ports() {
                return refuse_with(format!("protocol `{text}` has no ports"), "use TCP, UDP or SCTP");
            }
            Ok(stored)
        }
        Text::Port => port(text).map(|port| stored_port(&port)),
        Text::NumericPort => match port(text)? {
            Port::Named(_) => refuse("a port name is not allowed here"),
            port => Ok(stored_port(&port)),
        },
        Text::PortName => port_name(text).and_then(|()| same()),
        Text::Duration => duration(text, true).map(Value::from),
        Text::FreeDuration => duration(text, false).map(Value::from),
        Text::FailsafeProtocol => same(),
        Text::Regex => match InterfacePattern::parse(text) {
            Ok(_) => same(),
            Err(_) => refuse(format!("`{text}` is not a regular expression, or too large a one")),
        },
        Text::LogPrefix => characters(text, "a log prefix", "letters, digits and `%: /_-`", |c| {
            c.is_ascii_alphanumeric() || "%: /_-".contains(c)
        })
        .and_then(|()| same()),
        Text::Mac => hardware_address(text).and_then(|()| same()),
        Text::RateLimit => rate_limit(text).and_then(|()| same()),
        Text::MetricsHost => {
            at_most(text, 64)?;
            characters(text, "a host", "letters, digits and `:._+-`", |c| {
                c.is_ascii_alphanumeric() || ":._+-".contains(c)
            })
            .and_then(|()| same())
        }
        Text::Region => {
            at_most(text, 46)?;
            if !is_label(text) {
                return refuse(format!("`{text}` is not a DNS label"));
            }
            same()
        }
        Text::HealthName => characters(text, "a reporter", "letters, digits, space and `_-`", |c| {
            c.is_ascii_alphanumeric() || "_ -".contains(c)
        })
        .and_then(|()| same()),
        Text::HttpPath => http_path(text).and_then(|()| same()),
        Text::AsNumber => as_number(text),
    }
}

fn at_most(text: &str, limit: usize) -> Result<(), Refusal> {
    match text.chars().count() {
        len if len > limit => refuse(format!("{len} characters, at most {limit} are allowed")),
        _ => Ok(()),
    }
}

fn characters(text: &str, what: &str, allowed: &str, is_allowed: impl Fn(char) -> bool) -> Result<(), Refusal> {
    match text.chars().find(|c| !is_allowed(*c)) {
        Some(c) => refuse_with(format!("`{c}` is not allowed in {what}"), format!("use {allowed}")),
        None => Ok(()),
    }
}

fn one_of(words: &[&str], text: &str, any_case: bool) -> Result<Value, Refusal> {
    if words.iter().any(|word| *word == text || any_case && word.eq_ignore_ascii_case(text)) {
        return Ok(Value::from(text));
    }
    let hint = match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("use one of {}", words.join(", ")),
    };
    refuse_with(format!("`{text}` is not one of {}", words.join(", ")), hint)
}

/// Bytes of the longest text that may be a misspelt word.
const NEAR_LEN_MAX: usize = 64;

/// The word that `text` was probably meant to be.
pub fn nearest<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison takes time by the product of both lengths.
    if text.len() > NEAR_LEN_MAX {
        return None;
    }
    let lower = text.to_lowercase();
    let len = lower.chars().count();
    words
        .into_iter()
        // No distance is less than the difference of lengths, which costs nothing.
        .filter(|word| word.len().abs_diff(len) <= word.len().max(text.len()) / 3)
        .map(|word| (strsim::damerau_levenshtein(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= word.len().max(text.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Whether a text is a label of DNS (RFC 1123), `[a-z0-9]([-a-z0-9]*[a-z0-9])?`; at most 63 bytes where it matters to the
/// caller.
pub fn is_label(text: &str) -> bool {
    let is_end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// Whether a text is a DNS subdomain as Kubernetes takes it for a name (RFC 1123): labels joined by single dots, at most 253
/// bytes.
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX && text.split('.').all(is_label)
}

fn name(text: &str) -> Result<(), Refusal> {
    if text.len() > NAME_LEN_MAX {
        return refuse(format!("{} bytes, a name has at most {NAME_LEN_MAX}", text.len()));
    }
    if is_name(text) {
        return Ok(());
    }
    let message = format!("`{text}` is not a name: lower-case letters, digits, `-` and `.`, not at its ends");
    match text.to_lowercase().replace('_', "-") {
        other if is_name(&other) => refuse_with(message, format!("did you mean `{other}`?")),
        _ => refuse(message),
    }
}

fn tier_name(text: &str) -> Result<(), Refusal> {
    if text.len() <= 63 && is_label(text) {
        return Ok(());
    }
    refuse(format!("`{text}` is not the name of a tier: at most 63 lower-case letters, digits and `-`, no dot"))
}

/// The name of a host endpoint in stores that take more than Kubernetes does (D-2).
pub(crate) fn is_free_name(text: &str) -> bool {
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= NAME_LEN_MAX
        && text.split('.').all(|part| {
            let bytes = part.as_bytes();
            is_end(bytes.first())
                && is_end(bytes.last())
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

fn interface(text: &str) -> Result<(), Refusal> {
    if text == "*" {
        return Ok(());
    }
    if text.chars().count() > 15 {
        return refuse(format!("`{text}` is longer than 15 characters, the most an interface name has"));
    }
    characters(text, "an interface name", "letters, digits and `_.-`, or `*` alone for all interfaces", |c| {
        c.is_ascii_alphanumeric() || "_.-".contains(c)
    })
}

/// An address without mask, zone, brackets or port; IPv4-mapped IPv6 is IPv4.
pub(crate) fn address(text: &str) -> Result<IpAddr, Refusal> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical()),
        Err(_) if text.contains('/') => {
            refuse_with(format!("`{text}` is not an address"), "leave out the prefix length")
        }
        Err(_) => refuse(format!("`{text}` is not an address")),
    }
}

/// An address, or an address and a prefix length; host bits are kept.
pub(crate) fn loose_net(text: &str) -> Result<IpNet, Refusal> {
    let not_a_net = || Refusal { message: format!("`{text}` is not a network"), hint: None };
    let Some((address, prefix)) = text.split_once('/') else {
        return address(text).map(IpNet::from).map_err(|_| not_a_net());
    };
    if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(not_a_net());
    }
    // Leading zeros are allowed, so the length of the text is no bound.
    let prefix: u8 = match prefix.trim_start_matches('0') {
        "" => 0,
        digits => digits.parse().map_err(|_| not_a_net())?,
    };
    let net = match address.parse::<IpAddr>().map_err(|_| not_a_net())? {
        IpAddr::V4(v4) => Ipv4Net::new(v4, prefix).map(IpNet::from),
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), prefix.checked_sub(96)) {
            (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).map(IpNet::from),
            _ => Ipv6Net::new(v6, prefix).map(IpNet::from),
        },
    };
    net.map_err(|_| Refusal { message: format!("`{text}` has a prefix length that is too long"), hint: None })
}

/// A network with its prefix length and no host bits.
pub(crate) fn strict_net(text: &str) -> Result<IpNet, Refusal> {
    let net = loose_net(text)?;
    if !text.contains('/') {
        return refuse_with(format!("`{text}` has no prefix length"), format!("write `{text}/{}`", net.prefix_len()));
    }
    if net.trunc() != net {
        return refuse_with(format!("`{text}` has host bits set"), format!("write `{}`", net.trunc()));
    }
    Ok(net)
}

fn of_family(found: Family, wanted: Family) -> Result<(), Refusal> {
    let word = |family| if family == Family::V4 { "IPv4" } else { "IPv6" };
    if found == wanted { Ok(()) } else { refuse(format!("an {} address is wanted here", word(wanted))) }
}

pub(crate) fn selector(text: &str) -> Result<Selector, Refusal> {
    let len = text.chars().count();
    if len > SELECTOR_LEN_MAX {
        return refuse(format!("{len} characters, a selector has at most {SELECTOR_LEN_MAX}"));
    }
    parse_selector(text)
}

/// A selector of any length, as an agent reads it.
pub(crate) fn parse_selector(text: &str) -> Result<Selector, Refusal> {
    Selector::parse(text).map_err(|error| {
        let seen: String = text.get(error.offset..).unwrap_or_default().chars().take(20).collect();
        let message = if seen.is_empty() {
            format!("not a selector: {} at the end of `{text}`", error.expected)
        } else {
            format!("not a selector: {} at `{seen}` (byte {})", error.expected, error.offset)
        };
        Refusal { message, hint: selector_hint(text, &error) }
    })
}

/// A protocol, and the form in which it is stored.
pub(crate) fn protocol(text: &str) -> Result<(Protocol, Value), Refusal> {
    if let Some((name, protocol)) = Protocol::NAMES.iter().find(|(name, _)| *name == text) {
        return Ok((*protocol, Value::from(*name)));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.trim_start_matches('0').parse::<u8>() {
            Ok(number) => Ok((Protocol(number), json!(number))),
            Err(_) => refuse(format!("`{text}` is not a protocol number between 1 and 255")),
        };
    }
    let names = Protocol::NAMES.iter().map(|(name, _)| *name);
    let message = format!("`{text}` is not a protocol");
    match nearest(text, names) {
        Some(name) => refuse_with(message, format!("did you mean `{name}`?")),
        None => refuse_with(message, "use TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number between 1 and 255"),
    }
}

/// A protocol as an agent reads it: names in any case (E-310).
pub(crate) fn stored_protocol(text: &str) -> Result<Protocol, Refusal> {
    let named = Protocol::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    named.map_or_else(|| protocol(text).map(|(protocol, _)| protocol), |(_, protocol)| Ok(*protocol))
}

/// A port, a range or a name (E-325).
pub(crate) fn port(text: &str) -> Result<Port, Refusal> {
    let number = |digits: &str| -> Option<u16> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.trim_start_matches('0').parse().ok().filter(|port| *port > 0)
    };
    if let Some((first, last)) = text.split_once(':') {
        let Some((first, last)) = number(first).zip(number(last)) else {
            return refuse_with(format!("`{text}` is not a range of ports"), "write for instance `8000:8099`");
        };
        return PortRange::new(first, last)
            .map(Port::Range)
            .map_err(|error| Refusal { message: error.to_string(), hint: None });
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match number(text) {
            Some(port) => Ok(Port::Range(PortRange::single(port))),
            None => refuse(format!("`{text}` is not a port between 1 and 65535")),
        };
    }
    if let Some((first, last)) = text.split_once('-')
        && let Some((first, last)) = number(first).zip(number(last))
    {
        return refuse_with(format!("`{text}` is not a port"), format!("write the range as `{first}:{last}`"));
    }
    port_name(text)?;
    Ok(Port::Named(text.to_owned()))
}

fn stored_port(port: &Port) -> Value {
    match port {
        Port::Range(range) if range.first() == range.last() => json!(range.first()),
        Port::Range(range) => json!(format!("{}:{}", range.first(), range.last())),
        Port::Named(name) => json!(name),
    }
}

fn port_name(text: &str) -> Result<(), Refusal> {
    let is_good = (1..=15).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--");
    if is_good {
        return Ok(());
    }
    refuse(format!(
        "`{text}` is not a port name: at most 15 lower-case letters, digits and single `-`, one letter at least"
    ))
}

/// A Go duration in its normal form. With `is_whole` only whole hours, minutes, seconds and milliseconds.
pub(crate) fn duration(text: &str, is_whole: bool) -> Result<String, Refusal> {
    let nanoseconds = go_duration(text).ok_or_else(|| Refusal {
        message: format!("`{text}` is not a duration"),
        hint: Some("write for instance `90s`, `1m30s` or `500ms`".to_owned()),
    })?;
    let normal = go_format(nanoseconds);
    if is_whole && (nanoseconds < 0 || normal.contains('.') || normal.contains('µ') || normal.ends_with("ns")) {
        return refuse_with(
            format!("`{text}` becomes `{normal}`"),
            "use whole hours, minutes and seconds, or milliseconds below one second",
        );
    }
    Ok(normal)
}

/// A duration as resources write it, for instance `1m30s`; `None` when it is none, or negative.
pub fn parse_duration(text: &str) -> Option<Duration> {
    go_duration(text).and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).map(Duration::from_nanos)
}

/// The form in which resources store a duration: `1m30s` for 90 seconds.
pub fn format_duration(duration: Duration) -> String {
    go_format(i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX))
}

/// Nanoseconds of a duration as Go's `time.ParseDuration` reads it.
fn go_duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, behind) = rest.split_at(len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let units = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000i128),
        ];
        let unit_len = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_len);
        let (_, scale) = units.into_iter().find(|(name, _)| *name == unit)?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        let mut scale = scale;
        for digit in fraction.bytes().take(18) {
            scale /= 10;
            total += i128::from(digit - b'0') * scale;
        }
        rest = next;
    }
    (total <= i128::from(i64::MAX)).then_some(sign * total)
}

/// A duration as Go's `time.Duration.String` writes it.
fn go_format(nanoseconds: i128) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let n = nanoseconds.unsigned_abs();
    let decimal = |value: u128, scale: u128| {
        let mut fraction = format!("{:0width$}", value % scale, width = scale.ilog10() as usize);
        while fraction.ends_with('0') {
            fraction.pop();
        }
        if fraction.is_empty() { format!("{}", value / scale) } else { format!("{}.{fraction}", value / scale) }
    };
    match n {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(n, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(n, 1_000_000)),
        _ => {
            let minutes = n / 60_000_000_000;
            let seconds = decimal(n % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// 6, 8 or 20 bytes in hexadecimal: pairs of digits joined by `:` or `-`, or groups of four joined by `.`.
fn hardware_address(text: &str) -> Result<(), Refusal> {
    let is_hex = |group: &str, len: usize| group.len() == len && group.bytes().all(|b| b.is_ascii_hexdigit());
    let is_of = |separator: char, len: usize| {
        let groups: Vec<&str> = text.split(separator).collect();
        groups.iter().all(|group| is_hex(group, len)) && [6, 8, 20].contains(&(groups.len() * len / 2))
    };
    match is_of(':', 2) || is_of('-', 2) || is_of('.', 4) {
        true => Ok(()),
        false => refuse_with(format!("`{text}` is not a hardware address"), "write `02:00:5e:10:00:01`, for instance"),
    }
}

fn rate_limit(text: &str) -> Result<(), Refusal> {
    let is_good = text.split_once('/').is_some_and(|(number, unit)| {
        let is_number = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        is_number && (1..=4).contains(&number.len()) && ["second", "minute", "hour", "day"].contains(&unit)
    });
    if is_good {
        return Ok(());
    }
    refuse_with(
        format!("`{text}` is not a rate"),
        "write for instance `10/second`; units are second, minute, hour and day",
    )
}

fn http_path(text: &str) -> Result<(), Refusal> {
    at_most(text, 1024)?;
    if !text.starts_with('/') {
        return refuse(format!("path `{text}` does not begin with `/`"));
    }
    match text.chars().find(|c| "?# ".contains(*c)) {
        Some(c) => refuse(format!("`{c}` is not allowed in a path")),
        None => Ok(()),
    }
}

/// `65000`, or `1.10` for 65546; stored as one number.
fn as_number(text: &str) -> Result<Value, Refusal> {
    let number = match text.split_once('.') {
        None => text.parse::<u32>().ok(),
        Some((high, low)) => high
            .parse::<u16>()
            .ok()
            .zip(low.parse::<u16>().ok())
            .map(|(high, low)| u32::from(high) << 16 | u32::from(low)),
    };
    number.map(Value::from).ok_or_else(|| Refusal { message: format!("`{text}` is not an AS number"), hint: None })
}

/// A label or annotation key: optional DNS prefix, `/`, name of 1 to 63 characters.
pub(crate) fn label_key(key: &str) -> Result<(), Refusal> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| !is_name(prefix)) || name.is_empty() || !is_label_text(name) {
        return refuse_with(
            format!("`{key}` is not a label key"),
            "an optional DNS name and `/`, then 1 to 63 letters, digits, `-`, `_`, `.`, not at its ends",
        );
    }
    Ok(())
}

pub(crate) fn label_value(value: &str) -> Result<(), Refusal> {
    if is_label_text(value) {
        return Ok(());
    }
    refuse_with(
        format!("`{value}` is not a label value"),
        "at most 63 letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit",
    )
}

/// 0 to 63 of letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn is_label_text(text: &str) -> bool {
    let is_end = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether a network is `0.0.0.0/0` or `::/0`.
pub(crate) fn is_everything(net: IpNet) -> bool {
    net.prefix_len() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_form_that_go_gives_them() {
        for (given, normal) in [
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("60000ms", "1m0s"),
            ("0.5s", "500ms"),
            ("0", "0s"),
            ("15m", "15m0s"),
            ("1h30m", "1h30m0s"),
        ] {
            assert_eq!(duration(given, true).as_deref(), Ok(normal), "{given}");
        }
        for refused in ["1.5s", "1500ms", "10us", "-1s", "90", "", "1x", "s", "1m 30s", "2500ms"] {
            assert!(duration(refused, true).is_err(), "{refused}");
        }
        assert_eq!(duration("1.5s", false).as_deref(), Ok("1.5s"));
    }

    #[test]
    fn hardware_addresses_have_six_eight_or_twenty_bytes() {
        for good in ["02:00:5e:10:00:01", "02-00-5E-10-00-01", "0200.5e10.0001", "02:00:5e:10:00:00:00:01"] {
            assert_eq!(check_text(Text::Mac, good), Ok(()), "{good}");
        }
        for bad in ["", "x", "02:00:5e:10:00", "2:0:5e:10:0:1", "02:00-5e:10:00:01", "02005e100001", "0200.5e10.000g"] {
            assert!(check_text(Text::Mac, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_are_numbers_ranges_or_names() {
        for (given, stored) in [
            ("80", json!(80)),
            ("0080", json!(80)),
            ("80:80", json!(80)),
            ("80:90", json!("80:90")),
            ("http", json!("http")),
            ("a-1", json!("a-1")),
        ] {
            assert_eq!(text(Text::Port, given), Ok(stored), "{given}");
        }
        for refused in
            ["80-90", "80,90", ":80", "80:", "", "HTTP", "http.alt", "0", "65536", "90:80", "-a", "a-", "a--b", "a b"]
        {
            assert!(text(Text::Port, refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn networks_are_strict_in_rules_and_loose_in_sets() {
        for good in ["10.0.0.0/8", "10.0.0.0/08", "2001:db8::/32", "0.0.0.0/0", "::ffff:10.0.0.0/104"] {
            assert!(strict_net(good).is_ok(), "{good}");
        }
        for refused in
            ["10.0.0.1/8", "10.0.0.1", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/33", "010.0.0.0/8", "fe80::%1/64"]
        {
            assert!(strict_net(refused).is_err(), "{refused}");
        }
        for good in ["10.0.0.1/8", "10.0.0.1", "::1"] {
            assert!(loose_net(good).is_ok(), "{good}");
        }
        assert_eq!(loose_net("::ffff:10.0.0.0/104").unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn protocols_are_stored_as_names_or_numbers() {
        for (given, stored) in [("TCP", json!("TCP")), ("6", json!(6)), ("06", json!(6)), ("255", json!(255))] {
            assert_eq!(protocol(given).map(|(_, stored)| stored), Ok(stored), "{given}");
        }
        for refused in ["tcp", "+6", "0", "256", "", "TCPP"] {
            assert!(protocol(refused).is_err(), "{refused}");
        }
        assert_eq!(stored_protocol("icmpv6"), Ok(Protocol::ICMPV6));
    }
}
