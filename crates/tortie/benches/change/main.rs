//! What a change costs, from the store to the kernel, and what an agent costs that has nothing to do:
//! `cargo bench -p tortie --bench change -- [PART…] [--etcd] [--json=FILE]` as root; without a part, all of them.
//!
//! Each part has a real agent in a network namespace of its own, on an embedded store in a temporary folder. "In force" is
//! the transaction that turns to the new rules; "in the kernel" is what all transactions of a change took there. The
//! baseline of the same run is the durable write of the same object to a store that nobody follows.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]
#![allow(clippy::disallowed_methods, reason = "a bench is about time")]

mod agent;
mod parts;
mod table;
mod world;

use tortie_testkit::sandbox::in_network_namespace;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (options, wanted): (Vec<String>, Vec<String>) =
        arguments.into_iter().partition(|argument| argument.starts_with("--"));
    let json = options.iter().find_map(|option| option.strip_prefix("--json="));
    let on_etcd = options.iter().any(|option| option == "--etcd");
    for name in &wanted {
        assert!(parts::ALL.iter().any(|(known, _)| known == name), "there is no part `{name}`: {}", parts::names());
    }
    println!("{}", table::HEAD);
    for (name, part) in parts::ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            in_network_namespace(move || part(on_etcd));
        }
    }
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string(&table::rows()).unwrap()).unwrap();
    }
}
