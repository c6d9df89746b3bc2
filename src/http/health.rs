//! `GET /livez` and `GET /readyz`: two different questions. A role that is alive and not ready is left running.

use actix_web::{HttpResponse, web};
use guildstream_actors::{discord_shard, link_client, link_server, sse_broker};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ask, gateway::GatewayState, web::WebState};

/// How the role is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `alive`, `ready` or `not ready`.
    status: &'static str,
    /// What is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    reasons: Vec<String>,
}

/// Whether the process answers.
#[utoipa::path(get, path = "/livez", tag = "operation", responses((status = 200, body = Health)))]
pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "alive", reasons: Vec::new() })
}

/// Whether the link is up and every core actor answers; `/healthz` is the same.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "operation", responses(
    (status = 200, body = Health),
    (status = 503, body = Health, description = "not ready, with the reasons"),
))]
pub(super) async fn web(state: web::Data<WebState>) -> HttpResponse {
    let link = match ask("link client", &state.link, link_client::Snapshot).await {
        Ok(link) => link.ready().err(),
        Err(error) => Some(error.to_string()),
    };
    let broker =
        ask("broker", &state.broker, sse_broker::Snapshot).await.err().map(|error| error.to_string());
    readiness([link, broker])
}

/// Discord is connected and every core actor answers.
pub(super) async fn gateway(state: web::Data<GatewayState>) -> HttpResponse {
    let shard = match ask("shard", &state.shard, discord_shard::Snapshot).await {
        Ok(shard) => shard.ready().err(),
        Err(error) => Some(error.to_string()),
    };
    let links =
        ask("link server", &state.links, link_server::Snapshot).await.err().map(|error| error.to_string());
    readiness([shard, links])
}

fn readiness(reasons: [Option<String>; 2]) -> HttpResponse {
    let reasons: Vec<_> = reasons.into_iter().flatten().collect();
    if reasons.is_empty() {
        HttpResponse::Ok().json(Health { status: "ready", reasons })
    } else {
        HttpResponse::ServiceUnavailable().json(Health { status: "not ready", reasons })
    }
}
