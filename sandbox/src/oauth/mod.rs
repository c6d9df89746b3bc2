//! The OAuth2 edge: a page to choose who one is, and the exchange of codes and tokens.
//!
//! <https://discord.com/developers/docs/topics/oauth2>

mod authorize;
pub(crate) mod grants;
mod page;
mod token;

use actix_web::web;

/// The page, under both of the paths that Discord has for it.
pub(crate) fn pages(app: &mut web::ServiceConfig) {
    for path in ["/oauth2/authorize", "/api/oauth2/authorize", "/api/v10/oauth2/authorize"] {
        app.route(path, web::get().to(authorize::authorize));
    }
    app.route("/oauth2/authorize.css", web::get().to(page::style))
        .route("/oauth2/approve", web::get().to(authorize::approve))
        .route("/oauth2/deny", web::get().to(authorize::deny));
}

/// The calls that applications make; registered inside the API's scope.
pub(crate) fn api(api: &mut web::ServiceConfig) {
    api.route("/oauth2/token", web::post().to(token::token))
        .route("/oauth2/token/revoke", web::post().to(token::revoke));
}
