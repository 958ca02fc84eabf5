//! The grammar (section 3 of the specification), by recursive descent with a bounded depth.

use std::collections::BTreeSet;

use crate::node::Node;
use crate::token::{Token, tokens};

/// Parentheses, and lists of `&&` and `||`, may be nested this deep. The language sets no limit; 200 are required.
///
/// In canonical text each list has parentheses and nothing else has, so what is accepted has canonical text that is.
const DEPTH_MAX: usize = 500;
/// Bytes of a selector. Fields take 1024 characters; what stores hold may be longer.
const LEN_MAX: usize = 64 << 10;

/// Why a text is no selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} at byte {offset}")]
pub struct ParseError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there.
    pub expected: Expected,
}

/// The phrases of section 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each phrase says itself")]
pub enum Expected {
    #[error("unterminated string")]
    ClosingQuote,
    #[error("expected ==")]
    EqualSign,
    #[error("expected &&")]
    AndSign,
    #[error("expected ||")]
    OrSign,
    #[error("expected identifier")]
    Identifier,
    #[error("label too long")]
    ShorterLabel,
    #[error("expected operator after label")]
    Operator,
    #[error("no closing ) after has(")]
    ClosingHas,
    #[error("no closing ) after all(")]
    ClosingAll,
    #[error("no closing ) after global(")]
    ClosingGlobal,
    #[error("expected string")]
    Text,
    #[error("expected set")]
    Set,
    #[error("expected }}")]
    ClosingBrace,
    #[error("expected )")]
    ClosingParen,
    #[error("unexpected token")]
    Term,
    #[error("unexpected text after the selector")]
    End,
    #[error("nested more than {DEPTH_MAX} levels deep")]
    LessDepth,
    #[error("the selector is longer than {} KiB", LEN_MAX >> 10)]
    ShorterText,
}

pub(crate) fn parse(text: &str) -> Result<Node, ParseError> {
    if text.len() > LEN_MAX {
        return Err(ParseError { offset: LEN_MAX, expected: Expected::ShorterText });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    if parser.peek() == &Token::End {
        return Ok(Node::All);
    }
    let (node, _) = parser.any_of()?;
    match parser.peek() {
        Token::End => Ok(node),
        _ => Err(parser.error(Expected::End)),
    }
}

struct Parser<'a> {
    tokens: Vec<(usize, Token<'a>)>,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        &self.tokens[self.at].1
    }

    fn accept(&mut self, token: &Token<'_>) -> bool {
        let is_there = self.peek() == token;
        if is_there {
            self.at += 1;
        }
        is_there
    }

    fn error(&self, expected: Expected) -> ParseError {
        ParseError { offset: self.tokens[self.at].0, expected }
    }

    /// A node, and how deep lists are nested in it.
    fn any_of(&mut self) -> Result<(Node, usize), ParseError> {
        self.list(&Token::Or, Self::all_of, Node::Or)
    }

    fn all_of(&mut self) -> Result<(Node, usize), ParseError> {
        self.list(&Token::And, Self::operation, Node::And)
    }

    fn list(
        &mut self,
        operator: &Token<'_>,
        term: fn(&mut Self) -> Result<(Node, usize), ParseError>,
        list: fn(Vec<Node>) -> Node,
    ) -> Result<(Node, usize), ParseError> {
        let (first, mut depth) = term(self)?;
        if self.peek() != operator {
            return Ok((first, depth));
        }
        let mut terms = vec![first];
        while self.accept(operator) {
            let (next, its_depth) = term(self)?;
            terms.push(next);
            depth = depth.max(its_depth);
        }
        if depth >= DEPTH_MAX {
            return Err(self.error(Expected::LessDepth));
        }
        Ok((list(terms), depth + 1))
    }

    fn operation(&mut self) -> Result<(Node, usize), ParseError> {
        let mut is_negated = false;
        while self.accept(&Token::Not) {
            is_negated = !is_negated;
        }
        let (node, depth) = self.primary()?;
        // `!(!a)` stays as it is written: it prints as `!!a`, the wrinkle of section 5, and means `a`.
        Ok((if is_negated { Node::Not(Box::new(node)) } else { node }, depth))
    }

    fn primary(&mut self) -> Result<(Node, usize), ParseError> {
        match self.peek().clone() {
            Token::Has(label) => {
                self.at += 1;
                Ok((Node::Has(label.to_owned()), 0))
            }
            Token::All => {
                self.at += 1;
                Ok((Node::All, 0))
            }
            Token::Global => {
                self.at += 1;
                Ok((Node::Global, 0))
            }
            Token::Ident(label) => {
                self.at += 1;
                Ok((self.comparison(label.to_owned())?, 0))
            }
            Token::LeftParen => {
                self.at += 1;
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(self.error(Expected::LessDepth));
                }
                let node = self.any_of()?;
                self.depth -= 1;
                if !self.accept(&Token::RightParen) {
                    return Err(self.error(Expected::ClosingParen));
                }
                Ok(node)
            }
            _ => Err(self.error(Expected::Term)),
        }
    }

    fn comparison(&mut self, label: String) -> Result<Node, ParseError> {
        let operator = self.peek().clone();
        let make: fn(String, String) -> Node = match operator {
            Token::Equal => Node::Equal,
            Token::NotEqual => Node::NotEqual,
            Token::Contains => Node::Contains,
            Token::StartsWith => Node::StartsWith,
            Token::EndsWith => Node::EndsWith,
            Token::In | Token::NotIn => {
                self.at += 1;
                let set = self.set()?;
                return Ok(if operator == Token::In { Node::In(label, set) } else { Node::NotIn(label, set) });
            }
            _ => return Err(self.error(Expected::Operator)),
        };
        self.at += 1;
        Ok(make(label, self.string()?))
    }

    fn string(&mut self) -> Result<String, ParseError> {
        let Token::Text(text) = self.peek() else { return Err(self.error(Expected::Text)) };
        let text = (*text).to_owned();
        self.at += 1;
        Ok(text)
    }

    fn set(&mut self) -> Result<BTreeSet<String>, ParseError> {
        if self.peek() != &Token::LeftBrace {
            return Err(self.error(Expected::Set));
        }
        self.at += 1;
        let mut members = BTreeSet::new();
        while matches!(self.peek(), Token::Text(_)) {
            members.insert(self.string()?);
            if !self.accept(&Token::Comma) {
                break;
            }
        }
        if !self.accept(&Token::RightBrace) {
            return Err(self.error(Expected::ClosingBrace));
        }
        Ok(members)
    }
}
