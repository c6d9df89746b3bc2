//! LinkServer owns the truth of the gateway role: event ids, the event log and ring, the guild model, derived events,
//! the links and the commands in flight. Fed by DiscordShard; feeds one LinkSession per peer. It drops no event: a peer that is
//! behind reads on from the ring, and is closed with 1013 when the ring has left it behind. Its end ends the role.

mod commands;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, MessageResult, Recipient,
    Supervised, WrapFuture as _,
};
use bytestring::ByteString;
use log::{debug, error, info, warn};
use serde::Serialize;
use serde_json::value::RawValue;
use serenity::http::Http;
use tokio::sync::watch;

use crate::{
    commands::Commands,
    discord_shard::ShardState,
    dispatch_facts::Facts,
    event_id::{Epoch, EventId},
    event_log::{EventLog, Restored},
    guild_model::GuildModel,
    link_frame::{self, Command, Hello, MAX_FRAME, PROTOCOL, Refusal},
    link_session::{CloseSocket, SendFrame},
    metric::Metric,
    outbox::{Gauge, Outbox, Refused},
    questions::{self, Known, Lookup, Question},
    ring::{Ring, RingLimits},
    scope::Scope,
    shard_runner::{Dispatch, Position, now_ms},
    snowflake::GuildId,
};

/// Bytes a peer may have pending while it reads on from the ring.
const CATCH_UP_WINDOW: usize = 1024 * 1024;
/// Bytes a live peer may have pending before it has to read on from the ring: two frames of the largest size.
const LIVE_WINDOW: usize = 2 * MAX_FRAME;
/// Guilds that READY announced and that have not arrived by then are in an outage.
const SETTLE_AFTER: Duration = Duration::from_secs(5);
/// Messages from sessions and the shard that may wait.
const MAILBOX: usize = 1024;

/// What the LinkServer needs to know.
#[derive(Clone)]
pub struct LinkServerSettings {
    /// The guilds that questions and commands are answered for.
    pub guilds: Vec<GuildId>,
    /// How much can be replayed to a peer that comes back.
    pub replay: RingLimits,
    /// Where commands are executed: Discord's REST, or the sandbox's.
    pub http: Arc<Http>,
}

/// The actor.
pub struct LinkServer {
    settings: LinkServerSettings,
    epoch: Epoch,
    ring: Ring<ByteString>,
    /// `None`: a restart begins anew.
    log: Option<EventLog>,
    model: GuildModel,
    /// For the question of how Discord is; nothing here depends on it.
    shard: Option<watch::Receiver<ShardState>>,
    /// The last position published, to recognise repeats after a resume.
    position: Option<Position>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    stopped: bool,
    commands: Commands,
    counters: Counters,
}

struct Link {
    outbox: Outbox<SendFrame>,
    close: Recipient<CloseSocket>,
    peer: String,
    since: Instant,
    /// The last event given to this peer.
    cursor: u64,
    /// Whether events go to it as they come; otherwise it reads on from the ring as it drains.
    live: bool,
}

#[derive(Clone, Debug, Default)]
struct Counters {
    published: u64,
    derived: u64,
    repeats: u64,
    oversized: u64,
    epochs: u64,
    overrun: u64,
    commands: u64,
    refusals: u64,
}

/// Names a link of this LinkServer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub(crate) u64);

/// A dispatch from Discord that has no id yet.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Publish {
    /// Which shard it came from.
    pub shard: u32,
    /// The event.
    pub dispatch: Dispatch,
}

/// A peer wants to follow. The greeting and everything after its position are queued before this is answered.
#[derive(Debug, Message)]
#[rtype(result = "LinkId")]
pub struct OpenLink {
    /// Where its frames go.
    pub recipient: Recipient<SendFrame>,
    /// How it is told to end.
    pub close: Recipient<CloseSocket>,
    /// What its socket has taken.
    pub gauge: Arc<Gauge>,
    /// Its address, for logs and status.
    pub peer: String,
    /// Its position, as it sent it: an event id, `0` for the oldest kept, or nothing.
    pub after: Option<String>,
}

/// A peer is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseLink(pub LinkId);

/// A peer has taken all it was given.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkDrained(pub LinkId);

/// A peer wants something done or answered.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RunCommand {
    /// Who asks.
    pub link: LinkId,
    /// What.
    pub command: Command,
}

/// Asks for a copy of the state.
#[derive(Debug, Message)]
#[rtype(result = "LinkServerState")]
pub struct Snapshot;

/// Closes the log and all links; the peers come back and resume.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// A copy of the LinkServer's state.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkServerState {
    /// The peers that follow.
    pub peers: Vec<PeerState>,
    /// What can be replayed.
    pub ring: RingState,
    /// Events published in this process's life, derived ones included.
    pub published: u64,
    /// Whether a restart will go on from here: false without GATEWAY_STATE_DIR, and while its disk takes no more.
    pub durable: bool,
    #[serde(skip)]
    log_failures: u64,
    #[serde(skip)]
    counters: Counters,
    #[serde(skip)]
    command_metrics: Vec<Metric>,
}

/// One peer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerState {
    /// Its address.
    pub peer: String,
    /// Seconds since it connected.
    pub connected_s: u64,
    /// Events it is behind.
    pub behind: u64,
    /// Bytes its socket has not taken.
    pub pending_bytes: usize,
}

/// What a ring holds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct RingState {
    pub events: usize,
    pub bytes: usize,
    pub oldest_id: EventId,
    pub latest_id: EventId,
}

impl LinkServerState {
    /// The state as metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let Counters { published, derived, repeats, oversized, epochs, overrun, commands, refusals } =
            self.counters;
        let behind = self.peers.iter().map(|peer| peer.behind).max().unwrap_or_default();
        let mut metrics = vec![
            Metric::gauge(
                "event_log_writing",
                "1 while a restart could go on without loss.",
                u64::from(self.durable),
            ),
            Metric::counter(
                "event_log_failures_total",
                "Times the event log could not be written.",
                self.log_failures,
            ),
            Metric::gauge("link_peers", "Web roles that follow.", self.peers.len() as u64),
            Metric::gauge("link_peer_behind_events", "Events the slowest peer is behind.", behind),
            Metric::gauge("ring_events", "Events that can be replayed.", self.ring.events as u64),
            Metric::gauge("ring_bytes", "Bytes of events that can be replayed.", self.ring.bytes as u64),
            Metric::counter("events_published_total", "Events given an id.", published),
            Metric::counter("events_derived_total", "Derived events among them.", derived),
            Metric::counter("events_repeated_total", "Dispatches Discord sent twice.", repeats),
            Metric::counter("events_oversized_total", "Events too large for a frame.", oversized),
            Metric::counter(
                "epochs_total",
                "Spans begun since events were lost or the session was new.",
                epochs,
            ),
            Metric::counter("link_overruns_total", "Peers that the ring left behind.", overrun),
            Metric::counter("link_commands_total", "Commands and questions received.", commands),
            Metric::counter("link_refusals_total", "Commands and questions refused.", refusals),
        ];
        metrics.extend(self.command_metrics.iter().cloned());
        metrics
    }
}

impl LinkServer {
    /// A server with an empty ring, in an epoch of its own.
    #[must_use]
    pub fn new(settings: LinkServerSettings) -> Self {
        Self {
            ring: Ring::new(settings.replay, 0),
            commands: Commands::new(Arc::clone(&settings.http)),
            settings,
            epoch: Epoch::random(),
            log: None,
            model: GuildModel::default(),
            shard: None,
            position: None,
            links: BTreeMap::new(),
            next_link: 1,
            stopped: false,
            counters: Counters::default(),
        }
    }

    /// The same, with what is published logged, and going on from what an earlier run has left.
    #[must_use]
    pub fn with_log(mut self, log: EventLog, restored: Option<Restored>) -> Self {
        self.log = Some(log);
        if let Some(Restored { epoch, ring, position, model }) = restored {
            (self.epoch, self.ring, self.model) = (epoch, ring, model);
            self.position = Some(position);
        }
        self
    }

    /// The same, able to say where the connection to Discord stands.
    #[must_use]
    pub fn with_shard(self, shard: watch::Receiver<ShardState>) -> Self {
        Self { shard: Some(shard), ..self }
    }

    fn id(&self, seq: u64) -> EventId {
        EventId { epoch: self.epoch, seq }
    }

    /// Decides which epoch a dispatch belongs to. `false`: it was published before.
    fn admit(&mut self, dispatch: &Dispatch, ctx: &mut Context<Self>) -> bool {
        let new_session = dispatch.t == "READY";
        if let Some(last) = &self.position
            && last.session == dispatch.position.session
            && dispatch.position.seq <= last.seq
        {
            self.counters.repeats += 1;
            return false;
        }
        let before = Position { seq: dispatch.position.seq.saturating_sub(1), ..dispatch.position.clone() };
        // Also before anything was published: a peer that is here already began with an empty model.
        if dispatch.lost_before || new_session && (self.ring.last() > 0 || !self.links.is_empty()) {
            let why = if new_session { "a new Discord session" } else { "Discord left out events" };
            self.position = Some(before);
            self.begin_epoch(why);
        } else if new_session {
            self.position = Some(before);
            self.checkpoint();
        }
        if new_session {
            ctx.run_later(SETTLE_AFTER, |server, _| server.model.settle());
        }
        self.position = Some(dispatch.position.clone());
        true
    }

    fn begin_epoch(&mut self, why: &str) {
        self.epoch = Epoch::random();
        self.ring.restart(0);
        self.counters.epochs += 1;
        for link in self.links.values_mut() {
            link.cursor = 0;
        }
        warn!("[Gateway WS] New epoch {}: {why}", self.epoch);
        self.checkpoint();
    }

    fn checkpoint(&mut self) {
        let id = self.id(self.ring.last());
        if let (Some(log), Some(position)) = (&mut self.log, &self.position) {
            log.checkpoint(id, position, &self.model, self.ring.floor());
        }
    }

    /// Gives an event its id, encodes it once and keeps it.
    fn append(&mut self, event: &str, payload: &str, scope: &Scope, ts: u64) -> ByteString {
        let id = self.id(self.ring.last() + 1);
        let mut frame = link_frame::encode_event(id, event, payload, scope, ts);
        if frame.len() > MAX_FRAME {
            self.counters.oversized += 1;
            error!(
                "[Gateway WS] {event} has {} bytes, more than a frame of {MAX_FRAME}: sent as a gap",
                frame.len()
            );
            frame = link_frame::encode_gap(id, event, payload.len(), ts);
        }
        self.counters.published += 1;
        let frame = ByteString::from(frame);
        self.ring.push(frame.clone(), frame.len());
        frame
    }

    /// Hands what a dispatch became to the log, before anyone hears of it.
    fn log(&mut self, s: u64, frames: &[ByteString], oversized: bool) {
        let Some(log) = &mut self.log else { return };
        log.append(s, self.ring.last() + 1 - frames.len() as u64, frames);
        // An event that is not in the log as it was cannot be applied again.
        if oversized || log.is_due() {
            self.checkpoint();
        }
    }

    /// Gives each link what it has not had.
    fn broadcast(&mut self, event: &str) {
        let (ring, mut failed) = (&self.ring, 0);
        self.links.retain(|_, link| {
            let kept = link.feed(ring);
            failed += usize::from(!kept);
            kept
        });
        self.counters.overrun += failed as u64;
        debug!("[Gateway WS] Broadcast {event}: {} success, {failed} failed", self.links.len());
    }

    fn answer(&self, link: LinkId, request_id: Option<&str>, outcome: Result<Box<RawValue>, Refusal>) {
        let Some(link) = self.links.get(&link) else { return };
        let frame = match outcome {
            Ok(data) => link_frame::encode_ack(self.id(self.ring.last()), request_id, &data, now_ms()),
            Err(refusal) => link_frame::encode_error(request_id, &refusal, now_ms()),
        };
        let bytes = frame.len();
        link.outbox.force(SendFrame { text: frame.into() }, bytes);
    }

    /// Takes in the members that were looked up.
    fn learn(&mut self, found: Vec<(Lookup, Option<String>)>) {
        for (lookup, member) in found {
            match member {
                Some(json) => self.model.learn_member(lookup.guild, &json),
                None => self.model.learn_absent(lookup.guild, lookup.user),
            }
        }
    }

    /// Answers now, or after the members were looked up that the model has not seen.
    fn answer_question(
        &mut self,
        link: LinkId,
        request_id: Option<String>,
        question: Question,
        ctx: &mut Context<Self>,
    ) {
        let lookups: BTreeSet<Lookup> = question.lookups(&self.model, &self.settings.guilds);
        if lookups.is_empty() {
            return self.answer(link, request_id.as_deref(), Ok(self.answer_to(&question)));
        }
        let found = questions::look_up(Arc::clone(&self.settings.http), lookups);
        ctx.spawn(found.into_actor(self).map(move |found, server, _| {
            server.learn(found);
            server.answer(link, request_id.as_deref(), Ok(server.answer_to(&question)));
        }));
    }
}

impl LinkServer {
    fn answer_to(&self, question: &Question) -> Box<RawValue> {
        let shard = self.shard.as_ref().map(watch::Receiver::borrow);
        question.answer(&Known {
            model: &self.model,
            session: self.position.is_some(),
            guilds: &self.settings.guilds,
            shard: shard.as_deref(),
        })
    }
}

impl Link {
    /// Queues what the peer has not had, as far as it has room. `false`: it is gone, or the ring has left it behind.
    fn feed(&mut self, ring: &Ring<ByteString>) -> bool {
        while self.cursor < ring.last() {
            if !self.live && !self.outbox.has_room(CATCH_UP_WINDOW) {
                return true;
            }
            let Some(frame) = ring.get(self.cursor + 1) else {
                warn!("[Gateway WS] Client {} cannot keep up: closed, it may resume", self.peer);
                self.close
                    .do_send(CloseSocket { code: 1013, reason: "cannot keep up: come back and resume" });
                return false;
            };
            match self.outbox.offer(SendFrame { text: frame.clone() }, frame.len()) {
                Ok(()) => self.cursor += 1,
                Err(Refused::Closed) => return false,
                Err(Refused::Full) => {
                    self.live = false;
                    if !self.outbox.has_room(1) {
                        return true;
                    }
                }
            }
        }
        self.live = true;
        true
    }
}

impl Actor for LinkServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.position.is_some() {
            // Guilds that were awaited when the earlier run ended.
            ctx.run_later(SETTLE_AFTER, |server, _| server.model.settle());
        }
    }
}

impl Supervised for LinkServer {}

impl Handler<Publish> for LinkServer {
    type Result = ();

    fn handle(&mut self, Publish { dispatch, .. }: Publish, ctx: &mut Self::Context) {
        // After the log was closed, an event would be seen now and again after the restart.
        if self.stopped || !self.admit(&dispatch, ctx) {
            return;
        }
        let Dispatch { t, d, ts, position, .. } = dispatch;
        let oversized = self.counters.oversized;
        // The bytes are a slice of the text frame they came in.
        let Ok(payload) = std::str::from_utf8(&d) else {
            error!("[Gateway WS] {t} is not UTF-8: left out");
            return self.begin_epoch("an event could not be forwarded");
        };
        self.commands.hear(&t, payload);
        let facts = Facts::read(&t, payload);
        let scope = self.model.scope(&facts);
        let mut frames = vec![self.append(&t, payload, &scope, ts)];
        let derived = self.model.apply(facts);
        self.counters.derived += derived.len() as u64;
        for event in derived {
            frames.push(self.append(event.event, &event.payload, &event.scope, ts));
        }
        self.log(position.seq, &frames, self.counters.oversized > oversized);
        self.broadcast(&t);
    }
}

impl Handler<OpenLink> for LinkServer {
    type Result = MessageResult<OpenLink>;

    fn handle(&mut self, open: OpenLink, _: &mut Self::Context) -> Self::Result {
        let after = open.after.as_deref().map(str::parse::<EventId>);
        if let Some(Ok(id)) = &after
            && id.epoch == self.epoch
            && id.seq > self.ring.last()
        {
            // The same numbers would be given twice.
            self.begin_epoch("a peer has seen events that are not in the log");
        }
        let latest = self.ring.last();
        let (cursor, complete) = match open.after.as_deref() {
            None => (latest, true),
            Some("0") => (self.ring.floor(), true),
            Some(id) => match id.parse::<EventId>() {
                Ok(id) if id.epoch == self.epoch && self.ring.reaches(id.seq) => (id.seq, true),
                _ => (latest, false),
            },
        };
        let hello = Hello {
            message: "Connected to Discord Gateway service".to_owned(),
            protocol: Some(PROTOCOL),
            oldest_id: Some(self.id(self.ring.floor())),
            latest_id: Some(self.id(latest)),
            complete,
            guilds: self.settings.guilds.clone(),
        };
        let frame = link_frame::encode_ack(self.id(cursor), None, &hello, now_ms());
        let outbox = Outbox::new(open.recipient, open.gauge, LIVE_WINDOW);
        let bytes = frame.len();
        outbox.force(SendFrame { text: frame.into() }, bytes);
        info!(
            "[Gateway WS] Client connected: {} at {:?}, {} to replay",
            open.peer,
            open.after,
            latest - cursor
        );
        let mut link =
            Link { outbox, close: open.close, peer: open.peer, since: Instant::now(), cursor, live: false };
        let id = LinkId(self.next_link);
        self.next_link += 1;
        if link.feed(&self.ring) {
            self.links.insert(id, link);
        }
        MessageResult(id)
    }
}

impl Handler<LinkDrained> for LinkServer {
    type Result = ();

    fn handle(&mut self, LinkDrained(id): LinkDrained, _: &mut Self::Context) {
        if let Some(link) = self.links.get_mut(&id)
            && !link.feed(&self.ring)
        {
            self.counters.overrun += 1;
            self.links.remove(&id);
        }
    }
}

impl Handler<CloseLink> for LinkServer {
    type Result = ();

    fn handle(&mut self, CloseLink(id): CloseLink, _: &mut Self::Context) {
        if let Some(link) = self.links.remove(&id) {
            info!("[Gateway WS] Client disconnected: {}", link.peer);
        }
    }
}

impl Handler<RunCommand> for LinkServer {
    type Result = ();

    fn handle(&mut self, RunCommand { link, command }: RunCommand, ctx: &mut Self::Context) {
        self.counters.commands += 1;
        let request_id = command.request_id.clone();
        if let Some(question) = Question::parse(&command) {
            match question {
                Ok(question) => self.answer_question(link, request_id, question, ctx),
                Err(refusal) => self.answer(link, request_id.as_deref(), Err(refusal)),
            }
            return;
        }
        self.run_command(link, command, ctx);
    }
}

impl Handler<Snapshot> for LinkServer {
    type Result = MessageResult<Snapshot>;

    fn handle(&mut self, _: Snapshot, _: &mut Self::Context) -> Self::Result {
        let peer = |link: &Link| PeerState {
            peer: link.peer.clone(),
            connected_s: link.since.elapsed().as_secs(),
            behind: self.ring.last() - link.cursor,
            pending_bytes: link.outbox.gauge().pending(),
        };
        MessageResult(LinkServerState {
            peers: self.links.values().map(peer).collect(),
            ring: RingState {
                events: self.ring.len(),
                bytes: self.ring.bytes(),
                oldest_id: self.id(self.ring.floor()),
                latest_id: self.id(self.ring.last()),
            },
            published: self.counters.published,
            durable: self.log.as_ref().is_some_and(EventLog::is_writing),
            log_failures: self.log.as_ref().map_or(0, EventLog::failures),
            counters: self.counters.clone(),
            command_metrics: self.commands.metrics(),
        })
    }
}

impl Handler<Shutdown> for LinkServer {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.abandon_commands();
        for link in self.links.values() {
            link.close.do_send(CloseSocket { code: 1001, reason: "the gateway is stopping" });
        }
        self.links.clear();
        self.stopped = true;
        let id = self.id(self.ring.last());
        if let (Some(log), Some(position)) = (self.log.take(), &self.position) {
            log.close(id, position, &self.model);
        }
    }
}
