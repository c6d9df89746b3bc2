//! What the signed-in people with open streams may see, and until when that is true.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::{
    audience::ViewerAccess,
    event_id::{Epoch, EventId},
    questions,
    scope::AccessChange,
    snowflake::{GuildId, UserId},
};

/// People whose access is remembered, with or without a stream.
const MAX_VIEWERS: usize = 100_000;

/// Everyone who was asked about.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    known: FxHashMap<UserId, Viewer>,
    wanted: Vec<UserId>,
    /// The last event that changed anyone's access in a guild.
    changed: u64,
}

#[derive(Debug)]
struct Viewer {
    access: Option<(ViewerAccess, EventId)>,
    /// The position of the answer that said for the first time which channels they can view now.
    sights: u64,
    /// The last event that changed this user's access.
    changed: u64,
    /// Asked, or about to be.
    asking: bool,
    /// Not a member of anything we follow, as far as the last answer said.
    outsider: bool,
    used: Instant,
}

impl Viewer {
    fn new() -> Self {
        Self { access: None, sights: 0, changed: 0, asking: false, outsider: false, used: Instant::now() }
    }
}

impl Viewers {
    /// The access of `user`, when it is true for the newest event; else they are asked about.
    pub(super) fn current(&mut self, user: UserId, epoch: Epoch) -> Option<&ViewerAccess> {
        let viewer = self.known.entry(user).or_insert_with(Viewer::new);
        let last_change = self.changed.max(viewer.changed);
        match &viewer.access {
            Some((access, as_of)) if as_of.epoch == epoch && as_of.seq >= last_change => Some(access),
            _ => {
                if !viewer.asking {
                    viewer.asking = true;
                    self.wanted.push(user);
                }
                None
            }
        }
    }

    /// Marks whose access is another after the event at `seq`.
    pub(super) fn change(&mut self, change: &AccessChange, seq: u64) {
        match change {
            AccessChange::Guild => self.changed = seq,
            AccessChange::Users(users) => {
                for user in users {
                    if let Some(viewer) = self.known.get_mut(user) {
                        viewer.changed = seq;
                    }
                }
            }
        }
    }

    /// Nothing known is true any more: events were lost that may have changed it, or a new epoch counts anew.
    pub(super) fn doubt(&mut self, seq: u64) {
        self.changed = seq;
        for viewer in self.known.values_mut() {
            viewer.changed = 0;
            viewer.access = None;
        }
    }

    /// Since when the user can view the channels that they can view now, as far as it was asked.
    pub(super) fn sights(&self, user: UserId) -> u64 {
        self.known.get(&user).map_or(0, |viewer| viewer.sights)
    }

    /// Users to ask about, at most `count` of them.
    pub(super) fn take_wanted(&mut self, count: usize) -> Vec<UserId> {
        self.wanted.split_off(self.wanted.len().saturating_sub(count))
    }

    pub(super) fn has_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes in one answer. `false`: it could not be said for a guild, and is to be asked again soon.
    pub(super) fn answered(&mut self, answer: questions::Viewer, as_of: EventId) -> bool {
        let Some(viewer) = self.known.get_mut(&answer.user_id) else { return true };
        viewer.asking = false;
        let complete = answer.unknown.is_empty();
        viewer.outsider = complete && answer.guilds.is_empty();
        if complete || !answer.guilds.is_empty() {
            let access = ViewerAccess::from(answer.guilds);
            if !viewer.access.as_ref().is_some_and(|(before, _)| before.views_the_same(&access)) {
                viewer.sights = as_of.seq;
            }
            viewer.access = Some((access, as_of));
        }
        complete
    }

    /// The question failed; it may be asked again.
    pub(super) fn unanswered(&mut self, users: &[UserId]) {
        for user in users {
            if let Some(viewer) = self.known.get_mut(user) {
                viewer.asking = false;
            }
        }
    }

    /// Whether the user was found to be in none of the guilds, and nothing has changed since.
    pub(super) fn is_outsider(&self, user: UserId) -> bool {
        self.known.get(&user).is_some_and(|viewer| {
            let last_change = self.changed.max(viewer.changed);
            viewer.outsider && viewer.access.as_ref().is_some_and(|(_, as_of)| as_of.seq >= last_change)
        })
    }

    /// What the last answer said of a guild, however old.
    pub(super) fn last_known(&self, user: UserId) -> Option<&ViewerAccess> {
        self.known.get(&user)?.access.as_ref().map(|(access, _)| access)
    }

    /// Forgets those who have had no stream for `ttl`.
    pub(super) fn sweep(&mut self, in_use: impl Fn(UserId) -> bool, ttl: Duration) {
        let crowded = self.known.len() > MAX_VIEWERS;
        self.known.retain(|user, viewer| {
            if in_use(*user) {
                viewer.used = Instant::now();
                return true;
            }
            viewer.asking || !(crowded || viewer.used.elapsed() > ttl)
        });
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// The guilds of a viewer among those a stream may speak of.
pub(super) fn shared_guilds(access: &ViewerAccess) -> Vec<GuildId> {
    access.guild_ids().collect()
}
