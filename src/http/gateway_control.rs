//! `POST /api/gateway/connect` and `/disconnect`: the link by hand. A disconnect stays until connect.

use actix_web::{HttpResponse, web};
use guildstream_actors::{
    link_client::{Connect, Disconnect, SendCommand},
    link_frame::raw,
    permissions::Permissions,
    questions::Viewers,
    snowflake::UserId,
};
use serde_json::json;

use super::{
    ask,
    error::{ApiError, Refusal},
    rate_limits::Who,
    web::WebState,
};
use crate::auth::signed_in::SignedIn;

/// Connects the link, also after it ran out of attempts.
#[utoipa::path(post, path = "/api/gateway/connect", operation_id = "connectGateway", tag = "operation", security(("session" = [])), params(
    ("X-Guildstream" = String, Header, description = "always 1"),
    ("Origin" = String, Header, description = "set by browsers: ours, or one of CORS_ORIGINS"),
), responses(
    (status = 204, description = "it is dialling"),
    (status = 400, body = Refusal, description = "a body that is not JSON"),
    (status = 401, body = Refusal, description = "no session"),
    (status = 403, body = Refusal, description = "the user may not manage a guild, or a foreign page asks"),
    (status = 429, body = Refusal, description = "too many; Retry-After says when to come back"),
    (status = 503, body = Refusal, description = "the link client does not answer, or sessions cannot be read now"),
))]
pub(super) async fn connect(
    signed_in: SignedIn,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    may_manage(&signed_in, &state).await?;
    log::info!("[Gateway Client] Connect asked for by user {}", signed_in.user.id);
    ask("link client", &state.link, Connect).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Disconnects the link until it is connected again; browser streams stay open.
#[utoipa::path(post, path = "/api/gateway/disconnect", operation_id = "disconnectGateway", tag = "operation", security(("session" = [])), params(
    ("X-Guildstream" = String, Header, description = "always 1"),
    ("Origin" = String, Header, description = "set by browsers: ours, or one of CORS_ORIGINS"),
), responses(
    (status = 204, description = "it is disconnected"),
    (status = 400, body = Refusal, description = "a body that is not JSON"),
    (status = 401, body = Refusal, description = "no session"),
    (status = 403, body = Refusal, description = "the user may not manage a guild, or a foreign page asks"),
    (status = 429, body = Refusal, description = "too many; Retry-After says when to come back"),
    (status = 503, body = Refusal, description = "the link client does not answer, or sessions cannot be read now"),
))]
pub(super) async fn disconnect(
    signed_in: SignedIn,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    may_manage(&signed_in, &state).await?;
    log::info!("[Gateway Client] Disconnect asked for by user {}", signed_in.user.id);
    ask("link client", &state.link, Disconnect).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn may_manage(signed_in: &SignedIn, state: &WebState) -> Result<(), ApiError> {
    let user = signed_in.user.id;
    state.rates.command.take(Who::User(user))?;
    let manages = match manages_now(user, state).await {
        Some(manages) => manages,
        // Otherwise the link could never be connected again.
        None => signed_in.is_manager(),
    };
    if manages { Ok(()) } else { Err(ApiError::MissingPermission("Manage Server")) }
}

/// What Discord says; none while the link is down or the gateway cannot tell.
async fn manages_now(user: UserId, state: &WebState) -> Option<bool> {
    let payload = raw(&json!({"userIds": [user]}));
    let viewer = SendCommand { command: "viewer".to_owned(), payload, actor: None, request_id: None };
    let answer = state.link.send(viewer).await.ok()?.ok()?;
    let answer: Viewers = serde_json::from_str(answer.data.get()).ok()?;
    let viewer = answer.viewers.into_iter().find(|viewer| viewer.user_id == user)?;
    let configured = &state.config.vite_discord_guild_id;
    let mut guilds = viewer.guilds.iter().filter(|guild| configured.contains(&guild.guild_id));
    let manages = guilds.any(|guild| guild.permissions.contains(Permissions::MANAGE_GUILD));
    (manages || viewer.unknown.is_empty()).then_some(manages)
}
