//! Where something would be done: what kind of channel it is, and whether there is room and leave for it.

use std::time::SystemTime;

use super::{GuildModel, guild::Guild, members::Standing};
use crate::{
    permissions::{self, Permissions},
    snowflake::{ChannelId, GuildId, UserId},
};

/// What a channel is for, as far as it decides who may do what in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// A thread, whose permissions are its parent's.
    Thread {
        /// Open to moderators alone.
        locked: bool,
    },
    /// A voice or stage channel.
    Room,
    /// A text channel, a category, a forum.
    Other,
}

impl GuildModel {
    /// Whether all of a guild is known. Otherwise a channel that is not there may only not have been told of yet.
    #[must_use]
    pub fn knows(&self, guild: GuildId) -> bool {
        self.known(guild).is_some()
    }

    /// What a channel of a guild is for; none in particular when it is not known.
    #[must_use]
    pub fn kind(&self, guild: GuildId, channel: ChannelId) -> ChannelKind {
        self.guilds.get(&guild).map_or(ChannelKind::Other, |guild| guild.kind(channel))
    }

    /// Whether one more may sit in a voice channel.
    /// ([user_limit](https://docs.discord.com/developers/resources/channel#channel-object-channel-structure); 0 is none.)
    #[must_use]
    pub fn has_seats(&self, guild: GuildId, channel: ChannelId) -> bool {
        let Some(guild) = self.known(guild) else { return true };
        let limit = guild.channels.get(&channel).map_or(0, |channel| channel.user_limit);
        let seated = guild.voice.seated().filter(|(room, _)| *room == channel).count();
        limit == 0 || (seated as u64) < limit
    }

    /// Whether a member may do anything at all: not while timed out, nor before the guild's rules are accepted. Owners and
    /// administrators always may.
    #[must_use]
    pub fn may_act(&self, guild: GuildId, user: UserId, now: SystemTime) -> bool {
        let Some(known) = self.known(guild) else { return false };
        let Standing::Member(member) = known.member(user) else { return false };
        let holder = known.holder(guild, user, member, now);
        let held = permissions::guild_permissions(&holder, &known.roles);
        held == Permissions::ALL || !(holder.timed_out || member.pending)
    }
}

impl Guild {
    fn kind(&self, channel: ChannelId) -> ChannelKind {
        if let Some(thread) = self.threads.get(&channel) {
            return ChannelKind::Thread { locked: thread.locked };
        }
        match self.channels.get(&channel) {
            Some(channel) if channel.is_room() => ChannelKind::Room,
            _ => ChannelKind::Other,
        }
    }
}
