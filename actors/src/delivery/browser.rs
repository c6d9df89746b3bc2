//! A browser that reads as EventSource does, and what it holds to be broken.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use actix::{Actor, Addr, Context, Handler};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::truth::Truth;
use crate::{
    event_id::EventId,
    filter::Filter,
    guild_model::fixture::GUILD,
    outbox::Gauge,
    snowflake::UserId,
    sse_broker::{SseBroker, StreamDrained, StreamId, Subscribe, Unsubscribe},
    sse_session::{CloseStream, SendSse, Viewer},
};

/// One browser, over all its connections.
pub(super) struct Browser {
    pub(super) user: UserId,
    /// What it asks for: `channel` and `events`.
    pub(super) query: (Option<&'static str>, Option<&'static str>),
    connection: Option<Connection>,
    /// Does not read what comes.
    stalled: bool,
    /// The last id it has read.
    pub(super) position: Option<EventId>,
    /// A RESYNC came, and no snapshot since.
    awaiting: bool,
    /// Where the last snapshot stood.
    snapshot_at: Option<EventId>,
    /// The positions at which it heard RESYNC, since they were asked for.
    pub(super) resyncs: Vec<EventId>,
    /// Who sits where, as snapshots and events tell.
    pub(super) voice: BTreeMap<u64, u64>,
}

struct Connection {
    id: StreamId,
    broker: Addr<SseBroker>,
    gauge: Arc<Gauge>,
    socket: Rc<RefCell<Socket>>,
}

/// What has arrived at the browser's end.
#[derive(Default)]
struct Socket {
    unread: VecDeque<Bytes>,
    closed: bool,
}

/// Stands for SseSession.
struct Session(Rc<RefCell<Socket>>);

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(256);
    }
}

impl Handler<SendSse> for Session {
    type Result = ();
    fn handle(&mut self, SendSse { bytes }: SendSse, _: &mut Self::Context) {
        self.0.borrow_mut().unread.push_back(bytes);
    }
}

impl Handler<CloseStream> for Session {
    type Result = ();
    fn handle(&mut self, _: CloseStream, _: &mut Self::Context) {
        self.0.borrow_mut().closed = true;
    }
}

#[derive(Deserialize)]
struct Envelope {
    event: Option<String>,
    code: Option<String>,
    payload: Option<Value>,
}

impl Browser {
    pub(super) fn new(user: UserId, query: (Option<&'static str>, Option<&'static str>)) -> Self {
        Self {
            user,
            query,
            connection: None,
            stalled: false,
            position: None,
            awaiting: false,
            snapshot_at: None,
            resyncs: Vec::new(),
            voice: BTreeMap::new(),
        }
    }

    /// Opens a stream where the last one ended, if it has none.
    pub(super) async fn come(&mut self, broker: &Addr<SseBroker>) {
        if self.connection.as_ref().is_some_and(|connection| !connection.socket.borrow().closed) {
            return;
        }
        self.leave();
        let socket = Rc::new(RefCell::new(Socket::default()));
        let session = Session(Rc::clone(&socket)).start();
        let gauge = Arc::new(Gauge::default());
        let viewer = Viewer {
            user: self.user,
            sid: self.user.to_string(),
            guilds: vec![GUILD],
            expires_at: SystemTime::now() + Duration::from_secs(3600),
        };
        let subscribe = Subscribe {
            recipient: session.clone().recipient(),
            close: session.recipient(),
            gauge: Arc::clone(&gauge),
            viewer,
            filter: Filter::parse(None, self.query.0, self.query.1, &[GUILD]).unwrap(),
            after: self.position.map(|id| id.to_string()),
        };
        let id = broker.send(subscribe).await.unwrap();
        // A stream that has drained before its id was known says so again.
        broker.do_send(StreamDrained(id));
        self.connection = Some(Connection { id, broker: broker.clone(), gauge, socket });
    }

    /// The connection is gone, with everything on its way.
    pub(super) fn leave(&mut self) {
        if let Some(Connection { id, broker, .. }) = self.connection.take() {
            broker.do_send(Unsubscribe(id));
        }
    }

    /// Closes the page: the next stream is a fresh one.
    pub(super) fn forget(&mut self) {
        self.leave();
        (self.position, self.awaiting) = (None, false);
    }

    pub(super) fn stall(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Reads what has come; `false` when there was nothing.
    pub(super) fn read(&mut self, truth: &Truth) -> Result<bool, String> {
        let Some(connection) = self.connection.as_ref().filter(|_| !self.stalled) else { return Ok(false) };
        let chunks: Vec<_> = connection.socket.borrow_mut().unread.drain(..).collect();
        for chunk in &chunks {
            if connection.gauge.take(chunk.len()) {
                connection.broker.do_send(StreamDrained(connection.id));
            }
        }
        for chunk in &chunks {
            for block in std::str::from_utf8(chunk).unwrap().split_terminator("\n\n") {
                self.block(block, truth)?;
            }
        }
        Ok(!chunks.is_empty())
    }

    fn block(&mut self, block: &str, truth: &Truth) -> Result<(), String> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let id: Option<EventId> = field("id").map(|id| id.parse().unwrap());
        let Some(data) = field("data").filter(|_| field("event").is_none()) else {
            return id.map_or(Ok(()), |id| self.moved(id, truth));
        };
        let Envelope { event, code, payload } = serde_json::from_str(data).unwrap();
        match event.as_deref().or(code.as_deref()).unwrap() {
            "connected" if id != self.position => {
                Err(format!("greeted at {id:?}, was at {:?}", self.position))
            }
            "connected" => {
                self.awaiting = false;
                Ok(())
            }
            "RESYNC" => self.resync(),
            "voice.snapshot" => self.snapshot(id, &payload.unwrap(), truth),
            event => self.event(id, event, &payload.unwrap(), truth),
        }
    }

    fn resync(&mut self) -> Result<(), String> {
        let position = self.position.ok_or("RESYNC for who has missed nothing")?;
        if std::mem::replace(&mut self.awaiting, true) {
            return Err(format!("RESYNC twice at {position}, without a snapshot between"));
        }
        self.resyncs.push(position);
        Ok(())
    }

    fn snapshot(&mut self, id: Option<EventId>, payload: &Value, truth: &Truth) -> Result<(), String> {
        let id = id.ok_or("the only snapshot has no id")?;
        let mut voice = BTreeMap::new();
        for channel in payload["channels"].as_array().unwrap() {
            for member in channel["members"].as_array().unwrap() {
                voice.insert(number(&member["userId"]), number(&channel["channelId"]));
            }
        }
        let midway = self.position.filter(|_| !self.awaiting);
        if let Some(position) = midway {
            // Only who can view other channels since the last one is told again, and what they know already is the same.
            let known_since = self.snapshot_at.filter(|at| truth.has_turned_key(*at, id));
            known_since.ok_or_else(|| format!("a snapshot at {position} that nobody waited for"))?;
            if self.query == (None, None) && voice != self.voice {
                return Err(format!("a snapshot at {id} says {voice:?}, events said {:?}", self.voice));
            }
        }
        (self.voice, self.snapshot_at) = (voice, Some(id));
        if midway == Some(id) { Ok(()) } else { self.moved(id, truth) }
    }

    fn event(
        &mut self,
        id: Option<EventId>,
        event: &str,
        payload: &Value,
        truth: &Truth,
    ) -> Result<(), String> {
        let id = id.ok_or_else(|| format!("{event} without an id"))?;
        if self.awaiting || self.position.is_none() {
            return Err(format!("{event} {id} before a snapshot"));
        }
        truth.is(id, event, payload)?;
        let before = EventId { seq: id.seq - 1, ..id };
        if self.position != Some(before) {
            self.moved(before, truth)?;
        }
        self.position = Some(id);
        match event {
            "voice.joined" | "voice.moved" => {
                self.voice.insert(number(&payload["userId"]), number(&payload["channelId"]));
            }
            "voice.left" => {
                self.voice.remove(&number(&payload["userId"]));
            }
            _ => {}
        }
        Ok(())
    }

    /// The position is another: by an id alone, by a snapshot, or by an event that follows.
    fn moved(&mut self, id: EventId, truth: &Truth) -> Result<(), String> {
        let from = self.position.replace(id);
        let joined = !std::mem::take(&mut self.awaiting);
        match from.filter(|_| joined) {
            Some(from) if from.epoch != id.epoch => Err(format!("from {from} to {id} without a RESYNC")),
            Some(from) if from.seq >= id.seq => Err(format!("back from {from} to {id}")),
            Some(from) => truth.nothing_between(from, id, self.user, self.query),
            None => Ok(()),
        }
    }
}

fn number(id: &Value) -> u64 {
    id.as_str().unwrap().parse().unwrap()
}
