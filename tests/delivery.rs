//! What a browser receives while things go wrong: numbered dispatches at a steady pace, counted by readers that behave
//! as EventSource does. Gateway and web are processes of their own, so that they can be killed.
//!
//! `make delivery` runs the long version and prints a table.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bridge.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod bridge;

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::Future,
    process::{Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::rt;
use bridge::{Bridge, Browser, GUILD, come_back, until};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    DiscordDrops,
    DiscordAsksToReconnect,
    DiscordCloses4000,
    DiscordRefuses,
    WebKilled,
    WebStopped,
    GatewayKilled,
    GatewayStopped,
    BothKilled,
    GatewayPaused,
    StalledReader,
    Stampede,
    SessionNotResumable,
    RingOverrun,
}

const ALL: [Trouble; 14] = {
    use Trouble::*;
    [
        DiscordDrops,
        DiscordAsksToReconnect,
        DiscordCloses4000,
        DiscordRefuses,
        WebKilled,
        WebStopped,
        GatewayKilled,
        GatewayStopped,
        BothKilled,
        GatewayPaused,
        StalledReader,
        Stampede,
        SessionNotResumable,
        RingOverrun,
    ]
};

/// How much time is taken.
#[derive(Clone, Copy)]
struct Pace {
    /// How long Discord refuses connections.
    refusal: Duration,
    /// Events that come while the gateway stands still; a hundred are a second.
    pause: u64,
    /// Events before and after the trouble.
    events: u64,
    /// Streams that come back at once.
    stampede: usize,
}

const SHORT: Pace = Pace { refusal: Duration::from_millis(500), pause: 70, events: 50, stampede: 300 };
const LONG: Pace = Pace { refusal: Duration::from_secs(3), pause: 500, events: 1000, stampede: 1000 };

/// What one reader has seen.
#[derive(Debug, Default)]
struct Tally {
    seen: HashSet<u64>,
    newest: u64,
    /// Numbers that were skipped and not announced.
    lost: u64,
    duplicated: u64,
    disordered: u64,
    resyncs: u64,
    connects: u64,
    /// Whether a RESYNC came since the newest number.
    announced: bool,
}

impl Tally {
    fn see(&mut self, n: u64) {
        if !self.seen.insert(n) {
            self.duplicated += 1;
        } else if n < self.newest {
            self.disordered += 1;
        } else if n > self.newest + 1 && !self.announced {
            self.lost += n - self.newest - 1;
        }
        self.newest = self.newest.max(n);
        self.announced = false;
    }
}

/// The two roles as processes, and the sandbox here.
struct Rig {
    bridge: Bridge,
    _state: TempDir,
    gateway: Option<Child>,
    web: Option<Child>,
    published: Rc<Cell<u64>>,
}

impl Rig {
    async fn start(changes: &[(&str, &str)]) -> Self {
        let state = TempDir::new().unwrap();
        let dir = state.path().join("state").to_str().unwrap().to_owned();
        let mut settings = vec![("GATEWAY_STATE_DIR", dir.as_str()), ("SSE_MAX_SESSIONS_PER_USER", "2000")];
        settings.extend_from_slice(changes);
        let bridge = Bridge::without_roles(&settings).await;
        let mut rig =
            Self { bridge, _state: state, gateway: None, web: None, published: Rc::new(Cell::new(0)) };
        rig.start_gateway();
        rig.start_web();
        rig.bridge.until_ready().await;
        rig
    }

    fn start_gateway(&mut self) {
        self.gateway = Some(self.spawn("gateway"));
    }

    fn start_web(&mut self) {
        self.web = Some(self.spawn("web"));
    }

    fn spawn(&self, role: &str) -> Child {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_guildstream"));
        command.arg(role).env_clear().envs(self.bridge.settings()).kill_on_drop(true);
        command.env("RUST_LOG", std::env::var("DELIVERY_LOG").unwrap_or("error".to_owned()));
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    /// Publishes numbered events until the returned guard is dropped.
    fn publish(&self, every: Duration, filler: usize) -> Publisher {
        let (url, published) = (self.bridge.discord_url.clone(), Rc::clone(&self.published));
        let filler = "x".repeat(filler);
        let running = Rc::new(Cell::new(true));
        let flag = Rc::clone(&running);
        let task = rt::spawn(async move {
            let client = bridge::client();
            let mut ticks = rt::time::interval(every);
            while flag.get() {
                ticks.tick().await;
                let n = published.get() + 1;
                let line =
                    format!(r#"{{"t":"NUMBERED","d":{{"guild_id":"{GUILD}","n":{n},"filler":"{filler}"}}}}"#);
                let sent = client.post(format!("{url}/sandbox/dispatch")).send_body(line).await.unwrap();
                assert!(sent.status().is_success());
                published.set(n);
            }
        });
        Publisher { running, task }
    }

    /// Waits until `count` more events were published.
    async fn more(&self, count: u64) {
        let goal = self.published.get() + count;
        until("more events", async || self.published.get() >= goal).await;
    }

    async fn happen(&mut self, trouble: Trouble, pace: Pace) {
        match trouble {
            Trouble::DiscordDrops => self.bridge.fault(&json!({ "kind": "drop" })).await,
            Trouble::DiscordAsksToReconnect => self.bridge.fault(&json!({ "kind": "reconnect" })).await,
            Trouble::DiscordCloses4000 => {
                self.bridge.fault(&json!({ "kind": "close", "code": 4000 })).await;
            }
            Trouble::DiscordRefuses => {
                let seconds = pace.refusal.as_secs_f64();
                self.bridge.fault(&json!({ "kind": "refuse", "seconds": seconds })).await;
            }
            Trouble::SessionNotResumable => {
                let fault = json!({ "kind": "invalid_session", "resumable": false });
                self.bridge.fault(&fault).await;
                // Discord has nobody to send to until there is a session again.
                let begun = async || {
                    let status = self.bridge.json(&format!("{}/api/status", self.bridge.gateway_url)).await;
                    let shard = &status["discord"]["shards"][0];
                    shard["identifies"] == 2 && shard["state"] == "live"
                };
                until("a new session", begun).await;
            }
            Trouble::WebKilled => {
                kill(&mut self.web).await;
                self.start_web();
            }
            Trouble::WebStopped | Trouble::Stampede => {
                stop(&mut self.web).await;
                self.start_web();
            }
            Trouble::GatewayKilled => {
                kill(&mut self.gateway).await;
                self.start_gateway();
            }
            Trouble::GatewayStopped => {
                stop(&mut self.gateway).await;
                self.start_gateway();
            }
            Trouble::BothKilled => {
                kill(&mut self.gateway).await;
                kill(&mut self.web).await;
                self.start_gateway();
                self.start_web();
            }
            Trouble::GatewayPaused => {
                signal(&self.gateway, "STOP");
                self.more(pace.pause).await;
                signal(&self.gateway, "CONT");
            }
            Trouble::StalledReader => {
                let dropped = async || {
                    let status = format!("{}/api/status", self.bridge.web_url);
                    self.bridge.json(&status).await["sse"]["dropped"].as_u64() >= Some(1)
                };
                until("the stalled reader is dropped", dropped).await;
            }
            Trouble::RingOverrun => {
                stop(&mut self.web).await;
                self.more(100).await;
                self.start_web();
            }
        }
    }

    async fn end(mut self) {
        stop(&mut self.web).await;
        stop(&mut self.gateway).await;
        self.bridge.stop().await;
    }
}

struct Publisher {
    running: Rc<Cell<bool>>,
    task: rt::task::JoinHandle<()>,
}

impl Publisher {
    async fn stop(self) {
        self.running.set(false);
        self.task.await.unwrap();
    }
}

fn signal(child: &Option<Child>, name: &str) {
    let pid = child.as_ref().and_then(Child::id).unwrap().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
}

async fn kill(child: &mut Option<Child>) {
    child.take().unwrap().kill().await.unwrap();
}

async fn stop(child: &mut Option<Child>) {
    signal(child, "TERM");
    let status = child.take().unwrap().wait().await.unwrap();
    assert!(status.success(), "a role that was asked to stop: {status}");
}

/// Reads as EventSource does: comes back with its position whenever the stream ends.
async fn read(browser: Rc<Browser>, query: &'static str, tally: Rc<RefCell<Tally>>) {
    let mut position: Option<String> = None;
    loop {
        if let Some(mut events) = browser.try_stream(query, position.as_deref()).await {
            tally.borrow_mut().connects += 1;
            while let Some(event) = events.next().await {
                let mut tally = tally.borrow_mut();
                match event.what().as_str() {
                    "NUMBERED" => tally.see(event.json()["payload"]["n"].as_u64().unwrap()),
                    "RESYNC" => {
                        tally.resyncs += 1;
                        tally.announced = true;
                    }
                    _ => {}
                }
            }
            position = events.id.or(position);
        }
        come_back().await;
    }
}

/// Opens a stream and never reads it, for as long as the returned future is kept.
async fn stall(browser: &Browser) -> impl Future<Output = ()> + use<> {
    let url = url::Url::parse(browser.web_url()).unwrap();
    let address = (url.host_str().unwrap(), url.port().unwrap());
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /api/stream HTTP/1.1\r\nhost: {}:{}\r\ncookie: {}\r\n\r\n",
        address.0,
        address.1,
        browser.cookie()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    async move {
        std::future::pending::<()>().await;
        drop(socket);
    }
}

/// The rings and queues of the web role while a reader stalls: what its memory may grow by.
const STALL_RING: u64 = 4 << 20;
const STALL_QUEUE: u64 = 256 << 10;

/// The outcome of one case, summed over all readers.
#[derive(Debug)]
struct Outcome {
    published: u64,
    readers: usize,
    lost: u64,
    duplicated: u64,
    disordered: u64,
    resyncs: u64,
    took: Duration,
    /// Growth of the web role's memory, in bytes; only while it was not restarted.
    grown: Option<u64>,
}

async fn deliver(trouble: Trouble, pace: Pace) -> Outcome {
    let (ring, queue) = (STALL_RING.to_string(), STALL_QUEUE.to_string());
    let narrow = [("SSE_STALL_S", "1"), ("SSE_QUEUE_BYTES", &queue), ("REPLAY_BYTES", &ring)];
    let (every, filler, changes): (_, _, &[(&str, &str)]) = match trouble {
        Trouble::StalledReader => (Duration::from_millis(10), 32 * 1024, &narrow),
        Trouble::Stampede => (Duration::from_millis(200), 0, &[]),
        Trouble::RingOverrun => (Duration::from_millis(10), 0, &[("REPLAY_EVENTS", "50")]),
        _ => (Duration::from_millis(10), 0, &[]),
    };
    let events = if trouble == Trouble::Stampede { pace.events / 20 } else { pace.events };
    let start = Instant::now();
    let mut rig = Rig::start(changes).await;
    let ada = Rc::new(rig.bridge.sign_in("ada").await);
    let readers = if trouble == Trouble::Stampede { pace.stampede } else { 3 };
    let mut tasks = Vec::new();
    let tallies: Vec<_> = (0..readers).map(|_| Rc::new(RefCell::new(Tally::default()))).collect();
    for (n, tally) in tallies.iter().enumerate() {
        let query = if n % 3 == 2 { "?events=NUMBERED" } else { "" };
        tasks.push(rt::spawn(read(Rc::clone(&ada), query, Rc::clone(tally))));
    }
    until("all readers have come", async || tallies.iter().all(|tally| tally.borrow().connects > 0)).await;
    // Fresh streams begin with a snapshot; what was published before it is none of their business.
    let settled = async || rig.bridge.json(&format!("{}/api/status", rig.bridge.web_url)).await;
    until("all streams are open", async || {
        settled().await["sse"]["sessions"].as_u64() == Some(readers as u64)
    })
    .await;
    let publisher = rig.publish(every, filler);
    until("events flow", async || tallies.iter().all(|tally| tally.borrow().newest > 3)).await;
    rig.more(events).await;
    // By now the ring is full and every buffer as large as it gets: what grows from here on grows with the trouble.
    let memory = memory(&rig.web);
    let stalled = if trouble == Trouble::StalledReader { Some(rt::spawn(stall(&ada).await)) } else { None };
    rig.happen(trouble, pace).await;
    let grown = memory.zip(self::memory(&rig.web)).map(|(before, after)| after.saturating_sub(before));
    rig.more(events).await;
    publisher.stop().await;
    let published = rig.published.get();
    until("all readers have the newest event", async || {
        tallies.iter().all(|tally| tally.borrow().newest == published)
    })
    .await;
    tasks.into_iter().chain(stalled).for_each(|task| task.abort());
    rig.end().await;
    let sum = |what: fn(&Tally) -> u64| tallies.iter().map(|tally| what(&tally.borrow())).sum();
    Outcome {
        published,
        readers,
        lost: sum(|tally| tally.lost),
        duplicated: sum(|tally| tally.duplicated),
        disordered: sum(|tally| tally.disordered),
        resyncs: sum(|tally| tally.resyncs),
        took: start.elapsed(),
        grown: grown.filter(|_| trouble == Trouble::StalledReader),
    }
}

/// What the kernel says a process has in memory, in bytes.
fn memory(child: &Option<Child>) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.as_ref()?.id()?)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kb| kb * 1024)
}

fn check(trouble: Trouble, outcome: &Outcome) {
    let Outcome { lost, duplicated, disordered, resyncs, .. } = *outcome;
    assert_eq!((lost, duplicated, disordered), (0, 0, 0), "{trouble:?}: {outcome:?}");
    let readers = outcome.readers as u64;
    match trouble {
        // Said once to each reader that missed something.
        Trouble::SessionNotResumable | Trouble::RingOverrun => assert_eq!(resyncs, readers, "{outcome:?}"),
        _ => assert_eq!(resyncs, 0, "{trouble:?}: {outcome:?}"),
    }
    let limit = STALL_RING + (readers + 1) * STALL_QUEUE;
    assert!(outcome.grown.is_none_or(|bytes| bytes < limit), "more than {limit} bytes: {outcome:?}");
}

async fn short(trouble: Trouble) {
    check(trouble, &deliver(trouble, SHORT).await);
}

#[actix_web::test]
async fn nothing_is_lost_when_discord_drops_the_socket() {
    short(Trouble::DiscordDrops).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_discord_asks_to_reconnect() {
    short(Trouble::DiscordAsksToReconnect).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_discord_closes_with_4000() {
    short(Trouble::DiscordCloses4000).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_discord_refuses_connections() {
    short(Trouble::DiscordRefuses).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_the_web_role_is_killed() {
    short(Trouble::WebKilled).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_the_web_role_is_restarted() {
    short(Trouble::WebStopped).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_the_gateway_is_killed() {
    short(Trouble::GatewayKilled).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_the_gateway_is_restarted() {
    short(Trouble::GatewayStopped).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_both_roles_are_killed() {
    short(Trouble::BothKilled).await;
}

#[actix_web::test]
async fn nothing_is_lost_when_the_gateway_stands_still() {
    short(Trouble::GatewayPaused).await;
}

#[actix_web::test]
async fn a_stalled_reader_costs_the_others_nothing() {
    short(Trouble::StalledReader).await;
}

#[actix_web::test]
async fn a_stampede_loses_nothing() {
    short(Trouble::Stampede).await;
}

#[actix_web::test]
async fn a_session_that_cannot_be_resumed_is_announced_once() {
    short(Trouble::SessionNotResumable).await;
}

#[actix_web::test]
async fn an_overrun_ring_is_announced_once() {
    short(Trouble::RingOverrun).await;
}

#[actix_web::test]
#[ignore = "takes minutes: make delivery"]
async fn the_long_table() {
    println!(
        "{:24} {:>9} {:>7} {:>5} {:>5} {:>9} {:>7} {:>6} {:>8}",
        "case", "published", "readers", "lost", "dup", "disorder", "RESYNC", "s", "web KiB"
    );
    let mut outcomes = Vec::new();
    for trouble in ALL {
        let outcome = deliver(trouble, LONG).await;
        println!(
            "{:24} {:>9} {:>7} {:>5} {:>5} {:>9} {:>7} {:>6.1} {:>8}",
            format!("{trouble:?}"),
            outcome.published,
            outcome.readers,
            outcome.lost,
            outcome.duplicated,
            outcome.disordered,
            outcome.resyncs,
            outcome.took.as_secs_f64(),
            outcome.grown.map_or_else(String::new, |bytes| format!("+{}", bytes / 1024))
        );
        outcomes.push((trouble, outcome));
    }
    for (trouble, outcome) in &outcomes {
        check(*trouble, outcome);
    }
}
