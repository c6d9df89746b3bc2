//! Who sits in which voice channel, and how they sit there.

use serde_json::json;

use super::{
    World,
    guild::{ChannelKind, Guild, VoiceState},
    id::Id,
    json_text,
    permissions::Permissions,
};

/// What a person sets for themselves; none leaves it as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SelfState {
    pub(crate) mute: Option<bool>,
    pub(crate) deaf: Option<bool>,
    pub(crate) video: Option<bool>,
    pub(crate) stream: Option<bool>,
}

impl World {
    /// Puts a member into a voice channel, moves them, or with `None` takes them out. False when nothing changed.
    pub(crate) fn set_voice(&mut self, guild: Id, user: Id, channel: Option<Id>) -> bool {
        if let Some(channel) = channel {
            return self.seat(guild, user, channel, SelfState::default());
        }
        let left = self.guilds.get_mut(&guild).and_then(|home| home.voice.remove(&user));
        if let Some(seat) = &left {
            self.tell_voice(guild, user, seat, None);
        }
        left.is_some()
    }

    /// Mutes, deafens, films or shares for a member who sits in voice. False when nothing changed.
    pub(crate) fn set_self(&mut self, guild: Id, user: Id, change: SelfState) -> bool {
        let seat = self.guilds.get(&guild).and_then(|home| home.voice.get(&user));
        let channel = seat.map(|seat| seat.channel);
        channel.is_some_and(|channel| self.seat(guild, user, channel, change))
    }

    /// Puts a member into a voice channel, or leaves them there, in the state they want; one event tells of it all.
    /// False when nothing changed.
    pub(crate) fn seat(&mut self, guild: Id, user: Id, channel: Id, change: SelfState) -> bool {
        let session_id = format!("{:032x}", self.new_id().0);
        let Some(home) = self.guilds.get_mut(&guild).filter(|home| home.members.contains_key(&user)) else {
            return false;
        };
        let suppress = home.channels.get(&channel).is_some_and(|channel| channel.kind == ChannelKind::Stage);
        let before = home.voice.get(&user);
        let mut seat = match before {
            Some(seat) if seat.channel == channel => seat.clone(),
            // Camera and screen share do not survive a move.
            Some(seat) => {
                VoiceState { channel, suppress, self_video: false, self_stream: false, ..seat.clone() }
            }
            None => VoiceState {
                channel,
                session_id,
                self_mute: false,
                self_deaf: false,
                self_video: false,
                self_stream: false,
                suppress,
            },
        };
        seat.self_mute = change.mute.unwrap_or(seat.self_mute);
        seat.self_deaf = change.deaf.unwrap_or(seat.self_deaf);
        seat.self_video = change.video.unwrap_or(seat.self_video);
        seat.self_stream = change.stream.unwrap_or(seat.self_stream);
        if before == Some(&seat) {
            return false;
        }
        home.voice.insert(user, seat.clone());
        self.tell_voice(guild, user, &seat, Some(channel));
        true
    }

    /// Does what the bot asked for with op 4. Joining also names the voice server, which the sandbox does not have.
    pub(crate) fn seat_bot(&mut self, guild: Id, channel: Option<Id>, wish: SelfState) {
        let bot = self.application.bot;
        let Some(id) = channel else {
            self.set_voice(guild, bot, None);
            return;
        };
        let place = self.channel(id).filter(|(home, channel)| home.id == guild && channel.kind.is_voice());
        let connect = Permissions::VIEW_CHANNEL.with(Permissions::CONNECT);
        let Some((home, _)) = place.filter(|_| self.permissions_in(bot, id).contains(connect)) else {
            return;
        };
        let moves = home.voice.get(&bot).is_none_or(|seat| seat.channel != id);
        self.seat(guild, bot, id, wish);
        if moves {
            let token = format!("{:016x}", self.new_id().0);
            let data = json!({ "token": token, "guild_id": guild, "endpoint": "voice.sandbox.invalid:443" });
            self.emit("VOICE_SERVER_UPDATE", Some(guild), &data);
        }
    }

    /// Lets a stage's audience member speak, or sends a speaker back.
    pub(crate) fn set_suppress(&mut self, guild: Id, user: Id, suppress: bool) {
        let seat = self.guilds.get_mut(&guild).and_then(|home| home.voice.get_mut(&user));
        if seat.is_some_and(|seat| std::mem::replace(&mut seat.suppress, suppress) != suppress) {
            self.retell_voice(guild, user);
        }
    }

    /// Tells a member's voice state again, after something about it changed.
    pub(super) fn retell_voice(&mut self, guild: Id, user: Id) {
        let seat = self.guilds.get(&guild).and_then(|home| home.voice.get(&user)).cloned();
        if let Some(seat) = seat {
            self.tell_voice(guild, user, &seat, Some(seat.channel));
        }
    }

    fn tell_voice(&mut self, guild: Id, user: Id, seat: &VoiceState, channel: Option<Id>) {
        let Some(data) =
            self.guilds.get(&guild).and_then(|home| self.voice_update(home, user, seat, channel))
        else {
            return;
        };
        self.outbox.push(super::Event {
            name: "VOICE_STATE_UPDATE",
            guild: Some(guild),
            data,
            redacted: None,
        });
    }

    fn voice_update(
        &self,
        guild: &Guild,
        user: Id,
        seat: &VoiceState,
        channel: Option<Id>,
    ) -> Option<bytestring::ByteString> {
        let member = guild.members.get(&user)?;
        Some(json_text(&seat.update(guild.id, channel, member, self.users.get(&user)?)))
    }
}
