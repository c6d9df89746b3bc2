//! Both hubs and the link between them, without a network: LinkServer with its event log, LinkClient, SseBroker, and
//! browsers.

use std::{
    cell::{Cell, RefCell},
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorContext as _, Addr, Context, Handler, Message, Supervisor};
use awc::ws::{CloseReason, Frame, Message as WsMessage};
use serenity::http::HttpBuilder;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    browser::Browser,
    discord::Discord,
    truth::{Tap, Truth},
};
use crate::{
    event_log::EventLog,
    guild_model::fixture::{ADA, GUILD, LINUS},
    link_client::{self, FarEnd, LinkClient, LinkClientSettings, line},
    link_frame::{LinkFrame, decode},
    link_server::{
        self, CloseLink, LinkDrained, LinkId, LinkServer, LinkServerSettings, OpenLink, Publish, RunCommand,
    },
    link_session::{CloseSocket, SendFrame},
    outbox::Gauge,
    ring::RingLimits,
    sse_broker::{self, BrokerSettings, SseBroker},
};

/// What a peer that is held has pending for its socket.
const HELD: usize = 64 << 20;

pub(super) struct Rig {
    pub(super) discord: Discord,
    /// Dispatches of the session that this gateway was given.
    given: usize,
    dir: TempDir,
    limits: RingLimits,
    gateway: Option<Addr<LinkServer>>,
    tapped: bool,
    network: Network,
    web: Option<(Addr<SseBroker>, Addr<LinkClient>)>,
    truth: Rc<RefCell<Truth>>,
    pub(super) browsers: Vec<Browser>,
    /// Times a browser heard RESYNC.
    pub(super) resyncs: usize,
}

/// What becomes of the event log of a gateway that was killed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Remains {
    /// Everything.
    All,
    /// Everything, and the beginning of a record whose writer was killed.
    AndATornRecord,
    /// Everything but the last bytes.
    Cut(usize),
    /// Nothing.
    Nothing,
}

/// The cable between gateway and web: at most one line.
#[derive(Clone, Default)]
struct Network {
    server: Rc<RefCell<Option<Addr<LinkServer>>>>,
    line: Rc<RefCell<Option<Line>>>,
    /// What the web role has asked since the last rest.
    asked: Rc<Cell<usize>>,
}

/// More questions than any cause has: they would never end.
const STORM: usize = 1000;

struct Line {
    server: Addr<LinkServer>,
    link: LinkId,
    gauge: Arc<Gauge>,
    say: Rc<RefCell<Option<UnboundedSender<Heard>>>>,
    held: bool,
}

type Heard = Result<Frame, awc::error::WsProtocolError>;

/// Stands for LinkSession.
struct Peer {
    gauge: Arc<Gauge>,
    say: Rc<RefCell<Option<UnboundedSender<Heard>>>>,
}

impl Peer {
    fn say(&self, frame: Frame) {
        if let Some(say) = &*self.say.borrow() {
            let _ = say.send(Ok(frame));
        }
    }
}

impl Actor for Peer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1024);
    }
}

impl Handler<SendFrame> for Peer {
    type Result = ();
    fn handle(&mut self, SendFrame { text }: SendFrame, _: &mut Self::Context) {
        self.gauge.take(text.len());
        self.say(Frame::Text(text.into_bytes()));
    }
}

impl Handler<CloseSocket> for Peer {
    type Result = ();
    fn handle(&mut self, CloseSocket { code, .. }: CloseSocket, _: &mut Self::Context) {
        self.say(Frame::Close(Some(CloseReason { code: code.into(), description: None })));
        self.say.borrow_mut().take();
    }
}

/// Ends an actor as a killed process ends.
#[derive(Message)]
#[rtype(result = "()")]
struct Kill;

impl Handler<Kill> for LinkServer {
    type Result = ();
    fn handle(&mut self, _: Kill, ctx: &mut Self::Context) {
        ctx.terminate();
    }
}

impl Handler<Kill> for SseBroker {
    type Result = ();
    fn handle(&mut self, _: Kill, ctx: &mut Self::Context) {
        ctx.terminate();
    }
}

impl Network {
    async fn dial(self, after: String) -> Result<(link_client::Writer, link_client::Incoming), String> {
        let Some(server) = self.server.borrow().clone() else { return Err("connection refused".to_owned()) };
        let (writer, incoming, FarEnd { mut written, say }) = line();
        let (gauge, say) = (Arc::new(Gauge::default()), Rc::new(RefCell::new(Some(say))));
        let peer = Peer { gauge: Arc::clone(&gauge), say: Rc::clone(&say) }.start();
        let open = OpenLink {
            recipient: peer.clone().recipient(),
            close: peer.recipient(),
            gauge: Arc::clone(&gauge),
            peer: "web".to_owned(),
            after: Some(after),
        };
        let link = server.send(open).await.map_err(|error| error.to_string())?;
        server.do_send(LinkDrained(link));
        let (commands, asked) = (server.clone(), self.asked);
        actix::spawn(async move {
            while let Some(WsMessage::Text(text)) = written.recv().await {
                asked.set(asked.get() + 1);
                if asked.get() > STORM {
                    break;
                }
                if let Ok(LinkFrame::Command(command)) = decode(&text.into_bytes()) {
                    commands.do_send(RunCommand { link, command });
                }
            }
            commands.do_send(CloseLink(link));
        });
        *self.line.borrow_mut() = Some(Line { server, link, gauge, say, held: false });
        Ok((writer, incoming))
    }

    /// The connection is gone without a word.
    fn cut(&self) {
        if let Some(line) = self.line.borrow_mut().take() {
            line.say.borrow_mut().take();
            line.server.do_send(CloseLink(line.link));
        }
    }

    /// The web role's socket takes nothing, or again.
    fn hold(&self, hold: bool) {
        if let Some(line) = &mut *self.line.borrow_mut()
            && line.held != hold
        {
            line.held = hold;
            if hold {
                line.gauge.offered(HELD);
            } else if line.gauge.take(HELD) {
                line.server.do_send(LinkDrained(line.link));
            }
        }
    }
}

impl Rig {
    pub(super) fn new(events: usize) -> Self {
        let browsers = vec![
            Browser::new(ADA, (None, None)),
            Browser::new(ADA, (Some("102"), Some("MESSAGE_CREATE"))),
            Browser::new(LINUS, (None, None)),
            Browser::new(LINUS, (None, Some("MESSAGE_CREATE"))),
        ];
        Self {
            discord: Discord::new(),
            given: 0,
            dir: TempDir::new().unwrap(),
            limits: RingLimits { events, bytes: 1 << 30 },
            gateway: None,
            tapped: false,
            network: Network::default(),
            web: None,
            truth: Rc::default(),
            browsers,
            resyncs: 0,
        }
    }

    /// Starts the gateway, which resumes where its log ends if it can.
    pub(super) async fn start_gateway(&mut self) {
        if self.gateway.is_some() {
            return;
        }
        let (log, restored) = EventLog::open(self.dir.path(), self.limits).unwrap();
        let position = restored.as_ref().map(|restored| restored.position.clone());
        let http = HttpBuilder::new("token").proxy("http://127.0.0.1:9").build();
        let settings = LinkServerSettings { guilds: vec![GUILD], replay: self.limits, http: Arc::new(http) };
        let server = LinkServer::new(settings).with_log(log, restored).start();
        *self.network.server.borrow_mut() = Some(server.clone());
        self.gateway = Some(server);
        self.tapped = false;
        match position.filter(|position| *position.session == *self.discord.session()) {
            Some(position) => {
                self.given = usize::try_from(position.seq).unwrap();
                self.tap().await;
                self.resume(0);
            }
            None => self.new_session(),
        }
    }

    /// Discord says that it knows the session no more.
    pub(super) fn new_session(&mut self) {
        self.discord.identify();
        self.given = 0;
    }

    /// The connection to Discord was lost and resumed; `again` dispatches come twice.
    pub(super) fn resume(&mut self, again: usize) {
        self.given = self.given.saturating_sub(again);
        self.discord.send("RESUMED", "{}".to_owned());
    }

    /// Gives the gateway what Discord has sent.
    pub(super) async fn publish(&mut self) {
        let Some(server) = self.gateway.clone() else { return };
        while self.given < self.discord.len() {
            if let Some(dispatch) = self.discord.dispatch(self.given) {
                server.do_send(Publish { shard: 0, dispatch });
            }
            self.given += 1;
            // READY has decided the epoch, in which everything is heard.
            self.tap().await;
        }
    }

    async fn tap(&mut self) {
        let Some(server) = self.gateway.clone().filter(|_| !self.tapped) else { return };
        self.tapped = true;
        let gauge = Arc::new(Gauge::default());
        let tap = Tap { truth: Rc::clone(&self.truth), gauge: Arc::clone(&gauge) }.start();
        let (recipient, close) = (tap.clone().recipient(), tap.recipient());
        let open = OpenLink { recipient, close, gauge, peer: "tap".to_owned(), after: Some("0".to_owned()) };
        server.send(open).await.unwrap();
    }

    pub(super) async fn kill_gateway(&mut self, remains: Remains) {
        let Some(server) = self.gateway.take() else { return };
        self.network.server.borrow_mut().take();
        server.send(Kill).await.unwrap();
        self.network.cut();
        settle().await;
        let newest = newest_segment(self.dir.path());
        match (remains, newest) {
            (Remains::AndATornRecord, Some(path)) => {
                // A length that is never reached.
                let mut file = OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(&[200, 0, 0, 0, 1, 2, 3, 4, 5]).unwrap();
            }
            (Remains::Cut(bytes), Some(path)) => {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(length.saturating_sub(bytes as u64)).unwrap();
            }
            (Remains::Nothing, _) => fs::remove_file(self.dir.path().join("checkpoint.json")).unwrap_or(()),
            _ => {}
        }
    }

    pub(super) async fn stop_gateway(&mut self) {
        if let Some(server) = &self.gateway {
            server.send(link_server::Shutdown).await.unwrap();
        }
        self.kill_gateway(Remains::All).await;
    }

    pub(super) fn start_web(&mut self) {
        if self.web.is_some() {
            return;
        }
        let broker = SseBroker::new(BrokerSettings {
            guilds: vec![GUILD],
            replay: self.limits,
            heartbeat: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            queue_bytes: 2048,
            max_sessions: 100,
            max_sessions_per_user: 100,
            viewer_ttl: Duration::from_secs(300),
        })
        .start();
        let settings = LinkClientSettings {
            url: "ws://gateway".to_owned(),
            token: "token".into(),
            max_attempts: 0,
            command_queue: 100,
            command_timeout: Duration::from_secs(10),
            legacy_members: false,
        };
        let (events, states) = (broker.clone().recipient(), broker.clone().recipient());
        let network = self.network.clone();
        let link = Supervisor::start(move |_| {
            LinkClient::new(settings, events, states)
                .with_dial(Rc::new(move |_, after| Box::pin(network.clone().dial(after))))
        });
        self.web = Some((broker, link));
    }

    /// The web role begins to stop.
    pub(super) async fn stop_streams(&self, grace: Duration) {
        let (broker, _) = self.web.as_ref().unwrap();
        broker.send(sse_broker::Shutdown { grace }).await.unwrap();
    }

    /// Streams that the broker has open.
    pub(super) async fn streams(&self) -> usize {
        let (broker, _) = self.web.as_ref().unwrap();
        broker.send(sse_broker::Snapshot).await.unwrap().sessions
    }

    /// The web role is gone, and its connections with it.
    pub(super) async fn kill_web(&mut self) {
        let Some((broker, link)) = self.web.take() else { return };
        link.send(link_client::Shutdown).await.unwrap();
        self.network.cut();
        self.browsers.iter_mut().for_each(Browser::leave);
        broker.send(Kill).await.unwrap();
    }

    pub(super) fn cut_link(&self) {
        self.network.cut();
    }

    pub(super) fn hold_link(&self, hold: bool) {
        self.network.hold(hold);
    }

    pub(super) async fn come(&mut self, browser: usize) {
        if let Some((broker, _)) = &self.web {
            self.browsers[browser].come(broker).await;
        }
    }

    /// Lets everything happen that has a cause, has the browsers read, and looks whether all of it is right.
    pub(super) async fn settle(&mut self) -> Result<(), String> {
        self.network.asked.set(0);
        loop {
            settle().await;
            if self.network.asked.get() > STORM {
                return Err("the web role asks and asks".to_owned());
            }
            let mut read = false;
            for browser in &mut self.browsers {
                read |= browser.read(&self.truth.borrow())?;
            }
            if !read {
                break;
            }
        }
        if let Some(lie) = self.truth.borrow().lies.first() {
            return Err(lie.clone());
        }
        self.check_resyncs().await
    }

    /// Nobody hears RESYNC who could have gone on: of this epoch, and within what both hubs have kept.
    async fn check_resyncs(&mut self) -> Result<(), String> {
        let heard: Vec<_> = self.browsers.iter_mut().flat_map(|browser| browser.resyncs.drain(..)).collect();
        self.resyncs += heard.len();
        let (Some(server), Some((broker, _))) = (&self.gateway, &self.web) else { return Ok(()) };
        let gateway = server.send(link_server::Snapshot).await.unwrap().ring;
        let web = broker.send(sse_broker::Snapshot).await.unwrap();
        let Some(latest) = web.latest_id.filter(|id| id.epoch == gateway.latest_id.epoch) else {
            return Ok(());
        };
        // What a web role was too late for is missing there, though others may still have it.
        let oldest = gateway.oldest_id.seq.max(latest.seq - web.ring_events as u64);
        for position in heard.into_iter().filter(|position| position.epoch == latest.epoch) {
            if position.seq >= oldest && !self.truth.borrow().has_gap(position, latest) {
                return Err(format!("RESYNC at {position}, with everything from {oldest} to {latest} kept"));
            }
        }
        Ok(())
    }

    /// Everything works again, and every browser reads: all are to arrive at the newest event.
    pub(super) async fn heal(&mut self) -> Result<(), String> {
        self.start_gateway().await;
        self.start_web();
        self.hold_link(false);
        self.discord.talk(101);
        self.discord.talk(102);
        self.publish().await;
        for _ in 0..100 {
            for browser in 0..self.browsers.len() {
                self.browsers[browser].stall(false);
                self.come(browser).await;
            }
            self.settle().await?;
            if self.latest().await.is_some() && self.all_at(self.latest().await) {
                return self.check_rosters();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let positions: Vec<_> = self.browsers.iter().map(|browser| browser.position).collect();
        Err(format!(
            "after 100 s browsers are at {positions:?}, and the gateway at {:?}",
            self.latest().await
        ))
    }

    async fn latest(&self) -> Option<crate::event_id::EventId> {
        Some(self.gateway.as_ref()?.send(link_server::Snapshot).await.ok()?.ring.latest_id)
    }

    fn all_at(&self, latest: Option<crate::event_id::EventId>) -> bool {
        self.browsers.iter().all(|browser| browser.position == latest)
    }

    /// What snapshots and events together tell is the truth.
    fn check_rosters(&self) -> Result<(), String> {
        for browser in self.browsers.iter().filter(|browser| browser.query == (None, None)) {
            if browser.voice != self.discord.voice {
                return Err(format!(
                    "user {} believes {:?}, and it is {:?}",
                    browser.user, browser.voice, self.discord.voice
                ));
            }
        }
        Ok(())
    }
}

/// The paused clock moves on when nobody has anything to do: all that has a cause has happened then.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn newest_segment(dir: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = paths.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.max_by_key(|path| path.metadata().unwrap().modified().unwrap())
}
