//! `GET /api/guilds`: what the signed-in user's guilds are called, and the channels they can view.

use std::time::Duration;

use actix::clock::timeout;
use actix_web::{HttpResponse, web};
use guildstream_actors::{
    guild_info::{ChannelInfo, GuildInfo},
    permissions::Permissions,
    snowflake::{ChannelId, GuildId, RoleId},
    sse_broker::{GuildsOf, VisibleGuilds},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    error::{ApiError, Refusal},
    rate_limits::Who,
    web::WebState,
};
use crate::auth::signed_in::SignedIn;

/// The gateway answers in milliseconds, unless it has to look the user up at Discord first.
const PATIENCE: Duration = Duration::from_secs(5);

/// Discord's [types](https://docs.discord.com/developers/resources/channel#channel-object-channel-types) of channels that
/// messages are written in, threads apart: text, voice, announcement, stage.
const HOLDING_MESSAGES: [u64; 4] = [0, 2, 5, 13];
/// Those that people sit in: voice, stage.
const HOLDING_PEOPLE: [u64; 2] = [2, 13];

/// The guilds of this service that the user is in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GuildList<'a> {
    guilds: Vec<VisibleGuild<'a>>,
}

/// One of the guilds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VisibleGuild<'a> {
    #[schema(value_type = String)]
    id: GuildId,
    /// Null when Discord never said.
    #[schema(required)]
    name: Option<&'a str>,
    /// An address, or null.
    #[schema(required)]
    icon: Option<&'a str>,
    /// What the user may do in the guild at large: Discord's bits as a decimal string.
    #[schema(value_type = String)]
    permissions: Permissions,
    /// The channels and categories the user can view, by position.
    channels: Vec<VisibleChannel<'a>>,
    /// Every role, to show mentions by name.
    roles: Vec<RoleName<'a>>,
}

/// A channel or category that the user can view.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VisibleChannel<'a> {
    #[schema(value_type = String)]
    id: ChannelId,
    /// Null when Discord never said.
    #[schema(required)]
    name: Option<&'a str>,
    /// Discord's channel type: 0 is text, 2 voice, 4 a category.
    #[schema(required)]
    r#type: Option<u64>,
    /// The category, also one that the user cannot view.
    #[schema(required, value_type = Option<String>)]
    parent_id: Option<ChannelId>,
    position: i64,
    /// What the user may do here: Discord's bits as a decimal string.
    #[schema(value_type = String)]
    permissions: Permissions,
    /// Whether the user may write messages here.
    can_send: bool,
    /// Whether the user may join the voice here.
    can_connect: bool,
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
struct RoleName<'a> {
    #[schema(value_type = String)]
    id: RoleId,
    name: &'a str,
}

/// The user's guilds and the channels they can view now. Never older than the last event their stream has had.
#[utoipa::path(get, path = "/api/guilds", operation_id = "guilds", tag = "session", security(("session" = [])), responses(
    (status = 200, body = GuildList),
    (status = 401, body = Refusal, description = "no session"),
    (status = 429, body = Refusal, description = "too many; Retry-After says when to come back"),
    (status = 503, body = Refusal, description = "the gateway cannot say now"),
))]
pub(super) async fn list(signed_in: SignedIn, state: web::Data<WebState>) -> Result<HttpResponse, ApiError> {
    let user = signed_in.user.id;
    state.rates.page.take(Who::User(user))?;
    let own = signed_in.guild_ids();
    if own.is_empty() {
        return Ok(HttpResponse::Ok().json(GuildList { guilds: Vec::new() }));
    }
    let asked = timeout(PATIENCE, state.broker.send(GuildsOf { user })).await;
    let Ok(Ok(Some(VisibleGuilds { guilds, access }))) = asked else {
        let message = "the gateway cannot say what your guilds hold: try again soon";
        return Err(ApiError::Unavailable(message.to_owned()));
    };
    // A guild the user came into after the sign-in is not in the session, and its events are not in their streams.
    let shown = guilds.iter().filter(|guild| own.contains(&guild.id));
    let guilds = shown.filter_map(|guild| {
        let permissions = access.guild_permissions(guild.id)?;
        let channels = guild.channels.iter().filter_map(|channel| {
            let held = access.channel_permissions(guild.id, channel.id)?;
            Some(VisibleChannel::new(channel, held))
        });
        Some(VisibleGuild::new(guild, permissions, channels.collect()))
    });
    Ok(HttpResponse::Ok().json(GuildList { guilds: guilds.collect() }))
}

impl<'a> VisibleGuild<'a> {
    fn new(guild: &'a GuildInfo, permissions: Permissions, channels: Vec<VisibleChannel<'a>>) -> Self {
        let roles = guild.roles.iter().map(|role| RoleName { id: role.id, name: &role.name });
        Self {
            id: guild.id,
            name: guild.name.as_deref(),
            icon: guild.icon.as_deref(),
            permissions,
            channels,
            roles: roles.collect(),
        }
    }
}

impl<'a> VisibleChannel<'a> {
    fn new(channel: &'a ChannelInfo, permissions: Permissions) -> Self {
        let is_one_of = |kinds: &[u64]| channel.kind.is_some_and(|kind| kinds.contains(&kind));
        let is_room = is_one_of(&HOLDING_PEOPLE);
        // In a voice channel that one may not join one may not write either.
        let writing = if is_room {
            Permissions::SEND_MESSAGES | Permissions::CONNECT
        } else {
            Permissions::SEND_MESSAGES
        };
        Self {
            id: channel.id,
            name: channel.name.as_deref(),
            r#type: channel.kind,
            parent_id: channel.parent_id,
            position: channel.position,
            permissions,
            can_send: is_one_of(&HOLDING_MESSAGES) && permissions.contains(writing),
            can_connect: is_room && permissions.contains(Permissions::CONNECT),
        }
    }
}
