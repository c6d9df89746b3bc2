//! Control routes and faults.

use std::net::{IpAddr, Ipv4Addr};

use guildstream_sandbox::{CLIENT_ID, SandboxConfig, SandboxError};
use serde_json::{Value, json};

use crate::harness::{ADA, GENERAL, GUILD, Heard, INTENTS, LINUS, LOUNGE, MALLORY, Place, quiet};

#[actix_web::test]
async fn posted_events_arrive_byte_for_byte_whatever_the_intents() {
    let place = Place::open(quiet()).await;
    let (mut socket, _) = place.ready(1).await;
    let corpus = include_str!("../../../tests/corpus/dispatch.jsonl");
    let lines: Vec<&str> = corpus.lines().skip(2).collect();
    let answer = place.send("POST", "/sandbox/dispatch", &[], lines.join("\n")).await;
    assert_eq!(answer.body, json!({ "dispatched": lines.len(), "sessions": 1 }));
    for (at, line) in lines.iter().enumerate() {
        let Heard::Text(text) = socket.hear().await else { panic!("line {at} did not come") };
        let d = |text: &str| text[text.find(r#","d":"#).expect("a d") + 5..text.len() - 1].to_owned();
        assert_eq!(d(&text), d(line), "line {at}");
        assert!(
            text.starts_with(r#"{"t":""#) && text.contains(&format!(r#","s":{},"op":0,"d":"#, at + 3)),
            "{text}"
        );
    }
    place.close().await;
}

#[actix_web::test]
async fn a_bad_line_dispatches_nothing() {
    let place = Place::open(quiet()).await;
    let (mut socket, _) = place.ready(INTENTS).await;
    for (body, said) in [
        ("{\"t\":\"A\",\"d\":1}\n{broken", "line 2"),
        ("{\"t\":\"READY\",\"d\":{}}", "READY"),
        ("{\"t\":\"RESUMED\",\"d\":{}}", "RESUMED"),
        ("", "no event"),
    ] {
        let answer = place.send("POST", "/sandbox/dispatch", &[], body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body["message"].as_str().is_some_and(|message| message.contains(said)), "{answer:?}");
    }
    assert_eq!(socket.events_until_mark(&place).await, Vec::<String>::new());
    place.close().await;
}

#[actix_web::test]
async fn a_large_event_passes_and_one_over_the_limit_does_not() {
    let place = Place::open(quiet()).await;
    let (mut socket, _) = place.ready(INTENTS).await;
    let event = |bytes: usize| format!("{{\"t\":\"BIG\",\"d\":\"{}\"}}", "x".repeat(bytes));
    assert_eq!(place.send("POST", "/sandbox/dispatch", &[], event(8 * 1024 * 1024)).await.status, 200);
    let Heard::Text(text) = socket.hear().await else { panic!("nothing came") };
    assert!(text.len() > 8 * 1024 * 1024);
    assert_eq!(place.send("POST", "/sandbox/dispatch", &[], event(33 * 1024 * 1024)).await.status, 413);
    place.close().await;
}

#[actix_web::test]
async fn faults_that_end_a_connection_leave_a_session_to_resume_or_none() {
    let place = Place::open(quiet()).await;
    // The fault, how the connection ends, and whether the session survives.
    for (fault, code, survives) in [
        (json!({ "kind": "close", "code": 4000 }), Some(4000), true),
        (json!({ "kind": "close", "code": 4009 }), Some(4009), false),
        (json!({ "kind": "close", "code": 4004 }), Some(4004), false),
        (json!({ "kind": "drop" }), None, true),
    ] {
        let (mut socket, ready) = place.ready(INTENTS).await;
        assert_eq!(place.fault(fault.clone()).await.status, 200);
        assert_eq!(socket.close_code().await, code, "{fault}");
        let mut socket = place.socket("?v=10").await;
        socket.op(10).await;
        socket.resume(&ready["session_id"], 2).await;
        let answer = socket.payload().await;
        let resumed = answer["t"] == "RESUMED";
        assert_eq!(resumed, survives, "{fault}: {answer}");
        socket.close(1000).await;
        socket.close_code().await;
    }
    place.close().await;
}

#[actix_web::test]
async fn faults_that_speak_say_what_they_should() {
    let place = Place::open(quiet()).await;
    let (mut socket, ready) = place.ready(INTENTS).await;
    place.fault(json!({ "kind": "reconnect" })).await;
    socket.op(7).await;
    place.fault(json!({ "kind": "heartbeat" })).await;
    socket.op(1).await;
    place.fault(json!({ "kind": "corrupt" })).await;
    let Heard::Text(text) = socket.hear().await else { panic!("nothing came") };
    assert!(serde_json::from_str::<Value>(&text).is_err());
    place.fault(json!({ "kind": "invalid_session", "resumable": true })).await;
    assert_eq!(socket.op(9).await["d"], true);
    socket.resume(&ready["session_id"], 2).await;
    socket.event("RESUMED").await;
    place.fault(json!({ "kind": "invalid_session", "resumable": false })).await;
    assert_eq!(socket.op(9).await["d"], false);
    assert_eq!(place.state()["sessions"], json!([]));
    place.close().await;
}

#[actix_web::test]
async fn dup_repeats_dispatches_with_their_numbers_after_the_next_resume() {
    let place = Place::open(quiet()).await;
    let (socket, ready) = place.ready(INTENTS).await;
    place.sandbox.dispatch("{\"t\":\"A\",\"d\":1}\n{\"t\":\"B\",\"d\":2}").expect("dispatched");
    drop(socket);
    place.fault(json!({ "kind": "dup", "count": 2 })).await;
    let mut socket = place.socket("?v=10").await;
    socket.op(10).await;
    socket.resume(&ready["session_id"], 4).await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        let payload = socket.payload().await;
        heard.push((payload["t"].as_str().map(str::to_owned), payload["s"].as_u64()));
    }
    let told = |name: &str, s| (Some(name.to_owned()), Some(s));
    assert_eq!(heard, [told("A", 3), told("B", 4), told("RESUMED", 5)]);
    place.close().await;
}

#[actix_web::test]
async fn refuse_cuts_and_refuses_and_stall_is_silent() {
    let place = Place::open(quiet()).await;
    let (mut socket, _) = place.ready(INTENTS).await;
    place.fault(json!({ "kind": "refuse", "seconds": 30 })).await;
    assert_eq!(socket.close_code().await, None);
    assert_eq!(place.try_socket("?v=10").await.err().map(|status| status.as_u16()), Some(503));
    assert!(place.state()["faults"]["refusingForMs"].as_u64().is_some_and(|ms| ms > 20_000));
    place.fault(json!({ "kind": "refuse", "seconds": 0 })).await;

    let (mut socket, _) = place.ready(INTENTS).await;
    place.fault(json!({ "kind": "stall", "seconds": 0.2 })).await;
    let begun = std::time::Instant::now();
    socket.send(json!({ "op": 1, "d": null })).await;
    socket.op(11).await;
    assert!(begun.elapsed().as_millis() >= 150);
    place.close().await;
}

#[actix_web::test]
async fn rest_faults_hit_the_bots_next_calls_and_no_sign_in() {
    let place = Place::open(quiet()).await;
    let me = async || place.bot("GET", "/users/@me", Value::Null).await;
    place.fault(json!({ "kind": "rest_error", "status": 500, "count": 2 })).await;
    let token = place.sign_in("ada", "identify").await;
    assert!(token["access_token"].is_string());
    assert_eq!(
        [me().await.status, me().await.status, me().await.status].map(|status| status.as_u16()),
        [500, 500, 200]
    );

    place.fault(json!({ "kind": "rate_limit", "retry_after_s": 30, "global": true })).await;
    let refused = me().await;
    assert_eq!(refused.status, 429);
    assert_eq!((&refused.body["global"], refused.headers.contains_key("via")), (&json!(true), true));
    let header =
        |name: &str| refused.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    assert_eq!(header("retry-after").as_deref(), Some("30"));
    assert_eq!(header("x-ratelimit-scope").as_deref(), Some("global"));
    assert_eq!(header("x-ratelimit-remaining").as_deref(), Some("0"), "the headers say what the body says");
    assert!(
        header("x-ratelimit-reset-after").is_some_and(|after| after.starts_with("29.") || after == "30.000")
    );
    place.fault(json!({ "kind": "rate_limit", "retry_after_s": 0 })).await;

    place.fault(json!({ "kind": "rest_delay", "seconds": 0.1 })).await;
    let begun = std::time::Instant::now();
    assert_eq!(me().await.status, 200);
    assert!(begun.elapsed().as_millis() >= 100);
    let log = place.state()["faults"]["log"].as_array().cloned().unwrap_or_default();
    assert_eq!(log.len(), 4, "every fault is remembered");
    place.close().await;
}

#[actix_web::test]
async fn a_fault_that_cannot_be_is_refused_with_the_reason() {
    let place = Place::open(quiet()).await;
    for (fault, said) in [
        (json!({ "kind": "lunch" }), "lunch"),
        (json!({ "kind": "close", "code": 1005 }), "1005"),
        (json!({ "kind": "rest_error", "status": 200 }), "200"),
        (json!({ "kind": "stall", "seconds": -1 }), "-1"),
        (json!({ "kind": "stall" }), "seconds"),
        (json!({ "kind": "drop", "gently": true }), "gently"),
    ] {
        let answer = place.fault(fault).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body["message"].as_str().is_some_and(|message| message.contains(said)), "{answer:?}");
    }
    place.close().await;
}

#[actix_web::test]
async fn members_are_moved_write_come_and_go() {
    let place = Place::open(quiet()).await;
    let (mut socket, _) = place.ready(INTENTS).await;
    let post = async |path: &str, body: Value| {
        place.call("POST", &format!("/sandbox/members/{path}"), &[], body).await.status.as_u16()
    };
    assert_eq!(post(&format!("{ADA}/voice"), json!({ "channelId": LOUNGE, "selfDeaf": true })).await, 200);
    let joined = socket.event("VOICE_STATE_UPDATE").await;
    assert_eq!(joined["self_deaf"], true);
    assert_eq!(
        (&joined["channel_id"], &joined["member"]["user"]["username"]),
        (&json!(LOUNGE), &json!("ada"))
    );
    assert_eq!(post(&format!("{ADA}/voice"), json!({ "selfMute": true })).await, 200);
    assert_eq!(socket.event("VOICE_STATE_UPDATE").await["self_mute"], true);
    assert_eq!(post(&format!("{ADA}/voice"), json!({ "channelId": null })).await, 200);
    assert_eq!(socket.event("VOICE_STATE_UPDATE").await["channel_id"], Value::Null);
    assert_eq!(
        post(&format!("{LINUS}/message"), json!({ "channelId": GENERAL, "content": "hi" })).await,
        200
    );
    assert_eq!(socket.event("MESSAGE_CREATE").await["author"]["username"], "linus");
    assert_eq!(post(&format!("{MALLORY}/join"), Value::Null).await, 200);
    assert_eq!(socket.event("GUILD_MEMBER_ADD").await["guild_id"], GUILD);
    assert_eq!(post(&format!("{MALLORY}/leave"), Value::Null).await, 200);
    assert_eq!(socket.event("GUILD_MEMBER_REMOVE").await["user"]["id"], MALLORY);
    for (path, body, status) in [
        (format!("{MALLORY}/voice"), json!({ "channelId": LOUNGE }), 404),
        (format!("{ADA}/voice"), json!({ "channelId": GENERAL }), 400),
        (format!("{ADA}/voice"), json!({ "channelId": "1" }), 404),
        ("nobody/voice".to_owned(), json!({ "channelId": null }), 400),
        (format!("{ADA}/message"), json!({ "channelId": "1", "content": "" }), 404),
        (format!("{MALLORY}/leave"), Value::Null, 400),
        (format!("{CLIENT_ID}/leave"), Value::Null, 400),
    ] {
        assert_eq!(post(&path, body.clone()).await, status, "{path} {body}");
    }
    place.close().await;
}

#[actix_web::test]
async fn control_is_for_this_machine_and_its_own_page() {
    let place = Place::open(quiet()).await;
    let url = place.sandbox.url();
    for (headers, status) in [
        (vec![("Origin", "http://evil.example")], 403),
        (vec![("Host", "rebound.example")], 403),
        (vec![("Origin", url.as_str())], 200),
        (vec![], 200),
    ] {
        let answer = place.call("GET", "/sandbox/state", &headers, Value::Null).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    let page = place.call("GET", "/", &[], Value::Null).await;
    assert!(page.body.as_str().is_some_and(|html| html.contains("not Discord")), "the page says what it is");
    assert!(page.headers.contains_key("content-security-policy"));
    place.close().await;
}

#[actix_web::test]
async fn it_binds_loopback_unless_told_otherwise_and_names_a_taken_port() {
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let refused = guildstream_sandbox::start(SandboxConfig { bind: everywhere, ..quiet() }).await;
    assert!(matches!(refused, Err(SandboxError::NotLoopback(address)) if address == everywhere));
    let place = Place::open(quiet()).await;
    let port = place.sandbox.addr().port();
    let taken = guildstream_sandbox::start(SandboxConfig { port, ..quiet() }).await;
    assert!(taken.is_err_and(|error| error.to_string().contains(&port.to_string())));
    let finished = place.sandbox.finished();
    place.close().await;
    finished.await;
}
