//! Reactions. The bot has one reaction for each emoji on a message, whoever asked for it.
//! <https://discord.com/developers/docs/resources/message#create-reaction>

use serde::Deserialize;
use serenity::all::{ChannelId, LightMethod, MessageId, Route, UserId};

use super::{
    Arguments,
    authority::{Authority, Place},
    rest::Call,
};
use crate::{guild_model::ChannelKind, link_frame::Refusal, permissions::Permissions};

/// The longest custom emoji, `name:id`, has 32 characters and 20 digits.
const MAX_EMOJI_BYTES: usize = 64;

/// Adds the bot's reaction.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AddReaction {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
    #[serde(alias = "message_id")]
    message_id: MessageId,
    emoji: String,
}

/// Removes the bot's reaction, or with `userId` another's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RemoveReaction {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
    #[serde(alias = "message_id")]
    message_id: MessageId,
    emoji: String,
    #[serde(default, alias = "user_id")]
    user_id: Option<UserId>,
}

impl Arguments for AddReaction {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        let Self { channel_id, message_id, emoji } = self;
        require_reacting(&authority.channel(channel_id)?)?;
        let reaction = &encoded(&emoji)?;
        let route = Route::ChannelMessageReactionMe { channel_id, message_id, reaction };
        Ok(Call::new(LightMethod::Put, route))
    }
}

impl Arguments for RemoveReaction {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        let Self { channel_id, message_id, emoji, user_id } = self;
        let place = authority.channel(channel_id)?;
        let reaction = &encoded(&emoji)?;
        let route = match user_id {
            None => {
                require_reacting(&place)?;
                Route::ChannelMessageReactionMe { channel_id, message_id, reaction }
            }
            Some(user_id) => {
                if !authority.is_self(user_id) {
                    place.require(Permissions::MANAGE_MESSAGES)?;
                }
                Route::ChannelMessageReaction { channel_id, message_id, user_id, reaction }
            }
        };
        Ok(Call::new(LightMethod::Delete, route))
    }
}

fn require_reacting(place: &Place) -> Result<(), Refusal> {
    place.require(Permissions::ADD_REACTIONS | Permissions::READ_MESSAGE_HISTORY)?;
    match place.kind {
        ChannelKind::Thread { locked: true } => place.require(Permissions::MANAGE_THREADS),
        _ => Ok(()),
    }
}

/// The emoji as one segment of a path: no byte of it can end the segment.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-2.1>
fn encoded(emoji: &str) -> Result<String, Refusal> {
    if emoji.is_empty() || emoji.len() > MAX_EMOJI_BYTES || emoji.bytes().all(|byte| byte == b'.') {
        return Err(Refusal::new("INVALID", "emoji wants an emoji, or name:id for one of the guild's own"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':');
    let encode = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    Ok(emoji.bytes().map(encode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_one_segment_of_the_path() {
        for (emoji, expected) in [
            ("👍", Some("%F0%9F%91%8D")),
            ("blob:123", Some("blob:123")),
            ("../../guilds", Some("%2E%2E%2F%2E%2E%2Fguilds")),
            ("a?b#c", Some("a%3Fb%23c")),
            ("", None),
            ("..", None),
        ] {
            assert_eq!(encoded(emoji).ok().as_deref(), expected, "{emoji:?}");
        }
    }
}
