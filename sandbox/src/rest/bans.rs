//! Who is banned from a guild, and why.
//!
//! <https://discord.com/developers/docs/resources/guild#ban-object>

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer,
    access::Access,
    audit::{self, Reason},
    body::Body,
    caller::Bot,
    error::ApiError,
    form::Form,
};
use crate::{
    discord::Discord,
    world::{World, id::Id, permissions::Permissions, user::User},
};

#[derive(Deserialize)]
pub(crate) struct Page {
    limit: Option<usize>,
    after: Option<Id>,
    before: Option<Id>,
}

pub(crate) async fn create(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, user) = path.into_inner();
    let mut form = Form::new(&body);
    form.number("delete_message_seconds", 0..=604_800);
    form.finish()?;
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let home = access.guild_with(guild, Permissions::BAN_MEMBERS)?;
        inner.world.users.get(&user).ok_or(ApiError::UNKNOWN_USER)?;
        access.above(home, user)?;
        inner.world.ban(guild, user, reason.clone());
        inner.world.audit(guild, audit::MEMBER_BAN_ADD, user, reason);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn delete(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, user) = path.into_inner();
    discord.with(|inner| {
        Access::of(&inner.world).guild_with(guild, Permissions::BAN_MEMBERS)?;
        if !inner.world.unban(guild, user) {
            return Err(ApiError::UNKNOWN_BAN);
        }
        inner.world.audit(guild, audit::MEMBER_BAN_REMOVE, user, reason);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn list(
    _: Bot,
    path: web::Path<Id>,
    page: web::Query<Page>,
    discord: web::Data<Discord>,
) -> Answer {
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild_with(path.into_inner(), Permissions::BAN_MEMBERS)?;
        let bans = guild.bans.iter();
        let bans = bans.filter(|(user, _)| page.after.is_none_or(|after| **user > after));
        let bans = bans.filter(|(user, _)| page.before.is_none_or(|before| **user < before));
        let limit = page.limit.unwrap_or(1000).clamp(1, 1000);
        let shown: Vec<Value> =
            bans.take(limit).map(|(user, reason)| ban_of(&inner.world, *user, reason)).collect();
        Ok(HttpResponse::Ok().json(shown))
    })
}

pub(crate) async fn get(_: Bot, path: web::Path<(Id, Id)>, discord: web::Data<Discord>) -> Answer {
    let (guild, user) = path.into_inner();
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild_with(guild, Permissions::BAN_MEMBERS)?;
        let reason = guild.bans.get(&user).ok_or(ApiError::UNKNOWN_BAN)?;
        Ok(HttpResponse::Ok().json(ban_of(&inner.world, user, reason)))
    })
}

fn ban_of(world: &World, user: Id, reason: &Option<String>) -> Value {
    json!({ "user": world.users.get(&user).map(User::payload), "reason": reason })
}
