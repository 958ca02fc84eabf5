//! Answers and events of the kernel.

use tortie_api::facts::Links;
use tortie_rules::Ruleset;
use tortie_rules::plan::Op;
use tortie_rules::ruleset::{Chain, Origin};

/// Listings of nf_tables: what was read is written as messages that are read as the same ruleset.
pub fn nftables(data: &[u8]) {
    let (ruleset, counters) = tortie_nftables::fuzzing::ruleset(data);
    assert_eq!((&ruleset, &counters), (&tortie_nftables::fuzzing::ruleset(data).0, &counters));
    assert_eq!(tortie_nftables::fuzzing::events(data), tortie_nftables::fuzzing::events(data));
    assert_eq!(tortie_nftables::fuzzing::foreign_tables(data), tortie_nftables::fuzzing::foreign_tables(data));
    // A foreign set has no key, and a foreign rule may be unread: nothing of them is ever written.
    let is_read = |chain: &Chain| chain.rules.iter().all(|rule| !matches!(rule.origin, Origin::Unread(_)));
    let has_all =
        ruleset.chains.values().all(|chain| is_read(chain)) && ruleset.sets.values().all(|set| !set.key.is_empty());
    if has_all {
        let written = tortie_nftables::fuzzing::messages(&making(&ruleset));
        assert_eq!(tortie_nftables::fuzzing::ruleset(&written).0, ruleset);
    }
}

/// What makes a ruleset.
fn making(ruleset: &Ruleset) -> Vec<Op> {
    let mut ops = Vec::new();
    for (name, set) in &ruleset.sets {
        ops.push(Op::AddSet { name: name.clone(), set: set.clone() });
        let elements = set.elements.clone();
        ops.push(Op::AddElements { set: name.clone(), shape: set.clone(), elements });
    }
    for (name, chain) in &ruleset.chains {
        ops.push(Op::AddChain { name: name.clone(), base: chain.base });
        ops.extend(chain.rules.iter().map(|rule| Op::AddRule { chain: name.clone(), rule: rule.clone() }));
    }
    ops
}

/// Listings of connection tracking: a flow is named to the kernel as it was told.
pub fn flows(data: &[u8]) {
    let flows = tortie_flows::fuzzing::flows(data);
    assert_eq!(flows, tortie_flows::fuzzing::flows(data));
    for flow in &flows {
        let named = tortie_flows::fuzzing::named(flow).expect("what names a flow is read");
        assert_eq!((named.zone.id, named.id), (flow.zone.id, flow.id));
        assert_eq!(named.original.source, flow.original.source);
        assert_eq!(named.original.destination, flow.original.destination);
        assert_eq!(named.original.protocol, flow.original.protocol);
    }
}

/// Listings of links and addresses, and answers about routes: three parts, each behind its length of two bytes.
pub fn links(data: &[u8]) {
    let mut rest = data;
    let mut part = || {
        let (len, behind) = rest.split_first_chunk::<2>().unwrap_or((&[0, 0], &[]));
        let (part, behind) = behind.split_at(usize::from(u16::from_le_bytes(*len)).min(behind.len()));
        rest = behind;
        part
    };
    let (links, addresses, answer) = (part(), part(), part());
    let table = || tortie_netmon::fuzzing::links(links, addresses, 1).unwrap_or_default();
    let found: Links = table();
    assert_eq!(found, table());
    for (name, link) in &found {
        assert_eq!(*name, link.name);
    }
    // Whatever it says, it is an answer or an error.
    let _ = tortie_netmon::fuzzing::toward(answer, 1, &found);
}
