//! `GET /api/stream`: the event stream.
//!
//! An EventSource gives up for good on any status but 200. So a refusal that will pass is a 200 that says when to come
//! back, and ends. <https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model>

use std::{fmt::Display, future::ready, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use guildstream_actors::{
    filter::Filter,
    sse_broker::{Admission, Admit},
    sse_session::{self, OpenStream, Viewer},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    ask,
    error::{ApiError, Refusal},
    rate_limits::Who,
    web::WebState,
};
use crate::auth::signed_in::SignedIn;

/// Where EventSource puts the position it has.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What to stream; every part only narrows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamQuery {
    /// Guild ids, separated by commas.
    guild: Option<String>,
    /// Channel ids, separated by commas.
    channel: Option<String>,
    /// Event names, separated by commas; `voice.*` means all that begin so.
    events: Option<String>,
    /// For clients that cannot set the header.
    last_event_id: Option<String>,
}

/// The event stream, for an EventSource. A refusal that will pass is a 200 that says when to come back, and ends.
#[utoipa::path(get, path = "/api/stream", operation_id = "stream", tag = "events", security(("session" = [])), params(
    StreamQuery,
    ("Last-Event-ID" = Option<String>, Header, description = "the position to resume after"),
), responses(
    (status = 200, body = String, content_type = "text/event-stream", description = "Server-Sent Events"),
    (status = 400, body = Refusal, description = "a filter that cannot be"),
    (status = 401, body = Refusal, description = "no session"),
    (status = 403, body = Refusal, description = "a member of none of the guilds"),
))]
pub(super) async fn open(
    request: HttpRequest,
    query: web::Query<StreamQuery>,
    signed_in: Result<SignedIn, ApiError>,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let signed_in = match signed_in {
        Ok(signed_in) => signed_in,
        Err(ApiError::Unavailable(reason)) => return Ok(refuse("unknown", &reason, retry_soon())),
        Err(error) => return Err(error),
    };
    let user = signed_in.user.id;
    let StreamQuery { guild, channel, events, last_event_id } = query.into_inner();
    let configured = &state.config.vite_discord_guild_id;
    let filter = Filter::parse(guild.as_deref(), channel.as_deref(), events.as_deref(), configured)
        .map_err(|error| ApiError::Invalid(error.to_string()))?;
    if let Err(wait) = state.rates.stream.check(Who::User(user)) {
        return Ok(refuse(user, "too many streams in a short time", wait + retry_soon()));
    }
    let guilds = signed_in.guild_ids();
    let admit = Admit { user, guilds: guilds.clone() };
    match ask("broker", &state.broker, admit).await {
        Ok(Admission::Welcome) => {}
        Ok(Admission::NotAMember) => return Err(ApiError::NotAMember),
        Ok(Admission::Later { reason, retry }) => return Ok(refuse(user, reason, retry)),
        Err(error) => return Ok(refuse(user, &error.to_string(), retry_soon())),
    }
    let header =
        request.headers().get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let expires_at = signed_in.expires_at();
    let viewer = Viewer { user, sid: signed_in.sid.clone(), guilds, expires_at };
    let body = sse_session::stream(OpenStream {
        broker: state.broker.clone(),
        viewer,
        filter,
        after: header.or(last_event_id),
        queue_frames: state.config.sse_queue_frames,
    });
    let has_ended = move || state.sessions().has_ended(&signed_in.sid);
    Ok(event_stream().streaming(unless_ended(body, has_ended)))
}

/// A session may end after it was looked at and before the broker knows of the stream, and then nothing else would end
/// the stream. The broker knows once it has sent something, so the session is looked at again then.
fn unless_ended<C>(body: impl Stream<Item = C>, has_ended: impl FnOnce() -> bool) -> impl Stream<Item = C> {
    let mut unasked = Some(has_ended);
    body.take_while(move |_| ready(!unasked.take().is_some_and(|has_ended| has_ended())))
}

fn refuse(who: impl Display, reason: &str, retry: Duration) -> HttpResponse {
    log::info!("[SSE] Turned user {who} away for {} s: {reason}", retry.as_secs());
    let goodbye = sse_session::refusal(retry);
    event_stream().streaming(stream::iter([Ok::<Bytes, actix_web::Error>(goodbye)]))
}

/// For refusals that are not the broker's. Spread, so that those who were refused together do not come back together.
fn retry_soon() -> Duration {
    Duration::from_secs(15).mul_f64(1.0 + rand::random::<f64>())
}

fn event_stream() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache, no-transform"))
        // nginx would hold events back to fill a buffer.
        .insert_header(("X-Accel-Buffering", "no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_session_that_ends_while_its_stream_opens_gets_no_stream() {
        for (has_ended, expected) in [(true, vec![]), (false, vec!["hello", "event"])] {
            let body = unless_ended(stream::iter(["hello", "event"]), || has_ended);
            assert_eq!(body.collect::<Vec<_>>().await, expected);
        }
    }
}
