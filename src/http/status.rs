//! `GET /api/status`: what the role is doing, for people and for the page. It holds no secrets and no user data.

use std::time::{Duration, Instant};

use actix::{Addr, clock::timeout};
use actix_web::{HttpResponse, web};
use guildstream_actors::{
    discord_shard,
    link_client::{self, LinkClient, SendCommand},
    link_frame::raw,
    link_server, questions, shard_runner, sse_broker,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::{ask, gateway::GatewayState, web::WebState};

/// How long an answer serves everybody.
const GLANCE_LASTS: Duration = Duration::from_secs(1);
/// A gateway that is well answers in a millisecond.
const GLANCE_TIMEOUT: Duration = Duration::from_secs(1);

/// What both roles say of themselves.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Role {
    role: &'static str,
    version: &'static str,
    uptime_s: u64,
}

/// What the web role is doing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebStatus {
    #[serde(flatten)]
    role: Role,
    /// Whether the gateway is followed.
    connected: bool,
    /// Attempts since the link was last live.
    reconnect_attempts: u32,
    /// Null while the actor does not answer.
    #[schema(value_type = Option<LinkStatus>)]
    link: Option<link_client::LinkClientState>,
    /// Null while the actor does not answer.
    #[schema(value_type = Option<StreamsStatus>)]
    sse: Option<sse_broker::BrokerState>,
    /// The gateway's connection to Discord, at most a second ago. Null while the link is down, and with a gateway of
    /// another make.
    #[schema(value_type = Option<DiscordSchema>)]
    discord: Option<questions::DiscordStatus>,
}

// The actors' own states know no API. What follows describes how they read as JSON; the tests hold answers against it.

/// The link to the gateway.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct LinkStatus {
    /// `connecting`, `live`, `waiting`, `disconnected`, `exhausted` or `stopped`.
    state: String,
    attempt: u32,
    /// 0 = it never gives up.
    max_attempts: u32,
    #[schema(required)]
    next_attempt_in_ms: Option<u64>,
    #[schema(required)]
    last_event_id: Option<String>,
    /// Milliseconds since the Unix epoch.
    #[schema(required)]
    last_event_at: Option<u64>,
}

/// The streams of this role.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct StreamsStatus {
    /// Open streams.
    sessions: u64,
    /// Events sent to streams.
    delivered: u64,
    /// Streams ended because they were too slow.
    dropped: u64,
    /// Times a stream was told that events were lost.
    resyncs: u64,
}

/// The gateway's connection to Discord.
#[derive(ToSchema)]
#[schema(as = DiscordStatus)]
#[allow(dead_code)]
struct DiscordSchema {
    /// `starting`, `connecting`, `identifying`, `live`, `waiting`, `fatal` or `stopped`.
    state: String,
    shards: Vec<ShardSchema>,
}

/// One shard of it.
#[derive(ToSchema)]
#[schema(as = ShardStatus, rename_all = "camelCase")]
#[allow(dead_code)]
struct ShardSchema {
    id: u32,
    /// The same words.
    state: String,
    /// Sessions that went on.
    resumes: u64,
    /// Sessions that began.
    identifies: u64,
    /// Heartbeat to acknowledgement, in milliseconds.
    #[schema(required)]
    latency_ms: Option<u64>,
    /// The last sequence number.
    #[schema(required)]
    last_seq: Option<u64>,
}

/// The last answer to the link's `status` question, for all who ask in the same second: anybody may ask.
#[derive(Debug, Default)]
pub struct DiscordGlance(Mutex<Option<(Instant, Option<questions::DiscordStatus>)>>);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayStatus {
    #[serde(flatten)]
    role: Role,
    /// Missing while the actor does not answer.
    discord: Option<DiscordStatus>,
    link: Option<link_server::LinkServerState>,
}

/// The whole of Discord, which is one shard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscordStatus {
    #[serde(flatten)]
    stage: discord_shard::Stage,
    shards: [discord_shard::ShardState; 1],
    session_start_limit: Option<shard_runner::SessionStartLimit>,
}

impl Role {
    fn new(role: &'static str, started: Instant) -> Self {
        Self { role, version: env!("CARGO_PKG_VERSION"), uptime_s: started.elapsed().as_secs() }
    }
}

/// The link, the streams and how long the role has been up. Holds no secrets and no user data.
#[utoipa::path(get, path = "/api/status", operation_id = "status", tag = "operation", responses((status = 200, body = WebStatus)))]
pub(super) async fn web(state: web::Data<WebState>) -> HttpResponse {
    let link = ask("link client", &state.link, link_client::Snapshot).await.ok();
    let sse = ask("broker", &state.broker, sse_broker::Snapshot).await.ok();
    HttpResponse::Ok().json(WebStatus {
        role: Role::new("web", state.started),
        connected: link.as_ref().is_some_and(link_client::LinkClientState::connected),
        reconnect_attempts: link.as_ref().map_or(0, link_client::LinkClientState::reconnect_attempts),
        discord: match &link {
            Some(link) if link.answers => state.discord.get(&state.link).await,
            _ => None,
        },
        link,
        sse,
    })
}

impl DiscordGlance {
    async fn get(&self, link: &Addr<LinkClient>) -> Option<questions::DiscordStatus> {
        // Held while the gateway is asked, so that it is asked once.
        let mut last = self.0.lock().await;
        if let Some((at, status)) = &*last
            && at.elapsed() < GLANCE_LASTS
        {
            return status.clone();
        }
        let question = SendCommand {
            command: "status".to_owned(),
            payload: raw(&json!({})),
            actor: None,
            request_id: None,
        };
        let status = match timeout(GLANCE_TIMEOUT, link.send(question)).await {
            Ok(Ok(Ok(answer))) => serde_json::from_str::<questions::Status>(answer.data.get()).ok(),
            _ => None,
        };
        let status = status.and_then(|status| status.discord);
        *last = Some((Instant::now(), status.clone()));
        status
    }
}

pub(super) async fn gateway(state: web::Data<GatewayState>) -> HttpResponse {
    let shard = ask("shard", &state.shard, discord_shard::Snapshot).await.ok();
    HttpResponse::Ok().json(GatewayStatus {
        role: Role::new("gateway", state.started),
        discord: shard.map(|shard| DiscordStatus {
            stage: shard.stage.clone(),
            session_start_limit: shard.session_start_limit,
            shards: [shard],
        }),
        link: ask("link server", &state.links, link_server::Snapshot).await.ok(),
    })
}
