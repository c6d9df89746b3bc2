//! What all streams read: the ring of encoded frames, the viewers' access, and the snapshot fresh streams begin with.

use std::{cell::OnceCell, sync::Arc, time::Duration};

use bytes::Bytes;
use log::warn;
use tokio::time::Instant;

use super::{BrokerSettings, Counters, LinkEvent, directory::Directory, viewers::Viewers};
use crate::{
    derived::{Transform, VoiceSnapshot, transform_moved},
    event_id::{Epoch, EventId},
    ring::Ring,
    sse_frame,
};

/// A snapshot serves fresh streams until this many events have followed it,
const SNAPSHOT_REACH: u64 = 64;
/// or until it is this old: what followed it is sent too, and a page should not open on old news.
const SNAPSHOT_AGE: Duration = Duration::from_secs(1);

/// Everything the streams share.
pub(super) struct Feed {
    pub(super) settings: BrokerSettings,
    pub(super) ring: Ring<Entry>,
    /// Unknown until the link was live once.
    pub(super) epoch: Option<Epoch>,
    /// Where the ring will be when everything has come that the gateway has said it has.
    pub(super) target: u64,
    /// Whether the gateway answers questions.
    pub(super) answers: bool,
    pub(super) viewers: Viewers,
    pub(super) directory: Directory,
    pub(super) snapshot: Option<Snapshots>,
    pub(super) snapshot_wanted: bool,
    pub(super) counters: Counters,
}

/// The voice snapshots of all guilds at one position.
pub(super) struct Snapshots {
    pub(super) id: EventId,
    pub(super) taken: Instant,
    pub(super) guilds: Vec<VoiceSnapshot>,
}

/// An event in the ring, encoded once.
pub(super) struct Entry {
    pub(super) event: Arc<LinkEvent>,
    pub(super) frame: Bytes,
    left: OnceCell<Option<Bytes>>,
    joined: OnceCell<Option<Bytes>>,
}

impl Entry {
    fn new(event: Arc<LinkEvent>) -> Self {
        let payload = std::str::from_utf8(&event.payload).unwrap_or("null");
        let frame = sse_frame::event(Some(event.id), &event.event, payload, event.ts);
        Self { event, frame, left: OnceCell::new(), joined: OnceCell::new() }
    }

    /// The frame for viewers who may know only a part of the event.
    pub(super) fn transformed(&self, transform: Transform) -> Option<Bytes> {
        let (cell, name) = match transform {
            Transform::MovedToLeft => (&self.left, "voice.left"),
            Transform::MovedToJoined => (&self.joined, "voice.joined"),
        };
        let encode = || {
            let payload = transform_moved(std::str::from_utf8(&self.event.payload).ok()?, transform)?;
            Some(sse_frame::event(Some(self.event.id), name, &payload, self.event.ts))
        };
        cell.get_or_init(encode).clone()
    }
}

/// What became of an event that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the next one.
    Next,
    /// It was here before.
    Repeat,
    /// Others are missing before it.
    Gap(&'static str),
}

impl Feed {
    /// An empty feed, of a role that has not heard of the gateway.
    pub(super) fn new(settings: BrokerSettings) -> Self {
        Self {
            ring: Ring::new(settings.replay, 0),
            settings,
            epoch: None,
            target: 0,
            answers: false,
            viewers: Viewers::default(),
            directory: Directory::default(),
            snapshot: None,
            snapshot_wanted: false,
            counters: Counters::default(),
        }
    }

    pub(super) fn id(&self, seq: u64) -> Option<EventId> {
        self.epoch.map(|epoch| EventId { epoch, seq })
    }

    /// Looks for a hole before `id`, and closes it by starting anew there.
    pub(super) fn arrive(&mut self, id: EventId) -> Arrival {
        if self.epoch != Some(id.epoch) {
            self.restart(EventId { seq: id.seq.saturating_sub(1), ..id });
            return Arrival::Gap("epoch");
        }
        if id.seq <= self.ring.last() {
            return Arrival::Repeat;
        }
        if id.seq > self.ring.last() + 1 {
            warn!("[SSE] Events {}..{} were lost", self.ring.last() + 1, id.seq - 1);
            self.restart(EventId { seq: id.seq - 1, ..id });
            return Arrival::Gap("hole");
        }
        Arrival::Next
    }

    /// Empties the ring at `position`: what came before cannot be joined to what follows.
    pub(super) fn restart(&mut self, position: EventId) {
        self.epoch = Some(position.epoch);
        self.ring.restart(position.seq);
        self.viewers.doubt(position.seq);
        self.directory.doubt();
        self.snapshot = None;
    }

    pub(super) fn push(&mut self, event: Arc<LinkEvent>) {
        if let Some(change) = &event.scope.changes {
            self.viewers.change(change, event.id.seq);
        }
        self.directory.heed(&event, &self.settings.guilds);
        let entry = Entry::new(event);
        // The frame and the payload it was encoded from.
        let bytes = entry.frame.len() + entry.event.payload.len();
        self.ring.push(entry, bytes);
    }

    /// A snapshot that a stream can begin with; else one is asked for.
    pub(super) fn snapshot(&mut self) -> Option<&Snapshots> {
        let usable = self.snapshot.as_ref().is_some_and(|snapshot| {
            Some(snapshot.id.epoch) == self.epoch
                && snapshot.taken.elapsed() <= SNAPSHOT_AGE
                && self.ring.last().saturating_sub(snapshot.id.seq) <= SNAPSHOT_REACH
                && (snapshot.id.seq > self.ring.last() || self.ring.reaches(snapshot.id.seq))
        });
        if !usable {
            self.snapshot_wanted = true;
        }
        self.snapshot.as_ref().filter(|_| usable)
    }

    /// The position of a snapshot that is no older than the event at `seq`; else one is asked for.
    pub(super) fn snapshot_since(&mut self, seq: u64) -> Option<u64> {
        let snapshot = self.snapshot.as_ref().filter(|snapshot| Some(snapshot.id.epoch) == self.epoch);
        let position = snapshot.map(|snapshot| snapshot.id.seq).filter(|position| *position >= seq);
        self.snapshot_wanted |= position.is_none();
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ring::RingLimits, scope::Scope};

    #[test]
    fn a_hole_or_another_epoch_is_seen_and_a_repeat_changes_nothing() {
        let minute = Duration::from_secs(60);
        let mut feed = Feed::new(BrokerSettings {
            guilds: Vec::new(),
            replay: RingLimits { events: 10, bytes: 1000 },
            heartbeat: minute,
            stall: minute,
            queue_bytes: 1000,
            max_sessions: 1,
            max_sessions_per_user: 1,
            viewer_ttl: minute,
        });
        for (epoch, seq, arrival, kept) in [
            (1, 5, Arrival::Gap("epoch"), 0),
            (1, 6, Arrival::Next, 1),
            (1, 6, Arrival::Repeat, 2),
            (1, 2, Arrival::Repeat, 2),
            (1, 9, Arrival::Gap("hole"), 0),
            (1, 10, Arrival::Next, 1),
            (2, 1, Arrival::Gap("epoch"), 0),
            (2, 2, Arrival::Next, 1),
        ] {
            let id = EventId { epoch: Epoch(epoch), seq };
            assert_eq!((feed.arrive(id), feed.ring.len()), (arrival, kept), "{id}");
            if arrival != Arrival::Repeat {
                assert_eq!(feed.ring.last() + 1, seq, "{id}");
                let (event, payload, scope) = ("X".to_owned(), "1".into(), Scope::default());
                feed.push(Arc::new(LinkEvent { id, event, payload, scope, ts: 1 }));
            }
        }
    }
}
