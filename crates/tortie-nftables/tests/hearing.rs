//! What is heard of changes, and what of our own is not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tortie_nftables::{Events, Kernel, Tap};
use tortie_rules::plan::{Op, Phase, Transaction};
use tortie_rules::ruleset::{Element, Field, Name, Set};
use tortie_testkit::sandbox::in_network_namespace;

fn add_foreign_table(name: &str) {
    assert!(Command::new("nft").args(["add", "table", "ip", name]).status().unwrap().success());
}

/// A set of so many addresses.
fn transaction(name: &str, len: u32) -> Transaction {
    let elements = (0..len).map(|number| (Element::exact(number.to_be_bytes()), None)).collect();
    let (name, set) = (Name::new(name), Arc::new(Set { key: vec![Field::SourceV4], ..Set::default() }));
    let add = Op::AddSet { name: name.clone(), set: set.clone() };
    let ops = vec![Op::AddTable, add, Op::AddElements { set: name, shape: set, elements }];
    Transaction { phase: Phase::Build, ops }
}

/// Somebody who changes a ruleset as soon as the kernel has taken what is sent.
#[derive(Default)]
struct Foreigner(AtomicBool);

impl Tap for Foreigner {
    fn send(&self, datagram: &[u8], kernel: &dyn Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        kernel(datagram)?;
        if self.0.swap(false, Ordering::Relaxed) {
            add_foreign_table("behind");
        }
        Ok(())
    }
}

#[test]
fn large_transactions_of_our_own_are_not_heard_and_those_of_others_are_e721() {
    in_network_namespace(|| {
        let mut events = Events::open().unwrap();
        let mut kernel = Kernel::open().unwrap();
        kernel.set_heard_by(events.membership());
        let foreigner = Arc::new(Foreigner::default());
        kernel.set_tap(foreigner.clone());

        let before = kernel.generation().unwrap();
        kernel.commit(&transaction("small", 10), Some(before)).unwrap();
        assert_eq!(events.drain().unwrap().len(), 1, "a small one is heard");
        let before = kernel.generation().unwrap();
        kernel.commit(&transaction("large", 1_000), Some(before)).unwrap();
        assert_eq!(events.drain().unwrap(), [], "a large one is not");
        assert!(!kernel.take_overtaken());

        add_foreign_table("heard");
        assert_eq!(events.drain().unwrap().len(), 1, "what others do is heard again");

        let before = kernel.generation().unwrap();
        foreigner.0.store(true, Ordering::Relaxed);
        kernel.commit(&transaction("another", 1_000), Some(before)).unwrap();
        assert_eq!(events.drain().unwrap(), [], "nobody heard the table behind it");
        assert!(kernel.take_overtaken(), "its generation tells of it");
        assert!(!kernel.take_overtaken(), "once");

        // A transaction that the kernel refuses leaves everything heard.
        kernel.commit(&transaction("large", 1_000), Some(before)).unwrap_err();
        add_foreign_table("heard-again");
        assert_eq!(events.drain().unwrap().len(), 1);
    });
}
