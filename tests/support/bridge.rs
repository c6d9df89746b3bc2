//! All three roles in one process on free ports: a sandbox that keeps still, a gateway, a web role, and browsers.

#[path = "description.rs"]
mod description;

use std::{collections::HashMap, net::TcpListener, time::Duration};

use actix_web::{cookie::Cookie, rt};
use awc::Client;
use futures_util::{Stream, StreamExt as _};
use guildstream::{
    config::{Environment, GatewayConfig, WebConfig},
    roles::{self, RunningRole},
};
use guildstream_sandbox::{BOT_TOKEN, CLIENT_ID, CLIENT_SECRET, Sandbox, SandboxConfig};
use serde_json::Value;
use url::Url;

use self::description::Description;

pub(crate) const GUILD: &str = "910000000000000001";
/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Bridge {
    pub(crate) sandbox: Option<Sandbox>,
    pub(crate) discord_url: String,
    pub(crate) gateway: Option<RunningRole>,
    pub(crate) gateway_url: String,
    pub(crate) web: Option<RunningRole>,
    pub(crate) web_url: String,
    settings: HashMap<String, String>,
}

impl Bridge {
    /// Everything started and ready.
    pub(crate) async fn start() -> Self {
        let bridge = Self::without_waiting(&[]).await;
        bridge.until_ready().await;
        bridge
    }

    pub(crate) async fn without_waiting(changes: &[(&str, &str)]) -> Self {
        let mut bridge = Self::without_roles(changes).await;
        bridge.start_gateway().await;
        bridge.start_web().await;
        bridge
    }

    /// The sandbox alone, and the settings for the roles that are to join it.
    pub(crate) async fn without_roles(changes: &[(&str, &str)]) -> Self {
        Self::among(SandboxConfig::default().members, changes).await
    }

    /// The same with a demo guild of that many members.
    pub(crate) async fn among(members: u32, changes: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let quiet = SandboxConfig {
            port: 0,
            events_per_s: 0.0,
            identify_interval: Duration::ZERO,
            members,
            ..SandboxConfig::default()
        };
        let sandbox = guildstream_sandbox::start(quiet).await.unwrap();
        let discord_url = sandbox.url();
        let (gateway_port, web_port) = (free_port(), free_port());
        let web_url = format!("http://127.0.0.1:{web_port}");
        let mut settings: HashMap<String, String> = [
            ("GUILDSTREAM_ENV", "development"),
            ("LINK_TOKEN", "the-link-token-of-this-test"),
            ("DISCORD_BOT_TOKEN", BOT_TOKEN),
            ("DISCORD_CLIENT_ID", CLIENT_ID),
            ("DISCORD_CLIENT_SECRET", CLIENT_SECRET),
            ("SESSION_SECRET", &"a session secret of sixty-four bytes ".repeat(2)),
            ("VITE_DISCORD_GUILD_ID", GUILD),
            ("DISCORD_URL", &discord_url),
            ("GATEWAY_STATE_DIR", ""),
            ("GATEWAY_WS_PORT", &gateway_port.to_string()),
            ("GATEWAY_WS_URL", &format!("ws://127.0.0.1:{gateway_port}")),
            ("WEB_PORT", &web_port.to_string()),
            ("WEB_WORKERS", "1"),
            ("PUBLIC_URL", &web_url),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        settings.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self {
            sandbox: Some(sandbox),
            discord_url,
            gateway: None,
            gateway_url: format!("http://127.0.0.1:{gateway_port}"),
            web: None,
            web_url,
            settings,
        }
    }

    pub(crate) async fn start_gateway(&mut self) {
        let config = GatewayConfig::read(&self.environment()).unwrap_or_else(|error| panic!("{error}"));
        self.gateway = Some(roles::gateway::start(config).await.unwrap());
    }

    pub(crate) async fn start_web(&mut self) {
        let config = WebConfig::read(&self.environment()).unwrap_or_else(|error| panic!("{error}"));
        self.web = Some(roles::web::start(config).await.unwrap());
    }

    /// The settings of both roles, as environment variables.
    pub(crate) fn settings(&self) -> &HashMap<String, String> {
        &self.settings
    }

    fn environment(&self) -> Environment {
        Environment::from_iter(self.settings.clone())
    }

    /// Waits until both roles say that they are ready.
    pub(crate) async fn until_ready(&self) {
        until("both roles are ready", async || {
            status(&format!("{}/readyz", self.gateway_url)).await == 200
                && status(&format!("{}/readyz", self.web_url)).await == 200
        })
        .await;
    }

    pub(crate) async fn sign_in(&self, person: &str) -> Browser {
        Browser::sign_in(&self.web_url, person).await
    }

    /// Has the sandbox dispatch JSON Lines to every session.
    pub(crate) async fn dispatch(&self, lines: impl Into<String>) {
        self.control("dispatch", lines.into()).await;
    }

    pub(crate) async fn fault(&self, fault: &Value) {
        self.control("fault", fault.to_string()).await;
    }

    pub(crate) async fn move_member(&self, user: &str, channel: Option<&str>) {
        let body = serde_json::json!({ "channelId": channel }).to_string();
        self.control(&format!("members/{user}/voice"), body).await;
    }

    /// `POST` to one of the sandbox's control routes.
    pub(crate) async fn control(&self, route: &str, body: String) {
        let url = format!("{}/sandbox/{route}", self.discord_url);
        let request = client().post(url).insert_header(("content-type", "application/json"));
        let mut response = request.send_body(body).await.unwrap();
        let status = response.status();
        assert!(status.is_success(), "{route}: {status} {:?}", response.body().await);
    }

    pub(crate) async fn json(&self, url: &str) -> Value {
        client().get(url).send().await.unwrap().json().limit(1 << 24).await.unwrap()
    }

    /// Stops everything that still runs; a role that had failed fails the test.
    pub(crate) async fn stop(self) {
        if let Some(web) = self.web {
            web.stop().await.unwrap();
        }
        if let Some(gateway) = self.gateway {
            gateway.stop().await.unwrap();
        }
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// A browser that is signed in.
pub(crate) struct Browser {
    client: Client,
    web_url: String,
    /// Every answer is held against it.
    description: Description,
    cookies: HashMap<String, String>,
}

impl Browser {
    /// Signs a person of the sandbox in, as a browser does.
    pub(crate) async fn sign_in(web_url: &str, person: &str) -> Self {
        // A browser here has as many streams as it likes; the connector's own limit is 100.
        let connector = awc::Connector::new().limit(0);
        let client = Client::builder().connector(connector).disable_redirects().timeout(PATIENCE).finish();
        let mut description = client.get(format!("{web_url}/api/openapi.json")).send().await.unwrap();
        let description = Description(description.json().await.unwrap());
        let mut browser = Self { client, web_url: web_url.to_owned(), description, cookies: HashMap::new() };
        let mut url =
            Url::parse(&format!("{}/auth/login?login_hint={person}&next=/api/session", web_url)).unwrap();
        for _ in 0..10 {
            let response = browser.request(url.as_str()).send().await.unwrap();
            browser.keep(response.headers());
            let Some(location) = response.headers().get("location") else {
                assert_eq!(response.status(), 200, "{url}");
                return browser;
            };
            url = url.join(location.to_str().unwrap()).unwrap();
        }
        panic!("too many redirects, the last to {url}");
    }

    fn request(&self, url: &str) -> awc::ClientRequest {
        self.client.get(url).insert_header(("cookie", self.cookie()))
    }

    fn keep(&mut self, headers: &actix_web::http::header::HeaderMap) {
        for cookie in headers.get_all("set-cookie") {
            let cookie = Cookie::parse(cookie.to_str().unwrap().to_owned()).unwrap();
            self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
        }
    }

    /// `GET` of a path of the web role.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut response = self.request(&format!("{}{path}", self.web_url)).send().await.unwrap();
        let body = String::from_utf8(response.body().await.unwrap().to_vec()).unwrap();
        let status = response.status().as_u16();
        self.description.check("GET", path, status, &body);
        (status, body)
    }

    /// `POST` of JSON to a path of the web role, as the page does it: status, Retry-After and answer, null for none.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Option<String>, Value) {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self
            .client
            .post(format!("{}{path}", self.web_url))
            .insert_header(("cookie", cookies.join("; ")))
            .insert_header(("origin", self.web_url.as_str()))
            .insert_header(("x-guildstream", "1"));
        let mut response = request.send_json(body).await.unwrap();
        let retry_after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(response.body().await.unwrap().to_vec()).unwrap();
        let status = response.status().as_u16();
        self.description.check("POST", path, status, &body);
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() };
        (status, retry_after, body)
    }

    /// Opens `/api/stream` with a query, and a position to resume from.
    pub(crate) async fn stream(&self, query: &str, after: Option<&str>) -> Events {
        self.try_stream(query, after).await.unwrap()
    }

    /// The same, while the web role may be down.
    pub(crate) async fn try_stream(&self, query: &str, after: Option<&str>) -> Option<Events> {
        let mut request = self.request(&format!("{}/api/stream{query}", self.web_url));
        if let Some(after) = after {
            request = request.insert_header(("last-event-id", after));
        }
        // No deadline on the body: it has no end.
        let response = request.timeout(Duration::from_secs(3600)).send().await.ok()?;
        assert_eq!(response.status(), 200);
        Some(Events { chunks: Box::new(response), text: String::new(), id: after.map(ToOwned::to_owned) })
    }

    pub(crate) fn web_url(&self) -> &str {
        &self.web_url
    }

    /// The `cookie` header, for who speaks HTTP by hand.
    pub(crate) fn cookie(&self) -> String {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }
}

/// One Server-Sent Event, as EventSource would dispatch it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The last event id after this event.
    pub(crate) id: Option<String>,
    /// The `event:` field.
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    /// The `event` of the envelope, or the `code` of an error.
    pub(crate) fn what(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Envelope {
            event: Option<String>,
            code: Option<String>,
        }
        let envelope: Envelope = serde_json::from_str(&self.data).unwrap();
        envelope.event.or(envelope.code).unwrap_or_default()
    }
}

/// An open stream.
pub(crate) struct Events {
    chunks: Box<dyn Stream<Item = Result<bytes::Bytes, awc::error::PayloadError>> + Unpin>,
    text: String,
    pub(crate) id: Option<String>,
}

impl Events {
    /// The next event that `onmessage` would get; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let (mut name, mut data) = (String::new(), Vec::new());
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => self.id = Some(id.to_owned()),
                        Some(("event", event)) => event.clone_into(&mut name),
                        Some(("data", part)) => data.push(part),
                        _ => {}
                    }
                }
                if !data.is_empty() && name.is_empty() {
                    return Some(Event { id: self.id.clone(), name, data: data.join("\n") });
                }
            }
            let chunk = rt::time::timeout(PATIENCE, self.chunks.next()).await;
            match chunk.unwrap_or_else(|_| panic!("nothing came in {PATIENCE:?}")) {
                Some(Ok(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Reads until an event is called so, and gives it.
    pub(crate) async fn until(&mut self, what: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended without {what}"));
            if event.what() == what {
                return event;
            }
        }
    }
}

pub(crate) fn client() -> Client {
    Client::builder().disable_redirects().timeout(PATIENCE).finish()
}

pub(crate) async fn status(url: &str) -> u16 {
    client().get(url).send().await.map_or(0, |response| response.status().as_u16())
}

/// Waits, with a bound, until a condition holds.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let mut look = rt::time::interval(Duration::from_millis(10));
    let met = async {
        while !condition().await {
            look.tick().await;
        }
    };
    rt::time::timeout(PATIENCE, met).await.unwrap_or_else(|_| panic!("not in {PATIENCE:?}: {what}"));
}

/// EventSource waits as long as `retry:` says; a test comes back sooner.
pub(crate) async fn come_back() {
    let mut pace = rt::time::interval(Duration::from_millis(100));
    pace.tick().await;
    pace.tick().await;
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
