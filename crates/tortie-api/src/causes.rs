//! Errors as one line of text, for logs, status and the terminal.

use std::error::Error;

/// An error with its causes, in one line. A cause that the text ends with already is not said twice: errors that are
/// transparent for their cause print it themselves.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("no such file")]
        Bottom,
        #[error("cannot read")]
        Named(#[source] Box<Layer>),
        #[error("cannot read: {0}")]
        Told(#[source] Box<Layer>),
    }

    #[test]
    fn each_cause_is_said_once() {
        let bottom = || Box::new(Layer::Bottom);
        let twice = Layer::Named(Box::new(Layer::Named(bottom())));
        assert_eq!(with_causes(&Layer::Bottom), "no such file");
        assert_eq!(with_causes(&Layer::Named(bottom())), "cannot read: no such file");
        assert_eq!(with_causes(&Layer::Told(bottom())), "cannot read: no such file");
        assert_eq!(with_causes(&twice), "cannot read: no such file", "the outer one says nothing new");
    }
}
