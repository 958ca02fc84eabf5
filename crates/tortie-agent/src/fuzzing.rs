//! What the fuzz targets call: the saved state without a file, and the local API without a socket. No part of the API.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::Request as HttpRequest;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tortie_datastore::{Access, Embedded};

use crate::api;
use crate::event::{Event, Request};
use crate::saved;

/// Reads a saved state and writes it again; `None` when it must not be used.
pub fn saved_state(bytes: &[u8]) -> Option<Vec<u8>> {
    saved::parse(bytes, Path::new("state")).ok().map(|saved| saved.to_bytes())
}

/// A saved state with this content and the first line that belongs to it.
pub fn seal(content: &[u8]) -> Vec<u8> {
    saved::sealed(content)
}

/// Code and body of the answer to a request; `None` when it is none that HTTP allows.
pub fn local_api(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Option<(u16, Vec<u8>)> {
    let mut request = HttpRequest::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).ok()?;
    let kv = Arc::new(Embedded::open(Path::new("/nonexistent/store.db"), Access::Read).ok()?);
    let app = api::router(loop_that_answers(), kv);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let response = TowerToHyperService::new(app).call(request).await.unwrap_or_else(|never| match never {});
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((code, body.to_vec()))
    })
}

/// Where requests go: to a thread that answers each at once.
fn loop_that_answers() -> Sender<Event> {
    static EVENTS: OnceLock<Sender<Event>> = OnceLock::new();
    let start = || {
        let (sender, receiver): (_, Receiver<Event>) = channel();
        std::thread::spawn(move || receiver.iter().for_each(answer));
        sender
    };
    EVENTS.get_or_init(start).clone()
}

fn answer(event: Event) {
    let Event::Request(request) = event else { return };
    // Callers may have gone.
    let _ = match request {
        Request::Status { reply, .. } | Request::Wait { reply, .. } => reply.send(Default::default()).is_ok(),
        Request::Counters(reply) => reply.send(Err("none".to_owned())).is_ok(),
        Request::Sets(reply) => reply.send(Default::default()).is_ok(),
        Request::Measure(reply) => reply.send(Default::default()).is_ok(),
    };
}
