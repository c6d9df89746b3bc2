//! What a stream's query asks for: `?guild=…&channel=…&events=VOICE_STATE_UPDATE,voice.*`. A filter only narrows.

use std::str::FromStr;

use crate::snowflake::{ChannelId, GuildId};

/// No query needs more items than this in one list.
pub const MAX_FILTER_ITEMS: usize = 100;

/// The parsed filter. An empty list lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    guilds: Vec<GuildId>,
    channels: Vec<ChannelId>,
    events: Vec<EventPattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EventPattern {
    Exact(String),
    Prefix(String),
}

/// The query asks for something that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilterError {
    /// An id is not a snowflake.
    #[error("{name}={value:?} is not a list of ids: write decimal ids separated by commas")]
    NotAnId {
        /// The query parameter.
        name: &'static str,
        /// The item that is wrong.
        value: String,
    },
    /// The guild is not one this service follows.
    #[error("guild={0} is not a guild of this service: leave the parameter out for all of them")]
    UnknownGuild(GuildId),
    /// The list is longer than [`MAX_FILTER_ITEMS`].
    #[error("{0} has more than {MAX_FILTER_ITEMS} items: ask for fewer, or filter in the page")]
    TooMany(&'static str),
}

impl Filter {
    /// Parses the comma lists of the query; `configured` are the guilds this service follows.
    ///
    /// # Errors
    ///
    /// [`FilterError`] names the first item that cannot be used.
    pub fn parse(
        guild: Option<&str>,
        channel: Option<&str>,
        events: Option<&str>,
        configured: &[GuildId],
    ) -> Result<Self, FilterError> {
        let guilds: Vec<GuildId> = ids("guild", guild)?;
        if let Some(unknown) = guilds.iter().find(|id| !configured.contains(id)) {
            return Err(FilterError::UnknownGuild(*unknown));
        }
        let events = items("events", events)?
            .into_iter()
            .map(|item| match item.strip_suffix('*') {
                Some(prefix) => EventPattern::Prefix(prefix.to_owned()),
                None => EventPattern::Exact(item.to_owned()),
            })
            .collect();
        Ok(Self { guilds, channels: ids("channel", channel)?, events })
    }

    /// Whether nothing is filtered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guilds.is_empty() && self.channels.is_empty() && self.events.is_empty()
    }

    /// Whether an event with this name, in this guild and these channels, is asked for. The channels are those that its
    /// reader is told of: by any other, a filter would say what the event keeps back.
    #[must_use]
    pub fn wants(&self, event: &str, guild: Option<GuildId>, channels: &[ChannelId]) -> bool {
        (self.guilds.is_empty() || guild.is_some_and(|guild| self.guilds.contains(&guild)))
            && (self.channels.is_empty() || channels.iter().any(|id| self.channels.contains(id)))
            && self.wants_event(event)
    }

    /// Whether an event with this name is asked for.
    #[must_use]
    pub fn wants_event(&self, event: &str) -> bool {
        self.events.is_empty()
            || self.events.iter().any(|pattern| match pattern {
                EventPattern::Exact(name) => name == event,
                EventPattern::Prefix(prefix) => event.starts_with(prefix.as_str()),
            })
    }

    /// Whether events of this guild are asked for.
    #[must_use]
    pub fn wants_guild(&self, guild: GuildId) -> bool {
        self.guilds.is_empty() || self.guilds.contains(&guild)
    }

    /// Whether events of this channel are asked for.
    #[must_use]
    pub fn wants_channel(&self, channel: ChannelId) -> bool {
        self.channels.is_empty() || self.channels.contains(&channel)
    }
}

fn items<'a>(name: &'static str, list: Option<&'a str>) -> Result<Vec<&'a str>, FilterError> {
    let items: Vec<_> =
        list.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    if items.len() > MAX_FILTER_ITEMS { Err(FilterError::TooMany(name)) } else { Ok(items) }
}

fn ids<T: FromStr>(name: &'static str, list: Option<&str>) -> Result<Vec<T>, FilterError> {
    items(name, list)?
        .into_iter()
        .map(|item| {
            item.parse().map_err(|_| FilterError::NotAnId { name, value: item.chars().take(32).collect() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_narrows_by_guild_channel_and_event() {
        let cases = [
            (Filter::default(), "VOICE_STATE_UPDATE", Some(5), true),
            (Filter::parse(Some("1"), None, None, &[GuildId(1)]).unwrap(), "X", None, true),
            (Filter::parse(None, Some("5,6"), None, &[]).unwrap(), "X", Some(5), true),
            (Filter::parse(None, Some("6"), None, &[]).unwrap(), "X", Some(5), false),
            (Filter::parse(None, Some("6"), None, &[]).unwrap(), "X", None, false),
            (Filter::parse(None, None, Some("voice.*, X"), &[]).unwrap(), "voice.joined", None, true),
            (Filter::parse(None, None, Some("voice.*, X"), &[]).unwrap(), "X", None, true),
            (Filter::parse(None, None, Some("voice.*"), &[]).unwrap(), "VOICE_STATE_UPDATE", None, false),
        ];
        for (filter, event, channel, wanted) in cases {
            let channels: Vec<_> = channel.map(ChannelId).into_iter().collect();
            let wants = filter.wants(event, Some(GuildId(1)), &channels);
            assert_eq!(wants, wanted, "{filter:?} {event} {channel:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = Filter::parse(Some("2"), None, None, &[GuildId(1)]).unwrap_err();
        assert_eq!(unknown, FilterError::UnknownGuild(GuildId(2)));
        let word = Filter::parse(None, Some("5,general"), None, &[]).unwrap_err();
        assert!(word.to_string().contains("channel=\"general\""), "{word}");
        let long = vec!["a"; MAX_FILTER_ITEMS + 1].join(",");
        assert_eq!(Filter::parse(None, None, Some(&long), &[]).unwrap_err(), FilterError::TooMany("events"));
    }

    proptest! {
        #[test]
        fn no_query_breaks_the_parser(guild in ".*", channel in ".*", events in ".*") {
            let _ = Filter::parse(Some(&guild), Some(&channel), Some(&events), &[GuildId(1)]);
        }
    }
}
