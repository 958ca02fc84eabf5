//! Random numbers for waits.

use std::time::Duration;

use uuid::Uuid;

/// A number from 0 to 1.
fn fraction() -> f64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    // The lowest bits hold the version.
    f64::from((high >> 32) as u32) / f64::from(u32::MAX)
}

/// A time up to this one: with full jitter no two agents come back at once (datastore.md section 5.2).
pub fn up_to(most: Duration) -> Duration {
    most.mul_f64(fraction())
}
