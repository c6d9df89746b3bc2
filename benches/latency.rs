//! How long an event takes from Discord to a browser: dispatches posted to the sandbox at a steady rate, read from
//! streams of the web role, all over loopback. Everything but the browsers runs on a thread of its own.
//!
//! `cargo bench --bench latency -- [streams] [events per second] [seconds]`; defaults 100, 100, 10.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "../tests/support/bridge.rs"]
#[allow(dead_code, reason = "each user uses its own part")]
mod bridge;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use actix_web::rt::{self, System};
use bridge::{Bridge, Browser, GUILD, client};
use serde::Deserialize;
use tokio::sync::oneshot;

fn main() {
    let numbers: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let number = |n: usize, default| numbers.get(n).copied().unwrap_or(default);
    let (streams, rate, seconds) = (number(0, 100), number(1, 100), number(2, 10));
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let roles = thread::spawn(move || {
        System::new().block_on(async {
            let limit = ("SSE_MAX_SESSIONS_PER_USER", "100000");
            let bridge = Bridge::without_waiting(&[limit, ("SSE_MAX_SESSIONS", "100000")]).await;
            bridge.until_ready().await;
            tell.send((bridge.web_url.clone(), bridge.discord_url.clone())).unwrap();
            let _ = stopped.await;
            bridge.stop().await;
        });
    });
    let (web_url, discord_url) = told.recv().unwrap();
    System::new().block_on(measure(&web_url, &discord_url, streams, rate, seconds));
    stop.send(()).unwrap();
    roles.join().unwrap();
}

#[derive(Deserialize)]
struct Envelope {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    sent_us: u64,
}

async fn measure(web_url: &str, discord_url: &str, streams: u32, rate: u32, seconds: u32) {
    let browser = Browser::sign_in(web_url, "ada").await;
    let (count, start) = (rate * seconds, Instant::now());
    let mut readers = Vec::new();
    for _ in 0..streams {
        let mut events = browser.stream("?events=BENCH,voice.snapshot", None).await;
        events.until("voice.snapshot").await;
        readers.push(rt::spawn(async move {
            let mut latencies = Vec::new();
            for _ in 0..count {
                let event = events.until("BENCH").await;
                let envelope: Envelope = serde_json::from_str(&event.data).unwrap();
                latencies.push(start.elapsed().as_micros() as u64 - envelope.payload.sent_us);
            }
            latencies
        }));
    }
    // About the size of a voice state.
    let filler = "x".repeat(600);
    let mut pace = rt::time::interval(Duration::from_secs(1) / rate);
    let client = client();
    for _ in 0..count {
        pace.tick().await;
        let sent_us = start.elapsed().as_micros();
        let event = format!(
            r#"{{"t":"BENCH","d":{{"guild_id":"{GUILD}","filler":"{filler}","sent_us":{sent_us}}}}}"#
        );
        let url = format!("{discord_url}/sandbox/dispatch");
        client.post(url).insert_header(("content-type", "application/json")).send_body(event).await.unwrap();
    }
    let mut latencies = Vec::new();
    for reader in readers {
        latencies.extend(reader.await.unwrap());
    }
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    println!(
        "{streams} streams, {rate} events/s, {seconds} s: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
