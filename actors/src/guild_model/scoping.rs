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
            News::GuildChanged { owner: Some(owner), .. } if self.owner != Some(*owner) => {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::guild_model::fixture::{
        channel, guild, member, model, ready, staff_only, tell, thread, voice,
    };

    fn role(id: &str, permissions: &str) -> Value {
        json!({"guild_id": "100", "role": {"id": id, "permissions": permissions, "name": "new"}})
    }

    #[test]
    fn only_what_changes_access_is_said_to_change_it() {
        let users = |ids: &[u64]| Some(AccessChange::Users(ids.iter().map(|id| UserId(*id)).collect()));
        let all = || Some(AccessChange::Guild);
        let mut topic = channel(102, 0, staff_only());
        topic["topic"] = json!("another");
        let mut timed_out = member(3, &[]);
        timed_out["communication_disabled_until"] = json!("2030-01-01T00:00:00+00:00");
        let mut nick = member(3, &[]);
        nick["nick"] = json!("another");
        let chunk = json!({
            "guild_id": "100", "members": [member(1, &[]), member(3, &["301"])], "not_found": ["2", "4"],
        });
        let mut reversed = staff_only();
        reversed.as_array_mut().unwrap().reverse();
        let table: [(&str, &str, Value, Option<AccessChange>); 28] = [
            ("guild told of", "GUILD_CREATE", guild(), all()),
            ("outage", "GUILD_DELETE", json!({"id": "100", "unavailable": true}), None),
            ("bot removed", "GUILD_DELETE", json!({"id": "100"}), all()),
            ("renamed", "GUILD_UPDATE", json!({"id": "100", "owner_id": "1"}), None),
            ("sold", "GUILD_UPDATE", json!({"id": "100", "owner_id": "3"}), users(&[1, 3])),
            ("new role", "GUILD_ROLE_CREATE", role("302", "8"), None),
            ("role renamed", "GUILD_ROLE_UPDATE", role("301", "0"), None),
            ("role given more", "GUILD_ROLE_UPDATE", role("301", "8"), all()),
            ("role deleted", "GUILD_ROLE_DELETE", json!({"guild_id": "100", "role_id": "301"}), all()),
            ("no such role", "GUILD_ROLE_DELETE", json!({"guild_id": "100", "role_id": "399"}), None),
            ("channel created", "CHANNEL_CREATE", channel(104, 0, json!([])), all()),
            ("topic changed", "CHANNEL_UPDATE", topic, None),
            ("overwrites in another order", "CHANNEL_UPDATE", channel(102, 0, reversed), None),
            ("channel opened", "CHANNEL_UPDATE", channel(102, 0, json!([])), all()),
            ("channel unreadable", "CHANNEL_UPDATE", channel(102, 0, json!([7])), all()),
            ("channel deleted", "CHANNEL_DELETE", channel(102, 0, json!([])), None),
            ("thread created", "THREAD_CREATE", thread(403, 12, 101), None),
            ("nick changed", "GUILD_MEMBER_UPDATE", nick, None),
            ("roles changed", "GUILD_MEMBER_UPDATE", member(3, &["301"]), users(&[3])),
            ("timed out", "GUILD_MEMBER_UPDATE", timed_out, users(&[3])),
            ("unseen member", "GUILD_MEMBER_UPDATE", member(50, &[]), users(&[50])),
            ("joined", "GUILD_MEMBER_ADD", member(4, &[]), users(&[4])),
            ("left", "GUILD_MEMBER_REMOVE", member(3, &[]), users(&[3])),
            ("banned", "GUILD_BAN_ADD", member(3, &[]), users(&[3])),
            ("ban lifted", "GUILD_BAN_REMOVE", member(4, &[]), None),
            ("looked up", "GUILD_MEMBERS_CHUNK", chunk, users(&[3, 2, 4])),
            ("joined voice", "VOICE_STATE_UPDATE", voice(3, Some(203)), None),
            ("wrote", "MESSAGE_CREATE", json!({"guild_id": "100", "channel_id": "101"}), None),
        ];
        for (what, event, d, expected) in table {
            assert_eq!(tell(&mut model(), event, &d).0.changes, expected, "{what}");
        }
        let mut model = model();
        tell(&mut model, "GUILD_MEMBER_REMOVE", &member(3, &[]));
        assert_eq!(tell(&mut model, "GUILD_BAN_ADD", &member(3, &[])).0.changes, None, "already gone");
    }

    #[test]
    fn a_scope_names_the_channel_and_what_it_takes() {
        let channels = |ids: &[u64]| {
            Scope::channels(GuildId(100), ids.iter().map(|id| ChannelId(*id)).collect::<Vec<_>>())
        };
        let needing = |needs, scope: Scope| Scope { needs, ..scope };
        let guild = |needs| Scope::guild(GuildId(100), needs);
        let secret = || Scope { guild: Some(GuildId(100)), secret: true, ..Scope::default() };
        let at = |channel: &str| json!({"guild_id": "100", "channel_id": channel});
        let id = |id: &str| json!({"guild_id": "100", "id": id});
        let of_guild = || json!({"guild_id": "100"});
        let table: [(&str, Value, Scope); 34] = [
            ("MESSAGE_CREATE", at("101"), channels(&[101])),
            ("MESSAGE_CREATE", json!({"channel_id": "101"}), Scope::default()),
            ("MESSAGE_CREATE", json!({"guild_id": "100", "channel_id": "101", "flags": 64}), secret()),
            ("MESSAGE_CREATE", at("not an id"), guild(Permissions::ADMINISTRATOR)),
            ("MESSAGE_CREATE", at("999"), channels(&[999])),
            ("MESSAGE_CREATE", at("401"), channels(&[101])),
            ("MESSAGE_CREATE", at("402"), needing(Permissions::MANAGE_THREADS, channels(&[101]))),
            ("THREAD_DELETE", id("402"), needing(Permissions::MANAGE_THREADS, channels(&[101]))),
            ("THREAD_MEMBERS_UPDATE", id("401"), channels(&[101])),
            ("THREAD_CREATE", thread(403, 12, 102), needing(Permissions::MANAGE_THREADS, channels(&[102]))),
            ("THREAD_UPDATE", thread(499, 10, 102), channels(&[102])),
            ("THREAD_DELETE", thread(499, 11, 102), channels(&[102])),
            ("THREAD_LIST_SYNC", of_guild(), secret()),
            ("CHANNEL_PINS_UPDATE", at("101"), channels(&[101])),
            ("VOICE_CHANNEL_STATUS_UPDATE", id("201"), channels(&[201])),
            ("VOICE_CHANNEL_EFFECT_SEND", at("201"), channels(&[201])),
            ("VOICE_STATE_UPDATE", voice(3, Some(203)), channels(&[203])),
            ("VOICE_STATE_UPDATE", voice(3, None), guild(Permissions::ADMINISTRATOR)),
            ("VOICE_SERVER_UPDATE", of_guild(), secret()),
            ("INTERACTION_CREATE", at("101"), secret()),
            ("WEBHOOKS_UPDATE", at("102"), needing(Permissions::MANAGE_WEBHOOKS, channels(&[102]))),
            ("INVITE_DELETE", at("102"), needing(Permissions::MANAGE_CHANNELS, channels(&[102]))),
            ("INVITE_DELETE", of_guild(), guild(Permissions::ADMINISTRATOR)),
            ("GUILD_BAN_REMOVE", of_guild(), guild(Permissions::BAN_MEMBERS)),
            ("GUILD_AUDIT_LOG_ENTRY_CREATE", of_guild(), guild(Permissions::VIEW_AUDIT_LOG)),
            ("INTEGRATION_DELETE", of_guild(), guild(Permissions::MANAGE_GUILD)),
            ("AUTO_MODERATION_ACTION_EXECUTION", at("101"), guild(Permissions::MANAGE_GUILD)),
            ("GUILD_SCHEDULED_EVENT_CREATE", at("203"), channels(&[203])),
            ("GUILD_SCHEDULED_EVENT_CREATE", of_guild(), guild(Permissions::NONE)),
            ("GUILD_SCHEDULED_EVENT_CREATE", at("not an id"), guild(Permissions::ADMINISTRATOR)),
            ("GUILD_SCHEDULED_EVENT_USER_ADD", of_guild(), guild(Permissions::ADMINISTRATOR)),
            ("PRESENCE_UPDATE", of_guild(), guild(Permissions::NONE)),
            ("A_NEW_EVENT_2031", of_guild(), guild(Permissions::ADMINISTRATOR)),
            ("A_NEW_EVENT_2031", json!([1, 2]), Scope::default()),
        ];
        for (event, d, expected) in table {
            assert_eq!(tell(&mut model(), event, &d).0, expected, "{event} {d}");
        }
    }

    #[test]
    fn whoever_could_see_the_channel_that_was_left_sees_the_leaving() {
        let mut model = model();
        tell(&mut model, "VOICE_STATE_UPDATE", &voice(3, Some(203)));
        let (scope, derived) = tell(&mut model, "VOICE_STATE_UPDATE", &voice(3, None));
        assert_eq!(scope.channels, [ChannelId(203)]);
        assert_eq!(derived[0].scope.channels, [ChannelId(203)]);
    }

    #[test]
    fn a_guild_that_is_awaited_has_no_access_to_change() {
        let mut model = GuildModel::default();
        tell(&mut model, "READY", &ready());
        let scope = tell(&mut model, "GUILD_MEMBER_ADD", &member(3, &[])).0;
        assert_eq!(scope, Scope::guild(GuildId(100), Permissions::NONE));
    }
}
