//! The cursor of the whole pipeline: one id per event, given once by LinkServer and kept to the browser.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A span in which no event was lost. A new one says: what came before cannot be joined to what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// A new epoch, told apart from every other by 64 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// `EPOCH-SEQ`: sixteen hexadecimal digits, a hyphen, a decimal number that counts from 1 without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The span the sequence number counts in.
    pub epoch: Epoch,
    /// The position in the epoch; 0 is the position before its first event.
    pub seq: u64,
}

impl EventId {
    /// The position directly after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self { epoch: self.epoch, seq: self.seq + 1 }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

/// The text is not an event id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an event id (sixteen hexadecimal digits, a hyphen, a number): {0:?}")]
pub struct InvalidEventId(String);

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (epoch, seq) = text.split_once('-')?;
            let plain = |part: &str, radix| part.bytes().all(|b| char::from(b).is_digit(radix));
            if epoch.len() != 16 || !plain(epoch, 16) || !plain(seq, 10) {
                return None;
            }
            Some(Self { epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?), seq: seq.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidEventId(text.chars().take(64).collect()))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_its_text(epoch: u64, seq: u64) {
            let id = EventId { epoch: Epoch(epoch), seq };
            prop_assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".*") {
            if let Ok(id) = text.parse::<EventId>() {
                prop_assert_eq!(id.seq, text[17..].parse::<u64>().expect("digits"));
            }
        }
    }

    #[test]
    fn near_misses_are_refused() {
        for text in [
            "",
            "0",
            "-",
            "00-1",
            "000000000000000g-1",
            "0000000000000000-",
            "0000000000000000-+1",
            "+000000000000000-1",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
    }
}
