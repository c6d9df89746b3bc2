//! The whole way, from a Discord socket to an EventSource.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bridge.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod bridge;

use bridge::{Bridge, GUILD, client, status, until};
use futures_util::StreamExt as _;
use guildstream_actors::dispatch::split;
use serde_json::json;

const CORPUS: &str = include_str!("corpus/dispatch.jsonl");
const ADA: &str = "930000000000000001";
const VOICE_A: &str = "910000000000000201";

#[actix_web::test]
async fn a_fresh_stream_is_greeted_gets_its_snapshot_and_then_what_happens() {
    let bridge = Bridge::start().await;
    let linus = bridge.sign_in("linus").await;
    let mut events = linus.stream("", None).await;
    let ack = events.next().await.unwrap();
    assert_eq!((ack.what().as_str(), ack.id), ("connected", None));
    let snapshot = events.next().await.unwrap();
    assert_eq!(snapshot.what(), "voice.snapshot");
    assert!(snapshot.id.is_some(), "the last snapshot carries the position");
    let snapshot = snapshot.json();
    assert_eq!(snapshot["payload"]["guildId"], GUILD);
    let rooms = snapshot["payload"]["channels"].as_array().unwrap();
    assert!(rooms.iter().any(|room| room["channelId"] == VOICE_A), "{snapshot}");
    assert!(!snapshot.to_string().contains("Staff Room"), "linus cannot see it");

    bridge.move_member(ADA, Some(VOICE_A)).await;
    let raw = events.until("VOICE_STATE_UPDATE").await;
    assert_eq!(raw.json()["payload"]["channel_id"], VOICE_A);
    let joined = events.next().await.unwrap();
    assert_eq!(joined.what(), "voice.joined");
    assert_eq!(joined.json()["payload"]["userId"], ADA);
    bridge.move_member(ADA, None).await;
    let left = events.until("voice.left").await.json();
    assert_eq!(
        (&left["payload"]["channelId"], &left["payload"]["previousChannelId"]),
        (&json!(null), &json!(VOICE_A))
    );
    bridge.stop().await;
}

#[actix_web::test]
async fn the_corpus_reaches_an_administrator_byte_for_byte_and_in_order() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let mut events = ada.stream("", None).await;
    events.until("voice.snapshot").await;
    let lines: Vec<_> = CORPUS.lines().skip(2).collect();
    bridge.dispatch(lines.join("\n")).await;
    // The last line is a guild event, so that the end is seen; corpus lines without a guild reach nobody.
    let end = r#"{"op":0,"t":"GUILD_EMOJIS_UPDATE","d":{"guild_id":"910000000000000001","emojis":[],"the_end":true}}"#;
    bridge.dispatch(end).await;
    let mut expected = lines.iter().map(|line| split(&bytes::Bytes::from_static(line.as_bytes())).unwrap());
    let mut seen = 0;
    loop {
        let event = events.next().await.unwrap();
        if event.data.contains(r#""the_end":true"#) {
            break;
        }
        if event.what().starts_with("voice.") || event.what().starts_with("room.") {
            continue;
        }
        // Those that are for nobody are skipped; none comes out of order or changed.
        let found = expected.any(|dispatch| {
            let d = std::str::from_utf8(&dispatch.d).unwrap();
            dispatch.t.as_deref() == Some(&event.what())
                && event.data.contains(&format!(r#""payload":{d},"ts""#))
        });
        assert!(found, "changed or out of order: {}", event.data);
        seen += 1;
    }
    assert!(seen > 30, "{seen} events");
    bridge.stop().await;
}

#[actix_web::test]
async fn strangers_get_401_and_members_of_no_guild_403() {
    let bridge = Bridge::start().await;
    assert_eq!(status(&format!("{}/api/stream", bridge.web_url)).await, 401);
    let mallory = bridge.sign_in("mallory").await;
    assert_eq!(mallory.get("/api/stream").await.0, 403);
    bridge.stop().await;
}

/// A GUILD_CREATE of at least `bytes` bytes, of a guild that nobody here follows.
fn large_guild_create(bytes: usize) -> String {
    let mut members = String::new();
    for n in 0.. {
        if members.len() >= bytes {
            break;
        }
        let comma = if n == 0 { "" } else { "," };
        members.push_str(&format!(
            r#"{comma}{{"user":{{"id":"913{n:016}","username":"member{n}","global_name":"M\u00e9mb\u00e9r ☕ {n}"}},"roles":[],"flags":0}}"#
        ));
    }
    format!(
        r#"{{"id":"911000000000000001","name":"Large ☕ guild","owner_id":"9130000000000000000","roles":[],"channels":[],"voice_states":[],"unavailable":false,"large":true,"number":1.50,"members":[{members}]}}"#
    )
}

#[actix_web::test]
async fn what_discord_dispatches_comes_out_of_the_link_byte_for_byte_in_order_and_without_holes() {
    #[derive(serde::Deserialize)]
    struct Frame<'a> {
        id: String,
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Data<'a> {
        event: String,
        #[serde(borrow)]
        payload: &'a serde_json::value::RawValue,
    }
    let bridge = Bridge::start().await;
    let request = client().ws(&bridge.gateway_url).max_frame_size(16 << 20);
    let request = request.set_header("authorization", "Bearer the-link-token-of-this-test");
    let (_, mut link) = request.connect().await.unwrap();
    let lines: Vec<_> = CORPUS.lines().skip(2).collect();
    let large = large_guild_create(300_000);
    bridge.dispatch(format!("{}\n{{\"op\":0,\"t\":\"GUILD_CREATE\",\"d\":{large}}}", lines.join("\n"))).await;
    let corpus = lines.iter().map(|line| split(&bytes::Bytes::from_static(line.as_bytes())).unwrap());
    let mut expected: std::collections::VecDeque<_> = corpus.map(|one| (one.t.unwrap(), one.d)).collect();
    expected.push_back(("GUILD_CREATE".to_owned(), large.into()));
    let mut last: Option<u64> = None;
    while let Some((t, d)) = expected.front() {
        let frame =
            actix_web::rt::time::timeout(bridge::PATIENCE, link.next()).await.unwrap().unwrap().unwrap();
        let awc::ws::Frame::Text(text) = frame else { continue };
        // The greeting is no event.
        let Ok(Frame { id, data }) = serde_json::from_slice(&text) else { continue };
        let seq: u64 = id.rsplit_once('-').unwrap().1.parse().unwrap();
        assert!(last.is_none_or(|last| seq == last + 1), "{seq} after {last:?}");
        last = Some(seq);
        if data.event.starts_with("voice.") || data.event.starts_with("room.") {
            continue;
        }
        assert_eq!((&data.event, data.payload.get().as_bytes()), (t, &d[..]));
        expected.pop_front();
    }
    bridge.stop().await;
}

#[actix_web::test]
async fn a_large_event_crosses_the_whole_way() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let mut events = ada.stream("?events=A_LARGE_EVENT", None).await;
    let filler = "x".repeat(300_000);
    let d = format!(r#"{{"guild_id":"{GUILD}","filler":"{filler}","number":1.50}}"#);
    bridge.dispatch(format!(r#"{{"t":"A_LARGE_EVENT","d":{d}}}"#)).await;
    let event = events.until("A_LARGE_EVENT").await;
    assert!(event.data.contains(&d));
    bridge.stop().await;
}

#[actix_web::test]
async fn without_the_gateway_streams_stay_open_and_readyz_says_why() {
    let mut bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let mut events = ada.stream("", None).await;
    events.until("voice.snapshot").await;
    bridge.gateway.take().unwrap().stop().await.unwrap();
    let ready = format!("{}/readyz", bridge.web_url);
    until("web is not ready", async || status(&ready).await == 503).await;
    assert_eq!(status(&format!("{}/livez", bridge.web_url)).await, 200);
    let state = bridge.json(&format!("{}/api/status", bridge.web_url)).await;
    assert_eq!((&state["connected"], &state["sse"]["sessions"]), (&json!(false), &json!(1)));
    // It comes back without its log: a new epoch, said so, with fresh snapshots.
    bridge.start_gateway().await;
    bridge.until_ready().await;
    events.until("RESYNC").await;
    events.until("voice.snapshot").await;
    bridge.stop().await;
}
