//! Project chores: check, test, conformance, demo.
fn main() {}
