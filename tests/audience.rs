//! Who sees what, the whole way from Discord to a browser: ada owns the guild, grace is staff, linus is an ordinary
//! member, mallory is in no guild. Each holds a stream while the sandbox dispatches every kind of event, before and after
//! what each may see changes under them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bridge.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod bridge;

use std::collections::BTreeSet;

use bridge::{Bridge, Browser, Event, Events, GUILD};
use guildstream_actors::dispatch::split;
use serde_json::{Value, json};

const CORPUS: &str = include_str!("corpus/dispatch.jsonl");

const ADA: &str = "930000000000000001";
const GRACE: &str = "930000000000000002";
const LINUS: &str = "930000000000000003";
/// One who sits nowhere until told, and whom nobody signs in as.
const GUEST: &str = "930000000000000011";
const STAFF: &str = "940000000000000001";

const GENERAL: &str = "910000000000000101";
const STAFF_CHANNEL: &str = "910000000000000103";
const VAULT: &str = "910000000000000105";
const LOUNGE: &str = "910000000000000201";
const STAFF_ROOM: &str = "910000000000000204";
/// Under `#general`, public.
const THREAD: &str = "910000000000000401";
/// Under `#general`, private; and under `#staff`, public. The tests create them.
const PRIVATE_THREAD: &str = "910000000000000402";
const STAFF_THREAD: &str = "910000000000000403";

/// Who is sent an event; each also sees what those after them see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Least {
    Nobody,
    Owner,
    Staff,
    Member,
}

use Least::{Member, Nobody, Owner, Staff};

/// The three who have streams, and what was dispatched last.
struct Stage {
    bridge: Bridge,
    people: [Person; 3],
    marks: u64,
}

struct Person {
    browser: Browser,
    stream: Option<Events>,
}

/// Says that a stream ended.
const END: &str = "END";

impl Stage {
    async fn start() -> Self {
        let bridge = Bridge::start().await;
        let mallory = bridge.sign_in("mallory").await;
        assert_eq!(mallory.get("/api/stream").await.0, 403, "mallory is in no guild");
        let mut people = Vec::new();
        for (name, rooms) in
            [("ada", "201 202 203 204"), ("grace", "201 202 203 204"), ("linus", "201 202 203")]
        {
            let mut person = Person { browser: bridge.sign_in(name).await, stream: None };
            assert_eq!(person.open().await, format!("voice.snapshot({rooms})"), "{name}");
            people.push(person);
        }
        Self { bridge, people: people.try_into().ok().unwrap(), marks: 0 }
    }

    /// Has `dispatches` happen in one go; what ada, grace and linus are sent of it, each event in brief.
    async fn play(&mut self, dispatches: &[(&str, String)]) -> [Vec<String>; 3] {
        self.marks += 1;
        let mark = self.mark();
        let lines =
            dispatches.iter().map(|(t, d)| (*t, d.as_str())).chain([("GUILD_EMOJIS_UPDATE", mark.as_str())]);
        let lines: Vec<_> = lines.map(|(t, d)| format!(r#"{{"t":{},"d":{d}}}"#, json!(t))).collect();
        self.bridge.dispatch(lines.join("\n")).await;
        let mut told = [Vec::new(), Vec::new(), Vec::new()];
        for (person, told) in self.people.iter_mut().zip(&mut told) {
            *told = person.told(&mark, dispatches).await;
        }
        told
    }

    /// What every member is sent at the end of a play.
    fn mark(&self) -> String {
        format!(r#"{{"guild_id":"{GUILD}","emojis":[],"mark":{}}}"#, self.marks)
    }

    async fn stop(self) {
        self.bridge.stop().await;
    }
}

impl Person {
    /// Opens a stream and gives its snapshot, in brief.
    async fn open(&mut self) -> String {
        let mut stream = self.browser.stream("", None).await;
        let snapshot = brief(&stream.until("voice.snapshot").await);
        self.stream = Some(stream);
        snapshot
    }

    /// The next event of the stream, in brief.
    async fn next(&mut self) -> String {
        brief(&self.stream.as_mut().unwrap().next().await.unwrap())
    }

    /// The channels that `/api/guilds` lists.
    async fn listed(&self) -> BTreeSet<String> {
        let (status, body) = self.browser.get("/api/guilds").await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let channels = body["guilds"][0]["channels"].as_array().unwrap();
        channels.iter().map(|channel| channel["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Everything up to the mark; without a stream, nothing.
    async fn told(&mut self, mark: &str, dispatches: &[(&str, String)]) -> Vec<String> {
        let mut told = Vec::new();
        let Some(stream) = &mut self.stream else { return told };
        loop {
            let Some(event) = stream.next().await else {
                self.stream = None;
                told.push(END.to_owned());
                return told;
            };
            if event.data.contains(mark) {
                return told;
            }
            let name = event.what();
            let is_raw = !name.starts_with("voice.") && !name.starts_with("room.");
            let is_what_was_sent = |(t, d): &(&str, String)| {
                *t == name && event.data.contains(&format!(r#""payload":{d},"ts""#))
            };
            let expected = !is_raw || dispatches.is_empty() || dispatches.iter().any(is_what_was_sent);
            assert!(expected, "not what was sent: {}", event.data);
            told.push(brief(&event));
        }
    }
}

/// `MESSAGE_CREATE`, `voice.moved(201>204)`, `room.created(204)`, `voice.snapshot(201 202)`: channels by their last
/// three digits.
fn brief(event: &Event) -> String {
    let name = event.what();
    if !name.starts_with("voice.") && !name.starts_with("room.") {
        return name;
    }
    let payload = &event.json()["payload"];
    let channel = |id: &Value| id.as_str().map_or_else(String::new, |id| id[id.len() - 3..].to_owned());
    let rooms = || {
        let rooms = payload["channels"].as_array().unwrap().iter().map(|room| channel(&room["channelId"]));
        rooms.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    match name.as_str() {
        "voice.snapshot" => format!("{name}({})", rooms().join(" ")),
        "room.created" | "room.deleted" => format!("{name}({})", channel(&payload["channelId"])),
        _ => format!("{name}({}>{})", channel(&payload["previousChannelId"]), channel(&payload["channelId"])),
    }
}

/// What ada, grace and linus are sent when `events` reach those who are at `least` this.
fn reaching(least: Least, events: &[&str]) -> [Vec<String>; 3] {
    [Owner, Staff, Member].map(|person| if person <= least { owned(events) } else { Vec::new() })
}

fn owned(events: &[&str]) -> Vec<String> {
    events.iter().map(|event| (*event).to_owned()).collect()
}

fn of_guild() -> Value {
    json!({"guild_id": GUILD})
}

fn with(mut d: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        d[key] = value.clone();
    }
    d
}

fn at(channel: &str) -> Value {
    json!({"guild_id": GUILD, "channel_id": channel})
}

fn thread(id: &str, parent: &str, kind: u64) -> Value {
    json!({"guild_id": GUILD, "id": id, "parent_id": parent, "type": kind, "name": "a thread"})
}

fn member(user: &str, roles: &[&str]) -> Value {
    json!({"guild_id": GUILD, "user": {"id": user, "username": "someone"}, "roles": roles})
}

fn voice(user: &str, channel: Option<&str>) -> Value {
    json!({"guild_id": GUILD, "user_id": user, "channel_id": channel, "member": member(user, &[])})
}

fn role(id: &str, permissions: u64) -> Value {
    json!({"guild_id": GUILD, "role": {"id": id, "name": "a role", "permissions": permissions.to_string()}})
}

fn channel(id: &str, kind: u64, overwrites: &[Value]) -> Value {
    json!({"guild_id": GUILD, "id": id, "type": kind, "name": "a channel", "permission_overwrites": overwrites})
}

/// Overwrites: what is allowed to a role (0) or a member (1), and what is denied.
fn overwrite(id: &str, kind: u64, allow: u64, deny: u64) -> Value {
    json!({"id": id, "type": kind, "allow": allow.to_string(), "deny": deny.to_string()})
}

const VIEW: u64 = 1 << 10;
const SEND: u64 = 1 << 11;

fn staff_only() -> Vec<Value> {
    vec![overwrite(GUILD, 0, 0, VIEW), overwrite(STAFF, 0, VIEW, 0)]
}

#[actix_web::test]
async fn every_line_of_the_corpus_reaches_exactly_its_audience() {
    let mut stage = Stage::start().await;
    let dispatch = |line: &str| {
        let envelope = split(&bytes::Bytes::copy_from_slice(line.as_bytes())).unwrap();
        (envelope.t.unwrap(), String::from_utf8(envelope.d.to_vec()).unwrap())
    };
    let lines: Vec<_> = CORPUS.lines().map(dispatch).collect();
    // Lines 1 and 2 steer the session. Line 3 is the guild as the corpus has it; then it gets rooms for staff alone.
    let (t, d) = &lines[2];
    let told = stage.play(&[(t, d.clone())]).await;
    let saw_guild = told.map(|told| told.iter().any(|event| event == "GUILD_CREATE"));
    assert_eq!(saw_guild, [true, false, false], "it lists private channels");
    let private = |id: &str, kind| channel(id, kind, &staff_only()).to_string();
    let told = stage
        .play(&[
            ("CHANNEL_CREATE", private("910000000000000102", 0)),
            ("CHANNEL_UPDATE", private("910000000000000202", 2)),
        ])
        .await;
    if !told[2].iter().any(|event| event.starts_with("voice.snapshot")) {
        assert_eq!(stage.people[2].next().await, "voice.snapshot(201)", "linus sees one room less");
    }

    let expected = |line: usize| match line {
        // Other guilds and none; a secret or two; what names no guild.
        4 | 29 | 34 | 38 | 49 | 54 | 55 | 59 | 60 | 62..=73 => Nobody,
        // Bans, audit log, invites, webhooks.
        39 | 41 | 56 | 61 => Owner,
        // Into and out of the staff's voice channel; its text channel is deleted.
        6 | 7 | 44 => Staff,
        // Also in the stage (203) that all could view and that line 3 has left out.
        5 | 8..=28 | 30..=33 | 35..=37 | 40 | 42 | 43 | 45..=48 | 50..=53 | 57 | 58 => Member,
        other => panic!("line {other} is not in the table"),
    };
    for (number, (t, d)) in (1..).zip(&lines).skip(3) {
        let mut expected = reaching(expected(number), &[t]);
        let derived: [&str; 3] = match number {
            5 => ["voice.joined(>201)"; 3],
            6 => ["voice.moved(201>202)", "voice.moved(201>202)", "voice.left(201>)"],
            7 => ["voice.left(202>)", "voice.left(202>)", ""],
            8 => ["voice.joined(>203)"; 3],
            _ => [""; 3],
        };
        for (expected, derived) in expected.iter_mut().zip(derived) {
            expected.extend(Some(derived.to_owned()).filter(|derived| !derived.is_empty()));
        }
        assert_eq!(stage.play(&[(t, d.clone())]).await, expected, "line {number} {t}");
    }
    stage.stop().await;
}

#[actix_web::test]
async fn every_row_of_the_table_reaches_exactly_its_audience() {
    let mut stage = Stage::start().await;
    let id = |id: &str| json!({"guild_id": GUILD, "id": id});
    let of_another_guild = || json!({"guild_id": "910000000000000009"});
    let rows: Vec<(&str, Value, Least)> = vec![
        // No guild, or another.
        ("USER_UPDATE", json!({"id": ADA}), Nobody),
        ("MESSAGE_CREATE", json!({"channel_id": GENERAL, "content": "direct"}), Nobody),
        ("ENTITLEMENT_CREATE", json!({"id": "1", "user_id": LINUS}), Nobody),
        ("MESSAGE_CREATE", with(of_another_guild(), json!({"channel_id": GENERAL})), Nobody),
        ("PRESENCE_UPDATE", of_another_guild(), Nobody),
        // Secrets, and what is meant for the bot alone.
        ("VOICE_SERVER_UPDATE", with(of_guild(), json!({"token": "secret"})), Nobody),
        ("INTERACTION_CREATE", with(at(GENERAL), json!({"token": "secret"})), Nobody),
        ("GUILD_MEMBERS_CHUNK", with(of_guild(), json!({"members": []})), Nobody),
        ("RATE_LIMITED", of_guild(), Nobody),
        ("THREAD_LIST_SYNC", with(of_guild(), json!({"threads": []})), Nobody),
        ("MESSAGE_CREATE", with(at(GENERAL), json!({"flags": 64, "content": "ephemeral"})), Nobody),
        // Rights of the guild.
        ("GUILD_BAN_ADD", with(of_guild(), json!({"user": {"id": "7"}})), Owner),
        ("GUILD_BAN_REMOVE", with(of_guild(), json!({"user": {"id": "7"}})), Owner),
        ("GUILD_AUDIT_LOG_ENTRY_CREATE", of_guild(), Owner),
        ("GUILD_INTEGRATIONS_UPDATE", of_guild(), Owner),
        ("INTEGRATION_CREATE", id("1"), Owner),
        ("INTEGRATION_UPDATE", id("1"), Owner),
        ("INTEGRATION_DELETE", id("1"), Owner),
        ("AUTO_MODERATION_RULE_CREATE", id("1"), Owner),
        ("AUTO_MODERATION_RULE_UPDATE", id("1"), Owner),
        ("AUTO_MODERATION_RULE_DELETE", id("1"), Owner),
        ("AUTO_MODERATION_ACTION_EXECUTION", at(GENERAL), Owner),
        // Rights in a channel.
        ("WEBHOOKS_UPDATE", at(GENERAL), Owner),
        ("INVITE_CREATE", at(GENERAL), Owner),
        ("INVITE_DELETE", at(STAFF_CHANNEL), Owner),
        // Channels.
        ("CHANNEL_PINS_UPDATE", at(GENERAL), Member),
        ("CHANNEL_PINS_UPDATE", at(STAFF_CHANNEL), Staff),
        (
            "CHANNEL_UPDATE",
            with(channel(VAULT, 0, &[overwrite(GUILD, 0, 0, VIEW)]), json!({"topic": "x"})),
            Owner,
        ),
        ("MESSAGE_CREATE", at(GENERAL), Member),
        ("MESSAGE_CREATE", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_CREATE", at(VAULT), Owner),
        ("MESSAGE_UPDATE", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_DELETE", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_DELETE_BULK", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_REACTION_ADD", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_REACTION_REMOVE", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_REACTION_REMOVE_ALL", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_REACTION_REMOVE_EMOJI", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_POLL_VOTE_ADD", at(STAFF_CHANNEL), Staff),
        ("MESSAGE_POLL_VOTE_REMOVE", at(GENERAL), Member),
        ("TYPING_START", at(STAFF_CHANNEL), Staff),
        ("VOICE_CHANNEL_STATUS_UPDATE", id(LOUNGE), Member),
        ("VOICE_CHANNEL_STATUS_UPDATE", id(STAFF_ROOM), Staff),
        ("VOICE_CHANNEL_START_TIME_UPDATE", id(STAFF_ROOM), Staff),
        ("VOICE_CHANNEL_EFFECT_SEND", at(STAFF_ROOM), Staff),
        ("STAGE_INSTANCE_CREATE", at("910000000000000203"), Member),
        ("STAGE_INSTANCE_UPDATE", at(STAFF_ROOM), Staff),
        ("STAGE_INSTANCE_DELETE", at(STAFF_ROOM), Staff),
        // Threads count as their parent; private ones also need Manage Threads.
        ("THREAD_CREATE", thread(PRIVATE_THREAD, GENERAL, 12), Owner),
        ("THREAD_CREATE", thread(STAFF_THREAD, STAFF_CHANNEL, 11), Staff),
        ("MESSAGE_CREATE", at(THREAD), Member),
        ("MESSAGE_CREATE", at(PRIVATE_THREAD), Owner),
        ("MESSAGE_CREATE", at(STAFF_THREAD), Staff),
        ("THREAD_UPDATE", thread(PRIVATE_THREAD, GENERAL, 12), Owner),
        ("THREAD_MEMBER_UPDATE", id(PRIVATE_THREAD), Owner),
        ("THREAD_MEMBERS_UPDATE", id(STAFF_THREAD), Staff),
        ("THREAD_MEMBERS_UPDATE", id(THREAD), Member),
        ("TYPING_START", at(STAFF_THREAD), Staff),
        ("THREAD_DELETE", thread(STAFF_THREAD, STAFF_CHANNEL, 11), Staff),
        ("THREAD_DELETE", thread(PRIVATE_THREAD, GENERAL, 12), Owner),
        // The guild at large.
        ("GUILD_UPDATE", json!({"id": GUILD, "owner_id": ADA, "name": "renamed"}), Member),
        ("GUILD_ROLE_CREATE", role("940000000000000077", 0), Member),
        ("GUILD_ROLE_UPDATE", role("940000000000000077", 0), Member),
        ("GUILD_ROLE_DELETE", with(of_guild(), json!({"role_id": "940000000000000088"})), Member),
        ("GUILD_EMOJIS_UPDATE", of_guild(), Member),
        ("GUILD_STICKERS_UPDATE", of_guild(), Member),
        ("GUILD_SOUNDBOARD_SOUND_CREATE", of_guild(), Member),
        ("GUILD_SOUNDBOARD_SOUND_UPDATE", of_guild(), Member),
        ("GUILD_SOUNDBOARD_SOUND_DELETE", of_guild(), Member),
        ("GUILD_SOUNDBOARD_SOUNDS_UPDATE", of_guild(), Member),
        ("GUILD_MEMBER_ADD", member("930000000000000099", &[]), Member),
        ("GUILD_MEMBER_UPDATE", member("930000000000000099", &[]), Member),
        ("GUILD_MEMBER_REMOVE", member("930000000000000099", &[]), Member),
        ("PRESENCE_UPDATE", of_guild(), Member),
        ("GUILD_SCHEDULED_EVENT_CREATE", with(of_guild(), json!({"channel_id": null})), Member),
        ("GUILD_SCHEDULED_EVENT_UPDATE", at(LOUNGE), Member),
        ("GUILD_SCHEDULED_EVENT_DELETE", at(STAFF_ROOM), Staff),
        // Anything else.
        ("GUILD_SCHEDULED_EVENT_USER_ADD", of_guild(), Owner),
        ("A_NEW_EVENT_2031", of_guild(), Owner),
        ("A_NEW_EVENT_2031", at(GENERAL), Member),
        ("A_NEW_EVENT_2031", at(STAFF_CHANNEL), Staff),
        ("A_NEW_EVENT_2031", at("910000000000000999"), Owner),
        ("A_NEW_EVENT_2031", at("not an id"), Owner),
        ("A_NEW_EVENT_2031", json!([GUILD]), Nobody),
        ("A_NEW_EVENT_2031", Value::Null, Nobody),
        // An outage is told to administrators and ends nothing.
        ("GUILD_DELETE", json!({"id": GUILD, "unavailable": true}), Owner),
        ("MESSAGE_CREATE", at(STAFF_CHANNEL), Staff),
    ];
    for (t, d, least) in rows {
        let told = stage.play(&[(t, d.to_string())]).await;
        assert_eq!(told, reaching(least, &[t]), "{t} {d}");
    }
    stage.stop().await;
}

#[actix_web::test]
async fn who_sits_in_a_private_room_is_known_to_those_who_can_view_it() {
    let mut stage = Stage::start().await;
    let staff = |events: &str| [events.to_owned(), events.to_owned(), String::new()];
    let split_between = |staff: &str, member: &str| [staff.to_owned(), staff.to_owned(), member.to_owned()];
    let all = |events: &str| [events.to_owned(), events.to_owned(), events.to_owned()];
    let enters = |channel| ("VOICE_STATE_UPDATE", voice(GUEST, channel));
    let steps: Vec<(&str, (&str, Value), [String; 3])> = vec![
        ("enters it", enters(Some(STAFF_ROOM)), staff("VOICE_STATE_UPDATE voice.joined(>204)")),
        (
            "comes out of it",
            enters(Some(LOUNGE)),
            split_between("VOICE_STATE_UPDATE voice.moved(204>201)", "VOICE_STATE_UPDATE voice.joined(>201)"),
        ),
        (
            "goes back in",
            enters(Some(STAFF_ROOM)),
            split_between("VOICE_STATE_UPDATE voice.moved(201>204)", "voice.left(201>)"),
        ),
        ("leaves from it", enters(None), staff("VOICE_STATE_UPDATE voice.left(204>)")),
        ("enters a room for all", enters(Some(LOUNGE)), all("VOICE_STATE_UPDATE voice.joined(>201)")),
        (
            "moves between such",
            enters(Some("910000000000000202")),
            all("VOICE_STATE_UPDATE voice.moved(201>202)"),
        ),
        ("leaves", enters(None), all("VOICE_STATE_UPDATE voice.left(202>)")),
        ("enters the private one", enters(Some(STAFF_ROOM)), staff("VOICE_STATE_UPDATE voice.joined(>204)")),
        (
            "is kicked while there",
            ("GUILD_MEMBER_REMOVE", member(GUEST, &[])),
            split_between("GUILD_MEMBER_REMOVE voice.left(204>)", "GUILD_MEMBER_REMOVE"),
        ),
        ("and the voice state follows", enters(None), staff("VOICE_STATE_UPDATE")),
        ("enters again", enters(Some(STAFF_ROOM)), staff("VOICE_STATE_UPDATE voice.joined(>204)")),
        (
            "the room is deleted",
            ("CHANNEL_DELETE", channel(STAFF_ROOM, 2, &staff_only())),
            staff("CHANNEL_DELETE voice.left(204>) room.deleted(204)"),
        ),
        ("and the voice state follows again", enters(None), staff("VOICE_STATE_UPDATE")),
        (
            "the room is back",
            ("CHANNEL_CREATE", channel(STAFF_ROOM, 2, &staff_only())),
            staff("CHANNEL_CREATE room.created(204)"),
        ),
    ];
    for (what, (t, d), expected) in steps {
        let told = stage.play(&[(t, d.to_string())]).await;
        assert_eq!(told.map(|told| told.join(" ")), expected, "{what}");
    }
    stage.stop().await;
}

#[actix_web::test]
async fn asking_for_a_room_that_one_cannot_view_tells_nothing_of_who_goes_there() {
    let mut stage = Stage::start().await;
    let linus = &mut stage.people[2];
    let mut stream = linus.browser.stream(&format!("?channel={STAFF_ROOM}"), None).await;
    assert_eq!(brief(&stream.until("voice.snapshot").await), "voice.snapshot()");
    let moves = [Some(LOUNGE), Some(STAFF_ROOM), Some(LOUNGE), None];
    stage.play(&moves.map(|channel| ("VOICE_STATE_UPDATE", voice(GUEST, channel).to_string()))).await;
    stage.play(&[("CHANNEL_UPDATE", channel(STAFF_ROOM, 2, &[]).to_string())]).await;
    // The first he hears of it is that it is public now.
    let first = stream.next().await.unwrap();
    assert_eq!(first.what(), "CHANNEL_UPDATE", "{}", first.data);
    stage.stop().await;
}

/// One event of each place and right that an access is made of, by what it is called in the table below.
fn probes() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("general", "MESSAGE_CREATE", at(GENERAL)),
        ("thread", "MESSAGE_UPDATE", at(THREAD)),
        ("private-thread", "MESSAGE_DELETE", at(PRIVATE_THREAD)),
        ("staff", "TYPING_START", at(STAFF_CHANNEL)),
        ("staff-thread", "MESSAGE_POLL_VOTE_ADD", at(STAFF_THREAD)),
        ("staff-room", "VOICE_CHANNEL_STATUS_UPDATE", json!({"guild_id": GUILD, "id": STAFF_ROOM})),
        ("vault", "MESSAGE_REACTION_ADD", at(VAULT)),
        ("bans", "GUILD_BAN_REMOVE", with(of_guild(), json!({"user": {"id": "7"}}))),
        ("audit", "GUILD_AUDIT_LOG_ENTRY_CREATE", of_guild()),
        ("integrations", "INTEGRATION_UPDATE", of_guild()),
        ("webhooks", "WEBHOOKS_UPDATE", at(GENERAL)),
        ("invites", "INVITE_CREATE", at(GENERAL)),
        ("unknown", "A_NEW_EVENT_2031", of_guild()),
    ]
}

const ALL: &str = "general thread private-thread staff staff-thread staff-room vault bans audit integrations webhooks \
                   invites unknown";
const STAFFS: &str = "general thread staff staff-thread staff-room";
const MEMBERS: &str = "general thread";
const WITH_STAFF_ROOM: &str = "voice.snapshot(201 202 203 204)";
const WITHOUT_STAFF_ROOM: &str = "voice.snapshot(201 202 203)";

/// What one person is sent of a step: of the change itself, of the probes after it, and of the rooms they see now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// The change, these places, and fresh snapshots where the visible channels are others than before.
    Change(&'static str, &'static str),
    /// The same without the change.
    NoChange(&'static str, &'static str),
    /// Nothing more: the stream ends, and another is refused with 403.
    TheEnd,
    /// They hold no stream.
    Absent,
}

use Sees::{Absent, Change, NoChange, TheEnd};

/// `event` as the bot is told of the whole guild: `roles` by their permissions, who sees the staff's places, and members.
fn whole_guild(staff: u64, staff_room: &[Value], members: &[Value]) -> Value {
    let roles = [(GUILD, VIEW | SEND), (STAFF, staff)].map(|(id, held)| role(id, held)["role"].clone());
    let general = ["910000000000000102", "910000000000000104", GENERAL].map(|id| channel(id, 0, &[]));
    let rooms = [(LOUNGE, 2), ("910000000000000202", 2), ("910000000000000203", 13)];
    let mut channels = general.to_vec();
    channels.extend(rooms.map(|(id, kind)| channel(id, kind, &[])));
    channels.push(channel(STAFF_CHANNEL, 0, &staff_only()));
    channels.push(channel(VAULT, 0, &[overwrite(GUILD, 0, 0, VIEW)]));
    channels.push(channel(STAFF_ROOM, 2, staff_room));
    let threads = [(THREAD, GENERAL, 11), (PRIVATE_THREAD, GENERAL, 12), (STAFF_THREAD, STAFF_CHANNEL, 11)];
    let threads = threads.map(|(id, parent, kind)| thread(id, parent, kind));
    // Those whom the sandbox has seated stay where they are.
    let seated = (4..9).map(|n| {
        voice(&format!("93000000000000000{n}"), Some(if n < 7 { LOUNGE } else { "910000000000000202" }))
    });
    json!({
        "id": GUILD, "owner_id": ADA, "unavailable": false, "roles": roles, "channels": channels, "threads": threads,
        "members": members, "voice_states": seated.collect::<Vec<_>>(),
    })
}

#[actix_web::test]
async fn the_next_event_after_a_change_of_access_is_judged_by_the_new_rules() {
    /// Bans, audit log, integrations, webhooks, invites, private threads.
    const RIGHTS: u64 = 1 << 2 | 1 << 7 | 1 << 5 | 1 << 29 | 1 << 4 | 1 << 34;
    const RIGHTFUL: &str = "general thread private-thread staff staff-thread staff-room bans audit integrations webhooks invites";
    const TRUSTED: &str = "940000000000000055";
    let staff_room = |overwrites: &[Value]| vec![("CHANNEL_UPDATE", channel(STAFF_ROOM, 2, overwrites))];
    let staff_channel =
        |overwrites: &[Value]| vec![("CHANNEL_UPDATE", channel(STAFF_CHANNEL, 0, overwrites))];
    let timed_out = |until: Value| {
        vec![(
            "GUILD_MEMBER_UPDATE",
            with(member(GRACE, &[STAFF]), json!({"communication_disabled_until": until})),
        )]
    };
    let owned_by = |owner: &str| vec![("GUILD_UPDATE", json!({"id": GUILD, "owner_id": owner}))];
    let roles_of_linus = |roles: &[&str]| ("GUILD_MEMBER_UPDATE", member(LINUS, roles));
    let returned = whole_guild(0, &[], &[member(ADA, &[]), member(GRACE, &[STAFF]), member(LINUS, &[])]);

    // Of each step: what happens, and what ada, grace and linus are sent.
    let steps: Vec<(&str, Vec<(&str, Value)>, [Sees; 3])> = vec![
        (
            "nothing changes",
            vec![("GUILD_STICKERS_UPDATE", of_guild())],
            [Change(ALL, ""), Change(STAFFS, ""), Change(MEMBERS, "")],
        ),
        (
            "linus becomes staff",
            vec![roles_of_linus(&[STAFF])],
            [Change(ALL, ""), Change(STAFFS, ""), Change(STAFFS, WITH_STAFF_ROOM)],
        ),
        (
            "and is staff no more",
            vec![roles_of_linus(&[])],
            [Change(ALL, ""), Change(STAFFS, ""), Change(MEMBERS, WITHOUT_STAFF_ROOM)],
        ),
        (
            "#staff is made public",
            staff_channel(&[]),
            [
                Change(ALL, ""),
                Change(STAFFS, ""),
                Change("general thread staff staff-thread", WITHOUT_STAFF_ROOM),
            ],
        ),
        (
            "#staff is made private",
            staff_channel(&staff_only()),
            [Change(ALL, ""), Change(STAFFS, ""), NoChange(MEMBERS, WITHOUT_STAFF_ROOM)],
        ),
        (
            "the Staff Room is made public",
            staff_room(&[]),
            [Change(ALL, ""), Change(STAFFS, ""), Change("general thread staff-room", WITH_STAFF_ROOM)],
        ),
        (
            "the Staff Room is linus's alone",
            staff_room(&[overwrite(GUILD, 0, 0, VIEW), overwrite(LINUS, 1, VIEW, 0)]),
            [
                Change(ALL, ""),
                NoChange("general thread staff staff-thread", WITHOUT_STAFF_ROOM),
                Change("general thread staff-room", ""),
            ],
        ),
        (
            "the Staff Room is as it was",
            staff_room(&staff_only()),
            [Change(ALL, ""), Change(STAFFS, WITH_STAFF_ROOM), NoChange(MEMBERS, WITHOUT_STAFF_ROOM)],
        ),
        (
            "staff is given rights",
            vec![("GUILD_ROLE_UPDATE", role(STAFF, RIGHTS))],
            [Change(ALL, ""), Change(RIGHTFUL, ""), Change(MEMBERS, "")],
        ),
        (
            "grace is timed out, and keeps what she can view",
            timed_out(json!("2099-01-01T00:00:00+00:00")),
            [Change(ALL, ""), Change(STAFFS, ""), Change(MEMBERS, "")],
        ),
        (
            "grace is let off",
            timed_out(Value::Null),
            [Change(ALL, ""), Change(RIGHTFUL, ""), Change(MEMBERS, "")],
        ),
        (
            "linus is made an administrator",
            vec![("GUILD_ROLE_CREATE", role(TRUSTED, 8)), roles_of_linus(&[TRUSTED])],
            [Change(ALL, ""), Change(RIGHTFUL, ""), Change(ALL, WITH_STAFF_ROOM)],
        ),
        (
            "the role is an administrator's no more",
            vec![("GUILD_ROLE_UPDATE", role(TRUSTED, 0))],
            [Change(ALL, ""), Change(RIGHTFUL, ""), Change(MEMBERS, WITHOUT_STAFF_ROOM)],
        ),
        (
            "@everyone can view nothing",
            vec![("GUILD_ROLE_UPDATE", role(GUILD, 0))],
            [
                Change(ALL, ""),
                Change("staff staff-thread staff-room bans audit integrations", "voice.snapshot(204)"),
                Change("", "voice.snapshot()"),
            ],
        ),
        (
            "@everyone can view again",
            vec![("GUILD_ROLE_UPDATE", role(GUILD, VIEW | SEND))],
            [Change(ALL, ""), Change(RIGHTFUL, WITH_STAFF_ROOM), Change(MEMBERS, WITHOUT_STAFF_ROOM)],
        ),
        (
            "the guild is given to linus",
            owned_by(LINUS),
            [Change(MEMBERS, WITHOUT_STAFF_ROOM), Change(RIGHTFUL, ""), Change(ALL, WITH_STAFF_ROOM)],
        ),
        (
            "the guild is given back",
            owned_by(ADA),
            [Change(ALL, WITH_STAFF_ROOM), Change(RIGHTFUL, ""), Change(MEMBERS, WITHOUT_STAFF_ROOM)],
        ),
        (
            "the staff role is deleted",
            vec![("GUILD_ROLE_DELETE", with(of_guild(), json!({"role_id": STAFF})))],
            [Change(ALL, ""), Change(MEMBERS, WITHOUT_STAFF_ROOM), Change(MEMBERS, "")],
        ),
        (
            "an outage changes nothing",
            vec![("GUILD_DELETE", json!({"id": GUILD, "unavailable": true}))],
            [Change(ALL, ""), NoChange(MEMBERS, ""), NoChange(MEMBERS, "")],
        ),
        (
            "the guild is back, with the staff role and a public Staff Room",
            vec![("GUILD_CREATE", returned)],
            [
                Change(ALL, ""),
                NoChange(STAFFS, WITH_STAFF_ROOM),
                NoChange("general thread staff-room", WITH_STAFF_ROOM),
            ],
        ),
        (
            "linus is kicked",
            vec![("GUILD_MEMBER_REMOVE", member(LINUS, &[]))],
            [Change(ALL, ""), Change(STAFFS, ""), TheEnd],
        ),
        (
            "linus comes again",
            vec![("GUILD_MEMBER_ADD", member(LINUS, &[]))],
            [Change(ALL, ""), Change(STAFFS, ""), Absent],
        ),
        (
            "linus is banned",
            vec![("GUILD_BAN_ADD", with(of_guild(), json!({"user": {"id": LINUS}})))],
            [Change(ALL, ""), NoChange(STAFFS, ""), TheEnd],
        ),
        ("the bot is removed", vec![("GUILD_DELETE", json!({"id": GUILD}))], [TheEnd, TheEnd, Absent]),
    ];

    let mut stage = Stage::start().await;
    let threads = [thread(PRIVATE_THREAD, GENERAL, 12), thread(STAFF_THREAD, STAFF_CHANNEL, 11)];
    stage.play(&threads.map(|d| ("THREAD_CREATE", d.to_string()))).await;
    let probes = probes();
    for (what, change, expected) in steps {
        let change: Vec<_> = change.into_iter().map(|(t, d)| (t, d.to_string())).collect();
        let probing = probes.iter().map(|(_, t, d)| (*t, d.to_string()));
        let told = stage.play(&change.iter().cloned().chain(probing).collect::<Vec<_>>()).await;
        for ((told, expected), person) in told.into_iter().zip(expected).zip(&mut stage.people) {
            let who = person.browser.get("/api/session").await.1;
            let (mut snapshots, told): (Vec<_>, Vec<_>) =
                told.into_iter().partition(|event| event.starts_with("voice.snapshot"));
            let (sees_change, places, snapshot) = match expected {
                Change(places, snapshot) => (true, places, snapshot),
                NoChange(places, snapshot) => (false, places, snapshot),
                TheEnd => {
                    assert_eq!(told, [END], "{what}: {who}");
                    assert_eq!(person.browser.get("/api/stream").await.0, 403, "{what}: {who}");
                    continue;
                }
                Absent => continue,
            };
            let mut events: Vec<_> =
                change.iter().filter(|_| sees_change).map(|(t, _)| (*t).to_owned()).collect();
            let seen = probes.iter().filter(|(place, ..)| places.split(' ').any(|seen| seen == *place));
            events.extend(seen.map(|(_, t, _)| (*t).to_owned()));
            assert_eq!(told, events, "{what}: {who}");
            // A snapshot comes where it belongs in the order, which may be after all of this.
            if snapshots.is_empty() && !snapshot.is_empty() {
                snapshots.push(person.next().await);
            }
            assert_eq!(snapshots.join(" "), snapshot, "{what}: {who}");
            let listed = person.listed().await;
            for (place, id) in
                [("general", GENERAL), ("staff", STAFF_CHANNEL), ("staff-room", STAFF_ROOM), ("vault", VAULT)]
            {
                let sees = places.split(' ').any(|seen| seen == place);
                assert_eq!(listed.contains(id), sees, "{what}: {who}: {place}");
            }
        }
        if what == "linus comes again" {
            assert_eq!(stage.people[2].open().await, WITH_STAFF_ROOM);
            // His snapshot may be as old as his leaving; what came after it is played to him first.
            stage.play(&[]).await;
        }
    }
    stage.stop().await;
}

#[actix_web::test]
async fn what_was_missed_is_judged_by_the_rules_of_its_delivery() {
    let mut stage = Stage::start().await;
    let secret = || ("MESSAGE_CREATE", at(STAFF_CHANNEL).to_string());
    let roles = |roles: &[&str]| ("GUILD_MEMBER_UPDATE", member(LINUS, roles).to_string());
    let away = [
        ("was staff for a while", vec![roles(&[STAFF]), secret(), roles(&[])], 2, 0, ""),
        ("becomes staff", vec![secret(), roles(&[STAFF]), secret()], 1, 2, WITH_STAFF_ROOM),
    ];
    for (what, missed, updates, messages, snapshot) in away {
        let position = stage.people[2].stream.take().unwrap().id;
        stage.play(&missed).await;
        let mark = stage.mark();
        let linus = &mut stage.people[2];
        let mut stream = linus.browser.stream("", position.as_deref()).await;
        stream.until("connected").await;
        linus.stream = Some(stream);
        let mut told = linus.told(&mark, &missed).await;
        if !snapshot.is_empty() && !told.iter().any(|event| event == snapshot) {
            told.push(linus.next().await);
        }
        let count = |name: &str| told.iter().filter(|event| event.starts_with(name)).count();
        assert_eq!(
            (count("GUILD_MEMBER_UPDATE"), count("MESSAGE_CREATE")),
            (updates, messages),
            "{what}: {told:?}"
        );
        assert_eq!(count("voice.snapshot"), usize::from(!snapshot.is_empty()), "{what}: {told:?}");
        assert!(snapshot.is_empty() || count(snapshot) == 1, "{what}: {told:?}");
    }
    stage.stop().await;
}

#[actix_web::test]
async fn members_of_a_large_guild_that_were_never_heard_of_are_looked_up_once() {
    let mut bridge = Bridge::among(20_000, &[]).await;
    bridge.start_gateway().await;
    bridge.start_web().await;
    bridge.until_ready().await;
    let rest_calls = async || {
        let state = bridge.json(&format!("{}/sandbox/state", bridge.discord_url)).await;
        state["rest"]["requests"].as_u64().unwrap()
    };
    for (person, rooms) in [("grace", "201 202 203 204"), ("linus", "201 202 203")] {
        let mut person = Person { browser: bridge.sign_in(person).await, stream: None };
        let before = rest_calls().await;
        for _ in 0..3 {
            assert_eq!(person.open().await, format!("voice.snapshot({rooms})"));
        }
        assert_eq!(rest_calls().await - before, 1, "one look-up");
    }
    bridge.stop().await;
}

#[actix_web::test]
async fn who_left_while_nobody_listened_is_looked_up_and_refused() {
    let mut bridge = Bridge::without_roles(&[]).await;
    bridge.start_web().await;
    let linus = bridge.sign_in("linus").await;
    bridge.control(&format!("members/{LINUS}/leave"), String::new()).await;
    let mut stream = linus.stream("", None).await;
    bridge.start_gateway().await;
    bridge.until_ready().await;
    let mut told = Vec::new();
    while let Some(event) = stream.next().await {
        told.push(event.what());
    }
    assert_eq!(told, ["connected"]);
    assert_eq!(linus.get("/api/stream").await.0, 403);
    bridge.stop().await;
}
