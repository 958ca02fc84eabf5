//! Members of sets, counted by contributing object (E-342).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::Protocol;
use tortie_api::{Kind, ResourceKey};
use tortie_selector::Selector;

use crate::items::{Effective, Item, Items};
use crate::needs;
use crate::policy::{SetId, SetMembers};

/// What changed in one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberDelta {
    /// Members that joined.
    pub added: usize,
    /// Members that left.
    pub removed: usize,
}

/// A set that rules use, as it is found.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) id: SetId,
    /// The selector that items must satisfy; `None` takes all of them.
    pub(crate) selector: Option<Selector>,
    /// The kinds of [`LAZY`](crate::LAZY) that can matter to it.
    pub(crate) needs: &'static [Kind],
}

impl Definition {
    pub(crate) fn new(id: SetId, selector: Option<Selector>) -> Definition {
        let needs = needs::of_set(&id, selector.as_ref());
        Definition { id, selector, needs }
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Net(IpNet),
    Port(IpAddr, Protocol, u16),
}

#[derive(Debug)]
struct Live {
    definition: Definition,
    /// What each matching item adds.
    by_item: BTreeMap<ResourceKey, BTreeSet<Member>>,
    /// How many items add a member.
    counts: BTreeMap<Member, u32>,
}

/// All sets that rules use.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    live: BTreeMap<SetId, Live>,
}

impl Sets {
    /// Makes the sets exactly those of `wanted`; new ones are filled from all items.
    pub(crate) fn retain(
        &mut self,
        wanted: &BTreeMap<SetId, Definition>,
        items: &Items,
        members: &mut BTreeMap<SetId, Arc<SetMembers>>,
    ) -> (Vec<SetId>, Vec<SetId>) {
        let gone: Vec<SetId> = self.live.keys().filter(|id| !wanted.contains_key(id)).cloned().collect();
        for id in &gone {
            self.live.remove(id);
            members.remove(id);
        }
        let mut added = Vec::new();
        for (id, definition) in wanted {
            if self.live.contains_key(id) {
                continue;
            }
            let mut live = Live { definition: definition.clone(), by_item: BTreeMap::new(), counts: BTreeMap::new() };
            let mut set = empty(id);
            for (key, item, labels) in items.all() {
                live.item(key, Some((item, labels)), &mut set, &mut MemberDelta::default());
            }
            members.insert(id.clone(), Arc::new(set));
            self.live.insert(id.clone(), live);
            added.push(id.clone());
        }
        (added, gone)
    }

    /// Takes a changed item into account everywhere.
    pub(crate) fn update(
        &mut self,
        key: &ResourceKey,
        items: &Items,
        members: &mut BTreeMap<SetId, Arc<SetMembers>>,
        deltas: &mut BTreeMap<SetId, MemberDelta>,
    ) {
        for (id, live) in &mut self.live {
            let found = items.get(key);
            if !live.changes(key, found.as_ref().map(|(item, labels)| (*item, labels))) {
                continue;
            }
            let set = members.get_mut(id).expect("each live set has its members");
            live.item(key, found, Arc::make_mut(set), deltas.entry(id.clone()).or_default());
        }
    }
}

impl Sets {
    /// For each set, what each object adds to it, as text (T-27).
    pub(crate) fn contributions(&self) -> impl Iterator<Item = (&SetId, &ResourceKey, Vec<String>)> {
        self.live.iter().flat_map(|(id, live)| {
            live.by_item.iter().map(move |(key, members)| (id, key, members.iter().map(ToString::to_string).collect()))
        })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Member::Net(net) => net.fmt(f),
            Member::Port(address, protocol, port) => write!(f, "{address} {protocol}:{port}"),
        }
    }
}

fn empty(id: &SetId) -> SetMembers {
    match id {
        SetId::Selector(_) => SetMembers::Nets(BTreeSet::new()),
        SetId::NamedPort { .. } => SetMembers::Ports(BTreeSet::new()),
    }
}

impl Live {
    /// What an item adds to this set.
    fn contribution(&self, item: &Item, labels: &Effective<'_>) -> BTreeSet<Member> {
        if self.definition.selector.as_ref().is_some_and(|selector| !selector.matches(labels)) {
            return BTreeSet::new();
        }
        match &self.definition.id {
            SetId::Selector(_) => item.nets.iter().map(|net| Member::Net(net.trunc())).collect(),
            SetId::NamedPort { name, protocol, .. } => item
                .ports
                .iter()
                .filter(|(_, port)| *port.name == **name && protocol.is_none_or(|protocol| protocol == port.protocol))
                .map(|(address, port)| Member::Port(*address, port.protocol, port.port))
                .collect(),
        }
    }

    fn changes(&self, key: &ResourceKey, item: Option<(&Item, &Effective<'_>)>) -> bool {
        let now = item.map(|(item, labels)| self.contribution(item, labels)).unwrap_or_default();
        match self.by_item.get(key) {
            Some(before) => *before != now,
            None => !now.is_empty(),
        }
    }

    fn item(
        &mut self,
        key: &ResourceKey,
        item: Option<(&Item, Effective<'_>)>,
        set: &mut SetMembers,
        delta: &mut MemberDelta,
    ) {
        let now = item.map(|(item, labels)| self.contribution(item, &labels)).unwrap_or_default();
        let before = self.by_item.remove(key).unwrap_or_default();
        for member in now.difference(&before) {
            let count = self.counts.entry(member.clone()).or_default();
            *count += 1;
            if *count == 1 {
                delta.added += 1;
                insert(set, member);
            }
        }
        for member in before.difference(&now) {
            let count = self.counts.get_mut(member).expect("each member of an item is counted");
            *count -= 1;
            if *count == 0 {
                self.counts.remove(member);
                delta.removed += 1;
                remove(set, member);
            }
        }
        if !now.is_empty() {
            self.by_item.insert(key.clone(), now);
        }
    }
}

fn insert(set: &mut SetMembers, member: &Member) {
    match (set, member) {
        (SetMembers::Nets(nets), Member::Net(net)) => {
            nets.insert(*net);
        }
        (SetMembers::Ports(ports), Member::Port(address, protocol, port)) => {
            ports.insert((*address, *protocol, *port));
        }
        _ => unreachable!("the kind of member follows from the kind of set"),
    }
}

fn remove(set: &mut SetMembers, member: &Member) {
    match (set, member) {
        (SetMembers::Nets(nets), Member::Net(net)) => {
            nets.remove(net);
        }
        (SetMembers::Ports(ports), Member::Port(address, protocol, port)) => {
            ports.remove(&(*address, *protocol, *port));
        }
        _ => unreachable!("the kind of member follows from the kind of set"),
    }
}
