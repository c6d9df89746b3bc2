//! One Discord Gateway session kept alive: dials, resumes, waits between attempts, and yields what happened.
//!
//! twilight's `Shard` is used for a single connection and then dropped. Its own redialling has no backoff once a
//! socket connects, keeps sessions that Discord has ended (4007, 4009) and trusts the sequence it finds by scanning
//! text; so the position is ours, read by our own splitter, and every new connection starts from it.

mod gateway_bot;
mod session;
mod socket;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serenity::http::Http;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout_at},
};
use twilight_gateway::{Config, ConfigBuilder, Intents, Session, Shard, ShardId};

pub use self::{gateway_bot::SessionStartLimit, session::Position};
use self::{
    gateway_bot::gateway_bot,
    session::{Closed, Place, Taken, fatal_advice},
    socket::{Next, Socket},
};
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
    place: Place,
    gateway_url: Option<String>,
    attempt: u32,
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
        let place = Place::at(position);
        Self { settings, base, place, gateway_url: None, attempt: 0, events, stop }
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
        let stop = self.stop.clone();
        if self.place.position().is_none() || self.gateway_url.is_none() {
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

    async fn discover(&mut self) -> Result<(), End> {
        let found = gateway_bot(&self.settings.http).await?;
        self.gateway_url = Some(found.url);
        if let Some(limit) = found.session_start_limit {
            self.tell(ShardEvent::StartLimit(limit)).await;
            if limit.remaining == 0 && self.place.position().is_none() {
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
        if let Some(position) = self.place.position() {
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
                self.place.forget();
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
                if let Some(latency) = socket.latency() {
                    self.tell(ShardEvent::Latency(latency)).await;
                }
            }
            _ => {}
        }
        Step::Nothing
    }

    async fn dispatch(&mut self, s: u64, t: String, d: Bytes, socket: &Socket) -> Step {
        let taken = match self.place.take(s, &t, &d, self.gateway_url.as_deref()) {
            Ok(taken) => taken,
            Err(cause) => return Step::End(End::retry(cause)),
        };
        let Taken { position, lost_before, live } = taken;
        if let Some(resumed) = live {
            self.tell(ShardEvent::Live { resumed }).await;
        }
        self.tell(ShardEvent::Dispatch(Dispatch { position, t, d, ts: now_ms(), lost_before })).await;
        // Heartbeats carry the shard's own number: one behind ours is harmless, one ahead would be a lie.
        if socket.sequence().is_some_and(|sequence| sequence > s) {
            return Step::End(End::retry("the socket's sequence is not the session's"));
        }
        live.map_or(Step::Nothing, |resumed| Step::Live { resumed })
    }

    fn closed(&mut self, code: Option<u16>, live: Option<Instant>) -> End {
        let Some(code) = code else { return self.ended("the socket was closed".to_owned(), live) };
        match Closed::by(code) {
            Closed::Fatal => End::Fatal(fatal_advice(code)),
            Closed::SessionOver => {
                self.place.forget();
                self.settle(End::retry(format!("Discord ended the session (close {code})")), live)
            }
            Closed::Resumable => self.ended(format!("the socket was closed ({code})"), live),
        }
    }

    fn ended(&mut self, cause: String, live: Option<Instant>) -> End {
        if live.is_none()
            && self.attempt >= 3
            && let Some(url) = self.gateway_url.take()
        {
            self.place.resume_at(&url);
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

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender, the actor, is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
