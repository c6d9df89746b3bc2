//! One WebSocket connection, from HELLO to its end.
//!
//! The task reads its session's dispatches at its own pace from the hub, so a slow client holds nobody up and nothing
//! queues for it but the session's bounded replay.

use std::{
    collections::VecDeque,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::web;
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, MessageStream, Session};
use serde_json::json;
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, sleep_until, timeout},
};

use super::{
    codec::{Codec, Outgoing},
    command::{self, Allowed, Close, Command},
    hub::{Identify, Link, Order, ResumeError},
};
use crate::{
    discord::{Discord, Inner},
    world::World,
};

/// Payloads a client may send within [`SENDS_WINDOW`].
const SENDS: usize = 120;
const SENDS_WINDOW: Duration = Duration::from_secs(60);
/// Dispatches taken from the replay at a time, so that orders and commands get their turn.
const BATCH: usize = 64;
/// A peer that accepts no byte for this long is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// How long a closed connection waits for the client's own close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How long an acknowledgement takes. Discord's cross a network, and some libraries (discord.py, nextcord) note when they
/// sent a heartbeat only after they sent it: an ACK that is there before has taken them a whole interval, they say.
const ACK_AFTER: Duration = Duration::from_millis(50);
/// Orders waiting for a connection at most; more are dropped, since nobody could have seen them take effect.
const ORDERS: usize = 64;

static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

/// A client's connection and what it has been through.
pub(crate) struct Connection {
    discord: web::Data<Discord>,
    socket: Session,
    messages: AggregatedMessageStream,
    codec: Codec,
    resume_url: String,
    link: Link,
    orders: mpsc::Receiver<Order>,
    /// Set by IDENTIFY or RESUME.
    session: Option<String>,
    /// The last dispatch that was sent.
    seq: u64,
    /// When the client sent its latest payloads.
    sends: VecDeque<Instant>,
    last_heartbeat: Instant,
    /// When the acknowledgements that are owed go out. Never more than [`SENDS`].
    acks: VecDeque<Instant>,
}

/// Why a connection ends.
enum End {
    /// This side closes it.
    Close(u16, &'static str),
    /// The client closed it, and gets its own reason back.
    Answer(Option<CloseReason>),
    /// It broke.
    Gone,
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close as u16, close.reason())
    }
}

impl Connection {
    pub(crate) fn new(
        discord: web::Data<Discord>,
        socket: Session,
        messages: MessageStream,
        raw: Arc<TcpStream>,
        codec: Codec,
        resume_url: String,
    ) -> Self {
        let (sender, orders) = mpsc::channel(ORDERS);
        let link = Link {
            id: NEXT_LINK.fetch_add(1, Ordering::Relaxed),
            orders: sender,
            wake: Arc::new(Notify::new()),
            socket: raw,
        };
        Self {
            discord,
            socket,
            messages: messages.aggregate_continuations(),
            codec,
            resume_url,
            link,
            orders,
            session: None,
            seq: 0,
            sends: VecDeque::new(),
            last_heartbeat: Instant::now(),
            acks: VecDeque::new(),
        }
    }

    /// Serves the connection until it ends; `refused` closes it at once.
    pub(crate) async fn serve(mut self, refused: Option<Close>) {
        let end = match refused {
            Some(close) => close.into(),
            None => self.run().await,
        };
        if let Some(id) = &self.session {
            self.discord.with(|inner| inner.hub.detach(id, self.link.id));
        }
        let farewell = match end {
            End::Close(code, reason) => {
                Some(Some(CloseReason { code: CloseCode::Other(code), description: Some(reason.to_owned()) }))
            }
            End::Answer(reason) => Some(reason),
            End::Gone => None,
        };
        if let Some(reason) = farewell
            && self.socket.close(reason).await.is_ok()
        {
            let _ = timeout(CLOSE_WITHIN, hung_up(&mut self.messages, &self.link.socket)).await;
        }
        self.link.cut();
    }

    async fn run(&mut self) -> End {
        let interval = self.discord.config.heartbeat_interval;
        let hello = json!({
            "t": null, "s": null, "op": 10,
            "d": { "heartbeat_interval": interval.as_millis() as u64, "_trace": ["[\"guildstream-sandbox\",{}]"] },
        });
        if let Err(end) = self.send(hello.to_string()).await {
            return end;
        }
        let wake = self.link.wake.clone();
        loop {
            let deadline = self.last_heartbeat + interval + interval / 2;
            let ack = self.acks.front().copied();
            let step = tokio::select! {
                // In this order: a heartbeat that has arrived counts, however late this task comes to read it.
                biased;
                message = self.messages.recv() => match message {
                    Some(Ok(message)) => self.hear(message).await,
                    // Larger than any payload may be, or no WebSocket at all.
                    Some(Err(_)) => Err(Close::DecodeError.into()),
                    None => Err(End::Gone),
                },
                Some(order) = self.orders.recv() => self.obey(order).await,
                () = sleep_until(deadline.into()) => {
                    self.end_session();
                    Err(Close::SessionTimedOut.into())
                }
                () = sleep_until(ack.unwrap_or(deadline).into()), if ack.is_some() => {
                    self.acks.pop_front();
                    self.send(r#"{"t":null,"s":null,"op":11,"d":null}"#.to_owned()).await
                }
                () = wake.notified() => self.send_news().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn hear(&mut self, message: AggregatedMessage) -> Result<(), End> {
        match message {
            AggregatedMessage::Text(text) => self.receive(text.as_bytes()).await,
            // hikari sends JSON in binary frames.
            AggregatedMessage::Binary(bytes) => self.receive(&bytes).await,
            AggregatedMessage::Ping(payload) => self.socket.pong(&payload).await.map_err(|_| End::Gone),
            AggregatedMessage::Pong(_) => Ok(()),
            AggregatedMessage::Close(reason) => {
                let code = reason.as_ref().map(|reason| u16::from(reason.code));
                if matches!(code, Some(1000 | 1001)) {
                    self.end_session();
                }
                Err(End::Answer(reason))
            }
        }
    }

    async fn receive(&mut self, text: &[u8]) -> Result<(), End> {
        let now = Instant::now();
        while self.sends.front().is_some_and(|sent| now.duration_since(*sent) >= SENDS_WINDOW) {
            self.sends.pop_front();
        }
        if self.sends.len() >= SENDS {
            return Err(Close::RateLimited.into());
        }
        self.sends.push_back(now);
        let allowed = self.discord.with(|Inner { world: World { application, .. }, .. }| Allowed {
            privileged: application.privileged_intents,
            shards: application.shards,
        });
        match command::parse(text, self.session.is_some(), allowed)? {
            Command::Heartbeat => {
                self.last_heartbeat = now;
                self.acks.push_back(now + ACK_AFTER);
                self.discord.with(|inner| inner.hub.heartbeats += 1);
                Ok(())
            }
            Command::Identify { intents, shard, large_threshold, compress } => {
                if compress {
                    self.codec.compress_payloads();
                }
                self.identify(&Identify { intents, shard, large_threshold }).await
            }
            Command::Resume { session, seq } => self.resume(session, seq).await,
            Command::Request(request) => {
                if let Some(session) = &self.session {
                    self.discord.with(|inner| inner.carry_out(session, request));
                }
                Ok(())
            }
        }
    }

    async fn identify(&mut self, identify: &Identify) -> Result<(), End> {
        let every = self.discord.config.identify_interval;
        let bucket =
            identify.shard.map_or(0, |(id, _)| id) % u64::from(self.discord.config.max_concurrency.max(1));
        let session = self.discord.with(|inner| {
            inner.hub.may_identify(bucket, every, Instant::now()).then(|| {
                let Inner { hub, world, .. } = inner;
                hub.identify(world, identify, self.link.clone(), &self.resume_url)
            })
        });
        match session {
            Some(id) => {
                log::info!("[Sandbox] session {id} began");
                self.session = Some(id);
                // It may have had another before, which op 9 took away.
                self.seq = 0;
                self.send_news().await
            }
            None => self.invalidate(false).await,
        }
    }

    async fn resume(&mut self, id: String, seq: u64) -> Result<(), End> {
        let (resumed, repeats) = self.discord.with(|inner| {
            let resumed = inner.hub.resume(&id, seq, self.link.clone());
            let repeats = if resumed.is_ok() { inner.faults.take_repeats() } else { 0 };
            (resumed, repeats)
        });
        match resumed {
            Ok(()) => {
                log::info!("[Sandbox] session {id} resumed after {seq}");
                let reached = self.discord.with(|inner| {
                    let from = seq.saturating_sub(repeats);
                    inner.hub.session(&id).is_some_and(|session| session.replay.reaches(from)).then_some(from)
                });
                self.seq = reached.unwrap_or(seq);
                self.session = Some(id);
                self.send_news().await
            }
            Err(ResumeError::Stale) => self.invalidate(false).await,
            Err(ResumeError::InvalidSeq) => Err(Close::InvalidSeq.into()),
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), End> {
        match order {
            Order::Send(payload) => self.send(payload.to_string()).await,
            Order::Invalidate { resumable } => self.invalidate(resumable).await,
            Order::Close(code) => Err(End::Close(code, "closed by a fault")),
            Order::Stall(time) => {
                sleep(time).await;
                // The silence was this side's fault.
                self.last_heartbeat = Instant::now();
                Ok(())
            }
        }
    }

    /// Sends what the session was told since this connection last looked.
    async fn send_news(&mut self) -> Result<(), End> {
        let Some(id) = self.session.clone() else { return Ok(()) };
        let frames = self.discord.with(|inner| {
            // Gone when something else ended it; that something has an order for this connection.
            let Some(session) = inner.hub.session(&id) else { return Some(Vec::new()) };
            session.replay.reaches(self.seq).then(|| session.replay.after(self.seq, BATCH))
        });
        // Too far behind: what it misses next is no longer kept.
        let Some(frames) = frames else { return Err(Close::SessionTimedOut.into()) };
        if frames.len() == BATCH {
            self.link.wake.notify_one();
        }
        for frame in frames {
            self.send(frame.text()).await?;
            self.seq = frame.seq;
        }
        Ok(())
    }

    /// Op 9: the client must RESUME or, unless `resumable`, IDENTIFY, both of which it may do on this connection.
    async fn invalidate(&mut self, resumable: bool) -> Result<(), End> {
        if !resumable {
            self.end_session();
        } else if let Some(id) = self.session.take() {
            self.discord.with(|inner| inner.hub.detach(&id, self.link.id));
        }
        self.send(format!(r#"{{"t":null,"s":null,"op":9,"d":{resumable}}}"#)).await
    }

    fn end_session(&mut self) {
        if let Some(id) = self.session.take() {
            self.discord.with(|inner| inner.hub.end(&id));
        }
    }

    async fn send(&mut self, payload: String) -> Result<(), End> {
        let sent = match self.codec.encode(payload) {
            Outgoing::Text(text) => timeout(WRITE_WITHIN, self.socket.text(text)).await,
            Outgoing::Binary(bytes) => timeout(WRITE_WITHIN, self.socket.binary(bytes)).await,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }
}

/// Waits until the client has hung up too. To cut while something it said is unread would reset the connection, and the
/// reset would overtake the close frame.
async fn hung_up(messages: &mut AggregatedMessageStream, socket: &TcpStream) {
    while let Some(Ok(_)) = messages.recv().await {}
    // The frame is out and actix has let go of the connection: what still comes is read from the socket itself.
    let socket = socket.try_clone().and_then(tokio::net::TcpStream::from_std);
    if let Ok(mut socket) = socket {
        // A broken line is an end as well.
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    }
}
