//! The REST edge: API v10.
//!
//! <https://discord.com/developers/docs/reference>

mod access;
mod audit;
mod bans;
mod body;
mod caller;
mod channels;
mod commands;
mod draft;
mod error;
mod form;
mod guilds;
pub(crate) mod limits;
mod members;
mod messages;
mod meta;
mod pins;
mod reactions;
mod threads;
mod throttle;

use actix_web::{HttpResponse, Resource, dev::HttpServiceFactory, middleware::from_fn, web};

use self::error::ApiError;

/// What every handler gives back.
type Answer = Result<HttpResponse, ApiError>;

/// The API under its version and, for OAuth2 clients, without one.
pub(crate) fn api(path: &str) -> impl HttpServiceFactory + use<> {
    web::scope(path)
        .wrap(from_fn(throttle::throttle))
        .app_data(web::PathConfig::default().error_handler(|_, _| error::invalid_path().into()))
        .app_data(web::QueryConfig::default().error_handler(|_, _| error::invalid_path().into()))
        .configure(meta_routes)
        .configure(command_routes)
        .configure(channel_routes)
        .configure(guild_routes)
        .configure(crate::oauth::api)
        .default_service(web::to(async || Err::<String, _>(ApiError::NOT_FOUND)))
}

fn meta_routes(api: &mut web::ServiceConfig) {
    api.service(at("/gateway").get(meta::gateway))
        .service(at("/gateway/bot").get(meta::gateway_bot))
        .service(at("/applications/@me").get(meta::application))
        .service(at("/oauth2/applications/@me").get(meta::application))
        .service(at("/oauth2/@me").get(meta::authorization))
        .service(at("/users/@me").get(meta::current_user))
        .service(at("/users/@me/guilds").get(meta::current_guilds))
        .service(at("/users/@me/guilds/{guild}/member").get(meta::current_member))
        .service(at("/users/{user}").get(meta::user));
}

/// Application commands, for all guilds and for one.
fn command_routes(api: &mut web::ServiceConfig) {
    for path in
        ["/applications/{application}/commands", "/applications/{application}/guilds/{guild}/commands"]
    {
        api.service(at(path).get(commands::list).post(commands::create).put(commands::replace))
            .service(at(&format!("{path}/{{command}}")).get(commands::get).delete(commands::delete));
    }
}

fn channel_routes(api: &mut web::ServiceConfig) {
    api.service(at("/channels/{channel}").get(channels::get).patch(channels::edit).delete(channels::delete))
        .service(at("/channels/{channel}/messages").get(messages::list).post(messages::create))
        .service(at("/channels/{channel}/messages/bulk-delete").post(messages::delete_bulk))
        .service(at("/channels/{channel}/messages/pins").get(pins::list))
        .service(at("/channels/{channel}/messages/pins/{message}").put(pins::set).delete(pins::set))
        .service(
            at("/channels/{channel}/messages/{message}")
                .get(messages::get)
                .patch(messages::edit)
                .delete(messages::delete),
        )
        .service(at("/channels/{channel}/messages/{message}/threads").post(threads::create_from_message))
        .service(at("/channels/{channel}/messages/{message}/reactions").delete(reactions::clear))
        .service(
            at("/channels/{channel}/messages/{message}/reactions/{emoji}")
                .get(reactions::list)
                .delete(reactions::clear_emoji),
        )
        .service(
            at("/channels/{channel}/messages/{message}/reactions/{emoji}/@me")
                .put(reactions::add)
                .delete(reactions::remove_own),
        )
        .service(
            at("/channels/{channel}/messages/{message}/reactions/{emoji}/{user}").delete(reactions::remove),
        )
        .service(
            at("/channels/{channel}/permissions/{overwrite}")
                .put(channels::set_overwrite)
                .delete(channels::delete_overwrite),
        )
        .service(at("/channels/{channel}/typing").post(messages::typing))
        .service(at("/channels/{channel}/pins").get(pins::list_bare))
        .service(at("/channels/{channel}/pins/{message}").put(pins::set).delete(pins::set))
        .service(at("/channels/{channel}/threads").post(threads::create))
        .service(at("/channels/{channel}/thread-members").get(threads::members))
        .service(
            at("/channels/{channel}/thread-members/{user}")
                .put(threads::set_member)
                .delete(threads::set_member),
        );
}

fn guild_routes(api: &mut web::ServiceConfig) {
    api.service(at("/guilds/{guild}").get(guilds::get).patch(guilds::edit))
        .service(
            at("/guilds/{guild}/channels")
                .get(channels::list)
                .post(channels::create)
                .patch(channels::reorder),
        )
        .service(at("/guilds/{guild}/threads/active").get(threads::list_active))
        .service(at("/guilds/{guild}/members").get(members::list))
        .service(at("/guilds/{guild}/members/search").get(members::search))
        .service(
            at("/guilds/{guild}/members/{user}").get(members::get).patch(members::edit).delete(members::kick),
        )
        .service(
            at("/guilds/{guild}/members/{user}/roles/{role}")
                .put(members::set_role)
                .delete(members::set_role),
        )
        .service(at("/guilds/{guild}/bans").get(bans::list))
        .service(at("/guilds/{guild}/bans/{user}").get(bans::get).put(bans::create).delete(bans::delete))
        .service(
            at("/guilds/{guild}/roles")
                .get(guilds::roles)
                .post(guilds::create_role)
                .patch(guilds::reorder_roles),
        )
        .service(
            at("/guilds/{guild}/roles/{role}")
                .get(guilds::role)
                .patch(guilds::edit_role)
                .delete(guilds::delete_role),
        )
        .service(
            at("/guilds/{guild}/voice-states/{user}")
                .get(guilds::voice_state)
                .patch(guilds::edit_voice_state),
        );
}

/// A path with the methods it has; others are refused the way Discord does.
fn at(path: &str) -> Methods {
    Methods(
        web::resource(path).default_service(web::to(async || Err::<String, _>(ApiError::METHOD_NOT_ALLOWED))),
    )
}

/// A resource whose routes read as a table.
struct Methods(Resource);

macro_rules! methods {
    ($($method:ident),*) => {
        impl Methods {
            $(fn $method<F, Args>(self, handler: F) -> Self
            where
                F: actix_web::Handler<Args>,
                Args: actix_web::FromRequest + 'static,
                F::Output: actix_web::Responder + 'static,
            {
                Self(self.0.route(web::$method().to(handler)))
            })*
        }
    };
}

methods!(get, post, put, patch, delete);

impl HttpServiceFactory for Methods {
    fn register(self, config: &mut actix_web::dev::AppService) {
        self.0.register(config);
    }
}
