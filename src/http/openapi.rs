//! `GET /api/openapi.json`: the API's description, made from the handlers. <https://spec.openapis.org/oas/v3.1.1>

use actix_web::HttpResponse;
use guildstream_actors::commands::names;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, Header, ObjectBuilder, Ref, RefOr, ResponseBuilder, Type,
        path::Operation,
        schema::Schema,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{commands, gateway_control, guilds, health, metrics, session, sign_in, status, stream};

#[derive(OpenApi)]
#[openapi(
    info(title = "guildstream", description = "Discord guild events, live in the browser: the web role's HTTP API."),
    servers((url = "/", description = "the web role that serves this description")),
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
        metrics::web,
        show,
    ),
    modifiers(&Secrets, &Commands, &EveryAnswer)
)]
struct Description;

/// What lets a caller in.
struct Secrets;

impl Modify for Secrets {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let text = "set by a sign-in; behind https its name begins with __Host-";
        let cookie = ApiKeyValue::with_description("guildstream_session", text);
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("METRICS_TOKEN"));
        components.add_security_scheme("metrics", SecurityScheme::Http(bearer.build()));
    }
}

/// The commands there are, by name.
struct Commands;

impl Modify for Commands {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let schemas = &mut description.components.get_or_insert_default().schemas;
        if let Some(RefOr::T(Schema::Object(command))) = schemas.get_mut("Command")
            && let Some(RefOr::T(Schema::Object(name))) = command.properties.get_mut("command")
        {
            name.enum_values = Some(names().map(Into::into).collect());
        }
    }
}

/// What holds for every route: without a word on it anyone may, a limit says when it ends, and anything may go wrong.
struct EveryAnswer;

impl Modify for EveryAnswer {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let paths = &mut description.paths.paths;
        // The same answers under another name.
        if let Some(mut healthz) = paths.get("/readyz").cloned() {
            if let Some(operation) = &mut healthz.get {
                operation.operation_id = Some("healthz".to_owned());
            }
            paths.insert("/healthz".to_owned(), healthz);
        }
        for path in paths.values_mut() {
            path.get.iter_mut().chain(&mut path.post).for_each(complete);
        }
    }
}

fn complete(operation: &mut Operation) {
    operation.security.get_or_insert_default();
    let responses = &mut operation.responses.responses;
    if let Some(RefOr::T(limited)) = responses.get_mut("429") {
        let mut seconds =
            Header::new(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build());
        seconds.description = Some("seconds until it makes sense to come back".to_owned());
        limited.headers.insert("Retry-After".to_owned(), seconds);
    }
    let refusal = openapi::Content::new(Some(Ref::from_schema_name("Refusal")));
    let other = ResponseBuilder::new()
        .description(
            "another method (405), a way of asking that HTTP does not know, or a fault of ours (500)",
        )
        .content("application/json", refusal);
    responses.insert("default".to_owned(), other.build().into());
}

/// This description.
#[utoipa::path(get, path = "/api/openapi.json", operation_id = "openapi", tag = "operation", responses(
    (status = 200, body = Object, description = "OpenAPI 3.1"),
))]
pub(super) async fn show() -> HttpResponse {
    HttpResponse::Ok().json(Description::openapi())
}
