//! What one event costs each hub: LinkServer's publish with and without the event log, and SseBroker's delivery to one
//! stream. Corpus events, no sockets; the best of several rounds.
//!
//! `cargo bench --bench cost`

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use actix_web::rt::System;
use bytes::Bytes;
use guildstream_actors::{
    dispatch::{Envelope, split},
    event_id::EventId,
    event_log::EventLog,
    link_client::{Answer, CommandError, SendCommand},
    link_frame::{self, LinkFrame},
    link_server::{self, LinkServer, LinkServerSettings, OpenLink, Publish},
    link_session::{CloseSocket, SendFrame},
    ring::RingLimits,
    shard_runner::{Dispatch, Position},
    snowflake::{GuildId, UserId},
    sse_broker::{self, BrokerSettings, Deliver, LinkEvent, LinkStateChanged, SseBroker, Subscribe, Uplink},
    sse_session::{CloseStream, SendSse, Viewer},
};
use serde_json::{json, value::to_raw_value};
use serenity::http::HttpBuilder;
use tempfile::TempDir;

const CORPUS: &str = include_str!("../tests/corpus/dispatch.jsonl");
const GUILD: GuildId = GuildId(910_000_000_000_000_001);
const USER: UserId = UserId(930_000_000_000_000_001);
const ROUNDS: usize = 7;
/// Times the corpus is published in a round.
const TIMES: usize = 200;
const STREAMS: usize = 100;
const LIMITS: RingLimits = RingLimits { events: 10_000, bytes: 64 << 20 };

fn main() {
    System::new().block_on(async {
        // READY begins a session; here one goes on.
        let lines = CORPUS.lines().map(|line| split(&Bytes::from_static(line.as_bytes())).unwrap());
        let steers = |t: Option<&str>| matches!(t, Some("READY" | "RESUMED"));
        let (_, corpus): (Vec<_>, Vec<Envelope>) = lines.partition(|line| steers(line.t.as_deref()));
        let bytes = corpus.iter().map(|dispatch| dispatch.d.len()).sum::<usize>() / corpus.len();
        println!("{} events of {bytes} bytes on average, derived ones come on top", corpus.len());
        let (mut memory, mut disk) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            memory.push(publish(&corpus, None).await);
            let dir = TempDir::new().unwrap();
            disk.push(publish(&corpus, Some(dir.path())).await);
        }
        let (memory, disk) = (best(memory), best(disk));
        println!("publish, kept in memory only:   {:6.2} µs per dispatch", micros(memory));
        println!("publish, with an event log:     {:6.2} µs per dispatch", micros(disk));
        println!("the log's part:                 {:6.2} of publish", 1.0 - micros(memory) / micros(disk));
        let events = derive(&corpus).await;
        let mut deliveries = Vec::new();
        for _ in 0..ROUNDS {
            deliveries.push(deliver(&events).await);
        }
        println!("broker, {STREAMS} streams:            {:6.2} µs per delivery", micros(best(deliveries)));
    });
}

fn best(rounds: Vec<Duration>) -> Duration {
    rounds.into_iter().min().unwrap()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn link_server(log: Option<EventLog>) -> Addr<LinkServer> {
    let http = Arc::new(HttpBuilder::new("token").proxy("http://127.0.0.1:9").build());
    let server = LinkServer::new(LinkServerSettings { guilds: vec![GUILD], replay: LIMITS, http });
    match log {
        Some(log) => server.with_log(log, None).start(),
        None => server.start(),
    }
}

/// Begins the session; what follows has numbers from 2 on.
fn begin(server: &Addr<LinkServer>) {
    let d = Bytes::from_static(br#"{"session_id":"session","user":{"id":"9"},"guilds":[]}"#);
    publish_one(server, 1, "READY", d);
}

fn publish_all(server: &Addr<LinkServer>, corpus: &[Envelope], first: usize) {
    for (n, Envelope { t, d, .. }) in corpus.iter().enumerate() {
        publish_one(server, first + n, t.as_deref().unwrap(), d.clone());
    }
}

fn publish_one(server: &Addr<LinkServer>, seq: usize, t: &str, d: Bytes) {
    let position = Position { session: "session".into(), resume_url: "ws://x".into(), seq: seq as u64 };
    let dispatch = Dispatch { position, t: t.to_owned(), d, ts: 1, lost_before: false };
    server.do_send(Publish { shard: 0, dispatch });
}

/// The time of one dispatch, from the mailbox to the log and the ring.
async fn publish(corpus: &[Envelope], dir: Option<&Path>) -> Duration {
    let server = link_server(dir.map(|dir| EventLog::open(dir, LIMITS).unwrap().0));
    begin(&server);
    let start = Instant::now();
    for n in 0..TIMES {
        publish_all(&server, corpus, n * corpus.len() + 2);
        server.send(link_server::Snapshot).await.unwrap();
    }
    let took = start.elapsed() / (TIMES * corpus.len()) as u32;
    let state = server.send(link_server::Snapshot).await.unwrap();
    assert_eq!(state.durable, dir.is_some());
    server.send(link_server::Shutdown).await.unwrap();
    took
}

/// Stands for the sessions of a peer and of a browser, and keeps what the peer is sent.
#[derive(Default)]
struct Probe {
    frames: Arc<Mutex<Vec<Bytes>>>,
    taken: Arc<Mutex<u64>>,
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1 << 20);
    }
}

impl Handler<SendFrame> for Probe {
    type Result = ();
    fn handle(&mut self, frame: SendFrame, _: &mut Self::Context) {
        self.frames.lock().unwrap().push(frame.text.into_bytes());
    }
}

impl Handler<SendSse> for Probe {
    type Result = ();
    fn handle(&mut self, _: SendSse, _: &mut Self::Context) {
        *self.taken.lock().unwrap() += 1;
    }
}

impl Handler<CloseSocket> for Probe {
    type Result = ();
    fn handle(&mut self, _: CloseSocket, _: &mut Self::Context) {}
}

impl Handler<CloseStream> for Probe {
    type Result = ();
    fn handle(&mut self, close: CloseStream, _: &mut Self::Context) {
        panic!("a stream was ended: {close:?}");
    }
}

/// The corpus as a web role receives it, scopes and derived events included.
async fn derive(corpus: &[Envelope]) -> Vec<Arc<LinkEvent>> {
    let server = link_server(None);
    begin(&server);
    let probe = Probe::default();
    let frames = Arc::clone(&probe.frames);
    let probe = probe.start();
    let (recipient, close) = (probe.clone().recipient(), probe.clone().recipient());
    let open = OpenLink { recipient, close, gauge: Arc::default(), peer: "bench".to_owned(), after: None };
    server.send(open).await.unwrap();
    publish_all(&server, corpus, 2);
    let published = server.send(link_server::Snapshot).await.unwrap().published;
    // READY came before the peer, the greeting with it.
    while (frames.lock().unwrap().len() as u64) < published {
        actix_web::rt::task::yield_now().await;
    }
    let frames = std::mem::take(&mut *frames.lock().unwrap());
    let events = frames.iter().filter_map(|frame| match link_frame::decode(frame) {
        Ok(LinkFrame::Event { id: Some(id), event, payload, scope: Some(scope), ts }) => {
            Some(Arc::new(LinkEvent { id, event, payload, scope, ts }))
        }
        _ => None,
    });
    events.collect()
}

/// Answers as a gateway whose guild has one owner and no voice channels.
struct Gateway {
    at: EventId,
}

impl Actor for Gateway {
    type Context = Context<Self>;
}

impl Handler<SendCommand> for Gateway {
    type Result = ResponseFuture<Result<Answer, CommandError>>;
    fn handle(&mut self, command: SendCommand, _: &mut Self::Context) -> Self::Result {
        let guild = GUILD.to_string();
        let data = match command.command.as_str() {
            "viewer" => json!({"viewers": [{
                "userId": USER.to_string(),
                "guilds": [{"guildId": guild, "permissions": "8", "channels": []}],
            }]}),
            _ => json!({"guilds": [{"guildId": guild, "channels": []}], "pending": []}),
        };
        let answer =
            Answer { request_id: String::new(), id: Some(self.at), data: to_raw_value(&data).unwrap() };
        Box::pin(async move { Ok(answer) })
    }
}

/// The time of one event for one stream, from the broker's mailbox to the session's.
async fn deliver(events: &[Arc<LinkEvent>]) -> Duration {
    let broker = SseBroker::new(BrokerSettings {
        guilds: vec![GUILD],
        replay: LIMITS,
        heartbeat: Duration::from_secs(300),
        stall: Duration::from_secs(3600),
        queue_bytes: usize::MAX,
        max_sessions: STREAMS,
        max_sessions_per_user: STREAMS,
        viewer_ttl: Duration::from_secs(300),
    })
    .start();
    let taken = Arc::new(Mutex::new(0));
    for _ in 0..STREAMS {
        let probe = Probe { taken: Arc::clone(&taken), ..Probe::default() }.start();
        let subscribe = Subscribe {
            recipient: probe.clone().recipient(),
            close: probe.recipient(),
            gauge: Arc::default(),
            viewer: Viewer {
                user: USER,
                sid: "bench".to_owned(),
                guilds: vec![GUILD],
                expires_at: SystemTime::now() + Duration::from_secs(3600),
            },
            filter: Default::default(),
            after: None,
        };
        broker.send(subscribe).await.unwrap();
    }
    let at = events[0].id;
    let start = EventId { seq: 0, ..at };
    // Its answers are as new as the newest event: no event holds a stream.
    let ask = Some(Gateway { at: start }.start().recipient());
    let uplink = Uplink { ask, start: Some(start), target: Some(start), complete: true };
    broker.send(LinkStateChanged::Live(uplink)).await.unwrap();
    // A greeting and a snapshot each.
    while *taken.lock().unwrap() < 2 * STREAMS as u64 {
        actix_web::rt::task::yield_now().await;
    }
    let quiet = events.iter().filter(|event| event.scope.changes.is_none());
    let quiet: Vec<_> = quiet.cloned().collect();
    let begun = Instant::now();
    for n in 0..TIMES {
        for (m, event) in quiet.iter().enumerate() {
            let id = EventId { seq: (n * quiet.len() + m + 1) as u64, ..at };
            let LinkEvent { event, payload, scope, ts, .. } = &**event;
            broker.do_send(Deliver::Event(Arc::new(LinkEvent {
                id,
                event: event.clone(),
                payload: payload.clone(),
                scope: scope.clone(),
                ts: *ts,
            })));
        }
        broker.send(sse_broker::Snapshot).await.unwrap();
    }
    let state = broker.send(sse_broker::Snapshot).await.unwrap();
    begun.elapsed() / u32::try_from(state.delivered).unwrap()
}
