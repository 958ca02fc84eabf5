//! Reading templates.

use serde_json::Value;

use super::path::{Filter, Operand, Operator, Path, Step};
use super::{Part, TemplateError};

/// `range` within `range`.
const DEPTH_MAX: usize = 32;

pub(super) fn template(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut reader = Reader { characters: text.chars().collect(), at: 0, depth: 0 };
    reader.parts(None)
}

struct Reader {
    characters: Vec<char>,
    at: usize,
    depth: usize,
}

/// What ends a name.
fn is_end_of_name(character: char) -> bool {
    character.is_whitespace() || ".,[]$@{}()=!<>'\"".contains(character)
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.at += 1;
        Some(found)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_there = self.characters[self.at..].iter().copied().take(word.chars().count()).eq(word.chars());
        if is_there {
            self.at += word.chars().count();
        }
        is_there
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn error<T>(at: usize, what: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError { what: what.into(), at: at + 1 })
    }

    /// Parts up to the end of the text, or up to `{end}` of the `range` that began at `range`.
    fn parts(&mut self, range: Option<usize>) -> Result<Vec<Part>, TemplateError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        while let Some(character) = self.next() {
            if character != '{' {
                text.push(character);
                continue;
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            if self.action(range, &mut parts)? {
                return Ok(parts);
            }
        }
        if let Some(at) = range {
            return Self::error(at, "`range` has no `end`");
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(parts)
    }

    /// What stands between braces; whether it was `end`.
    fn action(&mut self, range: Option<usize>, parts: &mut Vec<Part>) -> Result<bool, TemplateError> {
        let open = self.at - 1;
        loop {
            self.skip_spaces();
            let at = self.at;
            match self.peek() {
                None => return Self::error(open, "`{` is not closed"),
                Some('}') => {
                    self.at += 1;
                    return Ok(false);
                }
                Some('\'' | '"') => parts.push(Part::Text(self.quoted()?)),
                Some('.' | '[' | '$' | '@') => parts.push(Part::Path(self.path(open)?)),
                Some(_) => match self.word().as_str() {
                    "end" => {
                        self.close(open)?;
                        return if range.is_some() { Ok(true) } else { Self::error(open, "`end` without `range`") };
                    }
                    "range" => {
                        self.skip_spaces();
                        let path = self.path(open)?;
                        self.close(open)?;
                        if self.depth == DEPTH_MAX {
                            return Self::error(open, format!("`range` stands in more than {DEPTH_MAX} others"));
                        }
                        self.depth += 1;
                        parts.push(Part::Range(path, self.parts(Some(open))?));
                        self.depth -= 1;
                        return Ok(false);
                    }
                    "" => return Self::error(at, format!("`{}` is out of place", self.characters[at])),
                    word => return Self::error(at, format!("`{word}` is no path: write `.{word}`")),
                },
            }
        }
    }

    fn close(&mut self, open: usize) -> Result<(), TemplateError> {
        self.skip_spaces();
        if self.takes("}") { Ok(()) } else { Self::error(open, "`{` is not closed") }
    }

    /// A name; `\` takes the character behind it as it is.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(character) = self.peek() {
            match character {
                '\\' => {
                    self.at += 1;
                    word.extend(self.next());
                }
                character if is_end_of_name(character) => break,
                character => {
                    word.push(character);
                    self.at += 1;
                }
            }
        }
        word
    }

    /// Text between quotes, with the escapes `\n`, `\t`, `\r`, and `\` before anything else.
    fn quoted(&mut self) -> Result<String, TemplateError> {
        let open = self.at;
        let quote = self.next();
        let mut text = String::new();
        while let Some(character) = self.next() {
            match character {
                '\\' => text.extend(self.next().map(|escaped| match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                })),
                character if Some(character) == quote => return Ok(text),
                character => text.push(character),
            }
        }
        Self::error(open, format!("`{}` is not closed", self.characters[open]))
    }

    /// A path up to what cannot belong to it.
    fn path(&mut self, open: usize) -> Result<Path, TemplateError> {
        let is_from_root = match self.peek() {
            Some('$') => {
                self.at += 1;
                true
            }
            Some('@') => {
                self.at += 1;
                false
            }
            Some('.' | '[') => false,
            Some('}') | None => return Self::error(open, "a path is missing"),
            Some(other) => return Self::error(self.at, format!("`{other}` begins no path")),
        };
        Ok(Path { is_from_root, steps: self.steps()? })
    }

    fn steps(&mut self) -> Result<Vec<Step>, TemplateError> {
        let mut steps = Vec::new();
        loop {
            match self.peek() {
                Some('.') => {
                    self.at += 1;
                    if self.takes(".") {
                        steps.push(Step::Below);
                    }
                    match self.word().as_str() {
                        // `{.}` is the value itself, and `.[0]` an entry of it.
                        "" => {}
                        "*" => steps.push(Step::All),
                        name => steps.push(Step::Member(name.to_owned())),
                    }
                }
                Some('[') => steps.extend(self.brackets()?),
                _ => return Ok(steps),
            }
        }
    }

    /// `[…]`: an entry, a slice, a quoted path, a union of these, or a filter.
    fn brackets(&mut self) -> Result<Vec<Step>, TemplateError> {
        let open = self.at;
        self.at += 1;
        self.skip_spaces();
        if self.takes("?(") {
            let filter = self.filter(open)?;
            self.skip_spaces();
            return if self.takes(")]") {
                Ok(vec![Step::Filter(filter)])
            } else {
                Self::error(open, "`[?(` is not closed")
            };
        }
        let mut paths = vec![self.bracketed(open)?];
        loop {
            self.skip_spaces();
            match self.next() {
                Some(',') => {
                    self.skip_spaces();
                    paths.push(self.bracketed(open)?);
                }
                Some(']') => break,
                _ => return Self::error(open, "`[` is not closed"),
            }
        }
        Ok(if paths.len() == 1 { paths.remove(0) } else { vec![Step::Union(paths)] })
    }

    /// One member of a union.
    fn bracketed(&mut self, open: usize) -> Result<Vec<Step>, TemplateError> {
        if let Some('\'' | '"') = self.peek() {
            return self.quoted_path();
        }
        let mut text = String::new();
        while let Some(character) = self.peek().filter(|character| !"],}".contains(*character)) {
            text.push(character);
            self.at += 1;
        }
        let text = text.trim();
        match text {
            "" if self.peek() == Some(']') => Self::error(open, "an index is missing"),
            "" => Self::error(open, "`[` is not closed"),
            "*" => Ok(vec![Step::All]),
            _ => Self::entry(text).map(|step| vec![step]).or_else(|what| Self::error(open, what)),
        }
    }

    /// A quoted name is a path of its own: only `\.` is a dot of a name.
    fn quoted_path(&mut self) -> Result<Vec<Step>, TemplateError> {
        let open = self.at;
        let quote = self.next();
        let start = self.at;
        while let Some(character) = self.next() {
            if Some(character) == quote {
                let mut inside = vec!['.'];
                inside.extend(&self.characters[start..self.at - 1]);
                let mut reader = Reader { characters: inside, at: 0, depth: 0 };
                let steps = reader.steps()?;
                return match reader.peek() {
                    None => Ok(steps),
                    Some(left) => Self::error(open, format!("`{left}` is out of place")),
                };
            }
        }
        Self::error(open, format!("`{}` is not closed", self.characters[open]))
    }

    fn entry(text: &str) -> Result<Step, String> {
        let number = |text: &str| match text.trim() {
            "" => Ok(None),
            word => word.parse::<i64>().map(Some).map_err(|_| format!("`{word}` is no index")),
        };
        let parts: Vec<&str> = text.split(':').collect();
        let step = |text: &str| match number(text)? {
            None => Ok(1),
            Some(step) => {
                usize::try_from(step).ok().filter(|step| *step > 0).ok_or_else(|| "a step must be 1 or more".to_owned())
            }
        };
        match parts[..] {
            [one] => Ok(Step::Entry(number(one)?.unwrap_or(0))),
            [from, to] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: 1 }),
            [from, to, by] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: step(by)? }),
            _ => Err(format!("`{text}` is no slice")),
        }
    }

    fn filter(&mut self, open: usize) -> Result<Filter, TemplateError> {
        let left = self.operand(open)?;
        self.skip_spaces();
        let operators = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let operator = operators.into_iter().find(|(word, _)| self.takes(word)).map(|(_, operator)| operator);
        let compared = match operator {
            None => None,
            Some(operator) => Some((operator, self.operand(open)?)),
        };
        Ok(Filter { left, compared })
    }

    fn operand(&mut self, open: usize) -> Result<Operand, TemplateError> {
        self.skip_spaces();
        match self.peek() {
            Some('\'' | '"') => Ok(Operand::Literal(Value::String(self.quoted()?))),
            Some('@' | '$' | '.' | '[') => Ok(Operand::Path(self.path(open)?)),
            _ => {
                let mut text = String::new();
                while let Some(character) = self.peek().filter(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c)) {
                    text.push(character);
                    self.at += 1;
                }
                match serde_json::from_str(&text) {
                    Ok(literal) => Ok(Operand::Literal(literal)),
                    Err(_) if text.is_empty() => Self::error(open, "a value is missing"),
                    Err(_) => Self::error(open, format!("`{text}` is no value: texts need quotes")),
                }
            }
        }
    }
}
