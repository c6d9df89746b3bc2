//! The Gateway edge: WebSocket connections speaking Gateway v10.
//!
//! <https://discord.com/developers/docs/events/gateway>

mod codec;
mod command;
mod connection;
pub(crate) mod hub;
pub(crate) mod intents;
mod replay;
mod request;

use std::{net::TcpStream, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, guard::GuardContext, http::header, web};
use serde::Deserialize;

use crate::discord::Discord;

/// The raw socket under an HTTP connection, put aside when it was accepted.
#[derive(Clone, Debug)]
pub(crate) struct RawSocket(pub(crate) Arc<TcpStream>);

#[derive(Deserialize)]
pub(crate) struct GatewayQuery {
    v: Option<String>,
    encoding: Option<String>,
    compress: Option<String>,
}

/// True for requests that want to become a WebSocket, whatever their path.
pub(crate) fn is_upgrade(context: &GuardContext<'_>) -> bool {
    let upgrade = context.head().headers().get(header::UPGRADE);
    upgrade.and_then(|value| value.to_str().ok()).is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Upgrades to a Gateway connection and serves it in a task of its own.
pub(crate) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    query: web::Query<GatewayQuery>,
    discord: web::Data<Discord>,
) -> actix_web::Result<HttpResponse> {
    if discord.with(|inner| inner.faults.refuses_gateway()) {
        return Ok(HttpResponse::ServiceUnavailable().body("the sandbox was told to refuse connections"));
    }
    let Some(RawSocket(socket)) = request.conn_data::<RawSocket>().cloned() else {
        return Ok(HttpResponse::InternalServerError().body("the socket of this connection is not known"));
    };
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    let query = query.into_inner();
    let refused = if query.v.is_some_and(|version| version != "10") {
        Some(command::Close::InvalidApiVersion)
    } else if query.encoding.is_some_and(|encoding| encoding != "json") {
        // ETF is Erlang's own format; no library here asks for it unless told to.
        Some(command::Close::DecodeError)
    } else {
        None
    };
    let codec = codec::Codec::for_transport(query.compress.as_deref());
    let resume_url = format!("ws://{}", request.connection_info().host());
    let connection = connection::Connection::new(discord, session, messages, socket, codec, resume_url);
    actix_web::rt::spawn(connection.serve(refused));
    Ok(response)
}
