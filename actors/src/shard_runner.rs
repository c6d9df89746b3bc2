//! One Discord Gateway session kept alive: dials, resumes, waits between attempts, and yields what happened.
//!
//! twilight's `Shard` is used for a single connection and then dropped. Its own redialling has no backoff once a
//! socket connects, keeps sessions that Discord has ended (4007, 4009) and trusts the sequence it finds by scanning
//! text; so the position is ours, read by our own splitter, and every new connection starts from it.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::Stream;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serenity::http::{Http, HttpError, LightMethod, Request, Route};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout, timeout_at},
};
use twilight_gateway::{
    CloseFrame, Config, ConfigBuilder, Intents, Message as Frame, Session, Shard, ShardId, ShardState,
};
use url::Url;

use crate::{
    dispatch::{Envelope, split},
    restart::RestartPolicy,
};

/// A connection must be READY or RESUMED by then. An identify may wait 5 s for its turn.
const LIVE_DEADLINE: Duration = Duration::from_secs(60);
/// A socket that sends no HELLO by then is dead.
const HELLO_DEADLINE: Duration = Duration::from_secs(20);
/// A fresh session that ends sooner than this did not count as a success: identifies are limited to 1000 a day.
const SETTLED: Duration = Duration::from_secs(10);
/// More polls than a dial ever needs. A server that upgrades and drops in one packet is redialled inside a single
/// poll of twilight's shard, unseen; this is how it is noticed.
const MAX_DIAL_POLLS: u32 = 64;
/// How long a polite close may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// What a shard needs to identify.
#[derive(Clone)]
pub struct ShardSettings {
    /// The bot's token, without the `Bot ` prefix.
    pub token: SecretString,
    /// Bits of <https://discord.com/developers/docs/events/gateway#gateway-intents>.
    pub intents: u64,
    /// Where `GET /gateway/bot` is asked; it points at Discord or the sandbox.
    pub http: Arc<Http>,
}

impl std::fmt::Debug for ShardSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardSettings").field("intents", &self.intents).finish_non_exhaustive()
    }
}

/// Where a Discord session can be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The session's id, from READY.
    pub session: Arc<str>,
    /// The host to resume at, from READY.
    pub resume_url: Arc<str>,
    /// The last sequence number received.
    pub seq: u64,
}

/// One dispatch as it came.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Session and resume URL it belongs to; `seq` is its own sequence number.
    pub position: Position,
    /// Discord's event name.
    pub t: String,
    /// The raw payload.
    pub d: Bytes,
    /// Milliseconds since the Unix epoch.
    pub ts: u64,
    /// Sequence numbers before it are missing and Discord did not send them again.
    pub lost_before: bool,
}

/// How many identifies are left. <https://discord.com/developers/docs/events/gateway#session-start-limit-object>
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
#[allow(missing_docs)]
pub struct SessionStartLimit {
    pub total: u64,
    pub remaining: u64,
    /// Milliseconds until `remaining` is `total` again.
    pub reset_after: u64,
    pub max_concurrency: u64,
}

/// What the runner has to tell.
#[derive(Debug)]
pub enum ShardEvent {
    /// Dialling; attempt 0 is the first after a success.
    Connecting {
        /// Failed attempts before this one.
        attempt: u32,
    },
    /// The socket is open and Discord said HELLO.
    Connected,
    /// READY (`resumed: false`) or RESUMED arrived.
    Live {
        /// Whether the session goes on.
        resumed: bool,
    },
    /// The connection ended; the next attempt follows after `delay`.
    Waiting {
        /// Number of the coming attempt.
        attempt: u32,
        /// How long until then.
        delay: Duration,
        /// Why it ended.
        cause: String,
    },
    /// An event.
    Dispatch(Dispatch),
    /// A frame that no parser takes.
    Undecodable(String),
    /// Heartbeat to acknowledgement.
    Latency(Duration),
    /// From `GET /gateway/bot`.
    StartLimit(SessionStartLimit),
    /// No retry can help; the text says what to do.
    Fatal(String),
}

enum End {
    Retry { cause: String, at_least: Duration },
    Fatal(String),
    Stopped,
}

impl End {
    fn retry(cause: impl Into<String>) -> Self {
        Self::Retry { cause: cause.into(), at_least: Duration::ZERO }
    }
}

/// The shard and everything that outlives one connection.
pub struct Runner {
    settings: ShardSettings,
    base: Config,
    position: Option<Position>,
    gateway_url: Option<String>,
    attempt: u32,
    /// The sequence number after which Discord left some out, also when asked again.
    hole_after: Option<u64>,
    events: mpsc::Sender<ShardEvent>,
    stop: watch::Receiver<bool>,
}

impl Runner {
    /// A runner that resumes at `position`, or identifies. It ends when `stop` turns true or its receiver is gone.
    ///
    /// Must be called inside a tokio runtime, after a rustls provider was installed (twilight panics otherwise).
    pub fn new(
        settings: ShardSettings,
        position: Option<Position>,
        events: mpsc::Sender<ShardEvent>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let intents = Intents::from_bits_truncate(settings.intents);
        let token = settings.token.expose_secret().to_owned();
        // Kept for all connections, so that its identify queue remembers when the last one was.
        let base = ConfigBuilder::new(token, intents).large_threshold(250).build();
        Self { settings, base, position, gateway_url: None, attempt: 0, hole_after: None, events, stop }
    }

    /// Runs until a fatal end or a stop.
    pub async fn run(mut self) {
        loop {
            let (cause, at_least) = match self.connection().await {
                End::Retry { cause, at_least } => (cause, at_least),
                End::Fatal(reason) => return self.tell(ShardEvent::Fatal(reason)).await,
                End::Stopped => return,
            };
            self.attempt += 1;
            let delay = RestartPolicy::discord().delay(self.attempt).unwrap_or_default().max(at_least);
            self.tell(ShardEvent::Waiting { attempt: self.attempt, delay, cause }).await;
            tokio::select! {
                () = sleep(delay) => {}
                () = stopped(self.stop.clone()) => return,
            }
        }
    }

    async fn connection(&mut self) -> End {
        self.tell(ShardEvent::Connecting { attempt: self.attempt }).await;
        let mut stop = self.stop.clone();
        if self.position.is_none() || self.gateway_url.is_none() {
            let found = tokio::select! {
                found = self.discover() => found,
                () = stopped(stop.clone()) => return End::Stopped,
            };
            if let Err(end) = found {
                return end;
            }
        }
        let mut socket = Socket::new(self.shard());
        let start = tokio::time::Instant::now();
        let mut deadline = start + HELLO_DEADLINE;
        let mut live: Option<Instant> = None;
        loop {
            let next = tokio::select! {
                biased;
                () = stopped(stop.clone()) => {
                    socket.close().await;
                    return End::Stopped;
                }
                next = async {
                    match live {
                        Some(_) => Ok(socket.next().await),
                        None => timeout_at(deadline, socket.next()).await,
                    }
                } => next,
            };
            let _ = &mut stop;
            let text = match next {
                Err(_) => return End::retry("no answer in time after the socket was opened"),
                Ok(Next::Text(text)) => Bytes::from(text),
                Ok(Next::Ended(cause)) => return self.ended(cause, live),
                Ok(Next::Closed(code)) => return self.closed(code, live),
            };
            match split(&text) {
                Err(error) => self.tell(ShardEvent::Undecodable(error.to_string())).await,
                Ok(envelope) => match self.payload(envelope, &socket).await {
                    Step::Nothing => {}
                    Step::Hello => deadline = start + LIVE_DEADLINE,
                    Step::Live { resumed } => {
                        live = Some(Instant::now());
                        if resumed {
                            self.attempt = 0;
                        }
                    }
                    Step::End(end) => return self.settle(end, live),
                },
            }
        }
    }

    /// Asks where to connect. <https://discord.com/developers/docs/events/gateway#get-gateway-bot>
    async fn discover(&mut self) -> Result<(), End> {
        #[derive(Deserialize)]
        struct GatewayBot {
            url: String,
            session_start_limit: Option<SessionStartLimit>,
        }
        let request = Request::new(Route::GatewayBot, LightMethod::Get);
        let answer = timeout(Duration::from_secs(15), async {
            let response = self.settings.http.request(request).await?;
            Ok::<_, serenity::Error>(response.bytes().await?)
        });
        let body = match answer.await {
            Ok(Ok(body)) => body,
            Ok(Err(serenity::Error::Http(HttpError::UnsuccessfulRequest(refusal)))) => {
                if refusal.status_code.as_u16() == 401 {
                    return Err(End::Fatal(fatal_advice(4004)));
                }
                return Err(End::retry(format!("GET /gateway/bot was answered {}", refusal.status_code)));
            }
            Ok(Err(error)) => {
                return Err(End::retry(format!("GET /gateway/bot failed, check DISCORD_URL: {error}")));
            }
            Err(_) => return Err(End::retry("GET /gateway/bot was not answered in 15 s")),
        };
        let found: GatewayBot = serde_json::from_slice(&body)
            .map_err(|error| End::retry(format!("GET /gateway/bot gave no gateway: {error}")))?;
        if !is_websocket_url(&found.url) {
            return Err(End::retry(format!("GET /gateway/bot gave no WebSocket URL: {:?}", found.url)));
        }
        self.gateway_url = Some(found.url);
        if let Some(limit) = found.session_start_limit {
            self.tell(ShardEvent::StartLimit(limit)).await;
            if limit.remaining == 0 && self.position.is_none() {
                let at_least = Duration::from_millis(limit.reset_after);
                return Err(End::Retry { cause: "no identifies are left for today".to_owned(), at_least });
            }
        }
        Ok(())
    }

    fn shard(&self) -> Shard {
        let mut config = ConfigBuilder::from(self.base.clone());
        if let Some(url) = &self.gateway_url {
            config = config.proxy_url(url.clone());
        }
        if let Some(position) = &self.position {
            config = config
                .session(Session::new(position.seq, position.session.to_string()))
                .resume_url(position.resume_url.to_string());
        }
        Shard::with_config(ShardId::ONE, config.build())
    }

    async fn payload(&mut self, envelope: Envelope, socket: &Socket) -> Step {
        match (envelope.op, envelope.s, envelope.t) {
            (0, Some(s), Some(t)) => return self.dispatch(s, t, envelope.d, socket).await,
            (0, ..) => {
                let why = "a dispatch without a sequence number or a name".to_owned();
                self.tell(ShardEvent::Undecodable(why)).await;
            }
            (7, ..) => return Step::End(End::retry("Discord asked to reconnect (op 7)")),
            (9, ..) => {
                if &envelope.d[..] == b"true" {
                    return Step::End(End::retry("the session was interrupted and can be resumed (op 9)"));
                }
                self.position = None;
                // "wait a random amount of time between 1 and 5 seconds, then send a fresh Identify"
                let at_least = Duration::from_millis(rand::random_range(1000..5000));
                let cause = "the session cannot be resumed (op 9)".to_owned();
                return Step::End(End::Retry { cause, at_least });
            }
            (10, ..) => {
                self.tell(ShardEvent::Connected).await;
                return Step::Hello;
            }
            (11, ..) => {
                if let Some(latency) = socket.shard.latency().recent().first() {
                    self.tell(ShardEvent::Latency(*latency)).await;
                }
            }
            _ => {}
        }
        Step::Nothing
    }

    async fn dispatch(&mut self, s: u64, t: String, d: Bytes, socket: &Socket) -> Step {
        let mut step = Step::Nothing;
        let mut lost_before = false;
        if t == "READY" {
            match ready_position(&d, s, self.gateway_url.as_deref()) {
                Some(position) => self.position = Some(position),
                None => return Step::End(End::retry("READY without a session id")),
            }
            self.hole_after = None;
            step = Step::Live { resumed: false };
        }
        let Some(position) = &mut self.position else {
            return Step::End(End::retry(format!("a dispatch before READY: {t}")));
        };
        if s > position.seq + 1 {
            if self.hole_after != Some(position.seq) {
                self.hole_after = Some(position.seq);
                let cause =
                    format!("sequence jumped from {} to {s}: resuming to have it again", position.seq);
                return Step::End(End::retry(cause));
            }
            lost_before = true;
        }
        position.seq = position.seq.max(s);
        if t == "RESUMED" {
            step = Step::Live { resumed: true };
        }
        let position = Position { seq: s, ..position.clone() };
        // Heartbeats carry the shard's own number: one behind ours is harmless, one ahead would be a lie.
        let ahead = socket.shard.session().is_some_and(|session| session.sequence() > s);
        let dispatch = Dispatch { position, t, d, ts: now_ms(), lost_before };
        if let Step::Live { resumed } = step {
            self.tell(ShardEvent::Live { resumed }).await;
        }
        self.tell(ShardEvent::Dispatch(dispatch)).await;
        if ahead {
            return Step::End(End::retry("the socket's sequence is not the session's"));
        }
        step
    }

    fn closed(&mut self, code: Option<u16>, live: Option<Instant>) -> End {
        match code {
            Some(code @ (4004 | 4010..=4014)) => End::Fatal(fatal_advice(code)),
            Some(code @ (4007 | 4009)) => {
                self.position = None;
                self.settle(End::retry(format!("Discord ended the session (close {code})")), live)
            }
            Some(code) => self.ended(format!("the socket was closed ({code})"), live),
            None => self.ended("the socket was closed".to_owned(), live),
        }
    }

    fn ended(&mut self, cause: String, live: Option<Instant>) -> End {
        if live.is_none() && self.attempt >= 3 {
            // The resume host may be the one that is gone; the session may still be known elsewhere.
            if let (Some(position), Some(url)) = (&mut self.position, &self.gateway_url) {
                position.resume_url = url.as_str().into();
            }
            self.gateway_url = None;
        }
        self.settle(End::retry(cause), live)
    }

    /// A connection that stayed live is a success: what follows is a first attempt again.
    fn settle(&mut self, end: End, live: Option<Instant>) -> End {
        if live.is_some_and(|since| since.elapsed() >= SETTLED) {
            self.attempt = 0;
        }
        end
    }

    async fn tell(&self, event: ShardEvent) {
        // The receiver is gone only when the actor is; `stop` is true then.
        let _ = self.events.send(event).await;
    }
}

enum Step {
    Nothing,
    Hello,
    Live { resumed: bool },
    End(End),
}

enum Next {
    Text(String),
    /// A close frame with its code.
    Closed(Option<u16>),
    /// The connection ended without one.
    Ended(String),
}

/// One connection of a shard, from dial to end.
struct Socket {
    shard: Shard,
    was_connected: bool,
    dial_polls: u32,
    fatal: bool,
}

impl Socket {
    fn new(shard: Shard) -> Self {
        Self { shard, was_connected: false, dial_polls: 0, fatal: false }
    }

    async fn next(&mut self) -> Next {
        use twilight_gateway::error::ReceiveMessageErrorType as Kind;
        let item = poll_fn(|cx| {
            let item = Pin::new(&mut self.shard).poll_next(cx);
            let connected = !matches!(self.shard.state(), ShardState::Disconnected { .. });
            self.dial_polls += u32::from(!self.was_connected);
            let dropped = !connected && (self.was_connected || self.dial_polls > MAX_DIAL_POLLS);
            self.was_connected |= connected;
            match item {
                // A dropped socket yields no item: the shard dials again inside this very poll.
                Poll::Pending if dropped => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(item) => Poll::Ready(item),
            }
        })
        .await;
        match item {
            None => Next::Ended("the socket was dropped".to_owned()),
            Some(Ok(Frame::Text(text))) => Next::Text(text),
            Some(Ok(Frame::Close(frame))) => Next::Closed(frame.map(|frame| frame.code)),
            Some(Err(error)) => match error.kind() {
                // twilight scans for the envelope where we parse: what it cannot find we may.
                Kind::Deserializing { event } => Next::Text(event.clone()),
                Kind::Reconnect => Next::Ended(format!("cannot connect: {}", chain(&error))),
                _ => Next::Ended(chain(&error)),
            },
        }
    }

    /// Closes so that Discord keeps the session: 1000 and 1001 would end it.
    async fn close(&mut self) {
        if !self.was_connected || self.fatal {
            return;
        }
        self.shard.close(CloseFrame::RESUME);
        let _ = timeout(CLOSE_DEADLINE, async { while let Next::Text(_) = self.next().await {} }).await;
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender, the actor, is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn ready_position(d: &Bytes, seq: u64, fallback: Option<&str>) -> Option<Position> {
    #[derive(Deserialize)]
    struct Ready<'a> {
        session_id: String,
        #[serde(borrow, default)]
        resume_gateway_url: Option<&'a RawValue>,
    }
    let ready: Ready<'_> = serde_json::from_slice(d).ok()?;
    // An unusable URL would panic inside the shard.
    let resume_url = ready
        .resume_gateway_url
        .and_then(|url| serde_json::from_str::<String>(url.get()).ok())
        .filter(|url| is_websocket_url(url))
        .or_else(|| fallback.map(ToOwned::to_owned))?;
    Some(Position { session: ready.session_id.into(), resume_url: resume_url.into(), seq })
}

fn is_websocket_url(url: &str) -> bool {
    // The shard appends its own path and query to what it is given.
    Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "ws" | "wss")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// What to do about a close code after which Discord accepts no other attempt.
/// <https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>
fn fatal_advice(code: u16) -> String {
    match code {
        4004 => "Discord refused the bot's token (4004): set DISCORD_BOT_TOKEN to the token of the Bot page of your \
                 application, https://discord.com/developers/applications"
            .to_owned(),
        4010 => "Discord refused the shard id (4010): this program runs shard 0 of 1".to_owned(),
        4011 => "the bot is in too many guilds for one shard (4011): leave some, or wait for sharding here".to_owned(),
        4012 => "Discord no longer speaks this version of its gateway (4012): upgrade guildstream".to_owned(),
        4013 => "Discord does not know one of the intents (4013): check DISCORD_INTENTS".to_owned(),
        4014 => "Discord refused a privileged intent (4014): under Bot → Privileged Gateway Intents of your \
                 application, https://discord.com/developers/applications, switch on SERVER MEMBERS INTENT \
                 (GUILD_MEMBERS), MESSAGE CONTENT INTENT (MESSAGE_CONTENT) and PRESENCE INTENT (GUILD_PRESENCES), as \
                 far as DISCORD_INTENTS names them"
            .to_owned(),
        other => format!("Discord closed the session for good ({other})"),
    }
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_resume_url_never_reaches_the_shard() {
        for (url, expected) in [
            (r#""wss://eu.gateway.discord.gg""#, "wss://eu.gateway.discord.gg"),
            (r#""not a url""#, "ws://fallback"),
            (r#""http://eu.gateway.discord.gg""#, "ws://fallback"),
            (r#""wss://x/?a=b""#, "ws://fallback"),
            ("5", "ws://fallback"),
            ("null", "ws://fallback"),
        ] {
            let d = Bytes::from(format!(r#"{{"session_id":"s","resume_gateway_url":{url}}}"#));
            let position = ready_position(&d, 1, Some("ws://fallback")).unwrap();
            assert_eq!(&*position.resume_url, expected, "{url}");
        }
    }

    #[test]
    fn a_refused_privileged_intent_names_the_switches_and_the_page() {
        let advice = fatal_advice(4014);
        for part in ["GUILD_MEMBERS", "MESSAGE_CONTENT", "https://discord.com/developers/applications"] {
            assert!(advice.contains(part), "{advice}");
        }
    }
}
