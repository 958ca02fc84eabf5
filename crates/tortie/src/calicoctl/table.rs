//! Tables: columns at least three spaces apart, the last one padded as well, and a blank line behind each table.

use tortie_api::Kind;

use super::error::Error;
use super::get::Found;
use super::kinds::{self, Column};
use crate::template::{Template, resource};

/// Columns are at least so wide.
const WIDTH_MIN: usize = 5;
/// Spaces behind the widest cell.
const PADDING: usize = 3;

/// The table of a result with the columns of its kind.
pub(super) fn render(found: &Found, is_wide: bool, with_namespace: bool) -> Result<String, Error> {
    let row = kinds::row(kind(found));
    let headings = if is_wide { row.wide } else { row.narrow };
    let namespace = (with_namespace && row.kind.is_namespaced()).then_some("NAMESPACE");
    let columns = namespace.iter().chain(headings).map(|heading| row.column(heading)).collect::<Result<_, _>>()?;
    table(found, columns)
}

/// The table of a result with these columns.
pub(super) fn render_columns(found: &Found, headings: &[String]) -> Result<String, Error> {
    let row = kinds::row(kind(found));
    table(found, headings.iter().map(|heading| row.column(heading)).collect::<Result<_, _>>()?)
}

fn kind(found: &Found) -> Kind {
    match found {
        Found::One(kind, _) | Found::List { kind, .. } => *kind,
    }
}

fn table(found: &Found, columns: Vec<Column>) -> Result<String, Error> {
    let templates: Vec<Template> =
        columns.iter().map(|(_, cell)| Template::parse("get", cell)).collect::<Result<_, _>>()?;
    let mut lines = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<String>>()];
    let objects = match found {
        Found::One(_, object) => std::slice::from_ref(object),
        Found::List { items, .. } => items,
    };
    for object in objects {
        let data = resource(kind(found), object);
        lines.push(templates.iter().map(|cell| cell.execute(&data)).collect::<Result<_, _>>()?);
    }
    Ok(align(&lines) + "\n")
}

fn align(lines: &[Vec<String>]) -> String {
    let len = |cell: &String| cell.chars().count();
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| lines.iter().map(|cells| len(&cells[column]) + PADDING).max().unwrap_or(0).max(WIDTH_MIN))
        .collect();
    let mut text = String::new();
    for cells in lines {
        for (cell, width) in cells.iter().zip(&widths) {
            text += &format!("{cell:width$}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_columns_are_padded_and_none_is_narrow() {
        let line = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(align(&[line(["A", "B"]), line(["long one", ""])]), "A          B    \nlong one        \n");
        assert_eq!(align(&[line(["A", "NAME"]), line(["ä", "öü"])]), "A    NAME   \nä    öü     \n");
    }
}
