//! `GET /sandbox/state`: the world and its listeners at a glance.

use serde_json::{Value, json};

use crate::{
    discord::Inner,
    gateway::intents,
    world::{World, guild::Guild, permissions::Permissions},
};

/// Members of a guild that are listed; a larger guild tells its number.
const MEMBERS_SHOWN: usize = 1000;

pub(crate) fn state(inner: &Inner) -> Value {
    let sessions = inner.hub.sessions.iter().map(|session| {
        json!({
            "id": session.id,
            "seq": session.replay.last(),
            "intents": session.intents,
            "shard": [session.shard.0, session.shard.1],
            "connected": session.link.is_some(),
        })
    });
    let privileged = intents::PRIVILEGED_NAMES
        .iter()
        .filter(|(_, bit)| inner.world.application.privileged_intents & bit != 0);
    json!({
        "notDiscord": "a local sandbox",
        "guilds": inner.world.guilds.values().map(|guild| guild_state(&inner.world, guild)).collect::<Vec<_>>(),
        "sessions": sessions.collect::<Vec<_>>(),
        "identifies": inner.hub.identifies,
        "resumes": inner.hub.resumes,
        "heartbeats": inner.hub.heartbeats,
        "rest": { "requests": inner.rest_requests },
        "application": {
            "privilegedIntents": privileged.map(|(name, _)| name).collect::<Vec<_>>(),
            "shards": inner.world.application.shards,
        },
        "faults": inner.faults.state(),
    })
}

fn guild_state(world: &World, guild: &Guild) -> Value {
    let channels = guild.channels.values().map(|channel| {
        let sees = |overwrite: &&crate::world::guild::Overwrite| overwrite.id == guild.id;
        let denied = channel
            .overwrites
            .iter()
            .find(sees)
            .is_some_and(|overwrite| overwrite.deny.contains(Permissions::VIEW_CHANNEL));
        json!({
            "id": channel.id,
            "name": channel.name,
            "type": channel.kind as u8,
            "private": denied,
            "parentId": channel.parent,
            "position": channel.position,
        })
    });
    // Who sits in voice comes first: they matter most, and a large guild is cut short.
    let (seated, others): (Vec<_>, Vec<_>) =
        guild.members.values().partition(|member| guild.voice.contains_key(&member.user));
    let members = seated.into_iter().chain(others).take(MEMBERS_SHOWN).map(|member| {
        let user = world.users.get(&member.user);
        let seat = guild.voice.get(&member.user);
        json!({
            "userId": member.user,
            "username": user.map(|user| &user.username),
            "name": user.and_then(|user| user.global_name.as_ref()),
            "avatar": user.map(|user| format!("/avatars/{}/{}.png", user.id, user.avatar())),
            "bot": user.is_some_and(|user| user.bot),
            "roles": member.roles,
            "status": member.status,
            "voiceChannelId": seat.map(|seat| seat.channel),
            "selfMute": seat.is_some_and(|seat| seat.self_mute),
            "selfDeaf": seat.is_some_and(|seat| seat.self_deaf),
            "selfVideo": seat.is_some_and(|seat| seat.self_video),
            "selfStream": seat.is_some_and(|seat| seat.self_stream),
            "mute": member.mute,
            "deaf": member.deaf,
        })
    });
    json!({
        "id": guild.id,
        "name": guild.name,
        "memberCount": guild.members.len(),
        "channels": channels.collect::<Vec<_>>(),
        "members": members.collect::<Vec<_>>(),
    })
}
