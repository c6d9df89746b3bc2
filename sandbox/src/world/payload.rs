//! Discord's JSON for what the guild model holds: one function per object of Discord's reference.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    World,
    guild::{Channel, ChannelKind, Emoji, Guild, Member, Overwrite, Role, Status, VoiceState},
    id::{Id, Timestamp},
    message::{Message, Reaction, ReactionEmoji},
    user::{User, UserPayload},
};

/// A guild member object; `user` and `guild_id` come and go with the place it stands in.
///
/// <https://discord.com/developers/docs/resources/guild#guild-member-object>
#[derive(Serialize)]
pub(crate) struct MemberPayload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserPayload<'a>>,
    nick: Option<&'a str>,
    avatar: Option<()>,
    banner: Option<()>,
    roles: &'a [Id],
    joined_at: Timestamp,
    premium_since: Option<()>,
    deaf: bool,
    mute: bool,
    flags: u32,
    pending: bool,
    communication_disabled_until: Option<Timestamp>,
}

/// A voice state object; `channel_id` is null when the member has left.
///
/// <https://discord.com/developers/docs/resources/voice#voice-state-object>
#[derive(Serialize)]
pub(crate) struct VoiceStatePayload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
    channel_id: Option<Id>,
    user_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<MemberPayload<'a>>,
    session_id: &'a str,
    deaf: bool,
    mute: bool,
    self_deaf: bool,
    self_mute: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_stream: Option<bool>,
    self_video: bool,
    suppress: bool,
    request_to_speak_timestamp: Option<()>,
}

/// A presence, as in GUILD_CREATE and chunks.
#[derive(Serialize)]
pub(crate) struct PresencePayload {
    user: PresenceUser,
    status: Status,
    client_status: ClientStatus,
    activities: [(); 0],
}

#[derive(Serialize)]
struct PresenceUser {
    id: Id,
}

/// Everybody here sits at a desk.
#[derive(Serialize)]
struct ClientStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    desktop: Option<Status>,
}

impl Member {
    /// The member without their user, as in messages.
    pub(crate) fn partial(&self) -> MemberPayload<'_> {
        MemberPayload {
            guild_id: None,
            user: None,
            nick: self.nick.as_deref(),
            avatar: None,
            banner: None,
            roles: &self.roles,
            joined_at: self.joined_at,
            premium_since: None,
            deaf: self.deaf,
            mute: self.mute,
            flags: 0,
            pending: false,
            communication_disabled_until: self.timed_out_until,
        }
    }

    pub(crate) fn with_user<'a>(&'a self, user: &'a User) -> MemberPayload<'a> {
        MemberPayload { user: Some(user.payload()), ..self.partial() }
    }

    /// As in GUILD_MEMBER_ADD and GUILD_MEMBER_UPDATE.
    pub(crate) fn with_guild<'a>(&'a self, user: &'a User, guild: Id) -> MemberPayload<'a> {
        MemberPayload { guild_id: Some(guild), ..self.with_user(user) }
    }

    pub(crate) fn presence(&self) -> PresencePayload {
        PresencePayload {
            user: PresenceUser { id: self.user },
            status: self.status,
            client_status: ClientStatus {
                desktop: Some(self.status).filter(|status| *status != Status::Offline),
            },
            activities: [],
        }
    }
}

impl VoiceState {
    /// As in GUILD_CREATE: neither guild nor member.
    pub(crate) fn bare<'a>(&'a self, member: &Member) -> VoiceStatePayload<'a> {
        VoiceStatePayload {
            guild_id: None,
            channel_id: Some(self.channel),
            user_id: member.user,
            member: None,
            session_id: &self.session_id,
            deaf: member.deaf,
            mute: member.mute,
            self_deaf: self.self_deaf,
            self_mute: self.self_mute,
            self_stream: self.self_stream.then_some(true),
            self_video: self.self_video,
            suppress: self.suppress,
            request_to_speak_timestamp: None,
        }
    }

    /// As in VOICE_STATE_UPDATE; `channel` is none for a leave.
    pub(crate) fn update<'a>(
        &'a self,
        guild: Id,
        channel: Option<Id>,
        member: &'a Member,
        user: &'a User,
    ) -> VoiceStatePayload<'a> {
        VoiceStatePayload {
            guild_id: Some(guild),
            channel_id: channel,
            member: Some(member.with_user(user)),
            ..self.bare(member)
        }
    }
}

/// <https://discord.com/developers/docs/topics/permissions#role-object>
pub(crate) fn role(role: &Role) -> Value {
    let mut payload = json!({
        "id": role.id,
        "name": role.name,
        "description": null,
        "color": role.color,
        "colors": { "primary_color": role.color, "secondary_color": null, "tertiary_color": null },
        "hoist": role.hoist,
        "icon": null,
        "unicode_emoji": null,
        "position": role.position,
        "permissions": role.permissions,
        "managed": role.bot.is_some(),
        "mentionable": role.mentionable,
        "flags": 0,
    });
    if let Some(bot) = role.bot {
        payload["tags"] = json!({ "bot_id": bot });
    }
    payload
}

/// <https://discord.com/developers/docs/resources/channel#channel-object>
pub(crate) fn channel(guild: Id, channel: &Channel) -> Value {
    if channel.thread.is_some() {
        return thread(guild, channel);
    }
    let mut payload = json!({
        "id": channel.id,
        "type": channel.kind as u8,
        "guild_id": guild,
        "name": channel.name,
        "position": channel.position,
        "permission_overwrites": channel.overwrites.iter().map(overwrite).collect::<Vec<_>>(),
        "parent_id": channel.parent,
        "flags": 0,
        "nsfw": channel.nsfw,
    });
    if channel.kind != ChannelKind::Category {
        payload["topic"] = json!(channel.topic);
        payload["last_message_id"] = json!(channel.last_message);
        payload["rate_limit_per_user"] = json!(channel.slow_mode_s);
    }
    if channel.kind.is_voice() {
        payload["bitrate"] = json!(channel.bitrate);
        payload["user_limit"] = json!(channel.user_limit);
        payload["rtc_region"] = Value::Null;
        payload["video_quality_mode"] = json!(1);
    }
    if matches!(channel.kind, ChannelKind::Forum | ChannelKind::Media) {
        payload["available_tags"] = json!([]);
        payload["default_reaction_emoji"] = Value::Null;
        payload["default_sort_order"] = Value::Null;
        payload["default_forum_layout"] = json!(0);
        payload["default_thread_rate_limit_per_user"] = json!(0);
    }
    payload
}

fn thread(guild: Id, channel: &Channel) -> Value {
    let Some(thread) = &channel.thread else { return Value::Null };
    let mut metadata = json!({
        "archived": thread.archived,
        "auto_archive_duration": thread.auto_archive_min,
        "archive_timestamp": thread.archive_changed,
        "locked": thread.locked,
        "create_timestamp": thread.created,
    });
    if channel.kind == ChannelKind::PrivateThread {
        metadata["invitable"] = json!(true);
    }
    json!({
        "id": channel.id,
        "type": channel.kind as u8,
        "guild_id": guild,
        "parent_id": channel.parent,
        "owner_id": thread.owner,
        "name": channel.name,
        "last_message_id": channel.last_message,
        "message_count": thread.message_count,
        "total_message_sent": thread.message_count,
        "member_count": thread.members.len().min(50),
        "rate_limit_per_user": channel.slow_mode_s,
        "flags": 0,
        "thread_metadata": metadata,
    })
}

/// <https://discord.com/developers/docs/resources/channel#thread-member-object>
pub(crate) fn thread_member(thread: Id, user: Id, joined: Timestamp) -> Value {
    json!({ "id": thread, "user_id": user, "join_timestamp": joined, "flags": 1, "muted": false, "mute_config": null })
}

fn overwrite(overwrite: &Overwrite) -> Value {
    json!({
        "id": overwrite.id,
        "type": overwrite.kind as u8,
        "allow": overwrite.allow,
        "deny": overwrite.deny,
    })
}

/// <https://discord.com/developers/docs/resources/emoji#emoji-object>
pub(crate) fn emoji(emoji: &Emoji) -> Value {
    json!({
        "id": emoji.id,
        "name": emoji.name,
        "roles": [],
        "require_colons": true,
        "managed": false,
        "animated": emoji.animated,
        "available": true,
    })
}

pub(crate) fn reaction_emoji(emoji: &ReactionEmoji) -> Value {
    json!({ "id": emoji.id, "name": emoji.name })
}

fn reaction(reaction: &Reaction, viewer: Id) -> Value {
    json!({
        "emoji": reaction_emoji(&reaction.emoji),
        "count": reaction.users.len(),
        "count_details": { "burst": 0, "normal": reaction.users.len() },
        "burst_colors": [],
        "me": reaction.users.contains(&viewer),
        "me_burst": false,
    })
}

/// The guild without what only GUILD_CREATE has.
///
/// <https://discord.com/developers/docs/resources/guild#guild-object>
pub(crate) fn guild(guild: &Guild) -> Value {
    json!({
        "id": guild.id,
        "name": guild.name,
        "icon": null,
        "icon_hash": null,
        "splash": null,
        "discovery_splash": null,
        "banner": null,
        "description": null,
        "owner_id": guild.owner,
        "region": "deprecated",
        "afk_channel_id": null,
        "afk_timeout": 300,
        "widget_enabled": false,
        "widget_channel_id": null,
        "verification_level": 1,
        "default_message_notifications": 1,
        "explicit_content_filter": 2,
        "mfa_level": 0,
        "nsfw": false,
        "nsfw_level": 0,
        "roles": guild.roles.values().map(role).collect::<Vec<_>>(),
        "emojis": guild.emojis.iter().map(emoji).collect::<Vec<_>>(),
        "stickers": [],
        "features": ["COMMUNITY"],
        "application_id": null,
        "system_channel_id": guild.system_channel,
        "system_channel_flags": 0,
        "rules_channel_id": null,
        "public_updates_channel_id": null,
        "safety_alerts_channel_id": null,
        "max_presences": null,
        "max_members": 25_000_000,
        "max_video_channel_users": 25,
        "max_stage_video_channel_users": 50,
        "vanity_url_code": null,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "premium_progress_bar_enabled": false,
        "preferred_locale": "en-US",
        "incidents_data": null,
    })
}

/// Empties what only applications with MESSAGE_CONTENT may read.
pub(crate) fn redact(message: &mut Value, bot: Id) {
    message["content"] = json!("");
    for list in ["embeds", "attachments", "components"] {
        message[list] = json!([]);
    }
    let answered = message.get_mut("referenced_message").filter(|answered| answered.is_object());
    if let Some(answered) = answered.filter(|answered| answered["author"]["id"] != json!(bot)) {
        redact(answered, bot);
    }
}

impl World {
    /// A message as REST answers it, without what only the Gateway adds.
    ///
    /// <https://discord.com/developers/docs/resources/message#message-object>
    pub(crate) fn message_payload(&self, guild: &Guild, message: &Message) -> Value {
        let bot = self.application.bot;
        let body = &message.body;
        let mentions: Vec<_> =
            body.mentions.iter().filter_map(|id| self.users.get(id)).map(User::payload).collect();
        let mut payload = json!({
            "id": message.id,
            "type": message.kind(),
            "channel_id": message.channel,
            "author": self.users.get(&message.author).map(User::payload),
            "content": body.content,
            "timestamp": message.sent,
            "edited_timestamp": message.edited,
            "tts": body.tts,
            "mention_everyone": body.mention_everyone,
            "mentions": mentions,
            "mention_roles": body.mention_roles,
            "attachments": [],
            "embeds": body.embeds,
            "components": body.components,
            "pinned": message.pinned.is_some(),
            "flags": body.flags,
        });
        if !message.reactions.is_empty() {
            payload["reactions"] = message.reactions.iter().map(|entry| reaction(entry, bot)).collect();
        }
        if let Some(nonce) = &body.nonce {
            payload["nonce"] = nonce.clone();
        }
        let channel = guild.channels.get(&message.channel);
        if let Some(answered) = body.reply_to {
            payload["message_reference"] = json!({ "type": 0, "message_id": answered, "channel_id": message.channel, "guild_id": guild.id });
            payload["referenced_message"] = channel
                .and_then(|channel| channel.message(answered))
                // One level only: the answered message does not bring the one it answers.
                .map(|found| {
                    let mut found = found.clone();
                    found.body.reply_to = None;
                    self.message_payload(guild, &found)
                })
                .unwrap_or_default();
        }
        if let Some(thread) = message.thread.and_then(|id| guild.channels.get(&id)) {
            payload["thread"] = self::channel(guild.id, thread);
        }
        payload
    }

    /// The same as MESSAGE_CREATE carries it: with the guild and the author's member.
    pub(crate) fn message_event(&self, guild: &Guild, message: &Message) -> Value {
        let mut payload = self.message_payload(guild, message);
        payload["guild_id"] = json!(guild.id);
        payload["channel_type"] =
            json!(guild.channels.get(&message.channel).map_or(0, |channel| channel.kind as u8));
        if let Some(member) = guild.members.get(&message.author) {
            payload["member"] = json!(member.partial());
        }
        let mentioned = message.body.mentions.iter().filter(|id| self.users.contains_key(id));
        for (at, id) in mentioned.enumerate() {
            if let Some(member) = guild.members.get(id) {
                payload["mentions"][at]["member"] = json!(member.partial());
            }
        }
        payload
    }
}
