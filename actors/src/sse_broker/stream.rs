//! One browser stream as the broker sees it: a cursor in the ring that moves when it may.

use std::time::{Duration, SystemTime};

use actix::Recipient;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    feed::{Feed, Snapshots},
    viewers::{Viewers, shared_guilds},
};
use crate::{
    audience::{Decision, ViewerAccess, decide},
    derived::VoiceSnapshot,
    event_id::{Epoch, EventId},
    filter::Filter,
    link_frame::raw,
    outbox::{Outbox, Refused},
    scope::Scope,
    shard_runner::now_ms,
    sse_frame,
    sse_session::{CloseStream, SendSse, Viewer},
};

/// Bytes a stream may have pending while it reads on from the ring.
const CATCH_UP_WINDOW: usize = 16 * 1024;
/// How long a stream may wait for a position that this role has not heard of.
const AHEAD_LIMIT: Duration = Duration::from_secs(5);

/// A stream.
pub(super) struct Stream {
    pub(super) outbox: Outbox<SendSse>,
    pub(super) close: Recipient<CloseStream>,
    pub(super) viewer: Viewer,
    pub(super) filter: Filter,
    stage: Stage,
    /// The last event that was decided for this stream.
    cursor: u64,
    /// The last position the browser was told.
    told: u64,
    /// Whether events go to it as they come; otherwise it reads on from the ring as it drains.
    live: bool,
    /// Its viewer can view other channels than the snapshots told of: it needs them again, at the next chance.
    outdated: bool,
    /// The position as of which the channels were told that its viewer can view.
    sights: u64,
    /// When it was opened.
    since: Instant,
    last_sent: Instant,
    taken: (u64, Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is not known yet whether its position can be resumed.
    Undecided(Option<Resume>),
    /// It needs snapshots before anything else.
    Fresh,
    /// The cursor is where it is.
    Following,
}

/// The position a browser came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// One of ours, of some epoch.
    At(EventId),
    /// Not an id.
    Unknown,
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its session is gone.
    Closed,
    /// Its queue was full.
    Slow,
    /// Its socket took nothing for too long.
    Stalled,
    /// The session expired.
    Expired,
    /// The user is in none of the guilds any more.
    NotAMember,
    /// The role stops.
    Stopping,
}

impl Stream {
    pub(super) fn new(
        outbox: Outbox<SendSse>,
        close: Recipient<CloseStream>,
        viewer: Viewer,
        filter: Filter,
        resume: Option<Resume>,
    ) -> Self {
        let now = Instant::now();
        Self {
            outbox,
            close,
            viewer,
            filter,
            stage: Stage::Undecided(resume),
            cursor: 0,
            told: 0,
            live: false,
            outdated: false,
            sights: 0,
            since: now,
            last_sent: now,
            taken: (0, now),
        }
    }

    /// Moves the stream as far as it can go now.
    pub(super) fn step(&mut self, feed: &mut Feed) -> Result<(), End> {
        loop {
            let moved = match self.stage {
                Stage::Undecided(resume) => self.decide_start(resume, feed)?,
                Stage::Fresh => self.begin(feed)?,
                Stage::Following => self.follow(feed)?,
            };
            if !moved {
                return Ok(());
            }
        }
    }

    /// Events were lost: the browser hears so once, and gets fresh snapshots.
    pub(super) fn resync(&mut self, cause: &'static str, feed: &mut Feed) -> Result<(), End> {
        if self.stage == Stage::Following {
            self.gap(cause, feed)?;
        }
        Ok(())
    }

    fn gap(&mut self, cause: &'static str, feed: &mut Feed) -> Result<(), End> {
        feed.counters.resync(cause);
        self.stage = Stage::Fresh;
        self.live = false;
        let message = "events were lost and cannot be replayed: snapshots follow";
        self.offer(sse_frame::resync(message, now_ms()))
    }

    fn decide_start(&mut self, resume: Option<Resume>, feed: &mut Feed) -> Result<bool, End> {
        let Some(epoch) = feed.epoch else { return Ok(false) };
        match resume {
            None => self.stage = Stage::Fresh,
            Some(Resume::At(id)) if id.epoch == epoch && feed.ring.reaches(id.seq) => {
                (self.cursor, self.told) = (id.seq, id.seq);
                self.stage = Stage::Following;
            }
            // The gateway is still replaying what this role has missed, or another role is a little ahead of this one.
            Some(Resume::At(id))
                if id.epoch == epoch
                    && id.seq > feed.ring.last()
                    && (id.seq <= feed.target || self.since.elapsed() < AHEAD_LIMIT) =>
            {
                return Ok(false);
            }
            Some(_) => self.gap("unknown_position", feed)?,
        }
        Ok(true)
    }

    /// Sends the snapshots; the last of them carries the position.
    fn begin(&mut self, feed: &mut Feed) -> Result<bool, End> {
        let Some(epoch) = feed.epoch else { return Ok(false) };
        if !feed.answers {
            (self.cursor, self.told) = (feed.ring.last(), feed.ring.last());
            self.stage = Stage::Following;
            return Ok(true);
        }
        let Some(id) = feed.snapshot().map(|snapshots| snapshots.id) else { return Ok(false) };
        let Some(access) = feed.viewers.current(self.viewer.user, epoch) else { return Ok(false) };
        let Some(snapshots) = &feed.snapshot else { return Ok(false) };
        let mut frames = snapshot_frames(&self.filter, snapshots, access);
        if frames.is_empty() {
            frames.push(sse_frame::position(id));
        }
        for frame in frames {
            self.offer(frame)?;
        }
        (self.cursor, self.told) = (id.seq, id.seq);
        self.saw_all(feed);
        self.stage = Stage::Following;
        Ok(true)
    }

    /// Sends snapshots once more, between the two events they belong between. `false`: they are not here yet, or have no
    /// room, and the stream is held where it is, so that none can be older than what it has had.
    fn renew(&mut self, epoch: Epoch, feed: &mut Feed) -> Result<bool, End> {
        let Some(position) = feed.snapshot_since(self.cursor) else { return Ok(false) };
        if position > self.cursor {
            return Ok(true);
        }
        if !self.live && !self.outbox.has_room(1) {
            return Ok(false);
        }
        let Some(access) = feed.viewers.current(self.viewer.user, epoch) else { return Ok(false) };
        let Some(snapshots) = &feed.snapshot else { return Ok(false) };
        for frame in snapshot_frames(&self.filter, snapshots, access) {
            self.offer(frame)?;
            self.told = self.cursor;
        }
        self.saw_all(feed);
        Ok(true)
    }

    fn saw_all(&mut self, feed: &Feed) {
        self.outdated = false;
        self.sights = feed.viewers.sights(self.viewer.user);
    }

    /// Decides the next event. Access that is not sure holds the stream where it is: nothing is guessed or lost.
    fn follow(&mut self, feed: &mut Feed) -> Result<bool, End> {
        let Some(epoch) = feed.epoch else { return Ok(false) };
        if self.outdated && !self.renew(epoch, feed)? {
            self.live = false;
            return Ok(false);
        }
        if self.cursor >= feed.ring.last() {
            self.live = true;
            return Ok(false);
        }
        if !feed.ring.reaches(self.cursor) {
            self.gap("overrun", feed)?;
            return Ok(true);
        }
        if !self.live && !self.outbox.has_room(CATCH_UP_WINDOW) {
            return Ok(false);
        }
        let Some(entry) = feed.ring.get(self.cursor + 1) else { return Ok(false) };
        let (name, scope) = (entry.event.event.as_str(), &entry.event.scope);
        let decision = if feed.answers {
            let Some(access) = feed.viewers.current(self.viewer.user, epoch) else {
                self.live = false;
                return Ok(false);
            };
            decide(name, scope, access)
        } else {
            // A gateway that knows only the first protocol: the guilds are those of the sign-in.
            let member = scope.guild.is_some_and(|guild| self.viewer.guilds.contains(&guild));
            if member && !scope.secret { Decision::Deliver } else { Decision::Withhold }
        };
        let asked_for = |event, channels| self.filter.wants(event, scope.guild, channels);
        let frame = match decision {
            _ if !scope.guild.is_some_and(|guild| feed.settings.guilds.contains(&guild)) => None,
            Decision::Deliver if asked_for(name, &scope.channels) => Some(entry.frame.clone()),
            Decision::DeliverAs(transform)
                if asked_for(transform.event(), transform.channel_of(&scope.channels)) =>
            {
                entry.transformed(transform)
            }
            Decision::Deliver | Decision::DeliverAs(_) | Decision::Withhold => None,
        };
        if let Some(frame) = frame {
            match self.send(frame) {
                Ok(()) => {}
                // While it reads on from the ring, a full mailbox only means later.
                Err(Refused::Full) if !self.live => return Ok(self.outbox.has_room(1)),
                Err(refused) => return Err(refused.into()),
            }
            feed.counters.delivered += 1;
            self.told = self.cursor + 1;
        }
        self.cursor += 1;
        self.outdated |= self.is_outdated_by(name, scope, &feed.viewers);
        if self.cursor - self.told >= (feed.ring.capacity() as u64 / 8).max(1)
            && let Some(id) = feed.id(self.cursor)
        {
            self.offer(sse_frame::position(id))?;
            self.told = self.cursor;
        }
        Ok(true)
    }

    /// Whether the viewer can view other channels since the event at the cursor than the stream has told of. Who can view
    /// a channel that was only just created is told of the room that it is.
    fn is_outdated_by(&self, event: &str, scope: &Scope, viewers: &Viewers) -> bool {
        let user = self.viewer.user;
        // Hardly any event changes access: for all others nothing is looked up.
        if !scope.changes.as_ref().is_some_and(|change| change.affects(user)) || event == "CHANNEL_CREATE" {
            return false;
        }
        let sights = viewers.sights(user);
        sights >= self.cursor && sights > self.sights && self.filter.wants_event("voice.snapshot")
    }

    /// What the clock asks: ends streams that expired or stalled, and keeps idle ones awake.
    pub(super) fn tick(&mut self, feed: &mut Feed, ping: &Bytes) -> Result<(), End> {
        if self.viewer.expires_at <= SystemTime::now() {
            return Err(End::Expired);
        }
        if let Stage::Undecided(_) = self.stage {
            self.step(feed)?;
        }
        let taken = self.outbox.gauge().taken();
        if self.outbox.gauge().pending() == 0 || taken != self.taken.0 {
            self.taken = (taken, Instant::now());
        } else if self.taken.1.elapsed() >= feed.settings.stall {
            return Err(End::Stalled);
        }
        // A stream with bytes on their way is not idle.
        if self.outbox.gauge().pending() == 0 && self.last_sent.elapsed() >= feed.settings.heartbeat {
            if self.stage == Stage::Following
                && self.cursor > self.told
                && let Some(id) = feed.id(self.cursor)
            {
                self.offer(sse_frame::position(id))?;
                self.told = self.cursor;
            }
            self.offer(ping.clone())?;
        }
        Ok(())
    }

    /// Whether the user has lost the last guild.
    pub(super) fn check_membership(&self, feed: &Feed) -> Result<(), End> {
        let access = feed.viewers.last_known(self.viewer.user);
        if access.is_some_and(|access| shared_guilds(access).is_empty()) {
            return Err(End::NotAMember);
        }
        Ok(())
    }

    pub(super) fn end(&self, retry: Option<Duration>) {
        self.close.do_send(CloseStream { retry });
    }

    pub(super) fn offer(&mut self, frame: Bytes) -> Result<(), End> {
        self.send(frame).map_err(End::from)
    }

    fn send(&mut self, frame: Bytes) -> Result<(), Refused> {
        let bytes = frame.len();
        self.outbox.offer(SendSse { bytes: frame }, bytes)?;
        self.last_sent = Instant::now();
        Ok(())
    }
}

/// A frame for each guild whose rooms the viewer sees and the filter wants; the last carries the position.
fn snapshot_frames(filter: &Filter, snapshots: &Snapshots, access: &ViewerAccess) -> Vec<Bytes> {
    if !filter.wants_event("voice.snapshot") {
        return Vec::new();
    }
    let guilds = snapshots.guilds.iter().filter(|snapshot| filter.wants_guild(snapshot.guild_id));
    let seen: Vec<_> = guilds.filter_map(|snapshot| access.filter(snapshot)).collect();
    let last = seen.len();
    let encode = |(n, mut snapshot): (usize, VoiceSnapshot)| {
        snapshot.channels.retain(|channel| filter.wants_channel(channel.channel_id));
        let id = (n == last).then_some(snapshots.id);
        sse_frame::event(id, "voice.snapshot", raw(&snapshot).get(), now_ms())
    };
    (1..).zip(seen).map(encode).collect()
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Slow,
            Refused::Closed => Self::Closed,
        }
    }
}
