//! `POST /api/gateway/connect` and `/disconnect`: the link by hand. A disconnect stays until connect.

use actix_web::{HttpResponse, web};
use guildstream_actors::{
    link_client::{Connect, Disconnect},
    permissions::Permissions,
    sse_broker::GuildPermissions,
};

use super::{ask, error::ApiError, rate_limits::Who, web::WebState};
use crate::auth::session::SignedIn;

/// Connects the link, also after it ran out of attempts.
pub(super) async fn connect(
    signed_in: SignedIn,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    may_manage(&signed_in, &state).await?;
    log::info!("[Gateway Client] Connect asked for by user {}", signed_in.user.id);
    ask("link client", &state.link, Connect).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Disconnects the link; browser streams stay open.
pub(super) async fn disconnect(
    signed_in: SignedIn,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    may_manage(&signed_in, &state).await?;
    log::info!("[Gateway Client] Disconnect asked for by user {}", signed_in.user.id);
    ask("link client", &state.link, Disconnect).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What Discord says now decides; while that cannot be known, what it said at sign-in.
async fn may_manage(signed_in: &SignedIn, state: &WebState) -> Result<(), ApiError> {
    let user = signed_in.user.id;
    state.rates.command.take(Who::User(user))?;
    let manages = match ask("broker", &state.broker, GuildPermissions { user }).await {
        Ok(Some(guilds)) => {
            guilds.iter().any(|(_, permissions)| permissions.contains(Permissions::MANAGE_GUILD))
        }
        Ok(None) | Err(_) => signed_in.is_manager(),
    };
    if manages { Ok(()) } else { Err(ApiError::MissingPermission("Manage Server")) }
}
