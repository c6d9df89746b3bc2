//! Members who come, change and go.

use serde_json::json;

use super::{
    World,
    guild::{Member, Status},
    id::{Id, Timestamp},
    json_text,
};

impl World {
    /// Lets a known user join a guild. False when they are unknown, banned or already there.
    pub(crate) fn add_member(&mut self, guild: Id, user: Id) -> bool {
        let (Some(home), Some(account)) = (self.guilds.get_mut(&guild), self.users.get(&user)) else {
            return false;
        };
        if home.members.contains_key(&user) || home.bans.contains_key(&user) {
            return false;
        }
        let member = Member::new(user, Timestamp::now());
        let data = json_text(&member.with_guild(account, guild));
        home.members.insert(user, member);
        self.outbox.push(super::Event { name: "GUILD_MEMBER_ADD", guild: Some(guild), data, redacted: None });
        true
    }

    /// Changes a member and says so; a changed server mute or deafen is also told as a voice state.
    pub(crate) fn update_member(&mut self, guild: Id, user: Id, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.member_mut(guild, user) else { return };
        let before = (member.mute, member.deaf);
        change(member);
        let silenced = before != (member.mute, member.deaf);
        let (Some(member), Some(account)) =
            (self.guilds.get(&guild).and_then(|home| home.members.get(&user)), self.users.get(&user))
        else {
            return;
        };
        let data = json_text(&member.with_guild(account, guild));
        self.outbox.push(super::Event {
            name: "GUILD_MEMBER_UPDATE",
            guild: Some(guild),
            data,
            redacted: None,
        });
        if silenced {
            self.retell_voice(guild, user);
        }
    }

    /// Takes a member out of a guild, and out of voice first. False when they were not there.
    pub(crate) fn remove_member(&mut self, guild: Id, user: Id) -> bool {
        self.set_voice(guild, user, None);
        let gone = self.guilds.get_mut(&guild).and_then(|home| home.members.remove(&user));
        if gone.is_none() {
            return false;
        }
        let data = json!({ "guild_id": guild, "user": self.users.get(&user).map(super::User::payload) });
        self.emit("GUILD_MEMBER_REMOVE", Some(guild), &data);
        true
    }

    /// Bans a user, member or not.
    pub(crate) fn ban(&mut self, guild: Id, user: Id, reason: Option<String>) {
        let Some(home) = self.guilds.get_mut(&guild) else { return };
        if home.bans.insert(user, reason).is_some() {
            return;
        }
        let data = json!({ "guild_id": guild, "user": self.users.get(&user).map(super::User::payload) });
        self.emit("GUILD_BAN_ADD", Some(guild), &data);
        self.remove_member(guild, user);
    }

    /// Lifts a ban. False when there was none.
    pub(crate) fn unban(&mut self, guild: Id, user: Id) -> bool {
        let lifted = self.guilds.get_mut(&guild).and_then(|home| home.bans.remove(&user));
        if lifted.is_none() {
            return false;
        }
        let data = json!({ "guild_id": guild, "user": self.users.get(&user).map(super::User::payload) });
        self.emit("GUILD_BAN_REMOVE", Some(guild), &data);
        true
    }

    /// Shows a member as online, idle, busy or gone.
    pub(crate) fn set_status(&mut self, guild: Id, user: Id, status: Status) {
        let Some(member) = self.member_mut(guild, user) else { return };
        if member.status == status {
            return;
        }
        member.status = status;
        let mut data = json!(member.presence());
        data["guild_id"] = json!(guild);
        self.emit("PRESENCE_UPDATE", Some(guild), &data);
    }
}
