//! Members of sets, counted by contributing object (E-342).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use smallvec::SmallVec;
use tortie_api::model::Protocol;
use tortie_api::{Kind, ResourceKey};
use tortie_selector::{IndexKey, Selector};

use crate::index::SelectorIndex;
use crate::items::{Body, Effective, Items, LabellingId};
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
    definition: Arc<Definition>,
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
    pub(crate) fn add(&mut self, definition: Arc<Definition>, items: &mut Items) -> SetMembers {
        let keys = items.index_keys(definition.selector.as_ref());
        let number = self.free.pop().unwrap_or_else(|| {
            self.live.push(None);
            SetNumber::try_from(self.live.len() - 1).expect("memory ends before numbers do")
        });
        let mut live = Live { definition, keys, more: HashMap::new() };
        let mut members = Vec::new();
        for id in items.at(live.keys.as_deref()) {
            if !live.holds_for(&items.effective(id)) {
                continue;
            }
            for (_, item) in items.of(id) {
                members.extend(item.body.members(&live.definition.id));
            }
            let sets = &mut items.labelling_mut(id).sets;
            sets.insert(sets.partition_point(|other| *other < number), number);
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
            items.labelling_mut(id).sets.retain(|other| *other != number);
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
        let changed = items.take_changed();
        let mut told = Told { live: &mut self.live, members, deltas };
        // The sets of labellings that are in others now.
        let mut former: HashMap<LabellingId, SmallVec<[SetNumber; 4]>> = HashMap::new();
        let is_changed = |id| {
            changed.added.binary_search(&id).is_ok() || changed.items.binary_search_by_key(&id, |(id, _)| *id).is_ok()
        };
        for &id in &changed.labellings {
            let labels = items.effective(id);
            let mut now = self.index.candidates(labels.pairs());
            now.retain(|&number| told.live(number).holds_for(&labels));
            let before = std::mem::replace(&mut items.labelling_mut(id).sets, now.into());
            let now = &items.labelling(id).sets;
            if before != *now {
                for (_, item) in items.of(id).filter(|(id, _)| !is_changed(*id)) {
                    told.change(Some((&item.body, &before)), Some((&item.body, now)));
                }
                former.insert(id, before);
            }
        }
        let now = |id| items.get(id).map(|item| (&item.body, &items.labelling(item.labelling).sets[..]));
        for (id, was) in &changed.items {
            let sets = former.get(&was.labelling).unwrap_or_else(|| &items.labelling(was.labelling).sets);
            told.change(Some((&was.body, &sets[..])), now(*id));
        }
        for &id in &changed.added {
            told.change(None, now(id));
        }
        items.forget_idle();
    }

    /// For each set, what each object adds to it, as text (T-27).
    pub(crate) fn contributions(&self, items: &Items) -> Vec<(&SetId, ResourceKey, Vec<String>)> {
        let mut found = Vec::new();
        for (key, item) in items.all() {
            for number in &items.labelling(item.labelling).sets {
                let id = &self.live[*number as usize].as_ref().expect("labellings are in live sets").definition.id;
                let members = item.body.members(id);
                if !members.is_empty() {
                    found.push((id, key.clone(), members.iter().map(ToString::to_string).collect()));
                }
            }
        }
        found.sort_unstable();
        found
    }
}

/// Where changes of members go.
struct Told<'a> {
    live: &'a mut [Option<Live>],
    members: &'a mut BTreeMap<SetId, Arc<SetMembers>>,
    deltas: &'a mut BTreeMap<SetId, MemberDelta>,
}

/// What an item adds, and the sets to which it does, in order.
type Added<'a> = (&'a Body, &'a [SetNumber]);

impl Told<'_> {
    fn live(&mut self, number: SetNumber) -> &mut Live {
        self.live[number as usize].as_mut().expect("numbers are those of live sets")
    }

    /// An item adds what it adds `now` in place of what it did before.
    fn change(&mut self, before: Option<Added<'_>>, now: Option<Added<'_>>) {
        let sets = |added: Option<Added<'_>>| added.map_or(&[][..], |(_, sets)| sets).to_vec();
        let mut numbers = [sets(before), sets(now)].concat();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let live = self.live[number as usize].as_mut().expect("numbers are those of live sets");
            let members = |added: Option<Added<'_>>| match added {
                Some((body, sets)) if sets.binary_search(&number).is_ok() => body.members(&live.definition.id),
                _ => Vec::new(),
            };
            let (before, now) = (members(before), members(now));
            if before != now {
                live.change(&before, &now, self.members, self.deltas);
            }
        }
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
    /// Whether items with these labels are in this set.
    fn holds_for(&self, labels: &Effective<'_>) -> bool {
        self.definition.selector.as_ref().is_none_or(|selector| selector.matches(labels))
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
