//! Reading spans as they were at one revision.
//!
//! The first request is one read-only transaction, whose head fixes the revision. What does not fit into it, more spans
//! or the rest of a long one, is asked for at that revision.

use tortie_datastore::kv::{Entry, KvError, Revision, Snapshot, Span};

use crate::Inner;
use crate::memory::{signed, unsigned};
use crate::proto::{Answer, KeyValue, Range, RangeAnswer, Request, Txn, TxnAnswer};
use crate::{range, rpc};

const ACTION: &str = "read";
/// Spans in one transaction; etcd takes 128 operations.
const SPANS_MAX: usize = 100;
/// Keys in one answer, of each span.
const PAGE_LEN: i64 = 1000;
/// How often a read is begun anew because history was compacted beneath it.
const ATTEMPTS_MAX: usize = 3;

/// Reads all spans at one revision.
pub(crate) async fn read(inner: &Inner, spans: &[Span]) -> Result<Snapshot, KvError> {
    for _ in 1..ATTEMPTS_MAX {
        match read_once(inner, spans).await {
            Err(error) if is_compacted(&error) => {}
            done => return done,
        }
    }
    read_once(inner, spans).await
}

/// Whether a request failed because the revision that it asked for is no longer kept.
pub(crate) fn is_compacted(error: &KvError) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string().contains("has been compacted"))
}

/// What was written to a key at a revision, if that is still kept.
pub(crate) async fn value_at(inner: &Inner, key: &str, revision: Revision) -> Result<Option<Vec<u8>>, KvError> {
    let at = signed(revision.0);
    // No revision is negative, and none is zero: that would ask for the present.
    if at < 1 {
        return Ok(None);
    }
    let ask = ask(&Span::Key(key.to_owned()), at);
    match inner.link.call(rpc::RANGE, ACTION, ask).await {
        Ok(answer) => Ok(answer.kvs.into_iter().next().filter(|kv| kv.mod_revision == at).map(|kv| kv.value)),
        Err(error) if is_compacted(&error) || is_future(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a request failed because its revision is none of this store yet.
fn is_future(error: &KvError) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string().contains("is a future revision"))
}

async fn read_once(inner: &Inner, spans: &[Span]) -> Result<Snapshot, KvError> {
    let mut lists = Vec::with_capacity(spans.len());
    let mut pinned = None;
    let mut cluster = 0;
    // A read of nothing still tells the revision.
    let chunks: Vec<&[Span]> = if spans.is_empty() { vec![&[]] } else { spans.chunks(SPANS_MAX).collect() };
    for chunk in chunks {
        let revision = pinned.map_or(0, |Revision(revision)| signed(revision));
        let asks: Vec<Range> = chunk.iter().map(|span| ask(span, revision)).collect();
        let before = inner.memory().mark();
        let answer = ranges(inner, ACTION, asks).await?;
        if pinned.is_none() {
            cluster = answer.header.unwrap_or_default().cluster_id;
            pinned = Some(inner.note(answer.header, before)?);
        }
        let found = answers(answer);
        for (span, first) in chunk.iter().zip(found) {
            let keys = rest(inner, span, first, pinned.unwrap_or_default()).await?;
            lists.push(keys);
        }
    }
    let spans = lists.into_iter().map(|list| list.into_iter().map(range::entry).collect::<Vec<Entry>>()).collect();
    Ok(Snapshot { revision: pinned.unwrap_or_default(), store: Some(format!("{cluster:x}")), spans })
}

fn ask(span: &Span, revision: i64) -> Range {
    match span {
        // etcd refuses an empty key; none such exists, and the first key is no other's name.
        Span::Key(key) if key.is_empty() => Range { key: vec![0], revision, limit: 1, ..Range::default() },
        Span::Key(key) => Range { revision, ..range::ask_key(key.as_bytes()) },
        Span::Prefix(prefix) => Range { revision, limit: PAGE_LEN, ..range::ask(prefix) },
        Span::First(prefix) => Range { revision, limit: 1, ..range::ask(prefix) },
    }
}

/// Asks for several ranges in one transaction.
pub(crate) async fn ranges(inner: &Inner, action: &'static str, asks: Vec<Range>) -> Result<TxnAnswer, KvError> {
    let success = asks.into_iter().map(|ask| Request::Range(ask).into()).collect();
    inner.link.call(rpc::TXN_READ, action, Txn { success, ..Txn::default() }).await
}

/// The answers to ranges, in their order.
pub(crate) fn answers(answer: TxnAnswer) -> impl Iterator<Item = RangeAnswer> {
    answer.responses.into_iter().map(|response| match response.answer {
        Some(Answer::Range(range)) => range,
        _ => RangeAnswer::default(),
    })
}

/// A span in full: its first page and all that follow.
async fn rest(inner: &Inner, span: &Span, first: RangeAnswer, revision: Revision) -> Result<Vec<KeyValue>, KvError> {
    let mut more = first.more && matches!(span, Span::Prefix(_));
    let mut keys = first.kvs;
    while more && let Some(last) = keys.last() {
        let mut after = last.key.clone();
        after.push(0);
        let ask = Range { key: after, ..ask(span, signed(revision.0)) };
        let page = inner.link.call(rpc::RANGE, ACTION, ask).await?;
        more = page.more;
        keys.extend(page.kvs);
    }
    if let Some(newest) = keys.iter().max_by_key(|kv| unsigned(kv.mod_revision)) {
        inner.memory().saw(newest);
    }
    Ok(keys)
}
