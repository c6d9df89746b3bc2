//! What a web role may ask over the link: `voice_snapshot`, `viewer`, `guild` and `status`. Answered from the guild model,
//! after members it has never seen were looked up at Discord, and from what the shard says of itself.

use std::{collections::BTreeSet, time::SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    audience::GuildAccess,
    derived::VoiceSnapshot,
    discord_shard::ShardState,
    guild_info::GuildInfo,
    guild_model::{GuildModel, Membership},
    link_frame::{Command, Refusal, raw},
    snowflake::{GuildId, UserId},
};

/// What the questions are called. Their answers would show more than a browser may see.
pub const NAMES: [&str; 4] = ["guild", "status", "viewer", "voice_snapshot"];
/// One question names at most this many users.
pub const MAX_USERS: usize = 1000;

/// A question, parsed.
#[derive(Clone, Debug)]
pub enum Question {
    /// Who sits in which voice channel.
    VoiceSnapshot,
    /// What these users can see.
    Viewer(Vec<UserId>),
    /// What guilds are called and hold.
    Guild,
    /// Where the connection to Discord stands.
    Status,
}

/// The answer to `voice_snapshot`: all guilds the gateway is configured for and knows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceSnapshots {
    /// One for each guild.
    pub guilds: Vec<VoiceSnapshot>,
    /// Guilds that Discord has announced and not sent yet: ask again soon.
    #[serde(default)]
    pub pending: Vec<GuildId>,
}

/// The answer to `guild`: all guilds the gateway is configured for and knows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Guilds {
    /// One for each guild.
    pub guilds: Vec<GuildInfo>,
    /// Guilds that Discord has announced and not sent yet: ask again soon.
    #[serde(default)]
    pub pending: Vec<GuildId>,
}

/// The answer to `status`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Null when nobody told the LinkServer.
    pub discord: Option<DiscordStatus>,
}

/// The answer to `viewer`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Viewers {
    /// One for each user asked about.
    pub viewers: Vec<Viewer>,
}

/// The connection to Discord, as everyone may know it: causes and reasons are for the operator alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiscordStatus {
    /// `starting`, `connecting`, `identifying`, `live`, `waiting`, `fatal` or `stopped`.
    pub state: String,
    /// Its shards.
    pub shards: Vec<ShardStatus>,
}

/// One shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Its number.
    pub id: u32,
    /// The same words.
    pub state: String,
    /// Sessions that went on.
    pub resumes: u64,
    /// Sessions that began.
    pub identifies: u64,
    /// Heartbeat to acknowledgement, in milliseconds.
    pub latency_ms: Option<u64>,
    /// The last sequence number.
    pub last_seq: Option<u64>,
}

/// What one user can see.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Viewer {
    /// Who.
    pub user_id: UserId,
    /// The configured guilds this user is a member of.
    pub guilds: Vec<GuildAccess>,
    /// Guilds for which it cannot be said now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<GuildId>,
}

#[derive(Deserialize)]
struct ViewerPayload {
    #[serde(alias = "user_ids", rename = "userIds")]
    user_ids: Vec<UserId>,
}

/// A member to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookup {
    /// In which guild.
    pub guild: GuildId,
    /// Who.
    pub user: UserId,
}

/// What answers are made of.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The guilds.
    pub model: &'a GuildModel,
    /// Whether there ever was a Discord session.
    pub session: bool,
    /// Those that are answered for.
    pub guilds: &'a [GuildId],
    /// The shard, if it can be seen.
    pub shard: Option<&'a ShardState>,
}

impl Question {
    /// The question in a command, if it is one. In a user's name nothing is asked, only done.
    #[must_use]
    pub fn parse(command: &Command) -> Option<Result<Self, Refusal>> {
        if command.actor.is_some() {
            return None;
        }
        match command.command.as_str() {
            "voice_snapshot" => Some(Ok(Self::VoiceSnapshot)),
            "viewer" => Some(viewer(&command.payload)),
            "guild" => Some(Ok(Self::Guild)),
            "status" => Some(Ok(Self::Status)),
            _ => None,
        }
    }

    /// The members that must be looked up before it can be answered.
    #[must_use]
    pub fn lookups(&self, model: &GuildModel, guilds: &[GuildId]) -> BTreeSet<Lookup> {
        let Self::Viewer(users) = self else { return BTreeSet::new() };
        let pairs =
            users.iter().flat_map(|user| guilds.iter().map(|guild| Lookup { guild: *guild, user: *user }));
        let now = SystemTime::now();
        pairs.filter(|pair| matches!(model.access(pair.guild, pair.user, now), Membership::Unseen)).collect()
    }

    /// The answer as it is now.
    #[must_use]
    pub fn answer(&self, known: &Known<'_>) -> Box<RawValue> {
        let Known { model, guilds, .. } = known;
        match self {
            Self::VoiceSnapshot => raw(&VoiceSnapshots {
                guilds: guilds.iter().filter_map(|guild| model.voice_snapshot(*guild)).collect(),
                pending: known.pending(),
            }),
            Self::Viewer(users) => {
                let viewers = users.iter().map(|user| access(model, guilds, *user)).collect();
                raw(&Viewers { viewers })
            }
            Self::Guild => raw(&Guilds {
                guilds: guilds.iter().filter_map(|guild| model.info(*guild)).collect(),
                pending: known.pending(),
            }),
            Self::Status => raw(&Status { discord: known.shard.map(DiscordStatus::of) }),
        }
    }
}

impl Known<'_> {
    /// Before a session every guild is one that Discord has yet to send.
    fn pending(&self) -> Vec<GuildId> {
        let is_awaited = |guild: &GuildId| !self.session || self.model.pending(*guild);
        self.guilds.iter().copied().filter(is_awaited).collect()
    }
}

impl DiscordStatus {
    fn of(shard: &ShardState) -> Self {
        let state = shard.stage.name().to_owned();
        let &ShardState { id, resumes, identifies, latency_ms, last_seq, .. } = shard;
        let shard = ShardStatus { id, state: state.clone(), resumes, identifies, latency_ms, last_seq };
        Self { state, shards: vec![shard] }
    }
}

fn viewer(payload: &RawValue) -> Result<Question, Refusal> {
    let invalid =
        |why: String| Refusal::new("INVALID", format!("viewer wants {{\"userIds\":[\"…\"]}}: {why}"));
    let ViewerPayload { user_ids } =
        serde_json::from_str(payload.get()).map_err(|error| invalid(error.to_string()))?;
    if user_ids.len() > MAX_USERS {
        return Err(invalid(format!("{} users at once, at most {MAX_USERS}", user_ids.len())));
    }
    Ok(Question::Viewer(user_ids))
}

fn access(model: &GuildModel, guilds: &[GuildId], user: UserId) -> Viewer {
    let now = SystemTime::now();
    let mut viewer = Viewer { user_id: user, guilds: Vec::new(), unknown: Vec::new() };
    for guild in guilds {
        match model.access(*guild, user, now) {
            Membership::Member(access) => viewer.guilds.push(access),
            Membership::Absent => {}
            Membership::Unseen | Membership::Unavailable => viewer.unknown.push(*guild),
        }
    }
    viewer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str, actor: Option<UserId>) -> Command {
        let payload = raw(&serde_json::json!({"userIds": ["1"]}));
        Command { command: name.to_owned(), payload, actor, request_id: None, key: None, first_sent: None }
    }

    #[test]
    fn every_question_is_asked_by_the_web_role_itself_and_by_no_user() {
        for name in NAMES {
            assert!(matches!(Question::parse(&command(name, None)), Some(Ok(_))), "{name}");
            assert!(Question::parse(&command(name, Some(UserId(1)))).is_none(), "{name}");
        }
        assert!(crate::commands::names().all(|name| Question::parse(&command(name, None)).is_none()));
    }
}
