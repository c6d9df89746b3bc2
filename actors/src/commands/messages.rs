//! Messages, and the sign that one is being written.
//! <https://discord.com/developers/docs/resources/message>

use std::time::Duration;

use serde::Deserialize;
use serenity::all::{
    ChannelId, CreateAllowedMentions, CreateEmbed, CreateMessage, EditMessage as EditBody, Embed,
    LightMethod, MessageFlags, MessageId, MessageReference, Nonce, RoleId, Route, UserId,
};

use super::{
    Arguments,
    authority::{Authority, Place},
    rest::Call,
};
use crate::{link_frame::Refusal, permissions::Permissions};

/// Discord compares an enforced nonce with those of the past few minutes; how many it does not say.
/// <https://discord.com/developers/docs/resources/message#create-message>
const NONCE_LASTS: Duration = Duration::from_secs(120);

/// Writes a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SendMessage {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
    #[serde(default)]
    content: String,
    #[serde(default, alias = "reply_to")]
    reply_to: Option<MessageId>,
    #[serde(default)]
    embeds: Vec<Embed>,
    #[serde(default, alias = "allowed_mentions")]
    allowed_mentions: AllowedMentions,
    /// Comes back in MESSAGE_CREATE. With one of the caller's own, Discord does not compare nonces.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// Changes a message that the bot sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EditMessage {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
    #[serde(alias = "message_id")]
    message_id: MessageId,
    content: Option<String>,
    embeds: Option<Vec<Embed>>,
    #[serde(default, alias = "allowed_mentions")]
    allowed_mentions: AllowedMentions,
}

/// Deletes a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeleteMessage {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
    #[serde(alias = "message_id")]
    message_id: MessageId,
}

/// Shows for ten seconds that the bot is typing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StartTyping {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
}

/// Whom a message notifies: nobody that is not named here.
/// <https://discord.com/developers/docs/resources/message#allowed-mentions-object>
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct AllowedMentions {
    parse: Vec<Mentioned>,
    users: Vec<UserId>,
    roles: Vec<RoleId>,
    #[serde(alias = "replied_user")]
    replied_user: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Mentioned {
    Users,
    Roles,
    Everyone,
}

impl Arguments for SendMessage {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        let place = authority.channel(self.channel_id)?;
        place.require_writing()?;
        if self.content.trim().is_empty() && self.embeds.is_empty() {
            return Err(Refusal::new("INVALID", "send_message wants content that is not empty, or embeds"));
        }
        let mut body = CreateMessage::new()
            .content(self.content)
            .allowed_mentions(self.allowed_mentions.allowed(&place)?)
            .embeds(embeds(self.embeds, &place)?);
        if !place.may(Permissions::EMBED_LINKS) {
            // A link of someone who may not embed links is shown without a preview.
            body = body.flags(MessageFlags::SUPPRESS_EMBEDS);
        }
        if let Some(reply_to) = self.reply_to {
            place.require(Permissions::READ_MESSAGE_HISTORY)?;
            body = body.reference_message(MessageReference::from((self.channel_id, reply_to)));
        }
        // Another's nonce, enforced, would give its message away: the one that is enforced is always ours.
        let enforced = authority.nonce.clone().filter(|_| self.nonce.is_none());
        let repeatable = enforced.is_some();
        if let Some(nonce) = self.nonce.or(enforced.map(Nonce::String)) {
            body = body.nonce(nonce).enforce_nonce(repeatable);
        }
        let route = Route::ChannelMessages { channel_id: self.channel_id };
        let call = Call::new(LightMethod::Post, route).with_body(&body);
        Ok(if repeatable { call.repeatable(NONCE_LASTS) } else { call })
    }
}

impl Arguments for EditMessage {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        let place = authority.channel(self.channel_id)?;
        if self.content.is_none() && self.embeds.is_none() {
            return Err(Refusal::new("INVALID", "edit_message wants content or embeds"));
        }
        if authority.wrote(self.message_id) {
            place.require_writing()?;
        } else {
            place.require(Permissions::MANAGE_MESSAGES)?;
        }
        let mut body = EditBody::new().allowed_mentions(self.allowed_mentions.allowed(&place)?);
        if let Some(content) = self.content {
            body = body.content(content);
        }
        if let Some(wanted) = self.embeds {
            body = body.embeds(embeds(wanted, &place)?);
        }
        let route = Route::ChannelMessage { channel_id: self.channel_id, message_id: self.message_id };
        Ok(Call::new(LightMethod::Patch, route).with_body(&body))
    }
}

impl Arguments for DeleteMessage {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        let place = authority.channel(self.channel_id)?;
        if !authority.wrote(self.message_id) {
            place.require(Permissions::MANAGE_MESSAGES)?;
        }
        let route = Route::ChannelMessage { channel_id: self.channel_id, message_id: self.message_id };
        Ok(Call::new(LightMethod::Delete, route))
    }
}

impl Arguments for StartTyping {
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal> {
        authority.channel(self.channel_id)?.require_writing()?;
        Ok(Call::new(LightMethod::Post, Route::ChannelTyping { channel_id: self.channel_id }))
    }
}

impl AllowedMentions {
    fn allowed(self, place: &Place) -> Result<CreateAllowedMentions, Refusal> {
        let parses = |what| self.parse.contains(&what);
        // Which roles anyone may mention is not known here, so that all of them need the permission.
        if parses(Mentioned::Everyone) || parses(Mentioned::Roles) || !self.roles.is_empty() {
            place.require(Permissions::MENTION_EVERYONE)?;
        }
        Ok(CreateAllowedMentions::new()
            .everyone(parses(Mentioned::Everyone))
            .all_roles(parses(Mentioned::Roles))
            .all_users(parses(Mentioned::Users))
            .users(self.users)
            .roles(self.roles)
            .replied_user(self.replied_user))
    }
}

fn embeds(embeds: Vec<Embed>, place: &Place) -> Result<Vec<CreateEmbed>, Refusal> {
    if !embeds.is_empty() {
        place.require(Permissions::EMBED_LINKS)?;
    }
    Ok(embeds.into_iter().map(CreateEmbed::from).collect())
}
