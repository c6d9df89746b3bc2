//! `GET /api/openapi.json`: the API's description, made from the handlers. <https://spec.openapis.org/oas/v3.1.1>

use actix_web::HttpResponse;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, SecurityScheme},
    },
};

use super::{commands, gateway_control, guilds, health, session, sign_in, status, stream};

#[derive(OpenApi)]
#[openapi(
    info(title = "guildstream", description = "Discord guild events, live in the browser: the web role's HTTP API."),
    paths(
        stream::open,
        status::web,
        session::show,
        guilds::list,
        commands::send,
        gateway_control::connect,
        gateway_control::disconnect,
        sign_in::login,
        sign_in::callback,
        sign_in::logout,
        health::livez,
        health::web,
    ),
    modifiers(&SessionCookie)
)]
struct Description;

struct SessionCookie;

impl Modify for SessionCookie {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let text = "set by a sign-in; behind https its name begins with __Host-";
        let cookie = ApiKeyValue::with_description("guildstream_session", text);
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

pub(super) async fn show() -> HttpResponse {
    HttpResponse::Ok().json(Description::openapi())
}
