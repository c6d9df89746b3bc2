//! A message and what people stuck to it.

use serde_json::Value;

use super::id::{Id, Timestamp};

/// A message in a channel.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: Id,
    pub(crate) channel: Id,
    pub(crate) author: Id,
    pub(crate) sent: Timestamp,
    pub(crate) edited: Option<Timestamp>,
    pub(crate) body: MessageBody,
    pub(crate) reactions: Vec<Reaction>,
    /// Since when it is pinned.
    pub(crate) pinned: Option<Timestamp>,
    /// The thread that grew from this message.
    pub(crate) thread: Option<Id>,
}

/// What its author wrote, also the draft of a message to come.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageBody {
    pub(crate) content: String,
    pub(crate) tts: bool,
    pub(crate) embeds: Vec<Value>,
    pub(crate) components: Vec<Value>,
    /// Whom the content really pings, after `allowed_mentions`.
    pub(crate) mentions: Vec<Id>,
    pub(crate) mention_roles: Vec<Id>,
    pub(crate) mention_everyone: bool,
    /// Echoed as it was sent: a string or an integer.
    pub(crate) nonce: Option<Value>,
    /// The message this one answers.
    pub(crate) reply_to: Option<Id>,
    pub(crate) flags: u64,
}

/// One emoji under a message and who chose it.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    pub(crate) emoji: ReactionEmoji,
    pub(crate) users: Vec<Id>,
}

/// A Unicode emoji (no id) or a guild's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReactionEmoji {
    pub(crate) id: Option<Id>,
    pub(crate) name: String,
}

/// The type number of a plain message.
pub(crate) const DEFAULT: u8 = 0;
/// The type number of a reply.
pub(crate) const REPLY: u8 = 19;

impl Message {
    pub(crate) fn kind(&self) -> u8 {
        if self.body.reply_to.is_some() { REPLY } else { DEFAULT }
    }

    /// True when Discord shows the content to an application without MESSAGE_CONTENT.
    pub(crate) fn is_for(&self, bot: Id) -> bool {
        self.author == bot || self.body.mentions.contains(&bot)
    }
}

/// The ids in `<@1>`, with `opening` as the part before the number.
pub(crate) fn mentioned<'a>(content: &'a str, opening: &'a str) -> impl Iterator<Item = Id> + 'a {
    content.split(opening).skip(1).filter_map(|rest| rest.split_once('>')?.0.parse().ok())
}
