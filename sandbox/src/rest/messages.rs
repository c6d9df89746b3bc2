//! Messages and typing.
//!
//! <https://discord.com/developers/docs/resources/message>

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer,
    access::Access,
    body::Body,
    caller::Bot,
    draft::{self, Draft},
    error::ApiError,
    form::Form,
};
use crate::{
    discord::Discord,
    gateway::intents,
    world::{
        World,
        guild::{Channel, Guild},
        id::{Id, Timestamp},
        message::Message,
        payload,
        permissions::Permissions,
    },
};

/// Older messages cannot be deleted in bulk.
const BULK_WITHIN_MS: u64 = 14 * 24 * 60 * 60 * 1000;

#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<Id>,
    after: Option<Id>,
    around: Option<Id>,
    limit: Option<usize>,
}

pub(crate) async fn create(
    _: Bot,
    path: web::Path<Id>,
    Body(body): Body,
    discord: web::Data<Discord>,
) -> Answer {
    let channel = path.into_inner();
    discord.with(|inner| {
        let bot = inner.world.application.bot;
        let (guild, place) = Access::of(&inner.world).channel(channel)?;
        if !place.kind.has_messages() {
            return Err(ApiError::WRONG_CHANNEL_TYPE);
        }
        may_write(Access::of(&inner.world), place)?;
        let Draft { body, enforce_nonce } = draft::read(&body, &inner.world, guild, place)?;
        if let Some(nonce) = body.nonce.clone().filter(|_| enforce_nonce) {
            let twin = place.messages.iter().rev().find(|message| {
                message.author == bot && message.body.nonce.as_ref() == Some(&nonce) && is_recent(message)
            });
            if let Some(twin) = twin {
                return Ok(HttpResponse::Ok().json(shown(&inner.world, guild, twin)));
            }
        }
        let message = inner.world.post(channel, bot, body).ok_or(ApiError::UNKNOWN_CHANNEL)?;
        answer(&inner.world, &message)
    })
}

pub(crate) async fn get(_: Bot, path: web::Path<(Id, Id)>, discord: web::Data<Discord>) -> Answer {
    let (channel, id) = path.into_inner();
    discord.with(|inner| {
        let (guild, channel) =
            Access::of(&inner.world).channel_with(channel, Permissions::READ_MESSAGE_HISTORY)?;
        let message = channel.message(id).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        Ok(HttpResponse::Ok().json(shown(&inner.world, guild, message)))
    })
}

pub(crate) async fn list(
    _: Bot,
    path: web::Path<Id>,
    page: web::Query<Page>,
    discord: web::Data<Discord>,
) -> Answer {
    let limit = page.limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        let message = "int value should be between 1 and 100.";
        let error = json!({ "limit": { "_errors": [{ "code": "NUMBER_TYPE_RANGE", "message": message }] } });
        return Err(ApiError::invalid_form(error));
    }
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let (guild, channel) = access.channel(path.into_inner())?;
        if !access.granted(channel.id).contains(Permissions::READ_MESSAGE_HISTORY) {
            return Ok(HttpResponse::Ok().json(json!([])));
        }
        let page: Vec<Value> = page
            .select(channel, limit)
            .into_iter()
            .map(|message| shown(&inner.world, guild, message))
            .collect();
        Ok(HttpResponse::Ok().json(page))
    })
}

pub(crate) async fn edit(
    _: Bot,
    path: web::Path<(Id, Id)>,
    Body(body): Body,
    discord: web::Data<Discord>,
) -> Answer {
    let (channel, id) = path.into_inner();
    discord.with(|inner| {
        let bot = inner.world.application.bot;
        let access = Access::of(&inner.world);
        let (guild, place) = access.channel(channel)?;
        let message = place.message(id).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        if message.author != bot {
            // Of other people's messages only the embeds can be hidden.
            let only_flags = body.keys().all(|key| key == "flags");
            if !only_flags || !access.granted(channel).contains(Permissions::MANAGE_MESSAGES) {
                return Err(ApiError::NOT_YOUR_MESSAGE);
            }
        }
        let edited = draft::read_edit(&body, &inner.world, guild, place, &message.body)?;
        let message =
            inner.world.edit(channel, id, |body| *body = edited).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        answer(&inner.world, &message)
    })
}

pub(crate) async fn delete(_: Bot, path: web::Path<(Id, Id)>, discord: web::Data<Discord>) -> Answer {
    let (channel, id) = path.into_inner();
    discord.with(|inner| {
        let bot = inner.world.application.bot;
        let access = Access::of(&inner.world);
        let (_, place) = access.channel(channel)?;
        let message = place.message(id).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        if message.author != bot && !access.granted(channel).contains(Permissions::MANAGE_MESSAGES) {
            return Err(ApiError::MISSING_PERMISSIONS);
        }
        inner.world.delete(channel, &[id], false);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn delete_bulk(
    _: Bot,
    path: web::Path<Id>,
    Body(body): Body,
    discord: web::Data<Discord>,
) -> Answer {
    let ids = read_bulk(&body)?;
    let channel = path.into_inner();
    discord.with(|inner| {
        Access::of(&inner.world).channel_with(channel, Permissions::MANAGE_MESSAGES)?;
        let now = Timestamp::now().unix_ms();
        if ids.iter().any(|id| id.unix_ms() + BULK_WITHIN_MS < now) {
            return Err(ApiError::TOO_OLD_FOR_BULK);
        }
        inner.world.delete(channel, &ids, true);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn typing(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    let channel = path.into_inner();
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let (_, place) = access.channel(channel)?;
        if !place.kind.has_messages() {
            return Err(ApiError::WRONG_CHANNEL_TYPE);
        }
        may_write(access, place)?;
        let bot = inner.world.application.bot;
        inner.world.start_typing(channel, bot);
        Ok(HttpResponse::NoContent().finish())
    })
}

/// Writing needs another permission in threads.
fn may_write(access: Access<'_>, channel: &Channel) -> Result<(), ApiError> {
    let needed = match &channel.thread {
        Some(_) => Permissions::SEND_MESSAGES_IN_THREADS,
        None => Permissions::SEND_MESSAGES,
    };
    if !access.granted(channel.id).contains(needed) {
        return Err(ApiError::MISSING_PERMISSIONS);
    }
    match &channel.thread {
        Some(thread) if thread.archived && thread.locked => Err(ApiError::THREAD_ARCHIVED),
        _ => Ok(()),
    }
}

fn answer(world: &World, message: &Message) -> Answer {
    let guild = world.guild_of(message.channel).ok_or(ApiError::UNKNOWN_CHANNEL)?;
    Ok(HttpResponse::Ok().json(shown(world, guild, message)))
}

/// A message as this application may read it.
pub(super) fn shown(world: &World, guild: &Guild, message: &Message) -> Value {
    let mut payload = world.message_payload(guild, message);
    let may_read = world.application.privileged_intents & intents::MESSAGE_CONTENT != 0;
    if !may_read && !message.is_for(world.application.bot) {
        payload::redact(&mut payload, world.application.bot);
    }
    payload
}

/// Discord compares nonces of "the past few minutes".
fn is_recent(message: &Message) -> bool {
    Timestamp::now().unix_ms().saturating_sub(message.sent.unix_ms()) < 5 * 60 * 1000
}

fn read_bulk(body: &Map<String, Value>) -> Result<Vec<Id>, ApiError> {
    let mut form = Form::new(body);
    let ids = form.snowflakes("messages", 100);
    let ids = form.required("messages", ids).unwrap_or_default();
    if ids.len() < 2 {
        form.fail("messages", "BASE_TYPE_BAD_LENGTH", "Must be between 2 and 100 in length.".to_owned());
    }
    form.finish()?;
    Ok(ids)
}

impl Page {
    /// The messages a page shows, newest first.
    fn select<'a>(&self, channel: &'a Channel, limit: usize) -> Vec<&'a Message> {
        let all = &channel.messages;
        if let Some(after) = self.after {
            let mut shown: Vec<_> = all.iter().filter(|message| message.id > after).take(limit).collect();
            shown.reverse();
            return shown;
        }
        if let Some(around) = self.around {
            let newer = all.iter().filter(|message| message.id > around).take(limit / 2).collect::<Vec<_>>();
            let older = all.iter().rev().filter(|message| message.id <= around).take(limit - newer.len());
            return newer.into_iter().rev().chain(older).collect();
        }
        let before = self.before;
        all.iter()
            .rev()
            .filter(|message| before.is_none_or(|before| message.id < before))
            .take(limit)
            .collect()
    }
}
