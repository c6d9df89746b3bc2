//! Reactions under messages.
//!
//! <https://discord.com/developers/docs/resources/message#create-reaction>

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::{Answer, access::Access, caller::Bot, error::ApiError};
use crate::{
    discord::Discord,
    world::{World, guild::Guild, id::Id, message::ReactionEmoji, permissions::Permissions, user::User},
};

/// Different emoji that a message can carry.
const REACTIONS: usize = 20;

#[derive(Deserialize)]
pub(crate) struct Page {
    after: Option<Id>,
    limit: Option<usize>,
}

pub(crate) async fn add(_: Bot, path: web::Path<(Id, Id, String)>, discord: web::Data<Discord>) -> Answer {
    let (channel, id, emoji) = path.into_inner();
    discord.with(|inner| {
        let access = Access::of(&inner.world);
        let (guild, place) = access.channel_with(channel, Permissions::READ_MESSAGE_HISTORY)?;
        let message = place.message(id).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        let emoji = read_emoji(guild, &emoji)?;
        let is_new = !message.reactions.iter().any(|entry| entry.emoji == emoji);
        // Joining a reaction needs no permission, starting one does.
        if is_new && !access.granted(channel).contains(Permissions::ADD_REACTIONS) {
            return Err(ApiError::MISSING_PERMISSIONS);
        }
        if is_new && message.reactions.len() >= REACTIONS {
            return Err(ApiError::TOO_MANY_REACTIONS);
        }
        let bot = inner.world.application.bot;
        inner.world.react(channel, id, bot, &emoji);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn remove_own(
    _: Bot,
    path: web::Path<(Id, Id, String)>,
    discord: web::Data<Discord>,
) -> Answer {
    let (channel, id, emoji) = path.into_inner();
    discord.with(|inner| {
        let bot = inner.world.application.bot;
        let emoji = find(&inner.world, channel, id, &emoji, Permissions::NONE)?;
        inner.world.unreact(channel, id, bot, &emoji);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn remove(
    _: Bot,
    path: web::Path<(Id, Id, String, Id)>,
    discord: web::Data<Discord>,
) -> Answer {
    let (channel, id, emoji, user) = path.into_inner();
    discord.with(|inner| {
        let needed = if user == inner.world.application.bot {
            Permissions::NONE
        } else {
            Permissions::MANAGE_MESSAGES
        };
        let emoji = find(&inner.world, channel, id, &emoji, needed)?;
        inner.world.unreact(channel, id, user, &emoji);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn list(
    _: Bot,
    path: web::Path<(Id, Id, String)>,
    page: web::Query<Page>,
    discord: web::Data<Discord>,
) -> Answer {
    let (channel, id, emoji) = path.into_inner();
    discord.with(|inner| {
        let emoji = find(&inner.world, channel, id, &emoji, Permissions::NONE)?;
        let (_, place) = Access::of(&inner.world).channel(channel)?;
        let message = place.message(id).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        let mut users: Vec<Id> = message
            .reactions
            .iter()
            .find(|entry| entry.emoji == emoji)
            .map(|entry| entry.users.clone())
            .unwrap_or_default();
        users.sort_unstable();
        let shown: Vec<_> = users
            .iter()
            .filter(|user| page.after.is_none_or(|after| **user > after))
            .filter_map(|user| inner.world.users.get(user))
            .take(page.limit.unwrap_or(25).clamp(1, 100))
            .map(User::payload)
            .collect();
        Ok(HttpResponse::Ok().json(shown))
    })
}

pub(crate) async fn clear(_: Bot, path: web::Path<(Id, Id)>, discord: web::Data<Discord>) -> Answer {
    let (channel, id) = path.into_inner();
    discord.with(|inner| {
        let (_, place) = Access::of(&inner.world).channel_with(channel, Permissions::MANAGE_MESSAGES)?;
        place.message(id).ok_or(ApiError::UNKNOWN_MESSAGE)?;
        inner.world.clear_reactions(channel, id, None);
        Ok(HttpResponse::NoContent().finish())
    })
}

pub(crate) async fn clear_emoji(
    _: Bot,
    path: web::Path<(Id, Id, String)>,
    discord: web::Data<Discord>,
) -> Answer {
    let (channel, id, emoji) = path.into_inner();
    discord.with(|inner| {
        let emoji = find(&inner.world, channel, id, &emoji, Permissions::MANAGE_MESSAGES)?;
        inner.world.clear_reactions(channel, id, Some(&emoji));
        Ok(HttpResponse::NoContent().finish())
    })
}

/// The emoji of a call about a message that the bot can see.
fn find(
    world: &World,
    channel: Id,
    message: Id,
    emoji: &str,
    needed: Permissions,
) -> Result<ReactionEmoji, ApiError> {
    let (guild, place) = Access::of(world).channel_with(channel, needed)?;
    place.message(message).ok_or(ApiError::UNKNOWN_MESSAGE)?;
    read_emoji(guild, emoji)
}

/// Reads `name:id` for a custom emoji or the character itself.
fn read_emoji(guild: &Guild, text: &str) -> Result<ReactionEmoji, ApiError> {
    match text.rsplit_once(':') {
        Some((_, id)) => {
            let id: Id = id.parse().map_err(|()| ApiError::UNKNOWN_EMOJI)?;
            let known = guild.emojis.iter().find(|emoji| emoji.id == id).ok_or(ApiError::UNKNOWN_EMOJI)?;
            Ok(ReactionEmoji { id: Some(id), name: known.name.clone() })
        }
        // No list of all emoji here: whatever is short and not plain text will do.
        None if !text.is_empty() && text.chars().count() <= 16 && !text.chars().all(char::is_alphabetic) => {
            Ok(ReactionEmoji { id: None, name: text.to_owned() })
        }
        None => Err(ApiError::UNKNOWN_EMOJI),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SandboxConfig;

    #[test]
    fn emoji_are_a_character_or_a_known_name_and_id() {
        let world = World::demo(&SandboxConfig::default());
        let guild = world.guilds.values().next().expect("the demo guild");
        for (text, known) in [
            ("👍", true),
            ("👍🏽", true),
            ("1️⃣", true),
            ("party:950000000000000001", true),
            ("renamed:950000000000000001", true),
            ("party:1", false),
            ("party:", false),
            ("thumbsup", false),
            ("", false),
        ] {
            assert_eq!(read_emoji(guild, text).is_ok(), known, "{text}");
        }
    }
}
