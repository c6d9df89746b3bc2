//! Messages, reactions and typing.

use serde_json::{Value, json};

use super::{
    Event, World,
    guild::Guild,
    id::{Id, Timestamp},
    json_text,
    message::{Message, MessageBody, Reaction, ReactionEmoji},
    payload,
};

impl World {
    /// Posts a message; `None` when there is no such channel.
    pub(crate) fn post(&mut self, channel: Id, author: Id, body: MessageBody) -> Option<Message> {
        let id = self.new_id();
        let message = Message {
            id,
            channel,
            author,
            sent: Timestamp::now(),
            edited: None,
            body,
            reactions: Vec::new(),
            pinned: None,
            thread: None,
        };
        self.channel_mut(channel)?.push(message.clone());
        self.tell_message("MESSAGE_CREATE", &message);
        Some(message)
    }

    /// Replaces what a message says.
    pub(crate) fn edit(
        &mut self,
        channel: Id,
        id: Id,
        change: impl FnOnce(&mut MessageBody),
    ) -> Option<Message> {
        let message = self.channel_mut(channel)?.message_mut(id)?;
        change(&mut message.body);
        message.edited = Some(Timestamp::now());
        let message = message.clone();
        self.tell_message("MESSAGE_UPDATE", &message);
        Some(message)
    }

    /// Pins or unpins a message. A second time changes nothing and tells nobody.
    pub(crate) fn pin(&mut self, channel: Id, id: Id, pinned: bool) {
        let Some(place) = self.channel_mut(channel) else { return };
        let Some(message) = place.message_mut(id).filter(|message| message.pinned.is_some() != pinned) else {
            return;
        };
        message.pinned = pinned.then(Timestamp::now);
        let message = message.clone();
        let latest = place.pins().next().and_then(|message| message.pinned);
        let guild = self.guild_of(channel).map(|guild| guild.id);
        self.tell_message("MESSAGE_UPDATE", &message);
        self.emit_in(
            channel,
            "CHANNEL_PINS_UPDATE",
            &json!({ "guild_id": guild, "channel_id": channel, "last_pin_timestamp": latest }),
        );
    }

    /// Deletes messages; two or more go in one MESSAGE_DELETE_BULK when `bulk` is set.
    pub(crate) fn delete(&mut self, channel: Id, ids: &[Id], bulk: bool) {
        let Some(place) = self.channel_mut(channel) else { return };
        let gone: Vec<Id> = ids.iter().filter_map(|id| place.remove(*id)).map(|message| message.id).collect();
        let guild = self.guild_of(channel).map(|guild| guild.id);
        if bulk {
            let data = json!({ "ids": gone, "channel_id": channel, "guild_id": guild });
            return self.emit_in(channel, "MESSAGE_DELETE_BULK", &data);
        }
        for id in gone {
            self.emit_in(
                channel,
                "MESSAGE_DELETE",
                &json!({ "id": id, "channel_id": channel, "guild_id": guild }),
            );
        }
    }

    /// Adds a user's reaction; a second time changes nothing and tells nobody.
    pub(crate) fn react(&mut self, channel: Id, id: Id, user: Id, emoji: &ReactionEmoji) {
        let Some(message) = self.channel_mut(channel).and_then(|channel| channel.message_mut(id)) else {
            return;
        };
        let author = message.author;
        match message.reactions.iter_mut().find(|entry| entry.emoji == *emoji) {
            Some(entry) if entry.users.contains(&user) => return,
            Some(entry) => entry.users.push(user),
            None => message.reactions.push(Reaction { emoji: emoji.clone(), users: vec![user] }),
        }
        let mut data = self.reaction(channel, id, user, emoji);
        data["message_author_id"] = json!(author);
        let member = self.guild_of(channel).and_then(|guild| self.member_of(guild, user));
        data["member"] = member.unwrap_or_default();
        self.emit_in(channel, "MESSAGE_REACTION_ADD", &data);
    }

    /// Takes a user's reaction away. False when there was none.
    pub(crate) fn unreact(&mut self, channel: Id, id: Id, user: Id, emoji: &ReactionEmoji) -> bool {
        let message = self.channel_mut(channel).and_then(|channel| channel.message_mut(id));
        let Some(message) = message else { return false };
        let Some(at) = message.reactions.iter().position(|entry| entry.emoji == *emoji) else { return false };
        let users = &mut message.reactions[at].users;
        let Some(who) = users.iter().position(|id| *id == user) else { return false };
        users.remove(who);
        if users.is_empty() {
            message.reactions.remove(at);
        }
        let data = self.reaction(channel, id, user, emoji);
        self.emit_in(channel, "MESSAGE_REACTION_REMOVE", &data);
        true
    }

    /// Takes all reactions away, or all of one emoji.
    pub(crate) fn clear_reactions(&mut self, channel: Id, id: Id, emoji: Option<&ReactionEmoji>) {
        let guild = self.guild_of(channel).map(|guild| guild.id);
        let Some(message) = self.channel_mut(channel).and_then(|channel| channel.message_mut(id)) else {
            return;
        };
        message.reactions.retain(|entry| emoji.is_some_and(|emoji| entry.emoji != *emoji));
        let mut data = json!({ "channel_id": channel, "message_id": id, "guild_id": guild });
        match emoji {
            Some(emoji) => {
                data["emoji"] = payload::reaction_emoji(emoji);
                self.emit_in(channel, "MESSAGE_REACTION_REMOVE_EMOJI", &data);
            }
            None => self.emit_in(channel, "MESSAGE_REACTION_REMOVE_ALL", &data),
        }
    }

    /// Shows that a user is typing.
    pub(crate) fn start_typing(&mut self, channel: Id, user: Id) {
        let Some(guild) = self.guild_of(channel) else { return };
        let data = json!({
            "channel_id": channel,
            "guild_id": guild.id,
            "user_id": user,
            "timestamp": Timestamp::now().unix_s(),
            "member": self.member_of(guild, user),
        });
        self.emit_in(channel, "TYPING_START", &data);
    }

    fn reaction(&self, channel: Id, id: Id, user: Id, emoji: &ReactionEmoji) -> Value {
        json!({
            "user_id": user,
            "channel_id": channel,
            "message_id": id,
            "guild_id": self.guild_of(channel).map(|guild| guild.id),
            "emoji": payload::reaction_emoji(emoji),
            "burst": false,
            "type": 0,
        })
    }

    fn member_of(&self, guild: &Guild, user: Id) -> Option<Value> {
        let member = guild.members.get(&user)?;
        Some(json!(member.with_user(self.users.get(&user)?)))
    }

    fn tell_message(&mut self, name: &'static str, message: &Message) {
        let Some(guild) = self.guild_of(message.channel) else { return };
        if !self.bot_sees(message.channel) {
            return;
        }
        let mut data = self.message_event(guild, message);
        let text = json_text(&data);
        let redacted = (!message.is_for(self.application.bot)).then(|| {
            payload::redact(&mut data, self.application.bot);
            json_text(&data)
        });
        let guild = Some(guild.id);
        self.outbox.push(Event { name, guild, data: text, redacted });
    }
}
