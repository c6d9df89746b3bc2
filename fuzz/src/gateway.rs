//! What the gateway role reads: Discord's payloads, and the commands of its peers.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::SystemTime};

use actix::{Actor, Addr, Context, Handler, System, SystemRunner};
use bytes::Bytes;
use guildstream_actors::{
    audience::{Decision, ViewerAccess, decide},
    commands::names,
    dispatch::split,
    dispatch_facts::Facts,
    guild_model::{GuildModel, Membership},
    link_frame::{Command, LinkFrame, decode},
    link_server::{LinkId, LinkServer, LinkServerSettings, OpenLink, Publish, RunCommand},
    link_session::{CloseSocket, SendFrame},
    outbox::Gauge,
    permissions::Permissions,
    questions::NAMES,
    ring::RingLimits,
    scope::{AccessChange, legacy_scope},
    shard_runner::{Dispatch, Position},
    snowflake::{ChannelId, GuildId, UserId},
};
use serde_json::{Value, value::RawValue};
use serenity::http::HttpBuilder;

const GUILD: GuildId = GuildId(910_000_000_000_000_001);
const ADA: UserId = UserId(930_000_000_000_000_001);
const LINUS: UserId = UserId(930_000_000_000_000_003);
const MALLORY: UserId = UserId(939_000_000_000_000_001);

/// `d` is a part of the payload, JSON, and the same after the envelope was written anew.
pub fn dispatches(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    let Ok(envelope) = split(&frame) else { return };
    let d = std::str::from_utf8(&envelope.d).expect("a payload is text");
    let d = serde_json::from_str::<&RawValue>(d).expect("a payload is JSON");
    assert!(d.get() == "null" || data.windows(d.get().len()).any(|part| part == d.get().as_bytes()));
    let t = serde_json::to_string(&envelope.t).expect("a string serialises");
    let s = serde_json::to_string(&envelope.s).expect("a number serialises");
    let again = format!(r#"{{"d":{},"op":{},"t":{t},"s":{s}}}"#, d.get(), envelope.op);
    assert_eq!(split(&again.into()).expect("a payload that was written is read"), envelope);
}

/// Lines of `EVENT d`. Whatever is told, nobody learns of another guild's events, who is no member sees nothing, a
/// snapshot and the events after it make the next snapshot, and a checkpoint brings back the same model.
pub fn guild_model(data: &[u8]) {
    let Ok(story) = std::str::from_utf8(data) else { return };
    let (mut model, mut seats) = (GuildModel::default(), BTreeMap::new());
    for (event, d) in story.lines().filter_map(|line| line.split_once(' ')) {
        let facts = Facts::read(event, d);
        let scope = model.scope(&facts);
        drop((legacy_scope(event, d, false), legacy_scope(event, d, true)));
        assert_eq!(decide(event, &scope, &ViewerAccess::default()), Decision::Withhold);
        if let Some(AccessChange::Users(users)) = &scope.changes {
            assert!(!users.is_empty(), "a change that concerns nobody");
        }
        let told_anew = event == "READY" || scope.guild.is_some_and(|guild| model.pending(guild));
        for derived in model.apply(facts) {
            assert_eq!(derived.scope.guild, scope.guild);
            if !told_anew && scope.guild == Some(GUILD) {
                seat(&mut seats, derived.event, &derived.payload);
            }
        }
        let now = seated(&model);
        if told_anew || event == "GUILD_DELETE" {
            seats.clone_from(&now);
        }
        assert_eq!(seats, now, "after {event}");
        for user in [ADA, LINUS, MALLORY] {
            if let Membership::Member(access) = model.access(GUILD, user, SystemTime::UNIX_EPOCH) {
                assert!(
                    access.channels.iter().all(|one| one.permissions.contains(Permissions::VIEW_CHANNEL))
                );
            }
        }
    }
    let checkpoint = serde_json::to_string(&model).expect("a model serialises");
    assert_eq!(serde_json::from_str::<GuildModel>(&checkpoint).expect("a checkpoint is read"), model);
}

/// Who sits where, after an event that says so.
fn seat(seats: &mut BTreeMap<UserId, ChannelId>, event: &str, payload: &str) {
    let payload: Value = serde_json::from_str(payload).expect("a derived payload is JSON");
    let id = |key: &str| payload[key].as_str().and_then(|id| id.parse().ok());
    let (user, channel, before) =
        (id("userId").map(UserId), id("channelId").map(ChannelId), id("previousChannelId"));
    let Some(user) = user else { return };
    let was = match (event, channel) {
        ("voice.joined" | "voice.moved", Some(channel)) => seats.insert(user, channel),
        ("voice.left", None) => seats.remove(&user),
        other => panic!("{other:?}"),
    };
    assert_eq!(was, before.map(ChannelId), "{event} of {user}");
}

fn seated(model: &GuildModel) -> BTreeMap<UserId, ChannelId> {
    let rooms = model.voice_snapshot(GUILD).into_iter().flat_map(|snapshot| snapshot.channels);
    rooms
        .flat_map(|room| room.members.into_iter().map(move |member| (member.user_id, room.channel_id)))
        .collect()
}

/// A byte for the command, a byte for who asks, then the payload. Each is answered once and under its name; who is no
/// member has nothing done.
pub fn commands(data: &[u8]) {
    let [command, asker, payload @ ..] = data else { return };
    let Ok(payload) = serde_json::from_slice::<&RawValue>(payload) else { return };
    let actor = [None, Some(ADA), Some(LINUS), Some(MALLORY)][usize::from(asker % 4)];
    let commands: Vec<_> = names().chain(NAMES).chain(["no_such_command"]).collect();
    let command = commands[usize::from(*command) % commands.len()];
    thread_local! { static STAGE: &'static Stage = Box::leak(Box::new(Stage::new())); }
    STAGE.with(|stage| {
        let answer = stage.ask(command, actor, payload);
        let code = answer.err();
        let untried =
            [Some("INVALID"), Some("FORBIDDEN"), Some("MISSING_PERMISSIONS"), Some("UNKNOWN_COMMAND")];
        if actor == Some(MALLORY) && command != "viewer" && command != "voice_snapshot" {
            assert!(untried.contains(&code.as_deref()), "{command} of a stranger: {code:?}");
        }
    });
}

/// A LinkServer that knows the corpus's guild, and one peer. Discord is a port that nobody listens on.
struct Stage {
    system: SystemRunner,
    server: Addr<LinkServer>,
    link: LinkId,
    answers: Rc<RefCell<Vec<SendFrame>>>,
    asked: RefCell<u64>,
}

struct Peer(Rc<RefCell<Vec<SendFrame>>>);

impl Actor for Peer {
    type Context = Context<Self>;
}

impl Handler<SendFrame> for Peer {
    type Result = ();

    fn handle(&mut self, frame: SendFrame, _: &mut Self::Context) {
        self.0.borrow_mut().push(frame);
    }
}

impl Handler<CloseSocket> for Peer {
    type Result = ();

    fn handle(&mut self, _: CloseSocket, _: &mut Self::Context) {}
}

impl Stage {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let system = System::new();
        let answers = Rc::new(RefCell::new(Vec::new()));
        let (server, link) = system.block_on(async {
            let http =
                HttpBuilder::new("token").proxy("http://127.0.0.1:9").ratelimiter_disabled(true).build();
            let replay = RingLimits { events: 100, bytes: 1 << 20 };
            let settings = LinkServerSettings { guilds: vec![GUILD], replay, http: Arc::new(http) };
            let server = LinkServer::new(settings).start();
            let gone = format!(r#"{{"guild_id":"{GUILD}","user":{{"id":"{MALLORY}"}}}}"#);
            let guild = super::CORPUS.lines().nth(2).expect("the corpus has a guild");
            let guild = split(&Bytes::from_static(guild.as_bytes())).expect("it is a payload");
            let told = [("GUILD_CREATE", guild.d), ("GUILD_MEMBER_REMOVE", gone.into())];
            for (seq, (t, d)) in (1..).zip(told) {
                let position = Position { session: "session".into(), resume_url: "".into(), seq };
                let dispatch = Dispatch { position, t: t.into(), d, ts: 1, lost_before: false };
                server.send(Publish { shard: 0, dispatch }).await.expect("the server lives");
            }
            let peer = Peer(Rc::clone(&answers)).start();
            let open = OpenLink {
                recipient: peer.clone().recipient(),
                close: peer.recipient(),
                gauge: Arc::new(Gauge::default()),
                peer: "peer".into(),
                after: None,
            };
            let link = server.send(open).await.expect("the server lives");
            (server, link)
        });
        Self { system, server, link, answers, asked: RefCell::new(0) }
    }

    /// The code of a refusal is the error.
    fn ask(&self, command: &str, actor: Option<UserId>, payload: &RawValue) -> Result<(), String> {
        let request_id = format!("{}", self.asked.replace_with(|asked| *asked + 1));
        let command = Command {
            command: command.to_owned(),
            payload: payload.to_owned(),
            actor,
            request_id: Some(request_id.clone()),
            key: None,
            first_sent: None,
        };
        self.system.block_on(async {
            self.answers.borrow_mut().clear();
            self.server.send(RunCommand { link: self.link, command }).await.expect("the server lives");
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while self.answers.borrow().is_empty() {
                assert!(std::time::Instant::now() < deadline, "no answer");
                actix::clock::sleep(std::time::Duration::from_micros(100)).await;
            }
            let answers = self.answers.borrow();
            let [answer] = answers.as_slice() else { panic!("answered {} times", answers.len()) };
            let (answered, outcome) =
                match decode(&answer.text.clone().into_bytes()).expect("an answer is a frame") {
                    LinkFrame::Ack { request_id, .. } => (request_id, Ok(())),
                    LinkFrame::Error { request_id, refusal } => (request_id, Err(refusal.code)),
                    other => panic!("no answer: {other:?}"),
                };
            assert_eq!(answered, Some(request_id));
            outcome
        })
    }
}

pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    let variants = include_str!("../../tests/corpus/envelope_variants.jsonl");
    super::CORPUS.lines().chain(variants.lines()).map(|line| line.as_bytes().to_vec()).collect()
}

pub(crate) fn stories() -> Vec<Vec<u8>> {
    let told = super::CORPUS.lines().map(|line| {
        let envelope = split(&Bytes::from_static(line.as_bytes())).expect("the corpus is of payloads");
        let d = String::from_utf8(envelope.d.to_vec()).expect("payloads are text");
        format!("{} {d}\n", envelope.t.unwrap_or_default())
    });
    let lines: Vec<_> = told.collect();
    let (guild, voice) = (&lines[2], lines[4..9].concat());
    let after_guild = |lines: &[String]| format!("{guild}{}", lines.concat()).into_bytes();
    let mut stories: Vec<_> = lines.chunks(12).map(after_guild).collect();
    stories.push(format!("{}{guild}{voice}{guild}", lines[0]).into_bytes());
    stories.push(
        format!(
            "{guild}{voice}CHANNEL_DELETE {{\"guild_id\":\"{GUILD}\",\"id\":\"910000000000000201\"}}\nGUILD_DELETE {{\"id\":\"{GUILD}\",\"unavailable\":true}}\n{guild}GUILD_DELETE {{\"id\":\"{GUILD}\"}}\n"
        )
        .into_bytes(),
    );
    stories
}

pub(crate) fn orders() -> Vec<Vec<u8>> {
    let payloads = [
        (
            0,
            r#"{"channelId":"910000000000000101","content":"x","embeds":[{"title":"t","fields":[{"name":"n","value":"v","inline":true}]}],"replyTo":"1","allowedMentions":{"parse":["users"]},"nonce":"n"}"#,
        ),
        (1, r#"{"channelId":"910000000000000101","messageId":"960000000000000001","content":"y"}"#),
        (2, r#"{"channel_id":"910000000000000101","message_id":"960000000000000001"}"#),
        (3, r#"{"channelId":"910000000000000401"}"#),
        (4, r#"{"channelId":"910000000000000101","messageId":"1","emoji":"a:1"}"#),
        (
            5,
            r#"{"channelId":"910000000000000101","messageId":"1","emoji":"🎺","userId":"930000000000000003"}"#,
        ),
        (
            6,
            r#"{"guildId":"910000000000000001","name":"n","type":"voice","parentId":"910000000000000501","userLimit":5}"#,
        ),
        (7, r#"{"channelId":"910000000000000202"}"#),
        (8, r#"{"guildId":"910000000000000001","userId":"930000000000000002","channelId":null}"#),
        (9, r#"{"userIds":["930000000000000001","930000000000000003"]}"#),
        (9, r#"{"userIds":["0"]}"#),
        (10, "{}"),
        (11, "{}"),
    ];
    let by_each = payloads.iter().flat_map(|(command, payload)| {
        (0..4).map(move |asker| [&[*command, asker], payload.as_bytes()].concat())
    });
    by_each.collect()
}
