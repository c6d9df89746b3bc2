//! One call to Discord's REST, with the whole answer in our hands: serenity names the routes and makes the bodies, but
//! its own way of sending loses the headers of a refusal, and with them how long to wait.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serenity::http::{Http, LightMethod, RatelimitingBucket, Route};

use super::data;
use crate::{
    command_log::Outcome,
    link_frame::{Refusal, raw},
};

/// A call that takes longer has an unknown outcome. Shorter than `COMMAND_TIMEOUT_S`, so that the caller is told.
const DEADLINE: Duration = Duration::from_secs(8);
/// A server that cannot be reached by then was not told anything.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Bytes of an answer that are passed on. A message with everything in it has a tenth.
const MAX_ANSWER: usize = 1024 * 1024;
/// Routes that are held at once; the next that Discord limits is not remembered.
const MAX_HOLDS: usize = 10_000;
/// Discord lets routes wait for minutes, not for longer.
const MAX_WAIT_S: f64 = 86_400.0;
/// serenity's routes begin with it.
const DISCORD: &str = "https://discord.com";

/// A call that was allowed.
pub(crate) struct Call {
    method: LightMethod,
    bucket: RatelimitingBucket,
    path: Cow<'static, str>,
    body: Option<Vec<u8>>,
    repeat: Repeat,
}

/// For how long making a call a second time has no second effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Not at all.
    Never,
    /// So long.
    Within(Duration),
    /// For ever.
    Always,
}

/// What came of a call.
pub(crate) struct Reply {
    pub(super) outcome: Outcome,
    /// `None` when there was no answer.
    pub(super) status: Option<StatusCode>,
    /// What Discord does not want to see for a while.
    pub(super) hold: Option<Hold>,
}

/// Calls that Discord limits: those of one route, or all.
pub(super) struct Hold {
    route: Option<(LightMethod, RatelimitingBucket)>,
    wait: Duration,
}

/// Until when what is held.
#[derive(Default)]
pub(super) struct Holds {
    all: Option<Instant>,
    routes: HashMap<(LightMethod, RatelimitingBucket), Instant>,
}

#[derive(Clone)]
pub(super) struct Rest {
    http: Arc<Http>,
    client: Client,
}

/// <https://discord.com/developers/docs/reference#error-messages>
#[derive(Default, Deserialize)]
#[serde(default)]
struct DiscordError {
    code: Option<i64>,
    message: String,
    errors: Option<Box<RawValue>>,
    retry_after: Option<f64>,
    global: bool,
}

impl Call {
    pub(super) fn new(method: LightMethod, route: Route<'_>) -> Self {
        Self {
            method,
            bucket: route.ratelimiting_bucket(),
            path: route.path(),
            body: None,
            repeat: match method {
                LightMethod::Put | LightMethod::Patch => Repeat::Always,
                _ => Repeat::Never,
            },
        }
    }

    /// Discord itself sees to it that this call has its effect once.
    pub(super) fn repeatable(self, within: Duration) -> Self {
        Self { repeat: Repeat::Within(within), ..self }
    }

    /// Whether it has no second effect, when it may have been made so long ago.
    pub(super) fn may_repeat(&self, first: Duration) -> bool {
        match self.repeat {
            Repeat::Never => false,
            Repeat::Within(limit) => first < limit,
            Repeat::Always => true,
        }
    }

    pub(super) fn with_body(self, body: &impl Serialize) -> Self {
        Self { body: Some(raw(body).get().as_bytes().to_vec()), ..self }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.path)
    }
}

impl Rest {
    pub(super) fn new(http: Arc<Http>) -> Self {
        Self::with_deadline(http, DEADLINE)
    }

    pub(super) fn with_deadline(http: Arc<Http>, deadline: Duration) -> Self {
        let client = Client::builder()
            .use_rustls_tls()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(deadline)
            .redirect(reqwest::redirect::Policy::none())
            // A connection that Discord closed while it was idle would look like a lost answer.
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .expect("settings without certificates or proxies are always valid");
        Self { http, client }
    }

    /// Makes the call once. A 2xx is a success whatever its body says.
    pub(super) fn send(&self, call: Call) -> impl Future<Output = Reply> + use<> {
        let request = self.request(&call);
        async move {
            match request.send().await {
                Ok(response) => answer(response, &call).await,
                Err(error) => Reply { outcome: Err(failure(&error)), status: None, hold: None },
            }
        }
    }

    fn request(&self, call: &Call) -> RequestBuilder {
        let origin = self.http.proxy.as_deref().unwrap_or(DISCORD).trim_end_matches('/');
        let path = call.path.strip_prefix(DISCORD).unwrap_or(&call.path);
        let request = self
            .client
            .request(call.method.reqwest_method(), format!("{origin}{path}"))
            .header(header::AUTHORIZATION, self.http.token())
            .header(header::USER_AGENT, serenity::constants::USER_AGENT);
        match &call.body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(body.clone()),
            None => request.header(header::CONTENT_LENGTH, 0),
        }
    }
}

impl Holds {
    /// Refuses what Discord does not want to see now.
    pub(super) fn check(&self, call: &Call, now: Instant) -> Result<(), Refusal> {
        let route = self.routes.get(&(call.method, call.bucket)).copied();
        match route.max(self.all).map(|until| until.saturating_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(limited(wait)),
            _ => Ok(()),
        }
    }

    pub(super) fn add(&mut self, hold: Hold, now: Instant) {
        self.routes.retain(|_, until| *until > now);
        match hold.route {
            None => self.all = self.all.max(Some(now + hold.wait)),
            Some(route) if self.routes.len() < MAX_HOLDS => {
                let until = self.routes.entry(route).or_insert(now);
                *until = (*until).max(now + hold.wait);
            }
            Some(_) => {}
        }
    }
}

async fn answer(response: Response, call: &Call) -> Reply {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let seconds = |name| header(name)?.parse().ok().filter(|seconds: &f64| !seconds.is_nan());
    let (retry_after, reset_after) = (seconds("retry-after"), seconds("x-ratelimit-reset-after"));
    let is_global = header("x-ratelimit-global").is_some();
    let used_up = header("x-ratelimit-remaining") == Some("0");
    let body = read(response).await;
    let hold =
        |route, seconds: f64| Hold { route, wait: Duration::from_secs_f64(seconds.clamp(0.0, MAX_WAIT_S)) };
    let own = Some((call.method, call.bucket));
    if status.is_success() {
        // The next one would be refused; Discord shuts out who collects too many refusals.
        let hold = reset_after.filter(|_| used_up).map(|seconds| hold(own, seconds));
        return Reply { outcome: Ok(data(body)), status: Some(status), hold };
    }
    let error: DiscordError = serde_json::from_str(&body).unwrap_or_default();
    let mut refusal = Refusal::new("DISCORD_ERROR", format!("Discord refused ({status}): {}", error.message));
    let mut held = None;
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = error.retry_after.or(retry_after).unwrap_or(1.0);
        let hold = hold(own.filter(|_| !(is_global || error.global)), seconds);
        refusal = limited(hold.wait);
        held = Some(hold);
    }
    refusal.discord = Some(said(status, &error));
    Reply { outcome: Err(refusal), status: Some(status), hold: held }
}

/// The body as far as it is text of a sensible size; empty otherwise.
async fn read(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_ANSWER {
            return String::new();
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).unwrap_or_default()
}

/// Whether anything can have happened decides what the caller is told.
fn failure(error: &reqwest::Error) -> Refusal {
    // The address in it would be of no use to a browser.
    log::warn!("[Gateway Service] A command's call failed: {error}");
    if error.is_connect() || error.is_builder() {
        Refusal::new("UNAVAILABLE", "not sent: Discord cannot be reached, try again")
    } else {
        Refusal::new("OUTCOME_UNKNOWN", "Discord did not answer: it may have been done, or may still be")
    }
}

fn limited(wait: Duration) -> Refusal {
    let seconds = wait.as_secs_f64();
    let message = format!("Discord limits how often this may be done: try again in {seconds:.1} s");
    Refusal { retry_after_s: Some(seconds), ..Refusal::new("RATE_LIMITED", message) }
}

fn said(status: StatusCode, error: &DiscordError) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Said<'a> {
        status: u16,
        code: Option<i64>,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        errors: Option<&'a RawValue>,
    }
    let errors = error.errors.as_deref();
    raw(&Said { status: status.as_u16(), code: error.code, message: &error.message, errors })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typing(channel: u64) -> Call {
        Call::new(LightMethod::Post, Route::ChannelTyping { channel_id: channel.into() })
    }

    #[test]
    fn a_limited_route_is_held_until_its_time_and_no_other_is() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let (call, other) = (typing(1), typing(2));
        let wait = Duration::from_secs(2);
        holds.add(Hold { route: Some((call.method, call.bucket)), wait }, now);
        let refusal = holds.check(&call, now + Duration::from_millis(500)).unwrap_err();
        assert_eq!((refusal.code.as_str(), refusal.retry_after_s), ("RATE_LIMITED", Some(1.5)));
        assert!(holds.check(&other, now).is_ok(), "another channel is another bucket");
        assert!(holds.check(&call, now + wait).is_ok());
        let shorter = Hold { route: Some((call.method, call.bucket)), wait: wait / 2 };
        holds.add(shorter, now);
        assert!(holds.check(&call, now + wait / 2).is_err(), "the longer one counts");
        holds.add(Hold { route: None, wait }, now);
        assert!(holds.check(&other, now).is_err(), "a global limit holds all");
    }
}
