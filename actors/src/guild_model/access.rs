//! What a user may see and do in a guild.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    GuildModel,
    guild::{Channel, Guild, State},
    members::{Member, Standing},
};
use crate::{
    audience::{ChannelAccess, GuildAccess},
    permissions::{self, Holder, Permissions},
    snowflake::{ChannelId, GuildId, RoleId, UserId},
};

/// How a user stands to a guild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// A member who may see this.
    Member(GuildAccess),
    /// Not a member, or the bot is not in the guild.
    Absent,
    /// Never heard of: look them up, then tell [`GuildModel::learn_member`] or [`GuildModel::learn_absent`].
    Unseen,
    /// Nothing is known of the guild yet.
    Unavailable,
}

impl GuildModel {
    /// What `user` may see in `guild`.
    #[must_use]
    pub fn access(&self, guild: GuildId, user: UserId, now: SystemTime) -> Membership {
        let Some(known) = self.guilds.get(&guild) else {
            // Before the first READY nothing is known of any guild.
            return if self.bot.is_none() { Membership::Unavailable } else { Membership::Absent };
        };
        if known.state != State::Known {
            return Membership::Unavailable;
        }
        match known.member(user) {
            Standing::Member(member) => Membership::Member(known.access(guild, user, member, now)),
            Standing::Absent => Membership::Absent,
            Standing::Unseen => Membership::Unseen,
        }
    }

    /// What `user` may do in a channel or thread; `None` when the guild, the channel or the member is not known.
    /// A private thread is open to those alone who manage threads in its parent.
    #[must_use]
    pub fn channel_permissions(
        &self,
        guild: GuildId,
        channel: ChannelId,
        user: UserId,
        now: SystemTime,
    ) -> Option<Permissions> {
        let known = self.known(guild)?;
        let Standing::Member(member) = known.member(user) else { return None };
        let (place, needs) = known.locate(channel);
        let held = known.permissions_in(known.channels.get(&place)?, &known.holder(guild, user, member, now));
        Some(if held.contains(needs) { held } else { Permissions::NONE })
    }
}

impl Guild {
    /// The channel whose permissions decide, and what is needed beyond viewing it: for a thread, its parent.
    pub(super) fn locate(&self, channel: ChannelId) -> (ChannelId, Permissions) {
        match self.threads.get(&channel) {
            Some(thread) if thread.private => (thread.parent, Permissions::MANAGE_THREADS),
            Some(thread) => (thread.parent, Permissions::NONE),
            None => (channel, Permissions::NONE),
        }
    }

    /// The owner is a member even if nobody ever said so.
    fn member(&self, user: UserId) -> Standing<'_> {
        static OWNER: Member = Member::new();
        match self.members.standing(user) {
            Standing::Unseen if self.owner == Some(user) => Standing::Member(&OWNER),
            standing => standing,
        }
    }

    fn access(&self, guild_id: GuildId, user: UserId, member: &Member, now: SystemTime) -> GuildAccess {
        let holder = self.holder(guild_id, user, member, now);
        let buried = self.tombstones.iter().map(|(id, channel)| (id, channel));
        let channels = self
            .channels
            .iter()
            .chain(buried)
            .map(|(id, channel)| ChannelAccess {
                id: *id,
                permissions: self.permissions_in(channel, &holder),
            })
            .filter(|channel| channel.permissions.contains(Permissions::VIEW_CHANNEL))
            .collect();
        GuildAccess { guild_id, permissions: permissions::guild_permissions(&holder, &self.roles), channels }
    }

    fn permissions_in(&self, channel: &Channel, holder: &Holder<'_>) -> Permissions {
        match &channel.overwrites {
            Some(overwrites) => permissions::channel_permissions(holder, &self.roles, overwrites),
            None => match permissions::guild_permissions(holder, &self.roles) {
                Permissions::ALL => Permissions::ALL,
                _ => Permissions::NONE,
            },
        }
    }

    fn holder<'a>(&self, guild: GuildId, user: UserId, member: &'a Member, now: SystemTime) -> Holder<'a> {
        Holder {
            user,
            owner: self.owner == Some(user),
            everyone: RoleId(guild.0),
            roles: &member.roles,
            timed_out: member.timed_out_until.is_some_and(|until| until > unix_seconds(now)),
        }
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
