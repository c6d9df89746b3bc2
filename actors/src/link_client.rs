//! LinkClient owns the web role's link to the gateway and what was asked over it. Fed by the gateway's frames and by
//! commands; feeds SseBroker, and waits for it when it is behind, which slows the socket. Under Supervisor: the end of
//! a connection stops the actor, and `started` waits as the restart policy says before it dials again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message,
    MessageResult, Recipient, ResponseFuture, StreamHandler, Supervised, WrapFuture as _, prelude::SendError,
};
use actix_http::ws::Item;
use actix_web::http::StatusCode;
use awc::{
    error::WsProtocolError,
    ws::{Frame, Message as WsMessage},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use log::{debug, error, info, warn};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::{
    event_id::{Epoch, EventId},
    link_frame::{self, Command, Hello, LinkFrame, MAX_FRAME, Refusal},
    link_session::{PING_EVERY, SILENCE_LIMIT},
    metric::Metric,
    restart::RestartPolicy,
    scope::legacy_scope,
    shard_runner::now_ms,
    snowflake::UserId,
    sse_broker::{Deliver, LinkEvent, LinkStateChanged, Uplink},
};

/// A dial that has not come through by then has failed.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What the LinkClient needs to know.
#[derive(Clone)]
pub struct LinkClientSettings {
    /// `ws` or `wss`.
    pub url: String,
    /// The shared secret.
    pub token: SecretString,
    /// Retries before it gives up; 0 = never.
    pub max_attempts: u32,
    /// Commands in flight.
    pub command_queue: usize,
    /// How long an answer may take.
    pub command_timeout: Duration,
    /// Whether events of a gateway that sends no scope go to every member of their guild.
    pub legacy_members: bool,
}

/// The actor.
pub struct LinkClient {
    settings: LinkClientSettings,
    policy: RestartPolicy,
    broker: Recipient<Deliver>,
    /// Rare, and in order with what was delivered: sent past the mailbox's limit.
    states: Recipient<LinkStateChanged>,
    state: LinkState,
    attempt: u32,
    /// The last event delivered.
    position: Option<EventId>,
    socket: Option<mpsc::Sender<WsMessage>>,
    heard: Instant,
    fragments: Option<BytesMut>,
    /// The next id to give to an event that came without one.
    minted: Option<EventId>,
    asked: HashMap<String, Asked>,
    next_ask: u64,
    unanswered: Unanswered,
    last_event_at: Option<u64>,
    counters: Counters,
}

/// Where the link stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Dialling, or waiting for the gateway's first frame.
    Connecting,
    /// Following.
    Live,
    /// The next dial is at `until`.
    Waiting {
        /// When.
        until: Instant,
    },
    /// Told to disconnect; stays so until told to connect.
    Disconnected,
    /// All attempts failed; stays so until told to connect.
    Exhausted,
    /// Stopping.
    Stopped,
}

#[derive(Clone, Debug, Default)]
struct Counters {
    events: u64,
    invalid: u64,
    connects: u64,
    disconnects: u64,
    commands: u64,
    failed_commands: u64,
}

/// A command for the gateway; answered with Discord's answer.
#[derive(Debug, Message)]
#[rtype(result = "Result<Answer, CommandError>")]
pub struct SendCommand {
    /// What to do, in snake case.
    pub command: String,
    /// Its arguments, raw.
    pub payload: Box<RawValue>,
    /// On whose behalf.
    pub actor: Option<UserId>,
    /// The caller's name for it: under the same one it is done once for this user. Made up when there is none.
    pub request_id: Option<String>,
}

/// Who asked, and under which name.
type Key = (Option<UserId>, String);

/// A command that waits for its answer.
struct Asked {
    key: Key,
    tell: oneshot::Sender<Result<Answer, CommandError>>,
}

/// What an ack carried.
#[derive(Debug)]
pub struct Answer {
    /// The command's name for it.
    pub request_id: String,
    /// The position at which it was true.
    pub id: Option<EventId>,
    /// The answer, raw.
    pub data: Box<RawValue>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It was never sent.
    #[error("not sent: {reason}")]
    NotSent {
        /// Why.
        reason: String,
    },
    /// Too many are in flight.
    #[error("not sent: too many commands are waiting for an answer, try again")]
    QueueFull,
    /// It was sent; it may still happen.
    #[error("sent and not answered: it may still happen")]
    Unanswered,
    /// The gateway or Discord said no.
    #[error("refused: {}", .0.message)]
    Refused(Refusal),
}

/// Dials again, also after a manual disconnect or when all attempts are used up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Connect;

/// Ends the link; it stays ended until [`Connect`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Disconnect;

/// Ends the link for good.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// Asks for a copy of the state.
#[derive(Debug, Message)]
#[rtype(result = "LinkClientState")]
pub struct Snapshot;

/// A copy of the LinkClient's state, as `/api/status` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkClientState {
    /// `connecting`, `live`, `waiting`, `disconnected`, `exhausted` or `stopped`.
    pub state: &'static str,
    /// The number of the current or coming attempt; 0 while live.
    pub attempt: u32,
    /// Attempts before it gives up; 0 = never.
    pub max_attempts: u32,
    /// Milliseconds until the next dial.
    pub next_attempt_in_ms: Option<u64>,
    /// The last event delivered.
    pub last_event_id: Option<EventId>,
    /// Milliseconds since the Unix epoch when it came.
    pub last_event_at: Option<u64>,
    /// Whether the gateway answers questions: not one that knows only the first protocol.
    #[serde(skip)]
    pub answers: bool,
    #[serde(skip)]
    counters: Counters,
}

impl LinkClientState {
    /// Whether the gateway is followed.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.state == "live"
    }

    /// Attempts since the link was last live.
    #[must_use]
    pub fn reconnect_attempts(&self) -> u32 {
        self.attempt
    }

    /// Whether events are coming in.
    ///
    /// # Errors
    ///
    /// Says where the link stands instead.
    pub fn ready(&self) -> Result<(), String> {
        match self.state {
            "live" => Ok(()),
            "exhausted" => Err(format!("link: exhausted after {} attempts", self.max_attempts)),
            "waiting" => Err(format!("link: waiting for attempt {}", self.attempt)),
            state => Err(format!("link: {state}")),
        }
    }

    /// The state as metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let Counters { events, invalid, connects, disconnects, commands, failed_commands } = self.counters;
        vec![
            Metric::gauge("link_connected", "1 while the gateway is followed.", u64::from(self.connected())),
            Metric::gauge("link_attempt", "Attempts since the link was last live.", self.attempt.into()),
            Metric::counter("link_events_total", "Events received over the link.", events),
            Metric::counter("link_invalid_frames_total", "Frames that could not be read.", invalid),
            Metric::counter("link_connects_total", "Times the link became live.", connects),
            Metric::counter("link_disconnects_total", "Times the link ended.", disconnects),
            Metric::counter("link_commands_sent_total", "Commands and questions sent.", commands),
            Metric::counter("link_commands_failed_total", "Commands without an answer.", failed_commands),
        ]
    }
}

impl LinkClient {
    /// A client that dials as soon as it starts.
    #[must_use]
    pub fn new(
        settings: LinkClientSettings,
        broker: Recipient<Deliver>,
        states: Recipient<LinkStateChanged>,
    ) -> Self {
        Self {
            policy: RestartPolicy::link(settings.max_attempts),
            settings,
            broker,
            states,
            state: LinkState::Connecting,
            attempt: 0,
            position: None,
            socket: None,
            heard: Instant::now(),
            fragments: None,
            minted: None,
            asked: HashMap::new(),
            next_ask: 0,
            unanswered: Unanswered::default(),
            last_event_at: None,
            counters: Counters::default(),
        }
    }

    fn dial(&mut self, ctx: &mut Context<Self>) {
        info!("[Gateway Client] Connecting to {}...", self.settings.url);
        self.state = LinkState::Connecting;
        let position = self.position.map_or_else(|| "0".to_owned(), |id| id.to_string());
        // HTTP/1.1 only: the WebSocket upgrade is not spoken over HTTP/2.
        let connector = awc::Connector::new().timeout(DIAL_TIMEOUT);
        let request = awc::Client::builder()
            .connector(connector)
            .finish()
            .ws(&self.settings.url)
            .max_frame_size(MAX_FRAME)
            .set_header("authorization", format!("Bearer {}", self.settings.token.expose_secret()))
            .set_header("last-event-id", position);
        let dialled = tokio::time::timeout(DIAL_TIMEOUT, request.connect()).into_actor(self);
        ctx.spawn(dialled.map(|outcome, client, ctx| {
            let cause = match outcome {
                Ok(Ok((_, socket))) => return client.opened(socket, ctx),
                Ok(Err(awc::error::WsClientError::InvalidResponseStatus(StatusCode::UNAUTHORIZED))) => {
                    "the gateway refused the token (401): LINK_TOKEN must be the same on both sides"
                        .to_owned()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in 10 s".to_owned(),
            };
            client.dropped(&cause, ctx);
        }));
    }

    fn opened<S>(&mut self, socket: S, ctx: &mut Context<Self>)
    where
        S: Stream<Item = Result<Frame, WsProtocolError>> + Sink<WsMessage> + 'static,
    {
        let (mut sink, stream) = socket.split();
        let (outgoing, mut queued) = mpsc::channel::<WsMessage>(self.settings.command_queue.max(16));
        actix::spawn(async move {
            while let Some(message) = queued.recv().await {
                if sink.send(message).await.is_err() {
                    break;
                }
            }
            let _ = sink.close().await;
        });
        self.socket = Some(outgoing);
        self.heard = Instant::now();
        self.fragments = None;
        self.minted = None;
        ctx.add_stream(stream);
        ctx.run_interval(PING_EVERY, Self::beat);
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if self.heard.elapsed() > SILENCE_LIMIT {
            return self.dropped("nothing was heard for 45 s", ctx);
        }
        self.write(WsMessage::Ping(Bytes::new()));
    }

    fn write(&mut self, message: WsMessage) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.try_send(message).is_ok())
    }

    /// The connection is over: fails what was asked, and lets Supervisor bring the actor back to `started`.
    fn dropped(&mut self, cause: &str, ctx: &mut Context<Self>) {
        // A gateway that is still there reads why the socket ends; one that is not never will.
        self.write(WsMessage::Close(None));
        if self.socket.take().is_some() {
            self.counters.disconnects += 1;
        }
        for (_, asked) in std::mem::take(&mut self.asked) {
            self.settle(asked, Err(CommandError::Unanswered));
        }
        if matches!(self.state, LinkState::Connecting | LinkState::Live) {
            self.attempt += 1;
            self.state = match self.policy.delay(self.attempt) {
                Some(delay) => {
                    let delay_s = delay.as_secs();
                    warn!("[Gateway Client] Disconnected: {cause}; attempt {} in {delay_s} s", self.attempt);
                    LinkState::Waiting { until: Instant::now() + delay }
                }
                None => {
                    self.attempt -= 1;
                    error!(
                        "[Gateway Client] Gave up after {} attempts: {cause}; POST /api/gateway/connect tries again",
                        self.attempt
                    );
                    LinkState::Exhausted
                }
            };
        }
        self.states.do_send(LinkStateChanged::Down);
        ctx.stop();
    }

    fn frame(&mut self, text: &Bytes, ctx: &mut Context<Self>) {
        match link_frame::decode(text) {
            Ok(LinkFrame::Event { id, event, payload, scope, ts }) => {
                self.went_live(None, ctx);
                self.event(id, event, payload, scope, ts, ctx);
            }
            Ok(LinkFrame::Gap { id, event }) => {
                warn!("[Gateway Client] {event} was too large for the link");
                self.deliver(Deliver::Gap(id), Some(id), ctx);
            }
            Ok(LinkFrame::Ack { request_id: None, data, .. }) => {
                self.went_live(serde_json::from_str(data.get()).ok(), ctx);
            }
            Ok(LinkFrame::Ack { id, request_id: Some(request_id), data }) => {
                if let Some(asked) = self.asked.remove(&request_id) {
                    let request_id = asked.key.1.clone();
                    self.settle(asked, Ok(Answer { request_id, id, data }));
                }
            }
            Ok(LinkFrame::Error { request_id: Some(request_id), refusal }) => {
                if let Some(asked) = self.asked.remove(&request_id) {
                    self.settle(asked, Err(CommandError::Refused(refusal)));
                }
            }
            Ok(LinkFrame::Error { request_id: None, refusal }) => {
                warn!("[Gateway Client] The gateway complains: {}", refusal.message);
            }
            Ok(LinkFrame::Command(command)) => {
                debug!("[Gateway Client] Ignored a command from the gateway: {}", command.command);
            }
            Err(error) => {
                self.counters.invalid += 1;
                warn!("[Gateway Client] Ignored a frame: {error}");
            }
        }
    }

    /// The peer has spoken: the link counts as connected. A peer without a protocol knows only the first fields.
    fn went_live(&mut self, hello: Option<Hello>, ctx: &mut Context<Self>) {
        if self.state == LinkState::Live {
            return;
        }
        self.state = LinkState::Live;
        self.attempt = 0;
        self.counters.connects += 1;
        let hello = hello.filter(|hello| hello.protocol.is_some());
        let uplink = match &hello {
            Some(hello) => {
                // A position that cannot be continued is none: the next dial asks from where this one went on.
                if !hello.complete || self.position.is_none() {
                    self.position = if hello.complete { hello.oldest_id } else { hello.latest_id };
                }
                Uplink {
                    ask: Some(ctx.address().recipient()),
                    start: self.position,
                    target: hello.latest_id,
                    complete: hello.complete,
                }
            }
            None => {
                let start = EventId { epoch: Epoch::random(), seq: 0 };
                self.minted = Some(start.next());
                Uplink { ask: None, start: Some(start), target: Some(start), complete: false }
            }
        };
        info!("[Gateway Client] Connected to Gateway Service");
        self.states.do_send(LinkStateChanged::Live(uplink));
    }

    fn event(
        &mut self,
        id: Option<EventId>,
        event: String,
        payload: Bytes,
        scope: Option<crate::scope::Scope>,
        ts: u64,
        ctx: &mut Context<Self>,
    ) {
        debug!("[Gateway Client] Received Discord event: {event}");
        self.counters.events += 1;
        self.last_event_at = Some(now_ms());
        let position = id;
        let Some(id) = self.minted.or(id) else {
            self.counters.invalid += 1;
            return warn!("[Gateway Client] Ignored {event}: it has no id");
        };
        if let Some(minted) = &mut self.minted {
            *minted = minted.next();
        }
        let scope = scope.unwrap_or_else(|| {
            let payload = std::str::from_utf8(&payload).unwrap_or_default();
            legacy_scope(&event, payload, self.settings.legacy_members)
        });
        let deliver = Deliver::Event(Arc::new(LinkEvent { id, event, payload, scope, ts }));
        // Minted ids mean nothing to the gateway: the next connection starts anew.
        self.deliver(deliver, position.filter(|_| self.minted.is_none()), ctx);
    }

    fn deliver(&mut self, deliver: Deliver, position: Option<EventId>, ctx: &mut Context<Self>) {
        if position.is_some() {
            self.position = position;
        }
        match self.broker.try_send(deliver) {
            Ok(()) | Err(SendError::Closed(_)) => {}
            Err(SendError::Full(deliver)) => {
                // Waiting stops this actor's stream, and with it the socket.
                let sent = self.broker.send(deliver).into_actor(self);
                ctx.wait(sent.map(|_, _, _| ()));
            }
        }
    }

    /// Puts a fragmented message together, within the limit of a whole one.
    fn fragment(&mut self, item: Item, ctx: &mut Context<Self>) {
        let (part, last) = match item {
            Item::FirstText(part) | Item::FirstBinary(part) => {
                self.fragments = Some(BytesMut::new());
                (part, false)
            }
            Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        let Some(message) = &mut self.fragments else { return };
        message.extend_from_slice(&part);
        if message.len() > MAX_FRAME {
            return self.dropped("a message of more than 16 MiB", ctx);
        }
        if last && let Some(message) = self.fragments.take() {
            self.frame(&message.freeze(), ctx);
        }
    }
}

impl Actor for LinkClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        match self.state {
            LinkState::Waiting { until } => {
                let delay = until.saturating_duration_since(Instant::now());
                ctx.run_later(delay, Self::dial);
            }
            LinkState::Connecting | LinkState::Live => self.dial(ctx),
            LinkState::Disconnected | LinkState::Exhausted | LinkState::Stopped => {}
        }
    }
}

impl Supervised for LinkClient {}

impl StreamHandler<Result<Frame, WsProtocolError>> for LinkClient {
    fn handle(&mut self, frame: Result<Frame, WsProtocolError>, ctx: &mut Self::Context) {
        self.heard = Instant::now();
        match frame {
            Ok(Frame::Text(text) | Frame::Binary(text)) => self.frame(&text, ctx),
            Ok(Frame::Continuation(item)) => self.fragment(item, ctx),
            Ok(Frame::Ping(data)) => {
                self.write(WsMessage::Pong(data));
            }
            Ok(Frame::Pong(_)) => {}
            Ok(Frame::Close(reason)) => {
                let why = reason.map_or_else(String::new, |reason| {
                    format!(" ({} {})", u16::from(reason.code), reason.description.unwrap_or_default())
                });
                self.dropped(&format!("the gateway closed the link{why}"), ctx);
            }
            Err(error) => self.dropped(&format!("the link broke the protocol: {error}"), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        if self.socket.is_some() {
            self.dropped("the socket was closed", ctx);
        }
    }
}

impl Handler<SendCommand> for LinkClient {
    type Result = ResponseFuture<Result<Answer, CommandError>>;

    fn handle(&mut self, command: SendCommand, ctx: &mut Self::Context) -> Self::Result {
        let outcome = self.ask(command, ctx);
        Box::pin(async move {
            match outcome {
                Ok(answered) => answered.await.unwrap_or(Err(CommandError::Unanswered)),
                Err(error) => Err(error),
            }
        })
    }
}

impl LinkClient {
    fn ask(
        &mut self,
        command: SendCommand,
        ctx: &mut Context<Self>,
    ) -> Result<oneshot::Receiver<Result<Answer, CommandError>>, CommandError> {
        let not_sent = |reason: &str| CommandError::NotSent { reason: reason.to_owned() };
        if self.state != LinkState::Live {
            return Err(not_sent("the link to the gateway is down"));
        }
        if self.asked.len() >= self.settings.command_queue {
            return Err(CommandError::QueueFull);
        }
        // The callers choose their ids themselves, so that two may choose the same: the link has ids of its own.
        self.next_ask += 1;
        let ask = format!("c{}", self.next_ask);
        let name = command.request_id.clone().unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let key = (command.actor, name);
        let command = Command {
            command: command.command,
            payload: command.payload,
            actor: command.actor,
            request_id: Some(ask.clone()),
            again: self.unanswered.contains(&key),
            key: command.request_id,
        };
        let frame = link_frame::encode_command(&command, now_ms());
        if !self.write(WsMessage::Text(frame.into())) {
            return Err(CommandError::QueueFull);
        }
        self.counters.commands += 1;
        let (tell, told) = oneshot::channel();
        self.asked.insert(ask.clone(), Asked { key, tell });
        ctx.run_later(self.settings.command_timeout, move |client, _| {
            if let Some(asked) = client.asked.remove(&ask) {
                client.settle(asked, Err(CommandError::Unanswered));
            }
        });
        Ok(told)
    }

    /// Tells the caller, and remembers what may have been done without an answer.
    fn settle(&mut self, Asked { key, tell }: Asked, outcome: Result<Answer, CommandError>) {
        match &outcome {
            Err(CommandError::Unanswered) => {
                self.counters.failed_commands += 1;
                self.unanswered.insert(key);
            }
            Err(CommandError::Refused(refusal)) if refusal.code == "OUTCOME_UNKNOWN" => {
                self.unanswered.insert(key);
            }
            _ => self.unanswered.remove(&key),
        }
        let _ = tell.send(outcome);
    }
}

/// Commands whose outcome nobody knows. When one is asked again, the gateway is told so: a gateway that started since
/// then cannot know it, and must not do it a second time.
#[derive(Default)]
struct Unanswered(VecDeque<(Instant, Key)>);

impl Unanswered {
    /// Commands remembered; the oldest is forgotten first.
    const KEPT: usize = 1000;
    /// As long as the gateway remembers its answers.
    const FOR: Duration = Duration::from_secs(600);

    fn contains(&self, key: &Key) -> bool {
        self.0.iter().any(|(since, known)| known == key && since.elapsed() < Self::FOR)
    }

    /// Questions, which nobody's name stands under, do nothing twice.
    fn insert(&mut self, key: Key) {
        if key.0.is_none() {
            return;
        }
        self.remove(&key);
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back((Instant::now(), key));
    }

    fn remove(&mut self, key: &Key) {
        self.0.retain(|(_, known)| known != key);
    }
}

impl Handler<Connect> for LinkClient {
    type Result = ();

    fn handle(&mut self, _: Connect, ctx: &mut Self::Context) {
        if matches!(self.state, LinkState::Disconnected | LinkState::Exhausted | LinkState::Waiting { .. }) {
            self.attempt = 0;
            self.state = LinkState::Connecting;
            // Restarting also disarms the dial that was waiting.
            ctx.stop();
        }
    }
}

impl Handler<Disconnect> for LinkClient {
    type Result = ();

    fn handle(&mut self, _: Disconnect, ctx: &mut Self::Context) {
        if self.state != LinkState::Stopped {
            info!("[Gateway Client] Disconnected on request; POST /api/gateway/connect connects again");
            self.attempt = 0;
            self.state = LinkState::Disconnected;
            self.dropped("on request", ctx);
        }
    }
}

impl Handler<Shutdown> for LinkClient {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        self.state = LinkState::Stopped;
        self.dropped("stopping", ctx);
    }
}

impl Handler<Snapshot> for LinkClient {
    type Result = MessageResult<Snapshot>;

    fn handle(&mut self, _: Snapshot, _: &mut Self::Context) -> Self::Result {
        let (state, until) = match self.state {
            LinkState::Connecting => ("connecting", None),
            LinkState::Live => ("live", None),
            LinkState::Waiting { until } => ("waiting", Some(until)),
            LinkState::Disconnected => ("disconnected", None),
            LinkState::Exhausted => ("exhausted", None),
            LinkState::Stopped => ("stopped", None),
        };
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()).as_millis());
        MessageResult(LinkClientState {
            state,
            attempt: self.attempt,
            max_attempts: self.settings.max_attempts,
            next_attempt_in_ms: wait.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            last_event_id: self.position,
            last_event_at: self.last_event_at,
            answers: self.state == LinkState::Live && self.minted.is_none(),
            counters: self.counters.clone(),
        })
    }
}
