//! Batches, locks, losses and questions, without a server.

use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::super::Found;
use super::*;

const TIERS: Source = Source::Resources(Kind::Tier);
const CLUSTER: Source = Source::Resources(Kind::ClusterInformation);

fn entry(source: Source, name: &str, revision: &str, spec: Value) -> Entry {
    let at = ResourceKey::global(source.kind(), name);
    let value = json!({"metadata": {"name": name}, "spec": spec});
    Entry {
        id: Id { namespace: None, name: name.to_owned() },
        revision: revision.to_owned(),
        uid: name.to_owned(),
        object: Some(Found { at, content: Content::shown(Ok(value.as_object().cloned().unwrap_or_default())) }),
    }
}

fn listed(source: Source, revision: &str, entries: Vec<Entry>) -> Message {
    Message::Listed { source, entries, revision: revision.to_owned() }
}

fn put(name: &str, revision: &str) -> Message {
    Message::Put { source: TIERS, entry: entry(TIERS, name, revision, json!({})) }
}

fn gone(name: &str, revision: &str) -> Message {
    let id = Id { namespace: None, name: name.to_owned() };
    Message::Gone { source: TIERS, id, revision: revision.to_owned() }
}

struct Rig {
    consumer: Consumer,
    events: Receiver<SyncEvent>,
}

impl Rig {
    /// A consumer of tiers and the flag, which is set.
    fn ready() -> Rig {
        let mut rig = Rig::empty();
        let flag = entry(CLUSTER, "default", "3", json!({"datastoreReady": true}));
        rig.batch(vec![listed(CLUSTER, "3", vec![flag])]);
        assert_eq!(rig.batch(vec![listed(TIERS, "5", vec![])]), ["snapshot at 5: 1"]);
        rig
    }

    fn empty() -> Rig {
        let (sender, events) = channel();
        let relist = [TIERS, CLUSTER].into_iter().map(|source| (source, Arc::default())).collect();
        let consumer = Consumer::new(Box::new(move |event| drop(sender.send(event))), relist, "here", true, false);
        Rig { consumer, events }
    }

    /// What one batch delivers, as text.
    fn batch(&mut self, messages: Vec<Message>) -> Vec<String> {
        messages.into_iter().for_each(|message| self.consumer.take(message));
        self.consumer.flush();
        let say = |event| match event {
            SyncEvent::Locked => "locked".to_owned(),
            SyncEvent::Lost(sentence) => format!("lost: {sentence}"),
            SyncEvent::Updates { updates, revision, is_snapshot, .. } => {
                let what = if is_snapshot { "snapshot" } else { "changes" };
                format!("{what} at {revision}: {}", updates.len())
            }
        };
        self.events.try_iter().map(say).collect()
    }
}

#[test]
fn nothing_is_delivered_before_everything_was_listed() {
    let mut rig = Rig::empty();
    assert!(rig.batch(vec![listed(TIERS, "5", vec![entry(TIERS, "a", "4", json!({}))]), gone("a", "6")]).is_empty());
    assert_eq!(rig.batch(vec![listed(CLUSTER, "7", vec![])]), ["snapshot at 7: 0"], "what came and went");
}

#[test]
fn a_batch_tells_each_object_once_and_revisions_grow() {
    let mut rig = Rig::ready();
    assert_eq!(rig.batch(vec![put("a", "8"), put("b", "9"), put("a", "10")]), ["changes at 10: 2"]);
    assert_eq!(rig.batch(vec![put("a", "not-a-number")]), ["changes at 11: 1"]);
    assert_eq!(rig.batch(vec![gone("never-there", "12")]), ["changes at 12: 0"], "only the revision moved");
}

#[test]
fn a_bookmark_is_told_with_the_next_change() {
    let mut rig = Rig::ready();
    let bookmark = Message::Progress { source: CLUSTER, revision: "20".to_owned() };
    assert!(rig.batch(vec![bookmark]).is_empty());
    rig.consumer.take(put("a", "21"));
    rig.consumer.flush();
    let Ok(SyncEvent::Updates { kinds, revision, .. }) = rig.events.try_recv() else { panic!("a change is told") };
    assert_eq!(
        kinds,
        KindRevisions::from([(Kind::Tier, "21".to_owned()), (Kind::ClusterInformation, "20".to_owned())])
    );
    assert_eq!(revision, Revision(21));
}

#[test]
fn trouble_is_told_once_and_so_is_its_end() {
    let mut rig = Rig::ready();
    let trouble = || Message::Trouble { source: TIERS, sentence: "no".to_owned() };
    assert_eq!(rig.batch(vec![trouble()]), ["lost: no"]);
    assert!(rig.batch(vec![trouble()]).is_empty());
    let flag = entry(CLUSTER, "default", "8", json!({"datastoreReady": true, "x": 1}));
    let others = rig.batch(vec![Message::Put { source: CLUSTER, entry: flag }]);
    assert_eq!(others, ["changes at 8: 1", "lost: no"], "changes elsewhere are no recovery");
    assert_eq!(rig.batch(vec![Message::Well { source: TIERS }]), ["snapshot at 9: 0"]);
}

#[test]
fn a_locked_store_keeps_its_changes_until_it_is_ready() {
    let mut rig = Rig::ready();
    let flag = |revision: &str, is_ready: bool| Message::Put {
        source: CLUSTER,
        entry: entry(CLUSTER, "default", revision, json!({"datastoreReady": is_ready})),
    };
    assert_eq!(rig.batch(vec![put("a", "8"), flag("9", false)]), ["locked"]);
    assert!(rig.batch(vec![put("b", "10"), put("c", "11"), gone("c", "12")]).is_empty());
    assert_eq!(rig.batch(vec![flag("13", true)]), ["snapshot at 13: 4"]);
}

#[test]
fn a_store_that_lost_everything_takes_nothing_out_of_force() {
    let mut rig = Rig::ready();
    let emptied = rig.batch(vec![listed(CLUSTER, "8", vec![])]);
    assert_eq!(emptied, [format!("lost: store `here` {EMPTIED}")]);
    assert!(rig.batch(vec![listed(TIERS, "9", vec![])]).is_empty());
    let flag = entry(CLUSTER, "default", "10", json!({"datastoreReady": true}));
    assert_eq!(rig.batch(vec![listed(CLUSTER, "10", vec![flag])]), ["snapshot at 10: 1"]);
    // From the start, to who had it before.
    let mut rig = Rig::empty();
    rig.consumer.is_known = true;
    rig.batch(vec![listed(TIERS, "5", vec![])]);
    assert_eq!(rig.batch(vec![listed(CLUSTER, "5", vec![])]), [format!("lost: store `here` {EMPTIED}")]);
}

#[test]
fn a_question_is_answered_when_all_of_it_is_delivered() {
    let mut rig = Rig::ready();
    rig.batch(vec![put("kept", "8"), put("gone", "9")]);
    let names = [("kept", "8"), ("new", "11")];
    let name = |(name, revision): (&str, &str)| (Id { namespace: None, name: name.to_owned() }, revision.to_owned());
    let wanted = Wanted { names: names.into_iter().map(name).collect(), revision: "12".to_owned() };
    let (reply, mut answer) = oneshot::channel();
    rig.batch(vec![Message::Question(Question { wanted: BTreeMap::from([(TIERS, wanted)]), reply })]);
    assert!(answer.try_recv().is_err(), "one is missing, and one should be gone");
    rig.batch(vec![put("new", "11")]);
    assert!(answer.try_recv().is_err(), "one should be gone");
    rig.batch(vec![gone("gone", "12")]);
    assert_eq!(answer.try_recv(), Ok(Revision(12)));
}

#[test]
fn what_is_newer_than_the_question_is_enough() {
    let names = [(Id { namespace: None, name: "a".to_owned() }, "8".to_owned())];
    let wanted = Wanted { names: names.into_iter().collect(), revision: "9".to_owned() };
    let mut rig = Rig::ready();
    let has = |rig: &Rig| has_all(&rig.consumer.collections[&TIERS], &wanted);
    assert!(!has(&rig));
    rig.batch(vec![put("a", "10"), put("later", "11")]);
    assert!(has(&rig), "both are newer");
    rig.batch(vec![gone("a", "12")]);
    assert!(has(&rig), "it is gone since");
}

/// What one delivery tells, and the kinds that are known with it.
fn next(rig: &Rig) -> (usize, Vec<Kind>) {
    match rig.events.try_recv() {
        Ok(SyncEvent::Updates { updates, kinds, .. }) => (updates.len(), kinds.into_keys().collect()),
        other => panic!("updates should come, and not {other:?}"),
    }
}

#[test]
fn a_collection_that_is_added_is_known_once_it_was_told_whole_and_the_others_go_on_meanwhile() {
    let mut rig = Rig::ready();
    let added = [Source::Namespaces, Source::Accounts].map(|source| Message::Added { source, relist: Arc::default() });
    assert!(rig.batch(added.into()).is_empty());
    let tell = |rig: &mut Rig, message| {
        rig.consumer.take(message);
        rig.consumer.flush();
        next(rig)
    };
    let base = vec![Kind::Tier, Kind::ClusterInformation];
    assert_eq!(tell(&mut rig, put("a", "8")), (1, base.clone()), "changes elsewhere are told");
    let profiles = vec![entry(Source::Namespaces, "kns.a", "7", json!({}))];
    assert_eq!(tell(&mut rig, listed(Source::Namespaces, "9", profiles)), (1, base.clone()), "half of the profiles");
    let (changed, kinds) = tell(&mut rig, listed(Source::Accounts, "9", vec![]));
    assert_eq!((changed, kinds.len()), (0, 3), "an empty list makes the kind known");
    assert!(kinds.contains(&Kind::Profile));
}

#[test]
fn trouble_with_a_collection_that_is_added_is_told_and_the_others_go_on() {
    let mut rig = Rig::ready();
    rig.batch(vec![Message::Added { source: Source::Pods, relist: Arc::default() }]);
    assert_eq!(rig.batch(vec![Message::Trouble { source: Source::Pods, sentence: "no".to_owned() }]), ["lost: no"]);
    assert_eq!(rig.batch(vec![put("a", "8")]), ["changes at 8: 1", "lost: no"]);
    assert_eq!(rig.batch(vec![listed(Source::Pods, "9", vec![])]), ["snapshot at 9: 0"], "all is well again");
}

#[test]
fn a_question_about_a_collection_that_is_added_waits_for_its_list() {
    let mut rig = Rig::ready();
    let wanted = Wanted { names: BTreeMap::new(), revision: "7".to_owned() };
    let (reply, mut answer) = oneshot::channel();
    rig.batch(vec![Message::Question(Question { wanted: BTreeMap::from([(Source::Pods, wanted)]), reply })]);
    assert!(answer.try_recv().is_err(), "the question came before the collection");
    rig.batch(vec![Message::Added { source: Source::Pods, relist: Arc::default() }]);
    assert!(answer.try_recv().is_err());
    rig.batch(vec![listed(Source::Pods, "9", vec![])]);
    assert_eq!(answer.try_recv(), Ok(Revision(9)));
}
