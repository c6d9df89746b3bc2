//! Pinned messages.
//!
//! <https://discord.com/developers/docs/resources/message#get-channel-pins>

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer,
    access::Access,
    caller::Bot,
    error::{self, ApiError},
    messages::shown,
};
use crate::{
    discord::Discord,
    world::{
        World,
        guild::Channel,
        id::{Id, Timestamp},
        message::Message,
        permissions::Permissions,
    },
};

/// Messages on a page at most.
const SHOWN: usize = 50;

#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<String>,
    limit: Option<usize>,
}

/// Pins a message with PUT and unpins it with DELETE.
pub(crate) async fn set(
    _: Bot,
    path: web::Path<(Id, Id)>,
    request: HttpRequest,
    discord: web::Data<Discord>,
) -> Answer {
    let (channel, id) = path.into_inner();
    discord.with(|inner| {
        let (_, place) = Access::of(&inner.world).channel_with(channel, Permissions::PIN_MESSAGES)?;
        place.message(id).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        inner.world.pin(channel, id, request.method() == "PUT");
        Ok(HttpResponse::NoContent().finish())
    })
}

/// A page of the pinned messages, the one that was pinned last first.
pub(crate) async fn list(
    _: Bot,
    path: web::Path<Id>,
    page: web::Query<Page>,
    discord: web::Data<Discord>,
) -> Answer {
    let limit = page.limit.unwrap_or(SHOWN);
    let before = page.before.as_deref().map(Timestamp::parse);
    if !(1..=SHOWN).contains(&limit) || before == Some(None) {
        return Err(error::invalid_path());
    }
    discord.with(|inner| {
        let (guild, channel) = Access::of(&inner.world).channel(path.into_inner())?;
        let mut pins = readable(&inner.world, channel)
            .filter(|message| before.flatten().is_none_or(|before| message.pinned < Some(before)));
        let items: Vec<Value> = pins
            .by_ref()
            .take(limit)
            .map(|message| json!({ "pinned_at": message.pinned, "message": shown(&inner.world, guild, message) }))
            .collect();
        Ok(HttpResponse::Ok().json(json!({ "items": items, "has_more": pins.next().is_some() })))
    })
}

/// The same as the older route answers it: bare messages, and no pages.
pub(crate) async fn list_bare(_: Bot, path: web::Path<Id>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let (guild, channel) = Access::of(&inner.world).channel(path.into_inner())?;
        let pins = readable(&inner.world, channel).take(SHOWN);
        let messages: Vec<Value> = pins.map(|message| shown(&inner.world, guild, message)).collect();
        Ok(HttpResponse::Ok().json(messages))
    })
}

/// Who may not read what was written before is shown no pins.
fn readable<'a>(world: &World, channel: &'a Channel) -> impl Iterator<Item = &'a Message> + use<'a> {
    let reads = Access::of(world).granted(channel.id).contains(Permissions::READ_MESSAGE_HISTORY);
    channel.pins().filter(move |_| reads)
}
