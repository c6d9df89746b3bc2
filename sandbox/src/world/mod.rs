//! The state: people, guilds and what happens in them. It knows nothing of HTTP, sockets or who is watching.
//!
//! Every change leaves the [`Event`]s that Discord would dispatch in an outbox; whoever made the change hands them to
//! the Gateway. Methods here do what they are told: permissions are the REST edge's concern.

mod channels;
mod demo;
pub(crate) mod guild;
mod guild_create;
pub(crate) mod id;
mod members;
pub(crate) mod message;
mod messages;
pub(crate) mod payload;
pub(crate) mod permissions;
pub(crate) mod user;
mod voice;

use std::collections::{BTreeMap, HashMap};

use bytestring::ByteString;
use serde::Serialize;

pub(crate) use channels::ThreadDraft;
pub(crate) use demo::{PEOPLE, Person};
pub(crate) use guild_create::MemberRequest;
pub(crate) use voice::SelfState;

use self::{
    guild::{Channel, Guild, Member},
    id::{Id, Mint, Timestamp},
    permissions::Permissions,
    user::User,
};

/// Everything this Discord knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) application: Application,
    pub(crate) users: HashMap<Id, User>,
    pub(crate) guilds: BTreeMap<Id, Guild>,
    mint: Mint,
    outbox: Vec<Event>,
}

/// The one application that is registered here, and its bot.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) id: Id,
    pub(crate) bot: Id,
    pub(crate) owner: Id,
    /// Privileged intents that were switched on for it (bits).
    pub(crate) privileged_intents: u64,
    /// Shards that its IDENTIFYs must have at least.
    pub(crate) shards: u64,
    /// Commands it has registered. They are kept and shown; nobody here can use them.
    pub(crate) commands: Vec<Command>,
}

/// A registered application command.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) id: Id,
    /// None for a command of all guilds.
    pub(crate) guild: Option<Id>,
    pub(crate) definition: serde_json::Map<String, serde_json::Value>,
}

/// A dispatch to come: what Discord would tell the sessions that may hear it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    /// Decides the shard; none for what concerns no guild.
    pub(crate) guild: Option<Id>,
    /// The `d` of the dispatch.
    pub(crate) data: ByteString,
    /// What applications without MESSAGE_CONTENT see instead.
    pub(crate) redacted: Option<ByteString>,
}

impl World {
    /// The guild that a channel or thread belongs to.
    pub(crate) fn guild_of(&self, channel: Id) -> Option<&Guild> {
        self.guilds.values().find(|guild| guild.channels.contains_key(&channel))
    }

    /// A channel or thread together with its guild.
    pub(crate) fn channel(&self, id: Id) -> Option<(&Guild, &Channel)> {
        self.guilds.values().find_map(|guild| guild.channels.get(&id).map(|channel| (guild, channel)))
    }

    fn channel_mut(&mut self, id: Id) -> Option<&mut Channel> {
        self.guilds.values_mut().find_map(|guild| guild.channels.get_mut(&id))
    }

    fn member_mut(&mut self, guild: Id, user: Id) -> Option<&mut Member> {
        self.guilds.get_mut(&guild)?.members.get_mut(&user)
    }

    /// What a user may do in a channel; nothing when they are not a member.
    pub(crate) fn permissions_in(&self, user: Id, channel: Id) -> Permissions {
        self.channel(channel)
            .and_then(|(guild, channel)| {
                let member = guild.members.get(&user)?;
                Some(permissions::in_channel(guild, member, channel, Timestamp::now()))
            })
            .unwrap_or(Permissions::NONE)
    }

    /// What a user may do in a guild as a whole.
    pub(crate) fn permissions_of(&self, user: Id, guild: Id) -> Permissions {
        let guild = self.guilds.get(&guild);
        guild
            .and_then(|guild| Some(permissions::in_guild(guild, guild.members.get(&user)?, Timestamp::now())))
            .unwrap_or(Permissions::NONE)
    }

    /// Takes what happened since the last call, in order.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.outbox)
    }

    pub(crate) fn new_id(&mut self) -> Id {
        self.mint.next(Timestamp::now())
    }

    fn emit(&mut self, name: &'static str, guild: Option<Id>, data: &impl Serialize) {
        self.outbox.push(Event { name, guild, data: json_text(data), redacted: None });
    }

    /// Like `emit`, but not when the bot cannot see the channel: Discord would keep it from the bot.
    fn emit_in(&mut self, channel: Id, name: &'static str, data: &impl Serialize) {
        if self.bot_sees(channel) {
            let guild = self.guild_of(channel).map(|guild| guild.id);
            self.emit(name, guild, data);
        }
    }

    fn bot_sees(&self, channel: Id) -> bool {
        self.permissions_in(self.application.bot, channel).contains(Permissions::VIEW_CHANNEL)
    }
}

/// The JSON text of a payload.
pub(crate) fn json_text(data: &impl Serialize) -> ByteString {
    serde_json::to_string(data).expect("payloads have string keys and cannot fail").into()
}
