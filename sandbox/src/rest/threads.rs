//! Threads and who is in them.
//!
//! <https://discord.com/developers/docs/topics/threads>

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::{
    Answer,
    access::Access,
    audit::{self, Reason},
    body::Body,
    caller::Bot,
    error::ApiError,
    form::{Field, Form},
};
use crate::{
    discord::{Discord, Inner},
    world::{
        ThreadDraft, World,
        guild::{Channel, ChannelKind},
        id::{Id, Timestamp},
        payload,
        permissions::Permissions,
    },
};

/// Minutes without a message after which Discord puts a thread away.
const AUTO_ARCHIVE_MIN: [u64; 4] = [60, 1440, 4320, 10_080];

/// Opens a thread that belongs to no message.
pub(crate) async fn create(
    _: Bot,
    path: web::Path<Id>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let parent = path.into_inner();
    discord.with(|inner| {
        let (_, channel) = Access::of(&inner.world).channel(parent)?;
        let mut form = Form::new(&body);
        let (name, auto_archive_min) = read_name_and_archive(&mut form);
        // Discord's default is the private one.
        let number = form.number("type", 10..=12).value().unwrap_or(12);
        form.finish()?;
        let kind = match (number, channel.kind) {
            (12, ChannelKind::Text) => ChannelKind::PrivateThread,
            (11, ChannelKind::Text) => ChannelKind::PublicThread,
            (10, ChannelKind::Announcement) => ChannelKind::AnnouncementThread,
            _ => return Err(ApiError::WRONG_CHANNEL_TYPE),
        };
        let needed = match kind {
            ChannelKind::PrivateThread => Permissions::CREATE_PRIVATE_THREADS,
            _ => Permissions::CREATE_PUBLIC_THREADS,
        };
        let owner = inner.world.application.bot;
        open(
            inner,
            parent,
            needed,
            ThreadDraft { name, kind, owner, auto_archive_min, message: None },
            reason,
        )
    })
}

/// Opens a thread from a message, whose id it takes.
pub(crate) async fn create_from_message(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Body(body): Body,
    Reason(reason): Reason,
    discord: web::Data<Discord>,
) -> Answer {
    let (parent, message) = path.into_inner();
    discord.with(|inner| {
        let (_, channel) = Access::of(&inner.world).channel(parent)?;
        let mut form = Form::new(&body);
        let (name, auto_archive_min) = read_name_and_archive(&mut form);
        form.finish()?;
        let kind = match channel.kind {
            ChannelKind::Text => ChannelKind::PublicThread,
            ChannelKind::Announcement => ChannelKind::AnnouncementThread,
            _ => return Err(ApiError::WRONG_CHANNEL_TYPE),
        };
        if channel.message(message).ok_or(ApiError::UNKNOWN_MESSAGE)?.thread.is_some() {
            return Err(ApiError::THREAD_EXISTS);
        }
        let owner = inner.world.application.bot;
        let draft = ThreadDraft { name, kind, owner, auto_archive_min, message: Some(message) };
        open(inner, parent, Permissions::CREATE_PUBLIC_THREADS, draft, reason)
    })
}

/// PUT adds, DELETE takes out; the bot itself is `@me`.
pub(crate) async fn set_member(
    _: Bot,
    path: web::Path<(Id, String)>,
    request: actix_web::HttpRequest,
    discord: web::Data<Discord>,
) -> Answer {
    let (id, who) = path.into_inner();
    let inside = request.method() == "PUT";
    discord.with(|inner| {
        let bot = inner.world.application.bot;
        let user = if who == "@me" { bot } else { who.parse().map_err(|()| ApiError::UNKNOWN_USER)? };
        let access = Access::of(&inner.world);
        let (guild, channel) = access.channel(id)?;
        let thread = channel.thread.as_ref().ok_or(ApiError::WRONG_CHANNEL_TYPE)?;
        if thread.archived {
            return Err(ApiError::THREAD_ARCHIVED);
        }
        guild.members.get(&user).ok_or(ApiError::UNKNOWN_MEMBER)?;
        let needed = match (inside, user == bot) {
            (_, true) => Permissions::NONE,
            (true, false) => Permissions::SEND_MESSAGES_IN_THREADS,
            (false, false) => Permissions::MANAGE_THREADS,
        };
        access.channel_with(id, needed)?;
        inner.world.set_thread_member(id, user, inside);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn members(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let (_, channel) = Access::of(&inner.world).channel(path.into_inner())?;
        let thread = channel.thread.as_ref().ok_or(ApiError::WRONG_CHANNEL_TYPE)?;
        let members = thread.members.iter();
        let shown: Vec<Value> =
            members.map(|(user, joined)| payload::thread_member(channel.id, *user, *joined)).collect();
        Ok(HttpResponse::Ok().json(shown))
    })
}

/// The active threads that the bot can see.
pub(crate) async fn list_active(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let guild = access.guild(path.into_inner())?;
        let active = guild.channels.values().filter(|channel| {
            channel.thread.as_ref().is_some_and(|thread| !thread.archived)
                && access.granted(channel.id).contains(Permissions::VIEW_CHANNEL)
        });
        let shown: Vec<Value> = active.map(|thread| payload::channel(guild.id, thread)).collect();
        Ok(HttpResponse::Ok().json(json!({ "threads": shown, "members": [] })))
    })
}

/// What an edit makes of a thread.
pub(super) fn read_edit(
    body: &Map<String, Value>,
    world: &World,
    channel: &Channel,
) -> Result<Channel, ApiError> {
    let mut form = Form::new(body);
    let mut changed = channel.clone();
    if let Field::Value(name) = form.text("name", 1..=100) {
        changed.name = name.to_owned();
    }
    if let Some(seconds) = form.number("rate_limit_per_user", 0..=21_600).change() {
        changed.slow_mode_s = seconds.unwrap_or(0) as u32;
    }
    let archived = form.boolean("archived").value();
    let locked = form.boolean("locked").value();
    let auto_archive_min = read_archive(&mut form);
    form.finish()?;
    let Some(thread) = &mut changed.thread else { return Err(ApiError::WRONG_CHANNEL_TYPE) };
    let own = thread.owner == world.application.bot && locked.is_none();
    if !own && !Access::of(world).granted(channel.id).contains(Permissions::MANAGE_THREADS) {
        return Err(ApiError::MISSING_PERMISSIONS);
    }
    if thread.archived && archived != Some(false) {
        return Err(ApiError::THREAD_ARCHIVED);
    }
    thread.archived = archived.unwrap_or(thread.archived);
    thread.locked = locked.unwrap_or(thread.locked);
    thread.auto_archive_min = auto_archive_min.unwrap_or(thread.auto_archive_min);
    if archived.is_some() {
        thread.archive_changed = Timestamp::now();
    }
    Ok(changed)
}

fn open(
    inner: &mut Inner,
    parent: Id,
    needed: Permissions,
    draft: ThreadDraft,
    reason: Option<String>,
) -> Answer {
    let (guild, _) = Access::of(&inner.world).channel_with(parent, needed)?;
    let guild = guild.id;
    let id = inner.world.create_thread(parent, draft).ok_or(ApiError::UNKNOWN_CHANNEL)?;
    inner.world.audit(guild, audit::THREAD_CREATE, id, reason);
    let (_, thread) = inner.world.channel(id).ok_or(ApiError::UNKNOWN_CHANNEL)?;
    Ok(HttpResponse::Created().json(payload::channel(guild, thread)))
}

fn read_name_and_archive(form: &mut Form<'_>) -> (String, u32) {
    let name = form.text("name", 1..=100);
    let name = form.required("name", name).unwrap_or_default().to_owned();
    (name, read_archive(form).unwrap_or(1440))
}

fn read_archive(form: &mut Form<'_>) -> Option<u32> {
    let minutes = form.number("auto_archive_duration", 0..=u64::from(u32::MAX)).value()?;
    if !AUTO_ARCHIVE_MIN.contains(&minutes) {
        let message = "Value must be one of {60, 1440, 4320, 10080}.".to_owned();
        form.fail("auto_archive_duration", "BASE_TYPE_CHOICES", message);
    }
    Some(minutes as u32)
}
