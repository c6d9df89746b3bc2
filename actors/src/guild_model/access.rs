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
    pub(super) fn member(&self, user: UserId) -> Standing<'_> {
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

    pub(super) fn holder<'a>(
        &self,
        guild: GuildId,
        user: UserId,
        member: &'a Member,
        now: SystemTime,
    ) -> Holder<'a> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use serenity::model as discord;

    use super::*;
    use crate::guild_model::fixture::{
        ADA, BOT, GRACE, GUILD, LINUS, MALLORY, ORDINARY, VIEW, access, channel, guild, member, model, now,
        ready, staff_only, tell,
    };

    fn seen(model: &GuildModel, user: UserId) -> Vec<u64> {
        access(model, user).channels.iter().map(|channel| channel.id.0).collect()
    }

    fn role(id: u64, permissions: &str) -> Value {
        json!({"guild_id": "100", "role": {"id": id.to_string(), "permissions": permissions}})
    }

    #[test]
    fn each_sees_their_channels() {
        let model = model();
        assert_eq!(seen(&model, ADA), [101, 102, 201, 202, 203], "the owner sees all");
        assert_eq!(seen(&model, GRACE), [101, 102, 201, 202, 203], "staff sees staff channels");
        assert_eq!(seen(&model, LINUS), [101, 201, 202]);
        assert_eq!(access(&model, LINUS).permissions, Permissions(3072));
    }

    #[test]
    fn what_changes_access_counts_at_once() {
        let steps: [(&str, &str, Value, &[u64]); 8] = [
            ("gets the role", "GUILD_MEMBER_UPDATE", member(3, &["301"]), &[101, 102, 201, 202, 203]),
            ("a channel shuts", "CHANNEL_UPDATE", channel(201, 2, staff_only()), &[101, 102, 201, 202, 203]),
            (
                "the role is deleted",
                "GUILD_ROLE_DELETE",
                json!({"guild_id": "100", "role_id": "301"}),
                &[101, 202],
            ),
            ("a channel opens", "CHANNEL_UPDATE", channel(203, 2, json!([])), &[101, 202, 203]),
            ("a channel appears", "CHANNEL_CREATE", channel(104, 0, json!([])), &[101, 104, 202, 203]),
            ("nobody sees anything", "GUILD_ROLE_UPDATE", role(100, "0"), &[]),
            ("all do again", "GUILD_ROLE_UPDATE", role(100, ORDINARY), &[101, 104, 202, 203]),
            (
                "owns it",
                "GUILD_UPDATE",
                json!({"id": "100", "owner_id": "3"}),
                &[101, 102, 104, 201, 202, 203],
            ),
        ];
        let mut model = model();
        for (what, event, d, expected) in steps {
            tell(&mut model, event, &d);
            assert_eq!(seen(&model, LINUS), expected, "{what}");
        }
    }

    #[test]
    fn a_channel_whose_overwrites_cannot_be_read_is_for_administrators() {
        let unreadable = [
            ("no list", json!("x")),
            ("absent", Value::Null),
            ("a broken entry", json!([{"id": "100", "type": 0, "allow": "0", "deny": "many"}])),
            ("an entry of a new kind", json!([{"id": "100", "type": 2, "allow": "0", "deny": "0"}])),
            // What Discord sends of a channel that the bot itself can't view.
            ("obfuscated", json!([{"id": "100", "type": 0, "allow": "0", "deny": VIEW}])),
        ];
        for (what, overwrites) in unreadable {
            let mut model = model();
            tell(&mut model, "CHANNEL_CREATE", &channel(105, 0, overwrites));
            let seers: Vec<_> = [ADA, GRACE, LINUS].map(|user| seen(&model, user).contains(&105)).into();
            assert_eq!(seers, [true, false, false], "{what}");
        }
    }

    #[test]
    fn an_update_that_says_nothing_of_overwrites_leaves_them() {
        let mut model = model();
        let mut told = channel(102, 0, Value::Null);
        told.as_object_mut().unwrap().remove("permission_overwrites");
        tell(&mut model, "CHANNEL_UPDATE", &told);
        assert!(seen(&model, GRACE).contains(&102));
        assert!(!seen(&model, LINUS).contains(&102));
    }

    #[test]
    fn a_deleted_channel_keeps_the_access_it_had() {
        let mut model = model();
        tell(&mut model, "CHANNEL_DELETE", &channel(102, 0, json!([])));
        assert!(seen(&model, GRACE).contains(&102));
        assert!(!seen(&model, LINUS).contains(&102));
        tell(&mut model, "CHANNEL_CREATE", &channel(102, 0, json!([])));
        for user in [GRACE, LINUS] {
            assert_eq!(seen(&model, user).iter().filter(|id| **id == 102).count(), 1, "it is there once");
        }
        let mut shrunk = guild();
        shrunk["channels"] = json!([channel(101, 0, json!([]))]);
        tell(&mut model, "GUILD_CREATE", &shrunk);
        assert_eq!(seen(&model, LINUS), [101, 102, 201, 202], "deleted during an outage");
    }

    #[test]
    fn a_timeout_leaves_viewing_and_runs_out_by_itself() {
        let mut model = model();
        tell(&mut model, "GUILD_ROLE_UPDATE", &role(301, "4"));
        let mut told = member(2, &["301"]);
        told["communication_disabled_until"] = json!("2026-01-01T00:00:01.5+00:00");
        tell(&mut model, "GUILD_MEMBER_UPDATE", &told);
        let held = |after_s| {
            let now = now() + std::time::Duration::from_secs(after_s);
            let Membership::Member(access) = model.access(GUILD, GRACE, now) else { panic!("a member") };
            (access.permissions, access.channels.len())
        };
        assert_eq!(held(0), (Permissions::VIEW_CHANNEL, 5));
        assert_eq!(held(2), (Permissions(3076), 5));
    }

    #[test]
    fn membership_is_known_unknown_or_denied() {
        let mut model = GuildModel::default();
        let standing = |model: &GuildModel, user| match model.access(GUILD, user, now()) {
            Membership::Member(_) => "member",
            Membership::Absent => "absent",
            Membership::Unseen => "unseen",
            Membership::Unavailable => "unavailable",
        };
        assert_eq!(standing(&model, LINUS), "unavailable");
        tell(&mut model, "READY", &ready());
        assert_eq!(standing(&model, LINUS), "unavailable");
        assert_eq!(model.access(GuildId(5), LINUS, now()), Membership::Absent);
        let mut told = guild();
        told["members"] = json!([member(3, &[])]);
        tell(&mut model, "GUILD_CREATE", &told);
        assert_eq!(standing(&model, LINUS), "member");
        assert_eq!(standing(&model, ADA), "member", "an owner is a member without having been seen");
        assert_eq!(standing(&model, GRACE), "unseen");
        assert_eq!(standing(&model, MALLORY), "unseen");

        model.learn_member(GUILD, &member(2, &["301"]).to_string());
        model.learn_absent(GUILD, MALLORY);
        model.learn_member(GUILD, "{broken");
        assert_eq!((standing(&model, GRACE), standing(&model, MALLORY)), ("member", "absent"));
        tell(&mut model, "GUILD_MEMBER_ADD", &member(4, &[]));
        assert_eq!(standing(&model, MALLORY), "member");
        tell(&mut model, "GUILD_MEMBER_REMOVE", &member(4, &[]));
        tell(&mut model, "GUILD_BAN_ADD", &member(3, &[]));
        assert_eq!((standing(&model, LINUS), standing(&model, MALLORY)), ("absent", "absent"));
        tell(&mut model, "GUILD_DELETE", &json!({"id": "100", "unavailable": true}));
        assert_eq!(standing(&model, GRACE), "member", "an outage ends nothing");
        tell(&mut model, "GUILD_DELETE", &json!({"id": "100"}));
        assert_eq!(standing(&model, GRACE), "absent");
    }

    #[test]
    fn what_events_told_outweighs_a_slower_look_up() {
        let mut model = model();
        tell(&mut model, "GUILD_MEMBER_UPDATE", &member(2, &[]));
        model.learn_member(GUILD, &member(2, &["301"]).to_string());
        assert!(!seen(&model, GRACE).contains(&102));
        tell(&mut model, "GUILD_MEMBER_REMOVE", &member(2, &[]));
        model.learn_member(GUILD, &member(2, &["301"]).to_string());
        assert_eq!(model.access(GUILD, GRACE, now()), Membership::Absent);
        model.learn_absent(GUILD, LINUS);
        assert_ne!(model.access(GUILD, LINUS, now()), Membership::Absent);
    }

    #[test]
    fn a_member_whose_roles_cannot_be_read_is_looked_up() {
        let mut model = model();
        let mut told = member(50, &[]);
        told["roles"] = json!(["301", {"broken": true}]);
        tell(&mut model, "GUILD_MEMBER_ADD", &told);
        assert_eq!(model.access(GUILD, UserId(50), now()), Membership::Unseen);
    }

    #[test]
    fn threads_are_judged_by_their_parent() {
        let mut model = model();
        tell(&mut model, "GUILD_ROLE_UPDATE", &role(301, &Permissions::MANAGE_THREADS.0.to_string()));
        let held = |channel, user| model.channel_permissions(GUILD, ChannelId(channel), user, now());
        assert_eq!(held(401, LINUS), held(101, LINUS));
        assert_eq!(held(402, LINUS), Some(Permissions::NONE));
        assert_eq!(held(402, GRACE), held(101, GRACE));
        assert_eq!(held(402, ADA), Some(Permissions::ALL));
        assert_eq!(held(102, LINUS), Some(Permissions::NONE));
        assert_eq!(held(101, BOT), Some(Permissions(3072)));
        assert_eq!(held(999, ADA), None);
        assert_eq!(held(101, MALLORY), None);
    }

    fn serenity_guild(roles: &[(u64, u64)], owner: u64) -> discord::guild::PartialGuild {
        let role = |(id, permissions): &(u64, u64)| {
            json!({
                "id": id.to_string(), "permissions": permissions.to_string(), "name": "", "color": 0, "hoist": false,
                "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
                "managed": false, "mentionable": false, "position": 0,
            })
        };
        let roles: Vec<_> = roles.iter().map(role).collect();
        serde_json::from_value(json!({
            "id": "100", "name": "", "owner_id": owner.to_string(), "roles": roles, "emojis": [], "stickers": [],
            "features": [], "verification_level": 0, "default_message_notifications": 0, "premium_tier": 0,
            "explicit_content_filter": 0, "mfa_level": 0, "nsfw_level": 0, "system_channel_flags": 0,
            "preferred_locale": "en-US", "premium_progress_bar_enabled": false,
        }))
        .unwrap()
    }

    /// Any permissions, seldom those of an administrator, and VIEW_CHANNEL more often than not.
    fn any_permissions() -> impl Strategy<Value = u64> {
        (any::<u64>(), prop::bool::weighted(0.05), prop::bool::weighted(0.3)).prop_map(
            |(bits, admin, view)| {
                (bits & !Permissions::ADMINISTRATOR.0)
                    | if admin { Permissions::ADMINISTRATOR.0 } else { 0 }
                    | if view { Permissions::VIEW_CHANNEL.0 } else { 0 }
            },
        )
    }

    proptest! {
        #[test]
        fn permissions_are_what_serenity_computes(
            everyone in any_permissions(),
            roles in prop::collection::vec(any_permissions(), 4),
            held in prop::collection::btree_set(301..305u64, 0..4),
            overwrites in prop::collection::btree_map(
                // @everyone, the four roles, one that is no more, the member and another.
                prop::sample::select(vec![100, 301, 302, 303, 304, 305, 2, 3u64]),
                (any::<u64>(), any::<u64>()),
                0..6,
            ),
            owner in prop::sample::select(vec![1, 1, 1, 1, 2u64]),
        ) {
            let roles: Vec<_> = std::iter::once((100, everyone)).chain((301..305).zip(roles)).collect();
            let list: Vec<_> = overwrites.iter().map(|(id, (allow, deny))| json!({
                "id": id.to_string(), "type": u8::from(*id < 100),
                "allow": allow.to_string(), "deny": deny.to_string(),
            })).collect();
            let held: Vec<_> = held.iter().map(u64::to_string).collect();
            let held: Vec<_> = held.iter().map(String::as_str).collect();
            let told = json!({
                "id": "100", "owner_id": owner.to_string(), "channels": [channel(101, 2, list.clone().into())],
                "roles": roles.iter()
                    .map(|(id, bits)| json!({"id": id.to_string(), "permissions": bits.to_string()}))
                    .collect::<Vec<_>>(),
                "members": [member(2, &held)],
            });
            let mut model = GuildModel::default();
            tell(&mut model, "GUILD_CREATE", &told);

            let theirs = serenity_guild(&roles, owner);
            let their_channel: discord::channel::GuildChannel =
                serde_json::from_value(channel(101, 2, list.into())).unwrap();
            let their_member: discord::guild::Member = serde_json::from_value(json!({
                "user": {"id": "2", "username": "", "discriminator": "0"}, "roles": held, "deaf": false,
                "mute": false, "flags": 0,
            })).unwrap();

            let known = discord::Permissions::all().bits();
            let expected = theirs.user_permissions_in(&their_channel, &their_member);
            let expected = if expected.contains(discord::Permissions::VIEW_CHANNEL) { expected.bits() } else { 0 };
            let ours = model.channel_permissions(GUILD, ChannelId(101), UserId(2), now()).unwrap();
            prop_assert_eq!(ours.0 & known, expected);
            let in_guild = access(&model, UserId(2)).permissions;
            prop_assert_eq!(in_guild.0 & known, theirs.member_permissions(&their_member).bits());
        }
    }
}
