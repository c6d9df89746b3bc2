//! `POST /api/gateway/connect` and `/disconnect`: the link by hand. A disconnect stays until connect.

use actix_web::{HttpResponse, web};
use guildstream_actors::link_client::{Connect, Disconnect};

use super::{ask, error::ApiError, web::WebState};
use crate::auth::session::SignedIn;

/// Connects the link, also after it ran out of attempts.
pub(super) async fn connect(
    signed_in: SignedIn,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    may_manage(&signed_in)?;
    log::info!("[Gateway Client] Connect asked for by user {}", signed_in.user.id);
    ask("link client", &state.link, Connect).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Disconnects the link; browser streams stay open.
pub(super) async fn disconnect(
    signed_in: SignedIn,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    may_manage(&signed_in)?;
    log::info!("[Gateway Client] Disconnect asked for by user {}", signed_in.user.id);
    ask("link client", &state.link, Disconnect).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn may_manage(signed_in: &SignedIn) -> Result<(), ApiError> {
    if signed_in.is_manager() { Ok(()) } else { Err(ApiError::MissingPermission("Manage Server")) }
}
