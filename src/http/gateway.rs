//! The gateway role's routes.

use std::time::Instant;

use actix::Addr;
use actix_web::{
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use guildstream_actors::{discord_shard::DiscordShard, link_server::LinkServer};
use secrecy::SecretString;

use super::{get, get_stream, health, link, metrics, not_found, refusals, status};

/// What the gateway role's routes work with. One for all workers.
#[derive(Debug)]
pub struct GatewayState {
    /// The link's shared secret.
    pub link_token: SecretString,
    /// Lets remote peers read the metrics.
    pub metrics_token: Option<SecretString>,
    /// Owns the links.
    pub links: Addr<LinkServer>,
    /// Owns the Discord socket.
    pub shard: Addr<DiscordShard>,
    /// When the role started.
    pub started: Instant,
}

/// Configures an `App` with all routes of the gateway role.
pub fn configure(state: web::Data<GatewayState>) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        let all = web::scope("")
            .service(get_stream("/", link::open))
            .service(get("/livez", health::livez))
            .service(get("/readyz", health::gateway))
            .service(get("/healthz", health::gateway))
            .service(get("/metrics", metrics::gateway))
            .service(get("/api/status", status::gateway))
            .default_service(web::to(not_found))
            .app_data(state)
            .wrap(from_fn(refusals::refusals));
        app.service(all);
    }
}
