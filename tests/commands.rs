//! Commands from a browser to Discord and back: what they do, who may, and what their answers mean.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bridge.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod bridge;

use std::{
    cell::Cell,
    pin::Pin,
    process::Stdio,
    time::{Duration, Instant},
};

use actix_web::rt::time::timeout;
use awc::{
    error::WsProtocolError,
    ws::{Frame, Message},
};
use bridge::{Bridge, Browser, GUILD, PATIENCE, client, until};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use guildstream_sandbox::BOT_TOKEN;
use serde_json::{Value, json};

const ADA: &str = "930000000000000001";
const GRACE: &str = "930000000000000002";
const LINUS: &str = "930000000000000003";
const GENERAL: &str = "910000000000000101";
const OTHER: &str = "910000000000000102";
const STAFF: &str = "910000000000000103";
/// Only staff may write here, and the bot may not.
const ANNOUNCEMENTS: &str = "910000000000000104";
/// The bot cannot see it.
const VAULT: &str = "910000000000000105";
const LOUNGE: &str = "910000000000000201";
const STAFF_ROOM: &str = "910000000000000204";
const THREAD: &str = "910000000000000401";

/// What a command was answered.
struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

impl Answer {
    fn data(&self) -> &Value {
        assert_eq!(self.status, 200, "{}", self.body);
        &self.body["data"]
    }

    fn id(&self) -> String {
        self.data()["id"].as_str().unwrap().to_owned()
    }

    fn code(&self) -> (u16, &str) {
        (self.status, self.body["error"]["code"].as_str().unwrap_or_default())
    }
}

async fn run(browser: &Browser, command: &str, payload: Value) -> Answer {
    ask(browser, &json!({"command": command, "payload": payload})).await
}

async fn ask(browser: &Browser, body: &Value) -> Answer {
    let (status, retry_after, body) = browser.post("/api/commands", body).await;
    Answer { status, retry_after, body }
}

/// A message, under an id.
fn message(id: &str, content: &str) -> Value {
    json!({"command": "send_message", "requestId": id, "payload": {"channelId": GENERAL, "content": content}})
}

/// What was said in a channel, the newest first, up to the message that the sandbox begins with.
async fn said(bridge: &Bridge, channel: &str) -> Vec<String> {
    let url = format!("{}/api/v10/channels/{channel}/messages", bridge.discord_url);
    let request = client().get(url).insert_header(("authorization", format!("Bot {BOT_TOKEN}")));
    let messages: Vec<Value> = request.send().await.unwrap().json().await.unwrap();
    let contents = messages.iter().map(|message| message["content"].as_str().unwrap().to_owned());
    contents.take_while(|content| !content.starts_with("Welcome.")).collect()
}

/// How often Discord's REST was asked.
async fn calls(bridge: &Bridge) -> u64 {
    let state = bridge.json(&format!("{}/sandbox/state", bridge.discord_url)).await;
    state["rest"]["requests"].as_u64().unwrap()
}

#[actix_web::test]
async fn each_command_does_its_work_and_comes_back_as_discords_dispatch() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let mut events = ada.stream("", None).await;
    events.until("voice.snapshot").await;

    let sent = run(&ada, "send_message", json!({"channelId": GENERAL, "content": "hello"})).await;
    let message = sent.id();
    let created = events.until("MESSAGE_CREATE").await.json();
    assert_eq!(
        (&created["payload"]["id"], &created["payload"]["content"]),
        (&json!(message), &json!("hello"))
    );
    assert_eq!(sent.data()["content"], "hello", "the answer is Discord's own");

    let at = |more: Value| {
        let mut payload = json!({"channelId": GENERAL, "messageId": message});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        payload
    };
    run(&ada, "edit_message", at(json!({"content": "hello!"}))).await.data();
    assert_eq!(events.until("MESSAGE_UPDATE").await.json()["payload"]["content"], "hello!");
    assert!(run(&ada, "add_reaction", at(json!({"emoji": "👍"}))).await.data().is_null(), "204 has no body");
    assert_eq!(events.until("MESSAGE_REACTION_ADD").await.json()["payload"]["emoji"]["name"], "👍");
    run(&ada, "remove_reaction", at(json!({"emoji": "👍"}))).await.data();
    events.until("MESSAGE_REACTION_REMOVE").await;
    let snake = json!({"command": "start_typing", "request_id": "t", "payload": {"channel_id": GENERAL}});
    assert_eq!(ask(&ada, &snake).await.body, json!({"requestId": "t", "data": null}));
    run(&ada, "delete_message", at(json!({}))).await.data();
    assert_eq!(events.until("MESSAGE_DELETE").await.json()["payload"]["id"], message);

    let room = json!({"guildId": GUILD, "name": "den", "type": "voice", "userLimit": 3});
    let room = run(&ada, "create_channel", room).await.id();
    assert_eq!(events.until("room.created").await.json()["payload"]["channelId"], room);
    bridge.move_member(LINUS, Some(LOUNGE)).await;
    events.until("voice.joined").await;
    let moved = json!({"guildId": GUILD, "userId": LINUS, "channelId": room});
    run(&ada, "move_member", moved).await.data();
    assert_eq!(events.until("voice.moved").await.json()["payload"]["channelId"], room);
    run(&ada, "delete_channel", json!({"channelId": room})).await.data();
    assert_eq!(events.until("CHANNEL_DELETE").await.json()["payload"]["id"], room);
    bridge.stop().await;
}

#[actix_web::test]
async fn nobody_does_through_us_what_discord_would_not_let_them() {
    let bridge = Bridge::start().await;
    let (ada, linus) = (bridge.sign_in("ada").await, bridge.sign_in("linus").await);
    let theirs = run(&ada, "send_message", json!({"channelId": GENERAL, "content": "ada's"})).await.id();
    let own = run(&linus, "send_message", json!({"channelId": GENERAL, "content": "mine"})).await.id();
    bridge.move_member(GRACE, Some(LOUNGE)).await;
    let everyone =
        json!({"channelId": GENERAL, "content": "@everyone", "allowedMentions": {"parse": ["everyone"]}});
    let before = calls(&bridge).await;
    for (why, command, payload, code) in [
        ("cannot see it", "send_message", json!({"channelId": STAFF, "content": "x"}), "FORBIDDEN"),
        ("another guild", "send_message", json!({"channelId": "1", "content": "x"}), "FORBIDDEN"),
        (
            "read-only",
            "send_message",
            json!({"channelId": ANNOUNCEMENTS, "content": "x"}),
            "MISSING_PERMISSIONS",
        ),
        ("pings all", "send_message", everyone, "MISSING_PERMISSIONS"),
        (
            "not theirs",
            "delete_message",
            json!({"channelId": GENERAL, "messageId": theirs}),
            "MISSING_PERMISSIONS",
        ),
        (
            "not theirs",
            "edit_message",
            json!({"channelId": GENERAL, "messageId": theirs, "content": "x"}),
            "MISSING_PERMISSIONS",
        ),
        (
            "no manager",
            "create_channel",
            json!({"guildId": GUILD, "name": "x", "type": 2}),
            "MISSING_PERMISSIONS",
        ),
        ("no manager", "delete_channel", json!({"channelId": OTHER}), "MISSING_PERMISSIONS"),
        (
            "no mover",
            "move_member",
            json!({"guildId": GUILD, "userId": GRACE, "channelId": null}),
            "MISSING_PERMISSIONS",
        ),
    ] {
        let answer = run(&linus, command, payload).await;
        assert_eq!(answer.code(), (403, code), "{why}: {command}: {}", answer.body);
        assert!(answer.body["error"]["discord"].is_null(), "Discord was not asked");
    }
    assert_eq!(calls(&bridge).await, before, "none of them reached Discord");
    let grace = bridge.sign_in("grace").await;
    run(&grace, "send_message", json!({"channelId": STAFF, "content": "hush"})).await.data();
    run(&grace, "delete_message", json!({"channelId": GENERAL, "messageId": own})).await;
    bridge.stop().await;
}

#[actix_web::test]
async fn one_may_delete_what_one_sent_and_write_in_threads_and_leave_a_room() {
    let bridge = Bridge::start().await;
    let linus = bridge.sign_in("linus").await;
    let own = run(&linus, "send_message", json!({"channelId": GENERAL, "content": "mine"})).await.id();
    let edit = json!({"channelId": GENERAL, "messageId": own, "content": "still mine"});
    run(&linus, "edit_message", edit).await.data();
    run(&linus, "delete_message", json!({"channelId": GENERAL, "messageId": own})).await.data();
    run(&linus, "send_message", json!({"channelId": THREAD, "content": "in a thread"})).await.data();
    bridge.move_member(LINUS, Some(LOUNGE)).await;
    let hidden = json!({"guildId": GUILD, "userId": LINUS, "channelId": STAFF_ROOM});
    assert_eq!(run(&linus, "move_member", hidden).await.code(), (403, "FORBIDDEN"));
    let leave = json!({"guildId": GUILD, "userId": LINUS, "channelId": null});
    run(&linus, "move_member", leave).await.data();
    let quiet = json!({"channelId": GENERAL, "content": "@everyone hello"});
    let answer = run(&linus, "send_message", quiet).await;
    assert_eq!(answer.data()["mention_everyone"], false, "mentions are off unless they are asked for");
    bridge.stop().await;
}

#[actix_web::test]
async fn what_cannot_be_understood_is_said_to_be_so() {
    let bridge = Bridge::start().await;
    // Two people, because ten commands are all that one may send at once.
    let people = [bridge.sign_in("ada").await, bridge.sign_in("grace").await];
    let cases = [
        ("send_message", json!({"channelId": GENERAL}), (400, "INVALID")),
        ("send_message", json!({"content": "x"}), (400, "INVALID")),
        ("send_message", json!({"channelId": "general", "content": "x"}), (400, "INVALID")),
        ("send_message", json!({"channelId": GENERAL, "contnet": "x"}), (400, "INVALID")),
        ("create_channel", json!({"guildId": GUILD, "name": "x", "type": "cellar"}), (400, "INVALID")),
        ("move_member", json!({"guildId": GUILD, "userId": ADA}), (400, "INVALID")),
        ("viewer", json!({"userIds": [ADA]}), (404, "UNKNOWN_COMMAND")),
        ("voice_snapshot", json!({}), (404, "UNKNOWN_COMMAND")),
        ("guild", json!({"guildId": GUILD}), (404, "UNKNOWN_COMMAND")),
        ("status", json!({}), (404, "UNKNOWN_COMMAND")),
        ("make_coffee", json!({}), (404, "UNKNOWN_COMMAND")),
    ];
    for (person, (command, payload, expected)) in people.iter().cycle().zip(cases) {
        let answer = run(person, command, payload).await;
        assert_eq!(answer.code(), expected, "{command}: {}", answer.body);
    }
    bridge.stop().await;
}

#[actix_web::test]
async fn discords_refusals_reach_the_caller_and_nothing_is_tried_twice() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let write = |channel: &str, content: &str| json!({"channelId": channel, "content": content});
    for (channel, content, status, code) in [
        (VAULT, "x".to_owned(), 403, 50001),
        (ANNOUNCEMENTS, "x".to_owned(), 403, 50013),
        (GENERAL, "x".repeat(2001), 400, 50035),
    ] {
        let answer = run(&ada, "send_message", write(channel, &content)).await;
        assert_eq!(answer.code(), (502, "DISCORD_ERROR"), "{}", answer.body);
        let discord = &answer.body["error"]["discord"];
        assert_eq!((&discord["status"], &discord["code"]), (&json!(status), &json!(code)), "{discord}");
        assert!(!discord["message"].as_str().unwrap().is_empty());
    }
    let before = calls(&bridge).await;
    bridge.fault(&json!({"kind": "rest_error", "status": 500, "count": 3})).await;
    for _ in 0..3 {
        let answer = run(&ada, "send_message", write(GENERAL, "x")).await;
        assert_eq!(
            (answer.code(), &answer.body["error"]["discord"]["status"]),
            ((502, "DISCORD_ERROR"), &json!(500))
        );
    }
    assert_eq!(calls(&bridge).await - before, 3);
    assert_eq!(said(&bridge, GENERAL).await, Vec::<String>::new());
    bridge.stop().await;
}

#[actix_web::test]
async fn a_rate_limit_is_passed_on_and_its_route_held() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    bridge.fault(&json!({"kind": "rate_limit", "retry_after_s": 30})).await;
    let write = |channel: &str| json!({"command": "send_message", "requestId": "one", "payload": {"channelId": channel, "content": "x"}});
    let limited = ask(&ada, &write(GENERAL)).await;
    assert_eq!((limited.code(), limited.retry_after.as_deref()), ((429, "RATE_LIMITED"), Some("30")));
    assert_eq!(limited.body["error"]["discord"]["status"], 429);
    let before = calls(&bridge).await;
    let held = ask(&ada, &write(GENERAL)).await;
    assert_eq!((held.code(), held.retry_after.as_deref()), ((429, "RATE_LIMITED"), Some("30")));
    assert_eq!(calls(&bridge).await, before, "the same route is not tried again before its time");
    bridge.stop().await;
}

#[actix_web::test]
async fn the_same_request_is_done_once_and_answered_each_time() {
    let bridge = Bridge::start().await;
    let (ada, grace) = (bridge.sign_in("ada").await, bridge.sign_in("grace").await);
    let body = |content: &str| json!({"command": "send_message", "requestId": "r1", "payload": {"channelId": GENERAL, "content": content}});
    bridge.fault(&json!({"kind": "rest_delay", "seconds": 0.2})).await;
    let asked = body("once");
    let (first, second) = futures_util::join!(ask(&ada, &asked), ask(&ada, &asked));
    assert_eq!(first.id(), second.id(), "the second joins the first");
    assert_eq!(ask(&ada, &body("once")).await.id(), first.id(), "the third is told what came of it");
    assert_eq!(ask(&ada, &body("twice")).await.code(), (409, "CONFLICT"));
    assert_ne!(ask(&grace, &body("grace's")).await.id(), first.id(), "ids of others are their own");
    assert_eq!(said(&bridge, GENERAL).await, ["grace's", "once"]);
    let metrics =
        client().get(format!("{}/metrics", bridge.gateway_url)).send().await.unwrap().body().await.unwrap();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for line in [
        r#"guildstream_commands_total{command="send_message",outcome="ok"} 2"#,
        r#"guildstream_commands_total{command="send_message",outcome="conflict"} 1"#,
        r#"guildstream_command_duration_seconds_count{command="send_message"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    bridge.stop().await;
}

#[actix_web::test]
async fn a_stalled_answer_is_504_and_the_same_id_leads_to_what_came_of_it() {
    let bridge = Bridge::without_waiting(&[("COMMAND_TIMEOUT_S", "1")]).await;
    bridge.until_ready().await;
    let ada = bridge.sign_in("ada").await;
    bridge.fault(&json!({"kind": "rest_delay", "seconds": 2.5})).await;
    let before = calls(&bridge).await;
    let stalled = ask(&ada, &message("slow", "once")).await;
    assert_eq!(stalled.code(), (504, "UNANSWERED"));
    let words = stalled.body["error"]["message"].as_str().unwrap();
    assert!(words.contains("may still happen"), "{words}");
    let mut answer = ask(&ada, &message("slow", "once")).await;
    while answer.status == 504 {
        answer = ask(&ada, &message("slow", "once")).await;
    }
    assert_eq!(answer.data()["content"], "once");
    assert_eq!(calls(&bridge).await - before, 1);
    assert_eq!(said(&bridge, GENERAL).await, ["once"]);
    bridge.stop().await;
}

#[actix_web::test]
async fn answers_find_their_commands_in_whatever_order_they_come() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let before = calls(&bridge).await;
    bridge.fault(&json!({"kind": "rest_delay", "seconds": 0.5})).await;
    let slow_is_done = Cell::new(false);
    let slow = async {
        let answer = ask(&ada, &message("a", "slow")).await;
        slow_is_done.set(true);
        answer
    };
    let quick = async {
        until("the slow one is on its way", async || calls(&bridge).await > before).await;
        let answer = ask(&ada, &message("b", "quick")).await;
        assert!(!slow_is_done.get(), "the later one is answered first");
        answer
    };
    let (slow, quick) = futures_util::join!(slow, quick);
    assert_eq!((&slow.body["requestId"], &slow.data()["content"]), (&json!("a"), &json!("slow")));
    assert_eq!((&quick.body["requestId"], &quick.data()["content"]), (&json!("b"), &json!("quick")));
    bridge.stop().await;
}

#[actix_web::test]
async fn what_waits_is_limited_and_one_more_is_not_sent() {
    let bridge = Bridge::without_waiting(&[("COMMAND_QUEUE", "2")]).await;
    bridge.until_ready().await;
    let (ada, grace) = (bridge.sign_in("ada").await, bridge.sign_in("grace").await);
    let before = calls(&bridge).await;
    bridge.fault(&json!({"kind": "rest_delay", "seconds": 1.5, "count": 2})).await;
    let third = async {
        until("two wait", async || calls(&bridge).await == before + 2).await;
        assert_eq!(ask(&ada, &message("c", "third")).await.code(), (503, "QUEUE_FULL"));
        assert_eq!(ask(&grace, &message("c", "third")).await.code(), (503, "QUEUE_FULL"));
        assert_eq!(calls(&bridge).await, before + 2);
        // What the web role asks for itself goes on.
        assert_eq!(grace.get("/api/guilds").await.0, 200);
    };
    let (first, second) = (message("a", "first"), message("b", "second"));
    let (first, second, ()) = futures_util::join!(ask(&ada, &first), ask(&ada, &second), third);
    first.data();
    second.data();
    ask(&ada, &message("c", "third")).await.data();
    assert_eq!(said(&bridge, GENERAL).await[0], "third");
    bridge.stop().await;
}

#[actix_web::test]
async fn a_link_that_drops_answers_what_waits_at_once_and_a_new_one_tells_what_came_of_it() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let before = calls(&bridge).await;
    bridge.fault(&json!({"kind": "rest_delay", "seconds": 4})).await;
    let drop = async {
        until("it is on its way", async || calls(&bridge).await > before).await;
        let dropped = Instant::now();
        assert_eq!(ada.post("/api/gateway/disconnect", &json!({})).await.0, 204);
        dropped
    };
    let asked = message("w", "once");
    let waiting = async { (ask(&ada, &asked).await, Instant::now()) };
    let ((answer, answered), dropped) = futures_util::join!(waiting, drop);
    assert_eq!(answer.code(), (504, "UNANSWERED"));
    assert!(answered - dropped < Duration::from_secs(3), "long before COMMAND_TIMEOUT_S, and before Discord");
    assert_eq!(ask(&ada, &asked).await.code(), (503, "NOT_SENT"));
    assert_eq!(ada.post("/api/gateway/connect", &json!({})).await.0, 204);
    bridge.until_ready().await;
    // The gateway is the same, and knows that it is still being done.
    assert_eq!(ask(&ada, &asked).await.data()["content"], "once");
    assert_eq!(ask(&ada, &message("w", "twice")).await.code(), (409, "CONFLICT"));
    assert_eq!(said(&bridge, GENERAL).await, ["once"]);
    bridge.stop().await;
}

#[actix_web::test]
async fn a_gateway_that_is_killed_leaves_nobody_waiting_and_does_nothing_twice() {
    let mut bridge = Bridge::without_roles(&[]).await;
    let mut gateway = gateway_process(&bridge);
    bridge.start_web().await;
    bridge.until_ready().await;
    let ada = bridge.sign_in("ada").await;
    let kept = ask(&ada, &message("m", "kept")).await.id();
    let asked = [
        message("w", "once"),
        json!({"command": "create_channel", "requestId": "c", "payload": {"guildId": GUILD, "name": "once", "type": "text"}}),
        json!({"command": "add_reaction", "requestId": "r", "payload": {"channelId": GENERAL, "messageId": kept, "emoji": "👍"}}),
        json!({"command": "delete_channel", "requestId": "d", "payload": {"channelId": OTHER}}),
    ];
    let before = calls(&bridge).await;
    bridge.fault(&json!({"kind": "rest_delay", "seconds": 5, "count": asked.len()})).await;
    let kill = async {
        until("all are on their way", async || calls(&bridge).await == before + asked.len() as u64).await;
        gateway.kill().await.unwrap();
        Instant::now()
    };
    let waiting = async {
        let answers = futures_util::future::join_all(asked.iter().map(|body| ask(&ada, body))).await;
        (answers, Instant::now())
    };
    let ((answers, answered), killed) = futures_util::join!(waiting, kill);
    for answer in answers {
        assert_eq!(answer.code(), (504, "UNANSWERED"));
    }
    assert!(answered - killed < Duration::from_secs(3));

    let _gateway = gateway_process(&bridge);
    bridge.until_ready().await;
    assert_eq!(ask(&ada, &asked[0]).await.data()["content"], "once", "Discord knows the nonce");
    assert_eq!(ask(&ada, &asked[1]).await.code(), (504, "OUTCOME_UNKNOWN"));
    assert!(ask(&ada, &asked[2]).await.data().is_null(), "a reaction is there or not");
    assert_eq!(ask(&ada, &asked[3]).await.code(), (504, "OUTCOME_UNKNOWN"));
    assert_eq!(said(&bridge, GENERAL).await, ["once", "kept"]);
    let state = bridge.json(&format!("{}/sandbox/state", bridge.discord_url)).await;
    let channels = state["guilds"][0]["channels"].as_array().unwrap();
    assert_eq!(channels.iter().filter(|channel| channel["name"] == "once").count(), 1);
    bridge.stop().await;
}

#[actix_web::test]
async fn a_peer_without_users_acts_with_the_bots_rights_and_cannot_bring_the_gateway_down() {
    let bridge = Bridge::start().await;
    let (mut one, mut other) = (Link::open(&bridge).await, Link::open(&bridge).await);
    let write = |content: &str| json!({"command": "send_message", "payload": {"channelId": GENERAL, "content": content}});
    // As a peer of the first protocol sends it, without an id.
    one.send(&json!({"type": "command", "data": write("plain")})).await;
    let ack = one.answer().await;
    assert_eq!((&ack["type"], &ack["data"]["content"]), (&json!("ack"), &json!("plain")));
    assert!(ack["requestId"].is_null() && ack["id"].is_string(), "{ack}");

    let same = json!({"type": "command", "requestId": "1", "data": write("once"), "ts": 1});
    one.send(&same).await;
    let first = one.answer().await;
    other.send(&same).await;
    assert_eq!(other.answer().await["data"], first["data"], "also over another link");
    assert_eq!(said(&bridge, GENERAL).await, ["once", "plain"]);
    let refusals = [
        (
            json!({"command": "send_message", "payload": {"channelId": VAULT, "content": "x"}}),
            "DISCORD_ERROR",
        ),
        (json!({"command": "send_message", "payload": null}), "INVALID"),
        (json!({"command": "send_message"}), "INVALID"),
        (json!({"command": "make_coffee", "payload": {}}), "UNKNOWN_COMMAND"),
        (json!({"command": "viewer", "payload": {}}), "INVALID"),
        (json!({"command": "viewer", "payload": {"userIds": vec!["1"; 1001]}}), "INVALID"),
    ];
    for (n, (data, code)) in refusals.into_iter().enumerate() {
        let id = format!("refused {n}");
        one.send(&json!({"type": "command", "requestId": id, "data": data})).await;
        let answer = one.answer().await;
        assert_eq!((&answer["data"]["code"], &answer["requestId"]), (&json!(code), &json!(id)), "{data}");
    }
    // A user who cannot be is not the bot.
    for actor in
        [json!({}), json!({"userId": "ada"}), json!({"userId": null}), json!("1"), json!({"userId": "0"})]
    {
        let mut data = write("as the bot");
        data["actor"] = actor;
        one.send(&json!({"type": "command", "data": data})).await;
        let answer = one.answer().await;
        assert_eq!(answer["type"], "error", "{data}: {answer}");
    }
    one.send(&json!({"type": "command", "data": {"command": "viewer", "payload": {"userIds": ["0"]}}})).await;
    let unknown = json!([{"userId": "0", "guilds": [], "unknown": [GUILD]}]);
    assert_eq!(one.answer().await["data"]["viewers"], unknown);
    assert_eq!(said(&bridge, GENERAL).await, ["once", "plain"]);
    bridge.stop().await;
}

/// A link spoken by hand.
struct Link(Pin<Box<dyn Socket>>);

trait Socket: Stream<Item = Result<Frame, WsProtocolError>> + Sink<Message, Error = WsProtocolError> {}
impl<T: Stream<Item = Result<Frame, WsProtocolError>> + Sink<Message, Error = WsProtocolError>> Socket for T {}

impl Link {
    async fn open(bridge: &Bridge) -> Self {
        let token = format!("Bearer {}", bridge.settings()["LINK_TOKEN"]);
        let request = client().ws(&bridge.gateway_url).set_header("authorization", token);
        let mut link = Self(Box::pin(request.connect().await.unwrap().1));
        assert_eq!(link.answer().await["data"]["protocol"], 1, "the greeting");
        link
    }

    async fn send(&mut self, frame: &Value) {
        self.0.send(Message::Text(frame.to_string().into())).await.unwrap();
    }

    /// The next frame that is no event.
    async fn answer(&mut self) -> Value {
        loop {
            let frame = timeout(PATIENCE, self.0.next()).await.expect("an answer in time");
            let Frame::Text(text) = frame.unwrap().unwrap() else { continue };
            let frame: Value = serde_json::from_slice(&text).unwrap();
            if frame["type"] != "event" {
                return frame;
            }
        }
    }
}

/// The gateway role as a process of its own, so that it can be killed.
fn gateway_process(bridge: &Bridge) -> tokio::process::Child {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_guildstream"));
    command.arg("gateway").env_clear().envs(bridge.settings()).env("RUST_LOG", "error");
    command.kill_on_drop(true).stdin(Stdio::null()).spawn().unwrap()
}

#[actix_web::test]
async fn a_gateway_that_restarts_answers_what_was_in_flight_and_does_nothing_twice() {
    let mut bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let write = json!({"command": "send_message", "requestId": "w", "payload": {"channelId": GENERAL, "content": "once"}});
    let create = json!({"command": "create_channel", "requestId": "c", "payload": {"guildId": GUILD, "name": "once", "type": "text"}});
    bridge.fault(&json!({"kind": "rest_delay", "seconds": 5, "count": 2})).await;
    let before = calls(&bridge).await;
    let gateway = bridge.gateway.take().unwrap();
    let stop = async {
        until("both are on their way", async || calls(&bridge).await == before + 2).await;
        gateway.stop().await.unwrap();
    };
    let (wrote, created, ()) = futures_util::join!(ask(&ada, &write), ask(&ada, &create), stop);
    assert_eq!((wrote.code(), created.code()), ((504, "OUTCOME_UNKNOWN"), (504, "OUTCOME_UNKNOWN")));
    assert_eq!(ask(&ada, &write).await.code(), (503, "NOT_SENT"), "while the link is down nothing is sent");

    bridge.start_gateway().await;
    bridge.until_ready().await;
    // Discord itself knows a message by its nonce; for a channel there is no such thing.
    assert_eq!(ask(&ada, &write).await.data()["content"], "once");
    assert_eq!(ask(&ada, &create).await.code(), (504, "OUTCOME_UNKNOWN"));
    assert_eq!(said(&bridge, GENERAL).await, ["once"]);
    let state = bridge.json(&format!("{}/sandbox/state", bridge.discord_url)).await;
    let channels = state["guilds"][0]["channels"].as_array().unwrap();
    assert_eq!(channels.iter().filter(|channel| channel["name"] == "once").count(), 1);
    bridge.stop().await;
}
