//! Every setting, documented once: name, roles, default, meaning. `--help`, the reader and the tests all start here.

use std::fmt::Write as _;

/// One way to run the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Holds the Discord connection and serves the link.
    Gateway,
    /// Follows a gateway and serves browsers.
    Web,
    /// The local Discord.
    Sandbox,
}

impl Role {
    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Web => "web",
            Self::Sandbox => "sandbox",
        }
    }
}

/// What a setting is worth when the environment does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This text, read as if it had been set.
    Text(&'static str),
    /// Nothing: the feature is off.
    None,
    /// The role does not start without it.
    Required,
}

/// A setting that must not be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secrecy {
    /// What `.env.development` says: known to everybody, so refused unless `GUILDSTREAM_ENV=development`.
    pub development: Option<&'static str>,
}

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// The roles that read it.
    pub roles: &'static [Role],
    /// Its value when not set.
    pub default: Fallback,
    /// Set for secrets: they may also be given as a file (`NAME_FILE`) and are never printed.
    pub secret: Option<Secrecy>,
    /// What it does, with its unit and limits.
    pub meaning: &'static str,
}

impl Setting {
    /// The variable that names a file to read the value from.
    pub fn file_variable(&self) -> String {
        format!("{}_FILE", self.name)
    }

    /// The default as tables print it.
    pub fn default_text(&self) -> &'static str {
        match self.default {
            Fallback::Text(text) => text,
            Fallback::None => "none",
            Fallback::Required => "required",
        }
    }
}

/// The settings that `role` reads, in the order of the tables.
pub fn settings_of(role: Role) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.roles.contains(&role))
}

/// The `Environment` part of `guildstream ROLE --help`.
pub fn help(role: Role) -> String {
    let mut text = String::from("Environment:\n");
    for setting in settings_of(role) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {} [{}]\n      {}", setting.name, setting.default_text(), setting.meaning);
    }
    text.push_str(
        "\nA secret NAME may be given as NAME_FILE, the path of a file that holds it.\n\
         An empty variable counts as not set, except GATEWAY_STATE_DIR.\n",
    );
    text
}

const ALL: &[Role] = &[Role::Gateway, Role::Web, Role::Sandbox];
const GATEWAY: &[Role] = &[Role::Gateway];
const WEB: &[Role] = &[Role::Web];
const LINKED: &[Role] = &[Role::Gateway, Role::Web];
const SANDBOX: &[Role] = &[Role::Sandbox];

const fn text(default: &'static str) -> (Fallback, Option<Secrecy>) {
    (Fallback::Text(default), None)
}

const NONE: (Fallback, Option<Secrecy>) = (Fallback::None, None);
const REQUIRED: (Fallback, Option<Secrecy>) = (Fallback::Required, None);
const OPTIONAL_SECRET: (Fallback, Option<Secrecy>) = (Fallback::None, Some(Secrecy { development: None }));

const fn secret(development: &'static str) -> (Fallback, Option<Secrecy>) {
    (Fallback::Required, Some(Secrecy { development: Some(development) }))
}

macro_rules! settings {
    ($($name:ident: $roles:ident, $value:expr, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Setting = Setting {
                name: stringify!($name),
                roles: $roles,
                default: $value.0,
                secret: $value.1,
                meaning: $meaning,
            };
        )*

        /// Every setting there is.
        pub const SETTINGS: &[Setting] = &[$($name),*];
    };
}

settings! {
    GUILDSTREAM_ENV: ALL, text("production"),
        "production or development; development accepts the secrets of .env.development";
    LINK_TOKEN: LINKED, secret("development-link-token"),
        "shared secret of gateway and web, at least 16 characters";
    VITE_DISCORD_GUILD_ID: LINKED, REQUIRED,
        "id of the guild to show, or several separated by commas";
    DISCORD_URL: LINKED, text("https://discord.com"),
        "origin of Discord's REST and OAuth2, or the sandbox's; http only for loopback";
    REPLAY_EVENTS: LINKED, text("10000"),
        "events kept for peers that reconnect, 1 or more; the smaller of this and REPLAY_BYTES counts";
    REPLAY_BYTES: LINKED, text("67108864"),
        "bytes kept for peers that reconnect (64 MiB), 65536 or more";
    METRICS_TOKEN: ALL, OPTIONAL_SECRET,
        "bearer token for /metrics; without it only loopback peers may read it";
    RUST_LOG: ALL, text("info"),
        "log filter: a level for guildstream itself, or env_logger directives";
    LOG_FORMAT: ALL, text("text"),
        "text or json (one object a line)";

    GATEWAY_WS_PORT: GATEWAY, text("8080"),
        "port of the link and of the gateway's status; 0 lets the system choose";
    GATEWAY_WS_BIND: GATEWAY, text("127.0.0.1"),
        "address to listen on";
    DISCORD_BOT_TOKEN: GATEWAY, secret("MTAwMDAwMDAwMDAwMDAwMDAwMQ.sandbx.bot-token"),
        "token of the bot, from the developer portal's Bot page";
    DISCORD_INTENTS: GATEWAY,
        text("GUILDS,GUILD_MEMBERS,GUILD_VOICE_STATES,GUILD_MESSAGES,GUILD_MESSAGE_REACTIONS,MESSAGE_CONTENT"),
        "gateway intents by name, separated by commas; GUILDS and GUILD_MEMBERS are required";
    GATEWAY_STATE_DIR: GATEWAY, text("./state"),
        "directory of the event log and its checkpoint; empty keeps nothing on disk";

    GATEWAY_WS_URL: WEB, text("ws://localhost:8080"),
        "the gateway's link, ws or wss";
    GATEWAY_MAX_RECONNECT_ATTEMPTS: WEB, text("10"),
        "redials of the link before it gives up; 0 never does";
    LINK_LEGACY_AUDIENCE: WEB, text("none"),
        "who sees channel events of a gateway that cannot answer questions of access: none or members";
    WEB_PORT: WEB, text("3000"),
        "port of the HTTP server; 0 lets the system choose";
    WEB_BIND: WEB, text("127.0.0.1"),
        "address to listen on";
    PUBLIC_URL: WEB, text("http://localhost:3000"),
        "origin that browsers use; http only for loopback";
    WEB_WORKERS: WEB, text("cores"),
        "HTTP worker threads, 1 to 1024, or cores for one per core";
    DISCORD_CLIENT_ID: WEB, REQUIRED,
        "id of the OAuth2 application";
    DISCORD_CLIENT_SECRET: WEB, secret("sandbox-client-secret"),
        "secret of the OAuth2 application";
    SESSION_SECRET: WEB, secret("development-session-secret-known-to-everybody-never-use-it-in-production"),
        "key of the session cookie, at least 64 bytes; make one with: openssl rand -hex 64";
    SESSION_TTL_S: WEB, text("28800"),
        "seconds a sign-in lasts (8 hours), 60 or more";
    REDIS_URL: WEB, OPTIONAL_SECRET,
        "redis:// or rediss:// URL; shares sessions between web roles and makes them revocable";
    CORS_ORIGINS: WEB, NONE,
        "exact origins of other sites that may call the API, separated by commas";
    TRUSTED_PROXIES: WEB, NONE,
        "addresses of proxies whose forwarding headers are believed, separated by commas";
    SSE_HEARTBEAT_S: WEB, text("15"),
        "seconds between pings of an idle stream, 1 to 300";
    SSE_STALL_S: WEB, text("30"),
        "seconds a stream may accept no byte before it is ended, 1 to 3600";
    SSE_QUEUE_FRAMES: WEB, text("256"),
        "frames that may wait for one stream, 1 or more";
    SSE_QUEUE_BYTES: WEB, text("1048576"),
        "bytes that may wait for one stream (1 MiB), 65536 or more";
    SSE_MAX_SESSIONS: WEB, text("20000"),
        "open streams altogether, 1 or more";
    SSE_MAX_SESSIONS_PER_USER: WEB, text("20"),
        "open streams of one user, 1 or more";
    VIEWER_TTL_S: WEB, text("300"),
        "seconds that known access stays valid while the link is down, 1 or more";
    COMMAND_QUEUE: WEB, text("1000"),
        "commands that may wait for an answer, 1 or more";
    COMMAND_TIMEOUT_S: WEB, text("10"),
        "seconds a command may wait for its answer, 1 to 300";

    SANDBOX_PORT: SANDBOX, text("8090"),
        "port of the sandbox; 0 lets the system choose";
    SANDBOX_BIND: SANDBOX, text("127.0.0.1"),
        "address to listen on, loopback only";
    SANDBOX_EVENTS_PER_S: SANDBOX, text("0.5"),
        "what the simulated members do per second, 0 to 10000; 0 keeps them still";
    SANDBOX_SEED: SANDBOX, text("1"),
        "the same seed, the same run";
    SANDBOX_MEMBERS: SANDBOX, text("24"),
        "members of the demo guild, 4 to 100000";
}
