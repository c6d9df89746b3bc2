//! Channels and their permission overwrites.
//!
//! <https://discord.com/developers/docs/resources/channel>

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value};

use super::{
    Answer,
    access::Access,
    audit::{self, Reason},
    body::{Body, BodyList},
    caller::Bot,
    error::ApiError,
    form::{Field, Form},
    threads,
};
use crate::{
    discord::Discord,
    world::{
        World,
        guild::{Channel, ChannelKind, Guild, Overwrite, OverwriteKind},
        id::Id,
        payload,
        permissions::Permissions,
    },
};

/// Channels a guild can have, threads aside.
const CHANNELS: usize = 500;

pub(crate) async fn get(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let (guild, channel) = Access::of(&inner.world).channel(path.into_inner())?;
        Ok(HttpResponse::Ok().json(payload::channel(guild.id, channel)))
    })
}

/// The channels of a guild, without its threads.
pub(crate) async fn list(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let guild = Access::of(&inner.world).guild(path.into_inner())?;
        let channels = guild.channels.values().filter(|channel| channel.thread.is_none());
        let shown: Vec<Value> = channels.map(|channel| payload::channel(guild.id, channel)).collect();
        Ok(HttpResponse::Ok().json(shown))
    })
}

pub(crate) async fn create(
    _: Bot,
    path: web::Path<Id>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let guild = path.into_inner();
    discord.with(|inner| {
        let home = Access::of(&inner.world).guild_with(guild, Permissions::MANAGE_CHANNELS)?;
        let draft = read_new(&body, &inner.world, home)?;
        if home.channels.values().filter(|channel| channel.thread.is_none()).count() >= CHANNELS {
            return Err(ApiError::TOO_MANY_CHANNELS);
        }
        let id = inner.world.create_channel(guild, draft).ok_or(ApiError::UNKNOWN_GUILD)?;
        inner.world.audit(guild, audit::CHANNEL_CREATE, id, reason);
        let (home, channel) = inner.world.channel(id).ok_or(ApiError::UNKNOWN_CHANNEL)?;
        Ok(HttpResponse::Created().json(payload::channel(home.id, channel)))
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
    discord.with(|inner| {
        let (guild, channel) = Access::of(&inner.world).channel(id)?;
        let guild = guild.id;
        if channel.thread.is_some() {
            let changed = threads::read_edit(&body, &inner.world, channel)?;
            inner.world.update_channel(id, |channel| *channel = changed);
        } else {
            let (home, channel) = Access::of(&inner.world).channel_with(id, Permissions::MANAGE_CHANNELS)?;
            let changed = read_edit(&body, &inner.world, home, channel)?;
            inner.world.update_channel(id, |channel| *channel = changed);
            inner.world.audit(guild, audit::CHANNEL_UPDATE, id, reason);
        }
        let (home, channel) = inner.world.channel(id).ok_or(ApiError::UNKNOWN_CHANNEL)?;
        Ok(HttpResponse::Ok().json(payload::channel(home.id, channel)))
    })
}

pub(crate) async fn delete(
    _: Bot,
    path: web::Path<Id>,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let id = path.into_inner();
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let (guild, channel) = access.channel(id)?;
        let (needed, action) = match channel.thread {
            Some(_) => (Permissions::MANAGE_THREADS, audit::THREAD_DELETE),
            None => (Permissions::MANAGE_CHANNELS, audit::CHANNEL_DELETE),
        };
        access.channel_with(id, needed)?;
        let (guild, shown) = (guild.id, payload::channel(guild.id, channel));
        inner.world.delete_channel(id);
        inner.world.audit(guild, action, id, reason);
        Ok(HttpResponse::Ok().json(shown))
    })
}

/// Moves several channels of a guild to other positions.
pub(crate) async fn reorder(
    _: Bot,
    path: web::Path<Id>,
    BodyList(entries): BodyList,
    discord: web::Data<Discord>,
) -> Answer {
    let guild = path.into_inner();
    discord.with(|inner| {
        Access::of(&inner.world).guild_with(guild, Permissions::MANAGE_CHANNELS)?;
        let mut moves = Vec::new();
        for entry in &entries {
            let mut form = Form::new(entry);
            let id = form.snowflake("id");
            let id = form.required("id", id);
            let position = form.number("position", 0..=u64::from(u16::MAX)).value();
            form.finish()?;
            moves.extend(id.zip(position));
        }
        for (id, position) in moves {
            if inner.world.channel(id).is_none_or(|(home, _)| home.id != guild) {
                return Err(ApiError::UNKNOWN_CHANNEL);
            }
            inner.world.update_channel(id, |channel| channel.position = position as u32);
        }
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn set_overwrite(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (id, target) = path.into_inner();
    discord.with(|inner| {
        let (guild, channel) = Access::of(&inner.world).channel_with(id, Permissions::MANAGE_ROLES)?;
        let guild = guild.id;
        let mut form = Form::new(&body);
        let mut overwrite = read_overwrite(&mut form, Some(target));
        form.finish()?;
        // What the bot cannot do itself it can neither grant nor deny.
        let own = Access::of(&inner.world).granted(id);
        let before = channel.overwrites.iter().find(|known| known.id == target).copied();
        let touched = overwrite.allow | overwrite.deny;
        let known = before.map_or(Permissions::NONE, |before| before.allow | before.deny);
        if !(own | known).contains(touched) {
            return Err(ApiError::MISSING_PERMISSIONS);
        }
        overwrite.id = target;
        inner.world.update_channel(id, |channel| {
            channel.overwrites.retain(|known| known.id != target);
            channel.overwrites.push(overwrite);
        });
        let action = if before.is_some() { audit::OVERWRITE_UPDATE } else { audit::OVERWRITE_CREATE };
        inner.world.audit(guild, action, id, reason);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn delete_overwrite(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (id, target) = path.into_inner();
    discord.with(|inner| {
        let (guild, channel) = Access::of(&inner.world).channel_with(id, Permissions::MANAGE_ROLES)?;
        let guild = guild.id;
        if !channel.overwrites.iter().any(|known| known.id == target) {
            return Err(ApiError::UNKNOWN_OVERWRITE);
        }
        inner.world.update_channel(id, |channel| channel.overwrites.retain(|known| known.id != target));
        inner.world.audit(guild, audit::OVERWRITE_DELETE, id, reason);
        Ok(HttpResponse::NoContent().finish())
    })
}

fn read_new(body: &Map<String, Value>, world: &World, guild: &Guild) -> Result<Channel, ApiError> {
    let mut form = Form::new(body);
    let number = form.number("type", 0..=u64::from(u8::MAX)).value().unwrap_or(0);
    let kind = ChannelKind::from_number(number).filter(|kind| !kind.is_thread());
    if kind.is_none() {
        let message = format!("Value {number} is not a channel type that can be created in a guild.");
        form.fail("type", "BASE_TYPE_CHOICES", message);
    }
    let name = form.text("name", 1..=100);
    form.required("name", name);
    let mut draft = Channel::new(Id(0), kind.unwrap_or(ChannelKind::Text), "");
    draft.position = guild.channels.values().filter(|channel| channel.kind == draft.kind).count() as u32;
    read_settings(&mut form, guild, &mut draft);
    form.finish()?;
    may_set_overwrites(world.permissions_of(world.application.bot, guild.id), &draft.overwrites)?;
    Ok(draft)
}

fn read_edit(
    body: &Map<String, Value>,
    world: &World,
    guild: &Guild,
    channel: &Channel,
) -> Result<Channel, ApiError> {
    let mut form = Form::new(body);
    let mut changed = channel.clone();
    if let Field::Value(number) = form.number("type", 0..=u64::from(u8::MAX)) {
        let convertible = [ChannelKind::Text, ChannelKind::Announcement];
        match ChannelKind::from_number(number) {
            Some(kind) if kind == channel.kind => {}
            Some(kind) if convertible.contains(&kind) && convertible.contains(&channel.kind) => {
                changed.kind = kind;
            }
            _ => form.fail(
                "type",
                "BASE_TYPE_CHOICES",
                "Only text and announcement channels convert.".to_owned(),
            ),
        }
    }
    read_settings(&mut form, guild, &mut changed);
    form.finish()?;
    if changed.overwrites != channel.overwrites {
        let own = Access::of(world).granted(channel.id);
        if !own.contains(Permissions::MANAGE_ROLES) {
            return Err(ApiError::MISSING_PERMISSIONS);
        }
        let kept = |overwrite: &&Overwrite| !channel.overwrites.contains(overwrite);
        may_set_overwrites(own, &changed.overwrites.iter().filter(kept).copied().collect::<Vec<_>>())?;
    }
    Ok(changed)
}

/// What both a new channel and an edit may name.
fn read_settings(form: &mut Form<'_>, guild: &Guild, channel: &mut Channel) {
    let kind = channel.kind;
    if let Field::Value(name) = form.text("name", 1..=100) {
        channel.name = spelled(kind, name);
    }
    let topic = if matches!(kind, ChannelKind::Forum | ChannelKind::Media) { 4096 } else { 1024 };
    if let Some(topic) = form.text("topic", 0..=topic).change() {
        channel.topic = topic.filter(|topic| !topic.is_empty()).map(str::to_owned);
    }
    if let Field::Value(position) = form.number("position", 0..=u64::from(u16::MAX)) {
        channel.position = position as u32;
    }
    if let Field::Value(nsfw) = form.boolean("nsfw") {
        channel.nsfw = nsfw;
    }
    if let Some(seconds) = form.number("rate_limit_per_user", 0..=21_600).change() {
        channel.slow_mode_s = seconds.unwrap_or(0) as u32;
    }
    if kind.is_voice() {
        if let Some(bitrate) = form.number("bitrate", 8000..=96_000).change() {
            channel.bitrate = bitrate.unwrap_or(64_000) as u32;
        }
        let most = if kind == ChannelKind::Stage { 10_000 } else { 99 };
        if let Some(limit) = form.number("user_limit", 0..=most).change() {
            channel.user_limit = limit.unwrap_or(0) as u32;
        }
    }
    if let Some(parent) = form.snowflake("parent_id").change() {
        let category =
            |id: &Id| guild.channels.get(id).is_some_and(|parent| parent.kind == ChannelKind::Category);
        match parent {
            Some(id) if !guild.channels.contains_key(&id) => {
                form.fail("parent_id", "CHANNEL_PARENT_INVALID", "Category does not exist".to_owned());
            }
            Some(id) if kind == ChannelKind::Category || !category(&id) => {
                form.fail("parent_id", "CHANNEL_PARENT_INVALID_TYPE", "Not a category".to_owned());
            }
            parent => channel.parent = parent,
        }
    }
    match form.each("permission_overwrites", 1000, |form| read_overwrite(form, None)) {
        Field::Value(overwrites) => channel.overwrites = overwrites,
        Field::Null => channel.overwrites.clear(),
        Field::Missing => {}
    }
}

fn read_overwrite(form: &mut Form<'_>, target: Option<Id>) -> Overwrite {
    let id = target.or_else(|| {
        let id = form.snowflake("id");
        form.required("id", id)
    });
    let kind = form.number("type", 0..=1);
    let kind = form.required("type", kind);
    let bits = |field: Field<u64>| Permissions(field.value().unwrap_or(0));
    Overwrite {
        id: id.unwrap_or(Id(0)),
        kind: if kind == Some(1) { OverwriteKind::Member } else { OverwriteKind::Role },
        allow: bits(form.permissions("allow")),
        deny: bits(form.permissions("deny")),
    }
}

fn may_set_overwrites(own: Permissions, overwrites: &[Overwrite]) -> Result<(), ApiError> {
    let within = overwrites.iter().all(|overwrite| own.contains(overwrite.allow | overwrite.deny));
    within.then_some(()).ok_or(ApiError::MISSING_PERMISSIONS)
}

/// Text channels have no capitals and no spaces, as Discord spells them.
fn spelled(kind: ChannelKind, name: &str) -> String {
    if matches!(kind, ChannelKind::Text | ChannelKind::Announcement | ChannelKind::Forum | ChannelKind::Media)
    {
        name.trim().to_lowercase().split_whitespace().collect::<Vec<_>>().join("-")
    } else {
        name.to_owned()
    }
}
