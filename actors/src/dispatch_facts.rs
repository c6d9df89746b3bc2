//! What one dispatch says about guilds, channels and people.
//!
//! Reading is advisory and never fails: what can't be read is left out, and a broken part loses only itself. Values
//! are kept as text until they are asked for, so nesting of any depth costs no stack.

use serde::Deserialize;
use serde_json::value::RawValue;
use serenity::model::Timestamp;

use crate::{
    permissions::{Overwrite, OverwriteTarget, Permissions},
    snowflake::{ChannelId, GuildId, RoleId, UserId},
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
    GuildChanged { owner: UserId },
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
    pub(crate) roles: Vec<RoleFacts>,
    pub(crate) channels: Vec<ChannelFacts>,
    pub(crate) threads: Vec<ThreadFacts>,
    pub(crate) members: Vec<MemberFacts<'a>>,
    pub(crate) voice: Vec<VoiceFacts<'a>>,
}

/// A role and what it grants; nothing, when that can't be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoleFacts {
    pub(crate) id: RoleId,
    pub(crate) permissions: Permissions,
}

/// A channel.
#[derive(Debug)]
pub(crate) struct ChannelFacts {
    pub(crate) id: ChannelId,
    pub(crate) kind: Option<u64>,
    pub(crate) name: Option<String>,
    pub(crate) parent: Option<ChannelId>,
    pub(crate) position: i64,
    pub(crate) user_limit: u64,
    pub(crate) overwrites: OverwriteFacts,
}

/// The overwrites of a channel. A channel that Discord hides from the bot itself comes with one that denies
/// everyone ([obfuscated](https://docs.discord.com/developers/resources/channel#obfuscated-channels)).
#[derive(Debug)]
pub(crate) enum OverwriteFacts {
    /// The dispatch says nothing of them.
    Missing,
    /// One of them can't be read, and nobody can say whom it would shut out.
    Unreadable,
    /// All of them.
    Known(Vec<Overwrite>),
}

/// A thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadFacts {
    pub(crate) id: ChannelId,
    pub(crate) parent: ChannelId,
    pub(crate) private: bool,
}

/// A member; their user object stays text until a name is wanted.
#[derive(Debug)]
pub(crate) struct MemberFacts<'a> {
    pub(crate) user: UserId,
    pub(crate) roles: Vec<RoleId>,
    /// Unix seconds.
    pub(crate) timed_out_until: Option<i64>,
    user_object: &'a RawValue,
}

/// How a user is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) username: Option<String>,
    pub(crate) avatar: Option<String>,
}

/// A voice state.
#[derive(Debug)]
pub(crate) struct VoiceFacts<'a> {
    pub(crate) user: UserId,
    pub(crate) place: Place,
    pub(crate) member: Option<MemberFacts<'a>>,
    pub(crate) flags: VoiceFlags,
}

/// How someone sits in a voice channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "Discord's voice state has seven independent flags")]
pub(crate) struct VoiceFlags {
    pub(crate) self_mute: bool,
    pub(crate) self_deaf: bool,
    pub(crate) mute: bool,
    pub(crate) deaf: bool,
    pub(crate) self_video: bool,
    pub(crate) self_stream: bool,
    pub(crate) suppress: bool,
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

/// `type` of a private thread, and of the other two kinds of thread
/// ([channel types](https://docs.discord.com/developers/resources/channel#channel-object-channel-types)).
const PRIVATE_THREAD: u64 = 12;
const OTHER_THREADS: [u64; 2] = [10, 11];

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
            "GUILD_UPDATE" => read(object.owner_id).map(|owner| Self::GuildChanged { owner }),
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
            roles: objects(object.roles).filter_map(|role| RoleFacts::read(&role)).collect(),
            channels: objects(object.channels).filter_map(|channel| ChannelFacts::read(&channel)).collect(),
            threads: ThreadFacts::list(object),
            members: MemberFacts::list(object),
            voice: objects(object.voice_states).filter_map(|state| VoiceFacts::read(&state)).collect(),
        }
    }
}

impl RoleFacts {
    fn read(object: &Object<'_>) -> Option<Self> {
        Some(Self { id: read(object.id)?, permissions: read(object.permissions).unwrap_or_default() })
    }
}

impl ChannelFacts {
    fn read(object: &Object<'_>) -> Option<Self> {
        Some(Self {
            id: read(object.id)?,
            kind: read(object.kind),
            name: read(object.name),
            parent: read(object.parent_id),
            position: read(object.position).unwrap_or_default(),
            user_limit: read(object.user_limit).unwrap_or_default(),
            overwrites: OverwriteFacts::read(object.permission_overwrites),
        })
    }
}

impl OverwriteFacts {
    fn read(list: Text<'_>) -> Self {
        let Some(list) = list else { return Self::Missing };
        let Some(parts) = read::<Vec<&RawValue>>(Some(list)) else { return Self::Unreadable };
        parts.into_iter().map(Self::one).collect::<Option<_>>().map_or(Self::Unreadable, Self::Known)
    }

    fn one(text: &RawValue) -> Option<Overwrite> {
        let object = nested(text)?;
        let target = match read(object.kind)? {
            0u64 => OverwriteTarget::Role(read(object.id)?),
            1 => OverwriteTarget::Member(read(object.id)?),
            _ => return None,
        };
        Some(Overwrite { target, allow: read(object.allow)?, deny: read(object.deny)? })
    }
}

impl ThreadFacts {
    fn read(object: &Object<'_>) -> Option<Self> {
        let kind = read(object.kind)?;
        let private = kind == PRIVATE_THREAD;
        let thread = Self { id: read(object.id)?, parent: read(object.parent_id)?, private };
        (private || OTHER_THREADS.contains(&kind)).then_some(thread)
    }

    fn list(object: &Object<'_>) -> Vec<Self> {
        objects(object.threads).filter_map(|thread| Self::read(&thread)).collect()
    }
}

impl<'a> MemberFacts<'a> {
    /// Reads a member from its JSON text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Self::read(&Object::parse(text)?)
    }

    fn read(object: &Object<'a>) -> Option<Self> {
        let user_object = object.user?;
        let until: Option<String> = read(object.communication_disabled_until);
        Some(Self {
            user: read(nested(user_object)?.id)?,
            // All or nothing: a role left out could be the one that shuts its holder out of a channel.
            roles: read(object.roles)?,
            timed_out_until: until.and_then(|at| Timestamp::parse(&at).ok()).map(|at| at.unix_timestamp()),
            user_object,
        })
    }

    fn list(object: &Object<'a>) -> Vec<Self> {
        objects(object.members).filter_map(|member| Self::read(&member)).collect()
    }

    /// How this member is shown.
    pub(crate) fn profile(&self) -> Profile {
        let object = nested(self.user_object).unwrap_or_default();
        let avatar: Option<String> = read(object.avatar);
        Profile {
            username: read(object.username),
            avatar: avatar.and_then(|avatar| avatar_url(self.user, &avatar)),
        }
    }
}

impl<'a> VoiceFacts<'a> {
    fn read(object: &Object<'a>) -> Option<Self> {
        let is_set = |text| read(text).unwrap_or_default();
        Some(Self {
            user: read(object.user_id)?,
            place: Place::read(object.channel_id),
            member: object.member.and_then(nested).and_then(|member| MemberFacts::read(&member)),
            flags: VoiceFlags {
                self_mute: is_set(object.self_mute),
                self_deaf: is_set(object.self_deaf),
                mute: is_set(object.mute),
                deaf: is_set(object.deaf),
                self_video: is_set(object.self_video),
                self_stream: is_set(object.self_stream),
                suppress: is_set(object.suppress),
            },
        })
    }
}

impl Place {
    fn read(text: Text<'_>) -> Self {
        match text {
            None => Self::Nowhere,
            some => read(some).map_or(Self::Unreadable, Self::Channel),
        }
    }
}

/// Where a user's picture is: Discord gives a [hash](https://docs.discord.com/developers/reference#image-formatting),
/// which begins with `a_` when the picture moves; a server of another make may give an address.
fn avatar_url(user: UserId, avatar: &str) -> Option<String> {
    if avatar.starts_with("https://") || avatar.starts_with("http://") {
        return Some(avatar.to_owned());
    }
    let is_hash =
        !avatar.is_empty() && avatar.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let format = if avatar.starts_with("a_") { "gif" } else { "png" };
    is_hash.then(|| format!("https://cdn.discordapp.com/avatars/{user}/{avatar}.{format}"))
}

/// The text of one value; `None` when it is missing or null.
type Text<'a> = Option<&'a RawValue>;

/// The keys of Discord's objects that matter here, whichever object it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    flags: Text<'a>,
    #[serde(borrow)]
    guild_id: Text<'a>,
    #[serde(borrow, rename = "guildId")]
    guild_id_of_derived: Text<'a>,
    #[serde(borrow)]
    channel_id: Text<'a>,
    #[serde(borrow)]
    parent_id: Text<'a>,
    #[serde(borrow)]
    owner_id: Text<'a>,
    #[serde(borrow)]
    role_id: Text<'a>,
    #[serde(borrow)]
    user_id: Text<'a>,
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    member: Text<'a>,
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    guilds: Text<'a>,
    #[serde(borrow)]
    roles: Text<'a>,
    #[serde(borrow)]
    channels: Text<'a>,
    #[serde(borrow)]
    threads: Text<'a>,
    #[serde(borrow)]
    members: Text<'a>,
    #[serde(borrow)]
    not_found: Text<'a>,
    #[serde(borrow)]
    voice_states: Text<'a>,
    #[serde(borrow)]
    unavailable: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    position: Text<'a>,
    #[serde(borrow)]
    user_limit: Text<'a>,
    #[serde(borrow)]
    permission_overwrites: Text<'a>,
    #[serde(borrow)]
    permissions: Text<'a>,
    #[serde(borrow)]
    allow: Text<'a>,
    #[serde(borrow)]
    deny: Text<'a>,
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(borrow)]
    avatar: Text<'a>,
    #[serde(borrow)]
    communication_disabled_until: Text<'a>,
    #[serde(borrow)]
    self_mute: Text<'a>,
    #[serde(borrow)]
    self_deaf: Text<'a>,
    #[serde(borrow)]
    mute: Text<'a>,
    #[serde(borrow)]
    deaf: Text<'a>,
    #[serde(borrow)]
    self_video: Text<'a>,
    #[serde(borrow)]
    self_stream: Text<'a>,
    #[serde(borrow)]
    suppress: Text<'a>,
}

impl<'a> Object<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        // serde would also take an array for the fields in their order.
        if !text.trim_start().starts_with('{') {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    fn has_flag(&self, flag: u64) -> bool {
        read::<u64>(self.flags).is_some_and(|flags| flags & flag != 0)
    }

    fn user_id_within(&self) -> Option<UserId> {
        read(nested(self.user?)?.id)
    }
}

fn nested(text: &RawValue) -> Option<Object<'_>> {
    Object::parse(text.get())
}

fn read<'a, T: Deserialize<'a>>(text: Text<'a>) -> Option<T> {
    serde_json::from_str(text?.get()).ok()
}

fn texts<'a>(list: Text<'a>) -> impl Iterator<Item = &'a RawValue> {
    read::<Vec<&'a RawValue>>(list).unwrap_or_default().into_iter()
}

fn objects<'a>(list: Text<'a>) -> impl Iterator<Item = Object<'a>> {
    texts(list).filter_map(nested)
}
