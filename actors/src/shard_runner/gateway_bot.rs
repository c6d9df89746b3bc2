//! `GET /gateway/bot`: where to connect, and how many sessions may still begin today.
//! <https://discord.com/developers/docs/events/gateway#get-gateway-bot>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serenity::http::{Http, HttpError, LightMethod, Request, Route};
use tokio::time::timeout;

use super::{
    End,
    session::{fatal_advice, is_websocket_url},
};

/// An answer that has not come by then will not.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// How many identifies are left. <https://discord.com/developers/docs/events/gateway#session-start-limit-object>
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
#[allow(missing_docs)]
pub struct SessionStartLimit {
    pub total: u64,
    pub remaining: u64,
    /// Milliseconds until `remaining` is `total` again.
    pub reset_after: u64,
    pub max_concurrency: u64,
}

/// What Discord answers.
#[derive(Deserialize)]
pub(super) struct GatewayBot {
    /// A WebSocket URL without query.
    pub(super) url: String,
    pub(super) session_start_limit: Option<SessionStartLimit>,
}

/// Asks where to connect.
pub(super) async fn gateway_bot(http: &Http) -> Result<GatewayBot, End> {
    let request = Request::new(Route::GatewayBot, LightMethod::Get);
    let answer = timeout(ANSWER_DEADLINE, async {
        let response = http.request(request).await?;
        Ok::<_, serenity::Error>(response.bytes().await?)
    });
    let body = match answer.await {
        Ok(Ok(body)) => body,
        Ok(Err(serenity::Error::Http(HttpError::UnsuccessfulRequest(refusal)))) => {
            if refusal.status_code.as_u16() == 401 {
                return Err(End::Fatal(fatal_advice(4004)));
            }
            return Err(End::retry(format!("GET /gateway/bot was answered {}", refusal.status_code)));
        }
        Ok(Err(error)) => {
            return Err(End::retry(format!("GET /gateway/bot failed, check DISCORD_URL: {error}")));
        }
        Err(_) => return Err(End::retry("GET /gateway/bot was not answered in 15 s")),
    };
    let found: GatewayBot = serde_json::from_slice(&body)
        .map_err(|error| End::retry(format!("GET /gateway/bot gave no gateway: {error}")))?;
    if !is_websocket_url(&found.url) {
        return Err(End::retry(format!("GET /gateway/bot gave no WebSocket URL: {:?}", found.url)));
    }
    Ok(found)
}
