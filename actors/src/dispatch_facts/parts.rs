//! The objects that a dispatch is made of: roles, channels, threads, members, voice states.

use serde_json::value::RawValue;
use serenity::model::Timestamp;

use super::{
    Place,
    object::{Object, Text, nested, objects, read},
};
use crate::{
    permissions::{Overwrite, OverwriteTarget, Permissions},
    snowflake::{ChannelId, RoleId, UserId},
};

/// `type` of a private thread, and of the other two kinds of thread
/// ([channel types](https://docs.discord.com/developers/resources/channel#channel-object-channel-types)).
const PRIVATE_THREAD: u64 = 12;
const OTHER_THREADS: [u64; 2] = [10, 11];

/// A role and what it grants; nothing, when that can't be read.
#[derive(Clone, Debug)]
pub(crate) struct RoleFacts {
    pub(crate) id: RoleId,
    pub(crate) name: Option<String>,
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
    /// Open to moderators alone.
    pub(crate) locked: bool,
}

/// A member; their user object stays text until a name is wanted.
#[derive(Debug)]
pub(crate) struct MemberFacts<'a> {
    pub(crate) user: UserId,
    pub(crate) roles: Vec<RoleId>,
    /// Unix seconds.
    pub(crate) timed_out_until: Option<i64>,
    /// Has yet to accept the guild's rules.
    pub(crate) pending: bool,
    nick: Text<'a>,
    user_object: &'a RawValue,
}

/// How a user is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) username: Option<String>,
    /// The nickname in the guild, else the account's display name, else the username.
    pub(crate) display_name: Option<String>,
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

impl RoleFacts {
    pub(super) fn read(object: &Object<'_>) -> Option<Self> {
        Some(Self {
            id: read(object.id)?,
            name: read(object.name),
            permissions: read(object.permissions).unwrap_or_default(),
        })
    }
}

impl ChannelFacts {
    pub(super) fn read(object: &Object<'_>) -> Option<Self> {
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
        let Some(mut overwrites) = parts.into_iter().map(Self::one).collect::<Option<Vec<_>>>() else {
            return Self::Unreadable;
        };
        // In one order, so that the same overwrites in another are no change.
        overwrites.sort_unstable_by_key(|overwrite| overwrite.target);
        Self::Known(overwrites)
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
    pub(super) fn read(object: &Object<'_>) -> Option<Self> {
        let kind = read(object.kind)?;
        let private = kind == PRIVATE_THREAD;
        let metadata = object.thread_metadata.and_then(nested).unwrap_or_default();
        let locked = read(metadata.locked).unwrap_or_default();
        let thread = Self { id: read(object.id)?, parent: read(object.parent_id)?, private, locked };
        (private || OTHER_THREADS.contains(&kind)).then_some(thread)
    }

    pub(super) fn list(object: &Object<'_>) -> Vec<Self> {
        objects(object.threads).filter_map(|thread| Self::read(&thread)).collect()
    }
}

impl<'a> MemberFacts<'a> {
    /// Reads a member from its JSON text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Self::read(&Object::parse(text)?)
    }

    pub(super) fn read(object: &Object<'a>) -> Option<Self> {
        let user_object = object.user?;
        let until: Option<String> = read(object.communication_disabled_until);
        Some(Self {
            user: read(nested(user_object)?.id)?,
            // All or nothing: a role left out could be the one that shuts its holder out of a channel.
            roles: read(object.roles)?,
            timed_out_until: until.and_then(|at| Timestamp::parse(&at).ok()).map(|at| at.unix_timestamp()),
            pending: read(object.pending).unwrap_or_default(),
            nick: object.nick,
            user_object,
        })
    }

    pub(super) fn list(object: &Object<'a>) -> Vec<Self> {
        objects(object.members).filter_map(|member| Self::read(&member)).collect()
    }

    /// How this member is shown.
    pub(crate) fn profile(&self) -> Profile {
        let object = nested(self.user_object).unwrap_or_default();
        let avatar: Option<String> = read(object.avatar);
        let username: Option<String> = read(object.username);
        Profile {
            display_name: read(self.nick).or_else(|| read(object.global_name)).or_else(|| username.clone()),
            username,
            avatar: avatar.and_then(|avatar| image_url("avatars", self.user.0, &avatar)),
        }
    }
}

impl<'a> VoiceFacts<'a> {
    pub(super) fn read(object: &Object<'a>) -> Option<Self> {
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

/// Where a user's or a guild's picture is: Discord gives a [hash](https://docs.discord.com/developers/reference#image-formatting),
/// which begins with `a_` when the picture moves; a server of another make may give an address.
pub(super) fn image_url(kind: &str, id: u64, image: &str) -> Option<String> {
    if image.starts_with("https://") || image.starts_with("http://") {
        return Some(image.to_owned());
    }
    let is_hash = !image.is_empty() && image.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let format = if image.starts_with("a_") { "gif" } else { "png" };
    is_hash.then(|| format!("https://cdn.discordapp.com/{kind}/{id}/{image}.{format}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_absolute_addresses() {
        let table = [
            ("0f1e", Some("https://cdn.discordapp.com/avatars/7/0f1e.png")),
            ("a_0f1e", Some("https://cdn.discordapp.com/avatars/7/a_0f1e.gif")),
            ("https://cdn.example/7.png", Some("https://cdn.example/7.png")),
            ("../../x", None),
            ("javascript:alert(1)", None),
            ("", None),
        ];
        for (avatar, expected) in table {
            assert_eq!(image_url("avatars", 7, avatar).as_deref(), expected, "{avatar}");
        }
    }

    #[test]
    fn people_are_shown_by_nickname_then_display_name_then_username() {
        let table = [
            (r#""nick":"Countess","user":{"id":"7","username":"ada","global_name":"Ada"}"#, Some("Countess")),
            (r#""nick":null,"user":{"id":"7","username":"ada","global_name":"Ada"}"#, Some("Ada")),
            (r#""user":{"id":"7","username":"ada","global_name":null}"#, Some("ada")),
            (r#""nick":7,"user":{"id":"7","username":"ada"}"#, Some("ada")),
            (r#""user":{"id":"7"}"#, None),
        ];
        for (fields, expected) in table {
            let json = format!(r#"{{"roles":[],{fields}}}"#);
            let profile = MemberFacts::parse(&json).unwrap().profile();
            assert_eq!(profile.display_name.as_deref(), expected, "{fields}");
        }
    }
}
