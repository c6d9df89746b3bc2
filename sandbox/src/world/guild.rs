//! What a guild is made of: roles, channels, members and who sits in voice.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{
    id::{Id, Timestamp},
    message::Message,
    permissions::Permissions,
};

/// Messages a channel remembers; older ones are forgotten (Discord keeps them, a sandbox need not).
const MESSAGES_KEPT: usize = 500;

/// A Discord server.
#[derive(Debug)]
pub(crate) struct Guild {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) owner: Id,
    pub(crate) system_channel: Option<Id>,
    pub(crate) roles: BTreeMap<Id, Role>,
    /// Channels and threads; a thread is a channel with [`Channel::thread`].
    pub(crate) channels: BTreeMap<Id, Channel>,
    pub(crate) members: BTreeMap<Id, Member>,
    pub(crate) voice: BTreeMap<Id, VoiceState>,
    pub(crate) emojis: Vec<Emoji>,
    pub(crate) bans: BTreeMap<Id, Option<String>>,
}

/// A role; the one whose id is the guild's is @everyone.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) color: u32,
    pub(crate) hoist: bool,
    pub(crate) position: u32,
    pub(crate) permissions: Permissions,
    pub(crate) mentionable: bool,
    /// The bot whose own role this is; such a role cannot be given or taken by hand.
    pub(crate) bot: Option<Id>,
}

/// A channel's type number on the wire.
///
/// <https://discord.com/developers/docs/resources/channel#channel-object-channel-types>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ChannelKind {
    Text = 0,
    Voice = 2,
    Category = 4,
    Announcement = 5,
    AnnouncementThread = 10,
    PublicThread = 11,
    PrivateThread = 12,
    Stage = 13,
    Forum = 15,
    Media = 16,
}

/// A channel or thread of a guild.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) id: Id,
    pub(crate) kind: ChannelKind,
    pub(crate) name: String,
    pub(crate) position: u32,
    pub(crate) parent: Option<Id>,
    pub(crate) topic: Option<String>,
    pub(crate) nsfw: bool,
    pub(crate) slow_mode_s: u32,
    pub(crate) bitrate: u32,
    pub(crate) user_limit: u32,
    pub(crate) overwrites: Vec<Overwrite>,
    pub(crate) last_message: Option<Id>,
    pub(crate) thread: Option<Thread>,
    pub(crate) messages: VecDeque<Message>,
}

/// What only threads have.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) owner: Id,
    pub(crate) created: Timestamp,
    /// When it was last put away or taken out again.
    pub(crate) archive_changed: Timestamp,
    pub(crate) archived: bool,
    pub(crate) locked: bool,
    pub(crate) auto_archive_min: u32,
    pub(crate) message_count: u32,
    pub(crate) members: BTreeMap<Id, Timestamp>,
}

/// Who an overwrite is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverwriteKind {
    Role = 0,
    Member = 1,
}

/// A channel's exception to what roles grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overwrite {
    pub(crate) id: Id,
    pub(crate) kind: OverwriteKind,
    pub(crate) allow: Permissions,
    pub(crate) deny: Permissions,
}

/// A person's or bot's place in a guild. Small, because a guild may have 50,000 of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) user: Id,
    pub(crate) nick: Option<String>,
    pub(crate) roles: Vec<Id>,
    pub(crate) joined_at: Timestamp,
    pub(crate) deaf: bool,
    pub(crate) mute: bool,
    pub(crate) timed_out_until: Option<Timestamp>,
    pub(crate) status: Status,
}

/// What a presence shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Online,
    Idle,
    Dnd,
    Offline,
}

/// A member's seat in a voice or stage channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VoiceState {
    pub(crate) channel: Id,
    pub(crate) session_id: String,
    pub(crate) self_mute: bool,
    pub(crate) self_deaf: bool,
    pub(crate) self_video: bool,
    pub(crate) self_stream: bool,
    /// True in the audience of a stage.
    pub(crate) suppress: bool,
}

/// A custom emoji.
#[derive(Clone, Debug)]
pub(crate) struct Emoji {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) animated: bool,
}

impl ChannelKind {
    /// The kind with this number, if a guild can have such a channel.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        use ChannelKind::{
            Announcement, AnnouncementThread, Category, Forum, Media, PrivateThread, PublicThread, Stage,
            Text, Voice,
        };
        let kinds = [
            Text,
            Voice,
            Category,
            Announcement,
            AnnouncementThread,
            PublicThread,
            PrivateThread,
            Stage,
            Forum,
            Media,
        ];
        kinds.into_iter().find(|kind| *kind as u64 == number)
    }

    /// True where members can sit and talk.
    pub(crate) fn is_voice(self) -> bool {
        matches!(self, Self::Voice | Self::Stage)
    }

    /// True where messages can be written (voice channels have a chat).
    pub(crate) fn has_messages(self) -> bool {
        !matches!(self, Self::Category | Self::Forum | Self::Media)
    }

    pub(crate) fn is_thread(self) -> bool {
        matches!(self, Self::AnnouncementThread | Self::PublicThread | Self::PrivateThread)
    }
}

impl Guild {
    /// Discord calls a guild large when not all members come with it.
    pub(crate) fn is_large(&self, threshold: usize) -> bool {
        self.members.len() > threshold
    }

    /// Members who are not offline.
    pub(crate) fn online(&self) -> usize {
        self.members.values().filter(|member| member.status != Status::Offline).count()
    }

    /// The position of a member's highest role; the owner stands above all.
    pub(crate) fn rank(&self, user: Id) -> u32 {
        if user == self.owner {
            return u32::MAX;
        }
        let roles = self.members.get(&user).map(|member| member.roles.as_slice()).unwrap_or_default();
        roles.iter().filter_map(|id| self.roles.get(id)).map(|role| role.position).max().unwrap_or(0)
    }
}

impl Channel {
    /// An empty channel with Discord's defaults.
    pub(crate) fn new(id: Id, kind: ChannelKind, name: &str) -> Self {
        Self {
            id,
            kind,
            name: name.to_owned(),
            position: 0,
            parent: None,
            topic: None,
            nsfw: false,
            slow_mode_s: 0,
            bitrate: 64_000,
            user_limit: 0,
            overwrites: Vec::new(),
            last_message: None,
            thread: None,
            messages: VecDeque::new(),
        }
    }

    pub(crate) fn message(&self, id: Id) -> Option<&Message> {
        self.messages.binary_search_by_key(&id, |message| message.id).ok().map(|at| &self.messages[at])
    }

    pub(crate) fn message_mut(&mut self, id: Id) -> Option<&mut Message> {
        self.messages.binary_search_by_key(&id, |message| message.id).ok().map(|at| &mut self.messages[at])
    }

    /// The pinned messages, the one that was pinned last first.
    pub(crate) fn pins(&self) -> impl Iterator<Item = &Message> {
        let mut pins: Vec<_> = self.messages.iter().filter(|message| message.pinned.is_some()).collect();
        pins.sort_by_key(|message| std::cmp::Reverse(message.pinned));
        pins.into_iter()
    }

    /// Files a message as the newest; ids only grow, so the list stays sorted.
    pub(crate) fn push(&mut self, message: Message) {
        self.last_message = Some(message.id);
        if let Some(thread) = &mut self.thread {
            thread.message_count += 1;
        }
        self.messages.push_back(message);
        if self.messages.len() > MESSAGES_KEPT {
            self.messages.pop_front();
        }
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<Message> {
        let at = self.messages.binary_search_by_key(&id, |message| message.id).ok()?;
        self.messages.remove(at)
    }
}

impl Status {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "online" => Some(Self::Online),
            "idle" => Some(Self::Idle),
            "dnd" => Some(Self::Dnd),
            "offline" | "invisible" => Some(Self::Offline),
            _ => None,
        }
    }
}

impl Member {
    pub(crate) fn new(user: Id, joined_at: Timestamp) -> Self {
        Self {
            user,
            nick: None,
            roles: Vec::new(),
            joined_at,
            deaf: false,
            mute: false,
            timed_out_until: None,
            status: Status::Offline,
        }
    }
}
