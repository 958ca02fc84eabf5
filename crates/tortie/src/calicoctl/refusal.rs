//! Why an object is refused, in the words of Calico's tools.
//!
//! Those check an object in three passes, and tell of a mistake in each that finds it: tags and rules of structs of Go, the
//! schema of the kind, and rules of the schema that join fields. What Tortie finds wrong is told in the words of these
//! passes, in their order; for what they have no words Tortie's own are told.

mod fields;
mod joint;
mod names;
mod settings;
mod site;
mod unreadable;

use serde_json::Value;
use tortie_api::{Fault, Joint, Kind, Problem};

use super::error::Error;
use site::Site;

pub(super) use unreadable::unreadable;

/// A pass over an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    /// Tags and rules of structs: fields first, then what holds them.
    Structs,
    /// Types, words, patterns and lengths.
    Schema,
    /// Rules of the schema: of an object first, then of what it holds.
    Rules,
}

/// One mistake as it is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    pass: Pass,
    /// Where its field stands in the object.
    at: Vec<usize>,
    /// Its place among rules of one object.
    rank: usize,
    text: String,
}

/// What is told of an object, while it is collected.
struct Lines<'a> {
    kind: Kind,
    raw: &'a Value,
    found: Vec<Line>,
    /// How often something was told, the same or not.
    told: usize,
}

/// Behind all fields of an object.
const LAST: usize = usize::MAX;

impl Lines<'_> {
    fn push(&mut self, pass: Pass, at: &[usize], rank: usize, text: String) {
        let line = Line { pass, at: at.to_vec(), rank, text };
        self.told += 1;
        if !self.found.contains(&line) {
            self.found.push(line);
        }
    }

    /// `Name = 'value' (reason)`, a struct's rule about one of its fields.
    fn field(&mut self, site: &Site<'_>, name: &str, value: &str, reason: &str) {
        self.push(Pass::Structs, &site.order, 0, format!("{name} = '{value}' ({reason})"));
    }

    /// A field against its tag.
    fn tag(&mut self, site: &Site<'_>, tag: &str) {
        let name = &site.go_name;
        let reason = format!("Reason: failed to validate Field: {name} because of Tag: {tag} ");
        self.field(site, name, &site.printed(), &reason);
    }

    /// A rule of a struct as a whole.
    fn structure(&mut self, site: &Site<'_>, rank: usize, text: String) {
        let at: Vec<usize> = site.order.iter().copied().chain([LAST]).collect();
        self.push(Pass::Structs, &at, rank, text);
    }

    /// A rule of the whole kind.
    fn whole(&mut self, rank: usize, text: String) {
        self.push(Pass::Structs, &[LAST], rank, text);
    }

    fn schema(&mut self, site: &Site<'_>, reason: &str) {
        self.push(Pass::Schema, &site.order, 0, format!("{} ({reason})", site.path));
    }

    fn rule(&mut self, site: &Site<'_>, rank: usize, reason: &str) {
        let name = if site.path.is_empty() { self.kind.name() } else { &site.path };
        self.push(Pass::Rules, &site.order, rank, format!("{name} ({reason})"));
    }
}

/// The refusal of an object.
pub(super) fn of(kind: Kind, raw: &Value, problems: &[Problem]) -> Error {
    // Two rules of settings of controllers are asked first, and nothing else is said then.
    if kind == Kind::KubeControllersConfiguration
        && problems.iter().any(|p| p.fault == Fault::Joint(Joint::OnlyDefault))
    {
        let text = "Cannot create a Kube Controllers Configuration resource with a name other than \"default\"";
        return Error::Invalid(text.to_owned());
    }
    let mut lines = Lines { kind, raw, found: Vec::new(), told: 0 };
    for problem in problems {
        let site = Site::find(kind, raw, &problem.path);
        let before = lines.told;
        let is_told = match problem.fault {
            Fault::Joint(joint) => joint::tell(&mut lines, joint, &site),
            _ => fields::tell(&mut lines, problem, &site),
        };
        if !is_told && lines.told == before {
            lines.schema(&site, &problem.message);
        }
    }
    // Whoever told of nothing took it for granted that another does.
    if let (true, Some(problem)) = (lines.found.is_empty(), problems.first()) {
        let site = Site::find(kind, raw, &problem.path);
        lines.schema(&site, &problem.message);
    }
    let mut lines = lines.found;
    // Those of one place stay in the order in which they were found.
    lines.sort_by(|a, b| (a.pass, &a.at, a.rank).cmp(&(b.pass, &b.at, b.rank)));
    Error::Invalid(match lines.as_slice() {
        [line] => format!("error with field {}", line.text),
        _ => {
            let all: String = lines.iter().map(|line| format!("-  {}\n", line.text)).collect();
            format!("error with the following fields:\n{all}")
        }
    })
}

#[cfg(test)]
mod tests;
