//! What keeps Calico's tools from reading an object at all: it is told of the whole file, before anything is written.

use std::cmp::Ordering;

use serde_json::Value;
use tortie_api::schema::Text;
use tortie_api::{Fault, Kind, Problem};

use super::site::Site;
use crate::calicoctl::error::Error;
use crate::go;

/// The first such mistake, by the order in which the members of a document are read: that of the alphabet.
pub(in crate::calicoctl) fn unreadable(kind: Kind, raw: &Value, problems: &[Problem]) -> Option<Error> {
    let mut found: Vec<(&Problem, Error)> =
        problems.iter().filter_map(|problem| Some((problem, read(kind, raw, problem)?))).collect();
    found.sort_by(|(a, _), (b, _)| in_order(&a.path, &b.path));
    found.into_iter().next().map(|(_, error)| error)
}

fn read(kind: Kind, raw: &Value, problem: &Problem) -> Option<Error> {
    let site = Site::find(kind, raw, &problem.path);
    let decode = |text: String| Some(Error::Decode(text));
    match problem.fault {
        Fault::UnknownField => {
            let name = problem.path.rsplit('.').next().unwrap_or_default();
            Some(Error::UnknownField(name.to_owned()))
        }
        Fault::Type => {
            let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            decode(format!("{}: {}{hint}", problem.path, problem.message))
        }
        Fault::Bounds(min, max) => {
            // Fields of Go that hold no such number.
            let number = site.value.and_then(Value::as_i64)?;
            let leaf = problem.path.rsplit('.').next().unwrap_or_default();
            let (type_name, type_max) = match leaf {
                "port" => ("uint16", i64::from(u16::MAX)),
                "iptablesMarkMask" | "nftablesMarkMask" => ("uint32", i64::from(u32::MAX)),
                _ => return None,
            };
            let is_outside = number < 0 || number > type_max;
            let text =
                format!("json: cannot unmarshal number {number} into Go struct field {leaf} of type {type_name}");
            (is_outside && !(min..=max).contains(&number)).then_some(Error::Decode(text))
        }
        Fault::Text(Text::Port | Text::NumericPort) => port(site.value?, &site.path).and_then(decode),
        Fault::Text(Text::Duration | Text::FreeDuration) => go::duration_mistake(site.text()).and_then(decode),
        Fault::Text(Text::Protocol | Text::PortProtocol) => {
            let number = site.value.and_then(Value::as_i64).filter(|number| !(0..=255).contains(number))?;
            decode(format!(
                "json: cannot unmarshal number {number} into Go struct field {} of type uint8",
                problem.path
            ))
        }
        Fault::Text(Text::AsNumber) => decode(format!("{}: {}", problem.path, problem.message)),
        _ => None,
    }
}

/// Paths by the names of their members, and by the numbers of entries of lists.
fn in_order(a: &str, b: &str) -> Ordering {
    let parts = |path: &str| -> Vec<(String, usize)> {
        let split = path.split(['.', '[']).map(|part| part.trim_end_matches(']'));
        split.map(|part| part.parse().map_or((part.to_owned(), 0), |number| (String::new(), number))).collect()
    };
    parts(a).cmp(&parts(b))
}

/// Why a port is none: a number, two joined by a colon, or a name.
fn port(value: &Value, path: &str) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.as_u64().is_none_or(|number| number > u64::from(u16::MAX)) => {
            return Some(format!("json: cannot unmarshal number {number} into Go struct field {path} of type uint16"));
        }
        _ => return None,
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| text.parse::<u16>().ok();
    if is_number(&text) {
        return number(&text).is_none().then(|| format!("invalid port format ({text})"));
    }
    if let Some((min, max)) = text.split_once(':').filter(|(min, max)| is_number(min) && is_number(max)) {
        return match (number(min), number(max)) {
            (None, _) => Some(format!("invalid minimum port number in range ({text})")),
            (_, None) => Some(format!("invalid maximum port number in range ({text})")),
            (Some(min), Some(max)) if min > max => {
                Some(format!("minimum port number ({min}) is greater than maximum port number ({max}) in port range"))
            }
            _ => None,
        };
    }
    let is_name =
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    (!is_name).then(|| format!("invalid name for named port ({text})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_fail_in_the_words_of_calico() {
        for (value, words) in [
            (json!("70000"), Some("invalid port format (70000)")),
            (json!(70000), Some("json: cannot unmarshal number 70000 into Go struct field spec.ports of type uint16")),
            (json!("1:70000"), Some("invalid maximum port number in range (1:70000)")),
            (json!("70000:2"), Some("invalid minimum port number in range (70000:2)")),
            (json!("5:6:7"), Some("invalid name for named port (5:6:7)")),
            (json!("80-90"), None),
            (json!(0), None),
        ] {
            assert_eq!(port(&value, "spec.ports").as_deref(), words, "{value}");
        }
    }

    #[test]
    fn members_are_read_by_the_alphabet_and_entries_by_number() {
        let mut paths = ["spec.types[10]", "spec.types[2]", "metadata.name", "spec.egress[0].action"];
        paths.sort_by(|a, b| in_order(a, b));
        assert_eq!(paths, ["metadata.name", "spec.egress[0].action", "spec.types[2]", "spec.types[10]"]);
    }
}
