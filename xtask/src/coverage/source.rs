//! Which parts of a Rust file are tests.

/// What of a file can cite rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    /// For each line whether it belongs to a test or to a module of tests.
    pub(crate) lines: Vec<bool>,
    /// Names of test functions and their lines, counted from 0.
    pub(crate) names: Vec<(usize, String)>,
}

/// Looks for tests. `is_all` says that the whole file is one: those of `tests/` and `benches/`.
pub(crate) fn tests(text: &str, is_all: bool) -> Tests {
    let code = code_only(text);
    let mut found = Tests { lines: vec![is_all; text.lines().count()], names: Vec::new() };
    for (attribute, is_function) in [("#[cfg(test)]", false), ("#[test]", true)] {
        for (at, _) in code.match_indices(attribute) {
            let end = end_of_item(&code, at + attribute.len());
            let first = first_line(text, line_of(&code, at));
            for line in &mut found.lines[first..=line_of(&code, end)] {
                *line = true;
            }
            if is_function && let Some((name_at, name)) = function_name(&code[at..]) {
                found.names.push((line_of(&code, at + name_at), name));
            }
        }
    }
    found
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// The line in which the documentation and the attributes above an item begin.
fn first_line(text: &str, line: usize) -> usize {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let above = lines.iter().rev().take_while(|line| {
        let line = line.trim_start();
        line.starts_with("///") || line.starts_with("#[")
    });
    line - above.count()
}

fn function_name(code: &str) -> Option<(usize, String)> {
    let at = code.find("fn ")? + 3;
    let name: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    Some((at, name))
}

/// The closing brace of the item that begins behind `from`, or its semicolon.
fn end_of_item(code: &str, from: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

/// The same text with comments, strings and characters blanked: what is left are braces and names that mean something.
fn code_only(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while at < out.len() {
        let end = skipped(text.as_bytes(), at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment, string or character that begins at `at` ends; `at` when none begins there.
fn skipped(text: &[u8], at: usize) -> usize {
    let rest = &text[at..];
    let find = |from: usize, what: &[u8]| {
        let place = rest.get(from..).and_then(|rest| rest.windows(what.len()).position(|window| window == what));
        place.map_or(text.len(), |place| at + from + place + what.len())
    };
    let is_word = at > 0 && (text[at - 1].is_ascii_alphanumeric() || text[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => find(2, b"*/"),
        [b'r', b'"' | b'#', ..] if !is_word || text[at - 1] == b'b' => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"') {
                return at;
            }
            find(2 + hashes, &[b"\"".as_slice(), &b"#".repeat(hashes)].concat())
        }
        [b'"', ..] => closing(rest, b'"').map_or(text.len(), |end| at + end),
        // A quote that closes one character further is a character, otherwise it is a lifetime.
        [b'\'', b'\\', ..] => closing(rest, b'\'').map_or(text.len(), |end| at + end),
        [b'\'', ..] => {
            let len = std::str::from_utf8(&rest[1..rest.len().min(6)])
                .map_err(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()]))
                .or_else(|valid| valid)
                .ok()
                .and_then(|text| text.chars().next())
                .map_or(1, char::len_utf8);
            if rest.get(1 + len) == Some(&b'\'') { at + len + 2 } else { at }
        }
        _ => at,
    }
}

/// Behind the quote that closes the text at the start of `rest`.
fn closing(rest: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_all: bool, lines: &[usize], names: &[&str]) {
        let found = tests(text, is_all);
        let numbers: Vec<usize> = (0..found.lines.len()).filter(|line| found.lines[*line]).collect();
        assert_eq!(numbers, lines, "{text}");
        assert_eq!(found.names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), names, "{text}");
    }

    #[test]
    fn modules_and_functions_are_found_with_their_comments() {
        check("fn a() {\n}\n", false, &[], &[]);
        check(
            "fn a() {}\n#[cfg(test)]\nmod t {\n    #[test]\n    fn b() {}\n}\nfn c() {}",
            false,
            &[1, 2, 3, 4, 5],
            &["b"],
        );
        check("/// E-1\n#[test]\n#[ignore]\nfn b() {}\nfn c() {}", false, &[0, 1, 2, 3], &["b"]);
        check("#[cfg(test)]\nmod tests;\nfn a() {}", false, &[0, 1], &[]);
        check("fn a() {}\n#[test]\nfn b() {}", true, &[0, 1, 2], &["b"]);
    }

    #[test]
    fn braces_in_texts_and_comments_do_not_count() {
        for inside in [
            "\"}\"",
            "\"\\\"}\"",
            "r\"}\"",
            "r#\"\"}\"#",
            "br#\"}\"#",
            "'}'",
            "'\\''; '}'",
            "b'}'",
            "// }",
            "/* } */",
            "let x: &'a str = \"}\"",
            "let c = 'é'; '}'",
            "// don't }",
            "\"#[test] fn no() {\"",
        ] {
            let text = format!("#[cfg(test)]\nmod t {{\n{inside}\nfn b() {{}}\n}}\nfn c() {{}}");
            check(&text, false, &[0, 1, 2, 3, 4], &[]);
        }
    }
}
