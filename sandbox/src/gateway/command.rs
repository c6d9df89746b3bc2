//! What a client may say to the Gateway, read strictly, and the close codes that answer what it may not.
//!
//! <https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway>

use serde::Deserialize;
use serde_json::Value;

use super::intents::{self, Intents};
use crate::{
    config::BOT_TOKEN,
    world::{MemberRequest, guild::Status, id::Id},
};

/// Payloads a client sends must not be larger than this.
pub(crate) const PAYLOAD_BYTES: usize = 4096;

/// Members of a guild above which only the online ones come with GUILD_CREATE, unless IDENTIFY says otherwise.
const LARGE_THRESHOLD: usize = 50;

/// Why the Gateway closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Close {
    UnknownOpcode = 4001,
    DecodeError = 4002,
    NotAuthenticated = 4003,
    AuthenticationFailed = 4004,
    AlreadyAuthenticated = 4005,
    InvalidSeq = 4007,
    RateLimited = 4008,
    SessionTimedOut = 4009,
    InvalidShard = 4010,
    ShardingRequired = 4011,
    InvalidApiVersion = 4012,
    InvalidIntents = 4013,
    DisallowedIntents = 4014,
}

/// A payload from a client.
#[derive(Debug)]
pub(crate) enum Command {
    Heartbeat,
    Identify { intents: Intents, shard: Option<(u64, u64)>, large_threshold: usize, compress: bool },
    Resume { session: String, seq: u64 },
    Request(Request),
}

/// What only a client with a session may ask for.
#[derive(Debug)]
pub(crate) enum Request {
    PresenceUpdate { status: Status },
    VoiceStateUpdate { guild: Id, channel: Option<Id>, mute: bool, deaf: bool },
    Members { guild: Id, wanted: MemberRequest },
    SoundboardSounds { guilds: Vec<Id> },
    ChannelInfo { guild: Id, fields: Vec<String> },
}

/// What an application may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) privileged: Intents,
    pub(crate) shards: u64,
}

#[derive(Deserialize)]
struct Payload {
    op: u64,
    #[serde(default)]
    d: Value,
}

#[derive(Deserialize)]
struct IdentifyData {
    token: String,
    intents: Option<i64>,
    /// Who the client says it is; it must be there and is not looked at.
    #[serde(rename = "properties")]
    _properties: serde_json::Map<String, Value>,
    shard: Option<(i64, i64)>,
    large_threshold: Option<usize>,
    /// A boolean, but oceanic.js repeats the transport's name here, and Discord does not mind.
    #[serde(default)]
    compress: Value,
}

#[derive(Deserialize)]
struct ResumeData {
    token: String,
    session_id: String,
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct PresenceData {
    status: String,
}

#[derive(Deserialize)]
struct VoiceData {
    guild_id: Value,
    #[serde(default)]
    channel_id: Value,
    #[serde(default)]
    self_mute: bool,
    #[serde(default)]
    self_deaf: bool,
}

#[derive(Deserialize)]
struct MembersData {
    guild_id: Value,
    query: Option<String>,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    presences: bool,
    user_ids: Option<Value>,
    nonce: Option<String>,
}

#[derive(Deserialize)]
struct ChannelInfoData {
    guild_id: Value,
    fields: Vec<String>,
}

/// Reads one payload. `authenticated` is whether IDENTIFY or RESUME went before.
pub(crate) fn parse(text: &[u8], authenticated: bool, allowed: Allowed) -> Result<Command, Close> {
    if text.len() > PAYLOAD_BYTES {
        return Err(Close::DecodeError);
    }
    let Payload { op, d } = serde_json::from_slice(text).map_err(|_| Close::DecodeError)?;
    match op {
        1 => Ok(Command::Heartbeat),
        2 | 6 if authenticated => Err(Close::AlreadyAuthenticated),
        2 => identify(read(d)?, allowed),
        6 => resume(read(d)?),
        3 | 4 | 8 | 31 | 43 if authenticated => request(op, d).map(Command::Request),
        3 | 4 | 8 | 31 | 43 => Err(Close::NotAuthenticated),
        _ => Err(Close::UnknownOpcode),
    }
}

fn request(op: u64, d: Value) -> Result<Request, Close> {
    match op {
        3 => {
            let status = Status::from_name(&read::<PresenceData>(d)?.status).ok_or(Close::DecodeError)?;
            Ok(Request::PresenceUpdate { status })
        }
        4 => voice(read(d)?),
        8 => members(read(d)?),
        31 => {
            let guilds = d.get("guild_ids").and_then(Value::as_array).ok_or(Close::DecodeError)?;
            Ok(Request::SoundboardSounds { guilds: guilds.iter().filter_map(snowflake).collect() })
        }
        43 => {
            let ChannelInfoData { guild_id, fields } = read(d)?;
            let guild = snowflake(&guild_id).ok_or(Close::DecodeError)?;
            Ok(Request::ChannelInfo { guild, fields })
        }
        _ => Err(Close::UnknownOpcode),
    }
}

fn read<T: for<'de> Deserialize<'de>>(data: Value) -> Result<T, Close> {
    serde_json::from_value(data).map_err(|_| Close::DecodeError)
}

fn identify(data: IdentifyData, allowed: Allowed) -> Result<Command, Close> {
    let IdentifyData { token, intents, shard, large_threshold, compress, .. } = data;
    if !is_bot_token(&token) {
        return Err(Close::AuthenticationFailed);
    }
    let intents = intents.and_then(|bits| Intents::try_from(bits).ok()).ok_or(Close::InvalidIntents)?;
    if intents & !intents::ALL != 0 {
        return Err(Close::InvalidIntents);
    }
    if intents & intents::PRIVILEGED & !allowed.privileged != 0 {
        return Err(Close::DisallowedIntents);
    }
    let shard = match shard {
        None => None,
        Some((id, of)) if id >= 0 && id < of => Some((id.unsigned_abs(), of.unsigned_abs())),
        Some(_) => return Err(Close::InvalidShard),
    };
    if shard.map_or(1, |(_, of)| of) < allowed.shards {
        return Err(Close::ShardingRequired);
    }
    Ok(Command::Identify {
        intents,
        shard,
        large_threshold: large_threshold.unwrap_or(LARGE_THRESHOLD).clamp(50, 250),
        compress: compress == true,
    })
}

fn resume(data: ResumeData) -> Result<Command, Close> {
    if !is_bot_token(&data.token) {
        return Err(Close::AuthenticationFailed);
    }
    Ok(Command::Resume { session: data.session_id, seq: data.seq.unwrap_or(0) })
}

fn voice(data: VoiceData) -> Result<Request, Close> {
    let guild = snowflake(&data.guild_id).ok_or(Close::DecodeError)?;
    let channel = match &data.channel_id {
        Value::Null => None,
        id => Some(snowflake(id).ok_or(Close::DecodeError)?),
    };
    Ok(Request::VoiceStateUpdate { guild, channel, mute: data.self_mute, deaf: data.self_deaf })
}

fn members(data: MembersData) -> Result<Request, Close> {
    let guild = match &data.guild_id {
        // Old libraries send a list of one.
        Value::Array(guilds) if guilds.len() == 1 => snowflake(&guilds[0]),
        id => snowflake(id),
    };
    let guild = guild.ok_or(Close::DecodeError)?;
    let users: Vec<String> = match data.user_ids {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids.iter().map(plain).collect(),
        Some(id) => vec![plain(&id)],
    };
    if users.len() > 100 || (users.is_empty() && data.query.is_none()) {
        return Err(Close::DecodeError);
    }
    let wanted = MemberRequest {
        query: data.query,
        limit: data.limit as usize,
        users,
        presences: data.presences,
        // A longer nonce is ignored, as Discord documents.
        nonce: data.nonce.filter(|nonce| nonce.len() <= 32),
    };
    Ok(Request::Members { guild, wanted })
}

/// Reads a snowflake sent as a string or, by some libraries, as a number.
fn snowflake(value: &Value) -> Option<Id> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().map(Id),
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_bot_token(token: &str) -> bool {
    token.strip_prefix("Bot ").unwrap_or(token) == BOT_TOKEN
}

impl Close {
    /// The reason Discord gives with the code.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::UnknownOpcode => "Unknown opcode.",
            Self::DecodeError => "Error while decoding payload.",
            Self::NotAuthenticated => "Not authenticated.",
            Self::AuthenticationFailed => "Authentication failed.",
            Self::AlreadyAuthenticated => "Already authenticated.",
            Self::InvalidSeq => "Invalid seq.",
            Self::RateLimited => "Rate limited.",
            Self::SessionTimedOut => "Session timed out.",
            Self::InvalidShard => "Invalid shard.",
            Self::ShardingRequired => "Sharding required.",
            Self::InvalidApiVersion => "Invalid API version.",
            Self::InvalidIntents => "Invalid intent(s).",
            Self::DisallowedIntents => "Disallowed intent(s).",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Allowed = Allowed { privileged: intents::PRIVILEGED, shards: 1 };

    fn close_of(text: &str, authenticated: bool, allowed: Allowed) -> Option<u16> {
        parse(text.as_bytes(), authenticated, allowed).err().map(|close| close as u16)
    }

    fn identify_with(rest: &str) -> String {
        format!(r#"{{"op":2,"d":{{"token":"{BOT_TOKEN}","properties":{{}}{rest}}}}}"#)
    }

    #[test]
    fn bad_payloads_close_with_the_code_that_discord_gives_them() {
        let long = format!(r#"{{"op":1,"d":"{}"}}"#, "x".repeat(PAYLOAD_BYTES));
        for (text, authenticated, code) in [
            ("", false, Some(4002)),
            ("[]", false, Some(4002)),
            ("{", true, Some(4002)),
            (r#"{"op":"1"}"#, true, Some(4002)),
            (long.as_str(), true, Some(4002)),
            (r#"{"op":1,"d":null}"#, false, None),
            (r#"{"op":1}"#, true, None),
            (r#"{"op":99,"d":{}}"#, false, Some(4001)),
            (r#"{"op":5,"d":{}}"#, true, Some(4001)),
            (r#"{"op":3,"d":{"status":"online"}}"#, false, Some(4003)),
            (r#"{"op":3,"d":{"status":"online"}}"#, true, None),
            (r#"{"op":3,"d":{"status":"lunch"}}"#, true, Some(4002)),
            (r#"{"op":4,"d":{"guild_id":"1","channel_id":null}}"#, true, None),
            (r#"{"op":4,"d":{"guild_id":"x"}}"#, true, Some(4002)),
            (r#"{"op":8,"d":{"guild_id":"1","query":"","limit":0}}"#, true, None),
            (r#"{"op":8,"d":{"guild_id":"1","limit":0}}"#, true, Some(4002)),
            (r#"{"op":6,"d":{"token":"no","session_id":"a","seq":1}}"#, false, Some(4004)),
            (r#"{"op":2,"d":{}}"#, true, Some(4005)),
        ] {
            assert_eq!(close_of(text, authenticated, FREE), code, "{text}");
        }
    }

    #[test]
    fn identify_is_checked_for_token_intents_and_shard() {
        let none = Allowed { privileged: 0, shards: 1 };
        let two = Allowed { privileged: 0, shards: 2 };
        for (rest, allowed, code) in [
            ("", FREE, Some(4013)),
            (r#","intents":513"#, FREE, None),
            (r#","intents":513,"presence":null,"capabilities":253,"compress":true"#, FREE, None),
            (r#","intents":513,"compress":"zlib-stream""#, FREE, None),
            (r#","intents":-1"#, FREE, Some(4013)),
            (r#","intents":4194304"#, FREE, Some(4013)),
            (r#","intents":32768"#, FREE, None),
            (r#","intents":32768"#, none, Some(4014)),
            (r#","intents":1,"shard":[0,1]"#, FREE, None),
            (r#","intents":1,"shard":[1,1]"#, FREE, Some(4010)),
            (r#","intents":1,"shard":[0,0]"#, FREE, Some(4010)),
            (r#","intents":1,"shard":[0]"#, FREE, Some(4002)),
            (r#","intents":1,"shard":[1,2]"#, two, None),
            (r#","intents":1"#, two, Some(4011)),
        ] {
            assert_eq!(close_of(&identify_with(rest), false, allowed), code, "{rest}");
        }
        let foreign = r#"{"op":2,"d":{"token":"x","intents":1,"properties":{}}}"#;
        assert_eq!(close_of(foreign, false, FREE), Some(4004));
        let prefixed =
            format!(r#"{{"op":2,"d":{{"token":"Bot {BOT_TOKEN}","intents":1,"properties":{{}}}}}}"#);
        assert_eq!(close_of(&prefixed, false, FREE), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            let _ = parse(&bytes, true, FREE);
        }

        #[test]
        fn any_json_in_d_is_read_or_refused_without_a_panic(op in 0_u64..45, d in "[\\[\\]{}\",:0-9a-z]{0,40}") {
            let _ = parse(format!(r#"{{"op":{op},"d":{d}}}"#).as_bytes(), true, FREE);
        }
    }
}
