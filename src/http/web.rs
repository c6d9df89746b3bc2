//! The web role's routes.

use std::{sync::Arc, time::Instant};

use actix::Addr;
use actix_web::{
    middleware::from_fn,
    rt::{self, task::JoinHandle},
    web::{self, ServiceConfig},
};
use guildstream_actors::{
    link_client::LinkClient,
    sse_broker::{EndSession, SseBroker},
};

use super::{
    commands,
    counters::{self, Counters},
    error::ApiError,
    gateway_control, get, get_stream, guilds, health, metrics, not_found, openapi, origin, page, post,
    rate_limits::RateLimits,
    refusals,
    security_headers::security_headers,
    session, sign_in,
    status::{self, DiscordGlance},
    stream,
};
use crate::{
    auth::{
        discord_oauth::{DiscordOauth, OauthError},
        session::Sessions,
        session_store::{EndedSession, SessionStore},
    },
    config::WebConfig,
};

/// What the web role's routes work with. One for all workers.
pub struct WebState {
    /// The role's settings.
    pub config: Arc<WebConfig>,
    /// Owns the streams.
    pub broker: Addr<SseBroker>,
    /// Owns the link to the gateway role.
    pub link: Addr<LinkClient>,
    /// Says who somebody is.
    pub oauth: DiscordOauth,
    /// How often one may do what.
    pub rates: RateLimits,
    /// When the role started.
    pub started: Instant,
    /// How the gateway's own connection is.
    pub discord: DiscordGlance,
    counters: web::Data<Counters>,
    sessions: web::Data<Sessions>,
    follower: JoinHandle<()>,
    origins: web::Data<origin::AllowedOrigins>,
}

impl WebState {
    /// The state of a role that starts now.
    ///
    /// # Errors
    ///
    /// [`OauthError`] when the settings of the sign-in cannot be used.
    pub fn new(
        config: Arc<WebConfig>,
        broker: Addr<SseBroker>,
        link: Addr<LinkClient>,
    ) -> Result<web::Data<Self>, OauthError> {
        let public_url = &config.public_url;
        let secure = public_url.scheme() == "https";
        let store = SessionStore::new(config.redis_url.as_ref());
        let sessions =
            web::Data::new(Sessions::new(store, &config.session_secret, secure, config.session_ttl_s));
        let follower = rt::spawn(follow_ends(sessions.clone(), broker.clone()));
        let cors_origins = config.cors_origins.iter().map(url::Url::origin);
        Ok(web::Data::new(Self {
            oauth: DiscordOauth::new(
                &config.discord_url,
                public_url,
                &config.discord_client_id,
                &config.discord_client_secret,
            )?,
            sessions,
            follower,
            origins: web::Data::new(origin::AllowedOrigins::new(public_url, cors_origins)),
            rates: RateLimits::new(config.sse_max_sessions_per_user),
            counters: web::Data::new(Counters::new()),
            started: Instant::now(),
            discord: DiscordGlance::default(),
            broker,
            link,
            config,
        }))
    }

    /// What the routes count.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Open and ended sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The origins whose pages may act for a signed-in user.
    #[must_use]
    pub fn origins(&self) -> &origin::AllowedOrigins {
        &self.origins
    }
}

impl Drop for WebState {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Ends the streams of sessions that were ended at another web role.
async fn follow_ends(sessions: web::Data<Sessions>, broker: Addr<SseBroker>) {
    let heard = |ended: EndedSession| {
        sessions.remember_end(&ended);
        broker.do_send(EndSession { sid: ended.sid });
    };
    sessions.store().follow_ends(heard).await;
}

/// Configures an `App` with all routes of the web role.
pub fn configure(state: web::Data<WebState>) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        let config = &state.config;
        let api = web::scope("/api")
            .service(get_stream("/stream", stream::open))
            .service(get("/status", status::web))
            .service(get("/session", session::show))
            .service(get("/guilds", guilds::list))
            .service(get("/openapi.json", openapi::show))
            .service(post("/commands", commands::send).wrap(from_fn(origin::own_pages_only)))
            .service(post("/gateway/connect", gateway_control::connect).wrap(from_fn(origin::own_pages_only)))
            .service(
                post("/gateway/disconnect", gateway_control::disconnect)
                    .wrap(from_fn(origin::own_pages_only)),
            )
            .wrap(state.sessions.middleware());
        let auth = web::scope("/auth")
            .service(get_stream("/login", sign_in::login))
            .service(get_stream("/callback", sign_in::callback))
            .service(post("/logout", sign_in::logout).wrap(from_fn(origin::own_pages_only)))
            .wrap(state.sessions.middleware());
        let all = web::scope("")
            .service(get("/livez", health::livez))
            .service(get("/readyz", health::web))
            .service(get("/healthz", health::web))
            .service(get("/metrics", metrics::web))
            .service(api)
            .service(auth)
            .configure(page::files)
            .default_service(web::to(not_found))
            .app_data(state.clone())
            .app_data(state.counters.clone())
            .app_data(state.sessions.clone())
            .app_data(state.origins.clone())
            .app_data(commands::body_limit())
            .app_data(
                web::QueryConfig::default()
                    .error_handler(|error, _| ApiError::Invalid(error.to_string()).into()),
            )
            .wrap(state.origins.cors())
            .wrap(from_fn(refusals::refusals))
            .wrap(from_fn(counters::count_answers))
            .wrap(security_headers(&config.public_url, &config.discord_url));
        app.service(all);
    }
}
