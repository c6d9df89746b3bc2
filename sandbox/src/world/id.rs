//! Snowflakes and timestamps, spelled the way Discord spells them.
//!
//! <https://discord.com/developers/docs/reference#snowflakes>

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description};

/// Milliseconds between the Unix epoch and the first second of 2015, where snowflakes begin.
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;

/// A snowflake: 42 bits of milliseconds and 22 bits that tell ids of one millisecond apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) u64);

impl Id {
    /// When it was minted, in milliseconds of the Unix epoch.
    pub(crate) const fn unix_ms(self) -> u64 {
        (self.0 >> 22) + DISCORD_EPOCH_MS
    }

    /// The shard, of `shards`, that Discord routes this guild to.
    pub(crate) const fn shard(self, shards: u64) -> u64 {
        (self.0 >> 22) % shards
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        text.parse().map(Self).map_err(|_| ())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|()| de::Error::custom(format_args!("{text:?} is not a snowflake")))
    }
}

/// Mints snowflakes that only grow, whatever the clock does.
#[derive(Debug, Default)]
pub(crate) struct Mint {
    last: u64,
}

impl Mint {
    pub(crate) fn next(&mut self, now: Timestamp) -> Id {
        let ms = now.unix_ms().saturating_sub(DISCORD_EPOCH_MS);
        self.last = (ms << 22).max(self.last + 1);
        Id(self.last)
    }
}

/// A moment, written `2025-03-01T10:20:30.123000+00:00` as Discord does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(OffsetDateTime);

impl Timestamp {
    pub(crate) fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }

    pub(crate) fn from_unix_s(seconds: i64) -> Self {
        Self(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Reads ISO 8601 as bots send it (RFC 3339).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        OffsetDateTime::parse(text, &Rfc3339).ok().map(|moment| Self(moment.to_offset(UtcOffset::UTC)))
    }

    pub(crate) fn unix_s(self) -> i64 {
        self.0.unix_timestamp()
    }

    pub(crate) fn unix_ms(self) -> u64 {
        u64::try_from(self.0.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00");
        f.write_str(&self.0.format(&format).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits_and_nothing_else() {
        for text in ["", "+1", "-1", "1a", " 1", "18446744073709551616"] {
            assert!(text.parse::<Id>().is_err(), "{text:?}");
        }
        assert_eq!("910000000000000001".parse(), Ok(Id(910_000_000_000_000_001)));
    }

    #[test]
    fn minted_ids_grow_while_the_clock_stands_still_or_goes_back() {
        let mut mint = Mint::default();
        let now = Timestamp::from_unix_s(1_800_000_000);
        let first = mint.next(now);
        let second = mint.next(now);
        let third = mint.next(Timestamp::from_unix_s(1_700_000_000));
        assert!(first < second && second < third);
        assert_eq!((first.0 >> 22) + DISCORD_EPOCH_MS, now.unix_ms());
    }

    #[test]
    fn timestamps_are_spelled_with_microseconds_and_an_offset() {
        let moment = Timestamp::parse("2025-03-01T12:20:30.123+02:00").expect("RFC 3339");
        assert_eq!(moment.to_string(), "2025-03-01T10:20:30.123000+00:00");
    }
}
