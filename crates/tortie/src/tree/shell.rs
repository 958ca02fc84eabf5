//! As much of a shell's grammar as the documentation uses: which words a command is given.

/// The arguments of each call of `program` in a script.
pub(crate) fn commands(script: &str, program: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut here_ends: Option<String> = None;
    for line in script.replace("\\\n", " ").lines() {
        if let Some(end) = &here_ends {
            if line == end {
                here_ends = None;
            }
            continue;
        }
        for mut words in simple_commands(line) {
            if let Some(at) = words.iter().position(|word| word.starts_with("<<")) {
                here_ends = Some(words[at].trim_start_matches(['<', '-']).to_owned());
                words.truncate(at);
            }
            let is_in_front = |word: &&String| *word == "sudo" || *word == "exec" || is_assignment(word);
            let start = words.iter().take_while(is_in_front).count();
            if words.get(start).is_some_and(|word| word == program) {
                found.push(words.split_off(start + 1));
            }
        }
    }
    found
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}

/// The words of each command of a line, without redirections.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | '&' | ';' | '>') => {
                let command = commands.last_mut().unwrap();
                command.extend(word.take());
                if letter == '>' {
                    // The file's name belongs to no command.
                    commands.push(vec!["to".to_owned()]);
                } else if letter != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    assert!(quote.is_none(), "a quotation has no end in `{line}`");
    commands.last_mut().unwrap().extend(word);
    commands
}

#[test]
fn words_are_found_as_a_shell_finds_them() {
    let script = "sudo tortie get hep -o 'a b'\"c\"  # why\ncat > x <<'END'\ntortie no\nEND\nA=b tortie \\\n  lock && tortie unlock > file\necho tortie; tortie dump|less\n";
    let wanted: Vec<Vec<&str>> = vec![vec!["get", "hep", "-o", "a bc"], vec!["lock"], vec!["unlock"], vec!["dump"]];
    assert_eq!(commands(script, "tortie"), wanted);
}
