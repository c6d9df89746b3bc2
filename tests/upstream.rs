//! Upstreams that behave badly or know less than ours: a Discord that closes, a gateway that knows only the first
//! protocol, one that accepts and leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/upstream.rs"]
mod upstream;

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use actix::{Actor as _, Addr, Context, Handler, Supervisor};
use actix_web::rt;
use guildstream_actors::{
    discord_shard::{self, DiscordShard},
    link_client::{self, LinkClient, LinkClientSettings},
    link_server::Publish,
    restart::RestartPolicy,
    ring::RingLimits,
    shard_runner::ShardSettings,
    snowflake::{GuildId, UserId},
    sse_broker::{Admission, Admit, BrokerSettings, Deliver, LinkStateChanged, SseBroker, Subscribe},
    sse_session::{CloseStream, SendSse, Viewer},
};
use guildstream_sandbox::{BOT_TOKEN, Fault, SandboxConfig};
use serenity::http::HttpBuilder;
use tokio::sync::mpsc;
use upstream::{Discord, DiscordScript, SeedGateway, until};

const GUILD: u64 = 910_000_000_000_000_001;

/// Stands for whoever is fed, and keeps what came.
#[derive(Default)]
struct Probe {
    published: Arc<Mutex<Vec<String>>>,
    frames: Arc<Mutex<String>>,
}
impl actix::Actor for Probe {
    type Context = Context<Self>;
}
impl Handler<Publish> for Probe {
    type Result = ();
    fn handle(&mut self, publish: Publish, _: &mut Self::Context) {
        self.published.lock().unwrap().push(publish.dispatch.t);
    }
}
impl Handler<Deliver> for Probe {
    type Result = ();
    fn handle(&mut self, _: Deliver, _: &mut Self::Context) {}
}
impl Handler<LinkStateChanged> for Probe {
    type Result = ();
    fn handle(&mut self, _: LinkStateChanged, _: &mut Self::Context) {}
}
impl Handler<SendSse> for Probe {
    type Result = ();
    fn handle(&mut self, frame: SendSse, _: &mut Self::Context) {
        self.frames.lock().unwrap().push_str(std::str::from_utf8(&frame.bytes).unwrap());
    }
}
impl Handler<CloseStream> for Probe {
    type Result = ();
    fn handle(&mut self, _: CloseStream, _: &mut Self::Context) {}
}

struct Shard {
    addr: Addr<DiscordShard>,
    published: Arc<Mutex<Vec<String>>>,
    faults: mpsc::UnboundedReceiver<String>,
}

fn shard(discord: &Discord) -> Shard {
    shard_at(&discord.url)
}

fn shard_at(discord_url: &str) -> Shard {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = HttpBuilder::new(BOT_TOKEN).proxy(discord_url).ratelimiter_disabled(true).build();
    let settings = ShardSettings { token: BOT_TOKEN.into(), intents: 1, http: Arc::new(http) };
    let probe = Probe::default();
    let published = Arc::clone(&probe.published);
    let (tell, faults) = mpsc::unbounded_channel();
    let publish = probe.start().recipient();
    let addr = Supervisor::start(move |_| DiscordShard::new(settings, None, publish, tell));
    Shard { addr, published, faults }
}

/// The dials of the first two seconds: attempts after 0, 0.5 and 1.5 s are three.
async fn dials_in_two_seconds(script: DiscordScript) -> usize {
    let discord = Discord::start(script).await;
    let shard = shard(&discord);
    let watch = SystemTime::now();
    until("two seconds", async || watch.elapsed().unwrap() > Duration::from_secs(2)).await;
    let dials = discord.dials.load(Ordering::SeqCst);
    assert!(shard.addr.connected());
    shard.addr.send(discord_shard::Shutdown).await.unwrap();
    discord.stop().await;
    dials
}

#[actix_web::test]
async fn a_discord_that_accepts_and_closes_is_backed_off_from() {
    for script in [DiscordScript::CloseAtOnce, DiscordScript::DropAtOnce, DiscordScript::DropAfterHello] {
        let dials = dials_in_two_seconds(script).await;
        assert!((2..=4).contains(&dials), "{script:?}: {dials} dials in 2 s");
    }
}

#[actix_web::test]
async fn a_discord_that_closes_right_after_ready_is_backed_off_from() {
    let dials = dials_in_two_seconds(DiscordScript::CloseAfterReady).await;
    assert!((2..=4).contains(&dials), "{dials} dials in 2 s");
}

#[actix_web::test]
async fn a_session_that_discord_does_not_know_is_begun_anew() {
    let discord = Discord::start(DiscordScript::InvalidSeqOnResume).await;
    let shard = shard(&discord);
    until("a second READY", async || {
        shard.published.lock().unwrap().iter().filter(|t| *t == "READY").count() == 2
    })
    .await;
    let (identifies, resumes) =
        (discord.identifies.load(Ordering::SeqCst), discord.resumes.load(Ordering::SeqCst));
    assert_eq!((identifies, resumes), (2, 1), "one resume is answered 4007, then it identifies");
    shard.addr.send(discord_shard::Shutdown).await.unwrap();
    discord.stop().await;
}

#[actix_web::test]
async fn a_refused_intent_is_reported_with_what_to_do_and_not_retried() {
    let discord = Discord::start(DiscordScript::Refuse(4014)).await;
    let mut shard = shard(&discord);
    let reason = rt::time::timeout(Duration::from_secs(10), shard.faults.recv()).await.unwrap().unwrap();
    assert!(reason.contains("GUILD_MEMBERS") && reason.contains("Privileged Gateway Intents"), "{reason}");
    assert_eq!(discord.dials.load(Ordering::SeqCst), 1);
    shard.addr.send(discord_shard::Shutdown).await.unwrap();
    discord.stop().await;
}

#[actix_web::test]
async fn a_discord_that_stops_answering_heartbeats_is_left_and_resumed_without_a_hole() {
    let interval = Duration::from_millis(400);
    let config = SandboxConfig {
        port: 0,
        events_per_s: 0.0,
        heartbeat_interval: interval,
        identify_interval: Duration::ZERO,
        ..SandboxConfig::default()
    };
    let sandbox = guildstream_sandbox::start(config).await.unwrap();
    let shard = shard_at(&sandbox.url());
    let state = async || shard.addr.send(discord_shard::Snapshot).await.unwrap();
    until("live, with heartbeats", async || state().await.latency_ms.is_some()).await;
    let silent = Instant::now();
    sandbox.fault(&Fault::Stall { seconds: 60.0 }).unwrap();
    sandbox.dispatch(r#"{"t":"SAID_INTO_SILENCE","d":{}}"#).unwrap();
    until("resumed", async || state().await.resumes == 1).await;
    // Two heartbeats without an answer between them, and the first wait before a redial.
    let limit = 2 * interval + RestartPolicy::discord().first + Duration::from_secs(2);
    assert!(silent.elapsed() < limit, "{:?}", silent.elapsed());
    let came = async || shard.published.lock().unwrap().iter().filter(|t| *t == "SAID_INTO_SILENCE").count();
    until("what was said meanwhile", async || came().await == 1).await;
    assert_eq!((state().await.identifies, came().await), (1, 1));
    shard.addr.send(discord_shard::Shutdown).await.unwrap();
    sandbox.stop().await;
}

fn link_settings(url: &str, max_attempts: u32, legacy_members: bool) -> LinkClientSettings {
    LinkClientSettings {
        url: url.to_owned(),
        token: "the-token".into(),
        max_attempts,
        command_queue: 10,
        command_timeout: Duration::from_secs(1),
        legacy_members,
    }
}

async fn link_state(link: &Addr<LinkClient>) -> link_client::LinkClientState {
    link.send(link_client::Snapshot).await.unwrap()
}

#[actix_web::test]
async fn attempts_are_counted_until_the_gateway_has_spoken_and_end_in_exhausted() {
    // It accepts the socket and closes it: an open socket is no success.
    let gateway = SeedGateway::start(false).await;
    let probe = Probe::default().start();
    let (events, states) = (probe.clone().recipient(), probe.recipient());
    let settings = link_settings(&gateway.url, 2, false);
    let link = Supervisor::start(move |_| LinkClient::new(settings, events, states));
    until("the first retry is due", async || link_state(&link).await.attempt == 1).await;
    let due = link_state(&link).await.next_attempt_in_ms.unwrap();
    assert!((500..=1000).contains(&due), "{due} ms");
    until("the second retry is due", async || link_state(&link).await.attempt == 2).await;
    let due = link_state(&link).await.next_attempt_in_ms.unwrap();
    assert!((1500..=2000).contains(&due), "{due} ms");
    until("exhausted", async || link_state(&link).await.state == "exhausted").await;
    assert_eq!(gateway.dials.load(Ordering::SeqCst), 3);
    assert!(link_state(&link).await.ready().unwrap_err().contains("exhausted"));
    link.send(link_client::Connect).await.unwrap();
    until("it dials again", async || gateway.dials.load(Ordering::SeqCst) == 4).await;
    link.send(link_client::Disconnect).await.unwrap();
    until("a manual disconnect", async || link_state(&link).await.state == "disconnected").await;
    gateway.stop().await;
}

/// Streams from a gateway that sends no ids and no scopes, for a member of the guild and for a stranger.
async fn legacy(legacy_members: bool) -> (String, String) {
    let gateway = SeedGateway::start(true).await;
    let broker = SseBroker::new(BrokerSettings {
        guilds: vec![GuildId(GUILD)],
        replay: RingLimits { events: 100, bytes: 1 << 20 },
        heartbeat: Duration::from_secs(15),
        stall: Duration::from_secs(30),
        queue_bytes: 1 << 20,
        max_sessions: 10,
        max_sessions_per_user: 10,
        viewer_ttl: Duration::from_secs(300),
    })
    .start();
    let mut frames = Vec::new();
    for (user, guilds) in [(1, vec![GuildId(GUILD)]), (2, vec![])] {
        let admit = Admit { user: UserId(user), guilds: guilds.clone() };
        let admission = broker.send(admit).await.unwrap();
        assert_eq!(admission == Admission::Welcome, !guilds.is_empty());
        let probe = Probe::default();
        frames.push(Arc::clone(&probe.frames));
        let probe = probe.start();
        let viewer = Viewer {
            user: UserId(user),
            sid: user.to_string(),
            guilds,
            expires_at: SystemTime::now() + Duration::from_secs(60),
        };
        let (recipient, close) = (probe.clone().recipient(), probe.recipient());
        let subscribe = Subscribe {
            recipient,
            close,
            gauge: Arc::default(),
            viewer,
            filter: Default::default(),
            after: None,
        };
        broker.send(subscribe).await.unwrap();
    }
    let (events, states) = (broker.clone().recipient(), broker.clone().recipient());
    let settings = link_settings(&gateway.url, 0, legacy_members);
    let link = Supervisor::start(move |_| LinkClient::new(settings, events, states));
    until("live", async || link_state(&link).await.connected()).await;
    gateway.send(format!(
        r#"{{"type":"event","data":{{"event":"MESSAGE_CREATE","payload":{{"guild_id":"{GUILD}","channel_id":"5","content":"hi","n":1.50}}}},"ts":1234567890}}"#
    ));
    gateway.send(format!(
        r#"{{"type":"event","data":{{"event":"GUILD_ROLE_DELETE","payload":{{"guild_id":"{GUILD}","role_id":"7"}}}},"ts":1234567891}}"#
    ));
    gateway.send(format!(
        r#"{{"type":"event","data":{{"event":"VOICE_SERVER_UPDATE","payload":{{"guild_id":"{GUILD}","token":"s"}}}},"ts":1}}"#
    ));
    until("all three arrived", async || {
        let state = broker.send(guildstream_actors::sse_broker::Snapshot).await.unwrap();
        state.latest_id.is_some_and(|id| id.seq == 3)
    })
    .await;
    link.send(link_client::Shutdown).await.unwrap();
    gateway.stop().await;
    let text = |n: usize| frames[n].lock().unwrap().clone();
    (text(0), text(1))
}

#[actix_web::test]
async fn a_gateway_that_knows_only_the_first_protocol_reaches_members_when_that_is_allowed() {
    let (member, stranger) = legacy(true).await;
    assert!(member.contains(r#""payload":{"guild_id":"910000000000000001","channel_id":"5","content":"hi","n":1.50},"ts":1234567890}"#), "{member}");
    assert!(member.contains("GUILD_ROLE_DELETE") && !member.contains("VOICE_SERVER_UPDATE"), "{member}");
    assert!(!stranger.contains("\"type\":\"event\""), "{stranger}");
}

#[actix_web::test]
async fn a_gateway_that_knows_only_the_first_protocol_reaches_nobody_with_channel_events_by_default() {
    let (member, _) = legacy(false).await;
    assert!(!member.contains("MESSAGE_CREATE"), "{member}");
    assert!(member.contains("GUILD_ROLE_DELETE"), "what is harmless to every member passes: {member}");
}
