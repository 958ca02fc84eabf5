//! Paths of fields, from the tables by which everything is checked.

use std::collections::BTreeSet;

use clap_complete::CompletionCandidate;
use tortie_api::Kind;
use tortie_api::schema::{Field, Type};

use super::line::Line;
use super::objects;
use crate::docs::{below, shortened};

/// What `docs` takes: a kind, or a field of it.
pub(super) fn documented(typed: &str) -> Vec<CompletionCandidate> {
    let Some((kind, path)) = typed.split_once('.') else {
        let kinds: Vec<CompletionCandidate> = objects::kind_words(typed).collect();
        // Who has written the whole kind may want a field of it.
        let fields = typed.parse().map(|kind| of_kind(kind, "", &format!("{typed}."))).unwrap_or_default();
        let whole = (!fields.is_empty() && kinds.is_empty()).then(|| CompletionCandidate::new(typed));
        return whole.into_iter().chain(kinds).chain(fields).collect();
    };
    kind.parse().map(|found| of_kind(found, path, &format!("{kind}."))).unwrap_or_default()
}

/// The fields of a kind that a path may end in, without `spec` too.
fn of_kind(kind: Kind, path: &str, prefix: &str) -> Vec<CompletionCandidate> {
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
    let prefix = if parent.is_empty() { prefix.to_owned() } else { format!("{prefix}{parent}.") };
    let fields = shortened(kind, parent).into_iter().filter(|field| field.name.starts_with(last));
    fields.map(|field| candidate(&prefix, &field, "")).collect()
}

/// What objects can be sorted by.
pub(super) fn to_sort_by(line: &Line, typed: &str) -> Vec<CompletionCandidate> {
    let dot = if typed.is_empty() || typed.starts_with('.') { "." } else { "" };
    let path = typed.strip_prefix('.').unwrap_or(typed);
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
    let prefix = if parent.is_empty() { dot.to_owned() } else { format!("{dot}{parent}.") };
    let mut seen = BTreeSet::new();
    let fields = objects::kinds(line).into_iter().flat_map(|kind| below(kind, parent));
    let fields = fields.filter(|field| field.name.starts_with(last) && seen.insert(field.name));
    fields.map(|field| candidate(&prefix, &field, if is_object(&field.ty) { "." } else { "" })).collect()
}

fn candidate(prefix: &str, field: &Field, more: &str) -> CompletionCandidate {
    CompletionCandidate::new(format!("{prefix}{}{more}", field.name)).help(Some(field.doc.into()))
}

/// Whether something can be sorted only by what is within it.
fn is_object(ty: &Type) -> bool {
    match ty {
        Type::Object(fields) => !fields.is_empty(),
        Type::Ruled(inner, _) => is_object(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(candidates: Vec<CompletionCandidate>) -> Vec<String> {
        candidates.into_iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn fields_are_offered_level_by_level() {
        assert_eq!(texts(documented("hep.spec.int")), ["hep.spec.interfaceName"]);
        assert_eq!(texts(documented("hep.int")), ["hep.interfaceName"]);
        assert_eq!(texts(documented("gnp.ingress.source.notN")), ["gnp.ingress.source.notNets"]);
        let hep = texts(documented("hep"));
        assert!(hep.contains(&"hep".to_owned()) && hep.contains(&"hep.metadata".to_owned()), "{hep:?}");
        assert!(documented("hep.nothing.").is_empty() && documented("nothing.").is_empty());
        let of = |typed| {
            let words = ["tortie", "get", "hep"].map(std::ffi::OsString::from);
            texts(to_sort_by(&Line::read(&words), typed))
        };
        assert_eq!(of(".sp"), [".spec."]);
        assert_eq!(of("spec.int"), ["spec.interfaceName"]);
        assert_eq!(of(".metadata.na"), [".metadata.name", ".metadata.namespace"]);
        assert!(of("").contains(&".metadata.".to_owned()));
    }
}
