//! A small guild for tests: ada owns it, grace is staff, linus is nobody in particular, mallory is not in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{GuildModel, Membership};
use crate::{
    audience::{GuildAccess, ViewerAccess},
    derived::Derived,
    dispatch_facts::Facts,
    scope::Scope,
    snowflake::{GuildId, UserId},
};

pub(crate) const GUILD: GuildId = GuildId(100);
pub(crate) const ADA: UserId = UserId(1);
pub(crate) const GRACE: UserId = UserId(2);
pub(crate) const LINUS: UserId = UserId(3);
pub(crate) const MALLORY: UserId = UserId(4);
pub(crate) const BOT: UserId = UserId(9);
/// VIEW_CHANNEL and SEND_MESSAGES.
pub(crate) const ORDINARY: &str = "3072";
/// VIEW_CHANNEL.
pub(crate) const VIEW: &str = "1024";

/// When the tests happen: 2026-01-01T00:00:00Z.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// A model that was told of the guild.
pub(crate) fn model() -> GuildModel {
    let mut model = GuildModel::default();
    tell(&mut model, "READY", &ready());
    assert_eq!(tell(&mut model, "GUILD_CREATE", &guild()).1, []);
    model
}

/// Does with a dispatch what LinkServer does.
pub(crate) fn tell(model: &mut GuildModel, event: &str, d: &Value) -> (Scope, Vec<Derived>) {
    let d = d.to_string();
    let facts = Facts::read(event, &d);
    (model.scope(&facts), model.apply(facts))
}

pub(crate) fn access(model: &GuildModel, user: UserId) -> GuildAccess {
    match model.access(GUILD, user, now()) {
        Membership::Member(access) => access,
        other => panic!("user {user} is no member: {other:?}"),
    }
}

/// What a user may see, whether they are a member or not.
pub(crate) fn viewer(model: &GuildModel, user: UserId) -> ViewerAccess {
    match model.access(GUILD, user, now()) {
        Membership::Member(access) => vec![access].into(),
        Membership::Absent | Membership::Unseen | Membership::Unavailable => ViewerAccess::default(),
    }
}

pub(crate) fn ready() -> Value {
    json!({"user": {"id": "9"}, "guilds": [{"id": "100", "unavailable": true}]})
}

/// Text channels 101 and (staff alone) 102, voice channels 201, 202 and (staff alone) 203, thread 401 and private
/// thread 402 under 101; nobody in voice.
pub(crate) fn guild() -> Value {
    json!({
        "id": "100", "owner_id": "1", "unavailable": false,
        "roles": [{"id": "100", "permissions": ORDINARY}, {"id": "301", "permissions": "0"}],
        "channels": [
            channel(101, 0, json!([])), channel(102, 0, staff_only()),
            channel(201, 2, json!([])), channel(202, 2, json!([])), channel(203, 2, staff_only()),
        ],
        "threads": [thread(401, 11, 101), thread(402, 12, 101)],
        "members": [member(1, &[]), member(2, &["301"]), member(3, &[]), member(9, &[])],
        "voice_states": [],
    })
}

pub(crate) fn channel(id: u64, kind: u64, overwrites: Value) -> Value {
    json!({
        "id": id.to_string(), "guild_id": "100", "type": kind, "name": format!("c{id}"), "position": id,
        "parent_id": null, "user_limit": 5, "permission_overwrites": overwrites,
    })
}

pub(crate) fn thread(id: u64, kind: u64, parent: u64) -> Value {
    json!({"id": id.to_string(), "guild_id": "100", "type": kind, "parent_id": parent.to_string()})
}

pub(crate) fn staff_only() -> Value {
    json!([{"id": "100", "type": 0, "allow": "0", "deny": VIEW}, {"id": "301", "type": 0, "allow": VIEW, "deny": "0"}])
}

pub(crate) fn member(user: u64, roles: &[&str]) -> Value {
    let user = json!({"id": user.to_string(), "username": format!("u{user}"), "avatar": null});
    json!({"guild_id": "100", "user": user, "roles": roles})
}

pub(crate) fn voice(user: u64, channel: Option<u64>) -> Value {
    json!({
        "guild_id": "100", "user_id": user.to_string(), "channel_id": channel.map(|id| id.to_string()),
        "member": member(user, &[]),
    })
}

/// `voice.moved 3: 201>202`, `room.created 201`.
pub(crate) fn brief(derived: &[Derived]) -> Vec<String> {
    let one = |derived: &Derived| {
        let payload: Value = serde_json::from_str(&derived.payload).unwrap();
        let id = |key: &str| payload[key].as_str().unwrap_or("").to_owned();
        match derived.event {
            "room.created" | "room.deleted" => format!("{} {}", derived.event, id("channelId")),
            event => format!("{event} {}: {}>{}", id("userId"), id("previousChannelId"), id("channelId")),
        }
    };
    derived.iter().map(one).collect()
}
