//! Members of sets, counted by contributing object (E-342).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::Protocol;
use tortie_api::{Kind, ResourceKey};
use tortie_selector::{IndexKey, Selector};

use crate::index::SelectorIndex;
use crate::items::{Before, Body, Effective, Items};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Member {
    Net(IpNet),
    Port(IpAddr, Protocol, u16),
}

/// The number of a set.
type SetNumber = u32;

#[derive(Debug)]
struct Live {
    definition: Definition,
    /// Where its members are found, and those who may be.
    keys: Option<Vec<IndexKey>>,
    /// How many items more than one add a member.
    more: HashMap<Member, u32>,
}

/// All sets that rules use. Which items are members of one stands with the items.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    numbers: BTreeMap<SetId, SetNumber>,
    live: Vec<Option<Live>>,
    free: Vec<SetNumber>,
    index: SelectorIndex,
}

impl Sets {
    pub(crate) fn contains(&self, id: &SetId) -> bool {
        self.numbers.contains_key(id)
    }

    /// Adds a set, filled from all items.
    pub(crate) fn add(&mut self, definition: Definition, items: &mut Items) -> SetMembers {
        let keys = items.index_keys(definition.selector.as_ref());
        let number = self.free.pop().unwrap_or_else(|| {
            self.live.push(None);
            SetNumber::try_from(self.live.len() - 1).expect("memory ends before numbers do")
        });
        let mut live = Live { definition, keys, more: HashMap::new() };
        let mut members = Vec::new();
        for id in items.at(live.keys.as_deref()) {
            let item = items.get(id).expect("items at keys are there");
            let added = live.members(&item.body, &items.effective(item));
            if !added.is_empty() {
                members.extend(added);
                let sets = &mut items.get_mut(id).expect("it is there").sets;
                sets.reserve_exact(1);
                sets.insert(sets.partition_point(|other| *other < number), number);
            }
        }
        let set = live.filled(members);
        self.index.insert(number, live.keys.as_deref());
        self.numbers.insert(live.definition.id.clone(), number);
        self.live[number as usize] = Some(live);
        set
    }

    /// Removes a set.
    pub(crate) fn remove(&mut self, id: &SetId, items: &mut Items) {
        let Some(number) = self.numbers.remove(id) else { return };
        let live = self.live[number as usize].take().expect("numbers are those of live sets");
        self.index.remove(number, live.keys.as_deref());
        for id in items.at(live.keys.as_deref()) {
            items.get_mut(id).expect("items at keys are there").sets.retain(|other| *other != number);
        }
        self.free.push(number);
    }

    /// Takes all changed items into account.
    pub(crate) fn update(
        &mut self,
        items: &mut Items,
        members: &mut BTreeMap<SetId, Arc<SetMembers>>,
        deltas: &mut BTreeMap<SetId, MemberDelta>,
    ) {
        for (id, before) in items.take_changed() {
            let item = items.get(id);
            let (old, was_in) = match (&before, item) {
                (Before::Absent, _) | (Before::Same, None) => (None, &[][..]),
                (Before::Same, Some(item)) => (Some(&item.body), &item.sets[..]),
                (Before::Was(was), _) => (Some(&was.body), &was.sets[..]),
            };
            let labels = item.map(|item| (&item.body, items.effective(item)));
            let mut numbers = match &labels {
                Some((_, labels)) => self.index.candidates(labels.pairs()),
                None => BTreeSet::new(),
            };
            numbers.extend(was_in);
            let mut is_in = Vec::new();
            for number in numbers {
                let live = self.live[number as usize].as_mut().expect("what is indexed lives");
                let now = labels.as_ref().map(|(body, labels)| live.members(body, labels)).unwrap_or_default();
                let then = old.filter(|_| was_in.contains(&number)).map(|old| old.members(&live.definition.id));
                let then = then.unwrap_or_default();
                if !now.is_empty() {
                    is_in.push(number);
                }
                if now != then {
                    live.change(&then, &now, members, deltas);
                }
            }
            is_in.shrink_to_fit();
            if let Some(item) = items.get_mut(id) {
                item.sets = is_in;
            }
        }
    }

    /// For each set, what each object adds to it, as text (T-27).
    pub(crate) fn contributions(&self, items: &Items) -> Vec<(&SetId, ResourceKey, Vec<String>)> {
        let mut found = Vec::new();
        for (key, item) in items.all() {
            for number in &item.sets {
                let live = self.live[*number as usize].as_ref().expect("items are members of live sets");
                let members = item.body.members(&live.definition.id);
                found.push((&live.definition.id, key.clone(), members.iter().map(ToString::to_string).collect()));
            }
        }
        found.sort_unstable();
        found
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

impl Live {
    /// What an item adds to this set, in order.
    fn members(&self, body: &Body, labels: &Effective<'_>) -> Vec<Member> {
        let selector = self.definition.selector.as_ref();
        if selector.is_none_or(|selector| selector.matches(labels)) {
            body.members(&self.definition.id)
        } else {
            Vec::new()
        }
    }

    /// The set with these members, each as often as an item adds it.
    fn filled(&mut self, mut members: Vec<Member>) -> SetMembers {
        members.sort_unstable();
        for same in members.chunk_by(|a, b| a == b).filter(|same| same.len() > 1) {
            self.more.insert(same[0], u32::try_from(same.len() - 1).expect("memory ends before numbers do"));
        }
        members.dedup();
        match self.definition.id {
            SetId::Selector(_) => SetMembers::Nets(members.into_iter().filter_map(Member::net).collect()),
            SetId::NamedPort { .. } => SetMembers::Ports(members.into_iter().filter_map(Member::port).collect()),
        }
    }

    /// An item adds `now` in place of `then`.
    fn change(
        &mut self,
        then: &[Member],
        now: &[Member],
        members: &mut BTreeMap<SetId, Arc<SetMembers>>,
        deltas: &mut BTreeMap<SetId, MemberDelta>,
    ) {
        let id = &self.definition.id;
        let set = Arc::make_mut(members.get_mut(id).expect("each live set has its members"));
        let delta = deltas.entry(id.clone()).or_default();
        for member in now.iter().filter(|member| then.binary_search(member).is_err()) {
            if set.insert(*member) {
                delta.added += 1;
            } else {
                *self.more.entry(*member).or_default() += 1;
            }
        }
        for member in then.iter().filter(|member| now.binary_search(member).is_err()) {
            match self.more.get_mut(member) {
                Some(1) => {
                    self.more.remove(member);
                }
                Some(more) => *more -= 1,
                None => {
                    set.remove(member);
                    delta.removed += 1;
                }
            }
        }
    }
}

impl Member {
    fn net(self) -> Option<IpNet> {
        match self {
            Member::Net(net) => Some(net),
            Member::Port(..) => None,
        }
    }

    fn port(self) -> Option<(IpAddr, Protocol, u16)> {
        match self {
            Member::Port(address, protocol, port) => Some((address, protocol, port)),
            Member::Net(_) => None,
        }
    }
}

impl SetMembers {
    /// Whether it is new. The kind of member follows from the kind of set.
    fn insert(&mut self, member: Member) -> bool {
        match (self, member) {
            (SetMembers::Nets(nets), Member::Net(net)) => nets.insert(net),
            (SetMembers::Ports(ports), Member::Port(address, protocol, port)) => {
                ports.insert((address, protocol, port))
            }
            _ => unreachable!("the kind of member follows from the kind of set"),
        }
    }

    fn remove(&mut self, member: &Member) -> bool {
        match (self, member) {
            (SetMembers::Nets(nets), Member::Net(net)) => nets.remove(net),
            (SetMembers::Ports(ports), Member::Port(address, protocol, port)) => {
                ports.remove(&(*address, *protocol, *port))
            }
            _ => unreachable!("the kind of member follows from the kind of set"),
        }
    }
}
