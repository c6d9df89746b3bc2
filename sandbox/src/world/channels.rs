//! Channels, threads and roles: how a guild is built and rebuilt.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    World,
    guild::{Channel, ChannelKind, Role, Thread},
    id::{Id, Timestamp},
    payload,
    permissions::Permissions,
};

/// A thread to come.
#[derive(Debug)]
pub(crate) struct ThreadDraft {
    pub(crate) name: String,
    pub(crate) kind: ChannelKind,
    pub(crate) owner: Id,
    pub(crate) auto_archive_min: u32,
    /// The message it grows from, whose id it shares.
    pub(crate) message: Option<Id>,
}

impl World {
    /// Adds a channel to a guild. The draft's id is replaced by a new one.
    pub(crate) fn create_channel(&mut self, guild: Id, mut draft: Channel) -> Option<Id> {
        let id = self.new_id();
        draft.id = id;
        let home = self.guilds.get_mut(&guild)?;
        let data = payload::channel(guild, &draft);
        home.channels.insert(id, draft);
        self.emit("CHANNEL_CREATE", Some(guild), &data);
        Some(id)
    }

    /// Changes a channel or thread and says so.
    pub(crate) fn update_channel(&mut self, id: Id, change: impl FnOnce(&mut Channel)) {
        let Some(guild) = self.guild_of(id).map(|guild| guild.id) else { return };
        let Some(channel) = self.channel_mut(id) else { return };
        change(channel);
        let name = if channel.thread.is_some() { "THREAD_UPDATE" } else { "CHANNEL_UPDATE" };
        let data = payload::channel(guild, channel);
        self.emit(name, Some(guild), &data);
    }

    /// Deletes a channel or thread; who sat in it leaves voice first, and its threads go with it.
    pub(crate) fn delete_channel(&mut self, id: Id) {
        let Some((home, _)) = self.channel(id) else { return };
        let guild = home.id;
        let seated: Vec<Id> =
            home.voice.iter().filter(|(_, seat)| seat.channel == id).map(|(user, _)| *user).collect();
        let threads: Vec<Id> = home
            .channels
            .values()
            .filter(|channel| channel.thread.is_some() && channel.parent == Some(id))
            .map(|channel| channel.id)
            .collect();
        for user in seated {
            self.set_voice(guild, user, None);
        }
        let Some(home) = self.guilds.get_mut(&guild) else { return };
        for thread in threads {
            home.channels.remove(&thread);
        }
        let Some(gone) = home.channels.remove(&id) else { return };
        let mut children = Vec::new();
        for channel in home.channels.values_mut().filter(|channel| channel.parent == Some(id)) {
            channel.parent = None;
            children.push(payload::channel(guild, channel));
        }
        if gone.thread.is_some() {
            let data =
                json!({ "id": id, "guild_id": guild, "parent_id": gone.parent, "type": gone.kind as u8 });
            self.emit("THREAD_DELETE", Some(guild), &data);
            return;
        }
        self.emit("CHANNEL_DELETE", Some(guild), &payload::channel(guild, &gone));
        for child in children {
            self.emit("CHANNEL_UPDATE", Some(guild), &child);
        }
    }

    /// Opens a thread in a channel; its owner is its first member.
    pub(crate) fn create_thread(&mut self, parent: Id, draft: ThreadDraft) -> Option<Id> {
        let guild = self.guild_of(parent)?.id;
        let now = Timestamp::now();
        let id = draft.message.unwrap_or_else(|| self.new_id());
        let mut channel = Channel::new(id, draft.kind, &draft.name);
        channel.parent = Some(parent);
        channel.thread = Some(Thread {
            owner: draft.owner,
            created: now,
            archive_changed: now,
            archived: false,
            locked: false,
            auto_archive_min: draft.auto_archive_min,
            message_count: 0,
            members: BTreeMap::from([(draft.owner, now)]),
        });
        let mut data = payload::channel(guild, &channel);
        data["newly_created"] = json!(true);
        if draft.owner == self.application.bot {
            data["member"] = payload::thread_member(id, draft.owner, now);
        }
        self.guilds.get_mut(&guild)?.channels.insert(id, channel);
        if let Some(message) = self.channel_mut(parent).and_then(|channel| channel.message_mut(id)) {
            message.thread = Some(id);
        }
        self.emit_in(id, "THREAD_CREATE", &data);
        Some(id)
    }

    /// Adds a user to a thread or takes them out of it.
    pub(crate) fn set_thread_member(&mut self, id: Id, user: Id, inside: bool) {
        let now = Timestamp::now();
        let Some(guild) = self.guild_of(id).map(|guild| guild.id) else { return };
        let Some(thread) = self.channel_mut(id).and_then(|channel| channel.thread.as_mut()) else { return };
        let changed = if inside {
            thread.members.insert(user, now).is_none()
        } else {
            thread.members.remove(&user).is_some()
        };
        if !changed {
            return;
        }
        let mut data = json!({ "id": id, "guild_id": guild, "member_count": thread.members.len().min(50) });
        if inside {
            data["added_members"] = json!([payload::thread_member(id, user, now)]);
        } else {
            data["removed_member_ids"] = json!([user]);
        }
        self.emit_in(id, "THREAD_MEMBERS_UPDATE", &data);
    }

    /// Adds a role above @everyone. The draft's id is replaced by a new one.
    pub(crate) fn create_role(&mut self, guild: Id, mut draft: Role) -> Option<Role> {
        draft.id = self.new_id();
        let home = self.guilds.get_mut(&guild)?;
        home.roles.insert(draft.id, draft.clone());
        self.tell_role("GUILD_ROLE_CREATE", guild, &draft);
        Some(draft)
    }

    /// Changes a role and says so.
    pub(crate) fn update_role(&mut self, guild: Id, id: Id, change: impl FnOnce(&mut Role)) -> Option<Role> {
        let role = self.guilds.get_mut(&guild)?.roles.get_mut(&id)?;
        change(role);
        let role = role.clone();
        self.tell_role("GUILD_ROLE_UPDATE", guild, &role);
        Some(role)
    }

    /// Deletes a role; members and overwrites lose it.
    pub(crate) fn delete_role(&mut self, guild: Id, id: Id) {
        let Some(home) = self.guilds.get_mut(&guild) else { return };
        if home.roles.remove(&id).is_none() {
            return;
        }
        for member in home.members.values_mut() {
            member.roles.retain(|role| *role != id);
        }
        for channel in home.channels.values_mut() {
            channel.overwrites.retain(|overwrite| overwrite.id != id);
        }
        self.emit("GUILD_ROLE_DELETE", Some(guild), &json!({ "guild_id": guild, "role_id": id }));
    }

    /// Gives a guild another name.
    pub(crate) fn rename_guild(&mut self, id: Id, name: String) {
        let Some(guild) = self.guilds.get_mut(&id) else { return };
        guild.name = name;
        let data = payload::guild(guild);
        self.emit("GUILD_UPDATE", Some(id), &data);
    }

    /// Notes a deed of the bot in the audit log, which those who may read it hear of at once.
    pub(crate) fn audit(&mut self, guild: Id, action: u8, target: Id, reason: Option<String>) {
        let bot = self.application.bot;
        if !self.permissions_of(bot, guild).contains(Permissions::VIEW_AUDIT_LOG) {
            return;
        }
        let mut data = json!({
            "id": self.new_id(),
            "guild_id": guild,
            "user_id": bot,
            "target_id": target,
            "action_type": action,
            "changes": [],
        });
        if let Some(reason) = reason {
            data["reason"] = json!(reason);
        }
        self.emit("GUILD_AUDIT_LOG_ENTRY_CREATE", Some(guild), &data);
    }

    fn tell_role(&mut self, name: &'static str, guild: Id, role: &Role) {
        let data: Value = json!({ "guild_id": guild, "role": payload::role(role) });
        self.emit(name, Some(guild), &data);
    }
}
