//! When to try again: pure delays, told apart from the clocks that wait for them.

use std::time::Duration;

/// Delays that double from `first` to `cap`, and how many attempts are made.
#[derive(Clone, Copy, Debug)]
pub struct RestartPolicy {
    /// The delay before the first retry.
    pub first: Duration,
    /// No delay is longer.
    pub cap: Duration,
    /// After this many failed retries there is no other; `None` = never give up.
    pub max_attempts: Option<u32>,
}

impl RestartPolicy {
    /// The link's policy: 1, 2, 4, 8, 16, 30, 30 … seconds, without jitter; `max_attempts` 0 = for ever.
    #[must_use]
    pub fn link(max_attempts: u32) -> Self {
        Self {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            max_attempts: (max_attempts > 0).then_some(max_attempts),
        }
    }

    /// The Discord socket's policy: 0.5, 1, 2 … 60 seconds, for ever.
    #[must_use]
    pub fn discord() -> Self {
        Self { first: Duration::from_millis(500), cap: Duration::from_secs(60), max_attempts: None }
    }

    /// The wait before retry number `attempt`, counted from 1; `None` when that many are not allowed.
    ///
    /// Attempt 0 is the first try, which waits for nothing.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Option<Duration> {
        if self.max_attempts.is_some_and(|max| attempt > max) {
            return None;
        }
        let Some(doublings) = attempt.checked_sub(1) else { return Some(Duration::ZERO) };
        let factor = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
        Some(self.first.checked_mul(factor).map_or(self.cap, |delay| delay.min(self.cap)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_waits_as_the_seed_says_and_gives_up_after_ten() {
        let policy = RestartPolicy::link(10);
        let seconds: Vec<_> = (0..=10).map(|n| policy.delay(n).map(|d| d.as_secs())).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30].map(Some));
        assert_eq!(policy.delay(11), None);
    }

    #[test]
    fn zero_attempts_means_for_ever_at_the_cap() {
        assert_eq!(RestartPolicy::link(0).delay(u32::MAX), Some(Duration::from_secs(30)));
    }

    #[test]
    fn the_discord_socket_starts_at_half_a_second_and_never_passes_a_minute() {
        let policy = RestartPolicy::discord();
        let millis: Vec<_> = (0..=9).filter_map(|n| policy.delay(n)).map(|d| d.as_millis()).collect();
        assert_eq!(millis, [0, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
    }
}
