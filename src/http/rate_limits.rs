//! How often one user or one address may do something. Memory is bounded: who has not asked for a while is forgotten.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use actix_governor::governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use guildstream_actors::snowflake::UserId;

use super::error::ApiError;

/// More than this many who asked lately share one allowance.
const MAX_KEYS: usize = 100_000;
/// Those who have their whole allowance back are forgotten each time this many have asked.
const SWEEP_EVERY: u32 = 4096;

/// The limits of the web role. One for all workers.
#[derive(Debug)]
pub struct RateLimits {
    /// Steps of a sign-in, by address.
    pub sign_in: RateLimit,
    /// Streams opened, by user.
    pub stream: RateLimit,
    /// What a page asks when it opens, by user.
    pub page: RateLimit,
    /// Commands and link control, by user.
    pub command: RateLimit,
}

impl RateLimits {
    /// The limits for users who may have `streams_per_user` open.
    #[must_use]
    pub fn new(streams_per_user: usize) -> Self {
        // All tabs of a browser come back at once when the role was restarted, some of them twice; or a page is
        // reloaded in anger. Half a minute later they may again.
        let streams = u32::try_from(streams_per_user).unwrap_or(u32::MAX).clamp(15, 50_000) * 2;
        Self {
            // A sign-in has two or three steps, and a school or an office has one address.
            sign_in: RateLimit::new(60, Duration::from_secs(1)),
            stream: RateLimit::new(streams, Duration::from_secs(30) / streams),
            page: RateLimit::new(60, Duration::from_millis(500)),
            // Discord's own pace for messages in a channel is 5 in 5 s.
            command: RateLimit::new(10, Duration::from_secs(1)),
        }
    }
}

/// Whose allowance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A signed-in user.
    User(UserId),
    /// An address; for IPv6 its /56 network, which is what one customer gets.
    Address(IpAddr),
    /// Everyone, when there are too many to tell apart.
    Crowd,
}

/// An allowance of `burst`, of which one comes back each `period`.
#[derive(Debug)]
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<Who>,
    asked: AtomicU32,
    crowded: std::sync::atomic::AtomicBool,
}

impl RateLimit {
    fn new(burst: u32, period: Duration) -> Self {
        let quota = Quota::with_period(period).expect("no period is zero");
        let burst = NonZeroU32::new(burst).expect("no burst is zero");
        Self {
            limiter: RateLimiter::keyed(quota.allow_burst(burst)),
            asked: AtomicU32::new(0),
            crowded: false.into(),
        }
    }

    /// Takes one from the allowance.
    ///
    /// # Errors
    ///
    /// The time until there is one again.
    pub fn check(&self, who: Who) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
            self.crowded.store(self.limiter.len() > MAX_KEYS, Ordering::Relaxed);
        }
        let who = if self.crowded.load(Ordering::Relaxed) { Who::Crowd } else { who };
        self.limiter
            .check_key(&who)
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    /// Takes one from the allowance.
    ///
    /// # Errors
    ///
    /// [`ApiError::RateLimited`] with the seconds to wait.
    pub fn take(&self, who: Who) -> Result<(), ApiError> {
        self.check(who).map_err(|wait| ApiError::RateLimited(wait.as_secs() + 1))
    }
}

impl From<IpAddr> for Who {
    fn from(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - 56))).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing comes back while the test runs.
    fn limit(burst: u32) -> RateLimit {
        RateLimit::new(burst, Duration::from_secs(3600))
    }

    #[test]
    fn each_has_an_allowance_of_their_own() {
        let limit = limit(2);
        let (ada, linus) = (Who::User(UserId(1)), Who::User(UserId(2)));
        assert!(limit.check(ada).is_ok() && limit.check(ada).is_ok());
        let wait = limit.check(ada).unwrap_err();
        assert!(wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600), "{wait:?}");
        assert!(limit.check(linus).is_ok());
    }

    #[test]
    fn one_customer_is_one_address() {
        let who = |address: &str| Who::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(who("2001:db8:1:200::1"), who("2001:db8:1:2ff:ffff::9"));
        assert_ne!(who("2001:db8:1:200::1"), who("2001:db8:1:300::1"));
        assert_ne!(who("192.0.2.1"), who("192.0.2.2"));
    }

    #[test]
    fn a_crowd_is_held_to_one_allowance_and_forgotten_again() {
        let limit = limit(1);
        let addresses = u32::try_from(MAX_KEYS).unwrap() + 2 * SWEEP_EVERY;
        let refused =
            (0..addresses).filter(|n| limit.check(Who::from(IpAddr::from(n.to_be_bytes()))).is_err()).count();
        assert!(
            refused > 0 && limit.limiter.len() <= MAX_KEYS + SWEEP_EVERY as usize,
            "{}",
            limit.limiter.len()
        );
    }
}
