//! The host endpoints of this node, by number.

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::REVERSE_PATH_ANNOTATION;
use tortie_api::model::{HostEndpoint, Labels, Resource};

use super::lists::Lists;
use crate::policy::ReversePath;

/// The number of a local endpoint, its own until [`Locals::forget`].
pub(super) type LocalNumber = u32;

/// Local endpoints.
#[derive(Default)]
pub(super) struct Locals {
    numbers: BTreeMap<String, LocalNumber>,
    slots: Vec<Option<Local>>,
    free: Vec<LocalNumber>,
}

/// One of them.
#[derive(Default)]
pub(super) struct Local {
    /// `None` for one that is gone, until the next flush.
    pub(super) resource: Option<Arc<Resource>>,
    /// Those by which policies were asked at the last flush, if it was there.
    pub(super) labels: Option<Labels>,
    pub(super) lists: Lists,
    /// Whether it governs an interface, or all without an endpoint of their own.
    pub(super) governs: bool,
}

impl Local {
    pub(super) fn endpoint(&self) -> Option<&HostEndpoint> {
        match self.resource.as_deref() {
            Some(Resource::HostEndpoint(endpoint)) => Some(endpoint),
            _ => None,
        }
    }
}

impl Locals {
    pub(super) fn find(&self, name: &str) -> Option<LocalNumber> {
        self.numbers.get(name).copied()
    }

    /// The local endpoint of this name, made if it is not there.
    pub(super) fn number(&mut self, name: &str) -> LocalNumber {
        if let Some(number) = self.find(name) {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            LocalNumber::try_from(self.slots.len() - 1).expect("memory ends before numbers do")
        });
        self.slots[number as usize] = Some(Local::default());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(super) fn forget(&mut self, number: LocalNumber) {
        self.numbers.retain(|_, other| *other != number);
        self.slots[number as usize] = None;
        self.free.push(number);
    }

    pub(super) fn get(&self, number: LocalNumber) -> &Local {
        self.slots[number as usize].as_ref().expect("numbers are those of local endpoints")
    }

    pub(super) fn get_mut(&mut self, number: LocalNumber) -> &mut Local {
        self.slots[number as usize].as_mut().expect("numbers are those of local endpoints")
    }

    /// All there are, in order of their names.
    pub(super) fn all(&self) -> impl Iterator<Item = (LocalNumber, &HostEndpoint)> + Clone {
        let numbers = self.numbers.values();
        numbers.filter_map(|&number| Some((number, self.get(number).endpoint()?)))
    }

    /// Names and numbers, of those that are gone as well.
    pub(super) fn names(&self) -> impl Iterator<Item = (&String, LocalNumber)> {
        self.numbers.iter().map(|(name, &number)| (name, number))
    }

    /// Those that were there at the last flush, with the labels they had.
    pub(super) fn known(&self) -> impl Iterator<Item = (LocalNumber, &Labels)> {
        self.numbers.values().filter_map(|&number| Some((number, self.get(number).labels.as_ref()?)))
    }
}

/// Whether a changed endpoint governs what it governed, and asks the same profiles.
pub(super) fn is_where_it_was(before: &HostEndpoint, now: &HostEndpoint) -> bool {
    (&before.attachment, &before.expected_ips, &before.profiles) == (&now.attachment, &now.expected_ips, &now.profiles)
}

/// The annotation [`REVERSE_PATH_ANNOTATION`] of an endpoint, whose values are read in any case; another one is none.
pub(super) fn reverse_path(hep: &HostEndpoint) -> Option<ReversePath> {
    match hep.meta.annotations.get(REVERSE_PATH_ANNOTATION)?.to_lowercase().as_str() {
        "strict" => Some(ReversePath::Strict),
        "loose" => Some(ReversePath::Loose),
        _ => None,
    }
}
