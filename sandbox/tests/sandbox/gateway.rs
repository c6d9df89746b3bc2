//! Gateway v10, by hand.

use std::time::{Duration, Instant};

use guildstream_sandbox::SandboxConfig;
use serde_json::{Value, json};

use crate::harness::{ADA, ALL_INTENTS, GENERAL, GUILD, Heard, INTENTS, LOUNGE, Place, WORKSHOP, quiet};

#[actix_web::test]
async fn a_connection_is_greeted_on_any_path_and_closed_for_another_version() {
    let place = Place::open(quiet()).await;
    for path in ["?v=10&encoding=json", "", "/?v=10", "gateway?encoding=json&v=10", "any/path"] {
        let hello = place.socket(path).await.op(10).await;
        assert_eq!(hello["d"]["heartbeat_interval"], 41_250, "{path}");
    }
    for (query, code) in [("?v=9", 4012), ("?v=11", 4012), ("?v=10&encoding=etf", 4002)] {
        assert_eq!(place.socket(query).await.close_code().await, Some(code), "{query}");
    }
    place.close().await;
}

#[actix_web::test]
async fn bad_input_is_closed_with_the_code_that_names_it() {
    let place = Place::open(quiet()).await;
    let (fresh, identified) = (false, true);
    let long = format!(r#"{{"op":1,"d":"{}"}}"#, "x".repeat(5000));
    let huge = "x".repeat(5_000_000);
    for (text, begun, code) in [
        ("{no json", fresh, 4002),
        (long.as_str(), fresh, 4002),
        (huge.as_str(), identified, 4002),
        (r#"{"op":99}"#, fresh, 4001),
        (r#"{"op":3,"d":{}}"#, fresh, 4003),
        (r#"{"op":2,"d":{"token":"no","intents":0,"properties":{}}}"#, fresh, 4004),
        (r#"{"op":2,"d":{}}"#, identified, 4005),
        (r#"{"op":99}"#, identified, 4001),
    ] {
        let mut socket =
            if begun { place.ready(INTENTS).await.0 } else { place.socket("?v=10&encoding=json").await };
        socket.text(text.to_owned()).await;
        assert_eq!(socket.close_code().await, Some(code), "{}", &text[..text.len().min(60)]);
    }
    // A resume from a number that was never sent.
    let (_, ready) = place.ready(INTENTS).await;
    let mut socket = place.socket("?v=10").await;
    socket.resume(&ready["session_id"], 999).await;
    assert_eq!(socket.close_code().await, Some(4007));
    place.close().await;
}

#[actix_web::test]
async fn a_client_that_goes_on_talking_hears_the_code_it_is_closed_with() {
    let place = Place::open(quiet()).await;
    for _ in 0..20 {
        let mut socket = place.socket("?v=10").await;
        for _ in 0..50 {
            socket.send(json!({ "op": 3, "d": {} })).await;
        }
        assert_eq!(socket.close_code().await, Some(4003));
    }
    place.close().await;
}

#[actix_web::test]
async fn more_than_120_payloads_a_minute_are_closed_with_4008() {
    let place = Place::open(quiet()).await;
    let mut socket = place.socket("?v=10").await;
    for _ in 0..121 {
        socket.send(json!({ "op": 1, "d": null })).await;
    }
    assert_eq!(socket.close_code().await, Some(4008));
    place.close().await;
}

#[actix_web::test]
async fn heartbeats_are_acknowledged_also_before_identify_and_in_binary_frames() {
    let place = Place::open(quiet()).await;
    let mut socket = place.socket("?v=10").await;
    socket.send(json!({ "op": 1, "d": null })).await;
    socket.op(11).await;
    socket.binary(br#"{"op":1,"d":3}"#.to_vec()).await;
    socket.op(11).await;
    assert_eq!(place.state()["heartbeats"], 2);
    place.close().await;
}

#[actix_web::test]
async fn an_acknowledgement_takes_as_long_as_over_a_network() {
    let place = Place::open(quiet()).await;
    let mut socket = place.socket("?v=10").await;
    socket.op(10).await;
    let sent = Instant::now();
    socket.send(json!({ "op": 1, "d": null })).await;
    socket.op(11).await;
    assert!(sent.elapsed() >= Duration::from_millis(50), "after {:?}", sent.elapsed());
    place.close().await;
}

#[actix_web::test]
async fn a_client_that_reads_slowly_and_keeps_its_heartbeats_stays_connected() {
    let heartbeat_interval = Duration::from_millis(400);
    let place = Place::open(SandboxConfig { heartbeat_interval, ..quiet() }).await;
    let (mut socket, _) = place.ready(1).await;
    // More than the sockets and queues between the two take in, so that the sandbox has to wait for its reader.
    let filler = "x".repeat(256 * 1024);
    for at in 0..200 {
        place.sandbox.dispatch(&format!("{{\"t\":\"N\",\"d\":[{at},\"{filler}\"]}}")).expect("dispatched");
    }
    let mut beats = tokio::time::interval(heartbeat_interval / 4);
    for _ in 0..12 {
        beats.tick().await;
        socket.send(json!({ "op": 1, "d": null })).await;
    }
    for at in 0..200 {
        assert_eq!(socket.event("N").await[0], at);
        // Reading takes its time too.
        if at % 3 == 0 {
            socket.send(json!({ "op": 1, "d": null })).await;
        }
    }
    place.close().await;
}

#[actix_web::test]
async fn a_client_without_heartbeats_is_closed() {
    let heartbeat_interval = Duration::from_millis(60);
    let place = Place::open(SandboxConfig { heartbeat_interval, ..quiet() }).await;
    let (mut socket, _) = place.ready(INTENTS).await;
    assert_eq!(socket.close_code().await, Some(4009));
    assert_eq!(place.state()["sessions"], json!([]));
    place.close().await;
}

#[actix_web::test]
async fn ready_and_guild_create_come_in_order_and_numbered_from_one() {
    let place = Place::open(quiet()).await;
    let mut socket = place.socket("?v=10").await;
    socket.op(10).await;
    socket.identify(json!({ "intents": ALL_INTENTS })).await;
    let ready = socket.payload().await;
    assert_eq!((&ready["t"], &ready["s"]), (&json!("READY"), &json!(1)));
    assert_eq!(ready["d"]["guilds"], json!([{ "id": GUILD, "unavailable": true }]));
    assert_eq!(ready["d"]["application"]["id"], "1000000000000000001");
    assert!(ready["d"].get("shard").is_none(), "no shard was sent");
    let guild = socket.payload().await;
    assert_eq!((&guild["t"], &guild["s"]), (&json!("GUILD_CREATE"), &json!(2)));
    let d = &guild["d"];
    assert_eq!((&d["id"], &d["unavailable"], &d["large"]), (&json!(GUILD), &json!(false), &json!(false)));
    assert_eq!(d["member_count"], 25);
    assert_eq!(d["members"].as_array().map(Vec::len), Some(25));
    place.close().await;
}

#[actix_web::test]
async fn without_presences_only_the_bot_and_who_sits_in_voice_come_along() {
    let place = Place::open(quiet()).await;
    let mut socket = place.socket("?v=10").await;
    socket.identify(json!({ "intents": INTENTS })).await;
    let guild = socket.event("GUILD_CREATE").await;
    let seated = guild["voice_states"].as_array().map(Vec::len);
    assert_eq!(seated, Some(5));
    assert_eq!(guild["members"].as_array().map(Vec::len), Some(6));
    assert_eq!(guild["presences"], json!([]));
    place.close().await;
}

#[actix_web::test]
async fn an_event_is_sent_only_to_whom_asked_for_it() {
    let place = Place::open(SandboxConfig { rate_limits: false, ..quiet() }).await;
    for (intents, heard) in [
        (1, vec![]),
        (1 | 1 << 9, vec!["MESSAGE_CREATE"]),
        (1 << 9, vec!["MESSAGE_CREATE"]),
        (1 | 1 << 10, vec!["MESSAGE_REACTION_ADD"]),
        (1 | 1 << 7, vec!["VOICE_STATE_UPDATE", "VOICE_STATE_UPDATE"]),
        (1 | 1 << 11, vec!["TYPING_START"]),
    ] {
        let (mut socket, _) = place.ready(intents).await;
        let messages = format!("/channels/{GENERAL}/messages");
        let message = place.bot("POST", &messages, json!({ "content": "hi" })).await;
        let id = message.body["id"].as_str().expect("an id");
        place.bot("PUT", &format!("{messages}/{id}/reactions/%F0%9F%91%8D/@me"), Value::Null).await;
        place.bot("POST", &format!("/channels/{GENERAL}/typing"), Value::Null).await;
        place.sandbox.move_member(ADA, Some(LOUNGE)).expect("moved");
        place.sandbox.move_member(ADA, None).expect("moved");
        assert_eq!(socket.events_until_mark(&place).await, heard, "{intents:b}");
    }
    place.close().await;
}

#[actix_web::test]
async fn content_is_hidden_without_its_intent_unless_it_is_the_bots_own_or_names_the_bot() {
    let place = Place::open(quiet()).await;
    let (mut blind, _) = place.ready(1 | 1 << 9).await;
    let (mut seeing, _) = place.ready(1 | 1 << 9 | 1 << 15).await;
    let write = async |content: &str| {
        let body = json!({ "channelId": GENERAL, "content": content });
        place.call("POST", &format!("/sandbox/members/{ADA}/message"), &[], body).await;
    };
    write("a secret").await;
    assert_eq!(blind.event("MESSAGE_CREATE").await["content"], "");
    assert_eq!(seeing.event("MESSAGE_CREATE").await["content"], "a secret");
    place.bot("POST", &format!("/channels/{GENERAL}/messages"), json!({ "content": "my own" })).await;
    assert_eq!(blind.event("MESSAGE_CREATE").await["content"], "my own");
    write("hey <@1000000000000000001>").await;
    assert_eq!(blind.event("MESSAGE_CREATE").await["content"], "hey <@1000000000000000001>");
    place.close().await;
}

#[actix_web::test]
async fn privileged_intents_must_be_switched_on() {
    let place = Place::open(quiet()).await;
    let switch = async |names: Value| {
        place.call("POST", "/sandbox/application", &[], json!({ "privilegedIntents": names })).await
    };
    switch(json!(["GUILD_MEMBERS"])).await;
    for (intents, code) in [(1 << 1, None), (1 << 8, Some(4014)), (1 << 15, Some(4014))] {
        let mut socket = place.socket("?v=10").await;
        socket.op(10).await;
        socket.identify(json!({ "intents": intents })).await;
        match code {
            Some(code) => assert_eq!(socket.close_code().await, Some(code)),
            None => assert_eq!(socket.payload().await["t"], "READY"),
        }
    }
    assert_eq!(switch(json!(["GUILDS"])).await.status, 400);
    place.close().await;
}

#[actix_web::test]
async fn a_guild_is_served_by_the_shard_its_id_falls_to() {
    let place = Place::open(quiet()).await;
    let guild: u64 = GUILD.parse().expect("digits");
    for shards in [1_u64, 2, 3, 7] {
        for shard in 0..shards {
            let mut socket = place.socket("?v=10").await;
            socket.identify(json!({ "intents": INTENTS, "shard": [shard, shards] })).await;
            let ready = socket.event("READY").await;
            assert_eq!(ready["shard"], json!([shard, shards]));
            let here = (guild >> 22) % shards == shard;
            assert_eq!(ready["guilds"].as_array().map(Vec::len), Some(usize::from(here)));
        }
    }
    let mut socket = place.socket("?v=10").await;
    socket.identify(json!({ "intents": 1, "shard": [2, 2] })).await;
    assert_eq!(socket.close_code().await, Some(4010));
    place.call("POST", "/sandbox/application", &[], json!({ "shards": 2 })).await;
    let mut socket = place.socket("?v=10").await;
    socket.identify(json!({ "intents": 1 })).await;
    assert_eq!(socket.close_code().await, Some(4011));
    place.close().await;
}

#[actix_web::test]
async fn a_second_identify_within_the_interval_is_an_invalid_session() {
    let identify_interval = Duration::from_secs(5);
    let place = Place::open(SandboxConfig { identify_interval, ..quiet() }).await;
    let (_kept, _) = place.ready(INTENTS).await;
    let mut socket = place.socket("?v=10").await;
    socket.identify(json!({ "intents": INTENTS })).await;
    assert_eq!(socket.op(9).await["d"], false);
    assert_eq!(place.state()["identifies"], 1);
    place.close().await;
}

#[actix_web::test]
async fn a_session_resumes_with_everything_it_missed_and_then_resumed() {
    let place = Place::open(quiet()).await;
    // The codes that libraries close with when they mean to come back; none is a broken line.
    for ending in [Some(4000), Some(4200), None] {
        let (mut socket, ready) = place.ready(INTENTS).await;
        match ending {
            Some(code) => socket.close(code).await,
            None => drop(socket),
        }
        for at in 0..3 {
            place.sandbox.dispatch(&format!("{{\"t\":\"MISSED\",\"d\":{at}}}")).expect("dispatched");
        }
        let mut socket = place.socket("?v=10").await;
        socket.op(10).await;
        socket.resume(&ready["session_id"], 2).await;
        for at in 0..3 {
            let payload = socket.payload().await;
            assert_eq!(
                (&payload["t"], &payload["d"], &payload["s"]),
                (&json!("MISSED"), &json!(at), &json!(at + 3))
            );
        }
        let payload = socket.payload().await;
        assert_eq!((&payload["t"], &payload["s"]), (&json!("RESUMED"), &json!(6)), "{ending:?}");
        socket.close(1000).await;
        socket.close_code().await;
    }
    assert_eq!(place.state()["resumes"], 3);
    place.close().await;
}

#[actix_web::test]
async fn a_connection_whose_session_was_taken_away_may_begin_another_from_one() {
    let place = Place::open(quiet()).await;
    for resumable in [true, false] {
        let (mut socket, _) = place.ready(INTENTS).await;
        for _ in 0..10 {
            place.sandbox.dispatch(r#"{"t":"N","d":null}"#).expect("dispatched");
            socket.event("N").await;
        }
        place.fault(json!({ "kind": "invalid_session", "resumable": resumable })).await;
        assert_eq!(socket.op(9).await["d"], resumable);
        socket.identify(json!({ "intents": INTENTS })).await;
        let ready = socket.payload().await;
        assert_eq!((&ready["t"], &ready["s"]), (&json!("READY"), &json!(1)), "{ready}");
    }
    place.close().await;
}

#[actix_web::test]
async fn a_session_that_its_client_ended_or_nobody_knows_cannot_be_resumed() {
    let place = Place::open(quiet()).await;
    for code in [1000, 1001] {
        let (mut socket, ready) = place.ready(INTENTS).await;
        socket.close(code).await;
        socket.close_code().await;
        let mut socket = place.socket("?v=10").await;
        socket.resume(&ready["session_id"], 2).await;
        assert_eq!(socket.op(9).await["d"], false, "{code}");
        // The same connection may begin anew.
        socket.identify(json!({ "intents": INTENTS })).await;
        socket.event("READY").await;
    }
    let mut socket = place.socket("?v=10").await;
    socket.resume(&json!("nobody"), 0).await;
    assert_eq!(socket.op(9).await["d"], false);
    place.close().await;
}

#[actix_web::test]
async fn every_compression_says_the_same() {
    let place = Place::open(quiet()).await;
    for (query, compress) in [
        ("?v=10&compress=zlib-stream", false),
        ("?v=10&compress=zlib-stream", true),
        ("?v=10", true),
        ("?v=10&compress=zstd-stream", false),
    ] {
        let mut socket = place.socket(query).await;
        socket.op(10).await;
        socket.identify(json!({ "intents": ALL_INTENTS, "compress": compress })).await;
        assert_eq!(socket.event("GUILD_CREATE").await["id"], GUILD, "{query} {compress}");
        for at in 0..50 {
            place.sandbox.dispatch(&format!("{{\"t\":\"N\",\"d\":{{ \"at\":{at}}}}}")).expect("dispatched");
        }
        for at in 0..50 {
            match socket.hear().await {
                Heard::Text(text) => assert!(text.ends_with(&format!("\"d\":{{ \"at\":{at}}}}}")), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }
    place.close().await;
}

#[actix_web::test]
async fn members_come_in_chunks_when_they_are_asked_for() {
    let place = Place::open(SandboxConfig { members: 2500, ..quiet() }).await;
    let (mut socket, _) = place.ready(ALL_INTENTS).await;
    let mut ask = async |d: Value| {
        socket.send(json!({ "op": 8, "d": d })).await;
        let mut chunks = vec![socket.event("GUILD_MEMBERS_CHUNK").await];
        while chunks.len() < chunks[0]["chunk_count"].as_u64().expect("a count") as usize {
            chunks.push(socket.event("GUILD_MEMBERS_CHUNK").await);
        }
        chunks
    };
    let members = |chunk: &Value| chunk["members"].as_array().map_or(0, Vec::len);

    let all =
        ask(json!({ "guild_id": GUILD, "query": "", "limit": 0, "nonce": "n-1", "presences": true })).await;
    assert_eq!(all.iter().map(members).collect::<Vec<_>>(), [1000, 1000, 501]);
    assert!(all.iter().enumerate().all(|(at, chunk)| chunk["chunk_index"] == at && chunk["nonce"] == "n-1"));
    assert!(all[0]["presences"].as_array().is_some_and(|presences| !presences.is_empty()));

    let found = ask(json!({ "guild_id": GUILD, "user_ids": [ADA, "7", "x"] })).await;
    assert_eq!((members(&found[0]), &found[0]["not_found"]), (1, &json!(["7", "x"])));
    let named = ask(json!({ "guild_id": GUILD, "query": "GRA", "limit": 5 })).await;
    assert_eq!(named[0]["members"][0]["user"]["username"], "grace");
    let nobody = ask(json!({ "guild_id": GUILD, "query": "zzzz", "limit": 5 })).await;
    assert_eq!(members(&nobody[0]), 0);
    place.close().await;
}

#[actix_web::test]
async fn the_bot_joins_voice_and_shows_its_presence() {
    let place = Place::open(quiet()).await;
    let (mut socket, _) = place.ready(ALL_INTENTS).await;
    let join = |channel: Value| json!({ "op": 4, "d": { "guild_id": GUILD, "channel_id": channel, "self_mute": true, "self_deaf": false } });
    socket.send(join(json!(WORKSHOP))).await;
    let joined = socket.payload().await;
    assert_eq!(joined["t"], "VOICE_STATE_UPDATE");
    assert_eq!((&joined["d"]["channel_id"], &joined["d"]["self_mute"]), (&json!(WORKSHOP), &json!(true)));
    // One event tells of both, and the voice server is next.
    let mut server = socket.payload().await;
    assert_eq!(server["t"], "VOICE_SERVER_UPDATE");
    let server = server["d"].take();
    assert!(server["token"].is_string() && server["guild_id"] == GUILD);
    socket.send(join(Value::Null)).await;
    assert_eq!(socket.event("VOICE_STATE_UPDATE").await["channel_id"], Value::Null);
    socket
        .send(json!({ "op": 3, "d": { "status": "dnd", "since": null, "activities": [], "afk": false } }))
        .await;
    assert_eq!(socket.event("PRESENCE_UPDATE").await["status"], "dnd");
    place.close().await;
}
