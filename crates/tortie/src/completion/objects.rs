//! Kinds, and the names of objects behind them: `hep web1-eth0`, `hep,gnp`, `hep/web1-eth0`.

use clap_complete::CompletionCandidate;
use tortie_api::Kind;
use tortie_api::schema::summary;

use super::line::Line;
use super::names;
use super::values::plain;

/// The word that stands for every kind.
const ALL: &str = "all";

/// Kinds and names of objects.
pub(super) fn named(line: &Line, typed: &str) -> Vec<CompletionCandidate> {
    let words = line.values("what");
    if let Some((kind, name)) = typed.split_once('/') {
        let Ok(found) = kind.parse() else { return Vec::new() };
        let given: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix(kind)?.strip_prefix('/')).collect();
        let names = plain(others(names::of_kind(line, found), &given), name);
        return names.into_iter().map(|candidate| candidate.add_prefix(format!("{kind}/"))).collect();
    }
    match words.split_first() {
        None => first(typed),
        // Behind one TYPE/NAME stand others.
        Some((word, _)) if word.contains('/') => kind_words(typed).collect(),
        Some((_, given)) => {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            let names = kinds(line).into_iter().flat_map(|kind| names::of_kind(line, kind));
            plain(others(names, &given), typed)
        }
    }
}

/// The kinds that the line names; all of them when it names none yet.
pub(super) fn kinds(line: &Line) -> Vec<Kind> {
    let words = line.values("what");
    let listed = words.first().map(String::as_str).unwrap_or(ALL).split(',');
    let listed = listed.map(|word| word.split('/').next().unwrap_or(word));
    let found: Vec<Kind> = listed.filter_map(|word| word.parse().ok()).collect();
    if found.is_empty() && words.first().is_none_or(|word| word == ALL) { Kind::all().collect() } else { found }
}

/// Kinds, and behind a comma further ones.
fn first(typed: &str) -> Vec<CompletionCandidate> {
    match typed.rsplit_once(',') {
        Some((before, last)) => kind_words(last).map(|candidate| candidate.add_prefix(format!("{before},"))).collect(),
        None => kind_words(typed).chain(plain([ALL], typed)).collect(),
    }
}

/// What kinds are called that begin so: the plural, and the first other word where somebody has begun one.
pub(super) fn kind_words(typed: &str) -> impl Iterator<Item = CompletionCandidate> {
    let lower = typed.to_ascii_lowercase();
    Kind::all().flat_map(move |kind| {
        let begins = |word: &&str| word.to_ascii_lowercase().starts_with(&lower);
        let plural = Some(kind.plural()).filter(begins);
        let mut others = kind.aliases().chain([kind.name()]);
        let other = others.find(begins).filter(|word| !lower.is_empty() && Some(*word) != plural);
        // The singular is no help to who may have the plural.
        let other = other.filter(|word| plural.is_none_or(|plural| !plural.starts_with(&word.to_ascii_lowercase())));
        let candidate = move |word| CompletionCandidate::new(word).help(Some(summary(kind).into()));
        plural.into_iter().chain(other).map(candidate)
    })
}

/// Names that are not given yet.
fn others(names: impl IntoIterator<Item = String>, given: &[&str]) -> Vec<String> {
    names.into_iter().filter(|name| !given.contains(&name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &str) -> Vec<String> {
        first(typed).into_iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn kinds_are_offered_by_what_they_are_called() {
        assert_eq!(words("h"), ["hostendpoints", "hep"]);
        assert_eq!(words("hostend"), ["hostendpoints"]);
        assert_eq!(words("HostE"), ["hostendpoints"]);
        assert_eq!(words("gnp"), ["gnp"]);
        assert_eq!(words("hep,tie"), ["hep,tiers"]);
        assert_eq!(words("al"), ["all"]);
        assert_eq!(words("").len(), Kind::all().count() + 1);
        assert!(words("nothing").is_empty());
    }
}
