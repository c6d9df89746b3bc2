//! The control edge: what tests and curious people do to the sandbox. For this machine alone.

mod actions;
mod dispatch;
mod page;
mod state;

use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    web,
};
use serde_json::json;

pub use self::dispatch::DispatchError;
pub(crate) use self::{dispatch::Posted, state::state};

/// The control routes and the page that uses them.
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.route("/", web::get().to(page::page))
        .route("/control.js", web::get().to(page::script))
        .route("/control.css", web::get().to(page::style))
        .service(
            web::scope("/sandbox")
                .wrap(from_fn(only_from_here))
                .route("/state", web::get().to(actions::show_state))
                .route("/dispatch", web::post().to(actions::dispatch))
                .route("/fault", web::post().to(actions::fault))
                .route("/application", web::post().to(actions::application))
                .route("/members/{user}/voice", web::post().to(actions::move_member))
                .route("/members/{user}/join", web::post().to(actions::join))
                .route("/members/{user}/leave", web::post().to(actions::leave))
                .route("/members/{user}/message", web::post().to(actions::post_message)),
        );
}

/// A control call that cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ControlError {
    status: StatusCode,
    message: String,
}

impl ControlError {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message: message.into() }
    }
}

impl actix_web::ResponseError for ControlError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(json!({ "message": self.message }))
    }
}

/// Refuses other machines, and pages of other sites that a browser on this one shows.
async fn only_from_here(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if is_local(request.request()) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let refusal = "control routes answer only this machine, at a loopback address and from no foreign page";
    Ok(request.into_response(HttpResponse::Forbidden().json(json!({ "message": refusal }))))
}

fn is_local(request: &HttpRequest) -> bool {
    let peer = request.peer_addr().is_some_and(|peer| peer.ip().is_loopback());
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let own = text(header::ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    peer && own && is_loopback_host(host)
}

/// False for a name that somebody else's DNS may point at this machine.
fn is_loopback_host(host: &str) -> bool {
    let Ok(url) = url::Url::parse(&format!("http://{host}")) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_taken_for_it() {
        for (host, expected) in [
            ("127.0.0.1:8090", true),
            ("localhost:8090", true),
            ("[::1]:8090", true),
            ("rebound.example:8090", false),
            ("localhost.rebound.example", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(host), expected, "{host}");
        }
    }
}
