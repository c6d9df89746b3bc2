//! The simulated members: they come to voice, move, mute, talk, react and leave, the same way for the same seed.

use std::time::Duration;

use actix_web::web;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    discord::Discord,
    world::{
        SelfState, ThreadDraft, World,
        guild::{Channel, ChannelKind, Status},
        id::Id,
        message::{MessageBody, ReactionEmoji},
        permissions::Permissions,
    },
};

/// The shortest pause between turns; at higher paces a turn has several deeds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Rooms the simulation opens and closes have this name, so that it closes only its own.
const POP_UP_ROOM: &str = "Pop-up room";

const SENTENCES: [&str; 16] = [
    "good morning everyone",
    "has anyone seen the new build?",
    "brb, coffee ☕",
    "that was quick!",
    "can somebody review this later?",
    "I pushed the fix, please try again",
    "haha 😂",
    "joining voice in a minute",
    "who broke it this time? 🔥",
    "works on my machine",
    "let's meet in the Lounge",
    "is the meeting still at five?",
    "thanks, that did it 🙏",
    "no idea, ask in #general",
    "日本語でも大丈夫?",
    "see you tomorrow 👋",
];

const EMOJIS: [&str; 6] = ["👍", "❤️", "😂", "🎉", "👀", "🔥"];

/// Keeps the guild alive at `events_per_s` until it is aborted.
pub(crate) async fn run(discord: web::Data<Discord>) {
    let pace = discord.config.events_per_s;
    if pace.is_nan() || pace <= 0.0 {
        return;
    }
    let pause = Duration::from_secs_f64((1.0 / pace).min(3600.0)).max(SHORTEST_PAUSE);
    let mut life = Simulation::new(discord.config.seed);
    let mut clock = tokio::time::interval(pause);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    clock.tick().await;
    let mut due = 0.0;
    loop {
        clock.tick().await;
        due += pace * pause.as_secs_f64();
        while due >= 1.0 {
            due -= 1.0;
            discord.with(|inner| life.act(&mut inner.world));
        }
    }
}

/// A source of deeds. It looks at the world only through what its seed made of it, never at the clock.
#[derive(Debug)]
pub(crate) struct Simulation {
    rng: StdRng,
}

/// What a simulated member does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Join,
    Move,
    Leave,
    Mute,
    Stream,
    Write,
    React,
    Type,
    ChangeStatus,
    OpenThread,
    OpenRoom,
    CloseRoom,
}

/// How often each deed is chosen, relative to the others.
const WEIGHTS: [(Deed, u32); 12] = [
    (Deed::Join, 18),
    (Deed::Move, 14),
    (Deed::Leave, 14),
    (Deed::Mute, 14),
    (Deed::Stream, 4),
    (Deed::Write, 18),
    (Deed::React, 8),
    (Deed::Type, 4),
    (Deed::ChangeStatus, 3),
    (Deed::OpenThread, 1),
    (Deed::OpenRoom, 1),
    (Deed::CloseRoom, 1),
];

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        // Not the generator that made the guild: the two must not walk in step.
        Self { rng: StdRng::seed_from_u64(seed.wrapping_add(0x5EED)) }
    }

    /// Does one thing that happens; a deed that is not possible now becomes a message.
    pub(crate) fn act(&mut self, world: &mut World) {
        let Some(guild) = world.guilds.keys().next().copied() else { return };
        let Ok((deed, _)) = WEIGHTS.choose_weighted(&mut self.rng, |(_, weight)| *weight) else { return };
        let done = match deed {
            Deed::Join => self.join(world, guild),
            Deed::Move => self.shift(world, guild),
            Deed::Leave => self.seated(world, guild).is_some_and(|user| world.set_voice(guild, user, None)),
            Deed::Mute => self.mute(world, guild),
            Deed::Stream => self.stream(world, guild),
            Deed::React => self.react(world, guild),
            Deed::Type => self.start_typing(world, guild),
            Deed::ChangeStatus => self.change_status(world, guild),
            Deed::OpenThread => self.open_thread(world, guild),
            Deed::OpenRoom => self.open_room(world, guild),
            Deed::CloseRoom => self.close_room(world, guild),
            Deed::Write => false,
        };
        if !done {
            self.write(world, guild);
        }
    }

    fn join(&mut self, world: &mut World, guild: Id) -> bool {
        let (Some(user), Some(room)) = (self.anyone(world, guild), self.room(world, guild)) else {
            return false;
        };
        world.set_voice(guild, user, Some(room))
    }

    fn shift(&mut self, world: &mut World, guild: Id) -> bool {
        let (Some(user), Some(room)) = (self.seated(world, guild), self.room(world, guild)) else {
            return false;
        };
        world.set_voice(guild, user, Some(room))
    }

    fn mute(&mut self, world: &mut World, guild: Id) -> bool {
        let Some(user) = self.seated(world, guild) else { return false };
        let seat = world.guilds[&guild].voice[&user].clone();
        let change = if self.rng.random_bool(0.25) {
            SelfState { deaf: Some(!seat.self_deaf), mute: Some(!seat.self_deaf), ..SelfState::default() }
        } else {
            SelfState { mute: Some(!seat.self_mute), ..SelfState::default() }
        };
        world.set_self(guild, user, change)
    }

    fn stream(&mut self, world: &mut World, guild: Id) -> bool {
        let Some(user) = self.seated(world, guild) else { return false };
        let seat = world.guilds[&guild].voice[&user].clone();
        let change = if self.rng.random_bool(0.3) {
            SelfState { video: Some(!seat.self_video), ..SelfState::default() }
        } else {
            SelfState { stream: Some(!seat.self_stream), ..SelfState::default() }
        };
        world.set_self(guild, user, change)
    }

    fn write(&mut self, world: &mut World, guild: Id) {
        let (Some(user), Some(channel)) = (self.anyone(world, guild), self.text_channel(world, guild)) else {
            return;
        };
        let content = SENTENCES.choose(&mut self.rng).copied().unwrap_or_default().to_owned();
        world.post(channel, user, MessageBody { content, ..MessageBody::default() });
    }

    fn react(&mut self, world: &mut World, guild: Id) -> bool {
        let (Some(user), Some(channel)) = (self.anyone(world, guild), self.text_channel(world, guild)) else {
            return false;
        };
        let recent: Vec<Id> = world.guilds[&guild].channels[&channel]
            .messages
            .iter()
            .rev()
            .take(5)
            .map(|message| message.id)
            .collect();
        let Some(message) = recent.choose(&mut self.rng).copied() else { return false };
        let name = EMOJIS.choose(&mut self.rng).copied().unwrap_or_default().to_owned();
        let emoji = ReactionEmoji { id: None, name };
        if !world.unreact(channel, message, user, &emoji) {
            world.react(channel, message, user, &emoji);
        }
        true
    }

    fn start_typing(&mut self, world: &mut World, guild: Id) -> bool {
        let (Some(user), Some(channel)) = (self.anyone(world, guild), self.text_channel(world, guild)) else {
            return false;
        };
        world.start_typing(channel, user);
        true
    }

    fn change_status(&mut self, world: &mut World, guild: Id) -> bool {
        let Some(user) = self.anyone(world, guild) else { return false };
        let statuses = [Status::Online, Status::Idle, Status::Dnd, Status::Offline];
        let status = statuses.choose(&mut self.rng).copied().unwrap_or(Status::Online);
        world.set_status(guild, user, status);
        true
    }

    fn open_thread(&mut self, world: &mut World, guild: Id) -> bool {
        let (Some(owner), Some(channel)) = (self.anyone(world, guild), self.text_channel(world, guild))
        else {
            return false;
        };
        let threads: Vec<Id> = world.guilds[&guild]
            .channels
            .values()
            .filter(|thread| thread.thread.as_ref().is_some_and(|thread| world.is_simulated(thread.owner)))
            .map(|thread| thread.id)
            .collect();
        if let Some(oldest) = threads.first().filter(|_| threads.len() >= 3) {
            world.delete_channel(*oldest);
        }
        let name = SENTENCES.choose(&mut self.rng).copied().unwrap_or_default().to_owned();
        let kind = ChannelKind::PublicThread;
        world
            .create_thread(channel, ThreadDraft { name, kind, owner, auto_archive_min: 60, message: None })
            .is_some()
    }

    fn open_room(&mut self, world: &mut World, guild: Id) -> bool {
        if pop_up_room(world, guild).is_some() {
            return false;
        }
        let mut room = Channel::new(Id(0), ChannelKind::Voice, POP_UP_ROOM);
        room.user_limit = self.rng.random_range(0..5);
        let siblings =
            world.guilds[&guild].channels.values().filter(|channel| channel.kind == ChannelKind::Voice);
        (room.parent, room.position) = siblings
            .map(|channel| (channel.parent, channel.position + 1))
            .max_by_key(|(_, at)| *at)
            .unwrap_or_default();
        world.create_channel(guild, room).is_some()
    }

    fn close_room(&mut self, world: &mut World, guild: Id) -> bool {
        let room = pop_up_room(world, guild);
        room.inspect(|room| world.delete_channel(*room)).is_some()
    }

    /// A simulated member.
    fn anyone(&mut self, world: &World, guild: Id) -> Option<Id> {
        // By position, because a large guild is too long to be listed for every deed.
        let members = &world.guilds.get(&guild)?.members;
        for _ in 0..20 {
            let at = self.rng.random_range(0..members.len().min(500));
            let user = members.keys().nth(at).copied()?;
            if world.is_simulated(user) {
                return Some(user);
            }
        }
        None
    }

    /// A simulated member who sits in voice.
    fn seated(&mut self, world: &World, guild: Id) -> Option<Id> {
        let seated: Vec<Id> = world
            .guilds
            .get(&guild)?
            .voice
            .keys()
            .copied()
            .filter(|user| world.is_simulated(*user))
            .collect();
        seated.choose(&mut self.rng).copied()
    }

    /// A voice channel that everybody can join, with a seat left.
    fn room(&mut self, world: &World, guild: Id) -> Option<Id> {
        let voice = &world.guilds.get(&guild)?.voice;
        let is_free = |room: &Channel| {
            let seated = voice.values().filter(|seat| seat.channel == room.id).count();
            room.user_limit == 0 || seated < room.user_limit as usize
        };
        self.public_channel(world, guild, |channel| channel.kind.is_voice() && is_free(channel))
    }

    fn text_channel(&mut self, world: &World, guild: Id) -> Option<Id> {
        self.public_channel(world, guild, |channel| channel.kind == ChannelKind::Text)
    }

    fn public_channel(&mut self, world: &World, guild: Id, wanted: impl Fn(&Channel) -> bool) -> Option<Id> {
        let guild = world.guilds.get(&guild)?;
        let closed = Permissions::VIEW_CHANNEL.with(Permissions::CONNECT).with(Permissions::SEND_MESSAGES);
        let open = guild.channels.values().filter(|channel| {
            let everyone = channel.overwrites.iter().find(|overwrite| overwrite.id == guild.id);
            wanted(channel) && everyone.is_none_or(|overwrite| overwrite.deny & closed == Permissions::NONE)
        });
        open.map(|channel| channel.id).collect::<Vec<_>>().choose(&mut self.rng).copied()
    }
}

fn pop_up_room(world: &World, guild: Id) -> Option<Id> {
    world
        .guilds
        .get(&guild)?
        .channels
        .values()
        .find(|channel| channel.name == POP_UP_ROOM)
        .map(|room| room.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SandboxConfig;

    fn story(seed: u64, deeds: usize) -> Vec<&'static str> {
        let mut world = World::demo(&SandboxConfig::default());
        let mut life = Simulation::new(seed);
        for _ in 0..deeds {
            life.act(&mut world);
        }
        world.take_events().into_iter().map(|event| event.name).collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(story(1, 500), story(1, 500));
        assert_ne!(story(1, 500), story(2, 500));
    }

    #[test]
    fn every_kind_of_event_happens_sooner_or_later() {
        let told = story(3, 2000);
        for name in [
            "VOICE_STATE_UPDATE",
            "MESSAGE_CREATE",
            "MESSAGE_REACTION_ADD",
            "MESSAGE_REACTION_REMOVE",
            "TYPING_START",
            "PRESENCE_UPDATE",
            "THREAD_CREATE",
            "CHANNEL_CREATE",
            "CHANNEL_DELETE",
        ] {
            assert!(told.contains(&name), "{name}");
        }
    }

    #[test]
    fn nobody_is_moved_who_is_not_simulated_and_nobody_enters_a_private_or_full_room() {
        let mut world = World::demo(&SandboxConfig::default());
        let mut life = Simulation::new(5);
        for _ in 0..2000 {
            life.act(&mut world);
            for guild in world.guilds.values() {
                for (user, seat) in &guild.voice {
                    assert!(world.is_simulated(*user));
                    assert!(world.permissions_in(*user, seat.channel).contains(Permissions::VIEW_CHANNEL));
                }
                for room in guild.channels.values().filter(|channel| channel.user_limit > 0) {
                    let seated = guild.voice.values().filter(|seat| seat.channel == room.id).count();
                    assert!(seated <= room.user_limit as usize, "{seated} in {}", room.name);
                }
            }
        }
    }
}
