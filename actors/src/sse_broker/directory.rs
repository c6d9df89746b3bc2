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
        let Some((guilds, _)) = self.known.as_ref().filter(|(_, as_of)| fresh && as_of.seq <= last) else {
            return;
        };
        for waiting in std::mem::take(&mut self.waiting) {
            match viewers.current(waiting.user, epoch) {
                Some(access) => {
                    let visible = VisibleGuilds { guilds: Arc::clone(guilds), access: access.clone() };
                    let _ = waiting.tell.send(visible);
                }
                None => self.waiting.push(waiting),
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{audience::GuildAccess, permissions::Permissions, questions, scope::Scope};

    const EPOCH: Epoch = Epoch(7);
    const GUILD: GuildId = GuildId(100);
    const USER: UserId = UserId(3);

    fn id(seq: u64) -> EventId {
        EventId { epoch: EPOCH, seq }
    }

    fn named(name: &str) -> Vec<GuildInfo> {
        let name = Some(name.to_owned());
        vec![GuildInfo { id: GUILD, name, icon: None, channels: Vec::new(), roles: Vec::new() }]
    }

    fn event(seq: u64, event: &str, guild: GuildId) -> LinkEvent {
        let scope = Scope { guild: Some(guild), ..Scope::default() };
        LinkEvent { id: id(seq), event: event.to_owned(), payload: Bytes::new(), scope, ts: 0 }
    }

    /// Someone whose access is known since the first event.
    fn viewers() -> Viewers {
        let mut viewers = Viewers::default();
        assert!(viewers.current(USER, EPOCH).is_none());
        let access = GuildAccess { guild_id: GUILD, permissions: Permissions::NONE, channels: Vec::new() };
        viewers
            .answered(questions::Viewer { user_id: USER, guilds: vec![access], unknown: Vec::new() }, id(1));
        viewers
    }

    fn told(receiver: &mut oneshot::Receiver<VisibleGuilds>) -> Option<String> {
        receiver.try_recv().ok().and_then(|visible| visible.guilds[0].name.clone())
    }

    #[test]
    fn it_is_asked_once_for_all_and_again_after_a_change_in_a_guild_of_ours() {
        let (mut directory, mut viewers) = (Directory::default(), viewers());
        let mut readers: Vec<_> = (0..3).map(|_| directory.wait(USER)).collect();
        let mut asks = 0;
        for _ in 0..3 {
            directory.tell(&mut viewers, EPOCH, 5);
            asks += u32::from(directory.take_wanted());
        }
        assert_eq!(asks, 1);
        directory.answered(Some((named("den"), id(5))));
        directory.tell(&mut viewers, EPOCH, 5);
        assert!(readers.iter_mut().all(|reader| told(reader).as_deref() == Some("den")));

        directory.heed(&event(6, "MESSAGE_CREATE", GUILD), &[GUILD]);
        directory.heed(&event(7, "CHANNEL_UPDATE", GuildId(5)), &[GUILD]);
        let mut reader = directory.wait(USER);
        directory.tell(&mut viewers, EPOCH, 7);
        assert!(told(&mut reader).is_some() && !directory.take_wanted());
        directory.heed(&event(8, "CHANNEL_UPDATE", GUILD), &[GUILD]);
        let mut reader = directory.wait(USER);
        directory.tell(&mut viewers, EPOCH, 8);
        assert!(told(&mut reader).is_none() && directory.take_wanted());
        directory.answered(None);
        directory.tell(&mut viewers, EPOCH, 8);
        assert!(directory.take_wanted(), "a question that failed is asked again");
    }

    #[test]
    fn names_from_beyond_the_newest_event_wait_for_what_may_hide_them() {
        let (mut directory, mut viewers) = (Directory::default(), viewers());
        let mut reader = directory.wait(USER);
        directory.tell(&mut viewers, EPOCH, 5);
        assert!(directory.take_wanted());
        directory.answered(Some((named("secret"), id(7))));
        directory.tell(&mut viewers, EPOCH, 6);
        assert_eq!(told(&mut reader), None);
        directory.tell(&mut viewers, EPOCH, 7);
        assert_eq!(told(&mut reader).as_deref(), Some("secret"));
    }

    #[test]
    fn who_waits_is_limited_and_turned_away_when_it_cannot_be_said() {
        let mut directory = Directory::default();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| directory.wait(USER)).collect();
        let closed = oneshot::error::TryRecvError::Closed;
        assert_eq!(directory.wait(USER).try_recv().unwrap_err(), closed);
        waiting.pop();
        let mut last = directory.wait(USER);
        assert_ne!(last.try_recv().unwrap_err(), closed, "one has gone");
        directory.give_up();
        assert_eq!(last.try_recv().unwrap_err(), closed);
    }
}
