//! Watches: every change once, whole revisions, in order.

use std::ops::ControlFlow;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, channel};

use tortie_datastore::kv::{KvError, Revision, WatchEvent, watch_receiver};

use super::{Fixture, PATIENCE, batch, put, shown, write};

pub fn each_revision_comes_once_in_order_with_what_was_there_before(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("w/a", "1"), put("other", "1")]);
    write(&*kv, vec![put("w/a", "2"), put("w/b", "1")]);
    kv.delete("w/a").unwrap();
    let watch = watch_receiver(&*kv, &["w/"], first).unwrap();
    write(&*kv, vec![put("w/c", "1")]);
    let seen: Vec<_> = (0..4).map(|_| batch(&watch)).collect();
    assert_eq!(seen.iter().map(|batch| batch.revision.0 - first.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let seen: Vec<_> = seen.iter().map(shown).collect();
    assert_eq!(seen, [vec!["w/a=1<-"], vec!["w/a=2<1", "w/b=1<-"], vec!["w/a=-<2"], vec!["w/c=1<-"]]);
}

pub fn a_future_revision_is_waited_for(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("w", "0")]);
    let watch = watch_receiver(&*kv, &["w"], Revision(first.0 + 3)).unwrap();
    for number in 1..=4 {
        write(&*kv, vec![put("w", &number.to_string())]);
    }
    assert_eq!(shown(&batch(&watch)), ["w=3<2"]);
    assert_eq!(shown(&batch(&watch)), ["w=4<3"]);
}

pub fn several_prefixes_are_one_stream(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a/1", "1"), put("b/1", "1"), put("c/1", "1"), put("d/1", "1")]);
    write(&*kv, vec![put("c/1", "2")]);
    let watch = watch_receiver(&*kv, &["c/", "a/", "b/"], first).unwrap();
    let sorted = |batch| {
        let mut shown = shown(&batch);
        shown.sort();
        shown
    };
    assert_eq!(sorted(batch(&watch)), ["a/1=1<-", "b/1=1<-", "c/1=1<-"]);
    assert_eq!(sorted(batch(&watch)), ["c/1=2<1"]);
    for number in 0..20 {
        let text = number.to_string();
        write(&*kv, vec![put("d/1", &text)]);
        let revision = write(&*kv, vec![put("a/2", &text), put("b/2", &text), put("d/2", &text)]);
        write(&*kv, vec![put("c/2", &text)]);
        let (both, one) = (batch(&watch), batch(&watch));
        assert_eq!((both.revision, both.events.len()), (revision, 2));
        assert_eq!((one.revision, one.events.len()), (revision.next(), 1));
    }
}

pub fn prefixes_within_each_other_deliver_once(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a/b/1", "1")]);
    let watch = watch_receiver(&*kv, &["a/b/", "a/", "a/"], first).unwrap();
    write(&*kv, vec![put("a/2", "1")]);
    assert_eq!(shown(&batch(&watch)), ["a/b/1=1<-"]);
    assert_eq!(shown(&batch(&watch)), ["a/2=1<-"]);
}

pub fn progress_is_told_when_others_change(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("w", "1")]);
    let watch = watch_receiver(&*kv, &["w"], first.next()).unwrap();
    let other = write(&*kv, vec![put("other", "1")]);
    loop {
        match watch.next(PATIENCE).expect("progress is told") {
            WatchEvent::Progress(revision) if revision >= other => return,
            WatchEvent::Progress(_) => {}
            event => panic!("{event:?}"),
        }
    }
}

pub fn a_compacted_revision_is_told(store: &dyn Fixture) {
    let kv = store.open();
    for number in 0..5 {
        write(&*kv, vec![put("a", &number.to_string())]);
    }
    let newest = kv.range("").unwrap().1;
    store.compact(newest);
    let watch = watch_receiver(&*kv, &[""], Revision(1)).unwrap();
    let error = watch.next_batch(PATIENCE).unwrap_err();
    assert!(matches!(error, KvError::Compacted { from: Revision(1), trimmed } if trimmed.next() == newest), "{error}");
    assert!(error.needs_full_read());
    assert_eq!(kv.get("a").unwrap().unwrap().value, b"4");
    let watch = watch_receiver(&*kv, &[""], newest).unwrap();
    assert_eq!(batch(&watch).revision, newest);
}

pub fn a_sink_that_has_enough_is_called_no_more(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "1")]);
    let (sender, receiver) = channel();
    let sink = Box::new(move |event| {
        sender.send(event).unwrap();
        ControlFlow::Break(())
    });
    let watch = kv.watch(&["a"], first, sink).unwrap();
    assert!(matches!(receiver.recv_timeout(PATIENCE).unwrap(), WatchEvent::Batch(_)));
    write(&*kv, vec![put("a", "2")]);
    // The sink, which holds the sender, goes with its thread.
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap_err(), RecvTimeoutError::Disconnected);
    drop(watch);
    // And one that waits for its first event is stopped by dropping it.
    let (sender, receiver) = channel();
    let sink = Box::new(move |event| {
        assert!(matches!(event, WatchEvent::Progress(_)), "{event:?}");
        sender.send(()).map_or(ControlFlow::Break(()), |()| ControlFlow::Continue(()))
    });
    drop(kv.watch(&["never"], first, sink).unwrap());
    while receiver.try_recv().is_ok() {}
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Disconnected);
}

pub fn a_slow_reader_misses_nothing(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "start")]);
    let watch = watch_receiver(&*kv, &["a"], first.next()).unwrap();
    for number in 0..300 {
        write(&*kv, vec![put("a", &number.to_string())]);
    }
    for number in 0..300_u32 {
        let batch = batch(&watch);
        assert_eq!(batch.events[0].value.as_deref(), Some(number.to_string().as_bytes()));
    }
}

/// More revisions than a server sends in one answer.
pub fn a_long_history_comes_whole(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "start")]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let writer = store.open();
            scope.spawn(move || {
                (0..600).for_each(|number| {
                    write(&*writer, vec![put("a", &number.to_string())]);
                })
            });
        }
    });
    let watch = watch_receiver(&*kv, &["a"], first.next()).unwrap();
    let mut last = first;
    for _ in 0..2400 {
        let batch = batch(&watch);
        assert_eq!(batch.revision, last.next());
        last = batch.revision;
    }
}

/// With what was there before, more than a server sends in one piece.
pub fn a_large_revision_is_one_batch(store: &dyn Fixture) {
    let kv = store.open();
    let ops = |text: &str| (0..100).map(|n| put(&format!("large/{n:02}"), &text.repeat(12_000))).collect::<Vec<_>>();
    let first = write(&*kv, ops("a"));
    write(&*kv, ops("b"));
    write(&*kv, vec![put("large/last", "1")]);
    let watch = watch_receiver(&*kv, &["large/"], first.next()).unwrap();
    let large = batch(&watch);
    assert_eq!((large.revision, large.events.len()), (first.next(), 100));
    assert!(large.events.iter().all(|event| event.previous.as_ref().is_some_and(|value| value[0] == b'a')));
    assert_eq!(shown(&batch(&watch)), ["large/last=1<-"]);
}
