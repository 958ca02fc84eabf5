//! What is remembered from one compilation to the next, so that only what changed is worked out again.
//!
//! Memory never shows in the result: what is kept is kept under all that it was made of, and is used again only where all
//! of that is the same. Policy says so by identity, where it can: the calculation keeps what did not change.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use tortie_api::model::Family;
use tortie_calc::policy::{EndpointPolicy, SetId, SetMembers};
use tortie_calc::{HostPolicy, Settings};

use super::blocks::{self, Limits, Part};
use super::classes::Classes;
use super::sets::nets_of;
use super::stage::Stage;
use super::{compile_by, profiles};
use crate::ruleset::{Chain, Name, Ruleset, Set, Verdict};

/// Compiles one policy after another, and works out again only what changed. The result is that of [`super::compile()`].
#[derive(Default)]
pub struct Compiler {
    classes: Classes,
    memory: Memory,
}

impl Compiler {
    /// As [`super::compile_with`].
    pub fn with(classes: Classes) -> Self {
        Self { classes, memory: Memory::default() }
    }

    /// Compiles what applies to this host now.
    pub fn compile(&mut self, policy: &HostPolicy) -> Ruleset {
        let ruleset = compile_by(policy, self.classes, Some(&mut self.memory));
        self.memory.forget(policy);
        ruleset
    }
}

/// What is remembered.
#[derive(Default)]
pub(super) struct Memory {
    lists: HashMap<ListKey, List>,
    nets: HashMap<(SetId, Family), (Members, Vec<Part>)>,
}

/// Which chains: those of one endpoint, stage and family.
pub(super) type ListKey = (String, Stage, Family);

/// The members of a set by identity; `None` where it has none.
type Members = Option<Weak<SetMembers>>;

/// What the chains of a list are made of, but for sets.
pub(super) struct Source {
    pub(super) endpoint: Arc<EndpointPolicy>,
    pub(super) settings: Arc<Settings>,
    /// What passes the stage without a word to later ones.
    pub(super) pass: Verdict,
}

struct List {
    source: Source,
    asked: Vec<(SetId, Members)>,
    made: Made,
}

/// The chains of a list, and the sets that they name.
#[derive(Clone, Default)]
pub(super) struct Made {
    pub(super) chains: Vec<(Name, Arc<Chain>)>,
    pub(super) sets: BTreeMap<Name, Arc<Set>>,
}

impl Memory {
    /// The chains of a list, if they are known and still made of the same.
    pub(super) fn list(&self, key: &ListKey, source: &Source, policy: &HostPolicy) -> Option<Made> {
        let list = self.lists.get(key)?;
        let is_same = list.source.is_same(source, key.1)
            && list.asked.iter().all(|(id, members)| is_same(members, policy.sets.get(id)));
        is_same.then(|| list.made.clone())
    }

    /// Remembers the chains of a list, which has asked for these sets.
    pub(super) fn keep(&mut self, key: ListKey, source: Source, asked: Vec<SetId>, made: Made, policy: &HostPolicy) {
        let asked = asked.into_iter().map(|id| {
            let members = identity(policy.sets.get(&id));
            (id, members)
        });
        self.lists.insert(key, List { source, asked: asked.collect(), made });
    }

    /// The networks with these members in parts; `limits` are those of the compiler, which never change. Parts that did not change are the same as before.
    pub(super) fn parts(
        &mut self,
        id: &SetId,
        family: Family,
        members: Option<&Arc<SetMembers>>,
        limits: Limits,
    ) -> Vec<Part> {
        let key = (id.clone(), family);
        let before = match self.nets.get(&key) {
            Some((known, parts)) if is_same(known, members) => return parts.clone(),
            Some((_, parts)) => parts.as_slice(),
            None => &[],
        };
        let kept = |part: Part| before.iter().find(|known| **known == part).cloned().unwrap_or(part);
        let parts: Vec<Part> = blocks::cut(family, nets_of(members), limits).into_iter().map(kept).collect();
        self.nets.insert(key, (identity(members), parts.clone()));
        parts
    }

    /// Forgets what `policy` has no use for.
    fn forget(&mut self, policy: &HostPolicy) {
        self.lists.retain(|(endpoint, ..), _| policy.endpoints.contains_key(endpoint));
        self.nets.retain(|(id, _), _| policy.sets.contains_key(id));
    }
}

impl Source {
    fn is_same(&self, other: &Source, stage: Stage) -> bool {
        let (one, another) = (&*self.endpoint, &*other.endpoint);
        let has_same_policy = || {
            stage.class(one) == stage.class(another)
                && profiles(one, stage) == profiles(another, stage)
                && one.has_forward() == another.has_forward()
        };
        self.pass == other.pass
            && (Arc::ptr_eq(&self.settings, &other.settings) || self.settings == other.settings)
            && (Arc::ptr_eq(&self.endpoint, &other.endpoint) || has_same_policy())
    }
}

/// Members by identity: while this is kept no others can take their place, and whoever changes them need not copy them.
fn identity(members: Option<&Arc<SetMembers>>) -> Members {
    members.map(Arc::downgrade)
}

fn is_same(known: &Members, members: Option<&Arc<SetMembers>>) -> bool {
    match (known, members) {
        (Some(known), Some(members)) => std::ptr::eq(known.as_ptr(), Arc::as_ptr(members)),
        (None, None) => true,
        _ => false,
    }
}
