//! What one dispatch says about guilds, channels and people.
//!
//! Reading is advisory and never fails: what can't be read is left out, and a broken part loses only itself. Values
//! are kept as text until they are asked for, so nesting of any depth costs no stack.

mod object;
mod parts;

use self::{
    object::{Object, Text, nested, objects, read, texts},
    parts::image_url,
};
use crate::snowflake::{ChannelId, GuildId, RoleId, UserId};

pub(crate) use self::parts::{
    ChannelFacts, MemberFacts, OverwriteFacts, Profile, RoleFacts, ThreadFacts, VoiceFacts, VoiceFlags,
};

/// The facts of one dispatch that decide who may see it and what the guild model learns from it.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The event's name, `t`.
    pub(crate) event: &'a str,
    /// The guild it happened in.
    pub(crate) guild: Option<GuildId>,
    /// The channel it happened in.
    pub(crate) place: Place,
    /// A message that only one user may see.
    pub(crate) ephemeral: bool,
    /// What it changes.
    pub(crate) news: News<'a>,
}

/// Where a dispatch happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It names no channel, or null.
    Nowhere,
    /// A channel or a thread.
    Channel(ChannelId),
    /// It names something that is no id.
    Unreadable,
}

/// What the guild model learns from a dispatch.
#[derive(Debug)]
pub(crate) enum News<'a> {
    /// A session begins.
    Ready { bot: Option<UserId>, guilds: Vec<GuildId> },
    /// A guild as it is now.
    GuildKnown(Box<GuildFacts<'a>>),
    /// An outage: the guild is still there, its state is not.
    GuildUnavailable,
    /// The bot left the guild.
    GuildGone,
    /// The guild's own settings.
    GuildChanged { owner: Option<UserId>, name: Option<String>, icon: Option<String> },
    /// A role as it is now.
    Role(RoleFacts),
    /// A role was deleted.
    RoleGone(RoleId),
    /// A channel as it is now.
    Channel(ChannelFacts),
    /// A channel was deleted.
    ChannelGone(ChannelId),
    /// Threads as they are now.
    Threads(Vec<ThreadFacts>),
    /// A thread was deleted.
    ThreadGone(ThreadFacts),
    /// Members as they are now, and users that are none.
    Members { members: Vec<MemberFacts<'a>>, absent: Vec<UserId> },
    /// A member left or was kicked.
    MemberGone(UserId),
    /// A member was banned; that they left is told apart.
    Banned(UserId),
    /// Where someone sits, or that they left ([`Place::Nowhere`]).
    Voice(VoiceFacts<'a>),
    /// Nothing that concerns access or voice.
    Nothing,
}

/// A guild as GUILD_CREATE tells it.
#[derive(Debug)]
pub(crate) struct GuildFacts<'a> {
    pub(crate) owner: Option<UserId>,
    pub(crate) name: Option<String>,
    /// The address of its picture.
    pub(crate) icon: Option<String>,
    pub(crate) roles: Vec<RoleFacts>,
    pub(crate) channels: Vec<ChannelFacts>,
    pub(crate) threads: Vec<ThreadFacts>,
    pub(crate) members: Vec<MemberFacts<'a>>,
    pub(crate) voice: Vec<VoiceFacts<'a>>,
}

impl<'a> Facts<'a> {
    /// Reads what the dispatch `event` with the JSON text `d` says.
    #[must_use]
    pub fn read(event: &'a str, d: &'a str) -> Self {
        let object = Object::parse(d).unwrap_or_default();
        let guild = match event {
            "GUILD_CREATE" | "GUILD_UPDATE" | "GUILD_DELETE" => read(object.id),
            _ => read(object.guild_id),
        };
        let named_by_id =
            ["CHANNEL_", "VOICE_CHANNEL_", "THREAD_"].iter().any(|kind| event.starts_with(kind));
        let place = match (Place::read(object.channel_id), named_by_id) {
            (Place::Nowhere, true) => Place::read(object.id),
            (place, _) => place,
        };
        let ephemeral = event.starts_with("MESSAGE_") && object.has_flag(EPHEMERAL);
        Self { event, guild, place, ephemeral, news: News::read(event, &object) }
    }

    /// The guild of a derived event of another make of gateway, which names it `guildId`.
    pub(crate) fn guild_in_derived(d: &str) -> Option<GuildId> {
        read(Object::parse(d)?.guild_id_of_derived)
    }
}

/// [Message flag](https://docs.discord.com/developers/resources/message#message-object-message-flags) of a message
/// that only the user who invoked the interaction sees.
const EPHEMERAL: u64 = 1 << 6;

impl<'a> News<'a> {
    fn read(event: &str, object: &Object<'a>) -> Self {
        let found = match event {
            "READY" => Some(Self::Ready {
                bot: object.user_id_within(),
                guilds: objects(object.guilds).filter_map(|guild| read(guild.id)).collect(),
            }),
            "GUILD_CREATE" if read(object.unavailable) != Some(true) => {
                Some(Self::GuildKnown(Box::new(GuildFacts::read(object))))
            }
            "GUILD_DELETE" if read(object.unavailable) != Some(true) => Some(Self::GuildGone),
            "GUILD_CREATE" | "GUILD_DELETE" => Some(Self::GuildUnavailable),
            "GUILD_UPDATE" => Some(Self::GuildChanged {
                owner: read(object.owner_id),
                name: read(object.name),
                icon: icon_url(object),
            }),
            "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => {
                object.role.and_then(nested).and_then(|role| RoleFacts::read(&role)).map(Self::Role)
            }
            "GUILD_ROLE_DELETE" => read(object.role_id).map(Self::RoleGone),
            "CHANNEL_CREATE" | "CHANNEL_UPDATE" => ChannelFacts::read(object).map(Self::Channel),
            "CHANNEL_DELETE" => read(object.id).map(Self::ChannelGone),
            "THREAD_CREATE" | "THREAD_UPDATE" => {
                ThreadFacts::read(object).map(|thread| Self::Threads(vec![thread]))
            }
            "THREAD_LIST_SYNC" => Some(Self::Threads(ThreadFacts::list(object))),
            "THREAD_DELETE" => ThreadFacts::read(object).map(Self::ThreadGone),
            "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE" => MemberFacts::read(object)
                .map(|member| Self::Members { members: vec![member], absent: Vec::new() }),
            "GUILD_MEMBERS_CHUNK" => Some(Self::Members {
                members: MemberFacts::list(object),
                absent: texts(object.not_found).filter_map(|id| read(Some(id))).collect(),
            }),
            "GUILD_MEMBER_REMOVE" => object.user_id_within().map(Self::MemberGone),
            "GUILD_BAN_ADD" => object.user_id_within().map(Self::Banned),
            "VOICE_STATE_UPDATE" => VoiceFacts::read(object).map(Self::Voice),
            _ => None,
        };
        found.unwrap_or(Self::Nothing)
    }
}

impl<'a> GuildFacts<'a> {
    fn read(object: &Object<'a>) -> Self {
        Self {
            owner: read(object.owner_id),
            name: read(object.name),
            icon: icon_url(object),
            roles: objects(object.roles).filter_map(|role| RoleFacts::read(&role)).collect(),
            channels: objects(object.channels).filter_map(|channel| ChannelFacts::read(&channel)).collect(),
            threads: ThreadFacts::list(object),
            members: MemberFacts::list(object),
            voice: objects(object.voice_states).filter_map(|state| VoiceFacts::read(&state)).collect(),
        }
    }
}

fn icon_url(guild: &Object<'_>) -> Option<String> {
    let id: GuildId = read(guild.id)?;
    let icon: String = read(guild.icon)?;
    image_url("icons", id.0, &icon)
}

impl Place {
    fn read(text: Text<'_>) -> Self {
        match text {
            None => Self::Nowhere,
            some => read(some).map_or(Self::Unreadable, Self::Channel),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const CORPUS: &str = include_str!("../../tests/corpus/dispatch.jsonl");

    #[test]
    fn a_broken_part_loses_only_itself() {
        let d = r#"{"id":"1","owner_id":{"odd":1},
            "roles":[{"id":"1","permissions":"8"},{"permissions":"8"},7,{"id":"2","permissions":{}}],
            "channels":[{"id":"3","type":"x","name":"\ud83e lone"},{"id":[]},null,[1,2]],
            "members":[{"roles":[]},{"user":{},"roles":[]},{"user":{"id":"4"}},{"user":{"id":"5"},"roles":["2"]}],
            "threads":[{"id":"6","type":11},{"id":"7","type":12,"parent_id":"3"},{"id":"8","type":2,"parent_id":"3"}],
            "voice_states":[{"user_id":"5","channel_id":"3","mute":"yes"},{"channel_id":"3"}]}"#;
        let News::GuildKnown(guild) = Facts::read("GUILD_CREATE", d).news else { panic!("a guild") };
        assert_eq!(guild.owner, None);
        let roles: Vec<_> = guild.roles.iter().map(|role| (role.id.0, role.permissions.0)).collect();
        assert_eq!(roles, [(1, 8), (2, 0)]);
        let channels: Vec<_> = guild.channels.iter().map(|it| (it.id.0, it.kind, it.name.clone())).collect();
        assert_eq!(channels, [(3, None, None)]);
        assert_eq!(guild.members.iter().map(|member| member.user.0).collect::<Vec<_>>(), [5]);
        assert_eq!(
            guild.threads,
            [ThreadFacts { id: ChannelId(7), parent: ChannelId(3), private: true, locked: false }]
        );
        assert_eq!(guild.voice.len(), 1);
        assert_eq!(guild.voice[0].flags, VoiceFlags::default());
    }

    #[test]
    fn where_it_happened_is_read_from_anything_that_is_an_object() {
        let deep = format!(
            r#"{{"x":{}0{},"guild_id":"1","channel_id":"2"}}"#,
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        let table = [
            (r#"{"guild_id":"1","channel_id":"2"}"#, Some(1), Place::Channel(ChannelId(2))),
            (r#" {"guild_id":1,"channel_id":2,"b":1e400} "#, Some(1), Place::Channel(ChannelId(2))),
            (r#"{"guild_id":"1","channel_id":null}"#, Some(1), Place::Nowhere),
            (r#"{"guild_id":"1","channel_id":"two"}"#, Some(1), Place::Unreadable),
            (r#"{"guild_id":"1"}"#, Some(1), Place::Nowhere),
            (r#"{"guild_id":"1","inner":{"channel_id":"2"}}"#, Some(1), Place::Nowhere),
            (r#"{"\u0067uild_id":"\u0031","s":"\ud83e"}"#, Some(1), Place::Nowhere),
            (&deep, Some(1), Place::Channel(ChannelId(2))),
            // A key given twice says two things; neither is believed.
            (r#"{"guild_id":"1","guild_id":"2"}"#, None, Place::Nowhere),
            (r#"["1","2","3","4","5","6","7"]"#, None, Place::Nowhere),
            ("null", None, Place::Nowhere),
            ("", None, Place::Nowhere),
        ];
        for (d, guild, place) in table {
            let facts = Facts::read("X", d);
            let name = &d[..d.len().min(60)];
            assert_eq!((facts.guild.map(|guild| guild.0), facts.place), (guild, place), "{name}");
        }
    }

    /// The dispatches of the corpus as values, those left out that are beyond a value.
    fn dispatches() -> Vec<(String, Value)> {
        let read = |line: &str| serde_json::from_str::<Value>(line).ok();
        let split = |mut dispatch: Value| Some((dispatch["t"].as_str()?.to_owned(), dispatch["d"].take()));
        CORPUS.lines().filter_map(read).filter_map(split).collect()
    }

    /// Puts `odd` in the place of one of the values that `value` is made of, chosen by `nth`.
    fn damage(value: &mut Value, nth: &mut usize, odd: &Value) {
        if *nth == 0 {
            *value = odd.clone();
        }
        *nth = nth.wrapping_sub(1);
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| damage(item, nth, odd)),
            Value::Object(fields) => fields.values_mut().for_each(|field| damage(field, nth, odd)),
            _ => {}
        }
    }

    fn odd_value() -> impl Strategy<Value = Value> {
        prop::sample::select(vec![
            json!(null),
            json!(true),
            json!(-1),
            json!(1.5),
            json!("910000000000000001"),
            json!("\u{202e}"),
            json!([]),
            json!({}),
            json!([{"id": "910000000000000201", "type": 2}]),
        ])
    }

    proptest! {
        /// Whatever is wrong with a dispatch, it is judged, learned from and survived, and stays in its own guild.
        #[test]
        fn no_dispatch_is_too_odd(
            told in prop::collection::vec((any::<prop::sample::Index>(), 0..200usize, odd_value()), 1..12),
        ) {
            let dispatches = dispatches();
            let mut model = crate::guild_model::GuildModel::default();
            for (index, mut nth, odd) in told {
                let (event, mut d) = index.get(&dispatches).clone();
                damage(&mut d, &mut nth, &odd);
                let d = d.to_string();
                let facts = Facts::read(&event, &d);
                let guild = facts.guild;
                let scope = model.scope(&facts);
                prop_assert!(scope.guild.is_none() || scope.guild == guild);
                for derived in model.apply(facts) {
                    prop_assert_eq!(derived.scope.guild, guild);
                }
            }
        }

        #[test]
        fn no_text_is_too_odd(event in ".{0,20}", d in "[\\PC\"{}\\[\\]:,0-9]{0,80}") {
            let facts = Facts::read(&event, &d);
            let is_object = d.trim_start().starts_with('{');
            prop_assert!(facts.guild.is_none() || is_object, "a guild without an object");
        }
    }
}
