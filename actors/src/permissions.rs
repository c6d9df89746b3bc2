//! Discord's [permissions](https://docs.discord.com/developers/topics/permissions): the bits, and the pure functions
//! that say which of them a member holds in a guild and in a channel.

use std::{
    collections::HashMap,
    fmt,
    ops::{BitOr, BitOrAssign, Sub},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::snowflake::{RoleId, UserId};

/// A set of permission bits; a decimal string on every wire, because it outgrew a browser's number long ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions(pub u64);

macro_rules! bits {
    ($($name:ident = $bit:literal, $doc:literal;)*) => {
        impl Permissions {
            $(#[doc = $doc] pub const $name: Self = Self(1 << $bit);)*
        }
    };
}

bits! {
    CREATE_INSTANT_INVITE = 0, "Create invites.";
    KICK_MEMBERS = 1, "Kick members.";
    BAN_MEMBERS = 2, "Ban members and see bans.";
    ADMINISTRATOR = 3, "Everything, whatever a channel's overwrites say.";
    MANAGE_CHANNELS = 4, "Create, change and delete channels; see invites.";
    MANAGE_GUILD = 5, "Change the guild; see integrations and auto-moderation.";
    ADD_REACTIONS = 6, "Add a reaction that nobody else added before.";
    VIEW_AUDIT_LOG = 7, "See the audit log.";
    VIEW_CHANNEL = 10, "See that a channel exists and what happens in it.";
    SEND_MESSAGES = 11, "Send messages.";
    SEND_TTS_MESSAGES = 12, "Send messages that are read aloud.";
    MANAGE_MESSAGES = 13, "Delete other people's messages and reactions.";
    EMBED_LINKS = 14, "Send embeds.";
    ATTACH_FILES = 15, "Send files.";
    READ_MESSAGE_HISTORY = 16, "Read messages sent earlier.";
    MENTION_EVERYONE = 17, "Mention @everyone, @here and every role.";
    CONNECT = 20, "Join a voice channel.";
    SPEAK = 21, "Speak in a voice channel.";
    MUTE_MEMBERS = 22, "Mute others in voice channels.";
    DEAFEN_MEMBERS = 23, "Deafen others in voice channels.";
    MOVE_MEMBERS = 24, "Move others between voice channels.";
    MANAGE_ROLES = 28, "Change roles and overwrites.";
    MANAGE_WEBHOOKS = 29, "See and change webhooks.";
    MANAGE_EVENTS = 33, "Change scheduled events of others.";
    MANAGE_THREADS = 34, "Change threads and see every private one.";
    CREATE_PUBLIC_THREADS = 35, "Start public threads.";
    CREATE_PRIVATE_THREADS = 36, "Start private threads.";
    SEND_MESSAGES_IN_THREADS = 38, "Send messages in threads.";
    MODERATE_MEMBERS = 40, "Time members out.";
}

impl Permissions {
    /// No permission.
    pub const NONE: Self = Self(0);
    /// Every permission, those that Discord has yet to invent included.
    pub const ALL: Self = Self(u64::MAX);
    /// What a member who is timed out keeps.
    const TIMED_OUT: Self = Self(Self::VIEW_CHANNEL.0 | Self::READ_MESSAGE_HISTORY.0);

    /// Whether every bit of `wanted` is set.
    #[must_use]
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
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
        *self = *self | other;
    }
}

impl Sub for Permissions {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Bits)
    }
}

/// Reads bits from a decimal string, or from a number as old servers send.
struct Bits;

impl de::Visitor<'_> for Bits {
    type Value = Permissions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permission bits: a string of digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Permissions, E> {
        // Bits above the 64th would be of no use to us, but must not make the others unreadable.
        #[expect(clippy::cast_possible_truncation, reason = "only the low 64 bits are wanted")]
        text.parse::<u128>()
            .map(|bits| Permissions(bits as u64))
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, bits: u64) -> Result<Permissions, E> {
        Ok(Permissions(bits))
    }
}

/// Whom an overwrite is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OverwriteTarget {
    /// Everyone who holds the role; the guild's own id means @everyone.
    Role(RoleId),
    /// One member.
    Member(UserId),
}

/// A channel's exception to what roles say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overwrite {
    /// Whom it is for.
    pub target: OverwriteTarget,
    /// Given in this channel.
    pub allow: Permissions,
    /// Taken in this channel.
    pub deny: Permissions,
}

/// The one whose permissions are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The member.
    pub user: UserId,
    /// Whether the guild is theirs.
    pub owner: bool,
    /// The id of the @everyone role, which is the guild's id.
    pub everyone: RoleId,
    /// Their roles, without @everyone.
    pub roles: &'a [RoleId],
    /// Whether `communication_disabled_until` lies ahead.
    pub timed_out: bool,
}

/// What `holder` may do in the guild at large; `roles` are all the roles of the guild.
#[must_use]
pub fn guild_permissions(holder: &Holder<'_>, roles: &HashMap<RoleId, Permissions>) -> Permissions {
    let granted = granted(holder, roles);
    if granted == Permissions::ALL { granted } else { limit(holder, granted) }
}

/// What `holder` may do in a channel with these overwrites. Who cannot view a channel can do
/// [nothing in it](https://docs.discord.com/developers/topics/permissions#implicit-permissions).
#[must_use]
pub fn channel_permissions(
    holder: &Holder<'_>,
    roles: &HashMap<RoleId, Permissions>,
    overwrites: &[Overwrite],
) -> Permissions {
    let granted = granted(holder, roles);
    if granted == Permissions::ALL {
        return granted;
    }
    let (mut everyone, mut by_role, mut member) = (Change::default(), Change::default(), Change::default());
    for overwrite in overwrites {
        match overwrite.target {
            OverwriteTarget::Role(id) if id == holder.everyone => everyone.add(overwrite),
            // A role that was deleted gives nothing more, though its overwrites and holders may still name it.
            OverwriteTarget::Role(id) if holder.roles.contains(&id) && roles.contains_key(&id) => {
                by_role.add(overwrite);
            }
            OverwriteTarget::Member(id) if id == holder.user => member.add(overwrite),
            OverwriteTarget::Role(_) | OverwriteTarget::Member(_) => {}
        }
    }
    let allowed = member.applied_to(by_role.applied_to(everyone.applied_to(granted)));
    if allowed.contains(Permissions::VIEW_CHANNEL) { limit(holder, allowed) } else { Permissions::NONE }
}

/// The overwrites of one rank taken together: what any of them allows outweighs what another denies.
#[derive(Default)]
struct Change {
    allow: Permissions,
    deny: Permissions,
}

impl Change {
    fn add(&mut self, overwrite: &Overwrite) {
        self.allow |= overwrite.allow;
        self.deny |= overwrite.deny;
    }

    fn applied_to(&self, permissions: Permissions) -> Permissions {
        (permissions - self.deny) | self.allow
    }
}

fn granted(holder: &Holder<'_>, roles: &HashMap<RoleId, Permissions>) -> Permissions {
    if holder.owner {
        return Permissions::ALL;
    }
    let granted = std::iter::once(&holder.everyone)
        .chain(holder.roles)
        .filter_map(|role| roles.get(role))
        .fold(Permissions::NONE, |sum, role| sum | *role);
    if granted.contains(Permissions::ADMINISTRATOR) { Permissions::ALL } else { granted }
}

fn limit(holder: &Holder<'_>, permissions: Permissions) -> Permissions {
    if holder.timed_out { Permissions(permissions.0 & Permissions::TIMED_OUT.0) } else { permissions }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYONE: RoleId = RoleId(100);
    const STAFF: RoleId = RoleId(301);
    const USER: UserId = UserId(2);
    const VIEW: Permissions = Permissions::VIEW_CHANNEL;
    const SEND: Permissions = Permissions::SEND_MESSAGES;
    const NONE: Permissions = Permissions::NONE;

    fn overwrite(target: OverwriteTarget, allow: Permissions, deny: Permissions) -> Overwrite {
        Overwrite { target, allow, deny }
    }

    #[test]
    fn owner_administrator_overwrites_and_timeout_rank_as_discord_documents() {
        let everyone = |allow, deny| overwrite(OverwriteTarget::Role(EVERYONE), allow, deny);
        let staff = |allow, deny| overwrite(OverwriteTarget::Role(STAFF), allow, deny);
        let member = |allow, deny| overwrite(OverwriteTarget::Member(USER), allow, deny);
        let all = Permissions::ALL;
        let admin = Permissions::ADMINISTRATOR;
        let plain = VIEW | SEND;
        let table = [
            ("by role @everyone", plain, NONE, false, false, vec![], plain),
            ("by another role too", VIEW, SEND, false, false, vec![], plain),
            ("owner", NONE, NONE, true, false, vec![everyone(NONE, all)], all),
            ("owner, timed out", NONE, NONE, true, true, vec![], all),
            ("administrator", VIEW, admin, false, false, vec![member(NONE, all)], all),
            ("administrator, timed out", VIEW, admin, false, true, vec![], all),
            ("@everyone denied", plain, NONE, false, false, vec![everyone(NONE, SEND)], VIEW),
            (
                "role outranks @everyone",
                plain,
                NONE,
                false,
                false,
                vec![staff(SEND, NONE), everyone(NONE, SEND)],
                plain,
            ),
            (
                "member outranks role",
                plain,
                NONE,
                false,
                false,
                vec![member(NONE, SEND), staff(SEND, NONE)],
                VIEW,
            ),
            (
                "allowing outranks denying",
                VIEW,
                NONE,
                false,
                false,
                vec![staff(NONE, SEND), staff(SEND, NONE)],
                plain,
            ),
            ("cannot view, cannot anything", plain, NONE, false, false, vec![staff(NONE, VIEW)], NONE),
            ("timed out", plain, NONE, false, true, vec![], VIEW),
            ("timed out with overwrite", plain, NONE, false, true, vec![member(SEND, NONE)], VIEW),
        ];
        let holder =
            Holder { user: USER, owner: false, everyone: EVERYONE, roles: &[STAFF], timed_out: false };
        let without_staff = HashMap::from([(EVERYONE, VIEW)]);
        assert_eq!(channel_permissions(&holder, &without_staff, &[staff(SEND, NONE)]), VIEW, "role deleted");
        for (what, by_everyone, by_staff, owner, timed_out, overwrites, expected) in table {
            let holder = Holder { user: USER, owner, everyone: EVERYONE, roles: &[STAFF], timed_out };
            let roles = HashMap::from([(EVERYONE, by_everyone), (STAFF, by_staff)]);
            assert_eq!(channel_permissions(&holder, &roles, &overwrites), expected, "{what}");
        }
    }

    #[test]
    fn bits_travel_as_decimal_strings_and_outgrow_no_type() {
        let table = [
            ("\"0\"", Some(0)),
            ("\"9007199254740993\"", Some(9_007_199_254_740_993)),
            ("\"18446744073709551615\"", Some(u64::MAX)),
            ("\"18446744073709551617\"", Some(1)),
            ("1024", Some(1024)),
            ("\"-1\"", None),
            ("\"\"", None),
            ("\"0x8\"", None),
            ("1.5", None),
            ("null", None),
        ];
        for (text, expected) in table {
            let bits = serde_json::from_str::<Permissions>(text).ok();
            assert_eq!(bits.map(|bits| bits.0), expected, "{text}");
        }
        assert_eq!(serde_json::to_string(&Permissions(1 << 60)).unwrap(), "\"1152921504606846976\"");
    }
}
