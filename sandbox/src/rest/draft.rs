//! What a message may say: Discord's validation of content, embeds, mentions and replies.
//!
//! <https://discord.com/developers/docs/resources/message#create-message>

use serde_json::{Map, Value, json};

use super::{
    access::Access,
    error::ApiError,
    form::{Field, Form},
};
use crate::world::{
    World,
    guild::{Channel, Guild},
    id::Id,
    message::{MessageBody, mentioned},
    permissions::Permissions,
};

/// Characters that all embeds of a message may have together.
const EMBED_TOTAL: usize = 6000;
/// SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS and IS_COMPONENTS_V2: the flags that a bot may set.
const SETTABLE_FLAGS: u64 = 1 << 2 | 1 << 12 | 1 << 15;

/// A message that has passed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) body: MessageBody,
    pub(crate) enforce_nonce: bool,
}

/// Whom a message may ping.
///
/// <https://discord.com/developers/docs/resources/message#allowed-mentions-object>
#[derive(Clone, Debug)]
struct AllowedMentions {
    everyone: bool,
    all_roles: bool,
    all_users: bool,
    roles: Vec<Id>,
    users: Vec<Id>,
    replied_user: bool,
}

/// Reads a message to be created.
pub(crate) fn read(
    fields: &Map<String, Value>,
    world: &World,
    guild: &Guild,
    channel: &Channel,
) -> Result<Draft, ApiError> {
    let mut form = Form::new(fields);
    let mut body = MessageBody {
        tts: form.boolean("tts").value().unwrap_or(false),
        nonce: read_nonce(&mut form),
        ..MessageBody::default()
    };
    let enforce_nonce = form.boolean("enforce_nonce").value().unwrap_or(false);
    read_parts(&mut form, &mut body);
    body.reply_to = read_reply(&mut form, channel);
    let allowed = read_allowed_mentions(&mut form);
    form.finish()?;
    if body.is_empty() && form_has_nothing(fields) {
        return Err(ApiError::EMPTY_MESSAGE);
    }
    let granted = Access::of(world).granted(channel.id);
    if (body.tts && !granted.contains(Permissions::SEND_TTS_MESSAGES))
        || (!body.embeds.is_empty() && !granted.contains(Permissions::EMBED_LINKS))
        || (body.reply_to.is_some() && !granted.contains(Permissions::READ_MESSAGE_HISTORY))
    {
        return Err(ApiError::MISSING_PERMISSIONS);
    }
    ping(&mut body, &allowed, granted, guild, channel);
    Ok(Draft { body, enforce_nonce })
}

/// Reads what an edit makes of a message; what it does not name stays.
pub(crate) fn read_edit(
    fields: &Map<String, Value>,
    world: &World,
    guild: &Guild,
    channel: &Channel,
    before: &MessageBody,
) -> Result<MessageBody, ApiError> {
    let mut form = Form::new(fields);
    let mut body = before.clone();
    read_parts(&mut form, &mut body);
    let allowed = read_allowed_mentions(&mut form);
    form.finish()?;
    if body.is_empty() {
        return Err(ApiError::EMPTY_MESSAGE);
    }
    if fields.contains_key("content") {
        ping(&mut body, &allowed, Access::of(world).granted(channel.id), guild, channel);
    }
    Ok(body)
}

/// Stickers and polls also fill a message. The sandbox keeps neither, but does not call such a message empty.
fn form_has_nothing(fields: &Map<String, Value>) -> bool {
    ["sticker_ids", "poll"].iter().all(|key| fields.get(*key).is_none_or(Value::is_null))
}

/// What both a new message and an edit may carry.
fn read_parts(form: &mut Form<'_>, body: &mut MessageBody) {
    match form.text("content", 0..=2000) {
        Field::Value(content) => body.content = content.trim().to_owned(),
        Field::Null => body.content.clear(),
        Field::Missing => {}
    }
    match form.each("embeds", 10, read_embed) {
        Field::Value(embeds) => {
            if embeds.iter().map(|(_, length)| length).sum::<usize>() > EMBED_TOTAL {
                let message = format!("Embed size exceeds maximum size of {EMBED_TOTAL}");
                form.fail("embeds", "MAX_EMBED_SIZE_EXCEEDED", message);
            }
            body.embeds = embeds.into_iter().map(|(embed, _)| embed).collect();
        }
        Field::Null => body.embeds.clear(),
        Field::Missing => {}
    }
    match form.list("components", 40) {
        Field::Value(components) => body.components = components.to_vec(),
        Field::Null => body.components.clear(),
        Field::Missing => {}
    }
    if let Field::Value(flags) = form.number("flags", 0..=u64::from(u32::MAX)) {
        body.flags = flags & SETTABLE_FLAGS;
    }
}

/// An embed as it will be shown, and the number of characters that count.
///
/// <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>
fn read_embed(form: &mut Form<'_>) -> (Value, usize) {
    let mut shown = json!({ "type": "rich" });
    let mut length = 0;
    for (key, most) in [("title", 256), ("description", 4096)] {
        if let Field::Value(text) = form.text(key, 0..=most) {
            length += text.chars().count();
            shown[key] = json!(text);
        }
    }
    for key in ["url", "timestamp"] {
        if let Field::Value(text) = form.text(key, 0..=2048) {
            shown[key] = json!(text);
        }
    }
    if let Field::Value(color) = form.number("color", 0..=0x00FF_FFFF) {
        shown["color"] = json!(color);
    }
    for (key, name, most) in [("footer", "text", 2048), ("author", "name", 256)] {
        length += form
            .inside(key, |part| part.text(name, 0..=most).value().map_or(0, |text| text.chars().count()))
            .unwrap_or(0);
        if let Some(part) = form.raw(key) {
            shown[key] = part.clone();
        }
    }
    for key in ["image", "thumbnail"] {
        form.inside(key, |part| {
            let url = part.text("url", 0..=2048);
            part.required("url", url);
        });
        if let Some(part) = form.raw(key) {
            shown[key] = part.clone();
        }
    }
    let fields = form.each("fields", 25, |field| {
        let name = field.text("name", 1..=256);
        let name = field.required("name", name).unwrap_or_default();
        let value = field.text("value", 1..=1024);
        let value = field.required("value", value).unwrap_or_default();
        let inline = field.boolean("inline").value().unwrap_or(false);
        let shown = json!({ "name": name, "value": value, "inline": inline });
        (shown, name.chars().count() + value.chars().count())
    });
    if let Field::Value(fields) = fields {
        length += fields.iter().map(|(_, length)| length).sum::<usize>();
        shown["fields"] = fields.into_iter().map(|(field, _)| field).collect();
    }
    (shown, length)
}

fn read_nonce(form: &mut Form<'_>) -> Option<Value> {
    let nonce = form.raw("nonce")?;
    match nonce {
        Value::Number(_) => {}
        Value::String(text) if text.chars().count() <= 25 => {}
        Value::String(_) => {
            form.fail("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.".to_owned());
        }
        _ => form.fail("nonce", "NONCE_TYPE_CONVERT", "Must be a string or integer.".to_owned()),
    }
    Some(nonce.clone())
}

/// The message a reply answers. An unknown one is an error unless the sender said it may be gone.
fn read_reply(form: &mut Form<'_>, channel: &Channel) -> Option<Id> {
    let (id, must_exist) = form.inside("message_reference", |reference| {
        let id = reference.snowflake("message_id");
        let id = reference.required("message_id", id);
        (id, reference.boolean("fail_if_not_exists").value().unwrap_or(true))
    })?;
    let id = id?;
    if channel.message(id).is_some() {
        return Some(id);
    }
    if must_exist {
        form.fail("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message".to_owned());
    }
    None
}

fn read_allowed_mentions(form: &mut Form<'_>) -> AllowedMentions {
    let everything = AllowedMentions {
        everyone: true,
        all_roles: true,
        all_users: true,
        roles: Vec::new(),
        users: Vec::new(),
        replied_user: true,
    };
    let read = form.inside("allowed_mentions", |allowed| {
        let parse = allowed.list("parse", 3).value().unwrap_or_default();
        for (at, kind) in parse.iter().enumerate() {
            if !matches!(kind.as_str(), Some("roles" | "users" | "everyone")) {
                let message = format!("Value {kind} must be one of ('users', 'roles', 'everyone').");
                allowed.fail("parse", "BASE_TYPE_CHOICES", format!("{message} (at {at})"));
            }
        }
        let parses = |kind: &str| parse.iter().any(|value| value == kind);
        let roles = allowed.snowflakes("roles", 100).value().unwrap_or_default();
        let users = allowed.snowflakes("users", 100).value().unwrap_or_default();
        for (kind, list) in [("users", &users), ("roles", &roles)] {
            if parses(kind) && !list.is_empty() {
                let message = format!("parse:[\"{kind}\"] and {kind}: [ids...] are mutually exclusive.");
                allowed.fail("parse", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message);
            }
        }
        AllowedMentions {
            everyone: parses("everyone"),
            all_roles: parses("roles"),
            all_users: parses("users"),
            roles,
            users,
            replied_user: allowed.boolean("replied_user").value().unwrap_or(false),
        }
    });
    read.unwrap_or(everything)
}

/// Works out whom the content pings, by what the sender allowed and what the bot may.
fn ping(
    body: &mut MessageBody,
    allowed: &AllowedMentions,
    granted: Permissions,
    guild: &Guild,
    channel: &Channel,
) {
    let everyone = granted.contains(Permissions::MENTION_EVERYONE);
    let content = &body.content;
    body.mention_everyone =
        everyone && allowed.everyone && (content.contains("@everyone") || content.contains("@here"));
    body.mention_roles = mentioned(content, "<@&")
        .filter(|id| allowed.all_roles || allowed.roles.contains(id))
        .filter(|id| guild.roles.get(id).is_some_and(|role| role.mentionable || everyone))
        .collect();
    let mut users: Vec<Id> = mentioned(content, "<@")
        .chain(mentioned(content, "<@!"))
        .filter(|id| allowed.all_users || allowed.users.contains(id))
        .filter(|id| guild.members.contains_key(id))
        .collect();
    let answered = body.reply_to.filter(|_| allowed.replied_user).and_then(|id| channel.message(id));
    users.extend(answered.map(|message| message.author));
    users.sort_unstable();
    users.dedup();
    body.mentions = users;
}

impl MessageBody {
    fn is_empty(&self) -> bool {
        self.content.is_empty() && self.embeds.is_empty() && self.components.is_empty()
    }
}
