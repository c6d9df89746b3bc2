//! Configuration: one typed struct per role, read from the environment alone.
//!
//! [`setting`] documents each variable once. A field is named after its variable; durations and sizes have
//! typed values, secrets are redacted by type. All mistakes of a run are reported together.

mod parse;
mod reader;
pub mod setting;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use guildstream_actors::snowflake::GuildId;
use secrecy::SecretString;
use url::Url;

pub use self::reader::{ConfigError, Environment};
use self::{
    reader::Reader,
    setting::{self as s, Role},
};

/// More than any machine needs, and still far from overflowing where sizes are added up.
const MOST: usize = 1 << 40;

/// A week: longer than anything here should wait.
const WEEK_S: u64 = 7 * 24 * 3600;

/// How a role writes its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level for guildstream itself, or env_logger directives.
    pub rust_log: String,
    /// The form of a line.
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Who sees channel events of a gateway that cannot say who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyAudience {
    /// Nobody: only guild-wide harmless events go through.
    None,
    /// Every member of the guild.
    Members,
}

/// Settings of the gateway role.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Whether `GUILDSTREAM_ENV` is `development`.
    pub development: bool,
    /// How to log.
    pub log: LogConfig,
    /// Where LinkServer listens.
    pub gateway_ws_bind: IpAddr,
    /// The port LinkServer listens on; 0 lets the system choose.
    pub gateway_ws_port: u16,
    /// Shared secret of gateway and web.
    pub link_token: SecretString,
    /// The bot's token, without the word `Bot`.
    pub discord_bot_token: SecretString,
    /// The guilds to show: sorted, distinct, at least one.
    pub vite_discord_guild_id: Vec<GuildId>,
    /// Origin of Discord's REST and OAuth2.
    pub discord_url: Url,
    /// Gateway intents as bits.
    pub discord_intents: u64,
    /// Directory of the event log; `None` keeps nothing on disk.
    pub gateway_state_dir: Option<PathBuf>,
    /// Events kept for peers that reconnect.
    pub replay_events: usize,
    /// Bytes kept for peers that reconnect.
    pub replay_bytes: usize,
    /// Bearer token for `/metrics`.
    pub metrics_token: Option<SecretString>,
}

/// Settings of the web role.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// Whether `GUILDSTREAM_ENV` is `development`.
    pub development: bool,
    /// How to log.
    pub log: LogConfig,
    /// Where the HTTP server listens.
    pub web_bind: IpAddr,
    /// The port the HTTP server listens on; 0 lets the system choose.
    pub web_port: u16,
    /// Origin that browsers use.
    pub public_url: Url,
    /// HTTP worker threads.
    pub web_workers: usize,
    /// The gateway's link.
    pub gateway_ws_url: Url,
    /// Shared secret of gateway and web.
    pub link_token: SecretString,
    /// Redials of the link before it gives up; `None` never does.
    pub gateway_max_reconnect_attempts: Option<u32>,
    /// Who sees channel events of a gateway that cannot say who may.
    pub link_legacy_audience: LegacyAudience,
    /// The guilds to show: sorted, distinct, at least one.
    pub vite_discord_guild_id: Vec<GuildId>,
    /// Origin of Discord's REST and OAuth2.
    pub discord_url: Url,
    /// Id of the OAuth2 application.
    pub discord_client_id: String,
    /// Secret of the OAuth2 application.
    pub discord_client_secret: SecretString,
    /// Key material of the session cookie, at least 64 bytes.
    pub session_secret: SecretString,
    /// How long a sign-in lasts.
    pub session_ttl_s: Duration,
    /// Where sessions are shared, password included.
    pub redis_url: Option<SecretString>,
    /// Exact origins of other sites that may call the API.
    pub cors_origins: Vec<Url>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Time between pings of an idle stream.
    pub sse_heartbeat_s: Duration,
    /// How long a stream may accept no byte before it is ended.
    pub sse_stall_s: Duration,
    /// Frames that may wait for one stream.
    pub sse_queue_frames: usize,
    /// Bytes that may wait for one stream.
    pub sse_queue_bytes: usize,
    /// Open streams altogether.
    pub sse_max_sessions: usize,
    /// Open streams of one user.
    pub sse_max_sessions_per_user: usize,
    /// How long known access stays valid while the link is down.
    pub viewer_ttl_s: Duration,
    /// Commands that may wait for an answer.
    pub command_queue: usize,
    /// How long a command may wait for its answer.
    pub command_timeout_s: Duration,
    /// Events kept for streams that reconnect.
    pub replay_events: usize,
    /// Bytes kept for streams that reconnect.
    pub replay_bytes: usize,
    /// Bearer token for `/metrics`.
    pub metrics_token: Option<SecretString>,
}

/// Settings of the sandbox role.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Whether `GUILDSTREAM_ENV` is `development`.
    pub development: bool,
    /// How to log.
    pub log: LogConfig,
    /// Where the sandbox listens.
    pub sandbox_bind: IpAddr,
    /// The port the sandbox listens on; 0 lets the system choose.
    pub sandbox_port: u16,
    /// What the simulated members do per second; 0 keeps them still.
    pub sandbox_events_per_s: f64,
    /// The same seed, the same run.
    pub sandbox_seed: u64,
    /// Members of the demo guild.
    pub sandbox_members: u32,
    /// Bearer token for `/metrics`.
    pub metrics_token: Option<SecretString>,
}

impl GatewayConfig {
    /// Reads and checks every setting of the role.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut read = Reader::new(Role::Gateway, environment);
        let config = Self {
            development: read.development(),
            log: LogConfig::read(&mut read),
            gateway_ws_bind: read.value(&s::GATEWAY_WS_BIND, parse::address),
            gateway_ws_port: read.value(&s::GATEWAY_WS_PORT, parse::port),
            link_token: read.secret(&s::LINK_TOKEN, parse::header_secret(16)),
            discord_bot_token: read.secret(&s::DISCORD_BOT_TOKEN, parse::bot_token),
            vite_discord_guild_id: read.or_default(&s::VITE_DISCORD_GUILD_ID, parse::guild_ids),
            discord_url: read.value(&s::DISCORD_URL, parse::origin),
            discord_intents: read.value(&s::DISCORD_INTENTS, parse::intents),
            gateway_state_dir: state_dir(&mut read),
            replay_events: read.value(&s::REPLAY_EVENTS, parse::number(1..=MOST)),
            replay_bytes: read.value(&s::REPLAY_BYTES, parse::number(65_536..=MOST)),
            metrics_token: read.optional_secret(&s::METRICS_TOKEN, parse::header_secret(16)),
        };
        read.finish(config)
    }
}

impl WebConfig {
    /// Reads and checks every setting of the role.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut read = Reader::new(Role::Web, environment);
        let config = Self {
            development: read.development(),
            log: LogConfig::read(&mut read),
            web_bind: read.value(&s::WEB_BIND, parse::address),
            web_port: read.value(&s::WEB_PORT, parse::port),
            public_url: read.value(&s::PUBLIC_URL, parse::origin),
            web_workers: read.value(&s::WEB_WORKERS, parse::workers),
            gateway_ws_url: read.value(&s::GATEWAY_WS_URL, parse::link_url),
            link_token: read.secret(&s::LINK_TOKEN, parse::header_secret(16)),
            gateway_max_reconnect_attempts: match read
                .value(&s::GATEWAY_MAX_RECONNECT_ATTEMPTS, parse::number(0..=u32::MAX))
            {
                0 => None,
                attempts => Some(attempts),
            },
            link_legacy_audience: read.value(&s::LINK_LEGACY_AUDIENCE, |text| match text {
                "none" => Ok(LegacyAudience::None),
                "members" => Ok(LegacyAudience::Members),
                _ => Err("write none or members".into()),
            }),
            vite_discord_guild_id: read.or_default(&s::VITE_DISCORD_GUILD_ID, parse::guild_ids),
            discord_url: read.value(&s::DISCORD_URL, parse::origin),
            discord_client_id: read.or_default(&s::DISCORD_CLIENT_ID, parse::application_id),
            discord_client_secret: read.secret(&s::DISCORD_CLIENT_SECRET, parse::header_secret(1)),
            session_secret: read.secret(&s::SESSION_SECRET, parse::session_secret),
            session_ttl_s: read.value(&s::SESSION_TTL_S, parse::seconds(60..=52 * WEEK_S)),
            redis_url: read.optional_secret(&s::REDIS_URL, parse::redis_url),
            cors_origins: read.or_default(&s::CORS_ORIGINS, parse::origins),
            trusted_proxies: read.or_default(&s::TRUSTED_PROXIES, parse::addresses),
            sse_heartbeat_s: read.value(&s::SSE_HEARTBEAT_S, parse::seconds(1..=300)),
            sse_stall_s: read.value(&s::SSE_STALL_S, parse::seconds(1..=3600)),
            sse_queue_frames: read.value(&s::SSE_QUEUE_FRAMES, parse::number(1..=MOST)),
            sse_queue_bytes: read.value(&s::SSE_QUEUE_BYTES, parse::number(65_536..=MOST)),
            sse_max_sessions: read.value(&s::SSE_MAX_SESSIONS, parse::number(1..=MOST)),
            sse_max_sessions_per_user: read.value(&s::SSE_MAX_SESSIONS_PER_USER, parse::number(1..=MOST)),
            viewer_ttl_s: read.value(&s::VIEWER_TTL_S, parse::seconds(1..=WEEK_S)),
            command_queue: read.value(&s::COMMAND_QUEUE, parse::number(1..=MOST)),
            command_timeout_s: read.value(&s::COMMAND_TIMEOUT_S, parse::seconds(1..=300)),
            replay_events: read.value(&s::REPLAY_EVENTS, parse::number(1..=MOST)),
            replay_bytes: read.value(&s::REPLAY_BYTES, parse::number(65_536..=MOST)),
            metrics_token: read.optional_secret(&s::METRICS_TOKEN, parse::header_secret(16)),
        };
        read.finish(config)
    }
}

impl SandboxSettings {
    /// Reads and checks every setting of the role.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let mut read = Reader::new(Role::Sandbox, environment);
        let config = Self {
            development: read.development(),
            log: LogConfig::read(&mut read),
            sandbox_bind: read.value(&s::SANDBOX_BIND, parse::loopback),
            sandbox_port: read.value(&s::SANDBOX_PORT, parse::port),
            sandbox_events_per_s: read.value(&s::SANDBOX_EVENTS_PER_S, parse::number(0.0..=10_000.0)),
            sandbox_seed: read.value(&s::SANDBOX_SEED, parse::number(0..=u64::MAX)),
            sandbox_members: read.value(&s::SANDBOX_MEMBERS, parse::number(4..=100_000)),
            metrics_token: read.optional_secret(&s::METRICS_TOKEN, parse::header_secret(16)),
        };
        read.finish(config)
    }
}

impl LogConfig {
    fn read(read: &mut Reader<'_>) -> Self {
        Self {
            rust_log: read.value(&s::RUST_LOG, crate::telemetry::check_filter),
            log_format: read.value(&s::LOG_FORMAT, |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("write text or json".into()),
            }),
        }
    }
}

/// `NAME=value` of every setting of `role` as a run in `environment` would use it; secrets are not shown.
pub fn effective(role: Role, environment: &Environment) -> Vec<String> {
    Reader::new(role, environment).effective()
}

/// Checks every setting of `role` without starting it.
///
/// # Errors
///
/// Everything that is wrong, at once.
pub fn check(role: Role, environment: &Environment) -> Result<(), ConfigError> {
    match role {
        Role::Gateway => GatewayConfig::read(environment).map(drop),
        Role::Web => WebConfig::read(environment).map(drop),
        Role::Sandbox => SandboxSettings::read(environment).map(drop),
    }
}

/// Where the gateway role keeps its state, as a run in `environment` would.
#[must_use]
pub fn gateway_state_dir(environment: &Environment) -> Option<PathBuf> {
    state_dir(&mut Reader::new(Role::Gateway, environment))
}

fn state_dir(read: &mut Reader<'_>) -> Option<PathBuf> {
    match read.raw(&s::GATEWAY_STATE_DIR).map(str::trim) {
        Some("") => None,
        _ => Some(read.value(&s::GATEWAY_STATE_DIR, |text| Ok(PathBuf::from(text)))),
    }
}
