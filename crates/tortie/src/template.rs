//! Go templates (`text/template`) over resources, as `-o go-template` takes them (cli.md section 1.5).
//!
//! What templates of resources use is here: actions, pipelines, variables, `if`, `range`, `with`, `define`, `template`,
//! `block`, `break`, `continue`, the standard functions, and `join` and `joinAndTruncate`. Resources have the names that
//! fields have in Go ([`data`]); they have no methods.

mod data;
mod exec;
mod functions;
mod lex;
mod number;
mod parse;
mod printf;

pub(crate) use data::{Data, list, resource};

use parse::Node;

/// A template that was read.
#[derive(Debug)]
pub(crate) struct Template {
    name: String,
    text: String,
    root: Vec<Node>,
    named: Vec<(String, Vec<Node>)>,
}

/// Why a template cannot be read or carried out, in the words of Go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {message}")]
pub(crate) struct TemplateError {
    message: String,
    /// The field that was probably meant; no part of Go's words.
    pub(crate) near: Option<String>,
}

impl TemplateError {
    fn new(message: String) -> Self {
        Self { message, near: None }
    }
}

impl Template {
    /// Reads a template; `name` is what errors call it.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Template, TemplateError> {
        let parsed = parse::parse(text).map_err(|(at, message)| {
            let line = 1 + text[..at.min(text.len())].matches('\n').count();
            TemplateError::new(format!("{name}:{line}: {message}"))
        })?;
        Ok(Template { name: name.to_owned(), text: text.to_owned(), root: parsed.root, named: parsed.named })
    }

    /// The text that the template makes of `data`.
    ///
    /// # Errors
    /// What could not be evaluated, with its place.
    pub(crate) fn execute(&self, data: &Data) -> Result<String, TemplateError> {
        exec::execute(self, data)
    }

    /// Where a byte of the text stands: its line, counted from 1, and its column, counted from 0.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at.min(self.text.len())];
        let line = 1 + before.matches('\n').count();
        (line, at - before.rfind('\n').map_or(0, |newline| newline + 1))
    }
}

#[cfg(test)]
mod tests;
