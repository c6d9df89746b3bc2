//! Discord's JSON for what the guild model holds: one function per object of Discord's reference.

mod member;
mod message;

use serde_json::{Value, json};

pub(crate) use self::{
    member::{MemberPayload, PresencePayload, VoiceStatePayload},
    message::{reaction_emoji, redact},
};
use super::{
    guild::{Channel, ChannelKind, Emoji, Guild, Overwrite, Role},
    id::{Id, Timestamp},
};

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
