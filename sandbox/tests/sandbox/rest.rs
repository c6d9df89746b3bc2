//! REST v10, by hand: validation, permissions, limits, and the dispatches that follow.

use actix_web::http::header::HeaderValue;
use guildstream_sandbox::SandboxConfig;
use serde_json::{Value, json};

use crate::harness::{
    ADA, ALL_INTENTS, GENERAL, GRACE, GUILD, LINUS, LOUNGE, MALLORY, Place, WORKSHOP, quiet,
};

const STAFF: &str = "910000000000000103";
const ANNOUNCEMENTS: &str = "910000000000000104";
const VAULT: &str = "910000000000000105";
const ROOMS: &str = "910000000000000501";
const THREAD: &str = "910000000000000401";
const STAFF_ROLE: &str = "940000000000000001";
const BOT_ROLE: &str = "940000000000000009";

/// Nothing is limited, so that tables can be long.
async fn free() -> Place {
    Place::open(SandboxConfig { rate_limits: false, ..quiet() }).await
}

fn messages(channel: &str) -> String {
    format!("/channels/{channel}/messages")
}

async fn write(place: &Place, body: Value) -> String {
    place.bot("POST", &messages(GENERAL), body).await.body["id"].as_str().expect("an id").to_owned()
}

/// A message by a person.
async fn write_as(place: &Place, user: &str, content: &str) -> String {
    let body = json!({ "channelId": GENERAL, "content": content });
    let answer = place.call("POST", &format!("/sandbox/members/{user}/message"), &[], body).await;
    answer.body["id"].as_str().expect("an id").to_owned()
}

#[actix_web::test]
async fn json_has_no_charset_and_every_answer_has_its_limits() {
    let place = Place::open(quiet()).await;
    for path in ["/gateway", "/gateway/bot", "/users/@me", "/nowhere"] {
        let answer = place.bot("GET", path, Value::Null).await;
        assert_eq!(
            answer.headers.get("content-type").map(HeaderValue::as_bytes),
            Some(&b"application/json"[..])
        );
        for name in ["limit", "remaining", "reset", "reset-after", "bucket"] {
            assert!(answer.headers.contains_key(format!("x-ratelimit-{name}")), "{path} {name}");
        }
    }
    place.close().await;
}

#[actix_web::test]
async fn what_cannot_be_done_is_refused_with_discords_status_and_code() {
    let place = free().await;
    let own = write(&place, json!({ "content": "mine" })).await;
    let theirs = write_as(&place, ADA, "not yours").await;
    let hi = json!({ "content": "hi" });
    for (method, path, body, expected) in [
        ("GET", "/nowhere".to_owned(), Value::Null, (404, 0)),
        ("PUT", "/users/@me".to_owned(), Value::Null, (405, 0)),
        ("GET", "/channels/x".to_owned(), Value::Null, (400, 50035)),
        ("GET", "/channels/1".to_owned(), Value::Null, (404, 10003)),
        ("GET", format!("/channels/{VAULT}"), Value::Null, (403, 50001)),
        ("GET", "/guilds/1".to_owned(), Value::Null, (404, 10004)),
        ("GET", "/users/1".to_owned(), Value::Null, (404, 10013)),
        ("GET", format!("/guilds/{GUILD}/members/{MALLORY}"), Value::Null, (404, 10007)),
        ("GET", format!("/guilds/{GUILD}/members/1"), Value::Null, (404, 10013)),
        ("POST", messages("1"), hi.clone(), (404, 10003)),
        ("POST", messages(VAULT), hi.clone(), (403, 50001)),
        ("POST", messages(ANNOUNCEMENTS), hi.clone(), (403, 50013)),
        ("POST", messages(ROOMS), hi.clone(), (400, 50024)),
        ("POST", messages(GENERAL), json!({}), (400, 50006)),
        ("POST", messages(GENERAL), json!({ "content": "   " }), (400, 50006)),
        ("POST", messages(GENERAL), json!({ "content": "x".repeat(2001) }), (400, 50035)),
        ("POST", messages(GENERAL), json!({ "content": 5 }), (400, 50035)),
        ("POST", messages(GENERAL), json!([]), (400, 50035)),
        (
            "POST",
            messages(GENERAL),
            json!({ "content": "x", "message_reference": { "message_id": "1" } }),
            (400, 50035),
        ),
        ("POST", messages(GENERAL), json!({ "content": "x", "nonce": "n".repeat(26) }), (400, 50035)),
        ("POST", messages(GENERAL), json!({ "content": "x", "tts": true }), (403, 50013)),
        ("GET", format!("{}/1", messages(GENERAL)), Value::Null, (404, 10008)),
        ("GET", format!("{}?limit=101", messages(GENERAL)), Value::Null, (400, 50035)),
        ("PATCH", format!("{}/{theirs}", messages(GENERAL)), hi.clone(), (403, 50005)),
        ("PATCH", format!("{}/{own}", messages(GENERAL)), json!({ "content": "" }), (400, 50006)),
        ("DELETE", format!("{}/1", messages(GENERAL)), Value::Null, (404, 10008)),
        ("PUT", format!("{}/{own}/reactions/nonsense/@me", messages(GENERAL)), Value::Null, (400, 10014)),
        ("PUT", format!("{}/1/reactions/%F0%9F%91%8D/@me", messages(GENERAL)), Value::Null, (404, 10008)),
        ("POST", format!("{}/bulk-delete", messages(GENERAL)), json!({ "messages": [own] }), (400, 50035)),
        (
            "POST",
            format!("{}/bulk-delete", messages(GENERAL)),
            json!({ "messages": ["1", "2"] }),
            (400, 50034),
        ),
        ("POST", format!("/guilds/{GUILD}/channels"), json!({}), (400, 50035)),
        ("POST", format!("/guilds/{GUILD}/channels"), json!({ "name": "x", "type": 99 }), (400, 50035)),
        (
            "POST",
            format!("/guilds/{GUILD}/channels"),
            json!({ "name": "x", "parent_id": GENERAL }),
            (400, 50035),
        ),
        (
            "POST",
            format!("/guilds/{GUILD}/channels"),
            json!({ "name": "x", "type": 2, "user_limit": 100 }),
            (400, 50035),
        ),
        ("PATCH", format!("/guilds/{GUILD}/members/{GRACE}"), json!({ "channel_id": LOUNGE }), (400, 40032)),
        ("PATCH", format!("/guilds/{GUILD}/members/{ADA}"), json!({ "nick": "boss" }), (403, 50013)),
        ("PATCH", format!("/guilds/{GUILD}/members/{LINUS}"), json!({ "roles": [BOT_ROLE] }), (403, 50013)),
        ("PATCH", format!("/guilds/{GUILD}/members/{LINUS}"), json!({ "roles": ["1"] }), (404, 10011)),
        (
            "PATCH",
            format!("/guilds/{GUILD}/members/{LINUS}"),
            json!({ "communication_disabled_until": "soon" }),
            (400, 50035),
        ),
        ("DELETE", format!("/guilds/{GUILD}/members/{ADA}"), Value::Null, (403, 50013)),
        ("PUT", format!("/guilds/{GUILD}/members/{LINUS}/roles/{GUILD}"), Value::Null, (400, 50028)),
        ("PATCH", format!("/guilds/{GUILD}/roles/{BOT_ROLE}"), json!({ "name": "x" }), (403, 50013)),
        ("POST", format!("/guilds/{GUILD}/roles"), json!({ "permissions": "8" }), (403, 50013)),
        ("DELETE", format!("/guilds/{GUILD}/bans/{LINUS}"), Value::Null, (404, 10026)),
        ("DELETE", format!("/channels/{GENERAL}/permissions/1"), Value::Null, (404, 10009)),
        (
            "PUT",
            format!("/channels/{GENERAL}/permissions/1"),
            json!({ "type": 0, "allow": "8" }),
            (403, 50013),
        ),
        ("POST", format!("/channels/{LOUNGE}/threads"), json!({ "name": "x" }), (400, 50024)),
        ("GET", format!("/guilds/{GUILD}/voice-states/{GRACE}"), Value::Null, (404, 10065)),
        ("GET", "/applications/1/commands".to_owned(), Value::Null, (404, 10002)),
    ] {
        let answer = place.bot(method, &path, body.clone()).await;
        assert_eq!(answer.code(), expected, "{method} {path} {body}: {:?}", answer.body);
    }
    place.close().await;
}

#[actix_web::test]
async fn broken_and_oversized_bodies_and_missing_tokens_get_discords_answers() {
    let place = free().await;
    let path = format!("/api/v10{}", messages(GENERAL));
    let bot = format!("Bot {}", guildstream_sandbox::BOT_TOKEN);
    let send =
        async |headers: &[(&str, &str)], body: String| place.send("POST", &path, headers, body).await.code();
    let authorized = [("Authorization", bot.as_str())];
    assert_eq!(send(&authorized, "{broken".to_owned()).await, (400, 50109));
    assert_eq!(
        send(&authorized, format!("{{\"content\":\"{}\"}}", "x".repeat(5_000_000))).await,
        (413, 40005)
    );
    let upload = [("Authorization", bot.as_str()), ("Content-Type", "multipart/form-data; boundary=x")];
    assert_eq!(send(&upload, "--x--".to_owned()).await.0, 415);
    for token in ["Bot nonsense", "Bearer nonsense", "nonsense", "Basic x", ""] {
        assert_eq!(send(&[("Authorization", token)], "{}".to_owned()).await, (401, 0), "{token}");
    }
    place.close().await;
}

#[actix_web::test]
async fn everything_wrong_with_a_form_is_told_at_its_place() {
    let place = free().await;
    let body = json!({
        "content": "x".repeat(2001),
        "embeds": [{ "title": "y".repeat(257) }, { "fields": [{ "name": "n" }] }],
        "allowed_mentions": { "parse": ["users"], "users": [ADA] },
    });
    let answer = place.bot("POST", &messages(GENERAL), body).await;
    assert_eq!(answer.body["message"], "Invalid Form Body");
    for (pointer, code) in [
        ("/errors/content/_errors/0/code", "BASE_TYPE_MAX_LENGTH"),
        ("/errors/embeds/0/title/_errors/0/code", "BASE_TYPE_MAX_LENGTH"),
        ("/errors/embeds/1/fields/0/value/_errors/0/code", "BASE_TYPE_REQUIRED"),
        ("/errors/allowed_mentions/parse/_errors/0/code", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"),
    ] {
        assert_eq!(answer.body.pointer(pointer), Some(&json!(code)), "{pointer}: {}", answer.body);
    }
    let many =
        json!({ "embeds": [{ "description": "x".repeat(4000) }, { "description": "x".repeat(4000) }] });
    let answer = place.bot("POST", &messages(GENERAL), many).await;
    assert_eq!(answer.body["errors"]["embeds"]["_errors"][0]["code"], "MAX_EMBED_SIZE_EXCEEDED");
    place.close().await;
}

#[actix_web::test]
async fn a_change_over_rest_comes_back_as_the_dispatches_discord_sends() {
    let place = free().await;
    let (mut socket, _) = place.ready(ALL_INTENTS).await;
    let id = write(&place, json!({ "content": "first" })).await;
    let message = format!("{}/{id}", messages(GENERAL));
    let second = write(&place, json!({ "content": "second" })).await;
    let room = place
        .bot(
            "POST",
            &format!("/guilds/{GUILD}/channels"),
            json!({ "name": "Room", "type": 2, "parent_id": ROOMS, "user_limit": 3 }),
        )
        .await;
    assert_eq!((room.status.as_u16(), &room.body["user_limit"]), (201, &json!(3)));
    let room = format!("/channels/{}", room.body["id"].as_str().expect("an id"));
    place.sandbox.move_member(GRACE, Some(LOUNGE)).expect("moved");
    let member = format!("/guilds/{GUILD}/members/{GRACE}");
    let role = place.bot("POST", &format!("/guilds/{GUILD}/roles"), json!({ "name": "new" })).await.body;
    let role = role["id"].as_str().expect("an id");
    socket.events_until_mark(&place).await;
    const AUDIT: &str = "GUILD_AUDIT_LOG_ENTRY_CREATE";
    let table: Vec<(&str, String, Value, u16, Vec<&str>)> = vec![
        ("POST", messages(GENERAL), json!({ "content": "x" }), 200, vec!["MESSAGE_CREATE"]),
        ("PATCH", message.clone(), json!({ "content": "y" }), 200, vec!["MESSAGE_UPDATE"]),
        (
            "PUT",
            format!("{message}/reactions/%F0%9F%91%8D/@me"),
            Value::Null,
            204,
            vec!["MESSAGE_REACTION_ADD"],
        ),
        ("PUT", format!("{message}/reactions/%F0%9F%91%8D/@me"), Value::Null, 204, vec![]),
        (
            "DELETE",
            format!("{message}/reactions/%F0%9F%91%8D/@me"),
            Value::Null,
            204,
            vec!["MESSAGE_REACTION_REMOVE"],
        ),
        (
            "PUT",
            format!("{message}/reactions/party:950000000000000001/@me"),
            Value::Null,
            204,
            vec!["MESSAGE_REACTION_ADD"],
        ),
        (
            "DELETE",
            format!("{message}/reactions/party:950000000000000001"),
            Value::Null,
            204,
            vec!["MESSAGE_REACTION_REMOVE_EMOJI"],
        ),
        ("DELETE", format!("{message}/reactions"), Value::Null, 204, vec!["MESSAGE_REACTION_REMOVE_ALL"]),
        (
            "PUT",
            format!("/channels/{GENERAL}/pins/{id}"),
            Value::Null,
            204,
            vec!["MESSAGE_UPDATE", "CHANNEL_PINS_UPDATE"],
        ),
        ("PUT", format!("/channels/{GENERAL}/pins/{id}"), Value::Null, 204, vec![]),
        ("POST", format!("{message}/threads"), json!({ "name": "t" }), 201, vec!["THREAD_CREATE", AUDIT]),
        ("POST", format!("{message}/threads"), json!({ "name": "t" }), 400, vec![]),
        (
            "PUT",
            format!("/channels/{id}/thread-members/{LINUS}"),
            Value::Null,
            204,
            vec!["THREAD_MEMBERS_UPDATE"],
        ),
        ("PATCH", format!("/channels/{id}"), json!({ "archived": true }), 200, vec!["THREAD_UPDATE"]),
        ("DELETE", format!("/channels/{id}"), Value::Null, 200, vec!["THREAD_DELETE", AUDIT]),
        (
            "POST",
            format!("{}/bulk-delete", messages(GENERAL)),
            json!({ "messages": [id, second] }),
            204,
            vec!["MESSAGE_DELETE_BULK"],
        ),
        ("POST", format!("/channels/{GENERAL}/typing"), Value::Null, 204, vec!["TYPING_START"]),
        ("PATCH", member.clone(), json!({ "channel_id": WORKSHOP }), 200, vec!["VOICE_STATE_UPDATE"]),
        (
            "PATCH",
            member.clone(),
            json!({ "mute": true }),
            200,
            vec!["GUILD_MEMBER_UPDATE", "VOICE_STATE_UPDATE", AUDIT],
        ),
        ("PATCH", member.clone(), json!({ "nick": "G" }), 200, vec!["GUILD_MEMBER_UPDATE", AUDIT]),
        (
            "PATCH",
            member.clone(),
            json!({ "channel_id": room.rsplit('/').next() }),
            200,
            vec!["VOICE_STATE_UPDATE"],
        ),
        ("PATCH", room.clone(), json!({ "name": "Hall" }), 200, vec!["CHANNEL_UPDATE", AUDIT]),
        (
            "PUT",
            format!("{room}/permissions/{STAFF_ROLE}"),
            json!({ "type": 0, "allow": "1024" }),
            204,
            vec!["CHANNEL_UPDATE", AUDIT],
        ),
        (
            "DELETE",
            format!("{room}/permissions/{STAFF_ROLE}"),
            Value::Null,
            204,
            vec!["CHANNEL_UPDATE", AUDIT],
        ),
        ("DELETE", room.clone(), Value::Null, 200, vec!["VOICE_STATE_UPDATE", "CHANNEL_DELETE", AUDIT]),
        ("PUT", format!("{member}/roles/{role}"), Value::Null, 204, vec!["GUILD_MEMBER_UPDATE", AUDIT]),
        ("PUT", format!("{member}/roles/{role}"), Value::Null, 204, vec![]),
        (
            "PATCH",
            format!("/guilds/{GUILD}/roles/{role}"),
            json!({ "name": "other" }),
            200,
            vec!["GUILD_ROLE_UPDATE", AUDIT],
        ),
        (
            "DELETE",
            format!("/guilds/{GUILD}/roles/{role}"),
            Value::Null,
            204,
            vec!["GUILD_ROLE_DELETE", AUDIT],
        ),
        ("PATCH", format!("/guilds/{GUILD}"), json!({ "name": "Renamed" }), 200, vec!["GUILD_UPDATE", AUDIT]),
        ("DELETE", member, Value::Null, 204, vec!["GUILD_MEMBER_REMOVE", AUDIT]),
        (
            "PUT",
            format!("/guilds/{GUILD}/bans/{LINUS}"),
            json!({}),
            204,
            vec!["GUILD_BAN_ADD", "GUILD_MEMBER_REMOVE", AUDIT],
        ),
        (
            "DELETE",
            format!("/guilds/{GUILD}/bans/{LINUS}"),
            Value::Null,
            204,
            vec!["GUILD_BAN_REMOVE", AUDIT],
        ),
    ];
    for (method, path, body, status, events) in table {
        let answer = place.bot(method, &path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(socket.events_until_mark(&place).await, events, "{method} {path}");
    }
    place.close().await;
}

#[actix_web::test]
async fn what_the_bot_cannot_see_it_is_not_told() {
    let place = free().await;
    let (mut socket, _) = place.ready(ALL_INTENTS).await;
    for (channel, told) in [(VAULT, vec![]), (STAFF, vec!["MESSAGE_CREATE"])] {
        let body = json!({ "channelId": channel, "content": "psst" });
        place.call("POST", &format!("/sandbox/members/{ADA}/message"), &[], body).await;
        assert_eq!(socket.events_until_mark(&place).await, told);
    }
    place.close().await;
}

#[actix_web::test]
async fn a_nonce_that_is_enforced_makes_a_message_once() {
    let place = free().await;
    let send = async |nonce: Value, enforce: bool| {
        write(&place, json!({ "content": "x", "nonce": nonce, "enforce_nonce": enforce })).await
    };
    let first = send(json!("a"), true).await;
    assert_eq!(send(json!("a"), true).await, first);
    assert_ne!(send(json!("a"), false).await, first);
    assert_ne!(send(json!("b"), true).await, first);
    assert_eq!(send(json!(7), true).await, send(json!(7), true).await);
    place.close().await;
}

#[actix_web::test]
async fn mentions_ping_whom_the_sender_allowed() {
    let place = free().await;
    let content = format!("@everyone <@{ADA}> <@!{GRACE}> <@&{STAFF_ROLE}> <@1>");
    for (allowed, users, roles, everyone) in [
        (Value::Null, vec![ADA, GRACE], vec![STAFF_ROLE], true),
        (json!({ "parse": [] }), vec![], vec![], false),
        (json!({ "parse": ["users"] }), vec![ADA, GRACE], vec![], false),
        (json!({ "parse": ["everyone"], "users": [ADA] }), vec![ADA], vec![], true),
        (json!({ "roles": [STAFF_ROLE] }), vec![], vec![STAFF_ROLE], false),
    ] {
        let mut body = json!({ "content": content });
        if !allowed.is_null() {
            body["allowed_mentions"] = allowed.clone();
        }
        let message = place.bot("POST", &messages(GENERAL), body).await.body;
        let pinged: Vec<&str> = message["mentions"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|user| user["id"].as_str())
            .collect();
        assert_eq!(pinged, users, "{allowed}");
        assert_eq!(
            (&message["mention_roles"], &message["mention_everyone"]),
            (&json!(roles), &json!(everyone)),
            "{allowed}"
        );
    }
    place.close().await;
}

#[actix_web::test]
async fn pages_of_messages_are_cut_before_after_and_around() {
    let place = free().await;
    let mut ids = Vec::new();
    for at in 0..6 {
        ids.push(write(&place, json!({ "content": at.to_string() })).await);
    }
    let page = async |query: String| {
        let list = place.bot("GET", &format!("{}?{query}", messages(GENERAL)), Value::Null).await.body;
        let content = |message: &Value| message["content"].as_str().map(str::to_owned);
        list.as_array().expect("a list").iter().filter_map(content).collect::<Vec<_>>()
    };
    assert_eq!(page("limit=3".to_owned()).await, ["5", "4", "3"]);
    assert_eq!(page(format!("limit=2&before={}", ids[3])).await, ["2", "1"]);
    assert_eq!(page(format!("limit=2&after={}", ids[3])).await, ["5", "4"]);
    assert_eq!(page(format!("limit=3&around={}", ids[3])).await, ["4", "3", "2"]);
    place.close().await;
}

#[actix_web::test]
async fn pins_come_in_pages_the_latest_first_and_the_older_route_shows_them_bare() {
    let place = free().await;
    let (mut socket, _) = place.ready(ALL_INTENTS).await;
    let mut ids = Vec::new();
    for content in ["a", "b", "c"] {
        ids.push(write(&place, json!({ "content": content })).await);
    }
    // Pinned in another order than written.
    for at in [1, 2, 0] {
        let pin = format!("{}/pins/{}", messages(GENERAL), ids[at]);
        assert_eq!(place.bot("PUT", &pin, Value::Null).await.status, 204);
        assert!(socket.event("CHANNEL_PINS_UPDATE").await["last_pin_timestamp"].is_string());
    }
    let pins = format!("{}/pins", messages(GENERAL));
    let first = place.bot("GET", &format!("{pins}?limit=2"), Value::Null).await.body;
    let shown = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("a list");
        items.iter().map(|item| item["message"]["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!((shown(&first), &first["has_more"]), (vec![ids[0].clone(), ids[2].clone()], &json!(true)));
    let before = first["items"][1]["pinned_at"].as_str().expect("a time").replace('+', "%2B");
    let rest = place.bot("GET", &format!("{pins}?before={before}"), Value::Null).await.body;
    assert_eq!((shown(&rest), &rest["has_more"]), (vec![ids[1].clone()], &json!(false)));
    let bare = place.bot("GET", &format!("/channels/{GENERAL}/pins"), Value::Null).await.body;
    assert_eq!((&bare[0]["id"], &bare[0]["pinned"]), (&json!(ids[0]), &json!(true)));
    for query in ["limit=0", "limit=51", "before=yesterday"] {
        assert_eq!(place.bot("GET", &format!("{pins}?{query}"), Value::Null).await.code(), (400, 50035));
    }
    let unpin = format!("{pins}/{}", ids[0]);
    assert_eq!(place.bot("DELETE", &unpin, Value::Null).await.status, 204);
    // What is left was pinned before.
    assert_eq!(
        socket.event("CHANNEL_PINS_UPDATE").await["last_pin_timestamp"],
        first["items"][1]["pinned_at"]
    );
    place.close().await;
}

#[actix_web::test]
async fn a_bucket_that_is_empty_answers_429_with_when_to_come_back() {
    let place = Place::open(quiet()).await;
    let send = async || place.bot("POST", &messages(GENERAL), json!({ "content": "x" })).await;
    for left in ["4", "3", "2", "1", "0"] {
        let answer = send().await;
        let remaining = answer.headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok());
        assert_eq!((answer.status.as_u16(), remaining), (200, Some(left)));
    }
    let refused = send().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.headers.get("x-ratelimit-scope").map(HeaderValue::as_bytes), Some(&b"user"[..]));
    let after = refused.body["retry_after"].as_f64().expect("seconds");
    assert!((3.0..=5.0).contains(&after), "{after}");
    // Another channel has a bucket of its own.
    assert_eq!(place.bot("POST", &messages(STAFF), json!({ "content": "x" })).await.status, 200);
    place.close().await;
}

#[actix_web::test]
async fn threads_are_written_to_under_permissions_of_their_own() {
    let place = free().await;
    assert_eq!(place.bot("POST", &messages(THREAD), json!({ "content": "x" })).await.status, 200);
    let everyone = format!("/channels/{GENERAL}/permissions/{GUILD}");
    let threads = (1_u64 << 38).to_string();
    place.bot("PUT", &everyone, json!({ "type": 0, "deny": threads })).await;
    assert_eq!(place.bot("POST", &messages(THREAD), json!({ "content": "x" })).await.code(), (403, 50013));
    assert_eq!(place.bot("POST", &messages(GENERAL), json!({ "content": "x" })).await.status, 200);
    let active = place.bot("GET", &format!("/guilds/{GUILD}/threads/active"), Value::Null).await.body;
    assert_eq!(active["threads"][0]["id"], THREAD);
    place.close().await;
}

#[actix_web::test]
async fn a_member_in_timeout_loses_everything_but_reading() {
    let place = free().await;
    let until = "2999-01-01T00:00:00Z";
    let member = format!("/guilds/{GUILD}/members/{LINUS}");
    let too_long = place.bot("PATCH", &member, json!({ "communication_disabled_until": until })).await;
    assert_eq!(too_long.code(), (400, 50035));
    let bot = format!("/guilds/{GUILD}/members/1000000000000000001");
    assert_eq!(
        place.bot("PATCH", &bot, json!({ "communication_disabled_until": null })).await.code(),
        (403, 50013)
    );
    place.close().await;
}

#[actix_web::test]
async fn commands_are_kept_as_they_are_registered() {
    let place = free().await;
    let all = "/applications/1000000000000000001/commands";
    let here = format!("/applications/1000000000000000001/guilds/{GUILD}/commands");
    let first = place.bot("POST", all, json!({ "name": "ping", "description": "a" })).await;
    assert_eq!(first.status, 201);
    let again = place.bot("POST", all, json!({ "name": "ping", "description": "b" })).await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (200, &first.body["id"]));
    place
        .bot(
            "PUT",
            &here,
            json!([{ "name": "one", "description": "x" }, { "name": "two", "description": "y" }]),
        )
        .await;
    let list =
        async |path: &str| place.bot("GET", path, Value::Null).await.body.as_array().map_or(0, Vec::len);
    assert_eq!((list(all).await, list(&here).await), (1, 2));
    place.bot("PUT", &here, json!([])).await;
    assert_eq!((list(all).await, list(&here).await), (1, 0));
    let path = format!("{all}/{}", first.body["id"].as_str().expect("an id"));
    assert_eq!(place.bot("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(place.bot("GET", &path, Value::Null).await.code(), (404, 10063));
    place.close().await;
}
