//! The gateway role: Discord's events to every link.

use std::{sync::Arc, time::Instant};

use actix::Supervisor;
use actix_web::{App, HttpServer, web};
use guildstream_actors::{
    discord_shard::{self, DiscordShard, ShardState},
    event_log::EventLog,
    link_server::{self, LinkServer, LinkServerSettings},
    ring::RingLimits,
    shard_runner::ShardSettings,
};
use log::info;
use secrecy::ExposeSecret as _;
use serenity::http::HttpBuilder;
use tokio::sync::{mpsc, watch};

use super::{RoleError, RunningRole, bind, first_death, step, stop_server, tune};
use crate::{
    config::GatewayConfig,
    http::gateway::{GatewayState, configure},
};

/// Starts the role on the current actix system.
///
/// # Errors
///
/// [`RoleError::Bind`] when the address is taken, [`RoleError::Unusable`] when the state cannot be kept.
pub async fn start(config: GatewayConfig) -> Result<RunningRole, RoleError> {
    let (listener, addr) =
        bind(config.gateway_ws_bind, config.gateway_ws_port, "GATEWAY_WS_BIND, GATEWAY_WS_PORT")?;
    // Its own rate limiter would sleep and retry where a caller waits for an answer.
    let http = HttpBuilder::new(config.discord_bot_token.expose_secret())
        .proxy(config.discord_url.as_str().trim_end_matches('/'))
        .ratelimiter_disabled(true)
        .build();
    let http = Arc::new(http);
    let replay = RingLimits { events: config.replay_events, bytes: config.replay_bytes };
    let settings =
        LinkServerSettings { guilds: config.vite_discord_guild_id, replay, http: Arc::clone(&http) };
    let (log, restored) = match &config.gateway_state_dir {
        Some(dir) => {
            let opened =
                EventLog::open(dir, replay).map_err(|error| RoleError::Unusable(error.to_string()))?;
            (Some(opened.0), opened.1)
        }
        None => (None, None),
    };
    let position = restored.as_ref().map(|restored| restored.position.clone());
    let (shard_state, watched_state) = watch::channel(ShardState::default());
    let links = Supervisor::start(move |_| {
        let server = LinkServer::new(settings).with_shard(watched_state);
        match log {
            Some(log) => server.with_log(log, restored),
            None => server,
        }
    });

    let (faults, mut fault) = mpsc::unbounded_channel();
    let shard = ShardSettings { token: config.discord_bot_token, intents: config.discord_intents, http };
    let publish = links.clone().recipient();
    let shard = Supervisor::start(move |_| {
        DiscordShard::new(shard, position, publish, faults).with_state(shard_state)
    });

    let state = web::Data::new(GatewayState {
        link_token: config.link_token,
        metrics_token: config.metrics_token,
        links: links.clone(),
        shard: shard.clone(),
        started: Instant::now(),
    });
    let server = HttpServer::new(move || App::new().configure(configure(state.clone())))
        .workers(1)
        .on_connect(|connection, _| tune(connection))
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(|source| RoleError::Bind { addr, setting: "GATEWAY_WS_BIND", source })?
        .run();
    let handle = server.handle();
    let server = actix_web::rt::spawn(server);
    info!("[Gateway WS] Listening on ws://{addr}");

    let (watched_links, watched_shard) = (links.clone(), shard.clone());
    let failure = async move {
        let deaths = first_death(vec![
            ("LinkServer", Box::new(move || watched_links.connected())),
            ("DiscordShard", Box::new(move || watched_shard.connected())),
        ]);
        tokio::select! {
            death = deaths => death,
            Some(reason) = fault.recv() => RoleError::Fatal(reason),
            _ = server => RoleError::ServerEnded,
        }
    };
    // Discord first, so that everything it sent is on its way to the peers before they are told to come back.
    let stop = async move {
        step("Discord shard", shard.send(discord_shard::Shutdown)).await;
        step("links", links.send(link_server::Shutdown)).await;
        stop_server(handle).await;
    };
    Ok(RunningRole { addr, failure: Box::pin(failure), stop: Box::pin(stop) })
}
