//! No more requests in a second than the settings allow.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests at once where the settings do not say (datastore.md section 2.9).
const BURST: u32 = 100;

/// A bucket of tokens, one for each request, which fills at a steady rate.
pub(crate) struct Limiter {
    rate: f64,
    burst: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    /// Below zero are those who wait already.
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// One of `qps` requests in a second, if that is more than none.
    pub(crate) fn new(qps: Option<f64>, burst: Option<u32>, now: Instant) -> Option<Limiter> {
        let rate = qps.filter(|qps| qps.is_finite() && *qps > 0.0)?;
        let burst = f64::from(burst.unwrap_or(BURST).max(1));
        Some(Limiter { rate, burst, bucket: Mutex::new(Bucket { tokens: burst, at: now }) })
    }

    /// Takes a token; the time to wait before it counts.
    pub(crate) fn take(&self, now: Instant) -> Duration {
        // A panic cannot leave two numbers half changed.
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.rate).min(self.burst) - 1.0;
        bucket.at = now;
        Duration::from_secs_f64((-bucket.tokens / self.rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_what_follows_waits_its_turn() {
        let now = Instant::now();
        let limiter = Limiter::new(Some(10.0), Some(2), now).unwrap();
        let waits: Vec<u128> = (0..4).map(|_| limiter.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 100, 200]);
        assert_eq!(limiter.take(now + Duration::from_secs(60)), Duration::ZERO);
        assert!(Limiter::new(Some(0.0), None, now).is_none());
        assert!(Limiter::new(None, Some(3), now).is_none());
    }
}
