//! When a stream ends because its viewer's access does: the broker between a link and sessions that this test plays.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use actix::{Actor, Addr, Context, Handler, MessageResult};
use guildstream_actors::{
    event_id::{Epoch, EventId},
    filter::Filter,
    link_client::{Answer, CommandError, SendCommand},
    link_frame::raw,
    outbox::Gauge,
    ring::RingLimits,
    scope::{AccessChange, Scope},
    snowflake::{ChannelId, GuildId, UserId},
    sse_broker::{
        Admission, Admit, BrokerSettings, Deliver, LinkEvent, LinkStateChanged, SseBroker, Subscribe, Uplink,
    },
    sse_session::{CloseStream, SendSse, Viewer},
};
use serde_json::{Value, json};

const GUILD: GuildId = GuildId(100);
const LINUS: UserId = UserId(3);
const AN_HOUR: Duration = Duration::from_secs(3600);

/// A browser's stream: what it was sent, and how it was ended.
#[derive(Clone, Default)]
struct Session {
    sent: Rc<RefCell<String>>,
    ended: Rc<RefCell<Option<Option<Duration>>>>,
}

impl Actor for Session {
    type Context = Context<Self>;
}

impl Handler<SendSse> for Session {
    type Result = ();

    fn handle(&mut self, SendSse { bytes }: SendSse, _: &mut Self::Context) {
        self.sent.borrow_mut().push_str(std::str::from_utf8(&bytes).unwrap());
    }
}

impl Handler<CloseStream> for Session {
    type Result = ();

    fn handle(&mut self, CloseStream { retry }: CloseStream, _: &mut Self::Context) {
        *self.ended.borrow_mut() = Some(retry);
    }
}

/// The link: answers `viewer` at the newest event, for linus with what it is told to, for others that it cannot be said.
#[derive(Clone)]
struct Link {
    guilds: Rc<RefCell<Value>>,
    latest: Rc<RefCell<u64>>,
}

impl Actor for Link {
    type Context = Context<Self>;
}

impl Handler<SendCommand> for Link {
    type Result = MessageResult<SendCommand>;

    fn handle(&mut self, question: SendCommand, _: &mut Self::Context) -> Self::Result {
        let data = match question.command.as_str() {
            "viewer" => {
                let asked: Value = serde_json::from_str(question.payload.get()).unwrap();
                let viewer = |user: &Value| {
                    let known = *user == json!(LINUS);
                    let unknown = || json!({"guilds": [], "unknown": [GUILD]});
                    let mut viewer = if known { self.guilds.borrow().clone() } else { unknown() };
                    viewer["userId"] = user.clone();
                    viewer
                };
                let viewers = asked["userIds"].as_array().unwrap().iter().map(viewer);
                json!({"viewers": viewers.collect::<Vec<_>>()})
            }
            _ => {
                let rooms = |guild: &str| json!({"guildId": guild, "channels": []});
                json!({"guilds": [rooms("100"), rooms("200")], "pending": ["300"]})
            }
        };
        let id = Some(id(*self.latest.borrow()));
        MessageResult(Ok::<_, CommandError>(Answer { request_id: String::new(), id, data: raw(&data) }))
    }
}

struct Stage {
    broker: Addr<SseBroker>,
    link: Link,
}

fn id(seq: u64) -> EventId {
    EventId { epoch: Epoch(1), seq }
}

fn member_of(channels: &[u64]) -> Value {
    let channels = channels.iter().map(|id| json!({"id": ChannelId(*id), "permissions": "1024"}));
    let guild = json!({"guildId": GUILD, "permissions": "1024", "channels": channels.collect::<Vec<_>>()});
    json!({"guilds": [guild]})
}

impl Stage {
    /// A broker whose link is up, and linus a member who sees channel 101.
    async fn start(viewer_ttl: Duration) -> Self {
        tokio::time::pause();
        let settings = BrokerSettings {
            guilds: vec![GUILD],
            replay: RingLimits { events: 100, bytes: 1 << 20 },
            heartbeat: AN_HOUR,
            stall: AN_HOUR,
            queue_bytes: 1 << 20,
            max_sessions: 10,
            max_sessions_per_user: 10,
            viewer_ttl,
        };
        let link = Link { guilds: Rc::new(RefCell::new(member_of(&[101]))), latest: Rc::default() };
        let stage = Self { broker: SseBroker::new(settings).start(), link };
        stage.link_up().await;
        stage
    }

    async fn link_up(&self) {
        let ask = Some(self.link.clone().start().recipient());
        let start = Some(id(*self.link.latest.borrow()));
        let up = LinkStateChanged::Live(Uplink { ask, start, target: start, complete: true });
        self.broker.send(up).await.unwrap();
    }

    async fn link_down(&self) {
        self.broker.send(LinkStateChanged::Down).await.unwrap();
    }

    async fn open(&self, expires_at: SystemTime) -> Session {
        self.open_for(LINUS, expires_at).await
    }

    async fn open_for(&self, user: UserId, expires_at: SystemTime) -> Session {
        let session = Session::default();
        let actor = session.clone().start();
        let viewer = Viewer { user, sid: "sid".into(), guilds: vec![GUILD], expires_at };
        let subscribe = Subscribe {
            recipient: actor.clone().recipient(),
            close: actor.recipient(),
            gauge: Arc::new(Gauge::default()),
            viewer,
            filter: Filter::default(),
            after: None,
        };
        self.broker.send(subscribe).await.unwrap();
        settle().await;
        session
    }

    async fn deliver(&self, event: &str, scope: Scope) {
        let seq = *self.link.latest.borrow() + 1;
        *self.link.latest.borrow_mut() = seq;
        let event = LinkEvent { id: id(seq), event: event.into(), payload: "{}".into(), scope, ts: 1 };
        self.broker.send(Deliver::Event(Arc::new(event))).await.unwrap();
        settle().await;
    }

    async fn admission(&self) -> Admission {
        self.broker.send(Admit { user: LINUS, guilds: vec![GUILD] }).await.unwrap()
    }
}

/// Lets everything happen that happens within ten seconds of the paused clock.
async fn settle() {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..10 {
        ticks.tick().await;
    }
}

impl Session {
    fn saw(&self, event: &str) -> bool {
        self.sent.borrow().contains(&format!(r#""event":"{event}""#))
    }

    fn end(&self) -> Option<Option<Duration>> {
        *self.ended.borrow()
    }
}

fn in_channel(channel: u64) -> Scope {
    Scope { guild: Some(GUILD), channels: vec![ChannelId(channel)], ..Scope::default() }
}

fn of_linus() -> Scope {
    let changes = Some(AccessChange::Users(vec![LINUS]));
    Scope { guild: Some(GUILD), changes, ..Scope::default() }
}

#[actix_web::test]
async fn a_stream_ends_with_its_session_and_no_sooner() {
    let stage = Stage::start(AN_HOUR).await;
    let over = stage.open(SystemTime::now()).await;
    let lasting = stage.open(SystemTime::now() + AN_HOUR).await;
    assert_eq!(over.end(), Some(None), "and is not told to come back");
    assert_eq!(lasting.end(), None);
}

#[actix_web::test]
async fn while_the_link_is_down_access_is_believed_for_its_time() {
    let stage = Stage::start(AN_HOUR).await;
    let stream = stage.open(SystemTime::now() + AN_HOUR).await;
    stage.link_down().await;
    settle().await;
    assert_eq!((stream.end(), stage.admission().await), (None, Admission::Welcome));
}

#[actix_web::test]
async fn after_its_time_access_is_believed_no_longer_while_the_link_is_down() {
    let stage = Stage::start(Duration::ZERO).await;
    let stream = stage.open(SystemTime::now() + AN_HOUR).await;
    assert_eq!(stream.end(), None, "while the link is up it is asked again when it changes");
    stage.link_down().await;
    settle().await;
    let retry = stream.end().unwrap().expect("it is told when to come back");
    assert!(retry >= Duration::from_secs(15), "{retry:?}");
    assert!(matches!(stage.admission().await, Admission::Later { .. }), "nothing is replayed either");
    stage.link_up().await;
    assert_eq!(stage.admission().await, Admission::Welcome);
}

#[actix_web::test]
async fn who_is_a_member_no_more_loses_the_streams_and_may_return_when_that_changes() {
    let stage = Stage::start(AN_HOUR).await;
    let stream = stage.open(SystemTime::now() + AN_HOUR).await;
    stage.deliver("BEFORE", in_channel(101)).await;
    *stage.link.guilds.borrow_mut() = json!({"guilds": []});
    stage.deliver("LEFT", of_linus()).await;
    stage.deliver("AFTER", in_channel(101)).await;
    assert!(stream.saw("BEFORE") && !stream.saw("LEFT") && !stream.saw("AFTER"));
    assert_eq!(stream.end(), Some(None));
    assert_eq!(stage.admission().await, Admission::NotAMember);

    *stage.link.guilds.borrow_mut() = member_of(&[101]);
    stage.deliver("JOINED", of_linus()).await;
    assert_eq!(stage.admission().await, Admission::Welcome);
}

#[actix_web::test]
async fn a_guild_that_the_web_role_is_not_configured_for_counts_for_nothing() {
    let stage = Stage::start(AN_HOUR).await;
    let elsewhere = json!({"guildId": "200", "permissions": "8", "channels": []});
    *stage.link.guilds.borrow_mut() = json!({"guilds": [elsewhere], "unknown": ["300"]});
    let stream = stage.open(SystemTime::now() + AN_HOUR).await;
    assert!(!stream.saw("voice.snapshot"), "{}", stream.sent.borrow());
    assert_eq!((stream.end(), stage.admission().await), (Some(None), Admission::NotAMember));
}

#[actix_web::test]
async fn who_is_a_member_no_more_loses_the_streams_though_of_another_it_cannot_be_said() {
    let stage = Stage::start(AN_HOUR).await;
    let until = SystemTime::now() + AN_HOUR;
    let (stream, other) = (stage.open(until).await, stage.open_for(UserId(9), until).await);
    *stage.link.guilds.borrow_mut() = json!({"guilds": []});
    stage.deliver("CHANGED", Scope { changes: Some(AccessChange::Guild), ..in_channel(101) }).await;
    assert_eq!((stream.end(), other.end()), (Some(None), None));
}

#[actix_web::test]
async fn who_was_refused_may_return_when_anybody_may_have_joined() {
    let stage = Stage::start(AN_HOUR).await;
    *stage.link.guilds.borrow_mut() = json!({"guilds": []});
    for returns in ["the bot is back", "a new epoch"] {
        let stream = stage.open(SystemTime::now() + AN_HOUR).await;
        assert_eq!((stream.end(), stage.admission().await), (Some(None), Admission::NotAMember));
        if returns == "the bot is back" {
            stage
                .deliver("GUILD_CREATE", Scope { changes: Some(AccessChange::Guild), ..in_channel(101) })
                .await;
        } else {
            stage.broker.send(Deliver::Gap(id(1000))).await.unwrap();
        }
        assert_eq!(stage.admission().await, Admission::Welcome, "{returns}");
    }
}

#[actix_web::test]
async fn what_cannot_be_said_now_is_asked_again_and_nothing_is_sent_meanwhile() {
    let stage = Stage::start(AN_HOUR).await;
    let stream = stage.open(SystemTime::now() + AN_HOUR).await;
    *stage.link.guilds.borrow_mut() = json!({"guilds": [], "unknown": [GUILD]});
    stage.deliver("CHANGED", of_linus()).await;
    stage.deliver("SECRET", in_channel(102)).await;
    stage.deliver("MESSAGE", in_channel(101)).await;
    assert!(!stream.saw("CHANGED") && !stream.saw("MESSAGE"), "{}", stream.sent.borrow());
    *stage.link.guilds.borrow_mut() = member_of(&[101]);
    settle().await;
    assert!(stream.saw("CHANGED") && stream.saw("MESSAGE") && !stream.saw("SECRET"));
    assert_eq!(stream.end(), None, "nothing was lost and nobody left");
}
