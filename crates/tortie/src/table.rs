//! Tables as people read them: bold headings, two spaces between columns, nothing else (cli.md section 2.8).

/// A table with upper-case headings.
pub(crate) fn render(headings: &[&str], rows: &[Vec<String>], is_bold: bool) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (number, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            if number > 0 {
                text.push_str("  ");
            }
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        text.truncate(text.trim_end().len());
        text
    };
    let head = line(headings.to_vec());
    let mut out = if is_bold { format!("\x1b[1m{head}\x1b[0m\n") } else { format!("{head}\n") };
    for row in rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "long".to_owned()], vec!["bcd".to_owned(), String::new()]];
        assert_eq!(render(&["NAME", "X"], &rows, false), "NAME  X\na     long\nbcd\n");
    }
}
