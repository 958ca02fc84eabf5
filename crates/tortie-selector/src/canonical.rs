//! Canonical text (section 5 of the specification).

use crate::node::Node;

pub(crate) fn text(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node);
    out
}

fn write(out: &mut String, node: &Node) {
    match node {
        Node::All => out.push_str("all()"),
        Node::Global => out.push_str("global()"),
        Node::Has(label) => {
            out.push_str("has(");
            out.push_str(label);
            out.push(')');
        }
        Node::Equal(label, value) => comparison(out, label, "==", value),
        Node::NotEqual(label, value) => comparison(out, label, "!=", value),
        Node::Contains(label, value) => comparison(out, label, "contains", value),
        Node::StartsWith(label, value) => comparison(out, label, "starts with", value),
        Node::EndsWith(label, value) => comparison(out, label, "ends with", value),
        Node::In(label, set) => membership(out, label, "in", set),
        Node::NotIn(label, set) => membership(out, label, "not in", set),
        Node::Not(inner) => {
            out.push('!');
            write(out, inner);
        }
        Node::And(terms) => list(out, terms, " && "),
        Node::Or(terms) => list(out, terms, " || "),
    }
}

fn list(out: &mut String, terms: &[Node], operator: &str) {
    out.push('(');
    for (number, term) in terms.iter().enumerate() {
        if number > 0 {
            out.push_str(operator);
        }
        write(out, term);
    }
    out.push(')');
}

fn comparison(out: &mut String, label: &str, operator: &str, value: &str) {
    out.push_str(label);
    out.push(' ');
    out.push_str(operator);
    out.push(' ');
    quoted(out, value);
}

fn membership<'a>(out: &mut String, label: &str, operator: &str, set: impl IntoIterator<Item = &'a String>) {
    out.push_str(label);
    out.push(' ');
    out.push_str(operator);
    out.push_str(" {");
    for (number, value) in set.into_iter().enumerate() {
        if number > 0 {
            out.push_str(", ");
        }
        quoted(out, value);
    }
    out.push('}');
}

fn quoted(out: &mut String, value: &str) {
    let quote = if value.contains('"') { '\'' } else { '"' };
    out.push(quote);
    out.push_str(value);
    out.push(quote);
}
