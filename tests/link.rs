//! The link between gateway and web, spoken by hand: what peers get, and what bad peers cannot do to others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use actix::{Actor as _, Addr};
use actix_web::{App, HttpServer, dev::ServerHandle, rt, web};
use awc::{
    Client,
    error::WsClientError,
    http::StatusCode,
    ws::{Frame, Message},
};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use guildstream::http::gateway::{GatewayState, configure};
use guildstream_actors::{
    discord_shard::DiscordShard,
    dispatch::split,
    link_frame::MAX_FRAME,
    link_server::{LinkServer, LinkServerSettings, Publish},
    ring::RingLimits,
    shard_runner::{Dispatch, Position, ShardSettings},
    snowflake::GuildId,
};
use serde_json::{Value, json, value::RawValue};
use serenity::http::HttpBuilder;
use tokio::sync::mpsc;

const CORPUS: &str = include_str!("corpus/dispatch.jsonl");
const TOKEN: &str = "the-link-token-of-this-test";
const GUILD: u64 = 910_000_000_000_000_001;
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Gateway {
    links: Addr<LinkServer>,
    shard: Addr<DiscordShard>,
    url: String,
    handle: ServerHandle,
    seq: u64,
    session: Arc<str>,
}

impl Gateway {
    /// A gateway whose Discord is not there: dispatches are published by the test.
    async fn start(replay: RingLimits) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Arc::new(
            HttpBuilder::new("token").proxy("http://127.0.0.1:9").ratelimiter_disabled(true).build(),
        );
        let guilds = vec![GuildId(GUILD)];
        let links = LinkServer::new(LinkServerSettings { guilds, replay, http: Arc::clone(&http) }).start();
        let settings = ShardSettings { token: "token".into(), intents: 0, http };
        let (faults, _) = mpsc::unbounded_channel();
        let shard = DiscordShard::new(settings, None, links.clone().recipient(), faults).start();
        let state = web::Data::new(GatewayState {
            link_token: TOKEN.into(),
            metrics_token: None,
            links: links.clone(),
            shard: shard.clone(),
            started: std::time::Instant::now(),
        });
        let server = HttpServer::new(move || App::new().configure(configure(state.clone())));
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        rt::spawn(server);
        Self { links, shard, url, handle, seq: 0, session: "session".into() }
    }

    async fn publish(&mut self, t: &str, d: impl Into<Bytes>) {
        self.seq += 1;
        let position =
            Position { session: Arc::clone(&self.session), resume_url: "ws://x".into(), seq: self.seq };
        let dispatch = Dispatch { position, t: t.to_owned(), d: d.into(), ts: 1, lost_before: false };
        self.links.send(Publish { shard: 0, dispatch }).await.unwrap();
    }

    async fn connect(&self, after: Option<&str>) -> Peer {
        let client = Client::default();
        let mut request = client.ws(&self.url).max_frame_size(2 * MAX_FRAME);
        request = request.set_header("authorization", format!("Bearer {TOKEN}"));
        if let Some(after) = after {
            request = request.set_header("last-event-id", after.to_owned());
        }
        let (_, socket) = request.connect().await.unwrap();
        Peer { socket: Box::new(socket) }
    }

    async fn stop(self) {
        assert!(self.links.connected() && self.shard.connected(), "an actor died");
        self.shard.send(guildstream_actors::discord_shard::Shutdown).await.unwrap();
        self.links.send(guildstream_actors::link_server::Shutdown).await.unwrap();
        self.handle.stop(false).await;
    }
}

trait Socket:
    futures_util::Stream<Item = Result<Frame, awc::error::WsProtocolError>>
    + futures_util::Sink<Message, Error = awc::error::WsProtocolError>
    + Unpin
{
}
impl<T> Socket for T where
    T: futures_util::Stream<Item = Result<Frame, awc::error::WsProtocolError>>
        + futures_util::Sink<Message, Error = awc::error::WsProtocolError>
        + Unpin
{
}

struct Peer {
    socket: Box<dyn Socket>,
}

impl Peer {
    /// The next text frame, or the close code.
    async fn next(&mut self) -> Result<String, Option<u16>> {
        loop {
            let frame = rt::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            match frame {
                Some(Ok(Frame::Text(text))) => return Ok(String::from_utf8(text.to_vec()).unwrap()),
                Some(Ok(Frame::Close(reason))) => return Err(reason.map(|reason| reason.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.next().await.unwrap()).unwrap()
    }

    async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::Text(text.into().into())).await.unwrap();
    }
}

fn limits(events: usize) -> RingLimits {
    RingLimits { events, bytes: 64 << 20 }
}

/// What a peer reads of an event frame: id and the payload's own text.
#[derive(serde::Deserialize)]
struct EventFrame<'a> {
    id: String,
    #[serde(borrow)]
    data: EventData<'a>,
}
#[derive(serde::Deserialize)]
struct EventData<'a> {
    event: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[actix_web::test]
async fn a_missing_or_wrong_token_is_refused_before_the_upgrade() {
    let gateway = Gateway::start(limits(10)).await;
    for header in [None, Some("Bearer wrong"), Some(TOKEN), Some("Basic dGhlLWxpbms=")] {
        let mut request = Client::default().ws(&gateway.url);
        if let Some(header) = header {
            request = request.set_header("authorization", header);
        }
        let refused = request.connect().await.err();
        assert!(
            matches!(refused, Some(WsClientError::InvalidResponseStatus(StatusCode::UNAUTHORIZED))),
            "{header:?}: {refused:?}"
        );
    }
    gateway.stop().await;
}

#[actix_web::test]
async fn every_payload_of_the_corpus_crosses_the_link_byte_for_byte_in_order_and_without_holes() {
    let mut gateway = Gateway::start(limits(1000)).await;
    let mut peer = gateway.connect(None).await;
    let hello = peer.json().await;
    assert_eq!(hello["type"], "ack");
    assert_eq!(hello["data"]["protocol"], 1);
    assert_eq!(hello["data"]["message"], "Connected to Discord Gateway service");
    let sent: Vec<_> =
        CORPUS.lines().map(|line| split(&Bytes::from_static(line.as_bytes())).unwrap()).collect();
    // READY and RESUMED steer sessions; the test's own session goes on.
    for dispatch in &sent[2..] {
        gateway.publish(dispatch.t.as_deref().unwrap(), dispatch.d.clone()).await;
    }
    let mut raw = sent[2..].iter();
    let mut expected = raw.next();
    let mut last = 0;
    while let Some(dispatch) = expected {
        let text = peer.next().await.unwrap();
        let frame: EventFrame<'_> = serde_json::from_str(&text).unwrap();
        let seq: u64 = frame.id.rsplit_once('-').unwrap().1.parse().unwrap();
        assert_eq!(seq, last + 1, "{text}");
        last = seq;
        if ["voice.", "room."].iter().any(|derived| frame.data.event.starts_with(derived)) {
            continue;
        }
        assert_eq!(Some(&*frame.data.event), dispatch.t.as_deref());
        assert_eq!(frame.data.payload.get().as_bytes(), &dispatch.d[..], "{}", frame.data.event);
        expected = raw.next();
    }
    gateway.stop().await;
}

#[actix_web::test]
async fn a_peer_with_a_position_gets_all_after_it_before_anything_live() {
    let mut gateway = Gateway::start(limits(5)).await;
    for n in 1..=8 {
        gateway.publish("X", format!("{n}")).await;
    }
    let mut live = gateway.connect(None).await;
    let hello = live.json().await;
    let (oldest, latest) =
        (hello["data"]["oldestId"].as_str().unwrap(), hello["data"]["latestId"].as_str().unwrap());
    assert!(oldest.ends_with("-3") && latest.ends_with("-8"), "{hello}");
    let epoch = latest.rsplit_once('-').unwrap().0;
    for (after, complete, first) in [
        ("0".to_owned(), true, Some(4)),
        (format!("{epoch}-3"), true, Some(4)),
        (format!("{epoch}-6"), true, Some(7)),
        (format!("{epoch}-8"), true, None),
        (format!("{epoch}-2"), false, None),
        (format!("{epoch}-9"), false, None),
        ("00000000000000aa-6".to_owned(), false, None),
        ("nonsense".to_owned(), false, None),
    ] {
        let mut peer = gateway.connect(Some(&after)).await;
        let hello = peer.json().await;
        assert_eq!(hello["data"]["complete"], complete, "{after}");
        for n in first.unwrap_or(9)..=8 {
            assert_eq!(peer.json().await["data"]["payload"], n, "{after}");
        }
    }
    gateway.publish("X", "9").await;
    assert_eq!(live.json().await["data"]["payload"], 9);
    gateway.stop().await;
}

#[actix_web::test]
async fn a_repeated_dispatch_is_published_once_and_a_new_session_is_a_new_epoch() {
    let mut gateway = Gateway::start(limits(10)).await;
    let mut peer = gateway.connect(None).await;
    peer.json().await;
    gateway.publish("X", "1").await;
    gateway.seq -= 1;
    gateway.publish("X", "1").await;
    gateway.publish("X", "2").await;
    let (first, second) = (peer.json().await, peer.json().await);
    assert_eq!((&first["data"]["payload"], &second["data"]["payload"]), (&json!(1), &json!(2)));
    gateway.seq = 0;
    gateway.session = "another".into();
    gateway.publish("READY", r#"{"v":10,"session_id":"another","guilds":[]}"#).await;
    let ready = peer.json().await;
    let epoch = |frame: &Value| frame["id"].as_str().unwrap().rsplit_once('-').unwrap().0.to_owned();
    assert_ne!(epoch(&ready), epoch(&second));
    assert!(ready["id"].as_str().unwrap().ends_with("-1"));
    gateway.stop().await;
}

#[actix_web::test]
async fn bad_frames_cost_their_sender_an_error_or_the_link_and_nobody_else_anything() {
    let mut gateway = Gateway::start(limits(10)).await;
    let (mut good, mut bad) = (gateway.connect(None).await, gateway.connect(None).await);
    good.json().await;
    bad.json().await;
    for garbage in ["", "garbage", "{}", r#"{"type":"event","data":{"event":"X","payload":1}}"#, "[[[[[[[["] {
        bad.send(garbage).await;
        let error = bad.json().await;
        assert_eq!(
            (&error["type"], &error["data"]["code"]),
            (&json!("error"), &json!("INVALID")),
            "{garbage}"
        );
    }
    let ask = |command: &str| {
        json!({"type":"command","requestId":"r","data":{"command":command,"payload":{}}}).to_string()
    };
    bad.send(ask("dance")).await;
    let error = bad.json().await;
    assert_eq!((&error["requestId"], &error["data"]["code"]), (&json!("r"), &json!("UNKNOWN_COMMAND")));
    // The largest frame passes; what is larger ends the link with 1009.
    let mut padded = ask("voice_snapshot");
    padded.push_str(&" ".repeat(MAX_FRAME - padded.len()));
    bad.send(padded).await;
    assert_eq!(bad.json().await["requestId"], "r");
    let _ = bad.socket.send(Message::Text("x".repeat(40 << 20).into())).await;
    assert!(matches!(bad.next().await, Err(Some(1009) | None)));
    gateway.publish("X", "1").await;
    assert_eq!(good.json().await["data"]["payload"], 1);
    gateway.stop().await;
}

#[actix_web::test]
async fn an_event_of_16_mib_crosses_and_a_larger_one_becomes_a_gap_under_its_id() {
    let mut gateway = Gateway::start(limits(10)).await;
    let mut peer = gateway.connect(None).await;
    peer.json().await;
    let payload = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    gateway.publish("X", payload(MAX_FRAME - 200)).await;
    gateway.publish("X", payload(MAX_FRAME)).await;
    gateway.publish("X", "3").await;
    let text = peer.next().await.unwrap();
    assert!(text.len() > MAX_FRAME - 200);
    let gap = peer.json().await;
    assert_eq!(
        (&gap["type"], &gap["data"]["event"], &gap["data"]["bytes"]),
        (&json!("gap"), &json!("X"), &json!(MAX_FRAME))
    );
    assert!(gap["id"].as_str().unwrap().ends_with("-2"));
    assert_eq!(peer.json().await["data"]["payload"], 3);
    gateway.stop().await;
}

#[actix_web::test]
async fn a_peer_that_does_not_read_is_left_behind_alone() {
    let mut gateway = Gateway::start(RingLimits { events: 50, bytes: 64 << 20 }).await;
    let (mut reader, mut sleeper) = (gateway.connect(None).await, gateway.connect(None).await);
    reader.json().await;
    sleeper.json().await;
    // More than the kernel's buffers, a mailbox and the ring hold together.
    let payload = format!("\"{}\"", "x".repeat(1 << 20));
    for n in 0..120 {
        gateway.publish("X", payload.clone()).await;
        let id = reader.json().await["id"].as_str().unwrap().to_owned();
        assert!(id.ends_with(&format!("-{}", n + 1)), "{id}");
    }
    let mut last = 0;
    let end = loop {
        match sleeper.next().await {
            Ok(_) => last += 1,
            Err(code) => break code,
        }
    };
    assert!(last < 120 && matches!(end, Some(1013) | None), "{last} frames, then {end:?}");
    gateway.stop().await;
}
