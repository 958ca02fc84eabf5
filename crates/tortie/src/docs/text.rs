//! Pages as people read them at a terminal.

use std::fmt::Write;

use tortie_api::schema::{self, Field, UNUSED};
use tortie_api::{API_VERSION, Kind};

use super::page::{Page, default, join, members};
use super::{example, types};
use crate::args::Color;

/// Columns where there is no terminal.
const WIDTH: usize = 100;

/// Columns that are printed at least: in a narrower terminal, it breaks lines itself.
const WIDTH_MIN: usize = 40;

/// How pages look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) width: usize,
    pub(super) is_bold: bool,
}

impl Look {
    /// For standard output, whatever it is.
    pub(super) fn of_stdout(color: Color) -> Look {
        let terminal = terminal_size::terminal_size_of(std::io::stdout());
        let width = terminal.map_or(WIDTH, |(width, _)| usize::from(width.0).max(WIDTH_MIN));
        Look { width, is_bold: color.is_on_stdout() }
    }

    fn bold(self, text: &str) -> String {
        if self.is_bold { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// All kinds with a sentence each.
pub(super) fn kinds(look: Look) -> String {
    let name_of = |kind: Kind| match kind.aliases().next() {
        Some(alias) => format!("{} ({alias})", kind.name()),
        None => kind.name().to_owned(),
    };
    let column = Kind::all().map(|kind| name_of(kind).len()).max().unwrap_or_default() + 2;
    let mut out = String::new();
    for kind in Kind::all() {
        let name = name_of(kind);
        let padding = " ".repeat(column - name.len());
        let text = wrapped(schema::summary(kind), column, look.width);
        out += &format!("{}{padding}{}\n", look.bold(&name), text.trim_start());
    }
    out + "\n`tortie docs KIND` tells more, `tortie docs KIND.FIELD` goes down.\n"
}

/// A kind with the fields of `spec`, or a field with its members.
pub(super) fn page(page: &Page, look: Look) -> String {
    let mut out = String::new();
    match &page.field {
        None => head_of_kind(page.kind, look, &mut out),
        Some(field) => head_of_field(page, field, look, &mut out),
    }
    let (unused, used): (Vec<&Field>, Vec<&Field>) =
        page.fields.iter().partition(|field| field.is_unused() && page.path == "spec");
    if !used.is_empty() {
        let of = if page.field.is_none() { " of spec" } else { "" };
        out += &format!("\n{}{of}\n", look.bold("FIELDS"));
    }
    for field in used {
        member(page, field, look, &mut out);
    }
    if !unused.is_empty() {
        let names: Vec<&str> = unused.iter().map(|field| field.name).collect();
        out += &format!("\n{}\n", look.bold("ALSO"));
        out += &wrapped(UNUSED, 2, look.width);
        out += "\n";
        out += &wrapped(&(names.join(", ") + "."), 6, look.width);
        out += "\n";
    }
    out
}

fn head_of_kind(kind: Kind, look: Look, out: &mut String) {
    let scope = if kind.is_namespaced() { "in a namespace" } else { "of the whole cluster" };
    let names: Vec<&str> = [kind.plural()].into_iter().chain(kind.aliases()).collect();
    let line = |name: &str, text: &str| format!("{}  {text}\n", look.bold(name));
    let kind_line = format!("{kind} ({API_VERSION}), {scope}");
    *out += &line("KIND ", wrapped(&kind_line, 7, look.width).trim_start());
    *out += &line("NAMES", wrapped(&names.join(", "), 7, look.width).trim_start());
    let about = format!("{} {}", schema::summary(kind), schema::description(kind));
    *out += &format!("\n{}\n\n{}\n", wrapped(&about, 0, look.width), look.bold("EXAMPLE"));
    for line in example::of(kind).lines() {
        *out += &format!("  {line}\n");
    }
}

fn head_of_field(page: &Page, field: &Field, look: Look, out: &mut String) {
    *out += &format!("{}   {}\n", look.bold("KIND"), page.kind);
    *out += &format!("{}  {}\n", look.bold("FIELD"), page.path);
    let type_line = type_line(page.kind, &page.path, field);
    *out += &format!("{}   {}\n", look.bold("TYPE"), wrapped(&type_line, 7, look.width).trim_start());
    *out += &format!("\n{}\n", wrapped(field.doc, 0, look.width));
}

fn member(page: &Page, field: &Field, look: Look, out: &mut String) {
    let path = join(&page.path, field.name);
    let column = field.name.len() + 4;
    let type_line = wrapped(&type_line(page.kind, &path, field), column.max(6), look.width);
    *out +=
        &format!("  {}  {}\n{}\n", look.bold(field.name), type_line.trim_start(), wrapped(field.doc, 6, look.width));
    let names: Vec<&str> = members(&field.ty).iter().map(|field| field.name).collect();
    if !names.is_empty() {
        *out += &format!("{}\n", wrapped(&format!("Fields: {}.", names.join(", ")), 6, look.width));
    }
}

/// Type, values, and whether the field must be given; for instance "word: Deny, Pass; default `Deny`".
pub(super) fn type_line(kind: Kind, path: &str, field: &Field) -> String {
    let mut line = types::name(&field.ty);
    if let Some(values) = types::values(&field.ty) {
        line += &format!(": {}", values.join(", "));
    }
    if field.is_required {
        line += "; required";
    }
    if let Some(default) = default(kind, path, field) {
        // Lists of settings are joined by commas without spaces, which could not be wrapped.
        line += &format!("; default `{}`", default.replace(',', ", "));
    }
    line
}

/// Names and types of everything below.
pub(super) fn tree(page: &Page, look: Look) -> String {
    let mut rows = Vec::new();
    match &page.field {
        Some(field) => rows.push((page.path.clone(), types::name(&field.ty))),
        None => rows.push((page.path.clone(), "object".to_owned())),
    }
    branch(&page.fields, 1, &mut rows);
    let column = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 2;
    let mut out = format!("{}  {}\n", look.bold("KIND"), page.kind);
    for (name, ty) in rows {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{name:column$}{ty}");
    }
    out
}

fn branch(fields: &[Field], depth: usize, rows: &mut Vec<(String, String)>) {
    for field in fields {
        rows.push((format!("{}{}", "  ".repeat(depth), field.name), types::name(&field.ty)));
        branch(members(&field.ty), depth + 1, rows);
    }
}

/// Lines of at most `width` columns where words allow it, each after `indent` spaces, without a newline at the end.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let margin = " ".repeat(indent);
    let mut lines = vec![margin.clone()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        let is_empty = line.len() == indent;
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{margin}{word}"));
            continue;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_wide_as_they_may_be() {
        assert_eq!(wrapped("one two three", 0, 7), "one two\nthree");
        assert_eq!(wrapped("one two three", 2, 7), "  one\n  two\n  three");
        assert_eq!(wrapped("incomprehensible word", 2, 7), "  incomprehensible\n  word");
        assert_eq!(wrapped("", 2, 7), "  ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for kind in Kind::all() {
            let found = Page::find(kind.plural()).unwrap();
            for width in [60, 100] {
                let text = page(&found, Look { width, is_bold: false });
                let wide = text.lines().find(|line| line.chars().count() > width);
                assert_eq!(wide, None, "{kind}");
                assert!(text.lines().all(|line| line.trim_end() == line), "{kind}");
            }
        }
    }
}
