//! Sandbox, gateway and web in process, on ports of the system's choice, with nobody moving but on request.

use std::{net::TcpListener, time::Duration};

use actix_web::rt::time;
use guildstream::{
    config::{Environment, GatewayConfig, WebConfig},
    roles::{RunningRole, gateway, web},
};
use guildstream_sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::chromium::{Look, Page};

pub(crate) const GUILD: &str = "910000000000000001";
pub(crate) const LOUNGE: &str = "910000000000000201";
pub(crate) const WORKSHOP: &str = "910000000000000202";
pub(crate) const ADA: &str = "930000000000000001";
pub(crate) const GRACE: &str = "930000000000000002";
pub(crate) const LINUS: &str = "930000000000000003";
pub(crate) const STAFF: &str = "940000000000000001";

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const SHORT_SESSION: Duration = Duration::from_secs(4);

/// Browsers are heavy: one at a time, so that what is timed is the page and not the queue for a core.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub(crate) struct Stage {
    sandbox: Sandbox,
    gateway: Option<RunningRole>,
    gateway_port: u16,
    web: RunningRole,
    web_port: u16,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// All roles and a browser; none where there is no browser.
    pub(crate) async fn with_page(look: Look) -> Option<(Self, Page)> {
        Self::start(look, None).await
    }

    /// The same, with sessions that end after a few seconds.
    pub(crate) async fn with_short_sessions(look: Look) -> Option<(Self, Page)> {
        Self::start(look, Some(SHORT_SESSION)).await
    }

    async fn start(look: Look, session_ttl: Option<Duration>) -> Option<(Self, Page)> {
        let turn = ONE_AT_A_TIME.lock().await;
        let page = Page::start(look).await?;
        // A second role of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = guildstream_sandbox::start(SandboxConfig {
            port: 0,
            events_per_s: 0.0,
            identify_interval: Duration::ZERO,
            ..SandboxConfig::default()
        });
        let sandbox = sandbox.await.unwrap();
        let (gateway_port, web_port) = (free_port(), free_port());
        let gateway = start_gateway(&sandbox, gateway_port).await;
        let mut config = WebConfig::read(&environment(&sandbox, gateway_port, web_port)).unwrap();
        config.session_ttl_s = session_ttl.unwrap_or(config.session_ttl_s);
        let web = web::start(config).await.unwrap();
        let stage = Self { sandbox, gateway: Some(gateway), gateway_port, web, web_port, _turn: turn };
        stage.until(|status| status["connected"] == true).await;
        Some((stage, page))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.web_port)
    }

    pub(crate) fn sign_in_url(&self, login: &str) -> String {
        format!("{}auth/login?next=/&login_hint={login}", self.url())
    }

    pub(crate) fn sandbox_url(&self) -> String {
        self.sandbox.url()
    }

    /// Moves a member in Discord.
    pub(crate) fn seat(&self, user: &str, channel: Option<&str>) {
        self.sandbox.move_member(user, channel).unwrap();
    }

    /// Dispatches events as they are written.
    pub(crate) fn dispatch(&self, lines: &str) {
        self.sandbox.dispatch(lines).unwrap();
    }

    pub(crate) async fn stop_gateway(&mut self) {
        self.gateway.take().unwrap().stop().await.unwrap();
    }

    pub(crate) async fn start_gateway(&mut self) {
        self.gateway = Some(start_gateway(&self.sandbox, self.gateway_port).await);
    }

    pub(crate) async fn until_streams(&self, count: u64) {
        self.until(|status| status["sse"]["sessions"] == count).await;
    }

    pub(crate) async fn until_seated(&self, user: &str, channel: &str) {
        let seated = || {
            let state = self.sandbox.state();
            let members = state["guilds"][0]["members"].as_array().unwrap();
            members.iter().any(|member| member["userId"] == user && member["voiceChannelId"] == channel)
        };
        let looking = async {
            let mut looks = time::interval(LOOK_AGAIN);
            while !seated() {
                looks.tick().await;
            }
        };
        time::timeout(PATIENCE, looking).await.unwrap();
    }

    /// Asks `/api/status` of web until it says so.
    async fn until(&self, is_so: impl Fn(&Value) -> bool) {
        let looking = async {
            let mut looks = time::interval(LOOK_AGAIN);
            loop {
                let answer = awc::Client::new().get(format!("{}api/status", self.url())).send().await;
                let status: Value = answer.unwrap().json().await.unwrap();
                if is_so(&status) {
                    break;
                }
                looks.tick().await;
            }
        };
        time::timeout(PATIENCE, looking).await.unwrap();
    }

    /// Closes the browser and stops every role; none may have failed.
    pub(crate) async fn end(self, page: Page) {
        page.close().await;
        self.web.stop().await.unwrap();
        if let Some(gateway) = self.gateway {
            gateway.stop().await.unwrap();
        }
        self.sandbox.stop().await;
    }
}

async fn start_gateway(sandbox: &Sandbox, port: u16) -> RunningRole {
    gateway::start(GatewayConfig::read(&environment(sandbox, port, 0)).unwrap()).await.unwrap()
}

fn environment(sandbox: &Sandbox, gateway_port: u16, web_port: u16) -> Environment {
    let settings = [
        ("GUILDSTREAM_ENV", "development".to_owned()),
        ("LINK_TOKEN", "link-token-of-the-browser-test".to_owned()),
        ("GATEWAY_WS_PORT", gateway_port.to_string()),
        ("GATEWAY_WS_URL", format!("ws://127.0.0.1:{gateway_port}")),
        ("GATEWAY_STATE_DIR", String::new()),
        ("DISCORD_BOT_TOKEN", guildstream_sandbox::BOT_TOKEN.to_owned()),
        ("VITE_DISCORD_GUILD_ID", GUILD.to_owned()),
        ("DISCORD_URL", sandbox.url()),
        ("WEB_PORT", web_port.to_string()),
        ("PUBLIC_URL", format!("http://127.0.0.1:{web_port}")),
        ("WEB_WORKERS", "1".to_owned()),
        ("DISCORD_CLIENT_ID", guildstream_sandbox::CLIENT_ID.to_owned()),
        ("DISCORD_CLIENT_SECRET", guildstream_sandbox::CLIENT_SECRET.to_owned()),
        ("SESSION_SECRET", "browser-test".repeat(8)),
    ];
    settings.into_iter().collect()
}

/// A port that was free a moment ago: the web role's own address is among its settings.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}
