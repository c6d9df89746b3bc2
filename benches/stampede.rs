//! What a restarted web role takes: it is killed, and all its streams come back at once with their position, before it
//! has filled its ring again. Each must get everything once and in order. Loopback; the web role is a process of its own.
//!
//! `cargo bench --bench stampede -- [streams] [events missed]`; defaults 10000 and 50.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "../tests/support/bridge.rs"]
#[allow(dead_code, reason = "each user uses its own part")]
mod bridge;

use std::{
    cell::Cell,
    collections::HashMap,
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use actix_web::rt::{self, System, net::TcpStream};
use bridge::{Bridge, Browser, GUILD, client, status};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
};

/// Far more than it takes: what has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (streams, missed) = (*numbers.first().unwrap_or(&10_000), *numbers.get(1).unwrap_or(&50) as u64);
    // A descriptor for each end, one end being the web role's, which inherits the limit.
    let limit = format!("--nofile={0}:{0}", streams + 1000);
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(raised.success(), "cannot raise the limit of open files: try fewer streams");
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let others = thread::spawn(move || {
        System::new().block_on(async {
            let many = ("SSE_MAX_SESSIONS_PER_USER", "100000");
            let mut bridge =
                Bridge::without_roles(&[many, ("SSE_MAX_SESSIONS", "100000"), ("RUST_LOG", "error")]).await;
            bridge.start_gateway().await;
            let settings = bridge.settings().clone();
            tell.send((settings, bridge.web_url.clone(), bridge.discord_url.clone())).unwrap();
            let _ = stopped.await;
            bridge.stop().await;
        });
    });
    let (settings, web_url, discord_url) = told.recv().unwrap();
    System::new().block_on(measure(streams, missed, &settings, &web_url, &discord_url));
    stop.send(()).unwrap();
    others.join().unwrap();
}

/// The web role, ended when it is dropped.
struct Web(Child);

impl Web {
    async fn start(settings: &HashMap<String, String>, web_url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guildstream"));
        command.arg("web").env_clear().envs(settings).stdin(Stdio::null());
        let web = Self(command.spawn().unwrap());
        while status(&format!("{web_url}/livez")).await != 200 {
            rt::task::yield_now().await;
        }
        web
    }

    /// `VmRSS` or `VmHWM`, in MiB.
    fn memory(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// User and system time, in seconds; the kernel counts hundredths.
    fn processor_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn publish(discord_url: &str, numbers: std::ops::RangeInclusive<u64>) {
    let lines: Vec<_> = numbers
        .map(|n| {
            let filler = "x".repeat(500);
            format!(r#"{{"t":"NUMBERED","d":{{"guild_id":"{GUILD}","filler":"{filler}","n":{n}}}}}"#)
        })
        .collect();
    let url = format!("{discord_url}/sandbox/dispatch");
    let sent = client().post(url).send_body(lines.join("\n")).await.unwrap();
    assert!(sent.status().is_success());
}

async fn measure(
    streams: usize,
    missed: u64,
    settings: &HashMap<String, String>,
    web_url: &str,
    discord_url: &str,
) {
    let web = Web::start(settings, web_url).await;
    while status(&format!("{web_url}/readyz")).await != 200 {
        rt::task::yield_now().await;
    }
    let ada = Browser::sign_in(web_url, "ada").await;
    let mut events = ada.stream("", None).await;
    let position = events.until("voice.snapshot").await.id.unwrap();
    drop(web);
    publish(discord_url, 1..=missed).await;

    let begun = Instant::now();
    let web = Web::start(settings, web_url).await;
    let (up, idle) = (begun.elapsed(), web.memory("VmRSS"));
    let caught_up = Rc::new(Cell::new(0));
    let address = web_url.strip_prefix("http://").unwrap().to_owned();
    let head = format!(
        "GET /api/stream HTTP/1.1\r\nhost: {address}\r\ncookie: {}\r\nlast-event-id: {position}\r\n\r\n",
        ada.cookie()
    );
    let (head, address): (Rc<str>, Rc<str>) = (head.into(), address.into());
    let readers: Vec<_> = (0..streams)
        .map(|_| rt::spawn(read(Rc::clone(&address), Rc::clone(&head), missed, Rc::clone(&caught_up))))
        .collect();
    wait(|| caught_up.get() == streams, "all streams have what they missed").await;
    let back = begun.elapsed();
    println!("{streams} streams, {missed} events missed by each");
    println!("web role up:            {:6.2} s after its start", up.as_secs_f64());
    println!("all streams caught up:  {:6.2} s after its start", back.as_secs_f64());
    println!("processor time:         {:6.2} s", web.processor_s());
    println!(
        "memory:                 {:6.1} MiB before, {:.1} MiB at most, {:.1} kB a stream",
        idle,
        web.memory("VmHWM"),
        (web.memory("VmRSS") - idle) * 1024.0 / streams as f64
    );
    let live = Instant::now();
    publish(discord_url, missed + 1..=missed + 1).await;
    for reader in readers {
        reader.await.unwrap();
    }
    println!("the next event at all:  {:6.2} s", live.elapsed().as_secs_f64());
}

async fn wait(condition: impl Fn() -> bool, what: &str) {
    let mut look = rt::time::interval(Duration::from_millis(5));
    let met = async {
        while !condition() {
            look.tick().await;
        }
    };
    rt::time::timeout(PATIENCE, met).await.unwrap_or_else(|_| panic!("not in {PATIENCE:?}: {what}"));
}

/// Reads until the event after the missed ones; all of them must come, once and in order.
async fn read(address: Rc<str>, head: Rc<str>, missed: u64, caught_up: Rc<Cell<usize>>) {
    let mut socket = TcpStream::connect(&*address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut text, mut next) = (Vec::new(), 1);
    while next <= missed + 1 {
        assert_ne!(socket.read_buf(&mut text).await.unwrap(), 0, "the stream ended at {next}");
        // Numbers stand at the end of a payload; a chunk may end in the middle of a line.
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block = String::from_utf8(text.drain(..end + 2).collect()).unwrap();
            assert!(!block.contains("RESYNC"), "{block}");
            if let Some((_, n)) = block.split_once(r#","n":"#) {
                let n: u64 = n.split_once('}').unwrap().0.parse().unwrap();
                assert_eq!(n, next);
                next += 1;
                if n == missed {
                    caught_up.set(caught_up.get() + 1);
                }
            }
        }
    }
}
