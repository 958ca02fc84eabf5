//! Words as Bash writes them.

/// What a word means that may have quotes and backslashes in it, and whose last quote may still be open.
pub(super) fn unquoted(word: String) -> std::ffi::OsString {
    if !word.contains(['\'', '"', '\\']) {
        return word.into();
    }
    let (mut meant, mut quote) = (String::new(), None);
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None | Some('"'), '\\') => meant.extend(letters.next()),
            (Some(_), _) => meant.push(letter),
            (None, '\'' | '"') => quote = Some(letter),
            (None, _) => meant.push(letter),
        }
    }
    meant.into()
}

/// A word that means this.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=,@%+~".contains(letter);
    text.chars().flat_map(|letter| (!is_plain(letter)).then_some('\\').into_iter().chain([letter])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_bash_takes_them_for() {
        for (word, meant) in [
            ("web", "web"),
            ("'role == \"a\"'", "role == \"a\""),
            ("\"a b", "a b"),
            ("'a", "a"),
            ("a\\ b\\", "a b"),
            ("\"a\\\"b\"", "a\"b"),
        ] {
            assert_eq!(unquoted(word.to_owned()), meant, "{word}");
        }
        for text in ["my file.yaml", "a'b", "$x", "web1-eth0", "custom-columns="] {
            assert_eq!(unquoted(quoted(text)), text);
        }
        assert_eq!(quoted("my file"), "my\\ file");
        assert_eq!(quoted("embedded:a=b"), "embedded:a=b");
    }
}
