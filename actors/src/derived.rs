//! Events that LinkServer makes itself: who came, went and moved in voice channels, and which of those channels
//! appeared and disappeared. Each follows directly the dispatch it comes from.

use serde::{Deserialize, Serialize};

use crate::{
    dispatch_facts::{Profile, VoiceFlags},
    scope::Scope,
    snowflake::{ChannelId, GuildId, UserId},
};

/// Someone entered a voice channel.
pub const VOICE_JOINED: &str = "voice.joined";
/// Someone left voice.
pub const VOICE_LEFT: &str = "voice.left";
/// Someone went from one voice channel to another.
pub const VOICE_MOVED: &str = "voice.moved";
/// There is a new voice channel.
pub const ROOM_CREATED: &str = "room.created";
/// A voice channel is gone.
pub const ROOM_DELETED: &str = "room.deleted";

/// An event made from the guild model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Its name.
    pub event: &'static str,
    /// Its JSON text.
    pub payload: String,
    /// Who may see it.
    pub scope: Scope,
}

/// The voice channels of a guild and who sits in them: the payload of `voice.snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceSnapshot {
    /// The guild.
    pub guild_id: GuildId,
    /// Its voice and stage channels in the order Discord shows them.
    pub channels: Vec<VoiceChannel>,
}

/// A voice channel and who sits in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceChannel {
    /// The channel.
    pub channel_id: ChannelId,
    /// Its name; null when Discord never told of the channel.
    pub name: Option<String>,
    /// Its category.
    pub parent_id: Option<ChannelId>,
    /// How many may sit in it; 0 is no limit.
    pub user_limit: u64,
    /// Who sits in it.
    pub members: Vec<VoiceMember>,
}

/// Someone in a voice channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceMember {
    /// The user.
    pub user_id: UserId,
    /// Their account's name, where known.
    pub username: Option<String>,
    /// What people see: the nickname in the guild, else the account's display name, else its name.
    #[serde(default)]
    pub display_name: Option<String>,
    /// The absolute address of their picture, where they have one.
    pub avatar: Option<String>,
    /// Muted by themselves.
    pub self_mute: bool,
    /// Deafened by themselves.
    pub self_deaf: bool,
    /// Muted by a moderator.
    pub mute: bool,
    /// Deafened by a moderator.
    pub deaf: bool,
    /// Shows their camera.
    pub self_video: bool,
    /// Streams their screen.
    pub self_stream: bool,
    /// In the audience of a stage.
    pub suppress: bool,
}

/// Someone's arrival: `voice.joined`, and with `previous_channel_id` also `voice.moved`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arrival {
    guild_id: GuildId,
    channel_id: ChannelId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_channel_id: Option<ChannelId>,
    user_id: UserId,
    username: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    avatar: Option<String>,
}

/// `voice.left`; `channel_id` is always null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Departure {
    guild_id: GuildId,
    channel_id: Option<ChannelId>,
    user_id: UserId,
    previous_channel_id: ChannelId,
}

/// `room.created` and `room.deleted`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Room<'a> {
    guild_id: GuildId,
    channel_id: ChannelId,
    name: Option<&'a str>,
    parent_id: Option<ChannelId>,
    user_limit: u64,
}

/// What of `voice.moved` one is told who sees only one of the two channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// `voice.left`, for who sees only the channel that was left.
    MovedToLeft,
    /// `voice.joined`, for who sees only the channel that was entered.
    MovedToJoined,
}

impl Transform {
    /// The name of the event it makes.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::MovedToLeft => VOICE_LEFT,
            Self::MovedToJoined => VOICE_JOINED,
        }
    }

    /// Of the two channels of a `voice.moved`, the one it speaks of.
    #[must_use]
    pub fn channel_of(self, moved: &[ChannelId]) -> &[ChannelId] {
        let (from, to) = moved.split_at(moved.len().min(1));
        match self {
            Self::MovedToLeft => from,
            Self::MovedToJoined => to,
        }
    }
}

/// The payload of the event that `transform` makes of a `voice.moved` payload; `None` when that can't be read.
#[must_use]
pub fn transform_moved(payload: &str, transform: Transform) -> Option<String> {
    let moved: Arrival = serde_json::from_str(payload).ok()?;
    let previous_channel_id = moved.previous_channel_id?;
    Some(match transform {
        Transform::MovedToJoined => json(&Arrival { previous_channel_id: None, ..moved }),
        Transform::MovedToLeft => json(&Departure {
            guild_id: moved.guild_id,
            channel_id: None,
            user_id: moved.user_id,
            previous_channel_id,
        }),
    })
}

impl Derived {
    pub(crate) fn joined(guild: GuildId, channel: ChannelId, member: &VoiceMember) -> Self {
        Self {
            event: VOICE_JOINED,
            payload: json(&Arrival::of(guild, channel, None, member)),
            scope: Scope::channels(guild, [channel]),
        }
    }

    pub(crate) fn moved(guild: GuildId, from: ChannelId, to: ChannelId, member: &VoiceMember) -> Self {
        Self {
            event: VOICE_MOVED,
            payload: json(&Arrival::of(guild, to, Some(from), member)),
            scope: Scope::channels(guild, [from, to]),
        }
    }

    pub(crate) fn left(guild_id: GuildId, from: ChannelId, user_id: UserId) -> Self {
        Self {
            event: VOICE_LEFT,
            payload: json(&Departure { guild_id, channel_id: None, user_id, previous_channel_id: from }),
            scope: Scope::channels(guild_id, [from]),
        }
    }

    pub(crate) fn room(event: &'static str, guild_id: GuildId, room: &VoiceChannel) -> Self {
        let VoiceChannel { channel_id, parent_id, user_limit, .. } = *room;
        let name = room.name.as_deref();
        Self {
            event,
            payload: json(&Room { guild_id, channel_id, name, parent_id, user_limit }),
            scope: Scope::channels(guild_id, [channel_id]),
        }
    }
}

impl VoiceMember {
    pub(crate) fn new(user_id: UserId, profile: Profile, flags: VoiceFlags) -> Self {
        Self {
            user_id,
            username: profile.username,
            display_name: profile.display_name,
            avatar: profile.avatar,
            self_mute: flags.self_mute,
            self_deaf: flags.self_deaf,
            mute: flags.mute,
            deaf: flags.deaf,
            self_video: flags.self_video,
            self_stream: flags.self_stream,
            suppress: flags.suppress,
        }
    }
}

impl Arrival {
    fn of(
        guild_id: GuildId,
        channel_id: ChannelId,
        previous_channel_id: Option<ChannelId>,
        member: &VoiceMember,
    ) -> Self {
        let VoiceMember { user_id, ref username, ref display_name, ref avatar, .. } = *member;
        Self {
            guild_id,
            channel_id,
            previous_channel_id,
            user_id,
            username: username.clone(),
            display_name: display_name.clone(),
            avatar: avatar.clone(),
        }
    }
}

fn json(payload: &impl Serialize) -> String {
    serde_json::to_string(payload).expect("a struct of ids and strings has a JSON form")
}
