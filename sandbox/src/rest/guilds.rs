//! A guild, its roles and its voice states.
//!
//! <https://discord.com/developers/docs/resources/guild>

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer,
    access::Access,
    audit::{self, Reason},
    body::{Body, BodyList},
    caller::Bot,
    error::{self, ApiError},
    form::{Field, Form},
};
use crate::{
    discord::Discord,
    world::{
        World,
        guild::{Guild, Role},
        id::Id,
        payload,
        permissions::Permissions,
    },
};

/// Roles a guild can have.
const ROLES: usize = 250;

#[derive(Deserialize)]
pub(crate) struct Counts {
    #[serde(default)]
    with_counts: bool,
}

pub(crate) async fn get(
    _: Bot,
    path: web::Path<Id>,
    counts: web::Query<Counts>,
    discord: web::Data<Discord>,
) -> Answer {
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild(path.into_inner())?;
        let mut shown = payload::guild(guild);
        if counts.with_counts {
            shown["approximate_member_count"] = json!(guild.members.len());
            shown["approximate_presence_count"] = json!(guild.online());
        }
        Ok(HttpResponse::Ok().json(shown))
    })
}

pub(crate) async fn edit(
    _: Bot,
    path: web::Path<Id>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let id = path.into_inner();
    let mut form = Form::new(&body);
    let name = form.text("name", 2..=100).value().map(str::to_owned);
    form.finish()?;
    discord.with(|inner| {
        Access::of(&inner.world).guild_with(id, Permissions::MANAGE_GUILD)?;
        if let Some(name) = name {
            inner.world.rename_guild(id, name);
            inner.world.audit(id, audit::GUILD_UPDATE, id, reason);
        }
        let guild = Access::of(&inner.world).guild(id)?;
        Ok(HttpResponse::Ok().json(payload::guild(guild)))
    })
}

pub(crate) async fn roles(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild(path.into_inner())?;
        Ok(HttpResponse::Ok().json(guild.roles.values().map(payload::role).collect::<Vec<_>>()))
    })
}

pub(crate) async fn role(_: Bot, path: web::Path<(Id, Id)>, discord: web::Data<Discord>) -> Answer {
    let (guild, id) = path.into_inner();
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild(guild)?;
        let role = guild.roles.get(&id).ok_or(ApiError::UNKNOWN_ROLE)?;
        Ok(HttpResponse::Ok().json(payload::role(role)))
    })
}

pub(crate) async fn create_role(
    _: Bot,
    path: web::Path<Id>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let id = path.into_inner();
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild_with(id, Permissions::MANAGE_ROLES)?;
        if guild.roles.len() >= ROLES {
            return Err(ApiError::TOO_MANY_ROLES);
        }
        let everyone = guild.roles.get(&id).map_or(Permissions::NONE, |role| role.permissions);
        let mut draft = Role {
            id: Id(0),
            name: "new role".to_owned(),
            color: 0,
            hoist: false,
            position: 1,
            permissions: everyone,
            mentionable: false,
            bot: None,
        };
        read_role(&body, &inner.world, guild, &mut draft)?;
        let role = inner.world.create_role(id, draft).ok_or(ApiError::UNKNOWN_GUILD)?;
        inner.world.audit(id, audit::ROLE_CREATE, role.id, reason);
        Ok(HttpResponse::Ok().json(payload::role(&role)))
    })
}

pub(crate) async fn edit_role(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, id) = path.into_inner();
    discord.with(|inner| {
        let mut changed = own_to_change(&inner.world, guild, id)?.clone();
        let home = Access::of(&inner.world).guild(guild)?;
        read_role(&body, &inner.world, home, &mut changed)?;
        let role =
            inner.world.update_role(guild, id, |role| *role = changed).ok_or(ApiError::UNKNOWN_ROLE)?;
        inner.world.audit(guild, audit::ROLE_UPDATE, id, reason);
        Ok(HttpResponse::Ok().json(payload::role(&role)))
    })
}

/// Moves roles to other positions, all of them below the bot's own.
pub(crate) async fn reorder_roles(
    _: Bot,
    path: web::Path<Id>,
    BodyList(entries): BodyList,
    discord: web::Data<Discord>,
) -> Answer {
    let guild = path.into_inner();
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let mut moves = Vec::new();
        for entry in &entries {
            let mut form = Form::new(entry);
            let id = form.snowflake("id");
            let id = form.required("id", id);
            let position = form.number("position", 0..=u64::from(u16::MAX)).value();
            form.finish()?;
            moves.extend(id.zip(position));
        }
        let home = access.guild_with(guild, Permissions::MANAGE_ROLES)?;
        for (id, position) in &moves {
            own_to_change(&inner.world, guild, *id)?;
            if !access.outranks(home, *position as u32) {
                return Err(ApiError::MISSING_PERMISSIONS);
            }
        }
        for (id, position) in moves {
            inner.world.update_role(guild, id, |role| role.position = position as u32);
        }
        let home = Access::of(&inner.world).guild(guild)?;
        Ok(HttpResponse::Ok().json(home.roles.values().map(payload::role).collect::<Vec<_>>()))
    })
}

pub(crate) async fn delete_role(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, id) = path.into_inner();
    discord.with(|inner| {
        let role = own_to_change(&inner.world, guild, id)?;
        if role.id == guild || role.bot.is_some() {
            return Err(ApiError::INVALID_ROLE);
        }
        inner.world.delete_role(guild, id);
        inner.world.audit(guild, audit::ROLE_DELETE, id, reason);
        Ok(HttpResponse::NoContent().finish())
    })
}

/// A member's voice state; the bot's own is `@me`.
pub(crate) async fn voice_state(
    _: Bot,
    path: web::Path<(Id, String)>,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, who) = path.into_inner();
    discord.with(|inner| {
        let user = who_is(&inner.world, &who)?;
        let guild = Access::of(&inner.world).guild(guild)?;
        let seat = guild.voice.get(&user).ok_or(ApiError::UNKNOWN_VOICE_STATE)?;
        let member = guild.members.get(&user).ok_or(ApiError::UNKNOWN_MEMBER)?;
        let account = inner.world.users.get(&user).ok_or(ApiError::UNKNOWN_USER)?;
        Ok(HttpResponse::Ok().json(seat.update(guild.id, Some(seat.channel), member, account)))
    })
}

/// Lets somebody speak on a stage, or sends them back to the audience.
pub(crate) async fn edit_voice_state(
    _: Bot,
    path: web::Path<(Id, String)>,
    Body(body): Body,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, who) = path.into_inner();
    let mut form = Form::new(&body);
    form.snowflake("channel_id");
    let suppress = form.boolean("suppress").value();
    form.finish()?;
    discord.with(|inner| {
        let user = who_is(&inner.world, &who)?;
        let home = Access::of(&inner.world).guild(guild)?;
        let seat = home.voice.get(&user).ok_or(ApiError::UNKNOWN_VOICE_STATE)?;
        Access::of(&inner.world).channel_with(seat.channel, Permissions::MUTE_MEMBERS)?;
        if let Some(suppress) = suppress {
            inner.world.set_suppress(guild, user, suppress);
        }
        Ok(HttpResponse::NoContent().finish())
    })
}

fn who_is(world: &World, who: &str) -> Result<Id, ApiError> {
    if who == "@me" { Ok(world.application.bot) } else { who.parse().map_err(|()| error::invalid_path()) }
}

/// A role that the bot may change: one below its own. @everyone is below all.
fn own_to_change(world: &World, guild: Id, id: Id) -> Result<&Role, ApiError> {
    let access = Access::of(world);
    let home = access.guild_with(guild, Permissions::MANAGE_ROLES)?;
    let role = home.roles.get(&id).ok_or(ApiError::UNKNOWN_ROLE)?;
    access.outranks(home, role.position).then_some(role).ok_or(ApiError::MISSING_PERMISSIONS)
}

fn read_role(
    body: &Map<String, Value>,
    world: &World,
    guild: &Guild,
    role: &mut Role,
) -> Result<(), ApiError> {
    let mut form = Form::new(body);
    if let Field::Value(name) = form.text("name", 1..=100) {
        role.name = name.to_owned();
    }
    if let Field::Value(color) = form.number("color", 0..=0x00FF_FFFF) {
        role.color = color as u32;
    }
    let primary =
        form.inside("colors", |colors| colors.number("primary_color", 0..=0x00FF_FFFF).value()).flatten();
    role.color = primary.map_or(role.color, |color| color as u32);
    role.hoist = form.boolean("hoist").value().unwrap_or(role.hoist);
    role.mentionable = form.boolean("mentionable").value().unwrap_or(role.mentionable);
    let permissions = form.permissions("permissions").value().map(Permissions);
    form.finish()?;
    if let Some(permissions) = permissions {
        let own = world.permissions_of(world.application.bot, guild.id);
        // What the bot does not have it cannot give; what the role had already may stay.
        if !(own | role.permissions).contains(permissions) {
            return Err(ApiError::MISSING_PERMISSIONS);
        }
        role.permissions = permissions;
    }
    Ok(())
}
