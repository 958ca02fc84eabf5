//! `docs`: what kinds and fields mean, from the tables by which everything is checked (cli.md section 2.3).

use serde_json::Value;

use crate::args::{DocsArgs, Global, TextOrJson};
use crate::exit::{Code, Failure};

#[cfg(test)]
mod commands;
mod example;
mod json;
mod page;
#[cfg(test)]
mod reference;
mod text;
mod types;

use page::Page;
pub(crate) use page::{below, document, shortened};

pub(crate) fn docs(global: &Global, args: &DocsArgs) -> Result<Code, Failure> {
    let page = args.what.as_deref().map(Page::find).transpose()?;
    match (args.output, page) {
        (TextOrJson::Json, None) => print_json(&json::kinds()),
        (TextOrJson::Json, Some(page)) => print_json(&json::page(&page, args.recursive)),
        (TextOrJson::Text, page) => {
            let look = text::Look::of_stdout(global.color);
            let text = match page {
                None => text::kinds(look),
                Some(page) if args.recursive => text::tree(&page, look),
                Some(page) => text::page(&page, look),
            };
            print!("{text}");
        }
    }
    Ok(Code::Success)
}

/// Checks that a kind or field is known, as [`docs`] does.
#[cfg(test)]
pub(crate) fn check(what: &str) -> Result<(), Failure> {
    Page::find(what).map(|_| ())
}

fn print_json(value: &Value) {
    println!("{value:#}");
}
