//! Who may have what done: a command is allowed only if its user could do it in Discord. Without a user (the web role
//! itself, or a peer that knows only the first protocol) the bot's own rights decide, which Discord checks.

use std::{num::NonZeroU64, time::SystemTime};

use serenity::all as discord;
use sha2::{Digest as _, Sha256};

use super::authors::Authors;
use crate::{
    guild_model::{ChannelKind, GuildModel, Membership},
    link_frame::{Command, Refusal},
    permissions::Permissions,
    snowflake::{ChannelId, GuildId, UserId},
};

/// What the refusals call them.
const NAMES: [(Permissions, &str); 13] = [
    (Permissions::VIEW_CHANNEL, "VIEW_CHANNEL"),
    (Permissions::SEND_MESSAGES, "SEND_MESSAGES"),
    (Permissions::SEND_MESSAGES_IN_THREADS, "SEND_MESSAGES_IN_THREADS"),
    (Permissions::READ_MESSAGE_HISTORY, "READ_MESSAGE_HISTORY"),
    (Permissions::EMBED_LINKS, "EMBED_LINKS"),
    (Permissions::MENTION_EVERYONE, "MENTION_EVERYONE"),
    (Permissions::MANAGE_MESSAGES, "MANAGE_MESSAGES"),
    (Permissions::ADD_REACTIONS, "ADD_REACTIONS"),
    (Permissions::MANAGE_CHANNELS, "MANAGE_CHANNELS"),
    (Permissions::MANAGE_THREADS, "MANAGE_THREADS"),
    (Permissions::CONNECT, "CONNECT"),
    (Permissions::MOVE_MEMBERS, "MOVE_MEMBERS"),
    (Permissions::ADMINISTRATOR, "ADMINISTRATOR"),
];

/// The one who asks, and what is known of them.
pub(super) struct Authority<'a> {
    model: &'a GuildModel,
    guilds: &'a [GuildId],
    authors: &'a Authors,
    actor: Option<UserId>,
    now: SystemTime,
    /// Names the command to Discord, so that it is not done twice.
    pub(super) nonce: Option<String>,
}

/// A channel that the one who asks can see.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) guild: GuildId,
    pub(super) channel: ChannelId,
    pub(super) kind: ChannelKind,
    held: Permissions,
}

impl<'a> Authority<'a> {
    pub(super) fn new(
        model: &'a GuildModel,
        guilds: &'a [GuildId],
        authors: &'a Authors,
        command: &Command,
    ) -> Self {
        let nonce = command.key().map(|key| nonce(command.actor, key));
        Self { model, guilds, authors, actor: command.actor, now: SystemTime::now(), nonce }
    }

    /// A channel or thread of a configured guild, which the one who asks can see.
    pub(super) fn channel(&self, channel: discord::ChannelId) -> Result<Place, Refusal> {
        let channel = ChannelId(channel.get());
        let guild = self.model.guild_of_channel(channel).filter(|guild| self.guilds.contains(guild));
        // What one cannot see does not exist; who may not look is told the same.
        let hidden = || {
            let message =
                format!("channel {channel} is not in a guild of this service, or you cannot see it");
            Refusal::new("FORBIDDEN", message)
        };
        let guild = match guild {
            Some(guild) => guild,
            None if self.guilds.iter().all(|guild| self.model.knows(*guild)) => return Err(hidden()),
            None => return Err(not_known_yet()),
        };
        let held = match self.actor {
            None => Permissions::ALL,
            Some(user) => {
                self.standing(guild, user)?;
                self.model.channel_permissions(guild, channel, user, self.now).unwrap_or_default()
            }
        };
        if !held.contains(Permissions::VIEW_CHANNEL) {
            return Err(hidden());
        }
        if let Some(user) = self.actor {
            self.require_leave(guild, user)?;
        }
        Ok(Place { guild, channel, kind: self.model.kind(guild, channel), held })
    }

    /// Whether the one who asks may do this in a configured guild at large.
    pub(super) fn guild(&self, guild: discord::GuildId, needs: Permissions) -> Result<GuildId, Refusal> {
        let guild = GuildId(guild.get());
        let forbidden =
            || Refusal::new("FORBIDDEN", format!("guild {guild} is not one of this service, or not yours"));
        if !self.guilds.contains(&guild) {
            return Err(forbidden());
        }
        let held = match self.actor {
            None => Permissions::ALL,
            Some(user) => {
                let held = self.standing(guild, user)?.ok_or_else(forbidden)?;
                self.require_leave(guild, user)?;
                held
            }
        };
        held.require(needs, &format!("guild {guild}"))?;
        Ok(guild)
    }

    /// What a user may do in a guild at large; `None` when they are no member. An error when it cannot be said: their
    /// look-up has failed, or the guild is still to come.
    fn standing(&self, guild: GuildId, user: UserId) -> Result<Option<Permissions>, Refusal> {
        match self.model.access(guild, user, self.now) {
            Membership::Member(access) => Ok(Some(access.permissions)),
            Membership::Absent => Ok(None),
            Membership::Unseen | Membership::Unavailable => Err(not_known_yet()),
        }
    }

    fn require_leave(&self, guild: GuildId, user: UserId) -> Result<(), Refusal> {
        if self.model.may_act(guild, user, self.now) {
            return Ok(());
        }
        let message = format!("you are timed out in guild {guild}, or have yet to accept its rules");
        Err(Refusal::new("MISSING_PERMISSIONS", message))
    }

    /// Whether a message is the asker's own: written by them, or sent for them through us.
    pub(super) fn wrote(&self, message: discord::MessageId) -> bool {
        self.actor.is_none() || self.actor == self.authors.of(message.get())
    }

    /// Whether nobody's rights but the bot's decide.
    pub(super) fn is_bot(&self) -> bool {
        self.actor.is_none()
    }

    /// Whether this is the asker.
    pub(super) fn is_self(&self, user: discord::UserId) -> bool {
        self.actor == Some(UserId(user.get()))
    }

    /// The voice channel in which a member sits, if the one who asks can see it.
    pub(super) fn seat(&self, guild: GuildId, user: discord::UserId) -> Option<Place> {
        let seat = self.model.voice_channel_of(guild, UserId(user.get()))?;
        self.channel(NonZeroU64::new(seat.0)?.into()).ok()
    }

    /// Whether one more may sit in a voice channel.
    pub(super) fn has_seats(&self, place: &Place) -> bool {
        self.model.has_seats(place.guild, place.channel)
    }
}

impl Place {
    pub(super) fn may(&self, needs: Permissions) -> bool {
        self.held.contains(needs)
    }

    /// What writing here needs. In a voice channel that one may not join one may not write either
    /// ([implicit permissions](https://docs.discord.com/developers/topics/permissions#implicit-permissions)).
    pub(super) fn require_writing(&self) -> Result<(), Refusal> {
        self.require(match self.kind {
            ChannelKind::Thread { locked: false } => Permissions::SEND_MESSAGES_IN_THREADS,
            ChannelKind::Thread { locked: true } => {
                Permissions::SEND_MESSAGES_IN_THREADS | Permissions::MANAGE_THREADS
            }
            ChannelKind::Room => Permissions::SEND_MESSAGES | Permissions::CONNECT,
            ChannelKind::Other => Permissions::SEND_MESSAGES,
        })
    }

    pub(super) fn require(&self, needs: Permissions) -> Result<(), Refusal> {
        self.held.require(needs, &format!("channel {}", self.channel))
    }
}

/// A refusal that passes: asked again, the same may be allowed.
fn not_known_yet() -> Refusal {
    Refusal::new("UNAVAILABLE", "not sent: Discord has yet to say what you may do there, try again")
}

trait Require {
    fn require(self, needs: Permissions, place: &str) -> Result<(), Refusal>;
}

impl Require for Permissions {
    fn require(self, needs: Permissions, place: &str) -> Result<(), Refusal> {
        let missing = needs - self;
        if missing.is_empty() {
            return Ok(());
        }
        let names = NAMES.iter().filter(|(bit, _)| missing.contains(*bit)).map(|(_, name)| *name);
        let message = format!("you need {} in {place}", names.collect::<Vec<_>>().join(" and "));
        Err(Refusal::new("MISSING_PERMISSIONS", message))
    }
}

/// At most 25 characters, as Discord has it, and of a kind that nobody else's command can have:
/// Discord compares it among all messages of the bot.
/// <https://discord.com/developers/docs/resources/message#create-message>
fn nonce(actor: Option<UserId>, key: &str) -> String {
    let digest = Sha256::digest(format!("{}:{key}", actor.unwrap_or_default()));
    digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
