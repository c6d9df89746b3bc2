//! Messages and the reactions under them.

use serde_json::{Value, json};

use crate::world::{
    World,
    guild::Guild,
    id::Id,
    message::{Message, Reaction, ReactionEmoji},
    user::User,
};

pub(crate) fn reaction_emoji(emoji: &ReactionEmoji) -> Value {
    json!({ "id": emoji.id, "name": emoji.name })
}

fn reaction(reaction: &Reaction, viewer: Id) -> Value {
    json!({
        "emoji": reaction_emoji(&reaction.emoji),
        "count": reaction.users.len(),
        "count_details": { "burst": 0, "normal": reaction.users.len() },
        "burst_colors": [],
        "me": reaction.users.contains(&viewer),
        "me_burst": false,
    })
}

/// Empties what only applications with MESSAGE_CONTENT may read.
pub(crate) fn redact(message: &mut Value, bot: Id) {
    message["content"] = json!("");
    for list in ["embeds", "attachments", "components"] {
        message[list] = json!([]);
    }
    let answered = message.get_mut("referenced_message").filter(|answered| answered.is_object());
    if let Some(answered) = answered.filter(|answered| answered["author"]["id"] != json!(bot)) {
        redact(answered, bot);
    }
}

impl World {
    /// A message as REST answers it, without what only the Gateway adds.
    ///
    /// <https://discord.com/developers/docs/resources/message#message-object>
    pub(crate) fn message_payload(&self, guild: &Guild, message: &Message) -> Value {
        let bot = self.application.bot;
        let body = &message.body;
        let mentions: Vec<_> =
            body.mentions.iter().filter_map(|id| self.users.get(id)).map(User::payload).collect();
        let mut payload = json!({
            "id": message.id,
            "type": message.kind(),
            "channel_id": message.channel,
            "author": self.users.get(&message.author).map(User::payload),
            "content": body.content,
            "timestamp": message.sent,
            "edited_timestamp": message.edited,
            "tts": body.tts,
            "mention_everyone": body.mention_everyone,
            "mentions": mentions,
            "mention_roles": body.mention_roles,
            "attachments": [],
            "embeds": body.embeds,
            "components": body.components,
            "pinned": message.pinned.is_some(),
            "flags": body.flags,
        });
        if !message.reactions.is_empty() {
            payload["reactions"] = message.reactions.iter().map(|entry| reaction(entry, bot)).collect();
        }
        if let Some(nonce) = &body.nonce {
            payload["nonce"] = nonce.clone();
        }
        let channel = guild.channels.get(&message.channel);
        if let Some(answered) = body.reply_to {
            payload["message_reference"] = json!({ "type": 0, "message_id": answered, "channel_id": message.channel, "guild_id": guild.id });
            payload["referenced_message"] = channel
                .and_then(|channel| channel.message(answered))
                // One level only: the answered message does not bring the one it answers.
                .map(|found| {
                    let mut found = found.clone();
                    found.body.reply_to = None;
                    self.message_payload(guild, &found)
                })
                .unwrap_or_default();
        }
        if let Some(thread) = message.thread.and_then(|id| guild.channels.get(&id)) {
            payload["thread"] = super::channel(guild.id, thread);
        }
        payload
    }

    /// The same as MESSAGE_CREATE carries it: with the guild and the author's member.
    pub(crate) fn message_event(&self, guild: &Guild, message: &Message) -> Value {
        let mut payload = self.message_payload(guild, message);
        payload["guild_id"] = json!(guild.id);
        payload["channel_type"] =
            json!(guild.channels.get(&message.channel).map_or(0, |channel| channel.kind as u8));
        if let Some(member) = guild.members.get(&message.author) {
            payload["member"] = json!(member.partial());
        }
        let mentioned = message.body.mentions.iter().filter(|id| self.users.contains_key(id));
        for (at, id) in mentioned.enumerate() {
            if let Some(member) = guild.members.get(id) {
                payload["mentions"][at]["member"] = json!(member.partial());
            }
        }
        payload
    }
}
