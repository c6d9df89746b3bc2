//! The HTTP side of both roles. All routes of a role are in one place, [`web`] or [`gateway`]; each resource has a
//! file of its own.

pub mod client_address;
pub mod commands;
pub mod counters;
pub mod error;
pub mod gateway;
pub mod gateway_control;
pub mod guilds;
pub mod health;
pub mod link;
pub mod metrics;
pub mod openapi;
pub mod origin;
pub mod page;
pub mod rate_limits;
pub mod refusals;
pub mod security_headers;
pub mod session;
pub mod sign_in;
pub mod status;
pub mod stream;
pub mod web;

use std::time::Duration;

use actix::{Addr, Handler, Message, dev::ToEnvelope};
use actix_web::{
    FromRequest, Handler as RouteHandler, HttpResponse, Resource, Responder, guard,
    web::{get as on_get, post as on_post, resource, route, to},
};

use error::ApiError;

/// The time an actor has to answer. A healthy one takes well under a millisecond.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A resource that is read; HEAD as well as GET (RFC 9110, 9.3.2).
fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: RouteHandler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reads = guard::Any(guard::Get()).or(guard::Head());
    resource(path).route(route().guard(reads).to(handler)).default_service(not_allowed("GET, HEAD"))
}

/// A resource that is read as a stream: a HEAD would open one that nobody reads.
fn get_stream<F, Args>(path: &str, handler: F) -> Resource
where
    F: RouteHandler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path).route(on_get().to(handler)).default_service(not_allowed("GET"))
}

/// A resource that does something.
fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: RouteHandler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path).route(on_post().to(handler)).default_service(not_allowed("POST"))
}

fn not_allowed(methods: &'static str) -> actix_web::Route {
    to(move || async move { Err::<HttpResponse, _>(ApiError::MethodNotAllowed(methods)) })
}

async fn not_found() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NotFound)
}

/// Asks an actor; the error says which one does not answer.
async fn ask<A, M>(name: &'static str, actor: &Addr<A>, message: M) -> Result<M::Result, ApiError>
where
    A: Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    let answer = actix::clock::timeout(ANSWER_TIMEOUT, actor.send(message)).await;
    answer
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| ApiError::Unavailable(format!("the {name} does not answer")))
}
