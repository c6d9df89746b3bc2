//! Commands: what a browser's user, or the web role itself, may have done in Discord. Each is prepared against the
//! guild model (parsed, allowed or refused) and then executed as one REST call whose raw answer is the ack's data.

use std::{sync::Arc, time::SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;
use serenity::{
    all::{CreateAllowedMentions, CreateMessage, MessageReference},
    http::{Http, HttpError, LightMethod, Request, Route},
};

use crate::{
    guild_model::GuildModel,
    link_frame::{Command, Refusal, raw},
    permissions::Permissions,
    snowflake::{ChannelId, GuildId},
};

/// A command that was allowed: one REST call.
#[derive(Debug)]
pub struct Call {
    route: Route<'static>,
    method: LightMethod,
    body: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendMessage {
    #[serde(alias = "channel_id")]
    channel_id: ChannelId,
    content: String,
    #[serde(default, alias = "reply_to")]
    reply_to: Option<u64>,
}

/// Parses a command and decides whether it may be done.
///
/// # Errors
///
/// A [`Refusal`] with `UNKNOWN_COMMAND`, `INVALID`, `FORBIDDEN` (not a configured guild) or `MISSING_PERMISSIONS`.
pub fn prepare(command: &Command, model: &GuildModel, guilds: &[GuildId]) -> Result<Call, Refusal> {
    match command.command.as_str() {
        "send_message" => send_message(command, model, guilds),
        other => Err(Refusal::new("UNKNOWN_COMMAND", format!("there is no command {other:?}"))),
    }
}

fn send_message(command: &Command, model: &GuildModel, guilds: &[GuildId]) -> Result<Call, Refusal> {
    let message: SendMessage = parse(command)?;
    if message.content.trim().is_empty() {
        return Err(Refusal::new("INVALID", "send_message wants content that is not empty"));
    }
    let needs = Permissions(Permissions::VIEW_CHANNEL.0 | Permissions::SEND_MESSAGES.0);
    allow(command, model, guilds, message.channel_id, needs)?;
    // No one is mentioned unless it was asked for.
    let mut body =
        CreateMessage::new().content(message.content).allowed_mentions(CreateAllowedMentions::new());
    if let Some(reply_to) = message.reply_to {
        let channel = serenity::all::ChannelId::new(message.channel_id.0.max(1));
        body = body.reference_message(MessageReference::from((channel, reply_to.max(1).into())));
    }
    Ok(Call {
        route: Route::ChannelMessages { channel_id: message.channel_id.0.max(1).into() },
        method: LightMethod::Post,
        body: Some(raw(&body).get().as_bytes().to_vec()),
    })
}

fn parse<'a, T: Deserialize<'a>>(command: &'a Command) -> Result<T, Refusal> {
    serde_json::from_str(command.payload.get())
        .map_err(|error| Refusal::new("INVALID", format!("{}: {error}", command.command)))
}

/// Whether the command's user may do what `needs` says in a channel of a configured guild. Without a user the bot's
/// own rights decide, which Discord checks.
fn allow(
    command: &Command,
    model: &GuildModel,
    guilds: &[GuildId],
    channel: ChannelId,
    needs: Permissions,
) -> Result<(), Refusal> {
    let guild = model.guild_of_channel(channel).filter(|guild| guilds.contains(guild));
    let Some(guild) = guild else {
        return Err(Refusal::new(
            "FORBIDDEN",
            format!("channel {channel} is not in a guild of this service"),
        ));
    };
    let Some(user) = command.actor else { return Ok(()) };
    let held = model.channel_permissions(guild, channel, user, SystemTime::now()).unwrap_or_default();
    if held.0 & needs.0 == needs.0 {
        Ok(())
    } else {
        Err(Refusal::new("MISSING_PERMISSIONS", format!("you may not do this in channel {channel}")))
    }
}

/// Executes a call; the answer is Discord's own. A 2xx is a success whatever its body says.
///
/// # Errors
///
/// `DISCORD_ERROR` with Discord's status, code and message; `RATE_LIMITED`; `OUTCOME_UNKNOWN` when the answer was lost.
pub async fn execute(http: Arc<Http>, call: Call) -> Result<Box<RawValue>, Refusal> {
    let request = Request::new(call.route, call.method).body(call.body);
    match http.request(request).await {
        Ok(response) => {
            let body = response.text().await.unwrap_or_default();
            Ok(RawValue::from_string(body).unwrap_or_else(|_| RawValue::NULL.to_owned()))
        }
        Err(serenity::Error::Http(HttpError::UnsuccessfulRequest(refusal))) => {
            let status = refusal.status_code.as_u16();
            let mut answer = if status == 429 {
                Refusal::new("RATE_LIMITED", "Discord limits how often this may be done")
            } else {
                Refusal::new("DISCORD_ERROR", format!("Discord refused: {}", refusal.error.message))
            };
            answer.discord = Some(raw(&serde_json::json!({
                "status": status, "code": refusal.error.code, "message": refusal.error.message,
            })));
            Err(answer)
        }
        Err(error) => Err(Refusal::new("OUTCOME_UNKNOWN", format!("Discord's answer was lost: {error}"))),
    }
}
