//! Channels: the rooms people make and leave behind.
//! <https://discord.com/developers/docs/resources/guild#create-guild-channel>

use serde::Deserialize;
use serenity::all::{ChannelId, ChannelType, CreateChannel as CreateBody, GuildId, LightMethod, Route};

use super::{Arguments, authority::Authority, rest::Call};
use crate::{guild_model::ChannelKind, link_frame::Refusal, permissions::Permissions};

/// Creates a channel.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateChannel {
    #[serde(alias = "guild_id")]
    guild_id: GuildId,
    name: String,
    r#type: Kind,
    #[serde(default, alias = "parent_id")]
    parent_id: Option<ChannelId>,
    #[serde(default, alias = "user_limit")]
    user_limit: Option<u32>,
}

/// Deletes a channel, or a thread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeleteChannel {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
}

/// A channel's type by its name or by Discord's number.
#[derive(Clone, Copy, Deserialize)]
#[serde(
    untagged,
    expecting = "type wants text, voice, category, announcement, stage or forum, or Discord's number"
)]
enum Kind {
    Number(u8),
    Name(Name),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Text,
    Voice,
    Category,
    Announcement,
    Stage,
    Forum,
}

impl Arguments for CreateChannel {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        match self.parent_id {
            None => {
                authority.guild(self.guild_id, Permissions::MANAGE_CHANNELS)?;
            }
            // A category's overwrites decide for what is made in it.
            Some(parent) => {
                let guild = authority.guild(self.guild_id, Permissions::NONE)?;
                let parent = authority.channel(parent)?;
                if parent.guild != guild {
                    return Err(Refusal::new("INVALID", "parentId wants a category of the same guild"));
                }
                parent.require(Permissions::MANAGE_CHANNELS)?;
            }
        }
        let mut body = CreateBody::new(self.name).kind(self.r#type.into());
        if let Some(parent) = self.parent_id {
            body = body.category(parent);
        }
        if let Some(limit) = self.user_limit {
            body = body.user_limit(limit);
        }
        let route = Route::GuildChannels { guild_id: self.guild_id };
        Ok(Call::new(LightMethod::Post, route).with_body(&body))
    }
}

impl Arguments for DeleteChannel {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        let place = authority.channel(self.channel_id)?;
        place.require(match place.kind {
            ChannelKind::Thread { .. } => Permissions::MANAGE_THREADS,
            // Who may not join a room may not manage it either.
            ChannelKind::Room => Permissions::MANAGE_CHANNELS | Permissions::CONNECT,
            ChannelKind::Other => Permissions::MANAGE_CHANNELS,
        })?;
        Ok(Call::new(LightMethod::Delete, Route::Channel { channel_id: self.channel_id }))
    }
}

impl From<Kind> for ChannelType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Number(number) => Self::from(number),
            Kind::Name(Name::Text) => Self::Text,
            Kind::Name(Name::Voice) => Self::Voice,
            Kind::Name(Name::Category) => Self::Category,
            Kind::Name(Name::Announcement) => Self::News,
            Kind::Name(Name::Stage) => Self::Stage,
            Kind::Name(Name::Forum) => Self::Forum,
        }
    }
}
