//! One watch request: lines of JSON until the server ends it, or falls silent.

use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use tortie_datastore::random;

use crate::failure::{Answer, Failure};
use crate::server::{Ask, Server};

/// One event of a watch.
#[derive(Debug)]
pub(crate) enum Event {
    /// An object is new or changed.
    Put(Value),
    /// An object is gone; this is its last form.
    Gone(Value),
    /// Nothing changed up to this revision.
    Bookmark(String),
}

/// A running watch.
pub(crate) struct Stream {
    body: Body,
    buffer: Vec<u8>,
    /// Bytes at the beginning of `buffer` that are known to hold no end of line.
    searched: usize,
    silence_max: Duration,
}

impl Server {
    /// Watches a collection from a revision on.
    pub(crate) async fn watch(&self, ask: Ask, revision: &str) -> Result<Stream, Failure> {
        let least = self.settings.waits.watch;
        let seconds = (least + random::up_to(least)).as_secs();
        let ask = ask
            .with("watch", "true")
            .with("allowWatchBookmarks", "true")
            .with("resourceVersion", revision)
            .with("timeoutSeconds", seconds.to_string());
        let response = self.open(&ask).await?;
        let silence_max = self.settings.waits.silence_max;
        Ok(Stream { body: response.into_body(), buffer: Vec::new(), searched: 0, silence_max })
    }
}

impl Stream {
    /// The next event; `None` when the watch is over, or nothing was heard for too long: it goes on where it was with a
    /// new request.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(line) = self.line() {
                match event(&line)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            let frame = match tokio::time::timeout(self.silence_max, self.body.frame()).await {
                Err(_) | Ok(None) => return Ok(None),
                // A server that goes away in the middle of an answer; whether it is back the next request tells.
                Ok(Some(Err(error))) => {
                    tracing::debug!("a watch broke off: {}", tortie_api::with_causes(&error));
                    return Ok(None);
                }
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.searched + end + 1);
        self.searched = 0;
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}

fn event(line: &[u8]) -> Result<Option<Event>, Failure> {
    let mut event: Value = serde_json::from_slice(line).map_err(Failure::Garbled)?;
    let object = event["object"].take();
    Ok(match event["type"].as_str().unwrap_or_default() {
        "ADDED" | "MODIFIED" => Some(Event::Put(object)),
        "DELETED" => Some(Event::Gone(object)),
        "BOOKMARK" => object["metadata"]["resourceVersion"].as_str().map(|text| Event::Bookmark(text.to_owned())),
        "ERROR" => return Err(Failure::Answered(Answer::read(500, None, object.to_string().as_bytes()))),
        // Of a newer server.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_in_any_pieces() {
        let text = "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"NEW\"}\n\
            {\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n";
        let mut stream =
            Stream { body: Body::empty(), buffer: Vec::new(), searched: 0, silence_max: Duration::from_secs(1) };
        let mut lines = Vec::new();
        for piece in text.as_bytes().chunks(5) {
            stream.buffer.extend_from_slice(piece);
            while let Some(line) = stream.line() {
                lines.push(line);
            }
        }
        assert_eq!(lines.concat(), text.as_bytes());
        let events: Vec<Option<Event>> = lines.iter().map(|line| event(line).unwrap()).collect();
        assert!(matches!(events.as_slice(), [Some(Event::Put(_)), None, Some(Event::Bookmark(_))]), "{events:?}");
        assert!(stream.next().await.unwrap().is_none(), "the body is at its end");
    }

    #[test]
    fn an_error_event_is_a_failure() {
        let line = br#"{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(event(line).unwrap_err().is_expired());
    }
}
