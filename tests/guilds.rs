//! What a page asks when it opens: which channels are there for this person, and how the path to Discord is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bridge.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod bridge;

use bridge::{Bridge, Browser, GUILD, client, until};
use guildstream_sandbox::BOT_TOKEN;
use serde_json::{Value, json};

const GENERAL: &str = "910000000000000101";
const STAFF: &str = "910000000000000103";
const ANNOUNCEMENTS: &str = "910000000000000104";
const VAULT: &str = "910000000000000105";
const LOUNGE: &str = "910000000000000201";
const STAFF_ROOM: &str = "910000000000000204";
const CATEGORY: &str = "910000000000000502";

async fn guilds(browser: &Browser) -> Value {
    let (status, body) = browser.get("/api/guilds").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The channel in the answer, null if it is not shown.
fn channel<'a>(answer: &'a Value, id: &str) -> &'a Value {
    let channels = answer["guilds"][0]["channels"].as_array().unwrap();
    channels.iter().find(|channel| channel["id"] == id).unwrap_or(&Value::Null)
}

/// Changes a channel as a moderator would in Discord.
async fn change(bridge: &Bridge, channel: &str, change: &Value) {
    let url = format!("{}/api/v10/channels/{channel}", bridge.discord_url);
    let request = client().patch(url).insert_header(("authorization", format!("Bot {BOT_TOKEN}")));
    assert_eq!(request.send_json(change).await.unwrap().status(), 200);
}

async fn questions(bridge: &Bridge) -> u64 {
    let url = format!("{}/metrics", bridge.gateway_url);
    let metrics = client().get(url).send().await.unwrap().body().await.unwrap();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let line = metrics.lines().find(|line| line.starts_with("guildstream_link_commands_total ")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[actix_web::test]
async fn each_is_shown_the_channels_they_can_view_and_no_others() {
    let bridge = Bridge::start().await;
    for (person, staff, vault, announces) in
        [("ada", true, true, true), ("grace", true, false, true), ("linus", false, false, false)]
    {
        let answer = guilds(&bridge.sign_in(person).await).await;
        let guild = &answer["guilds"][0];
        assert_eq!((&guild["id"], &guild["name"]), (&json!(GUILD), &json!("Sandbox guild")));
        let general = channel(&answer, GENERAL);
        let expected = json!({
            "id": GENERAL, "name": "general", "type": 0, "parentId": CATEGORY, "position": 0,
            "permissions": general["permissions"], "canSend": true, "canConnect": false,
        });
        assert_eq!(general, &expected);
        assert_eq!(channel(&answer, LOUNGE)["canConnect"], true);
        for (id, seen) in [(STAFF, staff), (STAFF_ROOM, staff), (VAULT, vault)] {
            assert_eq!(!channel(&answer, id).is_null(), seen, "{person} {id}");
        }
        assert_eq!(channel(&answer, ANNOUNCEMENTS)["canSend"], announces, "{person}");
        assert_eq!(channel(&answer, CATEGORY)["canSend"], false, "nobody writes in a category");
        assert!(guild["roles"].as_array().unwrap().iter().any(|role| role["name"] == "Staff"));
    }
    assert_eq!(guilds(&bridge.sign_in("mallory").await).await, json!({"guilds": []}));
    let stranger = client().get(format!("{}/api/guilds", bridge.web_url)).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    bridge.stop().await;
}

#[actix_web::test]
async fn what_a_page_is_shown_is_never_older_than_its_last_event() {
    let bridge = Bridge::start().await;
    let (ada, linus) = (bridge.sign_in("ada").await, bridge.sign_in("linus").await);
    let mut events = ada.stream("?events=CHANNEL_UPDATE,GUILD_ROLE_UPDATE", None).await;
    assert_eq!(channel(&guilds(&linus).await, GENERAL)["name"], "general");
    for round in 0..5 {
        let name = format!("general-{round}");
        change(&bridge, GENERAL, &json!({"name": name})).await;
        events.until("CHANNEL_UPDATE").await;
        assert_eq!(channel(&guilds(&linus).await, GENERAL)["name"], name);
    }
    // Hidden and renamed at once: who may not see it never hears its new name.
    let hidden = json!([{"id": GUILD, "type": 0, "allow": "0", "deny": "1024"}]);
    change(&bridge, LOUNGE, &json!({"name": "the conspiracy", "permission_overwrites": hidden})).await;
    events.until("CHANNEL_UPDATE").await;
    assert!(channel(&guilds(&linus).await, LOUNGE).is_null());
    assert_eq!(channel(&guilds(&ada).await, LOUNGE)["name"], "the conspiracy");
    bridge.stop().await;
}

#[actix_web::test]
async fn many_pages_that_open_ask_the_gateway_once() {
    let bridge = Bridge::start().await;
    let people = [bridge.sign_in("ada").await, bridge.sign_in("grace").await, bridge.sign_in("linus").await];
    let before = questions(&bridge).await;
    let loads = (0..50).flat_map(|_| &people).map(guilds);
    futures_util::future::join_all(loads).await;
    let asked = questions(&bridge).await - before;
    assert!((1..=4).contains(&asked), "{asked} questions for 150 page loads");
    bridge.stop().await;
}

#[actix_web::test]
async fn while_the_link_is_down_what_is_known_is_shown_and_what_is_not_is_not_guessed() {
    let mut bridge = Bridge::start().await;
    let (ada, linus) = (bridge.sign_in("ada").await, bridge.sign_in("linus").await);
    let known = guilds(&linus).await;
    bridge.gateway.take().unwrap().stop().await.unwrap();
    until("the link is down", async || linus.get("/readyz").await.0 == 503).await;
    assert_eq!(guilds(&linus).await, known);
    let (status, body) = ada.get("/api/guilds").await;
    let code = &serde_json::from_str::<Value>(&body).unwrap()["error"]["code"];
    assert_eq!((status, code), (503, &json!("UNAVAILABLE")));
    bridge.stop().await;
}

#[actix_web::test]
async fn the_status_says_how_discord_is_and_nothing_while_nobody_knows() {
    let mut bridge = Bridge::start().await;
    let url = format!("{}/api/status", bridge.web_url);
    let discord = async || bridge.json(&url).await["discord"].clone();
    let status = discord().await;
    assert_eq!(status["state"], "live");
    assert_eq!(status["shards"][0]["state"], "live");
    assert_eq!((&status["shards"][0]["id"], &status["shards"][0]["identifies"]), (&json!(0), &json!(1)));
    assert!(status["shards"][0]["lastSeq"].is_u64(), "{status}");
    bridge.fault(&json!({"kind": "refuse", "seconds": 60})).await;
    bridge.fault(&json!({"kind": "drop"})).await;
    until("Discord is seen to be gone", async || {
        ["waiting", "connecting"].contains(&discord().await["state"].as_str().unwrap_or_default())
    })
    .await;
    bridge.gateway.take().unwrap().stop().await.unwrap();
    let discord = async || bridge.json(&url).await["discord"].clone();
    until("nobody knows", async || discord().await.is_null()).await;
    bridge.stop().await;
}

#[actix_web::test]
async fn people_are_called_as_discord_shows_them() {
    let bridge = Bridge::start().await;
    let ada = bridge.sign_in("ada").await;
    let mut events = ada.stream("?events=voice.*", None).await;
    let snapshot = events.until("voice.snapshot").await.json();
    let rooms = snapshot["payload"]["channels"].as_array().unwrap();
    let lounge = rooms.iter().find(|room| room["channelId"] == LOUNGE).unwrap();
    let names = |member: &Value| (member["username"].clone(), member["displayName"].clone());
    assert_eq!(names(&lounge["members"][0]), (json!("am_lie"), json!("Amélie")));
    bridge.move_member("930000000000000003", Some(LOUNGE)).await;
    let joined = events.until("voice.joined").await.json();
    assert_eq!(names(&joined["payload"]), (json!("linus"), json!("Linus")));
    bridge.stop().await;
}
