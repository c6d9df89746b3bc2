//! The Gateway's memory: sessions, what each has been told, and which connection serves it now.

use std::{
    collections::HashMap,
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use rand::Rng;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use super::{
    intents::{self, Intents},
    replay::Replay,
};
use crate::world::{Event, MemberRequest, World, json_text};

/// Sessions kept at most; the one longest without a connection goes first.
const SESSIONS_KEPT: usize = 64;
/// How long a session waits for its RESUME.
const RESUME_WITHIN: Duration = Duration::from_secs(600);
/// IDENTIFYs a day, as `session_start_limit` says.
pub(crate) const STARTS_PER_DAY: u64 = 1000;

/// All sessions and the counters that `/sandbox/state` shows.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    pub(crate) sessions: Vec<Session>,
    pub(crate) identifies: u64,
    pub(crate) resumes: u64,
    pub(crate) heartbeats: u64,
    /// When each bucket last let an IDENTIFY through.
    last_identify: HashMap<u64, Instant>,
}

/// What a client began with IDENTIFY and may RESUME.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) intents: Intents,
    /// This shard and the number of shards.
    pub(crate) shard: (u64, u64),
    pub(crate) replay: Replay,
    pub(crate) link: Option<Link>,
    /// When the last connection ended.
    left: Instant,
}

/// The way to the task that serves a connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Tells connections apart.
    pub(crate) id: u64,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Rung when the session has news; the task then reads on from its own position.
    pub(crate) wake: Arc<Notify>,
    pub(crate) socket: Arc<TcpStream>,
}

/// What a connection can be told to do, beyond its session's dispatches.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Send this payload.
    Send(ByteString),
    /// Send op 9 and, when it is final, forget which session this was.
    Invalidate { resumable: bool },
    /// Close with this code.
    Close(u16),
    /// Send and hear nothing for a while.
    Stall(Duration),
}

/// What IDENTIFY asks for, already checked.
#[derive(Debug)]
pub(crate) struct Identify {
    pub(crate) intents: Intents,
    pub(crate) shard: Option<(u64, u64)>,
    pub(crate) large_threshold: usize,
}

/// Why a RESUME is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// Unknown, ended, or too far behind: op 9 `false`.
    Stale,
    /// A number that was never sent: close 4007.
    InvalidSeq,
}

impl Hub {
    /// Hands an event to every session that may hear it.
    pub(crate) fn publish(&mut self, event: &Event) {
        let needed = intents::needed_for(event.name, event.guild.is_some());
        let name: ByteString = format!("\"{}\"", event.name).into();
        for session in &mut self.sessions {
            let (shard, shards) = session.shard;
            let here = event.guild.map_or(0, |guild| guild.shard(shards)) == shard;
            if here && (needed == 0 || session.intents & needed != 0) {
                let redacted =
                    event.redacted.as_ref().filter(|_| session.intents & intents::MESSAGE_CONTENT == 0);
                session.tell(name.clone(), redacted.unwrap_or(&event.data).clone());
            }
        }
    }

    /// Dispatches to every session, whatever it asked for. `name` is JSON text.
    pub(crate) fn publish_raw(&mut self, name: &ByteString, data: &ByteString) {
        for session in &mut self.sessions {
            session.tell(name.clone(), data.clone());
        }
    }

    /// True when a bucket, of which there are `max_concurrency`, lets one more IDENTIFY through now.
    pub(crate) fn may_identify(&mut self, bucket: u64, every: Duration, now: Instant) -> bool {
        let free = self.last_identify.get(&bucket).is_none_or(|last| now.duration_since(*last) >= every);
        if free {
            self.last_identify.insert(bucket, now);
        }
        free && self.identifies < STARTS_PER_DAY
    }

    /// Begins a session with READY and its guilds. The answer is the session's id.
    pub(crate) fn identify(
        &mut self,
        world: &World,
        identify: &Identify,
        link: Link,
        resume_url: &str,
    ) -> String {
        self.identifies += 1;
        self.forget_stale();
        let id = format!("{:032x}", rand::rng().random::<u128>());
        let shard = identify.shard.unwrap_or((0, 1));
        let guilds: Vec<_> =
            world.guilds.values().filter(|guild| guild.id.shard(shard.1) == shard.0).collect();
        let mut ready = json!({
            "v": 10,
            "user": world.users.get(&world.application.bot).map(crate::world::user::User::payload),
            "user_settings": {},
            "session_type": "normal",
            "session_id": id,
            "resume_gateway_url": resume_url,
            "relationships": [],
            "private_channels": [],
            "presences": [],
            "guilds": guilds.iter().map(|guild| json!({ "id": guild.id, "unavailable": true })).collect::<Vec<_>>(),
            "guild_join_requests": [],
            "geo_ordered_rtc_regions": [],
            "auth": {},
            "application": { "id": world.application.id, "flags": intents::application_flags(world.application.privileged_intents) },
            "_trace": ["[\"guildstream-sandbox\",{\"micros\":0}]"],
        });
        ready["user"]["mfa_enabled"] = json!(true);
        ready["user"]["verified"] = json!(true);
        if let Some((shard, shards)) = identify.shard {
            ready["shard"] = json!([shard, shards]);
        }
        let mut session = Session {
            id: id.clone(),
            intents: identify.intents,
            shard,
            replay: Replay::default(),
            link: Some(link),
            left: Instant::now(),
        };
        session.tell("\"READY\"".into(), json_text(&ready));
        if identify.intents & intents::GUILDS != 0 {
            let presences = identify.intents & intents::GUILD_PRESENCES != 0;
            for guild in guilds {
                let data = world.guild_create(guild, identify.large_threshold, presences);
                session.tell("\"GUILD_CREATE\"".into(), data);
            }
        }
        self.sessions.push(session);
        id
    }

    /// Continues a session on a new connection; what it missed and RESUMED are waiting in its replay.
    pub(crate) fn resume(&mut self, id: &str, seq: u64, link: Link) -> Result<(), ResumeError> {
        self.forget_stale();
        let session = self.session(id).ok_or(ResumeError::Stale)?;
        if seq > session.replay.last() {
            return Err(ResumeError::InvalidSeq);
        }
        if !session.replay.reaches(seq) {
            self.end(id);
            return Err(ResumeError::Stale);
        }
        if let Some(old) = session.link.replace(link) {
            old.cut();
        }
        session.tell("\"RESUMED\"".into(), ByteString::from_static(r#"{"_trace":["guildstream-sandbox"]}"#));
        self.resumes += 1;
        Ok(())
    }

    pub(crate) fn session(&mut self, id: &str) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// Ends a session: no RESUME will find it.
    pub(crate) fn end(&mut self, id: &str) {
        self.sessions.retain(|session| session.id != id);
    }

    /// Notes that a connection is gone; its session waits for a RESUME.
    pub(crate) fn detach(&mut self, id: &str, link: u64) {
        if let Some(session) = self.session(id).filter(|session| session.is_served_by(link)) {
            session.link = None;
            session.left = Instant::now();
        }
    }

    /// The connections that serve a session now.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Link> {
        self.sessions.iter().filter_map(|session| session.link.as_ref())
    }

    fn forget_stale(&mut self) {
        self.sessions.retain(|session| session.link.is_some() || session.left.elapsed() < RESUME_WITHIN);
        while self.sessions.len() >= SESSIONS_KEPT {
            let waiting = self.sessions.iter().enumerate().filter(|(_, session)| session.link.is_none());
            let Some((oldest, _)) = waiting.min_by_key(|(_, session)| session.left) else { return };
            self.sessions.remove(oldest);
        }
    }
}

impl Session {
    /// Adds a dispatch and wakes the connection that will send it.
    pub(crate) fn tell(&mut self, name: ByteString, data: ByteString) {
        self.replay.push(name, data);
        if let Some(link) = &self.link {
            link.wake.notify_one();
        }
    }

    /// The request without what this session's intents do not entitle it to.
    pub(crate) fn entitled(&self, mut request: MemberRequest) -> MemberRequest {
        request.presences &= self.intents & intents::GUILD_PRESENCES != 0;
        if self.intents & intents::GUILD_MEMBERS == 0 && request.users.is_empty() {
            // Without GUILD_MEMBERS a search by name is all there is.
            request.limit = if request.limit == 0 { 100 } else { request.limit.min(100) };
        }
        request
    }

    fn is_served_by(&self, link: u64) -> bool {
        self.link.as_ref().is_some_and(|current| current.id == link)
    }
}

impl Link {
    /// Cuts the TCP connection without a close frame.
    pub(crate) fn cut(&self) {
        // It may be gone already, which is what was wanted.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
