//! What libraries ask before anything else, and what a signed-in person may know about themselves.
//!
//! <https://discord.com/developers/docs/resources/user>

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::{
    Answer,
    caller::{Bot, Caller},
    error::ApiError,
};
use crate::{
    discord::Discord,
    gateway::{hub::STARTS_PER_DAY, intents},
    oauth::grants::Scope,
    world::{World, id::Id, user::User},
};

pub(crate) async fn gateway(request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "url": gateway_url(&request) }))
}

pub(crate) async fn gateway_bot(_: Bot, request: HttpRequest, discord: web::Data<Discord>) -> HttpResponse {
    discord.with(|inner| {
        HttpResponse::Ok().json(json!({
            "url": gateway_url(&request),
            "shards": inner.world.application.shards,
            "session_start_limit": {
                "total": STARTS_PER_DAY,
                "remaining": STARTS_PER_DAY.saturating_sub(inner.hub.identifies),
                "reset_after": 86_400_000,
                "max_concurrency": discord.config.max_concurrency,
            },
        }))
    })
}

pub(crate) async fn application(_: Bot, discord: web::Data<Discord>) -> HttpResponse {
    discord.with(|inner| {
        let world = &inner.world;
        let mut application = application_payload(world);
        application["owner"] = json!(world.users.get(&world.application.owner).map(User::payload));
        application["bot"] = json!(world.users.get(&world.application.bot).map(User::payload));
        HttpResponse::Ok().json(application)
    })
}

/// What the caller's token allows, and until when.
pub(crate) async fn authorization(caller: Caller, discord: web::Data<Discord>) -> Answer {
    let Caller::Person { id, scopes } = caller else { return Err(ApiError::UNAUTHORIZED) };
    discord.with(|inner| {
        let mut answer = json!({
            "application": application_payload(&inner.world),
            "scopes": scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>(),
            "expires": crate::world::id::Timestamp::now(),
        });
        if scopes.contains(&Scope::Identify) {
            answer["user"] = json!(inner.world.users.get(&id).map(User::payload));
        }
        Ok(HttpResponse::Ok().json(answer))
    })
}

pub(crate) async fn current_user(caller: Caller, discord: web::Data<Discord>) -> Answer {
    caller.require(Scope::Identify)?;
    discord.with(|inner| {
        let id = caller.id(&inner.world);
        let user = inner.world.users.get(&id).ok_or(ApiError::UNKNOWN_USER)?;
        let mut payload = json!(user.payload());
        payload["mfa_enabled"] = json!(user.bot);
        payload["locale"] = json!("en-US");
        payload["premium_type"] = json!(0);
        payload["verified"] = json!(true);
        if matches!(&caller, Caller::Person { scopes, .. } if scopes.contains(&Scope::Email)) {
            payload["email"] = json!(format!("{}@sandbox.invalid", user.username));
        }
        Ok(HttpResponse::Ok().json(payload))
    })
}

pub(crate) async fn current_guilds(caller: Caller, discord: web::Data<Discord>) -> Answer {
    caller.require(Scope::Guilds)?;
    discord.with(|inner| {
        let world = &inner.world;
        let id = caller.id(world);
        let guilds = world.guilds.values().filter(|guild| guild.members.contains_key(&id));
        let partial = guilds.map(|guild| {
            json!({
                "id": guild.id,
                "name": guild.name,
                "icon": null,
                "banner": null,
                "owner": guild.owner == id,
                "permissions": world.permissions_of(id, guild.id),
                "features": ["COMMUNITY"],
                "approximate_member_count": guild.members.len(),
                "approximate_presence_count": guild.online(),
            })
        });
        Ok(HttpResponse::Ok().json(partial.collect::<Vec<Value>>()))
    })
}

pub(crate) async fn current_member(
    caller: Caller,
    path: web::Path<Id>,
    discord: web::Data<Discord>,
) -> Answer {
    caller.require(Scope::GuildsMembersRead)?;
    discord.with(|inner| {
        let id = caller.id(&inner.world);
        let guild = inner.world.guilds.get(&path).ok_or(ApiError::UNKNOWN_GUILD)?;
        let member = guild.members.get(&id).ok_or(ApiError::UNKNOWN_GUILD)?;
        let user = inner.world.users.get(&id).ok_or(ApiError::UNKNOWN_USER)?;
        Ok(HttpResponse::Ok().json(member.with_user(user)))
    })
}

pub(crate) async fn user(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let user = inner.world.users.get(&path).ok_or(ApiError::UNKNOWN_USER)?;
        Ok(HttpResponse::Ok().json(user.payload()))
    })
}

fn application_payload(world: &World) -> Value {
    json!({
        "id": world.application.id,
        "name": "guildstream",
        "icon": null,
        "description": "The application of the local sandbox",
        "rpc_origins": [],
        "bot_public": true,
        "bot_require_code_grant": false,
        "summary": "",
        "verify_key": "0".repeat(64),
        "team": null,
        "flags": intents::application_flags(world.application.privileged_intents),
        "hook": true,
        "redirect_uris": [],
        "interactions_endpoint_url": null,
        "role_connections_verification_url": null,
        "approximate_guild_count": world.guilds.len(),
    })
}

/// Where this server is, in the words of whoever asks.
fn gateway_url(request: &HttpRequest) -> String {
    format!("ws://{}", request.connection_info().host())
}

impl Caller {
    /// The account that calls.
    fn id(&self, world: &World) -> Id {
        match self {
            Self::Bot => world.application.bot,
            Self::Person { id, .. } => *id,
        }
    }
}
