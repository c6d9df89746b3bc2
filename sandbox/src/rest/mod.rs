//! The REST edge: API v10.
//!
//! <https://discord.com/developers/docs/reference>

mod access;
mod caller;
mod draft;
mod error;
mod form;
pub(crate) mod limits;
mod members;
mod messages;
mod meta;
mod throttle;

use actix_web::{Resource, dev::HttpServiceFactory, middleware::from_fn, web};

use self::error::ApiError;

/// The API under its version and, for OAuth2 clients, without one.
pub(crate) fn api(path: &str) -> impl HttpServiceFactory + use<> {
    web::scope(path)
        .wrap(from_fn(throttle::throttle))
        .app_data(web::PathConfig::default().error_handler(|_, _| error::invalid_path().into()))
        .app_data(web::QueryConfig::default().error_handler(|_, _| error::invalid_path().into()))
        .configure(meta_routes)
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

fn channel_routes(api: &mut web::ServiceConfig) {
    api.service(at("/channels/{channel}/messages").get(messages::list).post(messages::create))
        .service(at("/channels/{channel}/messages/bulk-delete").post(messages::delete_bulk))
        .service(
            at("/channels/{channel}/messages/{message}")
                .get(messages::get)
                .patch(messages::edit)
                .delete(messages::delete),
        )
        .service(at("/channels/{channel}/typing").post(messages::typing))
        .service(at("/channels/{channel}/pins/{message}").put(messages::pin).delete(messages::pin));
}

fn guild_routes(api: &mut web::ServiceConfig) {
    api.service(at("/guilds/{guild}/members/{user}").get(members::get));
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
