//! What the gateway role knows of each guild: owned by LinkServer, fed with every dispatch in order, and asked who
//! may see what. Nothing in it grows without a limit.

mod access;
mod guild;
mod members;
mod scoping;
mod voice;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{
    guild::{Guild, State},
    members::Standing,
};
use crate::{
    derived::{Derived, VoiceChannel, VoiceSnapshot},
    dispatch_facts::{Facts, MemberFacts, News},
    snowflake::{ChannelId, GuildId, UserId},
};

pub use self::{
    access::Membership,
    guild::{THREADS_KEPT, TOMBSTONES_KEPT},
    members::MEMBERS_KEPT,
    voice::PUT_OUT_KEPT,
};

/// The guilds of the bot. Serialisable, because a resumed Discord session tells nothing of them again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuildModel {
    /// The bot's own user, known since READY.
    bot: Option<UserId>,
    guilds: BTreeMap<GuildId, Guild>,
}

impl GuildModel {
    /// Learns what a dispatch says and returns the events derived from it, to be published directly after it.
    ///
    /// A guild the bot is removed from takes everyone's access with it, so nothing is derived for nobody to see.
    pub fn apply(&mut self, facts: Facts<'_>) -> Vec<Derived> {
        if let News::Ready { bot, guilds } = facts.news {
            self.begin_session(bot, &guilds);
            return Vec::new();
        }
        let Some(id) = facts.guild else { return Vec::new() };
        match facts.news {
            News::GuildKnown(known) => return self.guilds.entry(id).or_default().load(id, *known),
            News::GuildUnavailable => self.guilds.entry(id).or_default().outage(),
            News::GuildGone => {
                self.guilds.remove(&id);
            }
            news => {
                // Of a guild that is awaited or in an outage, only the whole makes sense.
                if let Some(guild) = self.known_mut(id) {
                    return apply_to(guild, id, news);
                }
            }
        }
        Vec::new()
    }

    /// Stops waiting for guilds that were listed at the start of the session and have not come.
    pub fn settle(&mut self) {
        self.guilds.values_mut().for_each(Guild::outage);
    }

    /// Whether a guild was listed at the start of the session and its state is still to come.
    #[must_use]
    pub fn pending(&self, guild: GuildId) -> bool {
        self.guilds.get(&guild).is_some_and(|guild| guild.state == State::Pending)
    }

    /// The guilds of the bot, also those in an outage.
    pub fn guild_ids(&self) -> impl Iterator<Item = GuildId> + '_ {
        self.guilds.keys().copied()
    }

    /// The bot's own user; `None` before the first READY.
    #[must_use]
    pub fn bot_id(&self) -> Option<UserId> {
        self.bot
    }

    /// The guild that a channel or thread belongs to.
    #[must_use]
    pub fn guild_of_channel(&self, channel: ChannelId) -> Option<GuildId> {
        let has =
            |guild: &Guild| guild.channels.contains_key(&channel) || guild.threads.contains_key(&channel);
        self.guilds.iter().find(|(_, guild)| has(guild)).map(|(id, _)| *id)
    }

    /// The voice channels of a guild and who sits in them; `None` when nothing is known of the guild.
    #[must_use]
    pub fn voice_snapshot(&self, guild_id: GuildId) -> Option<VoiceSnapshot> {
        let guild = self.known(guild_id)?;
        let mut rooms: Vec<_> = guild.rooms().collect();
        rooms.sort_by_key(|(id, channel)| (channel.position, *id));
        let mut channels: Vec<_> = rooms.into_iter().map(|(id, channel)| channel.room(id)).collect();
        let mut places: BTreeMap<_, _> =
            channels.iter().enumerate().map(|(place, room)| (room.channel_id, place)).collect();
        for (channel_id, member) in guild.voice.seated() {
            let place = *places.entry(channel_id).or_insert_with(|| {
                // Someone sits where no voice channel is known; only administrators will be shown it.
                channels.push(unknown_room(channel_id));
                channels.len() - 1
            });
            channels[place].members.push(member.clone());
        }
        Some(VoiceSnapshot { guild_id, channels })
    }

    /// Takes in a member that was looked up, as Discord's JSON of one. What events told is newer and stays.
    pub fn learn_member(&mut self, guild: GuildId, member_json: &str) {
        if let (Some(guild), Some(facts)) = (self.known_mut(guild), MemberFacts::parse(member_json))
            && guild.members.standing(facts.user) == Standing::Unseen
        {
            guild.learn_member(&facts);
        }
    }

    /// Takes in that a user who was looked up is no member. What events told is newer and stays.
    pub fn learn_absent(&mut self, guild: GuildId, user: UserId) {
        if let Some(guild) = self.known_mut(guild)
            && guild.members.standing(user) == Standing::Unseen
        {
            guild.hear(user, None);
        }
    }

    /// A new session: only the guilds it lists exist, and all of them will be told of anew.
    fn begin_session(&mut self, bot: Option<UserId>, guilds: &[GuildId]) {
        self.bot = bot.or(self.bot);
        self.guilds = guilds.iter().map(|guild| (*guild, Guild::pending())).collect();
    }

    fn known(&self, guild: GuildId) -> Option<&Guild> {
        self.guilds.get(&guild).filter(|guild| guild.state == State::Known)
    }

    fn known_mut(&mut self, guild: GuildId) -> Option<&mut Guild> {
        self.guilds.get_mut(&guild).filter(|guild| guild.state == State::Known)
    }
}

fn apply_to(guild: &mut Guild, id: GuildId, news: News<'_>) -> Vec<Derived> {
    let mut derived = Vec::new();
    match news {
        News::GuildChanged { owner } => guild.owner = Some(owner),
        News::Role(role) => {
            guild.roles.insert(role.id, role.permissions);
        }
        News::RoleGone(role) => guild.remove_role(role),
        News::Channel(channel) => derived.extend(guild.put_channel(id, channel)),
        News::ChannelGone(channel) => derived = guild.remove_channel(id, channel),
        News::Threads(threads) => guild.learn_threads(&threads),
        News::ThreadGone(thread) => {
            guild.threads.remove(&thread.id);
        }
        News::Members { members, absent } => {
            members.iter().for_each(|member| guild.learn_member(member));
            absent.into_iter().for_each(|user| guild.hear(user, None));
        }
        News::MemberGone(user) => {
            guild.hear(user, None);
            derived.extend(guild.voice.put_out(id, user));
        }
        News::Banned(user) => guild.hear(user, None),
        News::Voice(state) => {
            // Saves a look-up; a member already seen is told of by events of their own.
            if let Some(member) = &state.member
                && guild.members.standing(state.user) == Standing::Unseen
            {
                guild.hear(member.user, Some(member.into()));
            }
            derived.extend(guild.voice.apply(id, &state));
        }
        News::Ready { .. }
        | News::GuildKnown(_)
        | News::GuildUnavailable
        | News::GuildGone
        | News::Nothing => {}
    }
    derived
}

fn unknown_room(channel_id: ChannelId) -> VoiceChannel {
    VoiceChannel { channel_id, name: None, parent_id: None, user_limit: 0, members: Vec::new() }
}
