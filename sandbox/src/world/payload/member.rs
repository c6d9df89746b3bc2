//! Members, and how they are seen in voice and online.

use serde::Serialize;

use crate::world::{
    guild::{Member, Status, VoiceState},
    id::{Id, Timestamp},
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
