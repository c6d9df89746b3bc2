//! `Last-Event-ID`: whatever a browser says it had, it gets what follows in order, once, or is told of the gap.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use actix::{Actor, Addr, Context, Handler, MessageResult, System, SystemRunner};
use guildstream_actors::{
    event_id::{Epoch, EventId},
    filter::Filter,
    link_client::{Answer, CommandError, SendCommand},
    link_frame::raw,
    outbox::Gauge,
    ring::RingLimits,
    scope::Scope,
    snowflake::{GuildId, UserId},
    sse_broker::{
        BrokerSettings, Deliver, LinkEvent, LinkStateChanged, SseBroker, Subscribe, Unsubscribe, Uplink,
    },
    sse_session::{CloseStream, SendSse, Viewer},
};
use serde_json::json;

const GUILD: GuildId = GuildId(1);
const EPOCH: Epoch = Epoch(0xab);
/// The ring holds the last eight of these.
const EVENTS: u64 = 20;

/// A header, or the parameter `lastEventId`.
pub fn positions(data: &[u8]) {
    let after = String::from_utf8_lossy(data).into_owned();
    thread_local! { static STAGE: &'static Stage = Box::leak(Box::new(Stage::new())); }
    let sent = STAGE.with(|stage| stage.open(after.clone()));
    let position = after.parse::<EventId>().ok();
    let blocks: Vec<_> = sent.split_terminator("\n\n").collect();
    let id_of = |block: &str| block.lines().find_map(|line| line.strip_prefix("id: ")).map(ToOwned::to_owned);
    let greeting = id_of(blocks[0]);
    assert_eq!(
        greeting,
        position.map(|id| id.to_string()),
        "only a position that was understood is repeated"
    );
    let numbers: Vec<u64> = blocks[1..]
        .iter()
        .filter_map(|block| id_of(block))
        .map(|id| id.parse::<EventId>().expect("the ids sent are ids"))
        .map(|id| (id.epoch == EPOCH).then_some(id.seq).expect("of this epoch"))
        .collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
    let resumed = position.filter(|id| id.epoch == EPOCH && (EVENTS - 8..=EVENTS).contains(&id.seq));
    match resumed {
        Some(id) => assert_eq!(numbers, (id.seq + 1..=EVENTS).collect::<Vec<_>>()),
        // A snapshot stands for all that was.
        None if sent.contains("RESYNC") => assert_eq!(numbers, [EVENTS]),
        None => panic!("neither resumed nor told of the gap: {sent}"),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    super::owned(&[
        "00000000000000ab-0",
        "00000000000000ab-12",
        "00000000000000ab-15",
        "00000000000000ab-20",
        "00000000000000ab-21",
        "00000000000000ab-18446744073709551615",
        "00000000000000ac-15",
        "0",
        "",
        "00000000000000AB-015",
    ])
}

struct Stage {
    system: SystemRunner,
    broker: Addr<SseBroker>,
}

#[derive(Clone, Default)]
struct Session(Rc<RefCell<String>>);

impl Actor for Session {
    type Context = Context<Self>;
}

impl Handler<SendSse> for Session {
    type Result = ();

    fn handle(&mut self, SendSse { bytes }: SendSse, _: &mut Self::Context) {
        self.0.borrow_mut().push_str(std::str::from_utf8(&bytes).expect("frames are text"));
    }
}

impl Handler<CloseStream> for Session {
    type Result = ();

    fn handle(&mut self, _: CloseStream, _: &mut Self::Context) {
        self.0.borrow_mut().push_str("closed\n\n");
    }
}

/// Everyone is a member, and nobody sits anywhere.
struct Link;

impl Actor for Link {
    type Context = Context<Self>;
}

impl Handler<SendCommand> for Link {
    type Result = MessageResult<SendCommand>;

    fn handle(&mut self, question: SendCommand, _: &mut Self::Context) -> Self::Result {
        let guild = json!({"guildId": GUILD, "permissions": "0", "channels": []});
        let data = match question.command.as_str() {
            "viewer" => json!({"viewers": [{"userId": "7", "guilds": [guild]}]}),
            _ => json!({"guilds": [{"guildId": GUILD, "channels": []}]}),
        };
        let id = Some(EventId { epoch: EPOCH, seq: EVENTS });
        MessageResult(Ok::<_, CommandError>(Answer { request_id: String::new(), id, data: raw(&data) }))
    }
}

impl Stage {
    fn new() -> Self {
        const LONG: Duration = Duration::from_secs(1 << 30);
        let system = System::new();
        let broker = system.block_on(async {
            // A stream that is ahead of everything waits some seconds; here they pass at once.
            tokio::time::pause();
            let settings = BrokerSettings {
                guilds: vec![GUILD],
                replay: RingLimits { events: 8, bytes: 1 << 20 },
                heartbeat: LONG,
                stall: LONG,
                queue_bytes: 1 << 20,
                max_sessions: 10,
                max_sessions_per_user: 10,
                viewer_ttl: LONG,
            };
            let broker = SseBroker::new(settings).start();
            let at = |seq| Some(EventId { epoch: EPOCH, seq });
            let ask = Some(Link.start().recipient());
            let live =
                LinkStateChanged::Live(Uplink { ask, start: at(0), target: at(EVENTS), complete: true });
            broker.send(live).await.expect("the broker lives");
            for seq in 1..=EVENTS {
                let id = EventId { epoch: EPOCH, seq };
                let scope = Scope { guild: Some(GUILD), ..Scope::default() };
                let event = LinkEvent { id, event: "X".into(), payload: "{}".into(), scope, ts: seq };
                broker.send(Deliver::Event(Arc::new(event))).await.expect("the broker lives");
            }
            broker
        });
        Self { system, broker }
    }

    /// Everything that a stream is sent which opens here.
    fn open(&self, after: String) -> String {
        let session = Session::default();
        self.system.block_on(async {
            let actor = session.clone().start();
            let expires_at = SystemTime::now() + Duration::from_secs(3600);
            let viewer = Viewer { user: UserId(7), sid: String::new(), guilds: vec![GUILD], expires_at };
            let subscribe = Subscribe {
                recipient: actor.clone().recipient(),
                close: actor.recipient(),
                gauge: Arc::new(Gauge::default()),
                viewer,
                filter: Filter::default(),
                after: Some(after),
            };
            let stream = self.broker.send(subscribe).await.expect("the broker lives");
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while !self.is_done(&session) {
                assert!(std::time::Instant::now() < deadline, "not done: {}", session.0.borrow());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.broker.send(Unsubscribe(stream)).await.expect("the broker lives");
        });
        session.0.take()
    }

    /// The newest event or a snapshot has come; or there was nothing to come.
    fn is_done(&self, session: &Session) -> bool {
        let newest = format!("id: {}\n", EventId { epoch: EPOCH, seq: EVENTS });
        session.0.borrow().contains(&newest)
    }
}
