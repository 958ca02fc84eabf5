//! Questions. Where nobody can answer, a question is an error that names `--yes` (cli.md section 2.1).

use std::io::{BufRead, IsTerminal, Write};

use crate::args::Global;
use crate::exit::{Code, Failure};

/// Whether whoever runs the command agrees. Enter alone is no.
pub(crate) fn agrees(global: &Global, question: &str) -> Result<bool, Failure> {
    if global.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(Code::Usage, format!("{question} nobody can answer here"))
            .with_hint("`--yes` answers every question with yes"));
    }
    let unasked = |error: std::io::Error| Failure::new(Code::General, format!("cannot ask: {error}"));
    let mut screen = std::io::stderr();
    write!(screen, "{question} [y/N] ").and_then(|()| screen.flush()).map_err(unasked)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(unasked)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
