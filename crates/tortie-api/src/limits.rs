//! How much of a document is read (docs/fuzzing.md lists all limits). What is longer, deeper or more is refused with an
//! error, never cut.

/// Bytes of one text: a file, or standard input. Whoever reads one reads no more.
pub const TEXT_LEN_MAX: usize = 64 << 20;
/// Length of one document (cli.md section 1.3), counted in characters.
pub const DOCUMENT_LEN_MAX: usize = 10 << 20;
/// Documents of one text.
pub const DOCUMENTS_MAX: usize = 100_000;
/// Nodes of one document.
pub const NODES_MAX: usize = 500_000;
/// Nodes of all documents of one text.
pub const TEXT_NODES_MAX: usize = 5_000_000;
/// Levels of nesting.
pub const DEPTH_MAX: usize = 100;
/// Nodes of one text that anchors and aliases may add to those that are written: a bound on what a few lines can be
/// blown up to.
pub const COPIED_NODES_MAX: usize = 100_000;
/// Bytes of text that anchors and aliases may add.
pub const COPIED_LEN_MAX: usize = 4 << 20;
/// Mistakes that are told of one text.
pub const PROBLEMS_MAX: usize = 1000;
/// Bytes of one object as it lies in a store. etcd takes no request of more than about 1.5 MiB (datastore.md); the
/// embedded store has no limit of its own, and holds lists of blocked addresses that are longer.
pub const STORED_LEN_MAX: usize = 10 << 20;
