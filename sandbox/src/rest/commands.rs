//! Application commands: kept as they are registered, since many libraries do that as they start.
//!
//! <https://discord.com/developers/docs/interactions/application-commands>

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer,
    access::Access,
    body::{Body, BodyList},
    caller::Bot,
    error::ApiError,
    form::Form,
};
use crate::{
    discord::{Discord, Inner},
    world::{Command, World, id::Id},
};

/// The most commands an application can have in one place.
const COMMANDS: usize = 100;

/// What a path names: always the application, in some the guild or the command.
#[derive(Deserialize)]
pub(crate) struct Segments {
    application: Id,
    guild: Option<Id>,
    command: Option<Id>,
}

pub(crate) async fn list(_: Bot, path: web::Path<Segments>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        let guild = place(&inner.world, &path)?;
        let commands = inner.world.application.commands.iter().filter(|command| command.guild == guild);
        Ok(HttpResponse::Ok().json(commands.map(|command| shown(&inner.world, command)).collect::<Vec<_>>()))
    })
}

/// Registers a command, or replaces the one of that name.
pub(crate) async fn create(
    _: Bot,
    path: web::Path<Segments>,
    Body(body): Body,
    discord: web::Data<Discord>,
) -> Answer {
    discord.with(|inner| {
        let guild = place(&inner.world, &path)?;
        check(&body)?;
        let is_new = !inner.world.application.commands.iter().any(|known| known.is_twin(guild, &body));
        let command = register(inner, guild, body);
        let mut answer = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
        Ok(answer.json(shown(&inner.world, &command)))
    })
}

/// Registers these commands and forgets all others of that place.
pub(crate) async fn replace(
    _: Bot,
    path: web::Path<Segments>,
    BodyList(list): BodyList,
    discord: web::Data<Discord>,
) -> Answer {
    discord.with(|inner| {
        let guild = place(&inner.world, &path)?;
        if list.len() > COMMANDS {
            return Err(ApiError::TOO_MANY_COMMANDS);
        }
        list.iter().try_for_each(check)?;
        let kept =
            |known: &Command| known.guild != guild || list.iter().any(|body| known.is_twin(guild, body));
        inner.world.application.commands.retain(kept);
        let commands: Vec<Command> = list.into_iter().map(|body| register(inner, guild, body)).collect();
        Ok(HttpResponse::Ok()
            .json(commands.iter().map(|command| shown(&inner.world, command)).collect::<Vec<_>>()))
    })
}

pub(crate) async fn get(_: Bot, path: web::Path<Segments>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        place(&inner.world, &path)?;
        let command =
            inner.world.application.commands.iter().find(|command| Some(command.id) == path.command);
        Ok(HttpResponse::Ok().json(shown(&inner.world, command.ok_or(ApiError::UNKNOWN_COMMAND)?)))
    })
}

pub(crate) async fn delete(_: Bot, path: web::Path<Segments>, discord: web::Data<Discord>) -> Answer {
    discord.with(|inner| {
        place(&inner.world, &path)?;
        let commands = &mut inner.world.application.commands;
        let at = commands
            .iter()
            .position(|command| Some(command.id) == path.command)
            .ok_or(ApiError::UNKNOWN_COMMAND)?;
        commands.remove(at);
        Ok(HttpResponse::NoContent().finish())
    })
}

/// The guild that a path is about, if it names one.
fn place(world: &World, path: &Segments) -> Result<Option<Id>, ApiError> {
    if path.application != world.application.id {
        return Err(ApiError::UNKNOWN_APPLICATION);
    }
    path.guild.map(|guild| Access::of(world).guild(guild).map(|guild| guild.id)).transpose()
}

fn check(body: &Map<String, Value>) -> Result<(), ApiError> {
    let mut form = Form::new(body);
    let name = form.text("name", 1..=32);
    form.required("name", name);
    form.text("description", 0..=100);
    form.number("type", 1..=4);
    form.list("options", 25);
    form.finish()
}

fn register(inner: &mut Inner, guild: Option<Id>, definition: Map<String, Value>) -> Command {
    let id = inner.world.new_id();
    let commands = &mut inner.world.application.commands;
    if let Some(known) = commands.iter_mut().find(|known| known.is_twin(guild, &definition)) {
        known.definition = definition;
        return known.clone();
    }
    let command = Command { id, guild, definition };
    commands.push(command.clone());
    command
}

fn shown(world: &World, command: &Command) -> Value {
    let mut payload = json!({
        "type": 1,
        "description": "",
        "options": [],
        "default_member_permissions": null,
        "nsfw": false,
        "integration_types": [0],
        "contexts": null,
    });
    for (key, value) in &command.definition {
        payload[key] = value.clone();
    }
    payload["id"] = json!(command.id);
    payload["version"] = json!(command.id);
    payload["application_id"] = json!(world.application.id);
    if let Some(guild) = command.guild {
        payload["guild_id"] = json!(guild);
    }
    payload
}

impl Command {
    /// True when registering `other` in `guild` would replace this one: same place, name and type.
    fn is_twin(&self, guild: Option<Id>, other: &Map<String, Value>) -> bool {
        let kind =
            |definition: &Map<String, Value>| definition.get("type").and_then(Value::as_u64).unwrap_or(1);
        self.guild == guild
            && self.definition.get("name") == other.get("name")
            && kind(&self.definition) == kind(other)
    }
}
