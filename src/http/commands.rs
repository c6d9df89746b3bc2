//! `POST /api/commands`: asks Discord for something in the signed-in user's name.

use std::time::{Duration, Instant};

use actix::clock::timeout;
use actix_web::{
    FromRequest, HttpRequest, HttpResponse, dev::Payload, error::JsonPayloadError, http::StatusCode, web,
};
use futures_util::future::LocalBoxFuture;
use guildstream_actors::{
    link_client::{CommandError, SendCommand},
    link_frame, questions,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    error::{ApiError, Refusal},
    rate_limits::Who,
    web::WebState,
};
use crate::auth::signed_in::SignedIn;

/// A message with ten full embeds has less.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// A browser sends its few bytes at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_COMMAND_BYTES: usize = 64;
const MAX_REQUEST_ID_BYTES: usize = 64;

/// What to do in the signed-in user's name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Command {
    /// In snake case, such as `send_message`.
    #[schema(example = "send_message", max_length = 64)]
    command: String,
    /// Its arguments.
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
    /// Names the command: sent again with the same id and body, it is not done twice.
    #[serde(alias = "request_id")]
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    request_id: Option<String>,
}

/// Discord did it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accepted<'a> {
    request_id: &'a str,
    /// Discord's answer, as it came.
    #[schema(value_type = Value)]
    data: &'a RawValue,
}

/// Asks Discord for something in the signed-in user's name; a success means that Discord has accepted it.
#[utoipa::path(post, path = "/api/commands", operation_id = "command", tag = "commands", security(("session" = [])), params(
    ("X-Guildstream" = String, Header, description = "always 1"),
    ("Origin" = String, Header, description = "set by browsers: ours, or one of CORS_ORIGINS"),
), request_body = Command, responses(
    (status = 200, body = Accepted),
    (status = 400, body = Refusal, description = "a body or payload that cannot be understood"),
    (status = 401, body = Refusal, description = "no session"),
    (status = 403, body = Refusal, description = "the user may not do this in Discord, or a foreign page asks"),
    (status = 404, body = Refusal, description = "no such command"),
    (status = 408, body = Refusal, description = "the body did not arrive in time"),
    (status = 409, body = Refusal, description = "the requestId was used with another body"),
    (status = 413, body = Refusal, description = "the body is too large"),
    (status = 429, body = Refusal, description = "too many; Retry-After says when to come back"),
    (status = 502, body = Refusal, description = "Discord said no; its answer is in error.discord"),
    (status = 503, body = Refusal, description = "never sent"),
    (status = 504, body = Refusal, description = "sent and not answered: it may still happen"),
))]
pub(super) async fn send(
    JsonBody(command): JsonBody<Command>,
    signed_in: SignedIn,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    state.rates.command.take(Who::User(signed_in.user.id))?;
    let Command { command, payload, request_id } = command;
    if command.len() > MAX_COMMAND_BYTES || questions::NAMES.contains(&command.as_str()) {
        return Err(ApiError::UnknownCommand(command.chars().take(MAX_COMMAND_BYTES).collect()));
    }
    if !payload.get().starts_with('{') {
        return Err(ApiError::Invalid("payload is not a JSON object".to_owned()));
    }
    let is_id = |id: &String| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    if request_id.as_ref().is_some_and(|id| !is_id(id)) {
        let message = format!("requestId is not 1 to {MAX_REQUEST_ID_BYTES} printable ASCII characters");
        return Err(ApiError::Invalid(message));
    }
    let request_id = request_id.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
    let name = command.clone();
    let actor = Some(signed_in.user.id);
    let command = SendCommand { command, payload, actor, request_id: Some(request_id.clone()) };
    let sent = Instant::now();
    // The link client has its own deadline, COMMAND_TIMEOUT_S.
    let answer = match state.link.send(command).await {
        Ok(Ok(answer)) => Ok(answer.data),
        Ok(Err(error)) => Err(refusal(error, request_id.clone())),
        Err(error) => Err(ApiError::Unavailable(format!("the link client does not answer: {error}"))),
    };
    let outcome = answer.as_ref().map_or_else(ApiError::code, |_| "ok");
    state.counters().command(&name, outcome, sent.elapsed());
    answer.map(|data| HttpResponse::Ok().json(Accepted { request_id: &request_id, data: &data }))
}

/// A body of JSON that arrives in time.
pub(super) struct JsonBody<T>(T);

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = timeout(BODY_TIMEOUT, web::Json::from_request(request, payload));
        Box::pin(async move {
            match body.await {
                Ok(body) => body.map(|web::Json(body)| Self(body)),
                Err(_) => Err(ApiError::TooSlow(BODY_TIMEOUT.as_secs()).into()),
            }
        })
    }
}

/// Reads the body as JSON, up to what a command may have.
pub(super) fn body_limit() -> web::JsonConfig {
    web::JsonConfig::default().limit(MAX_BODY_BYTES).error_handler(not_json)
}

fn not_json(error: JsonPayloadError, _: &HttpRequest) -> actix_web::Error {
    match error {
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
            ApiError::TooLarge(MAX_BODY_BYTES).into()
        }
        error => ApiError::Invalid(error.to_string().to_ascii_lowercase()).into(),
    }
}

fn refusal(error: CommandError, request_id: String) -> ApiError {
    let message = error.to_string();
    let (status, code) = match error {
        CommandError::NotSent { .. } => (StatusCode::SERVICE_UNAVAILABLE, "NOT_SENT"),
        CommandError::QueueFull => (StatusCode::SERVICE_UNAVAILABLE, "QUEUE_FULL"),
        CommandError::Unanswered => (StatusCode::GATEWAY_TIMEOUT, "UNANSWERED"),
        CommandError::Refused(refusal) => return refused(refusal, request_id),
    };
    ApiError::Command {
        status,
        code: code.into(),
        message,
        request_id: Some(request_id),
        retry_after_s: None,
        discord: None,
    }
}

fn refused(refusal: link_frame::Refusal, request_id: String) -> ApiError {
    let status = match refusal.code.as_str() {
        "INVALID" => StatusCode::BAD_REQUEST,
        "MISSING_PERMISSIONS" | "FORBIDDEN" => StatusCode::FORBIDDEN,
        "UNKNOWN_COMMAND" => StatusCode::NOT_FOUND,
        "CONFLICT" => StatusCode::CONFLICT,
        "RATE_LIMITED" => StatusCode::TOO_MANY_REQUESTS,
        "OUTCOME_UNKNOWN" | "TIMEOUT" => StatusCode::GATEWAY_TIMEOUT,
        "UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    };
    ApiError::Command {
        status,
        code: refusal.code.into(),
        message: refusal.message,
        request_id: Some(request_id),
        retry_after_s: refusal.retry_after_s,
        discord: refusal.discord,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{error::PayloadError, test::TestRequest};
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};

    #[actix_web::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        tokio::time::pause();
        let begun = stream::iter([Ok::<_, PayloadError>(Bytes::from_static(b"{\"command\":"))]);
        let mut payload = Payload::from(begun.chain(stream::pending()).boxed_local());
        let json = ("content-type", "application/json");
        let request = TestRequest::post().insert_header(json).to_http_request();
        let Err(error) = JsonBody::<Command>::from_request(&request, &mut payload).await else {
            panic!("read")
        };
        assert_eq!(error.as_response_error().status_code(), StatusCode::REQUEST_TIMEOUT);
    }
}
