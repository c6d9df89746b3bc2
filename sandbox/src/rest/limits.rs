//! Rate limits: a bucket per route and major parameter, and one for all calls of a token together.
//!
//! <https://discord.com/developers/docs/topics/rate-limits>

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

/// Calls per second that one token may make in all.
const GLOBAL: Rule = Rule { calls: 50, window: Duration::from_secs(1) };
/// Buckets after which those that have run out are forgotten.
const BUCKETS_KEPT: usize = 10_000;

/// So many calls per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) calls: u32,
    pub(crate) window: Duration,
}

/// The state of all buckets.
#[derive(Debug)]
pub(crate) struct Limits {
    enforced: bool,
    buckets: HashMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    ends: Instant,
    used: u32,
}

/// What a call is told about its bucket.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_after: Duration,
    pub(crate) bucket: String,
    /// Set when the call is one too many.
    pub(crate) refused: Option<Refusal>,
}

/// Which limit was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Route,
    Global,
}

impl Verdict {
    /// Refuses the call until `reset_after` has passed.
    pub(crate) fn refuse(&mut self, refusal: Refusal, reset_after: Duration) {
        self.refused = Some(refusal);
        self.remaining = 0;
        self.reset_after = reset_after;
    }
}

impl Rule {
    /// The rule for a route. Discord publishes none and asks clients to read the headers; these are close to what it
    /// was seen to use.
    pub(crate) fn of(method: &str, pattern: &str) -> Self {
        let per = |calls, ms| Self { calls, window: Duration::from_millis(ms) };
        match (method, pattern) {
            // Every sign-in needs one, and all of them come from the same machine.
            (_, pattern) if pattern.contains("/oauth2/token") => per(1000, 10_000),
            (_, pattern) if pattern.contains("/reactions") => per(1, 250),
            ("POST", pattern) if pattern.ends_with("/messages") => per(5, 5000),
            ("PATCH", pattern) if pattern.contains("/messages/") => per(5, 5000),
            ("DELETE", pattern) if pattern.contains("/messages/") => per(5, 1000),
            ("POST", pattern) if pattern.ends_with("/bulk-delete") => per(1, 1000),
            ("POST", pattern) if pattern.ends_with("/typing") => per(5, 5000),
            ("PATCH", pattern) if pattern.contains("/members") => per(10, 10_000),
            ("POST" | "PUT" | "PATCH" | "DELETE", _) => per(10, 5000),
            _ => per(40, 1000),
        }
    }
}

impl Limits {
    pub(crate) fn new(enforced: bool) -> Self {
        Self { enforced, buckets: HashMap::new() }
    }

    /// Counts one call of `token` to a route; `major` is the guild or channel it is about.
    pub(crate) fn take(
        &mut self,
        token: &str,
        method: &str,
        pattern: &str,
        major: &str,
        now: Instant,
    ) -> Verdict {
        if self.buckets.len() > BUCKETS_KEPT {
            self.buckets.retain(|_, bucket| bucket.ends > now);
        }
        let rule = Rule::of(method, pattern);
        let name = digest(&format!("{method} {pattern}"));
        let route = self.bucket(format!("{token} {name} {major}"), rule, now);
        let refused_by_route = route.used >= rule.calls;
        let mut verdict = Verdict {
            limit: rule.calls,
            remaining: rule.calls.saturating_sub(route.used + 1),
            reset_after: route.ends - now,
            bucket: name,
            refused: (self.enforced && refused_by_route).then_some(Refusal::Route),
        };
        let is_token = token.starts_with("Bot ") || token.starts_with("Bearer ");
        let global = self.bucket(token.to_owned(), GLOBAL, now);
        if self.enforced && is_token && global.used >= GLOBAL.calls {
            verdict.refuse(Refusal::Global, global.ends - now);
        }
        if verdict.refused.is_none() {
            self.count(&format!("{token} {} {major}", verdict.bucket));
            self.count(token);
        }
        verdict
    }

    fn bucket(&mut self, key: String, rule: Rule, now: Instant) -> Bucket {
        let bucket = self.buckets.entry(key).or_insert(Bucket { ends: now + rule.window, used: 0 });
        if bucket.ends <= now {
            *bucket = Bucket { ends: now + rule.window, used: 0 };
        }
        *bucket
    }

    fn count(&mut self, key: &str) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.used = bucket.used.saturating_add(1);
        }
    }
}

/// A bucket's name says nothing, as Discord's do not.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = "/api/v10/channels/{channel}/messages";

    #[test]
    fn a_bucket_refuses_the_call_after_its_last_and_opens_again_with_its_window() {
        let (mut limits, start) = (Limits::new(true), Instant::now());
        let mut call = |at: u64| limits.take("t", "POST", MESSAGES, "1", start + Duration::from_millis(at));
        for expected in [4, 3, 2, 1, 0] {
            let verdict = call(0);
            assert_eq!((verdict.remaining, verdict.refused), (expected, None));
        }
        let refused = call(1000);
        assert_eq!(refused.refused, Some(Refusal::Route));
        assert_eq!(refused.reset_after, Duration::from_secs(4));
        assert_eq!(call(5000).remaining, 4);
    }

    #[test]
    fn channels_and_tokens_do_not_use_up_each_others_buckets() {
        let (mut limits, now) = (Limits::new(true), Instant::now());
        for (token, major) in [("t", "1"), ("t", "2"), ("u", "1")] {
            for _ in 0..5 {
                assert_eq!(limits.take(token, "POST", MESSAGES, major, now).refused, None);
            }
        }
    }

    #[test]
    fn fifty_calls_a_second_are_all_a_token_has() {
        let (mut limits, now) = (Limits::new(true), Instant::now());
        let refusals: Vec<_> =
            (0..51).map(|at| limits.take("Bot t", "GET", "/x", &at.to_string(), now).refused).collect();
        assert!(refusals[..50].iter().all(Option::is_none));
        assert_eq!(refusals[50], Some(Refusal::Global));
    }

    #[test]
    fn limits_that_are_switched_off_still_show_their_headers() {
        let (mut limits, now) = (Limits::new(false), Instant::now());
        let verdicts: Vec<_> = (0..100).map(|_| limits.take("t", "POST", MESSAGES, "1", now)).collect();
        assert!(verdicts.iter().all(|verdict| verdict.refused.is_none() && verdict.limit == 5));
    }
}
