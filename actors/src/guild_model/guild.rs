//! One guild: what the bot was told of its roles, channels, threads, members and voice.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    members::{Member, Members},
    voice::Voice,
};
use crate::{
    derived::{Derived, ROOM_CREATED, ROOM_DELETED, VoiceChannel},
    dispatch_facts::{ChannelFacts, GuildFacts, MemberFacts, OverwriteFacts, RoleFacts, ThreadFacts},
    guild_info::{ChannelInfo, GuildInfo, RoleInfo},
    permissions::{Overwrite, Permissions},
    snowflake::{ChannelId, GuildId, RoleId, UserId},
};

/// How many deleted channels a guild is remembered for, so that events of theirs can still be judged on replay.
pub const TOMBSTONES_KEPT: usize = 256;
/// How many threads a guild is remembered for; those created longest ago are forgotten first.
pub const THREADS_KEPT: usize = 5_000;

/// `type` of the channels people sit in: voice and stage
/// ([channel types](https://docs.discord.com/developers/resources/channel#channel-object-channel-types)).
const ROOM_KINDS: [u64; 2] = [2, 13];

/// A guild.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Guild {
    pub(super) state: State,
    pub(super) owner: Option<UserId>,
    #[serde(default)]
    pub(super) name: Option<String>,
    /// The address of its picture.
    #[serde(default)]
    pub(super) icon: Option<String>,
    pub(super) roles: HashMap<RoleId, Permissions>,
    #[serde(default)]
    pub(super) role_names: BTreeMap<RoleId, String>,
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    pub(super) tombstones: VecDeque<(ChannelId, Channel)>,
    pub(super) threads: BTreeMap<ChannelId, Thread>,
    pub(super) members: Members,
    pub(super) voice: Voice,
}

/// How much is known of a guild.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// READY listed it; what it is like is still to come.
    Pending,
    /// It exists and nothing is known of it.
    #[default]
    Unavailable,
    /// All of it is known; so it stays in an outage, which ends nothing.
    Known,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Channel {
    kind: Option<u64>,
    name: Option<String>,
    parent: Option<ChannelId>,
    pub(super) position: i64,
    pub(super) user_limit: u64,
    /// `None`: they could not be read, so that only administrators may view the channel.
    pub(super) overwrites: Option<Vec<Overwrite>>,
}

/// A thread, which is viewed by who can view its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Thread {
    pub(super) parent: ChannelId,
    pub(super) private: bool,
    #[serde(default)]
    pub(super) locked: bool,
}

impl Guild {
    /// A guild that READY listed. What an earlier session knew of it may be stale, so none of it is kept.
    pub(super) fn pending() -> Self {
        Self { state: State::Pending, ..Self::default() }
    }

    /// An outage: what is known stays, for the guild will be told of anew.
    pub(super) fn outage(&mut self) {
        if self.state == State::Pending {
            self.state = State::Unavailable;
        }
    }

    /// Takes over the whole guild and derives what differs from what was known, unless its state was awaited.
    pub(super) fn load(&mut self, id: GuildId, facts: GuildFacts<'_>) -> Vec<Derived> {
        let voice = Voice::load(&facts, &self.voice);
        let mut next = Self {
            state: State::Known,
            owner: facts.owner,
            name: facts.name,
            icon: facts.icon,
            roles: facts.roles.iter().map(|role| (role.id, role.permissions)).collect(),
            role_names: facts.roles.into_iter().filter_map(|role| Some((role.id, role.name?))).collect(),
            tombstones: std::mem::take(&mut self.tombstones),
            voice,
            ..Self::default()
        };
        for channel in facts.channels {
            let (id, before) = (channel.id, self.channels.get(&channel.id));
            next.insert_channel(id, Channel::new(channel, before));
        }
        for member in &facts.members {
            next.hear(member.user, Some(member.into()));
        }
        next.learn_threads(&facts.threads);
        let before = std::mem::replace(self, next);
        let derived = if before.state == State::Pending { Vec::new() } else { self.difference(id, &before) };
        for (channel, record) in before.channels {
            if !self.channels.contains_key(&channel) {
                self.bury(channel, record);
            }
        }
        derived
    }

    /// What happened between `before` and now. Rooms appear before anyone enters them and go when they are empty.
    fn difference(&self, id: GuildId, before: &Self) -> Vec<Derived> {
        let rooms_missing_in = |here: &Self, there: &Self, event| -> Vec<Derived> {
            let is_missing = |channel: &ChannelId| !there.channels.get(channel).is_some_and(Channel::is_room);
            here.rooms()
                .filter(|(channel, _)| is_missing(channel))
                .map(|(channel, record)| Derived::room(event, id, &record.room(channel)))
                .collect()
        };
        let mut derived = rooms_missing_in(self, before, ROOM_CREATED);
        derived.extend(self.voice.difference(id, &before.voice));
        derived.extend(rooms_missing_in(before, self, ROOM_DELETED));
        derived
    }

    /// A channel as it is now.
    pub(super) fn put_channel(&mut self, id: GuildId, facts: ChannelFacts) -> Option<Derived> {
        let channel = facts.id;
        let before = self.channels.get(&channel);
        let was_room = before.is_some_and(Channel::is_room);
        let record = Channel::new(facts, before);
        let derived = match (was_room, record.is_room()) {
            (false, true) => Some(Derived::room(ROOM_CREATED, id, &record.room(channel))),
            (true, false) => Some(Derived::room(ROOM_DELETED, id, &record.room(channel))),
            (true, true) | (false, false) => None,
        };
        self.insert_channel(channel, record);
        derived
    }

    /// Removes a channel; those who sat in it leave first. Their own voice states, still to come, change nothing.
    pub(super) fn remove_channel(&mut self, id: GuildId, channel: ChannelId) -> Vec<Derived> {
        let Some(record) = self.channels.remove(&channel) else { return Vec::new() };
        self.threads.retain(|_, thread| thread.parent != channel);
        let mut derived = self.voice.empty(id, channel);
        if record.is_room() {
            derived.push(Derived::room(ROOM_DELETED, id, &record.room(channel)));
        }
        self.bury(channel, record);
        derived
    }

    pub(super) fn learn_threads(&mut self, threads: &[ThreadFacts]) {
        for thread in threads {
            let ThreadFacts { id, parent, private, locked } = *thread;
            self.threads.insert(id, Thread { parent, private, locked });
        }
        // Ids grow with time, so the first is the oldest.
        while self.threads.len() > THREADS_KEPT {
            self.threads.pop_first();
        }
    }

    /// A role as it is now.
    pub(super) fn put_role(&mut self, role: RoleFacts) {
        self.roles.insert(role.id, role.permissions);
        match role.name {
            Some(name) => self.role_names.insert(role.id, name),
            None => self.role_names.remove(&role.id),
        };
    }

    pub(super) fn remove_role(&mut self, role: RoleId) {
        self.roles.remove(&role);
        self.role_names.remove(&role);
    }

    /// What it is called and holds, channels in the order Discord shows them.
    pub(super) fn info(&self, id: GuildId) -> GuildInfo {
        let mut channels: Vec<_> = self.channels.iter().map(|(id, channel)| channel.info(*id)).collect();
        channels.sort_by_key(|channel| (channel.position, channel.id));
        let roles = self.role_names.iter().map(|(id, name)| RoleInfo { id: *id, name: name.clone() });
        GuildInfo { id, name: self.name.clone(), icon: self.icon.clone(), channels, roles: roles.collect() }
    }

    /// A member as they are now, roles and name.
    pub(super) fn learn_member(&mut self, facts: &MemberFacts<'_>) {
        self.hear(facts.user, Some(facts.into()));
        self.voice.rename(facts);
    }

    /// Notes that a user is this member, or none.
    pub(super) fn hear(&mut self, user: UserId, member: Option<Member>) {
        let voice = &self.voice;
        self.members.hear(user, member, |user| voice.channel_of(user).is_some());
    }

    /// Channels that people can sit in.
    pub(super) fn rooms(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.channels.iter().filter(|(_, channel)| channel.is_room()).map(|(id, channel)| (*id, channel))
    }

    fn insert_channel(&mut self, id: ChannelId, record: Channel) {
        self.tombstones.retain(|(buried, _)| *buried != id);
        self.channels.insert(id, record);
    }

    fn bury(&mut self, id: ChannelId, record: Channel) {
        self.tombstones.push_back((id, record));
        if self.tombstones.len() > TOMBSTONES_KEPT {
            self.tombstones.pop_front();
        }
    }
}

impl Channel {
    /// The channel as told, with the overwrites of `before` where nothing is said of them.
    fn new(facts: ChannelFacts, before: Option<&Self>) -> Self {
        Self {
            kind: facts.kind,
            name: facts.name,
            parent: facts.parent,
            position: facts.position,
            user_limit: facts.user_limit,
            overwrites: match facts.overwrites {
                OverwriteFacts::Known(overwrites) => Some(overwrites),
                OverwriteFacts::Missing => before.and_then(|before| before.overwrites.clone()),
                OverwriteFacts::Unreadable => None,
            },
        }
    }

    fn info(&self, id: ChannelId) -> ChannelInfo {
        ChannelInfo {
            id,
            name: self.name.clone(),
            kind: self.kind,
            parent_id: self.parent,
            position: self.position,
        }
    }

    /// The channel as a room that nobody sits in.
    pub(super) fn room(&self, channel_id: ChannelId) -> VoiceChannel {
        VoiceChannel {
            channel_id,
            name: self.name.clone(),
            parent_id: self.parent,
            user_limit: self.user_limit,
            members: Vec::new(),
        }
    }

    pub(super) fn is_room(&self) -> bool {
        self.kind.is_some_and(|kind| ROOM_KINDS.contains(&kind))
    }
}
