//! SseBroker owns the open streams, what their viewers may see, and the ring of the web role. Fed by LinkClient; feeds
//! one SseSession per stream, with what its viewer may see. A stream whose queue is full or whose socket stands still
//! is ended; the browser comes back with its position. Not supervised: its end ends the role.

mod directory;
mod feed;
mod stream;
mod viewers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, MessageResult, Recipient,
    ResponseFuture, WrapFuture as _,
};
use bytes::Bytes;
use log::{debug, info, warn};
use serde::Serialize;

use self::{
    directory::Directory,
    feed::{Arrival, Feed, Snapshots},
    stream::{End, Resume, Stream},
    viewers::Viewers,
};
use crate::{
    audience::ViewerAccess,
    event_id::EventId,
    filter::Filter,
    guild_info::GuildInfo,
    link_client::{Answer, CommandError, SendCommand},
    link_frame::raw,
    metric::Metric,
    outbox::{Gauge, Outbox},
    permissions::Permissions,
    questions,
    ring::{Ring, RingLimits},
    scope::Scope,
    shard_runner::now_ms,
    snowflake::{GuildId, UserId},
    sse_frame,
    sse_session::{CloseStream, SendSse, Viewer},
};

/// Messages from the link and from sessions that may wait.
const MAILBOX: usize = 1024;
/// Users in one `viewer` question.
const VIEWERS_AT_ONCE: usize = 500;
/// How long until a question is asked again that had no full answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// The `retry:` of a stream that would not be accepted again at once.
const LONG_RETRY: Duration = Duration::from_secs(15);

/// What the broker needs to know.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// The configured guilds; no other's events reach a browser.
    pub guilds: Vec<GuildId>,
    /// How much can be replayed to a browser that comes back.
    pub replay: RingLimits,
    /// How long a stream may be idle before it is sent a ping.
    pub heartbeat: Duration,
    /// How long a socket may take nothing while something is pending.
    pub stall: Duration,
    /// Bytes that may wait for one stream.
    pub queue_bytes: usize,
    /// Streams at once.
    pub max_sessions: usize,
    /// Streams of one user at once.
    pub max_sessions_per_user: usize,
    /// How long access stays true while the link is down.
    pub viewer_ttl: Duration,
}

/// The actor.
pub struct SseBroker {
    feed: Feed,
    streams: BTreeMap<StreamId, Stream>,
    per_user: HashMap<UserId, usize>,
    next_stream: u64,
    /// Where questions go; `None` while the link is down.
    ask: Option<Recipient<SendCommand>>,
    down_since: Option<Instant>,
    asking_snapshot: bool,
    stopping: bool,
}

#[derive(Clone, Debug, Default)]
struct Counters {
    delivered: u64,
    events: u64,
    repeats: u64,
    resyncs: BTreeMap<&'static str, u64>,
    ended: BTreeMap<&'static str, u64>,
    opened: u64,
}

impl Counters {
    fn resync(&mut self, cause: &'static str) {
        *self.resyncs.entry(cause).or_default() += 1;
    }
}

/// Names a stream of this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u64);

/// An event as it came over the link; the payload is still the frame's own bytes.
#[derive(Debug)]
pub struct LinkEvent {
    /// Its place in the order.
    pub id: EventId,
    /// Discord's name, or a derived one.
    pub event: String,
    /// The raw payload.
    pub payload: Bytes,
    /// Who may see it.
    pub scope: Scope,
    /// Milliseconds since the Unix epoch when it was received from Discord.
    pub ts: u64,
}

/// The next event, or the id of one that was too large.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Deliver {
    /// An event.
    Event(Arc<LinkEvent>),
    /// It cannot be had.
    Gap(EventId),
}

/// The link came up or went down.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum LinkStateChanged {
    /// Events follow from `start` on.
    Live(Uplink),
    /// No events until further notice.
    Down,
}

/// What a live link offers.
#[derive(Debug)]
pub struct Uplink {
    /// Where questions go; `None` when the gateway answers none.
    pub ask: Option<Recipient<SendCommand>>,
    /// The position before the first event that follows.
    pub start: Option<EventId>,
    /// The gateway's newest event.
    pub target: Option<EventId>,
    /// Whether what follows joins what came before.
    pub complete: bool,
}

/// Whether a stream would be accepted now.
#[derive(Debug, Message)]
#[rtype(result = "Admission")]
pub struct Admit {
    /// Who asks.
    pub user: UserId,
    /// The configured guilds the user had at sign-in.
    pub guilds: Vec<GuildId>,
}

/// The answer to [`Admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Welcome,
    /// The user is in none of the guilds.
    NotAMember,
    /// Not now; the browser should come back after `retry`.
    Later {
        /// Why.
        reason: &'static str,
        /// When.
        retry: Duration,
    },
}

/// Registers a stream; its first frames are queued before this is answered.
#[derive(Debug, Message)]
#[rtype(result = "StreamId")]
pub struct Subscribe {
    /// Where its frames go.
    pub recipient: Recipient<SendSse>,
    /// How it is told to end.
    pub close: Recipient<CloseStream>,
    /// What its socket has taken.
    pub gauge: Arc<Gauge>,
    /// Whose it is.
    pub viewer: Viewer,
    /// What it asks for.
    pub filter: Filter,
    /// Where it was, as the browser sent it.
    pub after: Option<String>,
}

/// A stream is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Unsubscribe(pub StreamId);

/// A stream has taken all it was given.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StreamDrained(pub StreamId);

/// Ends all streams of a session that was signed out; answered with their number.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct EndSession {
    /// The session.
    pub sid: String,
}

/// What a user may do in the guilds, as far as the broker knows; asks the gateway when it does not.
#[derive(Debug, Message)]
#[rtype(result = "Option<Vec<(GuildId, Permissions)>>")]
pub struct GuildPermissions {
    /// Who.
    pub user: UserId,
}

/// Asks for the guilds and what a user may see of them, as of the newest event; asks the gateway when it is not known.
#[derive(Debug, Message)]
#[rtype(result = "Option<VisibleGuilds>")]
pub struct GuildsOf {
    /// Who.
    pub user: UserId,
}

/// The answer to [`GuildsOf`]: all configured guilds, of which no more may be shown than `access` allows.
#[derive(Debug)]
pub struct VisibleGuilds {
    /// The guilds, with channels that the user may not see.
    pub guilds: Arc<[GuildInfo]>,
    /// What the user may see.
    pub access: ViewerAccess,
}

/// Ends all streams, spread over `grace`; each browser is told to come back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown {
    /// How long the ends may be spread.
    pub grace: Duration,
}

/// Asks for a copy of the state.
#[derive(Debug, Message)]
#[rtype(result = "BrokerState")]
pub struct Snapshot;

/// A copy of the broker's state.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerState {
    /// Open streams.
    pub sessions: usize,
    /// Events sent to streams.
    pub delivered: u64,
    /// Streams ended because they were too slow.
    pub dropped: u64,
    /// Times a stream was told that events were lost.
    pub resyncs: u64,
    /// The same by cause.
    pub resyncs_by_cause: BTreeMap<&'static str, u64>,
    /// Streams that ended, by cause.
    pub ended: BTreeMap<&'static str, u64>,
    /// Events that can be replayed.
    pub ring_events: usize,
    /// Bytes they take.
    pub ring_bytes: usize,
    /// The newest event.
    pub latest_id: Option<EventId>,
    /// People whose access is remembered.
    pub viewers: usize,
    #[serde(skip)]
    counters: Counters,
}

impl BrokerState {
    /// The state as metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![
            Metric::gauge("sse_sessions", "Open streams.", self.sessions as u64),
            Metric::counter("sse_opened_total", "Streams opened.", self.counters.opened),
            Metric::counter("sse_delivered_total", "Events sent to streams.", self.delivered),
            Metric::counter("sse_events_total", "Events taken in.", self.counters.events),
            Metric::counter("sse_events_repeated_total", "Events that came twice.", self.counters.repeats),
            Metric::gauge("sse_ring_events", "Events that can be replayed.", self.ring_events as u64),
            Metric::gauge("sse_ring_bytes", "Bytes of events that can be replayed.", self.ring_bytes as u64),
            Metric::gauge("sse_viewers", "People whose access is remembered.", self.viewers as u64),
        ];
        let by_cause = |name, help, counts: &BTreeMap<&'static str, u64>| {
            let count = |(cause, count): (&&'static str, &u64)| {
                Metric::counter(name, help, *count).label("cause", *cause)
            };
            counts.iter().map(count).collect::<Vec<_>>()
        };
        metrics.extend(by_cause(
            "sse_resyncs_total",
            "Streams told that events were lost.",
            &self.resyncs_by_cause,
        ));
        metrics.extend(by_cause("sse_ended_total", "Streams that ended.", &self.ended));
        metrics
    }
}

impl SseBroker {
    /// A broker without streams that has not heard of the link.
    #[must_use]
    pub fn new(settings: BrokerSettings) -> Self {
        Self {
            feed: Feed {
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
            },
            streams: BTreeMap::new(),
            per_user: HashMap::new(),
            next_stream: 1,
            ask: None,
            down_since: Some(Instant::now()),
            asking_snapshot: false,
            stopping: false,
        }
    }

    /// Moves every stream as far as it can go; asks what that needs.
    fn step_all(&mut self, ctx: &mut Context<Self>) {
        self.each(ctx, Stream::step);
    }

    fn resync_all(&mut self, cause: &'static str, ctx: &mut Context<Self>) {
        self.each(ctx, |stream, feed| stream.resync(cause, feed).and_then(|()| stream.step(feed)));
    }

    fn each(
        &mut self,
        ctx: &mut Context<Self>,
        mut act: impl FnMut(&mut Stream, &mut Feed) -> Result<(), End>,
    ) {
        let mut ended = Vec::new();
        for (id, stream) in &mut self.streams {
            if let Err(end) = act(stream, &mut self.feed) {
                ended.push((*id, end));
            }
        }
        for (id, end) in ended {
            self.end(id, end);
        }
        self.ask_what_is_wanted(ctx);
    }

    fn one(&mut self, id: StreamId, ctx: &mut Context<Self>) {
        if let Some(stream) = self.streams.get_mut(&id)
            && let Err(end) = stream.step(&mut self.feed)
        {
            self.end(id, end);
        }
        self.ask_what_is_wanted(ctx);
    }

    fn end(&mut self, id: StreamId, end: End) {
        let Some(stream) = self.remove(id) else { return };
        let (cause, retry) = match end {
            End::Closed => ("closed", None),
            End::Slow => ("slow", Some(jittered(Duration::from_secs(1)))),
            End::Stalled => ("stalled", None),
            End::Expired => ("expired", None),
            End::NotAMember => ("not_a_member", None),
        };
        *self.feed.counters.ended.entry(cause).or_default() += 1;
        if end != End::Closed {
            info!("[SSE] Stream ended: {cause}");
        }
        stream.end(retry);
    }

    fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        if let Some(count) = self.per_user.get_mut(&stream.viewer.user) {
            *count -= 1;
            if *count == 0 {
                self.per_user.remove(&stream.viewer.user);
            }
        }
        Some(stream)
    }

    fn ask_what_is_wanted(&mut self, ctx: &mut Context<Self>) {
        self.tell_guilds();
        let Some(ask) = self.ask.clone() else { return };
        if self.feed.snapshot_wanted && !self.asking_snapshot {
            self.feed.snapshot_wanted = false;
            self.asking_snapshot = true;
            let asked = ask.send(question("voice_snapshot", &serde_json::json!({}))).into_actor(self);
            ctx.spawn(asked.map(|answer, broker, ctx| broker.snapshot_answered(answer.ok(), ctx)));
        }
        if self.feed.directory.take_wanted() {
            let asked = ask.send(question("guild", &serde_json::json!({}))).into_actor(self);
            ctx.spawn(asked.map(|answer, broker, ctx| broker.guilds_answered(answer.ok(), ctx)));
        }
        while self.feed.viewers.has_wanted() {
            let users = self.feed.viewers.take_wanted(VIEWERS_AT_ONCE);
            let asked =
                ask.send(question("viewer", &serde_json::json!({ "userIds": users }))).into_actor(self);
            ctx.spawn(
                asked.map(move |answer, broker, ctx| broker.viewers_answered(&users, answer.ok(), ctx)),
            );
        }
    }

    fn snapshot_answered(&mut self, answer: Option<Result<Answer, CommandError>>, ctx: &mut Context<Self>) {
        self.asking_snapshot = false;
        let parsed = match answer {
            Some(Ok(Answer { id: Some(id), data, .. })) => {
                serde_json::from_str::<questions::VoiceSnapshots>(data.get()).map(|answer| (id, answer)).ok()
            }
            _ => None,
        };
        match parsed {
            // Of another epoch: the event that says so is on its way, and with it another question.
            Some((id, answer)) if answer.pending.is_empty() && Some(id.epoch) == self.feed.epoch => {
                self.feed.snapshot = Some(Snapshots { id, taken: Instant::now(), guilds: answer.guilds });
                self.step_all(ctx);
            }
            _ => {
                ctx.run_later(ASK_AGAIN, Self::step_all);
            }
        }
    }

    /// Tells those who wait what guilds are called, or that it cannot be said.
    fn tell_guilds(&mut self) {
        let Feed { directory, viewers, epoch, ring, .. } = &mut self.feed;
        if let Some(epoch) = *epoch {
            directory.tell(viewers, epoch, ring.last());
        }
        if self.ask.is_none() {
            directory.give_up();
        }
    }

    fn guilds_answered(&mut self, answer: Option<Result<Answer, CommandError>>, ctx: &mut Context<Self>) {
        let parsed = match answer {
            Some(Ok(Answer { id: Some(id), data, .. })) => {
                serde_json::from_str::<questions::Guilds>(data.get()).map(|answer| (answer, id)).ok()
            }
            _ => None,
        };
        let whole =
            parsed.filter(|(answer, id)| answer.pending.is_empty() && Some(id.epoch) == self.feed.epoch);
        let again = whole.is_none();
        self.feed.directory.answered(whole.map(|(answer, id)| (answer.guilds, id)));
        if again {
            ctx.run_later(ASK_AGAIN, Self::ask_what_is_wanted);
        } else {
            self.ask_what_is_wanted(ctx);
        }
    }

    fn viewers_answered(
        &mut self,
        users: &[UserId],
        answer: Option<Result<Answer, CommandError>>,
        ctx: &mut Context<Self>,
    ) {
        let parsed = match answer {
            Some(Ok(Answer { id: Some(id), data, .. })) => {
                serde_json::from_str::<questions::Viewers>(data.get()).map(|answer| (id, answer)).ok()
            }
            _ => None,
        };
        self.feed.viewers.unanswered(users);
        let complete = parsed.is_some_and(|(id, answer)| {
            // All of them are taken in, whatever one of them says.
            let answered = answer.viewers.into_iter().map(|viewer| self.feed.viewers.answered(viewer, id));
            answered.fold(true, |all, complete| all & complete)
        });
        if complete {
            self.each(ctx, |stream, feed| stream.check_membership(feed).and_then(|()| stream.step(feed)));
        } else {
            ctx.run_later(ASK_AGAIN, Self::step_all);
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let ping = sse_frame::ping(now_ms());
        self.each(ctx, |stream, feed| stream.tick(feed, &ping));
        let ttl = self.feed.settings.viewer_ttl;
        if self.down_since.is_some_and(|since| since.elapsed() > ttl) && self.feed.epoch.is_some() {
            self.end_all("link_down", |_| Some(jittered(LONG_RETRY)));
        }
        let per_user = &self.per_user;
        self.feed.viewers.sweep(|user| per_user.contains_key(&user), ttl);
    }

    fn end_all(&mut self, cause: &'static str, mut retry: impl FnMut(&Stream) -> Option<Duration>) -> usize {
        let streams = std::mem::take(&mut self.streams);
        self.per_user.clear();
        *self.feed.counters.ended.entry(cause).or_default() += streams.len() as u64;
        for stream in streams.values() {
            stream.end(retry(stream));
        }
        streams.len()
    }
}

/// Between one and two times `least`, so that browsers do not all come back together.
fn jittered(least: Duration) -> Duration {
    least.mul_f64(1.0 + rand::random::<f64>())
}

fn question(command: &str, payload: &serde_json::Value) -> SendCommand {
    SendCommand { command: command.to_owned(), payload: raw(payload), actor: None, request_id: None }
}

impl Actor for SseBroker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(Duration::from_secs(1), Self::tick);
    }
}

impl Handler<Deliver> for SseBroker {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, ctx: &mut Self::Context) {
        let event = match deliver {
            Deliver::Event(event) => event,
            Deliver::Gap(id) => {
                self.feed.restart(id);
                return self.resync_all("oversized", ctx);
            }
        };
        match self.feed.arrive(event.id) {
            Arrival::Repeat => {
                self.feed.counters.repeats += 1;
                return;
            }
            Arrival::Gap(cause) => self.resync_all(cause, ctx),
            Arrival::Next => {}
        }
        self.feed.counters.events += 1;
        if let Some(guild) = event.scope.guild {
            debug!("[SSE] Broadcasting {} to guild {guild}", event.event);
        }
        self.feed.push(event);
        self.step_all(ctx);
    }
}

impl Handler<LinkStateChanged> for SseBroker {
    type Result = ();

    fn handle(&mut self, change: LinkStateChanged, ctx: &mut Self::Context) {
        let uplink = match change {
            LinkStateChanged::Down => {
                self.ask = None;
                self.down_since.get_or_insert_with(Instant::now);
                return self.tell_guilds();
            }
            LinkStateChanged::Live(uplink) => uplink,
        };
        self.down_since = None;
        self.feed.answers = uplink.ask.is_some();
        self.ask = uplink.ask;
        self.feed.target = uplink.target.map_or(0, |target| target.seq);
        if let Some(start) = uplink.start {
            let joined = uplink.complete && self.feed.id(self.feed.ring.last()) == Some(start);
            let first = self.feed.epoch.is_none();
            if !joined {
                self.feed.restart(start);
                if !first {
                    warn!("[SSE] Events were lost while the link was down");
                    self.resync_all("link", ctx);
                }
            }
        }
        self.step_all(ctx);
    }
}

impl Handler<Admit> for SseBroker {
    type Result = MessageResult<Admit>;

    fn handle(&mut self, Admit { user, guilds }: Admit, _: &mut Self::Context) -> Self::Result {
        let settings = &self.feed.settings;
        let member = guilds.iter().any(|guild| settings.guilds.contains(guild));
        let later = |reason| Admission::Later { reason, retry: jittered(LONG_RETRY) };
        MessageResult(if !member || self.feed.viewers.is_outsider(user) {
            Admission::NotAMember
        } else if self.stopping {
            later("the service is stopping")
        } else if self.streams.len() >= settings.max_sessions {
            later("too many streams are open")
        } else if self.per_user.get(&user).is_some_and(|count| *count >= settings.max_sessions_per_user) {
            later("you have too many streams open")
        } else {
            Admission::Welcome
        })
    }
}

impl Handler<Subscribe> for SseBroker {
    type Result = MessageResult<Subscribe>;

    fn handle(&mut self, subscribe: Subscribe, ctx: &mut Self::Context) -> Self::Result {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        let Subscribe { recipient, close, gauge, viewer, filter, after } = subscribe;
        let resume = after.map(|after| after.parse().map_or(Resume::Unknown, Resume::At));
        let known = match resume {
            Some(Resume::At(id)) => Some(id),
            _ => None,
        };
        info!("[SSE] Stream opened, resuming at {known:?}");
        self.feed.counters.opened += 1;
        let outbox = Outbox::new(recipient, gauge, self.feed.settings.queue_bytes);
        *self.per_user.entry(viewer.user).or_default() += 1;
        let mut stream = Stream::new(outbox, close, viewer, filter, resume);
        let greeting = stream.offer(sse_frame::hello(jittered(Duration::from_secs(2)), known, now_ms()));
        self.streams.insert(id, stream);
        match greeting {
            Ok(()) => self.one(id, ctx),
            Err(end) => self.end(id, end),
        }
        MessageResult(id)
    }
}

impl Handler<StreamDrained> for SseBroker {
    type Result = ();

    fn handle(&mut self, StreamDrained(id): StreamDrained, ctx: &mut Self::Context) {
        self.one(id, ctx);
    }
}

impl Handler<Unsubscribe> for SseBroker {
    type Result = ();

    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Self::Context) {
        if self.remove(id).is_some() {
            *self.feed.counters.ended.entry("closed").or_default() += 1;
        }
    }
}

impl Handler<EndSession> for SseBroker {
    type Result = usize;

    fn handle(&mut self, EndSession { sid }: EndSession, _: &mut Self::Context) -> Self::Result {
        let of_session = self.streams.iter().filter(|(_, stream)| stream.viewer.sid == sid);
        let ids: Vec<_> = of_session.map(|(id, _)| *id).collect();
        for id in &ids {
            self.end(*id, End::Expired);
        }
        ids.len()
    }
}

impl Handler<GuildPermissions> for SseBroker {
    type Result = MessageResult<GuildPermissions>;

    fn handle(
        &mut self,
        GuildPermissions { user }: GuildPermissions,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let Some(epoch) = self.feed.epoch else { return MessageResult(None) };
        let held = self.feed.viewers.current(user, epoch).map(|access| {
            let guilds = access.guild_ids();
            guilds.filter_map(|guild| Some((guild, access.guild_permissions(guild)?))).collect()
        });
        self.ask_what_is_wanted(ctx);
        MessageResult(held)
    }
}

impl Handler<GuildsOf> for SseBroker {
    type Result = ResponseFuture<Option<VisibleGuilds>>;

    fn handle(&mut self, GuildsOf { user }: GuildsOf, ctx: &mut Self::Context) -> Self::Result {
        let ttl = self.feed.settings.viewer_ttl;
        if self.down_since.is_some_and(|since| since.elapsed() > ttl) {
            return Box::pin(async { None });
        }
        let told = self.feed.directory.wait(user);
        self.ask_what_is_wanted(ctx);
        Box::pin(async { told.await.ok() })
    }
}

impl Handler<Shutdown> for SseBroker {
    type Result = ();

    fn handle(&mut self, Shutdown { grace }: Shutdown, ctx: &mut Self::Context) {
        self.stopping = true;
        let ids: Vec<_> = self.streams.keys().copied().collect();
        let count = u32::try_from(ids.len().max(1)).unwrap_or(u32::MAX);
        for (n, id) in (0u32..).zip(ids) {
            // Spread, so that the other web roles are not asked by all browsers at once.
            ctx.run_later(grace.mul_f64(f64::from(n) / f64::from(count)), move |broker, _| {
                if let Some(stream) = broker.remove(id) {
                    *broker.feed.counters.ended.entry("shutdown").or_default() += 1;
                    stream.end(Some(jittered(Duration::from_secs(1))));
                }
            });
        }
    }
}

impl Handler<Snapshot> for SseBroker {
    type Result = MessageResult<Snapshot>;

    fn handle(&mut self, _: Snapshot, _: &mut Self::Context) -> Self::Result {
        let counters = self.feed.counters.clone();
        let ended = |cause| counters.ended.get(cause).copied().unwrap_or_default();
        MessageResult(BrokerState {
            sessions: self.streams.len(),
            delivered: counters.delivered,
            dropped: ended("slow") + ended("stalled"),
            resyncs: counters.resyncs.values().sum(),
            resyncs_by_cause: counters.resyncs.clone(),
            ended: counters.ended.clone(),
            ring_events: self.feed.ring.len(),
            ring_bytes: self.feed.ring.bytes(),
            latest_id: self.feed.id(self.feed.ring.last()),
            viewers: self.feed.viewers.len(),
            counters,
        })
    }
}
