//! Tokens (section 2 of the specification).

use crate::parse::{Expected, ParseError};

/// The longest label name in bytes.
const IDENT_LEN_MAX: usize = 512;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    Comma,
    Equal,
    NotEqual,
    Not,
    And,
    Or,
    Text(&'a str),
    Ident(&'a str),
    Has(&'a str),
    All,
    Global,
    Contains,
    StartsWith,
    EndsWith,
    NotIn,
    In,
    End,
}

/// Splits the text into tokens with their byte offsets; the last one is always [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, ParseError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut out: Vec<(usize, Token<'_>)> = Vec::new();
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let is_behind_label = matches!(out.last(), Some((_, Token::Ident(_))));
        let token = lexer.next(is_behind_label)?;
        let is_end = token == Token::End;
        out.push((start, token));
        if is_end {
            return Ok(out);
        }
    }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-')
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn skip_space(&mut self) {
        while self.rest().first().copied().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn error(&self, expected: Expected) -> ParseError {
        ParseError { offset: self.at, expected }
    }

    fn next(&mut self, is_behind_label: bool) -> Result<Token<'a>, ParseError> {
        let Some(&first) = self.rest().first() else { return Ok(Token::End) };
        if is_behind_label && let Some(token) = self.operator_word() {
            return Ok(token);
        }
        let second = self.rest().get(1).copied();
        let (token, len) = match (first, second) {
            (b'(', _) => (Token::LeftParen, 1),
            (b')', _) => (Token::RightParen, 1),
            (b'{', _) => (Token::LeftBrace, 1),
            (b'}', _) => (Token::RightBrace, 1),
            (b',', _) => (Token::Comma, 1),
            (b'=', Some(b'=')) => (Token::Equal, 2),
            (b'=', _) => return Err(self.error(Expected::EqualSign)),
            (b'!', Some(b'=')) => (Token::NotEqual, 2),
            (b'!', _) => (Token::Not, 1),
            (b'&', Some(b'&')) => (Token::And, 2),
            (b'&', _) => return Err(self.error(Expected::AndSign)),
            (b'|', Some(b'|')) => (Token::Or, 2),
            (b'|', _) => return Err(self.error(Expected::OrSign)),
            (b'"' | b'\'', _) => return self.string(first),
            _ if is_behind_label => return Err(self.error(Expected::Operator)),
            _ => return self.word(),
        };
        self.at += len;
        Ok(token)
    }

    fn string(&mut self, quote: u8) -> Result<Token<'a>, ParseError> {
        let Some(len) = self.rest()[1..].iter().position(|b| *b == quote) else {
            return Err(self.error(Expected::ClosingQuote));
        };
        let start = self.at + 1;
        self.at = start + len + 1;
        Ok(Token::Text(&self.text[start..start + len]))
    }

    /// An operator word directly behind a label.
    fn operator_word(&mut self) -> Option<Token<'a>> {
        const WORDS: [(&str, &str, bool); 5] = [
            ("contains", "", false),
            ("starts", "with", true),
            ("ends", "with", true),
            ("not", "in", true),
            ("in", "", false),
        ];
        for (number, (word, second, has_second)) in WORDS.into_iter().enumerate() {
            let Some(mut rest) = self.rest().strip_prefix(word.as_bytes()) else { continue };
            if has_second {
                while rest.first().copied().is_some_and(is_space) {
                    rest = &rest[1..];
                }
                let Some(behind) = rest.strip_prefix(second.as_bytes()) else { continue };
                rest = behind;
            }
            if rest.first().copied().is_some_and(is_ident) {
                continue;
            }
            self.at = self.text.len() - rest.len();
            return Some(match number {
                0 => Token::Contains,
                1 => Token::StartsWith,
                2 => Token::EndsWith,
                3 => Token::NotIn,
                _ => Token::In,
            });
        }
        None
    }

    fn word(&mut self) -> Result<Token<'a>, ParseError> {
        let start = self.at;
        let len = self.rest().iter().take_while(|b| is_ident(**b)).count();
        let word = &self.text[start..start + len];
        if len == 0 {
            return Err(self.error(Expected::Identifier));
        }
        if self.rest().get(len) == Some(&b'(') {
            match word {
                "has" => return self.has(start + len + 1),
                "all" => return self.empty_call(start + len + 1, Token::All, Expected::ClosingAll),
                "global" => return self.empty_call(start + len + 1, Token::Global, Expected::ClosingGlobal),
                _ => {}
            }
        }
        if len > IDENT_LEN_MAX {
            return Err(self.error(Expected::ShorterLabel));
        }
        self.at += len;
        Ok(Token::Ident(word))
    }

    fn has(&mut self, behind: usize) -> Result<Token<'a>, ParseError> {
        self.at = behind;
        self.skip_space();
        let len = self.rest().iter().take_while(|b| is_ident(**b)).count();
        match len {
            0 => return Err(self.error(Expected::Identifier)),
            1..=IDENT_LEN_MAX => {}
            _ => return Err(self.error(Expected::ShorterLabel)),
        }
        let label = &self.text[self.at..self.at + len];
        self.at += len;
        self.close(Expected::ClosingHas)?;
        Ok(Token::Has(label))
    }

    fn empty_call(&mut self, behind: usize, token: Token<'a>, expected: Expected) -> Result<Token<'a>, ParseError> {
        self.at = behind;
        self.close(expected)?;
        Ok(token)
    }

    fn close(&mut self, expected: Expected) -> Result<(), ParseError> {
        self.skip_space();
        if self.rest().first() != Some(&b')') {
            return Err(self.error(expected));
        }
        self.at += 1;
        Ok(())
    }
}
