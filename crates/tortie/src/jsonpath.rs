//! kubectl's JSONPath templates (`-o jsonpath=…`, `--sort-by`): text with `{…}` in it, in which paths, quoted text and
//! `range … end` stand (Kubernetes documentation, "JSONPath Support").
//!
//! It is no RFC 9535: it is a template, quoted keys hold whole paths, unions join paths, and a name ends only at `.`, `[`
//! and the like, so that labels need no quotes.

use std::cmp::Ordering;

use serde_json::Value;

mod known;
mod parse;
mod path;

pub(crate) use known::{Shape, Unknown};
use path::Path;

/// Why a template cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at} of the template")]
pub(crate) struct TemplateError {
    pub(crate) what: String,
    /// Counted from 1.
    pub(crate) at: usize,
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    /// Its parts once for each value.
    Range(Path, Vec<Part>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first place that cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Template, TemplateError> {
        parse::template(text).map(Template)
    }

    /// What it makes of a value. A path that leads nowhere gives nothing, as with kubectl.
    pub(crate) fn fill(&self, root: &Value) -> String {
        let mut out = String::new();
        fill(&self.0, root, root, &mut out);
        out
    }
}

fn fill(parts: &[Part], root: &Value, here: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let words: Vec<String> = path.find(root, here).into_iter().map(word).collect();
                out.push_str(&words.join(" "));
            }
            Part::Range(path, body) => {
                for value in path.find(root, here) {
                    fill(body, root, value, out);
                }
            }
        }
    }
}

/// Text as it is, everything else as JSON.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What objects are sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortKey(Path);

impl SortKey {
    /// Reads one path, with or without its braces and leading dot.
    ///
    /// # Errors
    /// The place that cannot be read, or that it is more than a path.
    pub(crate) fn parse(text: &str) -> Result<SortKey, TemplateError> {
        let bare = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
        let is_path = bare.starts_with(['.', '[', '$', '@']);
        let path = if is_path { bare.to_owned() } else { format!(".{bare}") };
        let template = parse::template(&format!("{{{path}}}"))?;
        match <[Part; 1]>::try_from(template) {
            Ok([Part::Path(path)]) => Ok(SortKey(path)),
            _ => Err(TemplateError { what: "one path and nothing else is wanted".to_owned(), at: 1 }),
        }
    }

    /// The value in an object that decides, if it has one.
    pub(crate) fn of(&self, object: &Value) -> Option<Value> {
        self.0.find(object, object).into_iter().next().cloned()
    }

    /// Numbers by size, everything else as text; what has no such value comes first.
    pub(crate) fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => word(a).cmp(&word(b)),
            },
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> String {
        let value = json!({
            "kind": "List",
            "items": [
                {"kind": "HostEndpoint", "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x", "r-1": "y"}},
                    "spec": {"order": 10, "ips": ["10.0.0.1", "10.0.0.2", "10.0.0.3"], "ready": true}},
                {"kind": "HostEndpoint", "metadata": {"name": "b"}, "spec": {"order": 9.5, "ips": []}},
            ],
        });
        Template::parse(template).unwrap_or_else(|error| panic!("{template}: {error}")).fill(&value)
    }

    /// The table of kubectl's documentation, on objects of ours.
    #[test]
    fn templates_give_what_kubectl_gives() {
        let cases = [
            ("kind is {.kind}", "kind is List"),
            ("{.kind}", "List"),
            ("{['kind']}", "List"),
            ("{$.kind}{@.kind}", "ListList"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items.*.metadata.name}", "a b"),
            ("{..name}", "a b"),
            ("{.items[0]['metadata.name', 'spec.order']}", "a 10"),
            ("{.items[*]['metadata.name','kind']}", "a b HostEndpoint HostEndpoint"),
            ("{range .items[*]}[{.metadata.name}, {.spec.order}] {end}", "[a, 10] [b, 9.5] "),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{.kind}{'\\n'}{end}", "a\tHostEndpoint\nb\tHostEndpoint\n"),
            ("{range .items[*]}{range .spec.ips[*]}{@};{end}{$.kind} {end}", "10.0.0.1;10.0.0.2;10.0.0.3;List List "),
            ("{.items[?(@.metadata.name==\"b\")].spec.order}", "9.5"),
            ("{.items[?(@.metadata.name != 'b')].metadata.name}", "a"),
            ("{.items[?(@.spec.order > 9.6)].metadata.name}", "a"),
            ("{.items[?(@.spec.order <= 9.5)].metadata.name}", "b"),
            ("{.items[?(@.spec.ready==true)].metadata.name}", "a"),
            ("{.items[?(@.spec.ready)].metadata.name}", "a"),
            ("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x"),
            ("{.items[0].metadata.labels['app\\.kubernetes\\.io/name']}", "x"),
            ("{.items[0].metadata.labels.r-1}", "y"),
            ("{.items[0].spec.ips[0]}", "10.0.0.1"),
            ("{.items[0].spec.ips[-1]}", "10.0.0.3"),
            ("{.items[0].spec.ips[1:]}", "10.0.0.2 10.0.0.3"),
            ("{.items[0].spec.ips[-2:]}", "10.0.0.2 10.0.0.3"),
            ("{.items[0].spec.ips[0:3:2]}", "10.0.0.1 10.0.0.3"),
            ("{.items[0].spec.ips[0,2]}", "10.0.0.1 10.0.0.3"),
            ("{.items[0].spec.ips}", "[\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\"]"),
            ("{.items[7].metadata.name}{.nothing.at.all}{.kind.name}", ""),
            ("{.items[0].spec.ips[9]}", ""),
            ("a {'quoted }'} z", "a quoted } z"),
        ];
        for (template, wanted) in cases {
            assert_eq!(filled(template), wanted, "{template}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_read_is_told() {
        let cases = [
            ("{.a", "`{` is not closed", 1),
            ("{range .items[*]}{.a}", "`range` has no `end`", 1),
            ("x{end}", "`end` without `range`", 2),
            ("{.a[}", "`[` is not closed", 4),
            ("{.a[x]}", "`x` is no index", 4),
            ("{.a[?(@.b==)]}", "a value is missing", 4),
            ("{'a}", "`'` is not closed", 2),
            ("{name}", "`name` is no path: write `.name`", 2),
            ("{.a[0:1:0]}", "a step must be 1 or more", 4),
        ];
        for (template, what, at) in cases {
            let error = Template::parse(template).expect_err(template);
            assert_eq!((error.what.as_str(), error.at), (what, at), "{template}");
        }
        let deep = "{range .a}".repeat(100_000);
        assert_eq!(Template::parse(&deep).unwrap_err().what, "`range` stands in more than 32 others");
    }

    #[test]
    fn keys_to_sort_by_need_no_braces() {
        for path in [".m.n", "m.n", "{.m.n}", "{$.m.n}"] {
            let key = SortKey::parse(path).unwrap();
            assert_eq!(key.of(&json!({"m": {"n": 10}})), Some(json!(10)), "{path}");
            assert_eq!(key.of(&json!({"m": 1})), None, "{path}");
        }
        let compare = |a, b| SortKey::compare(Some(&a), Some(&b));
        assert_eq!(compare(json!(10), json!(9.5)), Ordering::Greater);
        assert_eq!(compare(json!("10"), json!("9")), Ordering::Less);
        assert_eq!(SortKey::compare(None, Some(&json!(0))), Ordering::Less, "what has none comes first");
        assert!(SortKey::parse("{.a}{.b}").is_err());
    }
}
