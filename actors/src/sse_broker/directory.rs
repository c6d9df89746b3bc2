//! What the configured guilds are called and hold, for pages that open. Asked once for everybody, and again when an event
//! says that it has changed; each reader is shown what their own access lets them see.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{LinkEvent, VisibleGuilds, viewers::Viewers};
use crate::{
    event_id::{Epoch, EventId},
    guild_info::GuildInfo,
    snowflake::{GuildId, UserId},
};

/// Readers that wait for an answer; one more is turned away.
const MAX_WAITING: usize = 10_000;

#[derive(Default)]
pub(super) struct Directory {
    known: Option<(Arc<[GuildInfo]>, EventId)>,
    /// The last event after which something is called otherwise.
    changed: u64,
    wanted: bool,
    asking: bool,
    waiting: Vec<Waiting>,
}

struct Waiting {
    user: UserId,
    tell: oneshot::Sender<VisibleGuilds>,
}

impl Directory {
    /// A reader, who is told as soon as it can be said, or hears the sender go when it cannot.
    pub(super) fn wait(&mut self, user: UserId) -> oneshot::Receiver<VisibleGuilds> {
        let (tell, told) = oneshot::channel();
        self.waiting.retain(|waiting| !waiting.tell.is_closed());
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(Waiting { user, tell });
        }
        told
    }

    /// Tells everyone who waits and whose access is known. `last` is the newest event: names from beyond it are not used,
    /// because an event on its way may have hidden what they name.
    pub(super) fn tell(&mut self, viewers: &mut Viewers, epoch: Epoch, last: u64) {
        if self.waiting.is_empty() {
            return;
        }
        let fresh =
            matches!(&self.known, Some((_, as_of)) if as_of.epoch == epoch && as_of.seq >= self.changed);
        self.wanted |= !fresh && !self.asking;
        let usable = self.known.as_ref().filter(|(_, as_of)| fresh && as_of.seq <= last);
        for waiting in std::mem::take(&mut self.waiting) {
            // Asks for the access as well, so that both questions are under way together.
            match (viewers.current(waiting.user, epoch), usable) {
                (Some(access), Some((guilds, _))) => {
                    let visible = VisibleGuilds { guilds: Arc::clone(guilds), access: access.clone() };
                    let _ = waiting.tell.send(visible);
                }
                _ => self.waiting.push(waiting),
            }
        }
    }

    /// Whether to ask the gateway now; whoever is told so does.
    pub(super) fn take_wanted(&mut self) -> bool {
        let wanted = std::mem::take(&mut self.wanted);
        self.asking |= wanted;
        wanted
    }

    /// Takes in the answer, if there was a whole one.
    pub(super) fn answered(&mut self, answer: Option<(Vec<GuildInfo>, EventId)>) {
        self.asking = false;
        if let Some((guilds, as_of)) = answer {
            self.known = Some((guilds.into(), as_of));
        }
    }

    /// Notes an event of one of the guilds that may change what something is called.
    pub(super) fn heed(&mut self, event: &LinkEvent, guilds: &[GuildId]) {
        let renames = matches!(
            event.event.as_str(),
            "GUILD_CREATE"
                | "GUILD_UPDATE"
                | "GUILD_DELETE"
                | "CHANNEL_CREATE"
                | "CHANNEL_UPDATE"
                | "CHANNEL_DELETE"
                | "GUILD_ROLE_CREATE"
                | "GUILD_ROLE_UPDATE"
                | "GUILD_ROLE_DELETE"
        );
        if renames && event.scope.guild.is_some_and(|guild| guilds.contains(&guild)) {
            self.changed = event.id.seq;
        }
    }

    /// Nothing known is true any more: events were lost, or a new epoch counts anew.
    pub(super) fn doubt(&mut self) {
        self.known = None;
        self.changed = 0;
    }

    /// It cannot be said now: those who wait are turned away.
    pub(super) fn give_up(&mut self) {
        self.waiting.clear();
    }
}
