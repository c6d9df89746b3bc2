//! `GET /` of the gateway role: the link's WebSocket.

use actix_web::{HttpRequest, HttpResponse, web};
use guildstream_actors::link_session;

use super::{error::ApiError, gateway::GatewayState};
use crate::auth::bearer;

/// Lets a web role in that knows `LINK_TOKEN`; anyone else is refused before the upgrade.
pub(super) async fn open(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<GatewayState>,
) -> Result<HttpResponse, actix_web::Error> {
    if !bearer::is_authorised(request.headers(), &state.link_token) {
        let peer = request.peer_addr().map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        log::warn!("[Gateway WS] Refused {peer}: LINK_TOKEN is missing or wrong");
        return Err(ApiError::InvalidToken.into());
    }
    link_session::upgrade(&request, payload, state.links.clone())
}
