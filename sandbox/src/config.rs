//! What a sandbox is started with, and the credentials it knows.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// The bot token that the sandbox accepts. Its first part is the bot's id in base64, which some libraries decode.
pub const BOT_TOKEN: &str = "MTAwMDAwMDAwMDAwMDAwMDAwMQ.sandbx.bot-token";
/// The application's id, which is also its bot's.
pub const CLIENT_ID: &str = "1000000000000000001";
/// The application's OAuth2 secret.
pub const CLIENT_SECRET: &str = "sandbox-client-secret";

/// How a sandbox behaves. Everything has a default that suits a laptop; tests shorten the times.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Address to listen on.
    pub bind: IpAddr,
    /// Port to listen on; 0 lets the system choose.
    pub port: u16,
    /// What the simulated members do per second; 0 keeps them still.
    pub events_per_s: f64,
    /// Makes a run repeatable: the same seed, the same people doing the same things.
    pub seed: u64,
    /// People in the demo guild, the three members who can sign in included, the bot not.
    pub members: u32,
    /// Buckets of IDENTIFY, which is how many shards may begin at the same time. Discord gives large bots more.
    pub max_concurrency: u32,
    /// How often one IDENTIFY per bucket is let through. Discord's is 5 s.
    pub identify_interval: Duration,
    /// What HELLO asks for. A client that misses it by half is closed.
    pub heartbeat_interval: Duration,
    /// Lets the sandbox listen on an address that others can reach. Its control routes stay loopback only.
    pub allow_remote: bool,
    /// Privileged intents that the application may ask for (bits); others end in close 4014.
    pub privileged_intents: u64,
    /// Shards an IDENTIFY must have at least; fewer end in close 4011.
    pub shards: u32,
    /// Whether REST limits are enforced. Faults can still ask for a 429 when they are not.
    pub rate_limits: bool,
    /// Exact OAuth2 redirect URIs to accept. Empty accepts any on a loopback host.
    pub redirect_uris: Vec<String>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8090,
            events_per_s: 0.5,
            seed: 1,
            members: 24,
            max_concurrency: 1,
            identify_interval: Duration::from_secs(5),
            heartbeat_interval: Duration::from_millis(41_250),
            allow_remote: false,
            privileged_intents: crate::gateway::intents::PRIVILEGED,
            shards: 1,
            rate_limits: true,
            redirect_uris: Vec::new(),
        }
    }
}
