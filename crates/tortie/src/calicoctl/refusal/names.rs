//! Names, labels and annotations: the rules of Kubernetes, in its words.

use tortie_api::Kind;

use super::site::Site;
use super::{LAST, Lines, Pass};

const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;

const DOTTED: &str = "name must consist of lower case alphanumeric characters, '-' or '.' (regex: \
                      [a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)";
const UNDOTTED: &str =
    "name must consist of lower case alphanumeric characters or '-' (regex: [a-z0-9]([-a-z0-9]*[a-z0-9])?)";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation \
                         is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                         and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                         validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                           and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or \
                           '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What is wrong with the name of an object.
pub(super) fn name(lines: &mut Lines<'_>, site: &Site<'_>) {
    const FIELD: &str = "Metadata.Name";
    let (name, kind) = (site.text(), lines.kind);
    let too_long =
        |len_max: usize| (name.len() > len_max).then(|| format!("name is too long by {} bytes", name.len() - len_max));
    for reason in too_long(NAME_LEN_MAX).into_iter().chain((!is_dotted(name)).then(|| DOTTED.to_owned())) {
        lines.field(site, FIELD, name, &reason);
    }
    // Kinds with tiers look at it again, and so do staged policies of Kubernetes at its length.
    let (len_max, dots_max) = match kind {
        Kind::Tier => (LABEL_LEN_MAX, 0),
        Kind::StagedKubernetesNetworkPolicy => (NAME_LEN_MAX, usize::MAX),
        kind if kind.is_tiered_policy() => (NAME_LEN_MAX, 1),
        _ => return,
    };
    let is_shaped = kind == Kind::StagedKubernetesNetworkPolicy || is_dotted(name);
    let is_good = is_shaped && name.matches('.').count() <= dots_max;
    let reasons = too_long(len_max).into_iter().chain((!is_good).then(|| UNDOTTED.to_owned()));
    for (rank, reason) in reasons.enumerate() {
        lines.whole(rank, format!("{FIELD} = '{name}' ({reason})"));
    }
}

/// The rule without its limit on the length.
pub(super) fn is_dotted(name: &str) -> bool {
    name.split('.').all(is_part)
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn is_part(part: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(is_end) && part.ends_with(is_end) && part.chars().all(|c| is_end(c) || c == '-')
}

/// What is wrong with the key of a label, or with that of an annotation.
pub(super) fn key(lines: &mut Lines<'_>, site: &Site<'_>, field: &str) {
    let key = site.key.clone().unwrap_or_default();
    let checked = if field.ends_with("(key)") { key.to_lowercase() } else { key.clone() };
    for reason in qualified(&checked) {
        metadata(lines, site, format!("{field} = '{key}' ({reason})"));
    }
}

/// What is wrong with the value of a label.
pub(super) fn label_value(lines: &mut Lines<'_>, site: &Site<'_>) {
    let value = site.printed();
    let too_long = (value.len() > LABEL_LEN_MAX).then(|| format!("must be no more than {LABEL_LEN_MAX} bytes"));
    let misshapen = (!value.is_empty() && !is_qualified(&value)).then(|| LABEL_VALUE.to_owned());
    for reason in too_long.into_iter().chain(misshapen) {
        metadata(lines, site, format!("Metadata.Labels (value) = '{value}' ({reason})"));
    }
}

/// A mistake in the metadata; policies and tiers look at them again.
fn metadata(lines: &mut Lines<'_>, site: &Site<'_>, text: String) {
    if !site.path.starts_with("metadata.") {
        return lines.push(Pass::Structs, &site.order, 0, text);
    }
    // Behind what is wrong with the name, annotations first.
    let rank = 2 + usize::from(site.path.starts_with("metadata.labels"));
    lines.push(Pass::Structs, &[site.order[0], LAST], rank, text.clone());
    let is_policy = lines.kind.is_tiered_policy() || lines.kind == Kind::StagedKubernetesNetworkPolicy;
    if is_policy || lines.kind == Kind::Tier {
        lines.whole(rank, text);
    }
}

/// Annotations that are too long together.
pub(super) fn annotations_length(lines: &mut Lines<'_>, site: &Site<'_>, total: usize) {
    const LEN_MAX: usize = 256 * 1024;
    let reason = format!("total size of annotations is too large by {} bytes", total.saturating_sub(LEN_MAX));
    metadata(lines, site, format!("Metadata.Annotations (key) = '{}' ({reason})", site.printed()));
}

/// What Kubernetes says of a qualified name.
fn qualified(key: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                reasons.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > NAME_LEN_MAX {
                    reasons.push(format!("prefix part must be no more than {NAME_LEN_MAX} bytes"));
                }
                if !prefix.split('.').all(is_part) {
                    reasons.push(format!("prefix part {SUBDOMAIN}"));
                }
            }
            name
        }
        _ => {
            let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {QUALIFIED} {tail}")];
        }
    };
    if name.is_empty() {
        reasons.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LEN_MAX {
        reasons.push(format!("name part must be no more than {LABEL_LEN_MAX} bytes"));
    }
    if !is_qualified(name) {
        reasons.push(format!("name part {QUALIFIED}"));
    }
    reasons
}

fn is_qualified(name: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(is_end) && name.ends_with(is_end) && name.chars().all(|c| is_end(c) || "-_.".contains(c))
}
