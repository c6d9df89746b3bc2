//! LinkServer owns the truth of the gateway role: event ids, the event log and ring, the guild model, derived events,
//! the links and the commands in flight. Fed by DiscordShard; feeds one LinkSession per peer. It drops no event: a peer that is
//! behind reads on from the ring, and is closed with 1013 when the ring has left it behind. Its end ends the role.

mod commands;
mod journal;
mod link;
mod state;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, MessageResult, Recipient,
    Supervised, WrapFuture as _,
};
use log::{debug, error, info};
use serde_json::value::RawValue;
use serenity::http::Http;
use tokio::sync::watch;

pub use self::state::{LinkServerState, PeerState, RingState};
use self::{
    journal::{Journal, Meeting, Opening},
    link::Link,
    state::Counters,
};
use crate::{
    commands::{Commands, Found},
    discord_shard::ShardState,
    dispatch_facts::Facts,
    event_log::{EventLog, Restored},
    guild_model::GuildModel,
    link_frame::{self, Command, Hello, PROTOCOL, Refusal},
    link_session::{CloseSocket, SendFrame},
    outbox::Gauge,
    questions::{Known, Lookup, Question},
    ring::RingLimits,
    shard_runner::{Dispatch, now_ms},
    snowflake::GuildId,
};

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
    journal: Journal,
    model: GuildModel,
    /// For the question of how Discord is; nothing here depends on it.
    shard: Option<watch::Receiver<ShardState>>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    stopped: bool,
    commands: Commands,
    counters: Counters,
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

impl LinkServer {
    /// A server with an empty ring, in an epoch of its own.
    #[must_use]
    pub fn new(settings: LinkServerSettings) -> Self {
        Self {
            journal: Journal::new(settings.replay),
            commands: Commands::new(Arc::clone(&settings.http)),
            settings,
            model: GuildModel::default(),
            shard: None,
            links: BTreeMap::new(),
            next_link: 1,
            stopped: false,
            counters: Counters::default(),
        }
    }

    /// The same, with what is published logged, and going on from what an earlier run has left.
    #[must_use]
    pub fn with_log(mut self, log: EventLog, restored: Option<Restored>) -> Self {
        self.model = self.journal.with_log(log, restored).unwrap_or_default();
        self
    }

    /// The same, able to say where the connection to Discord stands.
    #[must_use]
    pub fn with_shard(self, shard: watch::Receiver<ShardState>) -> Self {
        Self { shard: Some(shard), ..self }
    }

    /// Finds out which epoch a dispatch belongs to. `false`: it was published before.
    fn admit(&mut self, dispatch: &Dispatch, ctx: &mut Context<Self>) -> bool {
        let meeting = self.journal.admit(dispatch, !self.links.is_empty(), &self.model);
        if let Meeting::Epoch(_) = meeting {
            self.links.values_mut().for_each(Link::rewind);
        }
        if meeting != Meeting::Repeat && dispatch.t == "READY" {
            ctx.run_later(SETTLE_AFTER, |server, _| server.model.settle());
        }
        meeting != Meeting::Repeat
    }

    fn begin_epoch(&mut self, why: &str) {
        self.journal.begin_epoch(why, &self.model);
        self.links.values_mut().for_each(Link::rewind);
    }

    /// Gives each link what it has not had.
    fn broadcast(&mut self, event: &str) {
        let (ring, mut failed) = (self.journal.ring(), 0);
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
            Ok(data) => link_frame::encode_ack(self.journal.latest(), request_id, &data, now_ms()),
            Err(refusal) => link_frame::encode_error(request_id, &refusal, now_ms()),
        };
        link.force(frame.into());
    }

    /// Takes in the members that were looked up.
    fn learn(&mut self, found: Found) {
        for (lookup, member) in self.commands.looked_up(found) {
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
        let found = self.commands.look_up(lookups).into_actor(self);
        ctx.spawn(found.map(move |found, server, _| {
            server.learn(found);
            server.answer(link, request_id.as_deref(), Ok(server.answer_to(&question)));
        }));
    }

    fn answer_to(&self, question: &Question) -> Box<RawValue> {
        let shard = self.shard.as_ref().map(watch::Receiver::borrow);
        question.answer(&Known {
            model: &self.model,
            session: self.journal.has_begun(),
            guilds: &self.settings.guilds,
            shard: shard.as_deref(),
        })
    }
}

impl Actor for LinkServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.journal.has_begun() {
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
        // The bytes are a slice of the text frame they came in.
        let Ok(payload) = std::str::from_utf8(&d) else {
            error!("[Gateway WS] {t} is not UTF-8: left out");
            return self.begin_epoch("an event could not be forwarded");
        };
        self.commands.hear(&t, payload);
        let facts = Facts::read(&t, payload);
        let scope = self.model.scope(&facts);
        self.journal.begin(position.seq);
        self.journal.append(&t, payload, &scope, ts);
        let derived = self.model.apply(facts);
        self.counters.derived += derived.len() as u64;
        for event in derived {
            self.journal.append(event.event, &event.payload, &event.scope, ts);
        }
        self.journal.commit(&self.model);
        self.broadcast(&t);
    }
}

impl Handler<OpenLink> for LinkServer {
    type Result = MessageResult<OpenLink>;

    fn handle(&mut self, open: OpenLink, _: &mut Self::Context) -> Self::Result {
        let OpenLink { recipient, close, gauge, peer, after } = open;
        if self.journal.is_outrun_by(after.as_deref()) {
            self.begin_epoch("a peer has seen events that are not in the log");
        }
        let Opening { cursor, complete } = self.journal.open(after.as_deref());
        let latest = self.journal.latest();
        let hello = Hello {
            message: "Connected to Discord Gateway service".to_owned(),
            protocol: Some(PROTOCOL),
            oldest_id: Some(self.journal.id(self.journal.ring().floor())),
            latest_id: Some(latest),
            complete,
            guilds: self.settings.guilds.clone(),
        };
        info!("[Gateway WS] Client connected: {peer} at {after:?}, {} to replay", latest.seq - cursor);
        let mut link = Link::new(recipient, close, gauge, peer, cursor);
        link.force(link_frame::encode_ack(self.journal.id(cursor), None, &hello, now_ms()).into());
        let id = LinkId(self.next_link);
        self.next_link += 1;
        if link.feed(self.journal.ring()) {
            self.links.insert(id, link);
        }
        MessageResult(id)
    }
}

impl Handler<LinkDrained> for LinkServer {
    type Result = ();

    fn handle(&mut self, LinkDrained(id): LinkDrained, _: &mut Self::Context) {
        if let Some(link) = self.links.get_mut(&id)
            && !link.feed(self.journal.ring())
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
        // Nobody would hear what came of it.
        if self.stopped {
            return;
        }
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
        let (journal, latest) = (&self.journal, self.journal.latest());
        MessageResult(LinkServerState {
            peers: self.links.values().map(|link| link.state(latest.seq)).collect(),
            ring: RingState {
                events: journal.ring().len(),
                bytes: journal.ring().bytes(),
                oldest_id: journal.id(journal.ring().floor()),
                latest_id: latest,
            },
            published: journal.counters().published,
            durable: journal.is_durable(),
            log_failures: journal.failures(),
            journal: journal.counters().clone(),
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
            link.close(1001, "the gateway is stopping");
        }
        self.links.clear();
        self.stopped = true;
        self.journal.close(&self.model);
    }
}
