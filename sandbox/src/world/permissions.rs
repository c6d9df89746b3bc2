//! Who may do what: Discord's permission bits and how they add up.
//!
//! <https://discord.com/developers/docs/topics/permissions>

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

use serde::{Serialize, Serializer};

use super::{
    guild::{Channel, ChannelKind, Guild, Member, OverwriteKind, Thread},
    id::Timestamp,
};

/// A set of permissions; on the wire a decimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions(pub(crate) u64);

/// Declares the bits once, with the names that Discord's documentation gives them.
macro_rules! permissions {
    ($($name:ident = $bit:literal),* $(,)?) => {
        #[allow(dead_code, reason = "the table is complete; not every bit is asked about")]
        impl Permissions {
            $(pub(crate) const $name: Self = Self(1 << $bit);)*
            /// Every bit that Discord documents.
            pub(crate) const ALL: Self = Self(0 $(| 1 << $bit)*);
        }
    };
}

permissions! {
    CREATE_INSTANT_INVITE = 0,
    KICK_MEMBERS = 1,
    BAN_MEMBERS = 2,
    ADMINISTRATOR = 3,
    MANAGE_CHANNELS = 4,
    MANAGE_GUILD = 5,
    ADD_REACTIONS = 6,
    VIEW_AUDIT_LOG = 7,
    PRIORITY_SPEAKER = 8,
    STREAM = 9,
    VIEW_CHANNEL = 10,
    SEND_MESSAGES = 11,
    SEND_TTS_MESSAGES = 12,
    MANAGE_MESSAGES = 13,
    EMBED_LINKS = 14,
    ATTACH_FILES = 15,
    READ_MESSAGE_HISTORY = 16,
    MENTION_EVERYONE = 17,
    USE_EXTERNAL_EMOJIS = 18,
    VIEW_GUILD_INSIGHTS = 19,
    CONNECT = 20,
    SPEAK = 21,
    MUTE_MEMBERS = 22,
    DEAFEN_MEMBERS = 23,
    MOVE_MEMBERS = 24,
    USE_VAD = 25,
    CHANGE_NICKNAME = 26,
    MANAGE_NICKNAMES = 27,
    MANAGE_ROLES = 28,
    MANAGE_WEBHOOKS = 29,
    MANAGE_GUILD_EXPRESSIONS = 30,
    USE_APPLICATION_COMMANDS = 31,
    REQUEST_TO_SPEAK = 32,
    MANAGE_EVENTS = 33,
    MANAGE_THREADS = 34,
    CREATE_PUBLIC_THREADS = 35,
    CREATE_PRIVATE_THREADS = 36,
    USE_EXTERNAL_STICKERS = 37,
    SEND_MESSAGES_IN_THREADS = 38,
    USE_EMBEDDED_ACTIVITIES = 39,
    MODERATE_MEMBERS = 40,
    VIEW_CREATOR_MONETIZATION_ANALYTICS = 41,
    USE_SOUNDBOARD = 42,
    CREATE_GUILD_EXPRESSIONS = 43,
    CREATE_EVENTS = 44,
    USE_EXTERNAL_SOUNDS = 45,
    SEND_VOICE_MESSAGES = 46,
    SEND_POLLS = 49,
    USE_EXTERNAL_APPS = 50,
    PIN_MESSAGES = 51,
    BYPASS_SLOWMODE = 52,
}

impl Permissions {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets, usable where operators are not (constants).
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What `member` may do in the guild as a whole.
pub(crate) fn in_guild(guild: &Guild, member: &Member, now: Timestamp) -> Permissions {
    let granted = of_roles(guild, member);
    if granted == Permissions::ALL { granted } else { while_timed_out(granted, member, now) }
}

/// What `member` may do in `channel`; a thread has the overwrites of its parent.
pub(crate) fn in_channel(guild: &Guild, member: &Member, channel: &Channel, now: Timestamp) -> Permissions {
    let mut granted = of_roles(guild, member);
    if granted == Permissions::ALL {
        return granted;
    }
    let (kind, thread) = (channel.kind, channel.thread.as_ref());
    let channel = match thread {
        Some(_) => channel.parent.and_then(|parent| guild.channels.get(&parent)).unwrap_or(channel),
        None => channel,
    };
    let everyone = channel.overwrites.iter().filter(|overwrite| overwrite.id == guild.id);
    for overwrite in everyone {
        granted = granted & !overwrite.deny | overwrite.allow;
    }
    let (mut deny, mut allow) = (Permissions::NONE, Permissions::NONE);
    let roles = channel.overwrites.iter().filter(|overwrite| {
        overwrite.kind == OverwriteKind::Role
            && overwrite.id != guild.id
            && member.roles.contains(&overwrite.id)
    });
    for overwrite in roles {
        deny |= overwrite.deny;
        allow |= overwrite.allow;
    }
    granted = granted & !deny | allow;
    let own = channel
        .overwrites
        .iter()
        .filter(|overwrite| overwrite.kind == OverwriteKind::Member && overwrite.id == member.user);
    for overwrite in own {
        granted = granted & !overwrite.deny | overwrite.allow;
    }
    // Who cannot see a channel can do nothing in it.
    if !granted.contains(Permissions::VIEW_CHANNEL) {
        return Permissions::NONE;
    }
    let invited = |thread: &Thread| thread.members.contains_key(&member.user);
    if kind == ChannelKind::PrivateThread
        && !thread.is_some_and(invited)
        && !granted.contains(Permissions::MANAGE_THREADS)
    {
        return Permissions::NONE;
    }
    while_timed_out(granted, member, now)
}

fn of_roles(guild: &Guild, member: &Member) -> Permissions {
    if guild.owner == member.user {
        return Permissions::ALL;
    }
    let mut granted = guild.roles.get(&guild.id).map_or(Permissions::NONE, |everyone| everyone.permissions);
    for role in member.roles.iter().filter_map(|id| guild.roles.get(id)) {
        granted |= role.permissions;
    }
    if granted.contains(Permissions::ADMINISTRATOR) { Permissions::ALL } else { granted }
}

/// A member in timeout keeps reading and nothing else.
fn while_timed_out(granted: Permissions, member: &Member, now: Timestamp) -> Permissions {
    if member.timed_out_until.is_some_and(|until| until > now) {
        granted & Permissions::VIEW_CHANNEL.with(Permissions::READ_MESSAGE_HISTORY)
    } else {
        granted
    }
}

impl BitAnd for Permissions {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Permissions {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Permissions {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Not for Permissions {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
