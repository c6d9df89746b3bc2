//! Every command against everything Discord may answer, and against everyone who may not.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json, value::RawValue};
use serenity::http::HttpBuilder;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{COMMANDS, Commands, Met, rest::Rest};
use crate::{
    command_log::{Asker, Outcome},
    guild_model::{
        GuildModel,
        fixture::{ADA, GRACE, GUILD, LINUS, MALLORY, channel, member, model, tell, thread, voice},
    },
    link_frame::{Command, Refusal},
    link_server::LinkId,
    permissions::Permissions,
    questions::Lookup,
    snowflake::{GuildId, UserId},
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Discord that answers every call alike.
struct Double {
    addr: SocketAddr,
    calls: Arc<AtomicU64>,
    /// How long a call to it may take: only what is stalled on purpose is not waited for.
    deadline: Duration,
    server: JoinHandle<()>,
}

#[derive(Clone)]
enum Behaviour {
    /// Sends this and closes.
    Answer(String),
    /// Never answers.
    Stall,
    /// Tears the connection when it has read the request.
    Reset,
}

impl Double {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let stalls = matches!(behaviour, Behaviour::Stall);
        let deadline = if stalls { Duration::from_millis(50) } else { PATIENCE };
        let server = tokio::task::spawn_local(async move {
            let mut held = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                if !read_request(&mut socket).await {
                    continue;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                match &behaviour {
                    Behaviour::Answer(answer) => socket.write_all(answer.as_bytes()).await.unwrap(),
                    Behaviour::Stall => held.push(socket),
                    Behaviour::Reset => socket.set_zero_linger().unwrap(),
                }
            }
        });
        Self { addr, calls, deadline, server }
    }

    fn commands(&self) -> Commands {
        commands(self.addr, self.deadline)
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads a request to its end; `false` when there is none.
async fn read_request(socket: &mut TcpStream) -> bool {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = socket.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return false;
        }
        text.extend_from_slice(&chunk[..read]);
        let request = String::from_utf8_lossy(&text).to_ascii_lowercase();
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return true;
        }
    }
}

fn commands(addr: SocketAddr, deadline: Duration) -> Commands {
    let http = HttpBuilder::new("token").proxy(format!("http://{addr}")).ratelimiter_disabled(true).build();
    let http = Arc::new(http);
    let rest = Rest::with_deadline(Arc::clone(&http), deadline);
    Commands { rest, ..Commands::new(http) }
}

/// For what is decided before any call is made.
fn unconnected() -> Commands {
    commands(([127, 0, 0, 1], 9).into(), PATIENCE)
}

fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Behaviour {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    Behaviour::Answer(text + "\r\n" + body)
}

fn command(name: &str, payload: &Value, actor: Option<UserId>, id: Option<&str>) -> Command {
    Command {
        command: name.to_owned(),
        payload: RawValue::from_string(payload.to_string()).unwrap(),
        actor,
        request_id: id.map(ToOwned::to_owned),
        key: None,
        first_sent: None,
    }
}

/// What LinkServer does with a command.
async fn run(commands: &mut Commands, model: &GuildModel, command: Command) -> Outcome {
    let asker = Asker { link: LinkId(1), request_id: command.request_id.clone() };
    let job = match commands.meet(command, asker) {
        Met::Begin(job) => job,
        Met::Answered(outcome) => return outcome,
        Met::Joined => panic!("nothing else is under way"),
    };
    let outcome = match commands.prepare(&job, model, &[GUILD]) {
        Ok(call) => {
            let reply = commands.send(call).await;
            commands.replied(&job, reply)
        }
        Err(refusal) => Err(refusal),
    };
    assert_eq!(commands.conclude(job, &outcome).len(), 1, "the asker is told");
    outcome
}

/// The call that a command would be, or the code of its refusal.
fn prepared(model: &GuildModel, user: UserId, name: &str, payload: &Value) -> Result<String, Refusal> {
    let mut commands = unconnected();
    let asker = Asker { link: LinkId(1), request_id: None };
    let Met::Begin(job) = commands.meet(command(name, payload, Some(user), None), asker) else {
        panic!("{name} is new")
    };
    commands.prepare(&job, model, &[GUILD]).map(|call| format!("{call:?}"))
}

fn code(model: &GuildModel, user: UserId, name: &str, payload: &Value) -> String {
    prepared(model, user, name, payload).map_or_else(|refusal| refusal.code, |_| "ok".to_owned())
}

/// The fixture's guild: everyone may write, react and connect, staff moderates; linus and grace sit in 201, ada in the
/// staff's 203. Thread 403 is locked.
fn world() -> GuildModel {
    let mut model = model();
    let everyone = Permissions::VIEW_CHANNEL
        | Permissions::SEND_MESSAGES
        | Permissions::SEND_MESSAGES_IN_THREADS
        | Permissions::READ_MESSAGE_HISTORY
        | Permissions::ADD_REACTIONS
        | Permissions::CONNECT;
    let staff = Permissions::MANAGE_MESSAGES | Permissions::MOVE_MEMBERS;
    for (role, permissions) in [("100", everyone), ("301", staff)] {
        let role = json!({"guild_id": "100", "role": {"id": role, "permissions": permissions}});
        tell(&mut model, "GUILD_ROLE_UPDATE", &role);
    }
    let mut locked = thread(403, 11, 101);
    locked["thread_metadata"] = json!({"locked": true, "archived": false});
    tell(&mut model, "THREAD_CREATE", &locked);
    for (user, room) in [(3, 201), (2, 201), (1, 203)] {
        tell(&mut model, "VOICE_STATE_UPDATE", &voice(user, Some(room)));
    }
    model
}

/// Each command with arguments that the guild's owner may use.
fn each() -> Vec<(&'static str, Value)> {
    let reaction = json!({"channelId": "101", "messageId": "7", "emoji": "👍"});
    let each = vec![
        ("send_message", json!({"channelId": "101", "content": "x"})),
        ("edit_message", json!({"channelId": "101", "messageId": "7", "content": "x"})),
        ("delete_message", json!({"channelId": "101", "messageId": "7"})),
        ("start_typing", json!({"channelId": "101"})),
        ("add_reaction", reaction.clone()),
        ("remove_reaction", reaction),
        ("create_channel", json!({"guildId": "100", "name": "x", "type": "voice"})),
        ("delete_channel", json!({"channelId": "101"})),
        ("move_member", json!({"guildId": "100", "userId": "3", "channelId": "202"})),
    ];
    assert_eq!(each.len(), COMMANDS.len());
    each
}

/// Runs on one thread, where the double can be a local task.
fn locally(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn whatever_discord_answers_is_told_once_and_nothing_is_tried_again() {
    let discord = |code: u64| json!({"message": "no", "code": code}).to_string();
    let cases = [
        ("403", answer("403 Forbidden", &[], &discord(50013)), "DISCORD_ERROR", Some((403, Some(50013)))),
        ("404", answer("404 Not Found", &[], &discord(10003)), "DISCORD_ERROR", Some((404, Some(10003)))),
        ("400", answer("400 Bad Request", &[], &discord(50035)), "DISCORD_ERROR", Some((400, Some(50035)))),
        ("500", answer("500 Internal Server Error", &[], ""), "DISCORD_ERROR", Some((500, None))),
        ("502 of a proxy", answer("502 Bad Gateway", &[], "<html>"), "DISCORD_ERROR", Some((502, None))),
        (
            "redirect",
            answer("307 Temporary Redirect", &[("Location", "/elsewhere")], ""),
            "DISCORD_ERROR",
            Some((307, None)),
        ),
        ("stall", Behaviour::Stall, "OUTCOME_UNKNOWN", None),
        ("reset", Behaviour::Reset, "OUTCOME_UNKNOWN", None),
        ("no HTTP", Behaviour::Answer("garbage\r\n\r\n".to_owned()), "OUTCOME_UNKNOWN", None),
        ("204", Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n".to_owned()), "ok", None),
        ("2xx that is no JSON", answer("200 OK", &[], "<html>"), "ok", None),
        (
            "2xx cut short",
            Behaviour::Answer("HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{\"id\"".to_owned()),
            "ok",
            None,
        ),
    ];
    locally(async {
        let model = world();
        for (what, behaviour, expected, said) in cases {
            for actor in [Some(ADA), None] {
                let double = Double::start(behaviour.clone()).await;
                for (name, payload) in each() {
                    let mut commands = double.commands();
                    let before = double.calls();
                    let ask = || command(name, &payload, actor, Some("r"));
                    let outcome = run(&mut commands, &model, ask()).await;
                    let code = outcome.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "ok");
                    assert_eq!(code, expected, "{what}: {name} for {actor:?}");
                    if let Ok(data) = &outcome {
                        assert_eq!(data.get(), "null", "{what}: {name}");
                    }
                    let discord = outcome.as_ref().err().and_then(|refusal| refusal.discord.as_ref());
                    let discord = discord.map(|it| serde_json::from_str::<Value>(it.get()).unwrap());
                    let status = discord.map(|it| (it["status"].as_u64().unwrap(), it["code"].as_u64()));
                    assert_eq!(status, said, "{what}: {name}");
                    assert_eq!(double.calls() - before, 1, "{what}: {name} is called once");
                    // The same again is told the same, unless trying it again can do no harm.
                    let again = run(&mut commands, &model, ask()).await;
                    let code = again.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "ok");
                    assert_eq!(code, expected, "{what}: {name} again");
                    let harmless =
                        ["send_message", "edit_message", "add_reaction", "move_member"].contains(&name);
                    let tries = if expected == "OUTCOME_UNKNOWN" && harmless { 2 } else { 1 };
                    assert_eq!(double.calls() - before, tries, "{what}: {name} again");
                }
            }
        }
    });
}

#[test]
fn a_discord_that_cannot_be_reached_was_told_nothing() {
    locally(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let model = world();
        for (name, payload) in each() {
            let mut commands = commands(addr, PATIENCE);
            let outcome = run(&mut commands, &model, command(name, &payload, Some(ADA), Some("r"))).await;
            assert_eq!(outcome.unwrap_err().code, "UNAVAILABLE", "{name}");
        }
    });
}

#[test]
fn a_limit_of_one_route_holds_that_route_and_a_global_one_holds_all() {
    let limited = |global: bool, retry_after: &str| {
        let body = format!(r#"{{"message":"slow down","retry_after":{retry_after},"global":{global}}}"#);
        answer("429 Too Many Requests", &[("Retry-After", "2")], &body)
    };
    let header = [("Retry-After", "3"), ("X-RateLimit-Global", "true")];
    let by_cloudflare = answer("429 Too Many Requests", &[("Retry-After", "2")], "<html>");
    let cases = [
        ("route", limited(false, "30.5"), 30.5, false),
        ("global", limited(true, "30.5"), 30.5, true),
        ("global by header", answer("429 Too Many Requests", &header, ""), 3.0, true),
        ("without a body", by_cloudflare, 2.0, false),
        ("absurd", limited(false, "1e300"), 86_400.0, false),
        ("negative", limited(false, "-7"), 0.0, false),
        ("no number", answer("429 Too Many Requests", &[("Retry-After", "NaN")], ""), 1.0, false),
    ];
    locally(async {
        let model = world();
        for (what, behaviour, wait, global) in cases {
            let double = Double::start(behaviour).await;
            for (name, payload) in each() {
                let mut commands = double.commands();
                let ask = |id: &str| command(name, &payload, Some(ADA), Some(id));
                let refusal = run(&mut commands, &model, ask("r")).await.unwrap_err();
                assert_eq!(
                    (refusal.code.as_str(), refusal.retry_after_s),
                    ("RATE_LIMITED", Some(wait)),
                    "{what}: {name}"
                );
                let before = double.calls();
                let held = run(&mut commands, &model, ask("r")).await.unwrap_err();
                assert_eq!(held.code, "RATE_LIMITED");
                assert_eq!(double.calls() - before, u64::from(wait == 0.0), "{what}: {name} is held");
                let before = double.calls();
                let other = json!({"channelId": "102"});
                run(&mut commands, &model, command("start_typing", &other, Some(ADA), None))
                    .await
                    .unwrap_err();
                assert_eq!(double.calls() - before, u64::from(!global), "{what}: another route after {name}");
            }
        }
    });
}

#[test]
fn a_message_whose_outcome_is_unknown_is_tried_again_while_discord_knows_its_nonce_and_no_longer() {
    let model = world();
    let mut commands = unconnected();
    for (name, payload) in each() {
        for (ago_s, own_nonce) in [(0, false), (100, false), (130, false), (10, true)] {
            let mut payload = payload.clone();
            if own_nonce && name == "send_message" {
                payload["nonce"] = json!("mine");
            }
            let sent = Command {
                first_sent: Some(Duration::from_secs(ago_s)),
                ..command(name, &payload, Some(ADA), Some(&format!("{name} {ago_s}")))
            };
            let asker = Asker { link: LinkId(1), request_id: None };
            let Met::Begin(job) = commands.meet(sent, asker) else { panic!("new here") };
            let may = match name {
                "send_message" => ago_s < 120 && !own_nonce,
                "edit_message" | "add_reaction" | "move_member" => true,
                _ => false,
            };
            let outcome = commands.prepare(&job, &model, &[GUILD]);
            assert_eq!(outcome.is_ok(), may, "{name} after {ago_s} s");
            if let Err(refusal) = outcome {
                assert_eq!(refusal.code, "OUTCOME_UNKNOWN", "{name}");
            }
        }
    }
}

#[test]
fn what_may_have_been_done_is_not_called_forbidden_afterwards() {
    let model = world();
    let mut commands = unconnected();
    let sent = Command {
        first_sent: Some(Duration::from_secs(1)),
        ..command("send_message", &json!({"channelId": "102", "content": "x"}), Some(LINUS), Some("r"))
    };
    let Met::Begin(job) = commands.meet(sent, Asker { link: LinkId(1), request_id: None }) else {
        panic!("new")
    };
    assert_eq!(commands.prepare(&job, &model, &[GUILD]).unwrap_err().code, "OUTCOME_UNKNOWN");
}

#[test]
fn members_are_looked_up_until_discord_has_enough_of_it() {
    let lookups: BTreeSet<_> = (1..=100).map(|user| Lookup { guild: GUILD, user: UserId(user) }).collect();
    let member = r#"{"roles":[],"user":{"id":"1"}}"#;
    let last = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset-After", "30")];
    let cases = [
        ("members", answer("200 OK", &[], member), 100, 100, Some(true)),
        ("nobody", answer("404 Not Found", &[], "{}"), 100, 100, Some(false)),
        ("trouble", answer("500 Internal Server Error", &[], ""), 100, 100, None),
        ("a limit", answer("429 Too Many Requests", &[("Retry-After", "30")], ""), 8, 0, None),
        ("the last for now", answer("200 OK", &last, member), 8, 0, Some(true)),
    ];
    locally(async {
        for (what, behaviour, most, again, expected) in cases {
            let double = Double::start(behaviour).await;
            let mut commands = double.commands();
            let found = commands.look_up(lookups.clone()).await;
            let known: Vec<_> = found.members.iter().map(|(_, member)| Some(member.is_some())).collect();
            assert!(known.iter().all(|known| *known == expected), "{what}: {known:?}");
            assert_eq!(known.is_empty(), expected.is_none(), "{what}");
            commands.looked_up(found);
            assert!(double.calls() <= most, "{what}: {} calls", double.calls());
            let before = double.calls();
            commands.look_up(lookups.clone()).await;
            assert_eq!(double.calls() - before, again, "{what}: again");
        }
    });
}

#[test]
fn a_route_that_is_used_up_is_held_without_asking() {
    locally(async {
        let last = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset-After", "30")];
        let double = Double::start(answer("200 OK", &last, "{}")).await;
        let (mut commands, model) = (double.commands(), world());
        let typing = |channel: &str| command("start_typing", &json!({"channelId": channel}), Some(ADA), None);
        run(&mut commands, &model, typing("101")).await.unwrap();
        let held = run(&mut commands, &model, typing("101")).await.unwrap_err();
        assert_eq!((held.code.as_str(), double.calls()), ("RATE_LIMITED", 1));
        assert!(held.retry_after_s.is_some_and(|seconds| seconds > 25.0));
        run(&mut commands, &model, typing("102")).await.unwrap();
    });
}

#[test]
fn each_may_do_what_discord_lets_them_do() {
    let model = world();
    let write = |channel: &str| json!({"channelId": channel, "content": "x"});
    let react = |channel: &str| json!({"channelId": channel, "messageId": "7", "emoji": "👍"});
    let mention =
        |allowed: Value| json!({"channelId": "101", "content": "@everyone", "allowedMentions": allowed});
    let make = |parent: Value| json!({"guildId": "100", "name": "x", "type": 2, "parentId": parent});
    let sit = |user: &str, channel: Value| json!({"guildId": "100", "userId": user, "channelId": channel});
    // For ada, grace and linus.
    let table = [
        ("in the open", "send_message", write("101"), ["ok", "ok", "ok"]),
        ("among staff", "send_message", write("102"), ["ok", "ok", "FORBIDDEN"]),
        ("in no channel", "send_message", write("999"), ["FORBIDDEN"; 3]),
        ("in a thread", "send_message", write("401"), ["ok", "ok", "ok"]),
        ("in a private thread", "send_message", write("402"), ["ok", "FORBIDDEN", "FORBIDDEN"]),
        (
            "in a locked thread",
            "send_message",
            write("403"),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        (
            "in a locked thread",
            "add_reaction",
            react("403"),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        ("in a room", "send_message", write("201"), ["ok", "ok", "ok"]),
        ("among staff", "start_typing", json!({"channelId": "102"}), ["ok", "ok", "FORBIDDEN"]),
        ("among staff", "add_reaction", react("102"), ["ok", "ok", "FORBIDDEN"]),
        (
            "pings all",
            "send_message",
            mention(json!({"parse": ["everyone"]})),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        (
            "pings roles",
            "send_message",
            mention(json!({"parse": ["roles"]})),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        (
            "pings a role",
            "send_message",
            mention(json!({"roles": ["301"]})),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        ("pings people", "send_message", mention(json!({"users": ["1"], "replied_user": true})), ["ok"; 3]),
        (
            "pings all in an edit",
            "edit_message",
            json!({"channelId": "101", "messageId": "7", "content": "x", "allowed_mentions": {"parse": ["everyone"]}}),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        (
            "embeds",
            "send_message",
            json!({"channelId": "101", "embeds": [{"title": "x"}]}),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        (
            "another's",
            "delete_message",
            json!({"channelId": "101", "messageId": "7"}),
            ["ok", "ok", "MISSING_PERMISSIONS"],
        ),
        (
            "another's",
            "edit_message",
            json!({"channelId": "101", "messageId": "7", "content": "x"}),
            ["ok", "ok", "MISSING_PERMISSIONS"],
        ),
        (
            "another's",
            "remove_reaction",
            json!({"channelId": "101", "messageId": "7", "emoji": "x", "userId": "9"}),
            ["ok", "ok", "MISSING_PERMISSIONS"],
        ),
        (
            "own",
            "remove_reaction",
            json!({"channelId": "101", "messageId": "7", "emoji": "x", "userId": "3"}),
            ["ok", "ok", "ok"],
        ),
        (
            "at the top",
            "create_channel",
            make(Value::Null),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        (
            "under a hidden one",
            "create_channel",
            make(json!("102")),
            ["ok", "MISSING_PERMISSIONS", "FORBIDDEN"],
        ),
        ("elsewhere", "create_channel", json!({"guildId": "5", "name": "x", "type": 2}), ["FORBIDDEN"; 3]),
        (
            "open",
            "delete_channel",
            json!({"channelId": "101"}),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        ("hidden", "delete_channel", json!({"channelId": "102"}), ["ok", "MISSING_PERMISSIONS", "FORBIDDEN"]),
        (
            "thread",
            "delete_channel",
            json!({"channelId": "401"}),
            ["ok", "MISSING_PERMISSIONS", "MISSING_PERMISSIONS"],
        ),
        ("to another room", "move_member", sit("3", json!("202")), ["ok", "ok", "ok"]),
        ("out", "move_member", sit("3", Value::Null), ["ok", "ok", "ok"]),
        ("out", "move_member", sit("2", Value::Null), ["ok", "ok", "MISSING_PERMISSIONS"]),
        ("to a hidden room", "move_member", sit("3", json!("203")), ["ok", "ok", "FORBIDDEN"]),
        ("out of a hidden room", "move_member", sit("1", Value::Null), ["ok", "ok", "MISSING_PERMISSIONS"]),
        (
            "who sits nowhere",
            "move_member",
            sit("4", Value::Null),
            ["FORBIDDEN", "FORBIDDEN", "MISSING_PERMISSIONS"],
        ),
        ("to no room", "move_member", sit("3", json!("999")), ["FORBIDDEN"; 3]),
        (
            "elsewhere",
            "move_member",
            json!({"guildId": "5", "userId": "3", "channelId": null}),
            ["FORBIDDEN"; 3],
        ),
    ];
    for (what, name, payload, expected) in table {
        let codes = [ADA, GRACE, LINUS].map(|user| code(&model, user, name, &payload));
        assert_eq!(codes, expected, "{name}: {what}");
    }
    for (name, payload) in each() {
        let refusal = code(&model, MALLORY, name, &payload);
        assert!(["FORBIDDEN", "UNAVAILABLE"].contains(&refusal.as_str()), "an outsider: {name}: {refusal}");
    }
}

#[test]
fn where_someone_sits_is_not_told_to_who_cannot_see_it() {
    let mut model = world();
    let sit = json!({"guildId": "100", "userId": "1", "channelId": null});
    let refusal = |model: &GuildModel, user| prepared(model, user, "move_member", &sit).unwrap_err();
    let hidden = refusal(&model, LINUS);
    tell(&mut model, "VOICE_STATE_UPDATE", &voice(1, None));
    let nowhere = refusal(&model, LINUS);
    assert_eq!((hidden.code, &hidden.message), (nowhere.code, &nowhere.message));
    assert!(!hidden.message.contains("203"), "{}", hidden.message);
}

#[test]
fn who_is_timed_out_or_has_not_accepted_the_rules_does_nothing() {
    for (what, change) in [
        ("timed out", json!({"communication_disabled_until": "2999-01-01T00:00:00+00:00"})),
        ("pending", json!({"pending": true})),
    ] {
        let mut model = world();
        let mut told = member(3, &["301"]);
        told.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        tell(&mut model, "GUILD_MEMBER_UPDATE", &told);
        let own = json!({"guildId": "100", "userId": "3", "channelId": null});
        for (name, payload) in each().into_iter().chain([("move_member", own)]) {
            assert_eq!(code(&model, LINUS, name, &payload), "MISSING_PERMISSIONS", "{what}: {name}");
        }
        let mut owner = member(1, &[]);
        owner.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        tell(&mut model, "GUILD_MEMBER_UPDATE", &owner);
        assert_eq!(
            code(&model, ADA, "start_typing", &json!({"channelId": "101"})),
            "ok",
            "the owner, {what}"
        );
    }
}

#[test]
fn nobody_squeezes_into_a_full_room() {
    let mut model = world();
    for user in 20..25 {
        tell(&mut model, "VOICE_STATE_UPDATE", &voice(user, Some(202)));
    }
    let sit = |user: &str| json!({"guildId": "100", "userId": user, "channelId": "202"});
    assert_eq!(code(&model, LINUS, "move_member", &sit("3")), "MISSING_PERMISSIONS");
    assert_eq!(code(&model, GRACE, "move_member", &sit("3")), "ok", "who moves members may");
    tell(&mut model, "VOICE_STATE_UPDATE", &voice(20, None));
    assert_eq!(code(&model, LINUS, "move_member", &sit("3")), "ok");
}

#[test]
fn who_may_not_join_a_room_neither_writes_in_it_nor_deletes_it() {
    let mut model = world();
    let shut = json!([
        {"id": "100", "type": 0, "allow": "0", "deny": Permissions::CONNECT},
        {"id": "301", "type": 0, "allow": Permissions::MANAGE_CHANNELS, "deny": "0"},
    ]);
    tell(&mut model, "CHANNEL_UPDATE", &channel(201, 2, shut));
    let write = json!({"channelId": "201", "content": "x"});
    assert_eq!(code(&model, LINUS, "send_message", &write), "MISSING_PERMISSIONS");
    assert_eq!(code(&model, GRACE, "delete_channel", &json!({"channelId": "201"})), "MISSING_PERMISSIONS");
    assert_eq!(code(&model, ADA, "delete_channel", &json!({"channelId": "201"})), "ok");
}

#[test]
fn what_is_not_known_yet_is_neither_allowed_nor_refused_for_good() {
    let empty = GuildModel::default();
    for (name, payload) in each() {
        assert_eq!(code(&empty, ADA, name, &payload), "UNAVAILABLE", "{name}");
    }
    let stranger = UserId(77);
    let write = json!({"channelId": "101", "content": "x"});
    assert_eq!(code(&world(), stranger, "send_message", &write), "UNAVAILABLE", "a look-up that failed");
    let mut gone = world();
    gone.learn_absent(GUILD, stranger);
    assert_eq!(code(&gone, stranger, "send_message", &write), "FORBIDDEN");
}

#[test]
fn a_message_is_its_senders_whichever_way_it_was_sent() {
    locally(async {
        let sent = answer("200 OK", &[], r#"{"id":"50","author":{"id":"9"}}"#);
        let double = Double::start(sent).await;
        let (mut commands, model) = (double.commands(), world());
        let write = json!({"channelId": "101", "content": "x"});
        run(&mut commands, &model, command("send_message", &write, Some(LINUS), None)).await.unwrap();
        commands.hear("MESSAGE_CREATE", r#"{"id":"51","author":{"id":"3"}}"#);
        for (message, user, expected) in
            [("50", LINUS, "ok"), ("51", LINUS, "ok"), ("50", UserId(9), "MISSING_PERMISSIONS")]
        {
            let payload = json!({"channelId": "101", "messageId": message});
            let outcome =
                run(&mut commands, &model, command("delete_message", &payload, Some(user), None)).await;
            let code = outcome.map_or_else(|refusal| refusal.code, |_| "ok".to_owned());
            assert_eq!(code, expected, "{message} by {user}");
        }
    });
}

#[test]
fn arguments_that_cannot_be_are_refused_before_anything_else() {
    let model = world();
    let cases = [
        ("send_message", json!(null)),
        ("send_message", json!([])),
        ("send_message", json!(["101", "x"])),
        ("send_message", json!("x")),
        ("send_message", json!({"channelId": null, "content": "x"})),
        ("send_message", json!({"channelId": "0", "content": "x"})),
        ("send_message", json!({"channelId": "-1", "content": "x"})),
        ("send_message", json!({"channelId": "101 ", "content": "x"})),
        ("send_message", json!({"channelId": "99999999999999999999999", "content": "x"})),
        ("send_message", json!({"channelId": ["101"], "content": "x"})),
        ("send_message", json!({"channelId": "101", "content": 7})),
        ("send_message", json!({"channelId": "101", "content": " \n"})),
        ("send_message", json!({"channelId": "101", "content": "x", "tts": true})),
        ("send_message", json!({"channelId": "101", "content": "x", "allowedMentions": {"parse": ["all"]}})),
        ("send_message", json!({"channelId": "101", "content": "x", "allowedMentions": null})),
        ("send_message", json!({"channelId": "101", "content": "x", "embeds": {}})),
        ("edit_message", json!({"channelId": "101", "messageId": "7"})),
        ("add_reaction", json!({"channelId": "101", "messageId": "7", "emoji": ".."})),
        ("create_channel", json!({"guildId": "100", "name": "x", "type": -1})),
        ("create_channel", json!({"guildId": "100", "name": "x", "type": null})),
        ("create_channel", json!({"guildId": "100", "name": "x", "type": 2, "userLimit": -1})),
        ("move_member", json!({"guildId": "100", "userId": "3"})),
    ];
    for (name, payload) in cases {
        assert_eq!(code(&model, ADA, name, &payload), "INVALID", "{name} {payload}");
    }
    let snake = json!({"guild_id": "100", "user_id": "3", "channel_id": "202"});
    assert_eq!(code(&model, ADA, "move_member", &snake), "ok");
    let numbers = json!({"channelId": 101, "content": "x"});
    assert_eq!(code(&model, ADA, "send_message", &numbers), "ok", "an id as a number");
}

#[test]
fn nothing_reaches_a_guild_that_is_not_configured() {
    let model = world();
    for (name, payload) in each() {
        let mut commands = unconnected();
        for actor in [None, Some(ADA)] {
            let asker = Asker { link: LinkId(1), request_id: None };
            let Met::Begin(job) = commands.meet(command(name, &payload, actor, None), asker) else {
                panic!("new")
            };
            let refusal = commands.prepare(&job, &model, &[GuildId(5)]).unwrap_err();
            assert!(
                ["FORBIDDEN", "UNAVAILABLE"].contains(&refusal.code.as_str()),
                "{name}: {}",
                refusal.code
            );
        }
    }
}
