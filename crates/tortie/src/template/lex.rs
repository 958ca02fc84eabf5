//! From the text of a template to tokens.

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Text between actions.
    Literal(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `.name`.
    Field(String),
    /// `$name`, or `$`.
    Variable(String),
    /// A word: keyword, function, `true`, `false`, `nil`.
    Word(String),
    /// A string, escapes resolved.
    Text(String),
    /// A character constant.
    Character(char),
    /// A number as it is written.
    Number(String),
    /// `.` alone.
    Dot,
    /// `|`, `(`, `)`, `,`, `:=`, `=`.
    Symbol(&'static str),
    /// White space inside an action, which ends a chain of fields.
    Space,
}

/// A token, and the byte where it starts.
pub(super) type Placed = (usize, Token);
/// A mistake, and the byte where it stands.
pub(super) type Mistake = (usize, String);

/// All tokens of a template.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Mistake> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Placed>,
}

const SYMBOLS: [&str; 6] = [":=", "=", "|", "(", ")", ","];

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn run(&mut self) -> Result<(), Mistake> {
        let mut trims = false;
        loop {
            let open = self.rest().find("{{");
            let mut literal = &self.rest()[..open.unwrap_or(self.rest().len())];
            let start = self.at;
            let len = literal.len();
            if trims {
                literal = literal.trim_start();
            }
            let trims_before = open.is_some() && is_trim(&self.rest()[len + 2..]);
            if trims_before {
                literal = literal.trim_end();
            }
            if !literal.is_empty() {
                let literal = Token::Literal(literal.to_owned());
                self.tokens.push((start, literal));
            }
            self.at += len;
            if open.is_none() {
                return Ok(());
            }
            let opened = self.at;
            self.at += if trims_before { 4 } else { 2 };
            trims = match self.comment()? {
                Some(trims) => trims,
                None => self.action(opened)?,
            };
        }
    }

    /// A comment in place of an action; whether it trims what follows.
    fn comment(&mut self) -> Result<Option<bool>, Mistake> {
        if !self.rest().starts_with("/*") {
            return Ok(None);
        }
        let end = self.rest().find("*/").ok_or((self.at, "unclosed comment".to_owned()))?;
        self.at += end + 2;
        for (mark, trims) in [("}}", false), (" -}}", true)] {
            if self.rest().starts_with(mark) {
                self.at += mark.len();
                return Ok(Some(trims));
            }
        }
        Err((self.at, "comment ends before closing delimiter".to_owned()))
    }

    /// The tokens of one action; whether it trims what follows.
    fn action(&mut self, opened: usize) -> Result<bool, Mistake> {
        self.tokens.push((opened, Token::Open));
        loop {
            let start = self.at;
            if self.rest().starts_with("}}") {
                self.tokens.push((start, Token::Close));
                self.at += 2;
                return Ok(false);
            }
            let spaces = self.rest().len() - self.rest().trim_start().len();
            if spaces > 0 {
                self.at += spaces;
                if self.rest().starts_with("-}}") {
                    self.tokens.push((start, Token::Close));
                    self.at += 3;
                    return Ok(true);
                }
                self.tokens.push((start, Token::Space));
                continue;
            }
            let token = self.token()?;
            self.tokens.push((start, token));
        }
    }

    fn token(&mut self) -> Result<Token, Mistake> {
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol)) {
            self.at += symbol.len();
            return Ok(Token::Symbol(symbol));
        }
        let Some(first) = self.rest().chars().next() else { return Err((self.at, "unclosed action".to_owned())) };
        let second = self.rest().chars().nth(1);
        match first {
            '"' | '\'' | '`' => self.quoted(first),
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => {
                self.at += 1;
                let name = self.word();
                Ok(if name.is_empty() { Token::Dot } else { Token::Field(name) })
            }
            '$' => {
                self.at += 1;
                Ok(Token::Variable(self.word()))
            }
            '0'..='9' | '+' | '-' | '.' => {
                let len = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c));
                let number = self.rest()[..len.unwrap_or(self.rest().len())].to_owned();
                self.at += number.len();
                Ok(Token::Number(number))
            }
            c if c.is_alphabetic() || c == '_' => Ok(Token::Word(self.word())),
            c => Err((self.at, format!("unrecognized character in action: U+{:04X} '{c}'", u32::from(c)))),
        }
    }

    fn word(&mut self) -> String {
        let len = self.rest().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        let word = self.rest()[..len].to_owned();
        self.at += len;
        word
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Mistake> {
        let start = self.at;
        let what = if quote == '\'' { "character constant" } else { "quoted string" };
        let unterminated = || (start, format!("unterminated {}{what}", if quote == '`' { "raw " } else { "" }));
        let mut is_escaped = false;
        let end = self.rest()[1..].find(|c: char| {
            let ends = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped && quote != '`';
            ends || (c == '\n' && quote != '`')
        });
        let end = end.ok_or_else(unterminated)?;
        let inner = self.rest()[1..=end].to_owned();
        if !self.rest()[1 + end..].starts_with(quote) {
            return Err(unterminated());
        }
        self.at += end + 2;
        if quote == '`' {
            return Ok(Token::Text(inner));
        }
        let text = unescape(&inner).ok_or((start, "invalid syntax".to_owned()))?;
        match quote {
            '"' => Ok(Token::Text(text)),
            _ => {
                let mut characters = text.chars();
                let (Some(character), None) = (characters.next(), characters.next()) else {
                    return Err((start, format!("malformed character constant: '{inner}'")));
                };
                Ok(Token::Character(character))
            }
        }
    }
}

/// Whether the text behind `{{` asks for white space before it to be left out.
fn is_trim(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(char::is_whitespace)
}

/// The escapes of a string of Go.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match rest.next()? {
            'x' => coded(&mut rest, 2)?,
            'u' => coded(&mut rest, 4)?,
            'U' => coded(&mut rest, 8)?,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            simple @ ('\\' | '"' | '\'') => simple,
            _ => return None,
        });
    }
    Some(out)
}

/// The character that so many hexadecimal digits name.
fn coded(rest: &mut std::str::Chars<'_>, len: usize) -> Option<char> {
    let digits: String = rest.take(len).collect();
    if digits.len() < len {
        return None;
    }
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}
