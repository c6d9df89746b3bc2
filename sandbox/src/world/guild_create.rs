//! GUILD_CREATE and member chunks, in the size Discord would send them.
//!
//! <https://discord.com/developers/docs/events/gateway-events#guild-create>

use bytestring::ByteString;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    World,
    guild::{Guild, Member, Status},
    id::Id,
    json_text, payload,
    payload::{MemberPayload, PresencePayload, VoiceStatePayload},
    permissions::Permissions,
};

/// Members per GUILD_MEMBERS_CHUNK.
const CHUNK: usize = 1000;

/// With more members than this, presences and members come only on request.
const TOO_MANY_TO_SHOW: usize = 75_000;

#[derive(Serialize)]
struct GuildCreate<'a> {
    #[serde(flatten)]
    guild: Value,
    joined_at: String,
    large: bool,
    lazy: bool,
    unavailable: bool,
    member_count: usize,
    voice_states: Vec<VoiceStatePayload<'a>>,
    members: Vec<MemberPayload<'a>>,
    channels: Vec<Value>,
    threads: Vec<Value>,
    presences: Vec<PresencePayload>,
    stage_instances: [(); 0],
    guild_scheduled_events: [(); 0],
    soundboard_sounds: [(); 0],
}

/// <https://discord.com/developers/docs/events/gateway-events#guild-members-chunk>
#[derive(Serialize)]
struct MembersChunk<'a> {
    guild_id: Id,
    members: Vec<MemberPayload<'a>>,
    chunk_index: usize,
    chunk_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_found: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presences: Option<Vec<PresencePayload>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// What a GUILD_MEMBERS_CHUNK answers.
///
/// <https://discord.com/developers/docs/events/gateway-events#request-guild-members>
#[derive(Debug, Default)]
pub(crate) struct MemberRequest {
    pub(crate) query: Option<String>,
    pub(crate) limit: usize,
    pub(crate) users: Vec<String>,
    pub(crate) presences: bool,
    pub(crate) nonce: Option<String>,
}

impl Guild {
    /// What CHANNEL_INFO tells of voice channels: the asked-for fields of those that have any. Nobody here sets a status.
    pub(crate) fn channel_info(&self, fields: &[String]) -> ByteString {
        let info = |id: &Id| {
            let mut info = json!({ "id": id });
            for field in fields.iter().filter(|field| matches!(field.as_str(), "status" | "voice_start_time"))
            {
                info[field] = Value::Null;
            }
            info
        };
        let voice = self.channels.values().filter(|channel| channel.kind.is_voice());
        let channels: Vec<Value> = voice.map(|channel| info(&channel.id)).collect();
        json_text(&json!({ "guild_id": self.id, "channels": channels }))
    }
}

impl World {
    /// The guild as a session first sees it. Without GUILD_PRESENCES only the bot and whoever sits in voice come with
    /// it; with it, all members of a small guild and the online ones of a large one.
    pub(crate) fn guild_create(&self, guild: &Guild, large_threshold: usize, presences: bool) -> ByteString {
        let bot = self.application.bot;
        let large = guild.is_large(large_threshold);
        let presences = presences && guild.members.len() <= TOO_MANY_TO_SHOW;
        let seen = |member: &&Member| {
            let online = presences && (!large || member.status != Status::Offline);
            online || member.user == bot || guild.voice.contains_key(&member.user)
        };
        let shows_presence = |member: &&Member| presences && member.status != Status::Offline;
        let (threads, channels): (Vec<_>, Vec<_>) =
            guild.channels.values().partition(|channel| channel.thread.is_some());
        let active = |thread: &&&super::Channel| {
            let archived = thread.thread.as_ref().is_some_and(|thread| thread.archived);
            !archived && self.permissions_in(bot, thread.id).contains(Permissions::VIEW_CHANNEL)
        };
        json_text(&GuildCreate {
            guild: payload::guild(guild),
            joined_at: guild.members.get(&bot).map(|member| member.joined_at.to_string()).unwrap_or_default(),
            large,
            lazy: true,
            unavailable: false,
            member_count: guild.members.len(),
            voice_states: guild
                .voice
                .iter()
                .filter_map(|(user, seat)| Some(seat.bare(guild.members.get(user)?)))
                .collect(),
            members: self.members(guild.members.values().filter(seen)),
            channels: channels.iter().map(|channel| payload::channel(guild.id, channel)).collect(),
            threads: threads.iter().filter(active).map(|thread| payload::channel(guild.id, thread)).collect(),
            presences: guild.members.values().filter(shows_presence).map(Member::presence).collect(),
            stage_instances: [],
            guild_scheduled_events: [],
            soundboard_sounds: [],
        })
    }

    /// The chunks that answer a request for members, at least one.
    pub(crate) fn member_chunks(&self, guild: &Guild, request: &MemberRequest) -> Vec<ByteString> {
        let mut not_found = Vec::new();
        let found: Vec<&Member> = if request.users.is_empty() {
            let prefix = request.query.as_deref().unwrap_or_default().to_lowercase();
            let limit = if request.limit == 0 { usize::MAX } else { request.limit };
            let named = |member: &&Member| prefix.is_empty() || self.is_called(member, &prefix);
            guild.members.values().filter(named).take(limit).collect()
        } else {
            let mut known = |text: &&String| {
                let member = text.parse::<Id>().ok().and_then(|id| guild.members.get(&id));
                if member.is_none() {
                    not_found.push((*text).clone());
                }
                member
            };
            request.users.iter().filter_map(|text| known(&text)).collect()
        };
        let count = found.len().div_ceil(CHUNK).max(1);
        let chunk = |at: usize| {
            let members = &found[(at * CHUNK).min(found.len())..((at + 1) * CHUNK).min(found.len())];
            let online = members.iter().filter(|member| member.status != Status::Offline);
            json_text(&MembersChunk {
                guild_id: guild.id,
                members: self.members(members.iter().copied()),
                chunk_index: at,
                chunk_count: count,
                not_found: (!request.users.is_empty()).then_some(&not_found),
                presences: request.presences.then(|| online.map(|member| member.presence()).collect()),
                nonce: request.nonce.as_deref(),
            })
        };
        (0..count).map(chunk).collect()
    }

    /// True when a member's name or nickname begins with `prefix` (lower case).
    pub(crate) fn is_called(&self, member: &Member, prefix: &str) -> bool {
        let user = self.users.get(&member.user);
        let names = [
            user.map(|user| user.username.as_str()),
            user.and_then(|user| user.global_name.as_deref()),
            member.nick.as_deref(),
        ];
        names.into_iter().flatten().any(|name| name.to_lowercase().starts_with(prefix))
    }

    fn members<'a>(&'a self, members: impl Iterator<Item = &'a Member>) -> Vec<MemberPayload<'a>> {
        members.filter_map(|member| Some(member.with_user(self.users.get(&member.user)?))).collect()
    }
}
