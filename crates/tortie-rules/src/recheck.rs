//! Which established flows a ruleset denies (E-731).
//!
//! A flow is judged as its first packet would be now: the original tuple, connection state *new*. Connection tracking does
//! not remember interfaces, so [`ways`] asks the host's routes. Where they leave several ways, a flow is denied only if
//! each of them is; where they leave none, it is not judged and stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use tortie_api::facts::{Links, Toward};
use tortie_api::flow::{Flow, Tuple, status};
use tortie_api::packet::{ConnState, Dnat, Packet, Route, WayBack};

use crate::interpret::{Decision, InterpretError, interpret};
use crate::ruleset::{Origin, Ruleset};

/// Flows by what a ruleset says of them.
#[derive(Debug, Default, PartialEq)]
pub struct Sorted<'a> {
    /// Denied, each with the rule that does it.
    pub denied: Vec<(&'a Flow, Option<Origin>)>,
    /// Not denied.
    pub kept: Vec<&'a Flow>,
    /// How many cannot be judged: their interfaces are not known, or the answer depends on which it is.
    pub unjudged: usize,
}

/// Judges every flow.
///
/// A flow that a helper expected, such as a data connection of FTP, shares the fate of the flow it belongs to (E-420).
/// `toward` says where an address lies, asked from an own address where one is given; `None` when nobody knows.
///
/// # Errors
/// [`InterpretError`] when the ruleset is none that a kernel would take.
pub fn sort<'a>(
    ruleset: &Ruleset,
    flows: &'a [Flow],
    links: &Links,
    mut toward: impl FnMut(IpAddr, Option<IpAddr>) -> Option<Toward>,
) -> Result<Sorted<'a>, InterpretError> {
    let mut sorted = Sorted::default();
    let mut denied: BTreeMap<Tuple, Option<Origin>> = BTreeMap::new();
    let (expected, own): (Vec<&Flow>, Vec<&Flow>) = flows.iter().partition(|flow| flow.status & status::EXPECTED != 0);
    for flow in own {
        match judge(ruleset, &ways(flow, links, &mut toward))? {
            Judgement::Denied(origin) => {
                denied.insert(flow.original, origin.clone());
                sorted.denied.push((flow, origin));
            }
            Judgement::Allowed => sorted.kept.push(flow),
            Judgement::Unknown => sorted.unjudged += 1,
        }
    }
    let mut open = expected;
    loop {
        // One that belongs to an expected flow is found in the next round.
        let (cut, rest): (Vec<&Flow>, Vec<&Flow>) =
            open.into_iter().partition(|flow| flow.master.is_some_and(|master| denied.contains_key(&master)));
        open = rest;
        if cut.is_empty() {
            break;
        }
        for flow in cut {
            let origin = flow.master.and_then(|master| denied.get(&master).cloned().flatten());
            denied.insert(flow.original, origin.clone());
            sorted.denied.push((flow, origin));
        }
    }
    sorted.kept.extend(open);
    Ok(sorted)
}

/// What a ruleset says of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Its first packet would be dropped now, by this rule.
    Denied(Option<Origin>),
    /// It would not.
    Allowed,
    /// Nobody can say.
    Unknown,
}

/// Judges the ways of one flow.
///
/// # Errors
/// [`InterpretError`] when the ruleset is none that a kernel would take.
pub fn judge(ruleset: &Ruleset, ways: &[Vec<Packet>]) -> Result<Judgement, InterpretError> {
    let mut origin = None;
    let mut denied = 0;
    for way in ways {
        for packet in way {
            let outcome = interpret(ruleset, packet)?;
            if outcome.verdict == Decision::Drop {
                denied += 1;
                origin = origin.or(outcome.origin);
                break;
            }
        }
    }
    Ok(match denied {
        _ if ways.is_empty() => Judgement::Unknown,
        0 => Judgement::Allowed,
        all if all == ways.len() => Judgement::Denied(origin),
        _ => Judgement::Unknown,
    })
}

/// The ways on which the first packet of a flow may have come through the host: each is the packets that rules see, two
/// for a host that talks to itself. Empty when nobody knows.
pub fn ways(
    flow: &Flow,
    links: &Links,
    mut toward: impl FnMut(IpAddr, Option<IpAddr>) -> Option<Toward>,
) -> Vec<Vec<Packet>> {
    let mut host = Host { links, toward: &mut toward };
    let source = flow.original.source;
    let destination = translated(flow).map_or(flow.original.destination, |dnat| dnat.destination);
    let is_to_own = host.is_own(destination);
    let is_for_many = is_for_many(destination) || (host.toward)(destination, None) == Some(Toward::Broadcast);
    if host.is_own(source) {
        let outs = host.interfaces(destination, Some(source));
        // A packet that is translated was given an interface before that (E-410).
        let firsts = translated(flow).map(|_| host.interfaces(flow.original.destination, Some(source)));
        let ways_by = |out: &String| match &firsts {
            None => vec![generated(flow, out, None, is_to_own)],
            Some(firsts) => firsts.iter().map(|first| generated(flow, out, Some(first), is_to_own)).collect(),
        };
        return outs.iter().flat_map(ways_by).collect();
    }
    let ins = host.interfaces(source, is_to_own.then_some(destination));
    if is_to_own || is_for_many {
        return ins.into_iter().map(|in_interface| vec![packet(flow, Route::Delivered { in_interface })]).collect();
    }
    let outs = host.interfaces(destination, None);
    let pairs = ins.iter().flat_map(|i| outs.iter().map(move |o| (i.clone(), o.clone())));
    pairs
        .map(|(in_interface, out_interface)| vec![packet(flow, Route::Forwarded { in_interface, out_interface })])
        .collect()
}

/// Every tuple under which packets of a flow can appear once connection tracking has forgotten it, each of them also the
/// other way round: as sent, as translated, and as answered.
pub fn tuples(flow: &Flow) -> BTreeSet<Tuple> {
    let original = flow.original;
    let to = Tuple { destination: flow.reply.source, destination_port: flow.reply.source_port, ..original };
    let forms = [original, to, flow.reply];
    forms.into_iter().flat_map(|tuple| [tuple, tuple.reversed()]).collect()
}

/// The translated destination (K-17: the status bit decides).
fn translated(flow: &Flow) -> Option<Dnat> {
    let is_translated = flow.status & status::DST_NAT != 0;
    is_translated.then_some(Dnat {
        destination: flow.reply.source,
        destination_port: flow.reply.source_port,
        out_interface_before: None,
    })
}

/// The way of a packet that a process of this host sends by `out`, and by `first` before translation; it comes back in
/// where it is for this host.
fn generated(flow: &Flow, out: &str, first: Option<&String>, is_to_own: bool) -> Vec<Packet> {
    let mut sent = packet(flow, Route::Generated { out_interface: out.to_owned() });
    if let Some(dnat) = &mut sent.dnat {
        dnat.out_interface_before = first.filter(|first| *first != out).cloned();
    }
    let arrives = is_to_own.then(|| packet(flow, Route::Delivered { in_interface: out.to_owned() }));
    std::iter::once(sent).chain(arrives).collect()
}

fn packet(flow: &Flow, route: Route) -> Packet {
    let tuple = &flow.original;
    Packet {
        route,
        source: tuple.source,
        destination: tuple.destination,
        protocol: tuple.protocol,
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
        icmp_type: tuple.icmp_type,
        icmp_code: tuple.icmp_code,
        // Not remembered. Only neighbour discovery is asked for it, and that is never tracked (E-461).
        hop_limit: 64,
        // What was let in before had a way back, or no check was asked for.
        way_back: WayBack::SameInterface,
        state: ConnState::New,
        dnat: translated(flow),
    }
}

type Lookup<'a> = dyn FnMut(IpAddr, Option<IpAddr>) -> Option<Toward> + 'a;

/// What is known of this host.
struct Host<'a> {
    links: &'a Links,
    toward: &'a mut Lookup<'a>,
}

impl Host<'_> {
    /// Whether an address is one of this host.
    fn is_own(&mut self, address: IpAddr) -> bool {
        // Every link has a route to link-local addresses, so routes say nothing of them. They know more of the others than
        // links do (127.0.0.0/8, local routes), but a new IPv6 address a little later.
        let says_route = !is_link_local(address) && !is_for_many(address);
        !holders(address, self.links).is_empty() || says_route && (self.toward)(address, None) == Some(Toward::Local)
    }

    /// The interfaces by which packets between `peer` and this host, or through it, may pass.
    fn interfaces(&mut self, peer: IpAddr, own: Option<IpAddr>) -> BTreeSet<String> {
        if self.is_own(peer) {
            return BTreeSet::from(["lo".to_owned()]);
        }
        match own {
            // A link-local address talks on its own link only.
            Some(own) if is_link_local(own) => return holders(own, self.links),
            // The process may have chosen the interface.
            _ if is_link_local(peer) || is_for_many(peer) => return BTreeSet::new(),
            _ => {}
        }
        match (self.toward)(peer, own) {
            Some(Toward::Interfaces(names)) => names,
            Some(Toward::Local | Toward::Broadcast) | None => BTreeSet::new(),
        }
    }
}

fn holders(address: IpAddr, links: &Links) -> BTreeSet<String> {
    links.values().filter(|link| link.addresses.contains(&address)).map(|link| link.name.clone()).collect()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn is_for_many(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}
