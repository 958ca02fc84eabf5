//! Places in an object, which become text only when something is said of them: that is seldom.

use std::fmt;

/// A place in an object: `&str`, or one of the types below.
pub(super) trait Place: fmt::Display + Copy {}

impl<P: fmt::Display + Copy> Place for P {}

/// A member of what lies at a place.
#[derive(Clone, Copy)]
pub(super) struct Member<P>(pub(super) P, pub(super) &'static str);

impl<P: Place> fmt::Display for Member<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// An entry of the list at a place.
#[derive(Clone, Copy)]
pub(super) struct Entry<P>(pub(super) P, pub(super) usize);

impl<P: Place> fmt::Display for Entry<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.0, self.1)
    }
}
