//! What was published: the epoch, the ring, the event log, and the place in Discord's session that they reach to. It
//! decides which id a dispatch gets, whether it was published before, and from where a peer can go on.

use bytestring::ByteString;
use log::{error, warn};

use crate::{
    event_id::{Epoch, EventId},
    event_log::{EventLog, Restored},
    guild_model::GuildModel,
    link_frame::{self, MAX_FRAME},
    ring::{Ring, RingLimits},
    scope::Scope,
    shard_runner::{Dispatch, Position},
};

/// The journal of one LinkServer.
pub(super) struct Journal {
    epoch: Epoch,
    ring: Ring<ByteString>,
    /// `None`: a restart begins anew.
    log: Option<EventLog>,
    /// The last position published, to recognise repeats after a resume.
    position: Option<Position>,
    /// What is being appended is not in the log as it was, so that it cannot be applied again.
    unfit: bool,
    counters: Counters,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) published: u64,
    pub(super) repeats: u64,
    pub(super) oversized: u64,
    pub(super) epochs: u64,
}

/// What a dispatch is to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// It was published before.
    Repeat,
    /// The next of its session.
    Next,
    /// The first of a session that can follow what came before, since nothing did.
    Session,
    /// It cannot be joined to what came before; says why.
    Epoch(&'static str),
}

/// From where a peer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// The last event that it has, or will never get.
    pub(super) cursor: u64,
    /// Whether it gets everything after its position.
    pub(super) complete: bool,
}

impl Journal {
    /// An empty journal, in an epoch of its own.
    pub(super) fn new(replay: RingLimits) -> Self {
        Self {
            epoch: Epoch::random(),
            ring: Ring::new(replay, 0),
            log: None,
            position: None,
            unfit: false,
            counters: Counters::default(),
        }
    }

    /// The same, written to `log`; the model of what an earlier run has left there.
    pub(super) fn with_log(&mut self, log: EventLog, restored: Option<Restored>) -> Option<GuildModel> {
        self.log = Some(log);
        let Restored { epoch, ring, position, model } = restored?;
        (self.epoch, self.ring) = (epoch, ring);
        self.position = Some(position);
        Some(model)
    }

    pub(super) fn ring(&self) -> &Ring<ByteString> {
        &self.ring
    }

    /// The id at `seq` of this epoch.
    pub(super) fn id(&self, seq: u64) -> EventId {
        EventId { epoch: self.epoch, seq }
    }

    /// The id of the newest event.
    pub(super) fn latest(&self) -> EventId {
        self.id(self.ring.last())
    }

    /// Whether anything of a Discord session is known.
    pub(super) fn has_begun(&self) -> bool {
        self.position.is_some()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a restart would go on from here.
    pub(super) fn is_durable(&self) -> bool {
        self.log.as_ref().is_some_and(EventLog::is_writing)
    }

    /// Times the log could not be written.
    pub(super) fn failures(&self) -> u64 {
        self.log.as_ref().map_or(0, EventLog::failures)
    }

    /// Says what `dispatch` is; `followed` when a peer is here, who began with a model that was empty.
    pub(super) fn meet(&self, dispatch: &Dispatch, followed: bool) -> Meeting {
        let new_session = dispatch.t == "READY";
        let repeated = self.position.as_ref().is_some_and(|last| {
            last.session == dispatch.position.session && dispatch.position.seq <= last.seq
        });
        if repeated {
            Meeting::Repeat
        } else if new_session && (self.position.is_some() || self.ring.last() > 0 || followed) {
            Meeting::Epoch("a new Discord session")
        } else if dispatch.lost_before {
            Meeting::Epoch("Discord left out events")
        } else if new_session {
            Meeting::Session
        } else {
            Meeting::Next
        }
    }

    /// Moves on to the position of `dispatch`, unless it was published before.
    pub(super) fn admit(&mut self, dispatch: &Dispatch, followed: bool, model: &GuildModel) -> Meeting {
        let meeting = self.meet(dispatch, followed);
        let before = Position { seq: dispatch.position.seq.saturating_sub(1), ..dispatch.position.clone() };
        match meeting {
            Meeting::Repeat => {
                self.counters.repeats += 1;
                return meeting;
            }
            Meeting::Next => {}
            Meeting::Session => {
                self.position = Some(before);
                self.checkpoint(model);
            }
            Meeting::Epoch(why) => {
                self.position = Some(before);
                self.begin_epoch(why, model);
            }
        }
        self.position = Some(dispatch.position.clone());
        meeting
    }

    /// Nothing that came before can be joined to what follows.
    pub(super) fn begin_epoch(&mut self, why: &str, model: &GuildModel) {
        self.epoch = Epoch::random();
        self.ring.restart(0);
        self.counters.epochs += 1;
        warn!("[Gateway WS] New epoch {}: {why}", self.epoch);
        self.checkpoint(model);
    }

    fn checkpoint(&mut self, model: &GuildModel) {
        let id = self.latest();
        if let (Some(log), Some(position)) = (&mut self.log, &self.position) {
            log.checkpoint(id, position, model, self.ring.floor());
        }
    }

    /// Begins what the dispatch `s` becomes.
    pub(super) fn begin(&mut self, s: u64) {
        self.unfit = false;
        if let Some(log) = &mut self.log {
            log.begin(s, self.ring.last() + 1);
        }
    }

    /// Gives an event its id, encodes it once and keeps it.
    pub(super) fn append(&mut self, event: &str, payload: &str, scope: &Scope, ts: u64) {
        let id = self.latest().next();
        let mut frame = link_frame::encode_event(id, event, payload, scope, ts);
        if frame.len() > MAX_FRAME {
            self.counters.oversized += 1;
            self.unfit = true;
            error!(
                "[Gateway WS] {event} has {} bytes, more than a frame of {MAX_FRAME}: sent as a gap",
                frame.len()
            );
            frame = link_frame::encode_gap(id, event, payload.len(), ts);
        }
        self.counters.published += 1;
        if let Some(log) = &mut self.log {
            log.push(&frame);
        }
        let bytes = frame.len();
        self.ring.push(frame.into(), bytes);
    }

    /// Hands what a dispatch became to the log, before anyone hears of it.
    pub(super) fn commit(&mut self, model: &GuildModel) {
        let Some(log) = &mut self.log else { return };
        log.commit();
        if self.unfit || log.is_due() {
            self.checkpoint(model);
        }
    }

    /// Whether a peer has seen events that were never published here: the same numbers would be given twice.
    pub(super) fn is_outrun_by(&self, after: Option<&str>) -> bool {
        let id = after.and_then(|after| after.parse::<EventId>().ok());
        id.is_some_and(|id| id.epoch == self.epoch && id.seq > self.ring.last())
    }

    /// From where a peer goes on that has sent this position: an id, `0` for the oldest kept, or nothing.
    pub(super) fn open(&self, after: Option<&str>) -> Opening {
        let latest = self.ring.last();
        match after {
            None => Opening { cursor: latest, complete: true },
            Some("0") => Opening { cursor: self.ring.floor(), complete: true },
            Some(id) => match id.parse::<EventId>() {
                Ok(id) if id.epoch == self.epoch && self.ring.reaches(id.seq) => {
                    Opening { cursor: id.seq, complete: true }
                }
                _ => Opening { cursor: latest, complete: false },
            },
        }
    }

    /// Forces the log to the disk and ends it.
    pub(super) fn close(&mut self, model: &GuildModel) {
        let id = self.latest();
        if let (Some(log), Some(position)) = (self.log.take(), &self.position) {
            log.close(id, position, model);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RingLimits = RingLimits { events: 3, bytes: 1 << 20 };

    fn dispatch(session: &str, seq: u64, t: &str, lost_before: bool) -> Dispatch {
        let position = Position { session: session.into(), resume_url: "ws://x".into(), seq };
        Dispatch { position, t: t.to_owned(), d: "1".into(), ts: 1, lost_before }
    }

    /// A journal that has published the dispatches 1 to `seq` of session `s`.
    fn journal(seq: u64) -> Journal {
        let mut journal = Journal::new(LIMITS);
        for seq in 1..=seq {
            let dispatch = dispatch("s", seq, if seq == 1 { "READY" } else { "X" }, false);
            journal.admit(&dispatch, false, &GuildModel::default());
            journal.append(&dispatch.t, "1", &Scope::default(), 1);
        }
        journal
    }

    #[test]
    fn a_dispatch_goes_on_or_says_why_it_cannot() {
        use Meeting::{Epoch, Next, Repeat, Session};
        const NEW: Meeting = Epoch("a new Discord session");
        const LEFT_OUT: Meeting = Epoch("Discord left out events");
        for (published, followed, session, seq, t, lost_before, expected) in [
            (0, false, "s", 1, "READY", false, Session),
            (0, true, "s", 1, "READY", false, NEW),
            (2, false, "s", 1, "READY", false, Repeat),
            (2, false, "s", 2, "X", false, Repeat),
            (2, false, "s", 2, "X", true, Repeat),
            (2, false, "s", 3, "X", false, Next),
            (2, true, "s", 3, "RESUMED", false, Next),
            (2, true, "s", 9, "X", true, LEFT_OUT),
            (2, true, "t", 1, "READY", false, NEW),
            (2, false, "t", 1, "READY", false, NEW),
            (2, false, "t", 1, "READY", true, NEW),
        ] {
            let case = format!("{published} {followed} {session} {seq} {t} {lost_before}");
            let dispatch = dispatch(session, seq, t, lost_before);
            assert_eq!(journal(published).meet(&dispatch, followed), expected, "{case}");
        }
    }

    #[test]
    fn a_peer_goes_on_from_what_is_kept_and_is_told_the_truth() {
        let journal = journal(5);
        let other = Epoch(journal.epoch.0 ^ 1);
        let at = |seq| Some(journal.id(seq).to_string());
        for (after, cursor, complete, outrun) in [
            (None, 5, true, false),
            (Some("0".to_owned()), 2, true, false),
            (at(1), 5, false, false),
            (at(2), 2, true, false),
            (at(4), 4, true, false),
            (at(5), 5, true, false),
            (at(6), 5, false, true),
            (Some(EventId { epoch: other, seq: 4 }.to_string()), 5, false, false),
            (Some("nonsense".to_owned()), 5, false, false),
        ] {
            let after = after.as_deref();
            assert_eq!(journal.open(after), Opening { cursor, complete }, "{after:?}");
            assert_eq!(journal.is_outrun_by(after), outrun, "{after:?}");
        }
    }
}
