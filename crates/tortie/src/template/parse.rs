//! From tokens to a tree.

use super::lex::{Mistake, Placed, Token, tokens};

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(String),
    Action(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    Template { name: String, value: Option<Pipeline>, at: usize },
    Break,
    Continue,
}

/// Commands, each of which passes its value to the next.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    /// Variables that take the value.
    pub(super) variables: Vec<String>,
    /// Whether the variables are known already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// What stands for a value.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    /// As it is written, for errors.
    pub(super) text: String,
    pub(super) value: Term,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Function(String),
    Fields(Vec<String>),
    Variable(String, Vec<String>),
    Inner(Box<Pipeline>, Vec<String>),
}

/// Everything that a text holds.
pub(super) struct Parsed {
    pub(super) root: Vec<Node>,
    /// Templates by name.
    pub(super) named: Vec<(String, Vec<Node>)>,
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Stop {
    /// At the end of the text.
    Text,
    /// At `end`.
    Word,
    Else,
}

/// Levels of actions inside of actions, and of parentheses.
const DEPTH_MAX: usize = 100;

pub(super) fn parse(text: &str) -> Result<Parsed, Mistake> {
    let mut parser =
        Parser { tokens: tokens(text)?, next: 0, end: text.len(), named: Vec::new(), depth: 0, ranges: 0, text };
    let (root, end) = parser.nodes()?;
    match end {
        Stop::Text => Ok(Parsed { root, named: parser.named }),
        Stop::Word => Err((parser.place(), "unexpected {{end}}".to_owned())),
        Stop::Else => Err((parser.place(), "unexpected {{else}}".to_owned())),
    }
}

struct Parser<'a> {
    tokens: Vec<Placed>,
    next: usize,
    end: usize,
    named: Vec<(String, Vec<Node>)>,
    depth: usize,
    ranges: usize,
    text: &'a str,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let is_it = self.peek() == Some(wanted);
        self.next += usize::from(is_it);
        is_it
    }

    fn skip_space(&mut self) {
        while self.takes(&Token::Space) {}
    }

    fn expect_close(&mut self, context: &str) -> Result<(), Mistake> {
        self.skip_space();
        if self.takes(&Token::Close) { Ok(()) } else { Err(self.unexpected(context)) }
    }

    fn unexpected(&self, context: &str) -> Mistake {
        let word = match self.peek() {
            None => return (self.end, "unexpected EOF".to_owned()),
            Some(Token::Close) => "\"}}\"".to_owned(),
            Some(_) => {
                let until = self.tokens.get(self.next + 1).map_or(self.end, |(at, _)| *at);
                format!("<{}>", self.text[self.place()..until].trim())
            }
        };
        (self.place(), format!("unexpected {word} in {context}"))
    }

    /// Nodes up to `{{end}}`, `{{else …` (whose own words are left) or the end of the text.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), Mistake> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((self.place(), "max nesting depth exceeded".to_owned()));
        }
        let mut nodes = Vec::new();
        let end = loop {
            match self.take() {
                None => break Stop::Text,
                Some(Token::Literal(text)) => nodes.push(Node::Literal(text)),
                Some(_) => {
                    self.skip_space();
                    let word = match self.peek() {
                        Some(Token::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match word.as_str() {
                        "end" => {
                            self.next += 1;
                            self.expect_close("end")?;
                            break Stop::Word;
                        }
                        "else" => {
                            self.next += 1;
                            break Stop::Else;
                        }
                        _ => nodes.extend(self.action(&word)?),
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn action(&mut self, word: &str) -> Result<Option<Node>, Mistake> {
        if ["if", "range", "with", "define", "block", "template", "break", "continue"].contains(&word) {
            self.next += 1;
        }
        match word {
            "if" | "range" | "with" => self.control(word).map(Some),
            "define" => {
                let name = self.name("define clause")?;
                self.expect_close("define clause")?;
                let body = self.body()?;
                self.named.push((name, body));
                Ok(None)
            }
            "block" => {
                let at = self.place();
                let name = self.name("block clause")?;
                let value = self.pipeline("block clause")?;
                self.expect_close("block clause")?;
                let body = self.body()?;
                self.named.push((name.clone(), body));
                Ok(Some(Node::Template { name, value: Some(value), at }))
            }
            "template" => {
                self.skip_space();
                let at = self.place();
                let name = self.name("template clause")?;
                self.skip_space();
                let value = match self.peek() {
                    Some(Token::Close) => None,
                    _ => Some(self.pipeline("template clause")?),
                };
                self.expect_close("template clause")?;
                Ok(Some(Node::Template { name, value, at }))
            }
            "break" | "continue" => {
                if self.ranges == 0 {
                    return Err((self.place(), format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.expect_close(&format!("{{{{{word}}}}}"))?;
                Ok(Some(if word == "break" { Node::Break } else { Node::Continue }))
            }
            _ => {
                let pipeline = self.pipeline("command")?;
                self.expect_close("command")?;
                Ok(Some(Node::Action(pipeline)))
            }
        }
    }

    /// `if`, `range` or `with`, its word read already.
    fn control(&mut self, word: &str) -> Result<Node, Mistake> {
        let value = self.pipeline(word)?;
        self.expect_close(word)?;
        self.ranges += usize::from(word == "range");
        let (body, end) = self.nodes()?;
        self.ranges -= usize::from(word == "range");
        let otherwise = match end {
            Stop::Text => return Err((self.end, "unexpected EOF".to_owned())),
            Stop::Word => Vec::new(),
            Stop::Else => {
                self.skip_space();
                let is_chain = word != "range" && self.peek() == Some(&Token::Word(word.to_owned()));
                if is_chain {
                    self.next += 1;
                    // It ends with the `{{end}}` of the first one.
                    vec![self.control(word)?]
                } else {
                    self.expect_close("else")?;
                    self.body()?
                }
            }
        };
        Ok(match word {
            "if" => Node::If { condition: value, then: body, otherwise },
            "range" => Node::Range { over: value, body, otherwise },
            _ => Node::With { value, body, otherwise },
        })
    }

    /// Nodes up to `{{end}}`.
    fn body(&mut self) -> Result<Vec<Node>, Mistake> {
        match self.nodes()? {
            (nodes, Stop::Word) => Ok(nodes),
            (_, Stop::Else) => Err((self.place(), "unexpected {{else}}".to_owned())),
            (_, Stop::Text) => Err((self.end, "unexpected EOF".to_owned())),
        }
    }

    fn name(&mut self, context: &str) -> Result<String, Mistake> {
        self.skip_space();
        match self.peek().cloned() {
            Some(Token::Text(name)) => {
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(context)),
        }
    }

    fn pipeline(&mut self, context: &str) -> Result<Pipeline, Mistake> {
        let (variables, assigns) = self.declaration(context)?;
        let mut commands = Vec::new();
        loop {
            let at = self.place();
            let command = self.command(context)?;
            if command.is_empty() {
                return match commands.is_empty() {
                    true if self.peek() == Some(&Token::Close) => Err((at, format!("missing value for {context}"))),
                    true => Err(self.unexpected(context)),
                    false => Err((at, "missing value for command".to_owned())),
                };
            }
            commands.push(command);
            if !self.takes(&Token::Symbol("|")) {
                return Ok(Pipeline { variables, assigns, commands });
            }
        }
    }

    /// `$x :=`, `$x =`, or `$i, $x :=` in front of a pipeline.
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool), Mistake> {
        self.skip_space();
        let start = self.next;
        let mut variables = Vec::new();
        while let Some(Token::Variable(name)) = self.peek().cloned() {
            self.next += 1;
            self.skip_space();
            variables.push(name);
            for (symbol, assigns) in [(":=", false), ("=", true)] {
                if self.takes(&Token::Symbol(symbol)) {
                    return Ok((variables, assigns));
                }
            }
            if context != "range" || variables.len() == 2 || !self.takes(&Token::Symbol(",")) {
                break;
            }
            self.skip_space();
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    /// Operands up to `|`, `)` or `}}`.
    fn command(&mut self, context: &str) -> Result<Vec<Operand>, Mistake> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => return Err((self.end, "unclosed action".to_owned())),
                Some(Token::Close | Token::Symbol("|" | ")")) => return Ok(operands),
                Some(_) => operands.push(self.operand(context)?),
            }
        }
    }

    fn operand(&mut self, context: &str) -> Result<Operand, Mistake> {
        let start = self.place();
        let Some(token) = self.take() else { return Err((self.end, "unclosed action".to_owned())) };
        let mut value = match token {
            Token::Dot => Term::Dot,
            Token::Field(name) => Term::Fields(vec![name]),
            Token::Variable(name) => Term::Variable(name, Vec::new()),
            Token::Text(text) => Term::Text(text),
            Token::Character(character) => Term::Int(i64::from(u32::from(character))),
            Token::Number(number) => number_term(&number).ok_or((start, format!("bad number syntax: \"{number}\"")))?,
            Token::Word(word) => match word.as_str() {
                "true" => Term::Bool(true),
                "false" => Term::Bool(false),
                "nil" => Term::Nil,
                _ if super::functions::is_known(&word) => Term::Function(word),
                _ => return Err((start, format!("function \"{word}\" not defined"))),
            },
            Token::Symbol("(") => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err((start, "max nesting depth exceeded".to_owned()));
                }
                let inner = self.pipeline("parenthesized pipeline")?;
                self.depth -= 1;
                if !self.takes(&Token::Symbol(")")) {
                    return Err(self.unexpected("parenthesized pipeline"));
                }
                Term::Inner(Box::new(inner), Vec::new())
            }
            _ => {
                self.next -= 1;
                return Err(self.unexpected(context));
            }
        };
        let mut at = start;
        let mut is_chain = false;
        while let Some(Token::Field(name)) = self.peek().cloned() {
            // Where a chain stands is where its second part does.
            if !is_chain {
                at = self.place();
                is_chain = true;
            }
            self.next += 1;
            match &mut value {
                Term::Fields(names) | Term::Variable(_, names) | Term::Inner(_, names) => names.push(name),
                _ => return Err((start, format!("unexpected . after term \"{}\"", &self.text[start..at]))),
            }
        }
        let text = self.text[start..self.place()].to_owned();
        Ok(Operand { at, text, value })
    }
}

fn number_term(text: &str) -> Option<Term> {
    let digits = text.replace('_', "");
    let (sign, magnitude) = match digits.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let radix =
        |prefix: &str, radix| magnitude.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    let int = radix("0x", 16).or(radix("0b", 2)).or(radix("0o", 8)).or_else(|| magnitude.parse().ok());
    match int {
        Some(int) => Some(Term::Int(sign * int)),
        None => digits.parse().ok().map(Term::Float),
    }
}
