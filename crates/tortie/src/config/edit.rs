//! Changes one field of a configuration file, and leaves the rest as somebody wrote it.

use serde_json::{Map, Value, json};
use tortie_api::print::to_yaml;
use tortie_api::yaml::from_yaml;

/// The text with another value of a field of `spec`, or without it.
///
/// Comments and order stay where each field of the file has its line, as in every file that people write. Otherwise the
/// content stays, in lines of its own.
///
/// # Errors
/// That the text is no single document with an object.
pub(super) fn with(text: &str, key: &str, value: Option<&Value>) -> Result<String, String> {
    let mut wanted = document(text)?;
    let root = wanted.as_object_mut().ok_or("it is no object")?;
    let spec = root.entry("spec").or_insert(Value::Null);
    if spec.is_null() {
        *spec = json!({});
    }
    let spec = spec.as_object_mut().ok_or("`spec` is no object")?;
    match value {
        Some(value) => spec.insert(key.to_owned(), value.clone()),
        None => spec.shift_remove(key),
    };
    if let Some(lines) = in_lines(text, key, value).filter(|lines| is_same(lines, &wanted)) {
        return Ok(lines);
    }
    Ok(if text.trim_start().starts_with('{') { format!("{wanted:#}\n") } else { to_yaml(&wanted) })
}

fn document(text: &str) -> Result<Value, String> {
    let documents = from_yaml(text).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })?;
    match <[Value; 1]>::try_from(documents) {
        Ok([document]) => Ok(document),
        Err(documents) => Err(format!("it holds {} documents, expected one", documents.len())),
    }
}

/// Whether a text says what is wanted; no `spec` is an empty one.
fn is_same(text: &str, wanted: &Value) -> bool {
    document(text).is_ok_and(|mut found| {
        if let Some(spec) = found.get_mut("spec").filter(|spec| spec.is_null()) {
            *spec = Value::Object(Map::new());
        }
        found == *wanted
    })
}

/// The same by lines.
fn in_lines(text: &str, key: &str, value: Option<&Value>) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(spec) = lines.iter().position(|line| is_key(line, "spec")) else {
        let field = field("  ", key, value?, "");
        lines.extend(["spec:".to_owned(), field]);
        return Some(joined(&lines));
    };
    let is_outside = |line: &String| !line.is_empty() && !line.starts_with([' ', '\t', '#']);
    let end = lines[spec + 1..].iter().position(is_outside).map_or(lines.len(), |len| spec + 1 + len);
    let is_text = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let first = lines[spec + 1..end].iter().find(|line| is_text(line));
    let indent = first.map_or("  ", |line| &line[..line.len() - line.trim_start().len()]).to_owned();
    let member = |line: &String| line.strip_prefix(&indent).is_some_and(|rest| is_key(rest, key));
    match lines[spec + 1..end].iter().position(member).map(|at| spec + 1 + at) {
        Some(at) => {
            let is_deeper =
                |line: &String| line.strip_prefix(&indent).is_some_and(|rest| rest.starts_with([' ', '\t']));
            let behind = lines[at + 1..end].iter().position(|line| !is_deeper(line)).map_or(end, |len| at + 1 + len);
            let field = value.map(|value| field(&indent, key, value, comment(&lines[at])));
            lines.splice(at..behind, field);
        }
        None => {
            let last = lines[spec + 1..end].iter().rposition(|line| is_text(line)).map_or(spec, |at| spec + 1 + at);
            lines.splice(last + 1..last + 1, value.map(|value| field(&indent, key, value, "")));
        }
    }
    Some(joined(&lines))
}

fn is_key(line: &str, key: &str) -> bool {
    line.strip_prefix(key)
        .and_then(|rest| rest.strip_prefix(':'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// What stands behind a value to explain it; a quoted value may hold such a mark itself.
fn comment(line: &str) -> &str {
    if line.contains(['\'', '"']) {
        return "";
    }
    line.find(" #").map_or("", |at| &line[line[..at].trim_end().len()..])
}

fn field(indent: &str, key: &str, value: &Value, comment: &str) -> String {
    let text = to_yaml(&json!({ key: value }));
    let lines: Vec<String> = text.lines().map(|line| format!("{indent}{line}")).collect();
    lines.join("\n") + comment
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\napiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  # where\n  etcdEndpoints: http://a:1  # the first\n  etcdPassword: 'x # y'\n\n# the end\n";

    fn check(text: &str, key: &str, value: Option<Value>, expected: &str) {
        assert_eq!(with(text, key, value.as_ref()).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn lines_of_others_stay() {
        check(FILE, "etcdEndpoints", Some("http://b:1".into()), &FILE.replace("a:1", "b:1"));
        check(FILE, "etcdPassword", Some("z".into()), &FILE.replace("'x # y'", "z"));
        check(FILE, "etcdPassword", None, &FILE.replace("  etcdPassword: 'x # y'\n", ""));
        let longer = FILE.replace("y'\n", "y'\n  etcdUsername: u\n");
        check(FILE, "etcdUsername", Some("u".into()), &longer);
        check(FILE, "kubeconfig", None, FILE);
        let head = "apiVersion: v\nkind: k\n";
        check(head, "kubeconfig", Some("/k".into()), &format!("{head}spec:\n  kubeconfig: /k\n"));
        check(&format!("{head}spec:\n"), "kubeconfig", Some("/k".into()), &format!("{head}spec:\n  kubeconfig: /k\n"));
        let block = format!("{head}spec:\n    etcdKey: |\n      a\n      b\n    etcdCert: c\n");
        let replaced = format!("{head}spec:\n    etcdKey: z\n    etcdCert: c\n");
        check(&block, "etcdKey", Some("z".into()), &replaced);
    }

    #[test]
    fn a_text_that_looks_like_something_else_is_quoted() {
        let text = with(FILE, "etcdPassword", Some(&"0123".into()));
        assert_eq!(
            document(&text.unwrap_or_default()).map(|file| file["spec"]["etcdPassword"].clone()),
            Ok("0123".into())
        );
    }

    #[test]
    fn what_has_no_lines_keeps_its_content() {
        let json = r#"{"apiVersion": "v", "spec": {"kubeconfig": "/k"}}"#;
        check(
            json,
            "k8sCurrentContext",
            Some("c".into()),
            "{\n  \"apiVersion\": \"v\",\n  \"spec\": {\n    \"kubeconfig\": \"/k\",\n    \"k8sCurrentContext\": \"c\"\n  }\n}\n",
        );
        let flow = with("apiVersion: v\nspec: {kubeconfig: /k}\n", "kubeconfig", Some(&"/x".into()));
        assert_eq!(flow.and_then(|text| document(&text)), Ok(json!({"apiVersion": "v", "spec": {"kubeconfig": "/x"}})));
        assert!(with("a: 1\n---\nb: 1\n", "kubeconfig", None).is_err());
        assert!(with("[1]", "kubeconfig", None).is_err());
        assert!(with("spec: 1\n", "kubeconfig", None).is_err());
    }
}
