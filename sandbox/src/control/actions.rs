//! The control routes: HTTP in, a turn with the sandbox, JSON out.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::{ControlError, Posted};
use crate::{
    discord::{Discord, Inner},
    gateway::intents,
    life::faults::Fault,
    world::{
        SelfState, World,
        id::Id,
        message::{MessageBody, mentioned},
    },
};

/// The largest body of dispatches: 32 MiB.
const DISPATCH_BYTES: usize = 32 * 1024 * 1024;
/// The largest body of any other control call.
const CONTROL_BYTES: usize = 64 * 1024;

/// Where a member shall sit, and how. What is not named stays.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VoiceBody {
    #[serde(default, deserialize_with = "present")]
    channel_id: Option<Option<Id>>,
    self_mute: Option<bool>,
    self_deaf: Option<bool>,
    self_video: Option<bool>,
    self_stream: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessagePost {
    channel_id: Id,
    content: String,
}

/// What the developer portal would be used for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ApplicationBody {
    privileged_intents: Option<Vec<String>>,
    shards: Option<u64>,
}

pub(super) async fn show_state(discord: web::Data<Discord>) -> HttpResponse {
    HttpResponse::Ok().json(discord.with(|inner| super::state(inner)))
}

pub(super) async fn dispatch(
    body: web::Payload,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ControlError> {
    let text = read_text(body, DISPATCH_BYTES).await?;
    let posted = Posted::parse(&text).map_err(|error| ControlError::bad_request(error.to_string()))?;
    let sessions = discord.with(|inner| inner.publish(&posted));
    Ok(HttpResponse::Ok().json(json!({ "dispatched": posted.events.len(), "sessions": sessions })))
}

pub(super) async fn fault(
    body: web::Payload,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ControlError> {
    let fault: Fault = read_json(body).await?;
    discord.with(|inner| inner.begin(&fault)).map_err(ControlError::bad_request)?;
    Ok(HttpResponse::Ok().json(json!({ "fault": fault })))
}

pub(super) async fn application(
    body: web::Payload,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ControlError> {
    let ApplicationBody { privileged_intents, shards } = read_json(body).await?;
    let mut bits = None;
    for name in privileged_intents.iter().flatten() {
        let known = intents::PRIVILEGED_NAMES.iter().find(|(known, _)| known == name);
        let (_, bit) = known.ok_or_else(|| {
            ControlError::bad_request(format!(
                "{name:?} is no privileged intent, use GUILD_MEMBERS, GUILD_PRESENCES or MESSAGE_CONTENT"
            ))
        })?;
        bits = Some(bits.unwrap_or(0) | bit);
    }
    discord.with(|inner| {
        let application = &mut inner.world.application;
        if privileged_intents.is_some() {
            application.privileged_intents = bits.unwrap_or(0);
        }
        application.shards = shards.unwrap_or(application.shards).max(1);
    });
    Ok(HttpResponse::Ok().json(discord.with(|inner| super::state(inner)["application"].take())))
}

pub(super) async fn move_member(
    path: web::Path<String>,
    body: web::Payload,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ControlError> {
    let VoiceBody { channel_id, self_mute, self_deaf, self_video, self_stream } = read_json(body).await?;
    let user = read_id(&path)?;
    discord.with(|inner| {
        let change = SelfState { mute: self_mute, deaf: self_deaf, video: self_video, stream: self_stream };
        inner.seat(user, channel_id, change)
    })?;
    Ok(HttpResponse::Ok().json(json!({ "userId": user, "channelId": channel_id.flatten() })))
}

/// A user joins the guild, as by an invite.
pub(super) async fn join(
    path: web::Path<String>,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ControlError> {
    come_or_go(&path, &discord, World::add_member, "is a member already, is banned, or does not exist")
}

/// A member leaves the guild of their own accord.
pub(super) async fn leave(
    path: web::Path<String>,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ControlError> {
    come_or_go(&path, &discord, World::remove_member, "is not a member")
}

fn come_or_go(
    user: &str,
    discord: &Discord,
    deed: impl FnOnce(&mut World, Id, Id) -> bool,
    refusal: &str,
) -> Result<HttpResponse, ControlError> {
    let user = read_id(user)?;
    let done = discord.with(|inner| {
        if user == inner.world.application.bot {
            return Err(ControlError::bad_request(
                "the bot stays in its guild, dispatch GUILD_DELETE instead",
            ));
        }
        // One guild is all there is.
        let guild = inner.world.guilds.keys().next().copied();
        Ok(guild.is_some_and(|guild| deed(&mut inner.world, guild, user)))
    })?;
    if done {
        Ok(HttpResponse::Ok().json(json!({ "userId": user })))
    } else {
        Err(ControlError::bad_request(format!("user {user} {refusal}")))
    }
}

pub(super) async fn post_message(
    path: web::Path<String>,
    body: web::Payload,
    discord: web::Data<Discord>,
) -> Result<HttpResponse, ControlError> {
    let MessagePost { channel_id, content } = read_json(body).await?;
    let user = read_id(&path)?;
    let id = discord.with(|inner| inner.write_as(user, channel_id, content))?;
    Ok(HttpResponse::Ok().json(json!({ "id": id })))
}

impl Inner {
    /// Dispatches posted events to every session; the answer is how many there are.
    pub(crate) fn publish(&mut self, posted: &Posted) -> usize {
        for (name, data) in &posted.events {
            self.hub.publish_raw(name, data);
        }
        self.hub.sessions.len()
    }

    /// Lets a fault happen, if there is such a fault.
    pub(crate) fn begin(&mut self, fault: &Fault) -> Result<(), String> {
        fault.check()?;
        self.faults.begin(fault, &mut self.hub);
        Ok(())
    }

    /// Moves a member, and sets what they would set themselves.
    pub(crate) fn seat(
        &mut self,
        user: Id,
        channel: Option<Option<Id>>,
        change: SelfState,
    ) -> Result<(), ControlError> {
        let guild = match channel.flatten() {
            Some(id) => {
                let (guild, place) = self
                    .world
                    .channel(id)
                    .ok_or_else(|| ControlError::not_found(format!("channel {id} does not exist")))?;
                if !place.kind.is_voice() {
                    return Err(ControlError::bad_request(format!("channel {id} is no voice channel")));
                }
                Some(guild)
            }
            None => self.world.guilds.values().find(|guild| guild.members.contains_key(&user)),
        };
        let guild = guild
            .filter(|guild| guild.members.contains_key(&user))
            .map(|guild| guild.id)
            .ok_or_else(|| ControlError::not_found(format!("user {user} is not a member of that guild")))?;
        match channel {
            Some(Some(channel)) => self.world.seat(guild, user, channel, change),
            Some(None) => self.world.set_voice(guild, user, None),
            None => self.world.set_self(guild, user, change),
        };
        Ok(())
    }

    /// Writes a message as anybody.
    pub(crate) fn write_as(&mut self, user: Id, channel: Id, content: String) -> Result<Id, ControlError> {
        if !self.world.users.contains_key(&user) {
            return Err(ControlError::not_found(format!("user {user} does not exist")));
        }
        let place = self.world.channel(channel).map(|(_, place)| place);
        if !place.is_some_and(|place| place.kind.has_messages()) {
            return Err(ControlError::not_found(format!(
                "channel {channel} does not exist or takes no messages"
            )));
        }
        let mentions = mentioned(&content, "<@").filter(|id| self.world.users.contains_key(id)).collect();
        let body = MessageBody { content, mentions, ..MessageBody::default() };
        let message = self.world.post(channel, user, body);
        message.map(|message| message.id).ok_or_else(|| ControlError::not_found("the channel is gone"))
    }
}

async fn read_json<T: DeserializeOwned>(body: web::Payload) -> Result<T, ControlError> {
    let text = read_text(body, CONTROL_BYTES).await?;
    serde_json::from_str(&text)
        .map_err(|error| ControlError::bad_request(format!("the body is not understood: {error}")))
}

async fn read_text(body: web::Payload, limit: usize) -> Result<String, ControlError> {
    let bytes = body
        .to_bytes_limited(limit)
        .await
        .map_err(|_| ControlError::too_large(format!("the body is larger than {limit} bytes")))?
        .map_err(|error| ControlError::bad_request(format!("the body could not be read: {error}")))?;
    String::from_utf8(bytes.into()).map_err(|_| ControlError::bad_request("the body is not UTF-8"))
}

fn read_id(text: &str) -> Result<Id, ControlError> {
    text.parse().map_err(|()| ControlError::bad_request(format!("{text:?} is no user id")))
}

/// Tells null from missing.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Id>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
