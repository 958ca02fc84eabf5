//! `docs`: what kinds and fields mean, from the tables by which everything is checked (cli.md section 2.3).

use serde_json::Value;

use crate::args::{DocsArgs, DocsFormat, Global};
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

pub(crate) fn docs(global: &Global, args: &DocsArgs) -> Result<Code, Failure> {
    let page = args.what.as_deref().map(Page::find).transpose()?;
    match (args.output, page) {
        (DocsFormat::Json, None) => print_json(&json::kinds()),
        (DocsFormat::Json, Some(page)) => print_json(&json::page(&page, args.recursive)),
        (DocsFormat::Text, page) => {
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

fn print_json(value: &Value) {
    println!("{value:#}");
}
