//! Who may see a dispatch, judged by the guild as it is before the dispatch changes it, and whose access it changes.

use super::{
    GuildModel,
    guild::Guild,
    members::{Member, Standing},
};
use crate::{
    dispatch_facts::{ChannelFacts, Facts, MemberFacts, News, OverwriteFacts, Place},
    permissions::Permissions,
    scope::{AccessChange, Elsewhere, Row, Scope, row},
    snowflake::{ChannelId, GuildId, UserId},
};

impl GuildModel {
    /// The scope of a dispatch. To be asked before [`GuildModel::apply`], which forgets what was left and deleted.
    #[must_use]
    pub fn scope(&self, facts: &Facts<'_>) -> Scope {
        let Some(id) = facts.guild else { return Scope::default() };
        let scope = match row(facts.event) {
            Row::Nobody => Scope { guild: Some(id), secret: true, ..Scope::default() },
            _ if facts.ephemeral => Scope { guild: Some(id), secret: true, ..Scope::default() },
            Row::Holders(needs) => Scope::guild(id, needs),
            Row::Voice => self.voice_scope(id, facts),
            Row::Located { needs, elsewhere } => match (self.located(id, facts), facts.place, elsewhere) {
                (Some((channel, beyond)), ..) => {
                    Scope { needs: needs | beyond, ..Scope::channels(id, [channel]) }
                }
                (None, Place::Nowhere, Elsewhere::Members) => Scope::guild(id, needs),
                (None, ..) => Scope::guild(id, Permissions::ADMINISTRATOR),
            },
        };
        Scope { changes: self.changes(id, facts), ..scope }
    }

    fn voice_scope(&self, id: GuildId, facts: &Facts<'_>) -> Scope {
        let left = || match &facts.news {
            News::Voice(state) => self.known(id)?.voice.channel_left_by(state.user),
            _ => None,
        };
        let channel = match facts.place {
            Place::Channel(channel) => Some(channel),
            Place::Nowhere => left(),
            Place::Unreadable => None,
        };
        channel.map_or_else(
            || Scope::guild(id, Permissions::ADMINISTRATOR),
            |channel| Scope::channels(id, [channel]),
        )
    }

    /// The channel whose permissions decide, and what they need to include beyond viewing it.
    fn located(&self, id: GuildId, facts: &Facts<'_>) -> Option<(ChannelId, Permissions)> {
        // A thread's own events say where it is, before the model knows it and after it has forgotten it.
        let told = match &facts.news {
            News::Threads(threads) => threads.first(),
            News::ThreadGone(thread) => Some(thread),
            _ => None,
        };
        match (told, facts.place) {
            (Some(thread), _) if thread.private => Some((thread.parent, Permissions::MANAGE_THREADS)),
            (Some(thread), _) => Some((thread.parent, Permissions::NONE)),
            (None, Place::Channel(channel)) => {
                Some(self.guilds.get(&id).map_or((channel, Permissions::NONE), |guild| guild.locate(channel)))
            }
            (None, Place::Nowhere | Place::Unreadable) => None,
        }
    }

    fn changes(&self, id: GuildId, facts: &Facts<'_>) -> Option<AccessChange> {
        match &facts.news {
            News::GuildKnown(_) | News::GuildGone => Some(AccessChange::Guild),
            news => self.known(id)?.changes(news),
        }
    }
}

impl Guild {
    /// Whose access `news` changes. Kept narrow, because streams are held up while access is asked again.
    fn changes(&self, news: &News<'_>) -> Option<AccessChange> {
        let users: Vec<UserId> = match news {
            News::GuildChanged { owner } if self.owner != Some(*owner) => {
                self.owner.into_iter().chain([*owner]).collect()
            }
            // Nobody holds a role yet that was only just created.
            News::Role(role) => {
                let before = self.roles.get(&role.id)?;
                return (*before != role.permissions).then_some(AccessChange::Guild);
            }
            News::RoleGone(role) => return self.roles.contains_key(role).then_some(AccessChange::Guild),
            News::Channel(channel) => return self.opens_or_shuts(channel).then_some(AccessChange::Guild),
            News::Members { members, absent } => {
                let changed = members.iter().filter(|member| self.is_news(member)).map(|member| member.user);
                changed.chain(absent.iter().copied().filter(|user| self.may_be_member(*user))).collect()
            }
            News::MemberGone(user) | News::Banned(user) if self.may_be_member(*user) => vec![*user],
            // A deleted channel is remembered with the access it had, and a thread has none of its own.
            _ => return None,
        };
        (!users.is_empty()).then_some(AccessChange::Users(users))
    }

    fn opens_or_shuts(&self, channel: &ChannelFacts) -> bool {
        let Some(before) = self.channels.get(&channel.id) else { return true };
        match &channel.overwrites {
            OverwriteFacts::Known(overwrites) => before.overwrites.as_ref() != Some(overwrites),
            OverwriteFacts::Unreadable => before.overwrites.is_some(),
            OverwriteFacts::Missing => false,
        }
    }

    fn is_news(&self, member: &MemberFacts<'_>) -> bool {
        self.members.standing(member.user) != Standing::Member(&Member::from(member))
    }

    fn may_be_member(&self, user: UserId) -> bool {
        self.members.standing(user) != Standing::Absent
    }
}
