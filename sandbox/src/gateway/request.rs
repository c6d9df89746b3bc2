//! Does what a client with a session asks for; whatever comes of it arrives as dispatches.

use serde_json::json;

use super::command::Request;
use crate::{
    discord::Inner,
    world::{SelfState, id::Id, json_text},
};

impl Inner {
    /// Carries out a request of the session with this id. Only that session hears the answer to a question.
    pub(super) fn carry_out(&mut self, session: &str, request: Request) {
        let Self { world, hub, .. } = self;
        match request {
            Request::PresenceUpdate { status } => {
                let guilds: Vec<Id> = world.guilds.keys().copied().collect();
                for guild in guilds {
                    world.set_status(guild, world.application.bot, status);
                }
            }
            Request::VoiceStateUpdate { guild, channel, mute, deaf } => {
                let wish = SelfState { mute: Some(mute), deaf: Some(deaf), ..SelfState::default() };
                world.seat_bot(guild, channel, wish);
            }
            Request::Members { guild, wanted } => {
                let (Some(guild), Some(session)) = (world.guilds.get(&guild), hub.session(session)) else {
                    return;
                };
                for chunk in world.member_chunks(guild, &session.entitled(wanted)) {
                    session.tell("\"GUILD_MEMBERS_CHUNK\"".into(), chunk);
                }
            }
            Request::SoundboardSounds { guilds } => {
                let Some(session) = hub.session(session) else { return };
                for guild in guilds {
                    let data = json_text(&json!({ "guild_id": guild, "soundboard_sounds": [] }));
                    session.tell("\"SOUNDBOARD_SOUNDS\"".into(), data);
                }
            }
            Request::ChannelInfo { guild, fields } => {
                let (Some(guild), Some(session)) = (world.guilds.get(&guild), hub.session(session)) else {
                    return;
                };
                session.tell("\"CHANNEL_INFO\"".into(), guild.channel_info(&fields));
            }
        }
    }
}
