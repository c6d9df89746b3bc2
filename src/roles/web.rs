//! The web role: the gateway's events to every browser that may see them.

use std::{sync::Arc, time::Duration};

use actix::{Actor as _, Addr, Supervisor};
use actix_web::{App, HttpServer};
use guildstream_actors::{
    link_client::{self, LinkClient, LinkClientSettings},
    ring::RingLimits,
    sse_broker::{self, BrokerSettings, SseBroker},
};
use log::info;

use super::{RoleError, RunningRole, bind, first_death, step, stop_server, tune};
use crate::{
    config::{LegacyAudience, WebConfig},
    http::web::{WebState, configure},
};

/// The ends of all streams are spread over this long.
const GOODBYE: Duration = Duration::from_millis(1500);
/// A client that has not sent its request's head by then is dropped.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts the role on the current actix system.
///
/// # Errors
///
/// [`RoleError::Bind`] when the address is taken, [`RoleError::Unusable`] when sign-in cannot be set up.
pub async fn start(config: WebConfig) -> Result<RunningRole, RoleError> {
    let (listener, addr) = bind(config.web_bind, config.web_port, "WEB_BIND, WEB_PORT")?;
    let config = Arc::new(config);
    let broker = SseBroker::new(broker_settings(&config)).start();
    let (settings, events, states) =
        (link_settings(&config), broker.clone().recipient(), broker.clone().recipient());
    let link = Supervisor::start(move |_| LinkClient::new(settings, events, states));

    let state = WebState::new(Arc::clone(&config), broker.clone(), link.clone())
        .map_err(|error| RoleError::Unusable(error.to_string()))?;
    let server = HttpServer::new(move || App::new().configure(configure(state.clone())))
        .workers(config.web_workers)
        .backlog(4096)
        .client_request_timeout(HEAD_TIMEOUT)
        // With the heartbeat, this is how a browser that left is noticed.
        .h1_allow_half_closed(false)
        .on_connect(|connection, _| tune(connection))
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(|source| RoleError::Bind { addr, setting: "WEB_BIND", source })?
        .run();
    let handle = server.handle();
    let server = actix_web::rt::spawn(server);
    info!("[SSE] Listening on http://{addr}, public at {}", config.public_url);

    let (watched_broker, watched_link) = (broker.clone(), link.clone());
    let failure = async move {
        let deaths = first_death(vec![
            ("SseBroker", Box::new(move || watched_broker.connected())),
            ("LinkClient", Box::new(move || watched_link.connected())),
        ]);
        tokio::select! {
            death = deaths => death,
            _ = server => RoleError::ServerEnded,
        }
    };
    let stop = async move {
        // With streams open the server would wait out its whole timeout.
        step("streams", say_goodbye(broker)).await;
        stop_server(handle).await;
        step("link", link.send(link_client::Shutdown)).await;
    };
    Ok(RunningRole { addr, failure: Box::pin(failure), stop: Box::pin(stop) })
}

async fn say_goodbye(broker: Addr<SseBroker>) {
    if broker.send(sse_broker::Shutdown { grace: GOODBYE }).await.is_err() {
        return;
    }
    while let Ok(state) = broker.send(sse_broker::Snapshot).await {
        if state.sessions == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn broker_settings(config: &WebConfig) -> BrokerSettings {
    BrokerSettings {
        guilds: config.vite_discord_guild_id.clone(),
        replay: RingLimits { events: config.replay_events, bytes: config.replay_bytes },
        heartbeat: config.sse_heartbeat_s,
        stall: config.sse_stall_s,
        queue_bytes: config.sse_queue_bytes,
        max_sessions: config.sse_max_sessions,
        max_sessions_per_user: config.sse_max_sessions_per_user,
        viewer_ttl: config.viewer_ttl_s,
    }
}

fn link_settings(config: &WebConfig) -> LinkClientSettings {
    LinkClientSettings {
        url: config.gateway_ws_url.to_string(),
        token: config.link_token.clone(),
        max_attempts: config.gateway_max_reconnect_attempts.unwrap_or(0),
        command_queue: config.command_queue,
        command_timeout: config.command_timeout_s,
        legacy_members: config.link_legacy_audience == LegacyAudience::Members,
    }
}
