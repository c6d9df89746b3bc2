//! `GET /api/status`: what the role is doing, for people and for the page. It holds no secrets and no user data.

use std::time::Instant;

use actix_web::{HttpResponse, web};
use guildstream_actors::{discord_shard, link_client, link_server, shard_runner, sse_broker};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ask, gateway::GatewayState, web::WebState};

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
}

/// How the link client's own state reads as JSON, for the API's description; a test compares the two.
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

/// The same for the broker's.
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
#[utoipa::path(get, path = "/api/status", tag = "operation", responses((status = 200, body = WebStatus)))]
pub(super) async fn web(state: web::Data<WebState>) -> HttpResponse {
    let link = ask("link client", &state.link, link_client::Snapshot).await.ok();
    let sse = ask("broker", &state.broker, sse_broker::Snapshot).await.ok();
    HttpResponse::Ok().json(WebStatus {
        role: Role::new("web", state.started),
        connected: link.as_ref().is_some_and(link_client::LinkClientState::connected),
        reconnect_attempts: link.as_ref().map_or(0, link_client::LinkClientState::reconnect_attempts),
        link,
        sse,
    })
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
