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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_the_whole_time() {
        let most = Duration::from_secs(100);
        let waits: Vec<Duration> = (0..200).map(|_| up_to(most)).collect();
        assert!(waits.iter().all(|wait| *wait <= most));
        // By chance alone once in 10^57 runs.
        assert!(waits.iter().any(|wait| *wait < most / 2) && waits.iter().any(|wait| *wait > most / 2));
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
    }
}
