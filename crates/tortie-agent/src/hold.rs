//! Objects in force: those of the store, except where the last valid form of one that became invalid is kept (D-11), or
//! the last good form of one that the kernel refuses (E-711).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tortie_api::model::Resource;
use tortie_api::read_stored;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::syncer::Update;

use crate::text::Text;

/// What is wrong with a stored object, and what is in force instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredProblem {
    /// One sentence for each mistake.
    pub(crate) messages: Vec<String>,
    /// Whether the last valid form stays in force.
    pub(crate) is_held: bool,
}

/// An object that the kernel does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Which rule of it, where the kernel tells: `ingress[0]`.
    pub(crate) rule: Option<String>,
    /// What the kernel says.
    pub(crate) message: String,
    /// Whether its last good form stays in force; otherwise it counts as missing.
    pub(crate) is_held: bool,
}

/// A valid object, as it was stored and as it is understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form {
    /// What it means.
    pub(crate) resource: Arc<Resource>,
    /// The stored object as JSON, for the saved state.
    pub(crate) text: Arc<str>,
}

impl Form {
    /// Reads a stored object; gives also what was left out of it.
    pub(crate) fn read(key: &ResourceKey, object: Value) -> Result<(Form, Vec<String>), Vec<String>> {
        let texts = |problems: Vec<tortie_api::Problem>| problems.iter().map(ToString::to_string).collect();
        let stored = read_stored(key.kind, &object).map_err(texts)?;
        let form = Form { resource: Arc::new(stored.resource), text: Arc::from(object.to_string()) };
        Ok((form, texts(stored.warnings)))
    }

    /// Reads an object of a saved state. One that this version cannot read any more is left out with a log line: that
    /// affects itself only.
    pub(crate) fn read_saved(key: &ResourceKey, text: &Text) -> Option<Form> {
        let object = serde_json::from_str(text).map_err(|error| vec![error.to_string()]);
        match object.and_then(|object| Form::read(key, object)) {
            Ok((form, _)) => Some(form),
            Err(messages) => {
                tracing::warn!("saved {key} is left out: {}", messages.join("; "));
                None
            }
        }
    }
}

/// The form of an object that the kernel took last.
#[derive(Clone, Debug)]
enum Good {
    /// One of this process.
    Form(Form),
    /// One of the process before, which is read when it is needed.
    Saved(Text),
}

impl Good {
    fn form(&self, key: &ResourceKey) -> Option<Form> {
        match self {
            Good::Form(form) => Some(form.clone()),
            Good::Saved(text) => Form::read_saved(key, text),
        }
    }

    fn text(&self) -> Text {
        match self {
            Good::Form(form) => form.text.clone().into(),
            Good::Saved(text) => text.clone(),
        }
    }
}

/// What the calculation is to be told of one object.
pub(crate) type Told = (ResourceKey, Option<Arc<Resource>>);

/// The step between store and calculation.
#[derive(Default)]
pub(crate) struct Hold {
    in_force: BTreeMap<ResourceKey, Form>,
    problems: BTreeMap<ResourceKey, StoredProblem>,
    warnings: BTreeMap<ResourceKey, Vec<String>>,
    refused: BTreeMap<ResourceKey, Refused>,
    /// What changed since the kernel last took everything: the form that was in force then, if any.
    good: BTreeMap<ResourceKey, Option<Good>>,
    /// Forms of the saved state, until the store's first snapshot says what there is.
    remembered: BTreeMap<ResourceKey, Text>,
    /// Objects held since the state was saved last.
    newly_held: BTreeSet<ResourceKey>,
}

impl Hold {
    /// Takes a stored object; gives what the calculation is to be told, if anything.
    ///
    /// With `holds` an invalid object leaves its last valid form in force, else it counts as missing (`Strict`).
    pub(crate) fn update(&mut self, update: Update, holds: bool) -> Option<Told> {
        let key = update.key;
        self.warnings.remove(&key);
        self.refused.remove(&key);
        let read = match update.value.map(|content| content.read()) {
            None => {
                self.problems.remove(&key);
                return Some(self.put(key, None));
            }
            Some(Err(cause)) => Err(vec![cause]),
            Some(Ok(object)) => Form::read(&key, Value::Object(object)),
        };
        match read {
            Ok((form, warnings)) => {
                self.problems.remove(&key);
                if !warnings.is_empty() {
                    self.warnings.insert(key.clone(), warnings);
                }
                Some(self.put(key, Some(form)))
            }
            Err(messages) => {
                let has_form = self.in_force.contains_key(&key);
                let saved = self.remembered.get(&key).filter(|_| holds && !has_form);
                let saved = saved.and_then(|text| Form::read_saved(&key, text));
                let is_held = holds && (has_form || saved.is_some());
                for message in &messages {
                    let what = if is_held { "its last valid form stays in force" } else { "it counts as missing" };
                    tracing::warn!("{key} in the store is invalid, {what}: {message}");
                }
                self.problems.insert(key.clone(), StoredProblem { messages, is_held });
                if !is_held {
                    return Some(self.put(key, None));
                }
                self.newly_held.insert(key.clone());
                if has_form {
                    return None;
                }
                Some(self.put(key, saved))
            }
        }
    }

    /// Puts a form in force, and remembers the one that the kernel took last.
    fn put(&mut self, key: ResourceKey, form: Option<Form>) -> Told {
        let resource = form.as_ref().map(|form| form.resource.clone());
        let before = match form {
            Some(form) => self.in_force.insert(key.clone(), form),
            None => self.in_force.remove(&key),
        };
        let saved = || self.remembered.get(&key).cloned().map(Good::Saved);
        self.good.entry(key.clone()).or_insert_with(|| before.map(Good::Form).or_else(saved));
        (key, resource)
    }

    /// Forms that an earlier process had in force: what is invalid in the store now may fall back on them.
    pub(crate) fn remember(&mut self, forms: impl IntoIterator<Item = (ResourceKey, Text)>) {
        self.remembered.extend(forms);
    }

    /// The store has told everything that it holds of these kinds, or is another store: from here on only its own history
    /// counts.
    pub(crate) fn forget_remembered(&mut self, is_told: impl Fn(Kind) -> bool) {
        self.remembered.retain(|key, _| !is_told(key.kind));
    }

    /// The kernel took everything in force.
    pub(crate) fn accept(&mut self) {
        self.good.clear();
    }

    /// What changed since the kernel last took everything.
    pub(crate) fn pending(&self) -> Vec<ResourceKey> {
        self.good.keys().cloned().collect()
    }

    /// The form of a pending object that is in force, and the one that the kernel took last.
    pub(crate) fn forms(&self, key: &ResourceKey) -> (Option<Form>, Option<Form>) {
        (self.in_force.get(key).cloned(), self.good_form(key))
    }

    fn good_form(&self, key: &ResourceKey) -> Option<Form> {
        self.good.get(key)?.as_ref()?.form(key)
    }

    /// Puts one of the forms of a pending object in force.
    pub(crate) fn switch(&mut self, key: &ResourceKey, form: Option<Form>) -> Told {
        self.put(key.clone(), form)
    }

    /// The kernel does not take an object: its last good form is in force from now on, until the object changes (E-711).
    pub(crate) fn refuse(&mut self, key: &ResourceKey, rule: Option<String>, message: String) -> Told {
        let good = self.good_form(key);
        let is_held = good.is_some();
        let what = if is_held { "its last good form stays in force" } else { "it counts as missing" };
        let place = rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
        tracing::error!("{key}{place} is refused by the kernel, {what}: {message}");
        self.refused.insert(key.clone(), Refused { rule, message, is_held });
        if is_held {
            self.newly_held.insert(key.clone());
        }
        self.put(key.clone(), good)
    }

    /// The kernel does not take the old form of a refused object any more either: it counts as missing.
    pub(crate) fn refuse_old(&mut self, key: &ResourceKey) -> Told {
        if let Some(refused) = self.refused.get_mut(key) {
            tracing::error!("{key}: its last good form is refused as well, it counts as missing");
            refused.is_held = false;
        }
        self.good.insert(key.clone(), None);
        self.put(key.clone(), None)
    }

    /// Whether an object is held that the saved state does not know as held; asking makes it known.
    pub(crate) fn take_newly_held(&mut self) -> bool {
        !std::mem::take(&mut self.newly_held).is_empty()
    }

    /// The forms to be saved: what is in force, where the kernel took it or where it is held on purpose, else what it
    /// took last.
    pub(crate) fn forms_to_save(&self) -> Vec<(ResourceKey, Text)> {
        let is_held = |key: &ResourceKey| self.problems.get(key).is_some_and(|problem| problem.is_held);
        let in_force = self.in_force.iter().map(|(key, form)| (key, form.text.clone().into()));
        let mut forms: BTreeMap<&ResourceKey, Text> = in_force.collect();
        for (key, good) in self.good.iter().filter(|(key, _)| !is_held(key)) {
            match good {
                Some(good) => forms.insert(key, good.text()),
                None => forms.remove(key),
            };
        }
        forms.into_iter().map(|(key, text)| (key.clone(), text)).collect()
    }

    /// Lets go of what is held, when that is no longer wanted; gives what counts as missing from now on.
    ///
    /// Configurations are held in every mode (D-12).
    pub(crate) fn release(&mut self) -> Vec<ResourceKey> {
        let held = self.problems.iter_mut().filter(|(key, p)| p.is_held && key.kind != Kind::FelixConfiguration);
        let mut released = Vec::new();
        for (key, problem) in held {
            problem.is_held = false;
            released.push(key.clone());
        }
        for key in &released {
            self.put(key.clone(), None);
        }
        released
    }

    /// Objects in force of one kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        self.in_force.iter().filter(move |(key, _)| key.kind == kind).map(|(_, form)| &form.resource)
    }

    /// All objects in force.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.in_force.values().map(|form| &form.resource)
    }

    /// Invalid objects.
    pub(crate) fn problems(&self) -> &BTreeMap<ResourceKey, StoredProblem> {
        &self.problems
    }

    /// Objects that the kernel does not take.
    pub(crate) fn refused(&self) -> &BTreeMap<ResourceKey, Refused> {
        &self.refused
    }

    /// Objects of which some entries are left out.
    pub(crate) fn warnings(&self) -> &BTreeMap<ResourceKey, Vec<String>> {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tortie_datastore::syncer::Content;

    use super::*;

    fn key() -> ResourceKey {
        ResourceKey::global(Kind::HostEndpoint, "a")
    }

    fn object(spec: &Value) -> Value {
        json!({"metadata": {"name": "a"}, "spec": spec})
    }

    fn content(object: &Value) -> Content {
        Content::shown(Ok(object.as_object().unwrap().clone()))
    }

    fn update(spec: Option<&Value>) -> Update {
        Update { key: key(), value: spec.map(|spec| content(&object(spec))) }
    }

    fn on(interface: &str) -> Value {
        json!({"node": "n", "interfaceName": interface})
    }

    /// The interface of the one object that is saved.
    fn saved(hold: &Hold) -> Option<String> {
        let forms = hold.forms_to_save();
        assert!(forms.len() < 2);
        forms.first().map(|(_, form)| {
            let value: Value = serde_json::from_str(form).unwrap();
            value["spec"]["interfaceName"].as_str().unwrap().to_owned()
        })
    }

    #[test]
    fn an_invalid_form_leaves_the_last_valid_one_in_force_d11() {
        let mut hold = Hold::default();
        let valid = on("eth0");
        let invalid = json!({"interfaceName": "eth0"});
        assert!(matches!(hold.update(update(Some(&invalid)), true), Some((_, None))), "none known");
        assert!(matches!(hold.update(update(Some(&valid)), true), Some((_, Some(_)))));
        assert!(hold.problems().is_empty());
        assert!(!hold.take_newly_held());
        assert!(hold.update(update(Some(&invalid)), true).is_none(), "held");
        assert!(hold.take_newly_held() && !hold.take_newly_held(), "to be saved, once");
        assert!(hold.problems().values().all(|problem| problem.is_held));
        assert!(matches!(hold.update(update(None), true), Some((_, None))), "a real delete");
        assert!(hold.problems().is_empty());
        hold.update(update(Some(&valid)), false);
        assert!(matches!(hold.update(update(Some(&invalid)), false), Some((_, None))), "Strict");
    }

    #[test]
    fn a_restart_is_the_same_as_a_start_d11() {
        let invalid = json!({"interfaceName": "eth0"});
        let form = Form::read(&key(), object(&on("eth0"))).unwrap().0;
        let check = |holds: bool, is_same_store: bool, is_in_force: bool| {
            let mut hold = Hold::default();
            hold.remember([(key(), Text::from(form.text.clone()))]);
            if !is_same_store {
                hold.forget_remembered(|_| true);
            }
            let told = hold.update(update(Some(&invalid)), holds).unwrap();
            assert_eq!(told.1.is_some(), is_in_force, "holds {holds}, same store {is_same_store}");
            hold.forget_remembered(|_| true);
            hold.accept();
            assert_eq!(hold.problems()[&key()].is_held, is_in_force);
            assert_eq!(saved(&hold).is_some(), is_in_force, "and it is saved again");
        };
        check(true, true, true);
        check(false, true, false);
        check(true, false, false);
    }

    #[test]
    fn a_saved_form_that_cannot_be_read_any_more_is_none_d11() {
        let invalid = json!({"interfaceName": "eth0"});
        for saved in ["{".to_owned(), object(&invalid).to_string()] {
            let mut hold = Hold::default();
            hold.remember([(key(), Text::from(Arc::from(saved)))]);
            assert!(matches!(hold.update(update(Some(&invalid)), true), Some((_, None))));
            assert!(!hold.problems()[&key()].is_held);
        }
    }

    #[test]
    fn what_the_kernel_refuses_after_a_restart_falls_back_on_what_was_saved_e711() {
        let mut hold = Hold::default();
        let form = Form::read(&key(), object(&on("eth0"))).unwrap().0;
        hold.remember([(key(), Text::from(form.text))]);
        hold.update(update(Some(&on("eth1"))), true);
        hold.forget_remembered(|_| true);
        assert_eq!(saved(&hold).as_deref(), Some("eth0"), "the newer form is not taken yet");
        let (_, resource) = hold.refuse(&key(), None, "no".to_owned());
        assert!(format!("{resource:?}").contains("eth0"), "{resource:?}");
    }

    #[test]
    fn what_the_kernel_refuses_falls_back_on_what_it_took_last_e711() {
        let mut hold = Hold::default();
        hold.update(update(Some(&on("eth0"))), true);
        assert_eq!(saved(&hold), None, "not taken yet");
        hold.accept();
        assert_eq!(saved(&hold).as_deref(), Some("eth0"));
        hold.update(update(Some(&on("eth1"))), true);
        hold.update(update(Some(&on("eth2"))), true);
        assert_eq!(saved(&hold).as_deref(), Some("eth0"), "the newer forms are not taken yet");
        let (_, resource) = hold.refuse(&key(), Some("ingress[0]".to_owned()), "no".to_owned());
        assert!(format!("{resource:?}").contains("eth0"), "{resource:?}");
        assert!(hold.refused()[&key()].is_held && hold.take_newly_held());
        hold.accept();
        assert_eq!(saved(&hold).as_deref(), Some("eth0"));
        hold.update(update(Some(&on("eth3"))), true);
        assert!(hold.refused().is_empty(), "it changed: it is tried again");
    }

    #[test]
    fn a_new_object_that_the_kernel_refuses_counts_as_missing_e711() {
        let mut hold = Hold::default();
        hold.update(update(Some(&on("eth0"))), true);
        assert_eq!(hold.refuse(&key(), None, "no".to_owned()), (key(), None));
        assert!(!hold.refused()[&key()].is_held && !hold.take_newly_held());
        assert_eq!(saved(&hold), None);
    }
    #[test]
    fn what_is_held_goes_when_the_mode_changes_but_for_configurations_d1_d12() {
        let mut hold = Hold::default();
        let of = |kind: Kind, spec: Value| {
            let object = json!({"metadata": {"name": "a"}, "spec": spec});
            Update { key: ResourceKey::global(kind, "a"), value: Some(content(&object)) }
        };
        for (kind, valid, invalid) in [
            (Kind::HostEndpoint, json!({"node": "n", "interfaceName": "eth0"}), json!({})),
            (Kind::FelixConfiguration, json!({"nodeSelector": "all()"}), json!({"nodeSelector": "a =="})),
        ] {
            hold.update(of(kind, valid), true);
            assert!(hold.update(of(kind, invalid), true).is_none(), "{kind:?}");
        }
        assert_eq!(hold.release(), [ResourceKey::global(Kind::HostEndpoint, "a")]);
        assert_eq!(hold.release(), []);
        assert_eq!(hold.of_kind(Kind::HostEndpoint).count(), 0);
        assert_eq!(hold.of_kind(Kind::FelixConfiguration).count(), 1);
        assert_eq!(hold.problems().values().filter(|problem| problem.is_held).count(), 1);
    }
}
