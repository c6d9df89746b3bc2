//! Members: who sits where.
//! <https://discord.com/developers/docs/resources/guild#modify-guild-member>

use serde::Deserialize;
use serenity::all::{ChannelId, EditMember, GuildId, LightMethod, Route, UserId};

use super::{Arguments, authority::Authority, rest::Call};
use crate::{link_frame::Refusal, permissions::Permissions};

/// Moves a member who sits in a voice channel to another, or with `null` out of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MoveMember {
    #[serde(alias = "guild_id")]
    guild_id: GuildId,
    #[serde(alias = "user_id")]
    user_id: UserId,
    #[serde(alias = "channel_id", deserialize_with = "Option::deserialize")]
    channel_id: Option<ChannelId>,
}

impl Arguments for MoveMember {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        let Self { guild_id, user_id, channel_id } = self;
        let guild = authority.guild(guild_id, Permissions::NONE)?;
        // Anyone may change their own seat, as they could by a click.
        let is_self = authority.is_self(user_id);
        if !is_self && !authority.is_bot() {
            match authority.seat(guild, user_id) {
                Some(seat) => seat.require(Permissions::MOVE_MEMBERS)?,
                // Whether they sit somewhere hidden or nowhere is not for everyone to learn.
                None => {
                    authority.guild(guild_id, Permissions::MOVE_MEMBERS)?;
                    let message = format!("user {user_id} sits in no voice channel that you can see");
                    return Err(Refusal::new("FORBIDDEN", message));
                }
            }
        }
        let body = match channel_id {
            None => EditMember::new().disconnect_member(),
            Some(channel) => {
                let place = authority.channel(channel)?;
                if place.guild != guild {
                    return Err(Refusal::new("INVALID", "channelId wants a voice channel of the same guild"));
                }
                place.require(Permissions::CONNECT)?;
                // The bot could squeeze anybody in; only who moves members may.
                if !is_self || !authority.has_seats(&place) {
                    place.require(Permissions::MOVE_MEMBERS)?;
                }
                EditMember::new().voice_channel(channel)
            }
        };
        let route = Route::GuildMember { guild_id, user_id };
        Ok(Call::new(LightMethod::Patch, route).with_body(&body))
    }
}
