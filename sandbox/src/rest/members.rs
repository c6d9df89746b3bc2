//! Members of a guild: reading, moving, muting, and sending them away.
//!
//! <https://discord.com/developers/docs/resources/guild#guild-member-object>

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer,
    access::Access,
    audit::{self, Reason},
    body::Body,
    caller::Bot,
    error::{self, ApiError},
    form::Form,
};
use crate::{
    discord::Discord,
    gateway::intents,
    world::{
        World,
        guild::{Guild, Member},
        id::{Id, Timestamp},
        permissions::Permissions,
    },
};

/// The longest timeout, in seconds: 28 days.
const LONGEST_TIMEOUT_S: i64 = 28 * 24 * 60 * 60;

#[derive(Deserialize)]
pub(crate) struct Page {
    limit: Option<usize>,
    after: Option<Id>,
    query: Option<String>,
}

/// What a PATCH makes of a member.
struct Change {
    member: Member,
    /// `Some(None)` takes them out of voice.
    channel: Option<Option<Id>>,
    roles_changed: bool,
}

pub(crate) async fn get(_: Bot, path: web::Path<(Id, Id)>, discord: web::Data<Discord>) -> Answer {
    let (guild, user) = path.into_inner();
    discord.with(|inner| show(&inner.world, guild, user))
}

pub(crate) async fn list(
    _: Bot,
    path: web::Path<Id>,
    page: web::Query<Page>,
    discord: web::Data<Discord>,
) -> Answer {
    let limit = page.limit.unwrap_or(1);
    if !(1..=1000).contains(&limit) {
        return Err(error::invalid_path());
    }
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild(path.into_inner())?;
        // Listing everybody needs the privileged intent to be switched on.
        if inner.world.application.privileged_intents & intents::GUILD_MEMBERS == 0 {
            return Err(ApiError::MISSING_ACCESS);
        }
        let after = page.after.unwrap_or(Id(0));
        let members =
            guild.members.range(after..).map(|(_, member)| member).filter(|member| member.user > after);
        Ok(HttpResponse::Ok().json(shown(&inner.world, members.take(limit))))
    })
}

pub(crate) async fn search(
    _: Bot,
    path: web::Path<Id>,
    page: web::Query<Page>,
    discord: web::Data<Discord>,
) -> Answer {
    let limit = page.limit.unwrap_or(1).clamp(1, 1000);
    let prefix = page.query.as_deref().unwrap_or_default().to_lowercase();
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild(path.into_inner())?;
        let named = guild.members.values().filter(|member| inner.world.is_called(member, &prefix));
        Ok(HttpResponse::Ok().json(shown(&inner.world, named.take(limit))))
    })
}

/// Changes another member, or with `@me` the bot's own nickname.
pub(crate) async fn edit(
    _: Bot,
    path: web::Path<(Id, String)>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, who) = path.into_inner();
    discord.with(|inner| {
        let bot = inner.world.application.bot;
        let user: Id = if who == "@me" { bot } else { who.parse().map_err(|()| error::invalid_path())? };
        let home = Access::of(&inner.world).guild(guild)?;
        let member = home.members.get(&user).ok_or(ApiError::UNKNOWN_MEMBER)?;
        let Change { member: changed, channel, roles_changed } =
            read_change(&body, &inner.world, home, member)?;
        if changed != *member {
            inner.world.update_member(guild, user, |member| *member = changed);
            let action = if roles_changed { audit::MEMBER_ROLE_UPDATE } else { audit::MEMBER_UPDATE };
            inner.world.audit(guild, action, user, reason);
        }
        if let Some(channel) = channel {
            inner.world.set_voice(guild, user, channel);
        }
        show(&inner.world, guild, user)
    })
}

/// PUT gives a role, DELETE takes it.
pub(crate) async fn set_role(
    _: Bot,
    path: web::Path<(Id, Id, Id)>,
    request: HttpRequest,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, user, role) = path.into_inner();
    let has = request.method() == "PUT";
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let home = access.guild_with(guild, Permissions::MANAGE_ROLES)?;
        let member = home.members.get(&user).ok_or(ApiError::UNKNOWN_MEMBER)?;
        may_give(access, home, role)?;
        if member.roles.contains(&role) != has {
            inner.world.update_member(guild, user, |member| {
                member.roles.retain(|known| *known != role);
                member.roles.extend(has.then_some(role));
            });
            inner.world.audit(guild, audit::MEMBER_ROLE_UPDATE, user, reason);
        }
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn kick(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (guild, user) = path.into_inner();
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let home = access.guild_with(guild, Permissions::KICK_MEMBERS)?;
        home.members.get(&user).ok_or(ApiError::UNKNOWN_MEMBER)?;
        access.above(home, user)?;
        inner.world.remove_member(guild, user);
        inner.world.audit(guild, audit::MEMBER_KICK, user, reason);
        Ok(HttpResponse::NoContent().finish())
    })
}

/// Reads a PATCH and checks each thing it asks for against the bot's permissions.
///
/// <https://discord.com/developers/docs/resources/guild#modify-guild-member>
fn read_change(
    body: &Map<String, Value>,
    world: &World,
    guild: &Guild,
    member: &Member,
) -> Result<Change, ApiError> {
    let mut form = Form::new(body);
    let nick = form.text("nick", 0..=32).change();
    let roles = form.snowflakes("roles", 250).change();
    let mute = form.boolean("mute").value();
    let deaf = form.boolean("deaf").value();
    let channel = form.snowflake("channel_id").change();
    let timeout = read_timeout(&mut form);
    form.finish()?;

    let access = Access::of(world);
    let own = member.user == world.application.bot;
    let needs = |permission: Permissions| access.guild_with(guild.id, permission).map(|_| ());
    let mut changed = member.clone();
    let mut roles_changed = false;
    if let Some(nick) = nick {
        needs(if own { Permissions::CHANGE_NICKNAME } else { Permissions::MANAGE_NICKNAMES })?;
        if !own {
            access.above(guild, member.user)?;
        }
        changed.nick = nick.filter(|nick| !nick.is_empty()).map(str::to_owned);
    }
    if let Some(roles) = roles {
        needs(Permissions::MANAGE_ROLES)?;
        let mut roles = roles.unwrap_or_default();
        roles.sort_unstable();
        roles.dedup();
        let differ = |role: &&Id| roles.contains(role) != member.roles.contains(role);
        for role in roles.iter().chain(&member.roles).filter(differ) {
            may_give(access, guild, *role)?;
        }
        roles_changed = true;
        changed.roles = roles;
    }
    for (wish, permission, slot) in [
        (mute, Permissions::MUTE_MEMBERS, &mut changed.mute),
        (deaf, Permissions::DEAFEN_MEMBERS, &mut changed.deaf),
    ] {
        if let Some(wish) = wish {
            needs(permission)?;
            *slot = wish;
        }
    }
    if (mute.is_some() || deaf.is_some() || channel.is_some()) && !guild.voice.contains_key(&member.user) {
        return Err(ApiError::NOT_IN_VOICE);
    }
    if let Some(channel) = channel {
        needs(Permissions::MOVE_MEMBERS)?;
        may_move(access, guild, member, channel)?;
    }
    if let Some(until) = timeout {
        needs(Permissions::MODERATE_MEMBERS)?;
        access.above(guild, member.user)?;
        if world.permissions_of(member.user, guild.id).contains(Permissions::ADMINISTRATOR) {
            return Err(ApiError::MISSING_PERMISSIONS);
        }
        changed.timed_out_until = until;
    }
    Ok(Change { member: changed, channel, roles_changed })
}

/// The bot moves members between channels that it may enter itself.
fn may_move(access: Access<'_>, guild: &Guild, member: &Member, channel: Option<Id>) -> Result<(), ApiError> {
    let Some(id) = channel else { return Ok(()) };
    let place = guild.channels.get(&id).ok_or(ApiError::UNKNOWN_CHANNEL)?;
    if !place.kind.is_voice() {
        return Err(ApiError::WRONG_CHANNEL_TYPE);
    }
    let enter = Permissions::VIEW_CHANNEL.with(Permissions::CONNECT);
    let target_may = access.world.permissions_in(member.user, id).contains(enter);
    let bot_may = access.granted(id).contains(enter.with(Permissions::MOVE_MEMBERS));
    if bot_may || target_may { Ok(()) } else { Err(ApiError::MISSING_PERMISSIONS) }
}

fn read_timeout(form: &mut Form<'_>) -> Option<Option<Timestamp>> {
    let key = "communication_disabled_until";
    let text = form.text(key, 0..=64).change()?;
    let Some(text) = text else { return Some(None) };
    let now = Timestamp::now();
    match Timestamp::parse(text) {
        None => form.fail(key, "DATE_TIME_TYPE_PARSE", format!("Could not parse {text}. Should be ISO8601.")),
        Some(until) if until.unix_s() > now.unix_s() + LONGEST_TIMEOUT_S => {
            let message = "The timeout may be at most 28 days long.".to_owned();
            form.fail(key, "BASE_TYPE_MAX", message);
        }
        // A moment that has passed ends the timeout.
        Some(until) => return Some(Some(until).filter(|until| *until > now)),
    }
    None
}

/// Roles at or above the bot's own, managed ones and @everyone are not the bot's to give or take.
fn may_give(access: Access<'_>, guild: &Guild, role: Id) -> Result<(), ApiError> {
    let role = guild.roles.get(&role).ok_or(ApiError::UNKNOWN_ROLE)?;
    if role.id == guild.id {
        return Err(ApiError::INVALID_ROLE);
    }
    if role.bot.is_some() || !access.outranks(guild, role.position) {
        return Err(ApiError::MISSING_PERMISSIONS);
    }
    Ok(())
}

fn show(world: &World, guild: Id, user: Id) -> Answer {
    let guild = Access::of(world).guild(guild)?;
    let account = world.users.get(&user).ok_or(ApiError::UNKNOWN_USER)?;
    let member = guild.members.get(&user).ok_or(ApiError::UNKNOWN_MEMBER)?;
    Ok(HttpResponse::Ok().json(member.with_user(account)))
}

fn shown<'a>(world: &'a World, members: impl Iterator<Item = &'a Member>) -> Vec<Value> {
    members.filter_map(|member| Some(json!(member.with_user(world.users.get(&member.user)?)))).collect()
}
