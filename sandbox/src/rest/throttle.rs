//! What surrounds every REST call: counting, faults, rate limits and their headers.

use std::time::{Duration, Instant};

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use serde_json::json;

use super::{
    error::ApiError,
    limits::{Refusal, Verdict},
};
use crate::{discord::Discord, life::faults::RestFault, world::id::Timestamp};

/// Middleware of the whole API.
pub(crate) async fn throttle(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(discord) = request.app_data::<web::Data<Discord>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let token = credential(&request);
    let (fault, verdict) = discord.with(|inner| {
        inner.rest_requests += 1;
        // Sign-ins go on while the bot has a bad day.
        let fault = token.starts_with("Bot ").then(|| inner.faults.take_rest()).flatten();
        let pattern = pattern(request.path());
        let method = request.method().as_str();
        let mut verdict = inner.limits.take(&token, method, &pattern, major(request.path()), Instant::now());
        if let Some(RestFault::RateLimit { retry_after, global }) = fault {
            verdict.refuse(if global { Refusal::Global } else { Refusal::Route }, retry_after);
        }
        (fault, verdict)
    });
    let refused = match (fault, verdict.refused) {
        (Some(RestFault::Error(status)), _) => Some(ApiError::on_purpose(status).into_response()),
        (_, Some(refusal)) => Some(too_many(verdict.reset_after, refusal)),
        (_, None) => None,
    };
    let mut response = match refused {
        Some(refused) => request.into_response(refused),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    if let Some(RestFault::Delay(late)) = fault {
        actix_web::rt::time::sleep(late).await;
    }
    tell(&verdict, response.headers_mut());
    Ok(response)
}

/// The answer to one call too many.
///
/// <https://discord.com/developers/docs/topics/rate-limits#exceeding-a-rate-limit>
fn too_many(retry_after: Duration, refusal: Refusal) -> HttpResponse {
    let seconds = retry_after.as_secs_f64();
    let (scope, global) = match refusal {
        Refusal::Route => ("user", false),
        Refusal::Global => ("global", true),
    };
    let mut response = HttpResponse::TooManyRequests();
    response
        .insert_header((header::RETRY_AFTER, seconds.ceil().to_string()))
        .insert_header(("X-RateLimit-Scope", scope))
        // Without it discord.py takes a 429 for a ban by Cloudflare.
        .insert_header((header::VIA, "1.1 guildstream-sandbox"));
    if global {
        response.insert_header(("X-RateLimit-Global", "true"));
    }
    let rounded = (seconds * 1000.0).ceil() / 1000.0;
    response
        .json(json!({ "message": "You are being rate limited.", "retry_after": rounded, "global": global }))
}

fn tell(verdict: &Verdict, headers: &mut HeaderMap) {
    let after = verdict.reset_after.as_secs_f64();
    let reset = Timestamp::now().unix_ms() as f64 / 1000.0 + after;
    for (name, value) in [
        ("x-ratelimit-limit", verdict.limit.to_string()),
        ("x-ratelimit-remaining", verdict.remaining.to_string()),
        ("x-ratelimit-reset", format!("{reset:.3}")),
        ("x-ratelimit-reset-after", format!("{after:.3}")),
        ("x-ratelimit-bucket", verdict.bucket.clone()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// What limits are counted by: the token, or for calls without one the peer.
fn credential(request: &ServiceRequest) -> String {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let peer = || request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    header.map_or_else(peer, str::to_owned)
}

/// The route that a path belongs to: the path without what changes from call to call. (The router's own pattern is no
/// help, because it does not look at guards and finds the Gateway's catch-all first.)
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut before = "";
    for segment in path.split('/').skip(1) {
        let is_id = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        let shown = if before == "reactions" {
            "{emoji}"
        } else if is_id {
            "{id}"
        } else {
            segment
        };
        pattern.push('/');
        pattern.push_str(shown);
        before = segment;
    }
    pattern
}

/// The guild or channel in a path, which has its own buckets.
fn major(path: &str) -> &str {
    let mut segments = path.split('/').skip_while(|segment| !matches!(*segment, "channels" | "guilds"));
    segments.next();
    segments.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_path_without_ids_and_emoji() {
        for (path, expected) in [
            ("/api/v10/channels/1/messages/2", "/api/v10/channels/{id}/messages/{id}"),
            (
                "/api/v10/channels/1/messages/2/reactions/%F0/@me",
                "/api/v10/channels/{id}/messages/{id}/reactions/{emoji}/@me",
            ),
            ("/api/v10/users/@me", "/api/v10/users/@me"),
        ] {
            assert_eq!(pattern(path), expected);
        }
    }

    #[test]
    fn the_major_parameter_is_the_first_guild_or_channel() {
        for (path, expected) in [
            ("/api/v10/channels/1/messages/2", "1"),
            ("/api/v10/guilds/3/channels", "3"),
            ("/api/v10/users/@me", ""),
            ("/api/v10/users/@me/guilds/4/member", "4"),
        ] {
            assert_eq!(major(path), expected, "{path}");
        }
    }
}
