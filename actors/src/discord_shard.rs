//! DiscordShard guards the Discord socket and nothing else. Fed by Discord; feeds LinkServer with every dispatch, in
//! order. It drops nothing: when LinkServer is behind, the socket waits. Its runner redials by itself; an end that no
//! retry can mend is reported to the role. Under Supervisor it goes on from the position it had.

use std::time::Duration;

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message,
    MessageResult, Recipient, ResponseFuture, StreamHandler, Supervised, WrapFuture as _, prelude::SendError,
};
use futures_util::stream::poll_fn;
use log::{debug, error, info, warn};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    link_server::Publish,
    metric::Metric,
    restart::RestartPolicy,
    shard_runner::{Dispatch, Position, Runner, SessionStartLimit, ShardEvent, ShardSettings},
};

/// There is one shard.
const SHARD: u32 = 0;
/// How long a stop may take before the socket is simply dropped.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// The actor.
#[derive(Debug)]
pub struct DiscordShard {
    settings: ShardSettings,
    position: Option<Position>,
    publish: Recipient<Publish>,
    faults: mpsc::UnboundedSender<String>,
    stop: Option<watch::Sender<bool>>,
    stopped: Option<oneshot::Sender<()>>,
    /// Who may watch it is decided by the role.
    state: watch::Sender<ShardState>,
    crashes: u32,
}

/// Where the connection stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
#[allow(missing_docs)]
pub enum Stage {
    #[default]
    Starting,
    Connecting {
        attempt: u32,
    },
    Identifying,
    Live,
    #[serde(rename_all = "camelCase")]
    Waiting {
        attempt: u32,
        delay_ms: u64,
        cause: String,
    },
    Fatal {
        reason: String,
    },
    Stopped,
}

/// A copy of the shard's state.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardState {
    /// Zero: there is one shard.
    pub id: u32,
    /// Where the connection stands.
    #[serde(flatten)]
    pub stage: Stage,
    /// Sessions that went on.
    pub resumes: u64,
    /// Sessions that began.
    pub identifies: u64,
    /// Heartbeat to acknowledgement, in milliseconds.
    pub latency_ms: Option<u64>,
    /// The last sequence number.
    pub last_seq: Option<u64>,
    /// Dispatches received.
    pub dispatches: u64,
    /// Frames that no parser takes.
    pub undecodable: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// From the last `GET /gateway/bot`.
    pub session_start_limit: Option<SessionStartLimit>,
}

impl Stage {
    /// Its name alone, as the status shows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Connecting { .. } => "connecting",
            Self::Identifying => "identifying",
            Self::Live => "live",
            Self::Waiting { .. } => "waiting",
            Self::Fatal { .. } => "fatal",
            Self::Stopped => "stopped",
        }
    }
}

impl ShardState {
    /// Takes in what the runner tells, dispatches apart.
    fn follow(&mut self, event: ShardEvent) {
        match event {
            ShardEvent::Connecting { attempt } => self.stage = Stage::Connecting { attempt },
            ShardEvent::Connected => self.stage = Stage::Identifying,
            ShardEvent::Live { resumed } => {
                *(if resumed { &mut self.resumes } else { &mut self.identifies }) += 1;
                self.stage = Stage::Live;
            }
            ShardEvent::Waiting { attempt, delay, cause } => {
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                self.disconnects += 1;
                self.stage = Stage::Waiting { attempt, delay_ms, cause };
            }
            ShardEvent::Undecodable(_) => self.undecodable += 1,
            ShardEvent::Latency(latency) => {
                self.latency_ms = Some(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
            }
            ShardEvent::StartLimit(limit) => self.session_start_limit = Some(limit),
            ShardEvent::Fatal(reason) => self.stage = Stage::Fatal { reason },
            ShardEvent::Dispatch(_) => {}
        }
    }

    /// Whether Discord's events are coming in.
    ///
    /// # Errors
    ///
    /// Says where the connection stands instead.
    pub fn ready(&self) -> Result<(), String> {
        match &self.stage {
            Stage::Live => Ok(()),
            Stage::Waiting { cause, .. } => Err(format!("discord: waiting to reconnect, {cause}")),
            Stage::Fatal { reason } => Err(format!("discord: {reason}")),
            Stage::Starting | Stage::Connecting { .. } => Err("discord: connecting".to_owned()),
            Stage::Identifying => Err("discord: identifying".to_owned()),
            Stage::Stopped => Err("discord: stopped".to_owned()),
        }
    }

    /// The state as metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let shard = |metric: Metric| metric.label("shard", self.id.to_string());
        let mut metrics = vec![
            shard(Metric::gauge(
                "discord_connected",
                "1 while the Discord session is live.",
                u64::from(self.stage == Stage::Live),
            )),
            shard(Metric::counter("discord_dispatches_total", "Dispatches received.", self.dispatches)),
            shard(Metric::counter("discord_resumes_total", "Discord sessions resumed.", self.resumes)),
            shard(Metric::counter("discord_identifies_total", "Discord sessions begun.", self.identifies)),
            shard(Metric::counter("discord_disconnects_total", "Connections that ended.", self.disconnects)),
            shard(Metric::counter("discord_undecodable_total", "Frames no parser takes.", self.undecodable)),
        ];
        if let Some(latency) = self.latency_ms {
            let help = "Heartbeat to acknowledgement, in milliseconds.";
            metrics.push(shard(Metric::gauge("discord_latency_ms", help, latency)));
        }
        metrics
    }
}

/// Asks for a copy of the state.
#[derive(Debug, Message)]
#[rtype(result = "ShardState")]
pub struct Snapshot;

/// Closes the socket so that the session can be resumed; answered when it is closed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

impl DiscordShard {
    /// A shard that resumes at `position` or identifies. `faults` hears of an end that no retry can mend.
    #[must_use]
    pub fn new(
        settings: ShardSettings,
        position: Option<Position>,
        publish: Recipient<Publish>,
        faults: mpsc::UnboundedSender<String>,
    ) -> Self {
        let state = watch::Sender::default();
        Self { settings, position, publish, faults, stop: None, stopped: None, state, crashes: 0 }
    }

    /// The same, with its state where others can see it.
    #[must_use]
    pub fn with_state(self, state: watch::Sender<ShardState>) -> Self {
        Self { state, ..self }
    }

    fn is_over(&self) -> bool {
        matches!(self.state.borrow().stage, Stage::Fatal { .. } | Stage::Stopped)
    }

    fn run(&mut self, ctx: &mut Context<Self>) {
        let (events, mut received) = mpsc::channel(1);
        let (stop, stopping) = watch::channel(false);
        self.stop = Some(stop);
        actix::spawn(Runner::new(self.settings.clone(), self.position.clone(), events, stopping).run());
        ctx.add_stream(poll_fn(move |cx| received.poll_recv(cx)));
    }

    fn publish(&mut self, dispatch: Dispatch, ctx: &mut Context<Self>) {
        debug!("[Gateway Service] Discord event: {}", dispatch.t);
        self.state.send_modify(|state| {
            state.dispatches += 1;
            state.last_seq = Some(dispatch.position.seq);
        });
        self.position = Some(dispatch.position.clone());
        let publish = Publish { shard: SHARD, dispatch };
        match self.publish.try_send(publish) {
            Ok(()) => {}
            Err(SendError::Full(publish)) => {
                // Waiting stops this actor's stream, and with it the socket.
                let sent = self.publish.send(publish).into_actor(self);
                ctx.wait(sent.map(|result, _, ctx| {
                    if result.is_err() {
                        ctx.stop();
                    }
                }));
            }
            // The role watches LinkServer and ends.
            Err(SendError::Closed(_)) => ctx.stop(),
        }
    }
}

impl Actor for DiscordShard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if !self.is_over() {
            self.run(ctx);
        }
    }
}

impl Supervised for DiscordShard {}

impl StreamHandler<ShardEvent> for DiscordShard {
    fn handle(&mut self, event: ShardEvent, ctx: &mut Self::Context) {
        match event {
            ShardEvent::Dispatch(dispatch) => return self.publish(dispatch, ctx),
            ShardEvent::Live { resumed } => {
                let how = if resumed { "resumed its Discord session" } else { "began a Discord session" };
                info!("[Gateway Service] Shard {SHARD} {how}");
                self.crashes = 0;
            }
            ShardEvent::Waiting { attempt, delay, ref cause } => {
                let delay_ms = delay.as_millis();
                warn!(
                    "[Gateway Service] Disconnected from Discord: {cause}; attempt {attempt} in {delay_ms} ms"
                );
            }
            ShardEvent::Undecodable(ref why) => {
                warn!("[Gateway Service] Ignored a frame from Discord: {why}");
            }
            ShardEvent::Fatal(ref reason) => {
                error!("[Gateway Service] {reason}");
                let _ = self.faults.send(reason.clone());
            }
            ShardEvent::Connecting { .. }
            | ShardEvent::Connected
            | ShardEvent::Latency(_)
            | ShardEvent::StartLimit(_) => {}
        }
        self.state.send_modify(|state| state.follow(event));
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        if let Some(stopped) = self.stopped.take() {
            self.state.send_modify(|state| state.stage = Stage::Stopped);
            let _ = stopped.send(());
        } else if !self.is_over() {
            // The runner panicked: a defect, but the next connection may not meet it.
            self.crashes += 1;
            let delay = RestartPolicy::discord().delay(self.crashes).unwrap_or_default();
            error!(
                "[Gateway Service] The Discord connection crashed; trying again in {} ms",
                delay.as_millis()
            );
            self.state.send_modify(|state| state.disconnects += 1);
            ctx.run_later(delay, Self::run);
        }
    }
}

impl Handler<Snapshot> for DiscordShard {
    type Result = MessageResult<Snapshot>;

    fn handle(&mut self, _: Snapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.borrow().clone())
    }
}

impl Handler<Shutdown> for DiscordShard {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        let running = self.stop.take().is_some_and(|stop| stop.send(true).is_ok());
        if running {
            self.stopped = Some(tell);
        }
        Box::pin(async move {
            if running {
                let _ = tokio::time::timeout(STOP_DEADLINE, told).await;
            }
        })
    }
}
