//! Which of several controllers acts: the one with the lease.
//!
//! Two that act at once, for a moment, harm nothing: each write names the revision that was looked at.

use std::time::{Duration, Instant};

use tortie_api::with_causes;
use tortie_datastore::Store;

use super::LEASE;

pub(super) struct Election {
    holder: String,
    ttl: Duration,
    /// Until when the lease is held for sure.
    held_until: Option<Instant>,
    /// When it is to be taken or renewed next.
    next: Instant,
    /// The store gives this user no lease: then there is no election, and every controller acts.
    is_refused: bool,
}

impl Election {
    pub(super) fn new(holder: String, ttl: Duration) -> Self {
        Self { holder, ttl, held_until: None, next: Instant::now(), is_refused: false }
    }

    /// When the lease is to be taken or renewed next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether this controller is to act; takes or renews the lease when it is time to.
    pub(super) fn is_leader(&mut self, store: &dyn Store, now: Instant) -> bool {
        if self.next <= now {
            self.next = now + self.ttl / 3;
            self.ask(store, now);
        }
        self.is_refused || self.held_until.is_some_and(|until| now < until)
    }

    fn ask(&mut self, store: &dyn Store, now: Instant) {
        match store.lease(LEASE, &self.holder, self.ttl) {
            Ok(true) => {
                if self.held_until.is_none() {
                    tracing::info!("this controller acts: it has the lease `{LEASE}`");
                }
                self.is_refused = false;
                self.held_until = Some(now + self.ttl);
            }
            Ok(false) => {
                if self.held_until.take().is_some() || self.is_refused {
                    tracing::info!("another controller has the lease `{LEASE}`: this one waits");
                }
                self.is_refused = false;
            }
            Err(error) if error.is_unauthorized() => {
                if !self.is_refused {
                    let why = with_causes(&error);
                    tracing::warn!(
                        "no lease `{LEASE}`: {why}; this controller acts whether others do or not: run one only"
                    );
                }
                self.is_refused = true;
            }
            // The lease lasts a while; whether it does is known when the store answers again.
            Err(error) => tracing::debug!("cannot ask for the lease `{LEASE}`: {}", with_causes(&error)),
        }
    }

    /// Gives the lease back, so that the next controller need not wait for its end.
    pub(super) fn release(&mut self, store: &dyn Store) {
        if self.held_until.take().is_some()
            && let Err(error) = store.release(LEASE, &self.holder)
        {
            tracing::debug!("cannot give the lease `{LEASE}` back: {}", with_causes(&error));
        }
    }
}
