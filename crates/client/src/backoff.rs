//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// Longest wait.
const CAP: Duration = Duration::from_secs(10);

/// The wait before attempt `attempt` (from 1): `base`, doubled each time, at most [`CAP`], of which between half and all is
/// taken at random, so that clients that were cut together don't come back together.
pub(crate) fn delay(base: Duration, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let full = base.saturating_mul(1 << doublings).min(CAP.max(base));
    // A new RandomState has new keys: enough chance for a jitter.
    let chance = RandomState::new().build_hasher().finish() % 1024;
    full.mul_f64(0.5 + f64::from(u32::try_from(chance).unwrap_or(0)) / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_is_capped_and_jittered() {
        let base = Duration::from_millis(250);
        for attempt in 1..40 {
            let full = base.saturating_mul(1 << (attempt - 1).min(20)).min(CAP);
            for _ in 0..20 {
                let delay = delay(base, attempt);
                assert!(delay >= full / 2 && delay <= full, "attempt {attempt}: {delay:?} of {full:?}");
            }
        }
        let waits: std::collections::HashSet<_> = (0..50).map(|_| delay(base, 5)).collect();
        assert!(waits.len() > 10, "{waits:?}");
    }

    #[test]
    fn a_base_that_the_server_chose_is_kept_even_above_the_cap() {
        let base = Duration::from_secs(60);
        assert!(delay(base, 3) >= base / 2);
        assert!(delay(base, 3) <= base);
    }
}
