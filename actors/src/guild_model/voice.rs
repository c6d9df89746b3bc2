//! Who sits in which voice channel of one guild.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    derived::{Derived, VoiceMember},
    dispatch_facts::{GuildFacts, MemberFacts, Place, Profile, VoiceFacts},
    snowflake::{ChannelId, GuildId, UserId},
};

/// How many users, put out of voice by something else than their own voice state, are remembered until that follows.
pub const PUT_OUT_KEPT: usize = 1_024;

/// The voice states of a guild.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Voice {
    seats: BTreeMap<UserId, Seat>,
    /// Those whose channel was deleted, or who left the guild, and where they sat: who may see the voice state that
    /// is still to come depends on it.
    put_out: VecDeque<(UserId, ChannelId)>,
}

/// Where someone sits, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seat {
    channel: ChannelId,
    member: VoiceMember,
}

impl Voice {
    /// The voice states of GUILD_CREATE. They carry no member, so names come from the members beside them, or from
    /// what was known `before`.
    pub(super) fn load(facts: &GuildFacts<'_>, before: &Self) -> Self {
        let seated: HashSet<_> = facts.voice.iter().map(|state| state.user).collect();
        let names: HashMap<_, _> = facts
            .members
            .iter()
            .chain(facts.voice.iter().filter_map(|state| state.member.as_ref()))
            .filter(|member| seated.contains(&member.user))
            .map(|member| (member.user, member.profile()))
            .collect();
        let mut voice = Self::default();
        for state in &facts.voice {
            if let Place::Channel(channel) = state.place {
                let profile =
                    names.get(&state.user).cloned().unwrap_or_else(|| before.profile_of(state.user));
                let member = VoiceMember::new(state.user, profile, state.flags);
                voice.seats.insert(state.user, Seat { channel, member });
            }
        }
        voice
    }

    /// Where a user sits.
    pub(super) fn channel_of(&self, user: UserId) -> Option<ChannelId> {
        self.seats.get(&user).map(|seat| seat.channel)
    }

    /// The channel that a voice state without channel speaks of.
    pub(super) fn channel_left_by(&self, user: UserId) -> Option<ChannelId> {
        let put_out = || self.put_out.iter().find(|(left, _)| *left == user).map(|(_, channel)| *channel);
        self.channel_of(user).or_else(put_out)
    }

    /// Who sits where, by user id.
    pub(super) fn seated(&self) -> impl Iterator<Item = (ChannelId, &VoiceMember)> {
        self.seats.values().map(|seat| (seat.channel, &seat.member))
    }

    /// A voice state as it is now.
    pub(super) fn apply(&mut self, guild: GuildId, facts: &VoiceFacts<'_>) -> Option<Derived> {
        let user = facts.user;
        if facts.place != Place::Unreadable {
            self.put_out.retain(|(left, _)| *left != user);
        }
        match facts.place {
            Place::Unreadable => None,
            Place::Nowhere => self.seats.remove(&user).map(|seat| Derived::left(guild, seat.channel, user)),
            Place::Channel(channel) => {
                let told = facts.member.as_ref().map(MemberFacts::profile);
                let profile = told.unwrap_or_else(|| self.profile_of(user));
                let member = VoiceMember::new(user, profile, facts.flags);
                let before = self.seats.insert(user, Seat { channel, member });
                arrival(guild, before.map(|seat| seat.channel), &self.seats[&user])
            }
        }
    }

    /// A member has another name now, perhaps.
    pub(super) fn rename(&mut self, facts: &MemberFacts<'_>) {
        if let Some(seat) = self.seats.get_mut(&facts.user) {
            let Profile { username, display_name, avatar } = facts.profile();
            seat.member.username = username;
            seat.member.display_name = display_name;
            seat.member.avatar = avatar;
        }
    }

    /// Takes a user's seat before their own voice state says that it is empty.
    pub(super) fn put_out(&mut self, guild: GuildId, user: UserId) -> Option<Derived> {
        let seat = self.seats.remove(&user)?;
        self.put_out.push_back((user, seat.channel));
        if self.put_out.len() > PUT_OUT_KEPT {
            self.put_out.pop_front();
        }
        Some(Derived::left(guild, seat.channel, user))
    }

    /// Puts out everyone who sits in `channel`.
    pub(super) fn empty(&mut self, guild: GuildId, channel: ChannelId) -> Vec<Derived> {
        let inside: Vec<_> =
            self.seats.iter().filter(|(_, seat)| seat.channel == channel).map(|(user, _)| *user).collect();
        inside.into_iter().filter_map(|user| self.put_out(guild, user)).collect()
    }

    /// Who left, came and moved between `before` and now.
    pub(super) fn difference(&self, guild: GuildId, before: &Self) -> Vec<Derived> {
        let left = before
            .seats
            .iter()
            .filter(|(user, _)| !self.seats.contains_key(user))
            .map(|(user, seat)| Derived::left(guild, seat.channel, *user));
        let arrived =
            self.seats.iter().filter_map(|(user, seat)| arrival(guild, before.channel_of(*user), seat));
        left.chain(arrived).collect()
    }

    fn profile_of(&self, user: UserId) -> Profile {
        self.seats.get(&user).map_or_else(Profile::default, |seat| Profile {
            username: seat.member.username.clone(),
            display_name: seat.member.display_name.clone(),
            avatar: seat.member.avatar.clone(),
        })
    }
}

fn arrival(guild: GuildId, from: Option<ChannelId>, seat: &Seat) -> Option<Derived> {
    match from {
        None => Some(Derived::joined(guild, seat.channel, &seat.member)),
        Some(from) if from != seat.channel => Some(Derived::moved(guild, from, seat.channel, &seat.member)),
        Some(_) => None,
    }
}
