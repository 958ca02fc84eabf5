//! Tables as people read them: bold headings, two spaces between columns, nothing else (cli.md section 2.8).

/// Characters of a column whose rows are not all known.
const RUNNING_WIDTH: usize = 16;

/// A table with upper-case headings.
pub(crate) fn render(headings: &[&str], rows: &[Vec<String>], is_bold: bool) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = head(headings, &widths, is_bold);
    for row in rows {
        out.push_str(&line(row.iter().map(String::as_str), &widths));
    }
    out
}

/// One row of a table that goes on, and the headings above it if it is the first.
pub(crate) fn running(headings: &[&str], row: &[String], is_first: bool, is_bold: bool) -> String {
    let widths = vec![RUNNING_WIDTH; headings.len()];
    let head = if is_first { head(headings, &widths, is_bold) } else { String::new() };
    head + &line(row.iter().map(String::as_str), &widths)
}

fn head(headings: &[&str], widths: &[usize], is_bold: bool) -> String {
    let head = line(headings.iter().copied(), widths);
    if is_bold { format!("\x1b[1m{}\x1b[0m\n", head.trim_end()) } else { head }
}

/// Cells that are wider than their column push the others on.
fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let mut text = String::new();
    for (number, (cell, width)) in cells.zip(widths).enumerate() {
        if number > 0 {
            text.push_str("  ");
        }
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "long".to_owned()], vec!["bcd".to_owned(), String::new()]];
        assert_eq!(render(&["NAME", "X"], &rows, false), "NAME  X\na     long\nbcd\n");
    }

    #[test]
    fn a_row_of_a_table_that_goes_on_has_headings_once() {
        let row = ["a".to_owned(), "b".to_owned()];
        assert_eq!(running(&["NAME", "X"], &row, true, false), "NAME              X\na                 b\n");
        let wide = ["a".repeat(20), "b".to_owned()];
        assert_eq!(running(&["NAME", "X"], &wide, false, false), format!("{}  b\n", "a".repeat(20)));
    }
}
