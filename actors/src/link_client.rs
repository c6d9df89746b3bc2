//! LinkClient owns the web role's link to the gateway and what was asked over it. Fed by the gateway's frames and by
//! commands; feeds SseBroker, and waits for it when it is behind, which slows the socket. Under Supervisor: the end of
//! a connection stops the actor, and `started` waits as the restart policy says before it dials again.

mod cursor;
mod in_flight;
#[cfg(test)]
mod line;
mod socket;
mod state;

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message,
    MessageResult, Recipient, ResponseFuture, StreamHandler, Supervised, WrapFuture as _, prelude::SendError,
};
use actix_http::ws::Item;
use awc::{
    error::WsProtocolError,
    ws::{Frame, Message as WsMessage},
};
use bytes::Bytes;
use log::{debug, error, info, warn};
use secrecy::SecretString;
use tokio::time::Instant;

#[cfg(test)]
pub(crate) use self::line::{FarEnd, line};
pub(crate) use self::socket::{Dial, Incoming, Writer};
use self::{
    cursor::{Beginning, Cursor},
    in_flight::{InFlight, Told},
    socket::dial,
    state::Counters,
};
pub use self::{
    in_flight::{Answer, CommandError, SendCommand},
    state::{LinkClientState, LinkState},
};
use crate::{
    event_id::EventId,
    link_fragments::{Fragments, Unfit},
    link_frame::{self, Hello, LinkFrame},
    link_session::{PING_EVERY, SILENCE_LIMIT},
    restart::RestartPolicy,
    scope::{Scope, legacy_scope},
    shard_runner::now_ms,
    sse_broker::{Deliver, LinkEvent, LinkStateChanged, Uplink},
};

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
    dial: Dial,
    broker: Recipient<Deliver>,
    /// Rare, and in order with what was delivered: sent past the mailbox's limit.
    states: Recipient<LinkStateChanged>,
    state: LinkState,
    attempt: u32,
    cursor: Cursor,
    socket: Option<Writer>,
    heard: Instant,
    fragments: Fragments,
    in_flight: InFlight,
    last_event_at: Option<u64>,
    counters: Counters,
}

/// Dials again, also after a manual disconnect or when all attempts are used up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Connect;

/// Ends the link; it stays ended until [`Connect`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Disconnect;

/// Ends the link for good; answered when the gateway has said goodbye too, or a second has passed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// Asks for a copy of the state.
#[derive(Debug, Message)]
#[rtype(result = "LinkClientState")]
pub struct Snapshot;

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
            in_flight: InFlight::new(settings.command_queue),
            settings,
            dial: Rc::new(|settings, after| Box::pin(dial(settings, after))),
            broker,
            states,
            state: LinkState::Connecting,
            attempt: 0,
            cursor: Cursor::default(),
            socket: None,
            heard: Instant::now(),
            fragments: Fragments::default(),
            last_event_at: None,
            counters: Counters::default(),
        }
    }

    /// The same, over connections that a test makes.
    #[cfg(test)]
    pub(crate) fn with_dial(mut self, dial: Dial) -> Self {
        self.dial = dial;
        self
    }

    fn dial(&mut self, ctx: &mut Context<Self>) {
        info!("[Gateway Client] Connecting to {}...", self.settings.url);
        self.state = LinkState::Connecting;
        let dialled = (self.dial)(self.settings.clone(), self.cursor.last_event_id()).into_actor(self);
        ctx.spawn(dialled.map(|outcome, client, ctx| match outcome {
            Ok((writer, incoming)) => client.opened(writer, incoming, ctx),
            Err(cause) => client.dropped(&cause, ctx),
        }));
    }

    fn opened(&mut self, writer: Writer, incoming: Incoming, ctx: &mut Context<Self>) {
        self.socket = Some(writer);
        self.heard = Instant::now();
        self.fragments = Fragments::default();
        self.cursor.opened();
        ctx.add_stream(incoming);
        ctx.run_interval(PING_EVERY, Self::beat);
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if self.heard.elapsed() > SILENCE_LIMIT {
            return self.dropped("nothing was heard for 45 s", ctx);
        }
        self.write(WsMessage::Ping(Bytes::new()));
    }

    fn write(&mut self, message: WsMessage) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.write(message))
    }

    /// Gives the socket up; it closes by itself, in its own time, unless somebody waits for it.
    fn hang_up(&mut self) -> Option<Writer> {
        let socket = self.socket.take();
        self.counters.disconnects += u64::from(socket.is_some());
        socket
    }

    /// The connection is over: fails what was asked, and lets Supervisor bring the actor back to `started`.
    fn dropped(&mut self, cause: &str, ctx: &mut Context<Self>) {
        self.hang_up();
        self.in_flight.give_up_all();
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
                if let Some(id) = self.cursor.take(Some(id)) {
                    self.deliver(Deliver::Gap(id), ctx);
                }
            }
            Ok(LinkFrame::Ack { request_id: None, data, .. }) => {
                self.went_live(serde_json::from_str(data.get()).ok(), ctx);
            }
            Ok(LinkFrame::Ack { id, request_id: Some(ask), data }) => self.in_flight.answered(&ask, id, data),
            Ok(LinkFrame::Error { request_id: Some(ask), refusal }) => self.in_flight.refused(&ask, refusal),
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
        let ask = hello.is_some().then(|| ctx.address().recipient());
        let Beginning { start, target, complete } = self.cursor.greeted(hello.as_ref());
        info!("[Gateway Client] Connected to Gateway Service");
        self.states.do_send(LinkStateChanged::Live(Uplink { ask, start, target, complete }));
    }

    fn event(
        &mut self,
        id: Option<EventId>,
        event: String,
        payload: Bytes,
        scope: Option<Scope>,
        ts: u64,
        ctx: &mut Context<Self>,
    ) {
        debug!("[Gateway Client] Received Discord event: {event}");
        self.counters.events += 1;
        self.last_event_at = Some(now_ms());
        let Some(id) = self.cursor.take(id) else {
            self.counters.invalid += 1;
            return warn!("[Gateway Client] Ignored {event}: it has no id");
        };
        let scope = scope.unwrap_or_else(|| {
            let payload = std::str::from_utf8(&payload).unwrap_or_default();
            legacy_scope(&event, payload, self.settings.legacy_members)
        });
        self.deliver(Deliver::Event(Arc::new(LinkEvent { id, event, payload, scope, ts })), ctx);
    }

    fn deliver(&mut self, deliver: Deliver, ctx: &mut Context<Self>) {
        match self.broker.try_send(deliver) {
            Ok(()) | Err(SendError::Closed(_)) => {}
            Err(SendError::Full(deliver)) => {
                // Waiting stops this actor's stream, and with it the socket.
                let sent = self.broker.send(deliver).into_actor(self);
                ctx.wait(sent.map(|_, _, _| ()));
            }
        }
    }

    fn fragment(&mut self, item: Item, ctx: &mut Context<Self>) {
        match self.fragments.take(item) {
            Ok(Some(message)) => self.frame(&message, ctx),
            Ok(None) | Err(Unfit::NoBeginning) => {}
            Err(Unfit::TooLarge) => self.dropped("a message of more than 16 MiB", ctx),
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
    fn ask(&mut self, command: SendCommand, ctx: &mut Context<Self>) -> Result<Told, CommandError> {
        if self.state != LinkState::Live {
            let reason = "the link to the gateway is down".to_owned();
            return Err(CommandError::NotSent { reason });
        }
        if self.in_flight.is_full_for(&command) {
            return Err(CommandError::QueueFull);
        }
        let prepared = self.in_flight.prepare(command);
        let frame = link_frame::encode_command(&prepared.frame, now_ms());
        if !self.write(WsMessage::Text(frame.into())) {
            return Err(CommandError::QueueFull);
        }
        self.counters.commands += 1;
        let (ask, told) = self.in_flight.sent(prepared);
        ctx.run_later(self.settings.command_timeout, move |client, _| client.in_flight.give_up(&ask));
        Ok(told)
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
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) -> Self::Result {
        self.state = LinkState::Stopped;
        let socket = self.hang_up();
        self.dropped("stopping", ctx);
        Box::pin(async move {
            if let Some(socket) = socket {
                socket.close().await;
            }
        })
    }
}

impl Handler<Snapshot> for LinkClient {
    type Result = MessageResult<Snapshot>;

    fn handle(&mut self, _: Snapshot, _: &mut Self::Context) -> Self::Result {
        let (state, until) = self.state.describe();
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()).as_millis());
        MessageResult(LinkClientState {
            state,
            attempt: self.attempt,
            max_attempts: self.settings.max_attempts,
            next_attempt_in_ms: wait.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            last_event_id: self.cursor.position(),
            last_event_at: self.last_event_at,
            answers: self.state == LinkState::Live && !self.cursor.mints(),
            counters: Counters { failed_commands: self.in_flight.failed(), ..self.counters.clone() },
        })
    }
}

#[cfg(test)]
mod tests;
