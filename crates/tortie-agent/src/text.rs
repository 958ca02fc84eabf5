//! Stored objects as text.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// A part of a text that several parts share.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    whole: Arc<str>,
    range: Range<usize>,
}

impl Text {
    /// A part of a text; `None` where the range is none of it.
    pub(crate) fn part(whole: &Arc<str>, range: Range<usize>) -> Option<Text> {
        whole.get(range.clone()).map(|_| Text { whole: whole.clone(), range })
    }
}

impl From<Arc<str>> for Text {
    fn from(whole: Arc<str>) -> Text {
        Text { range: 0..whole.len(), whole }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.whole[self.range.clone()]
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        **self == **other
    }
}
