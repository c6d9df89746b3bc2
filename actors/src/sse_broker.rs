//! SseBroker owns the open streams, what their viewers may see, and the ring of the web role. Fed by LinkClient; feeds
//! one SseSession per stream, with what its viewer may see. A stream whose queue is full or whose socket stands still
//! is ended; the browser comes back with its position. Not supervised: its end ends the role.

mod directory;
mod feed;
mod messages;
mod questions;
mod state;
mod stream;
mod streams;
mod viewers;

use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler, MessageResult, Recipient, ResponseFuture};
use log::{debug, info, warn};
use tokio::time::Instant;

use self::{
    feed::{Arrival, Feed},
    state::Counters,
    stream::{End, Resume, Stream},
    streams::Streams,
};
pub use self::{
    messages::{
        Admission, Admit, Deliver, EndSession, GuildPermissions, GuildsOf, LinkEvent, LinkStateChanged,
        Shutdown, Snapshot, StreamDrained, Subscribe, Unsubscribe, Uplink, VisibleGuilds,
    },
    state::BrokerState,
    streams::StreamId,
};
use crate::{
    link_client::SendCommand, outbox::Outbox, ring::RingLimits, shard_runner::now_ms, snowflake::GuildId,
    sse_frame,
};

/// Messages from the link and from sessions that may wait.
const MAILBOX: usize = 1024;
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
    streams: Streams,
    /// Where questions go; `None` while the link is down.
    ask: Option<Recipient<SendCommand>>,
    down_since: Option<Instant>,
    asking_snapshot: bool,
    stopping: bool,
}

impl SseBroker {
    /// A broker without streams that has not heard of the link.
    #[must_use]
    pub fn new(settings: BrokerSettings) -> Self {
        Self {
            feed: Feed::new(settings),
            streams: Streams::default(),
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
        for (id, stream) in self.streams.iter_mut() {
            if let Err(end) = act(stream, &mut self.feed) {
                ended.push((id, end));
            }
        }
        for (id, end) in ended {
            self.end(id, end);
        }
        self.ask_what_is_wanted(ctx);
    }

    fn one(&mut self, id: StreamId, ctx: &mut Context<Self>) {
        if let Some(stream) = self.streams.get_mut(id)
            && let Err(end) = stream.step(&mut self.feed)
        {
            self.end(id, end);
        }
        self.ask_what_is_wanted(ctx);
    }

    fn end(&mut self, id: StreamId, end: End) {
        let Some(stream) = self.streams.remove(id) else { return };
        let (cause, retry) = match end {
            End::Closed => ("closed", None),
            End::Slow => ("slow", Some(jittered(Duration::from_secs(1)))),
            End::Stalled => ("stalled", None),
            End::Expired => ("expired", None),
            End::NotAMember => ("not_a_member", None),
            End::Stopping => ("shutdown", Some(jittered(Duration::from_secs(1)))),
        };
        self.feed.counters.ended(cause, 1);
        if !matches!(end, End::Closed | End::Stopping) {
            info!("[SSE] Stream ended: {cause}");
        }
        stream.end(retry);
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let ping = sse_frame::ping(now_ms());
        self.each(ctx, |stream, feed| stream.tick(feed, &ping));
        let ttl = self.feed.settings.viewer_ttl;
        if self.down_since.is_some_and(|since| since.elapsed() > ttl) && self.feed.epoch.is_some() {
            self.end_all("link_down", || jittered(LONG_RETRY));
        }
        let streams = &self.streams;
        self.feed.viewers.sweep(|user| streams.of(user) > 0, ttl);
    }

    fn end_all(&mut self, cause: &'static str, mut retry: impl FnMut() -> Duration) {
        self.feed.counters.ended(cause, self.streams.len());
        for stream in self.streams.take() {
            stream.end(Some(retry()));
        }
    }
}

/// Between one and two times `least`, so that browsers do not all come back together.
fn jittered(least: Duration) -> Duration {
    least.mul_f64(1.0 + rand::random::<f64>())
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
        } else if self.feed.epoch.is_some()
            && self.down_since.is_some_and(|since| since.elapsed() > settings.viewer_ttl)
        {
            later("the link is down, and nobody knows any more what you may see")
        } else if self.streams.len() >= settings.max_sessions {
            later("too many streams are open")
        } else if self.streams.of(user) >= settings.max_sessions_per_user {
            later("you have too many streams open")
        } else {
            Admission::Welcome
        })
    }
}

impl Handler<Subscribe> for SseBroker {
    type Result = MessageResult<Subscribe>;

    fn handle(&mut self, subscribe: Subscribe, ctx: &mut Self::Context) -> Self::Result {
        let Subscribe { recipient, close, gauge, viewer, filter, after } = subscribe;
        let resume = after.map(|after| after.parse().map_or(Resume::Unknown, Resume::At));
        let known = match resume {
            Some(Resume::At(id)) => Some(id),
            _ => None,
        };
        info!("[SSE] Stream opened, resuming at {known:?}");
        self.feed.counters.opened += 1;
        let outbox = Outbox::new(recipient, gauge, self.feed.settings.queue_bytes);
        let mut stream = Stream::new(outbox, close, viewer, filter, resume);
        // It may have been admitted before the stop began.
        let greeting = match self.stopping {
            true => Err(End::Stopping),
            false => stream.offer(sse_frame::hello(jittered(Duration::from_secs(2)), known, now_ms())),
        };
        let id = self.streams.insert(stream);
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
        if self.streams.remove(id).is_some() {
            self.feed.counters.ended("closed", 1);
        }
    }
}

impl Handler<EndSession> for SseBroker {
    type Result = usize;

    fn handle(&mut self, EndSession { sid }: EndSession, _: &mut Self::Context) -> Self::Result {
        let of_session = self.streams.iter().filter(|(_, stream)| stream.viewer.sid == sid);
        let ids: Vec<_> = of_session.map(|(id, _)| id).collect();
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
        let Feed { directory, viewers, epoch, .. } = &mut self.feed;
        let told = directory.wait(user);
        if let Some(epoch) = *epoch {
            // What they may see is asked together with what it is called.
            viewers.current(user, epoch);
        }
        self.ask_what_is_wanted(ctx);
        Box::pin(async { told.await.ok() })
    }
}

impl Handler<Shutdown> for SseBroker {
    type Result = ();

    fn handle(&mut self, Shutdown { grace }: Shutdown, ctx: &mut Self::Context) {
        self.stopping = true;
        let ids: Vec<_> = self.streams.iter().map(|(id, _)| id).collect();
        let count = u32::try_from(ids.len().max(1)).unwrap_or(u32::MAX);
        for (n, id) in (0u32..).zip(ids) {
            // Spread, so that the other web roles are not asked by all browsers at once.
            let wait = grace.mul_f64(f64::from(n) / f64::from(count));
            ctx.run_later(wait, move |broker, _| broker.end(id, End::Stopping));
        }
    }
}

impl Handler<Snapshot> for SseBroker {
    type Result = MessageResult<Snapshot>;

    fn handle(&mut self, _: Snapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(BrokerState::new(self.streams.len(), &self.feed))
    }
}
