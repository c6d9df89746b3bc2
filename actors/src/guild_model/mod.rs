//! What the gateway role knows of each guild: owned by LinkServer, fed with every dispatch in order, and asked who
//! may see what. Nothing in it grows without a limit.

mod access;
#[cfg(test)]
pub(crate) mod fixture;
mod guild;
mod members;
mod places;
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
    guild_info::GuildInfo,
    snowflake::{ChannelId, GuildId, UserId},
};

pub use self::{
    access::Membership,
    guild::{THREADS_KEPT, TOMBSTONES_KEPT},
    members::MEMBERS_KEPT,
    places::ChannelKind,
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

    /// The voice channel in which a member sits.
    #[must_use]
    pub fn voice_channel_of(&self, guild: GuildId, user: UserId) -> Option<ChannelId> {
        self.known(guild)?.voice.channel_of(user)
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

    /// What a guild is called and holds; `None` when nothing is known of it.
    #[must_use]
    pub fn info(&self, guild: GuildId) -> Option<GuildInfo> {
        Some(self.known(guild)?.info(guild))
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
        News::GuildChanged { owner, name, icon } => {
            guild.owner = owner.or(guild.owner);
            if name.is_some() {
                (guild.name, guild.icon) = (name, icon);
            }
        }
        News::Role(role) => guild.put_role(role),
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{
        fixture::{GUILD, brief, channel, guild, member, model, ready, tell, voice},
        *,
    };
    use crate::{permissions::Permissions, scope::Scope};

    fn seats(model: &GuildModel) -> Vec<(u64, Vec<u64>)> {
        let snapshot = model.voice_snapshot(GUILD).unwrap();
        let members = |room: &VoiceChannel| room.members.iter().map(|member| member.user_id.0).collect();
        snapshot.channels.iter().map(|room| (room.channel_id.0, members(room))).collect()
    }

    #[test]
    fn voice_states_become_joins_moves_and_leaves_and_nothing_else_does() {
        let mut model = model();
        let mut muted = voice(3, Some(201));
        muted["self_mute"] = json!(true);
        muted["self_stream"] = json!(true);
        let mut broken = voice(3, None);
        broken["channel_id"] = json!({"not": "an id"});
        let steps: [(&str, Value, &[&str]); 11] = [
            ("joins", voice(3, Some(201)), &["voice.joined 3: >201"]),
            ("is told again", voice(3, Some(201)), &[]),
            ("mutes and streams", muted, &[]),
            ("another joins", voice(2, Some(201)), &["voice.joined 2: >201"]),
            ("moves", voice(3, Some(202)), &["voice.moved 3: 201>202"]),
            ("has an unreadable channel", broken, &[]),
            ("is no object", json!([1, 2]), &[]),
            ("leaves", voice(3, None), &["voice.left 3: 202>"]),
            ("leaves again", voice(3, None), &[]),
            ("enters a channel never told of", voice(3, Some(999)), &["voice.joined 3: >999"]),
            ("moves to a known one", voice(3, Some(203)), &["voice.moved 3: 999>203"]),
        ];
        for (what, state, expected) in steps {
            assert_eq!(brief(&tell(&mut model, "VOICE_STATE_UPDATE", &state).1), expected, "{what}");
        }
        assert_eq!(seats(&model), [(201, vec![2]), (202, vec![]), (203, vec![3])]);
    }

    #[test]
    fn derived_payloads_are_those_of_the_protocol() {
        let mut model = model();
        let mut payload = |event, d: Value| -> Vec<String> {
            tell(&mut model, event, &d).1.into_iter().map(|derived| derived.payload).collect()
        };
        assert_eq!(
            payload("VOICE_STATE_UPDATE", voice(3, Some(201))),
            [
                r#"{"guildId":"100","channelId":"201","userId":"3","username":"u3","displayName":"u3","avatar":null}"#
            ]
        );
        assert_eq!(
            payload("VOICE_STATE_UPDATE", voice(3, Some(202))),
            [
                r#"{"guildId":"100","channelId":"202","previousChannelId":"201","userId":"3","username":"u3","displayName":"u3","avatar":null}"#
            ]
        );
        assert_eq!(
            payload("VOICE_STATE_UPDATE", voice(3, None)),
            [r#"{"guildId":"100","channelId":null,"userId":"3","previousChannelId":"202"}"#]
        );
        let room = r#"{"guildId":"100","channelId":"204","name":"c204","parentId":null,"userLimit":5}"#;
        assert_eq!(payload("CHANNEL_CREATE", channel(204, 13, json!([]))), [room]);
        assert_eq!(payload("CHANNEL_DELETE", channel(204, 13, json!([]))), [room]);
        assert_eq!(payload("CHANNEL_CREATE", channel(103, 0, json!([]))), [""; 0]);
    }

    #[test]
    fn a_guild_is_called_as_it_was_told_last() {
        let mut model = model();
        tell(
            &mut model,
            "GUILD_UPDATE",
            &json!({"id": "100", "owner_id": "1", "name": "Den", "icon": "a_0f"}),
        );
        tell(&mut model, "GUILD_UPDATE", &json!({"id": "100", "features": []}));
        tell(&mut model, "CHANNEL_DELETE", &channel(102, 0, json!([])));
        let role = json!({"guild_id": "100", "role": {"id": "301", "name": "Staff", "permissions": "0"}});
        tell(&mut model, "GUILD_ROLE_UPDATE", &role);
        let info = model.info(GUILD).unwrap();
        let icon = Some("https://cdn.discordapp.com/icons/100/a_0f.gif");
        assert_eq!((info.name.as_deref(), info.icon.as_deref()), (Some("Den"), icon));
        assert_eq!(info.channels.iter().map(|it| it.id.0).collect::<Vec<_>>(), [101, 201, 202, 203]);
        let shape = json!({"id": "101", "name": "c101", "type": 0, "parentId": null, "position": 101});
        assert_eq!(serde_json::to_value(&info.channels[0]).unwrap(), shape);
        assert_eq!(serde_json::to_value(&info.roles).unwrap(), json!([{"id": "301", "name": "Staff"}]));
        tell(&mut model, "GUILD_ROLE_DELETE", &json!({"guild_id": "100", "role_id": "301"}));
        assert_eq!(model.info(GUILD).unwrap().roles, []);
        assert_eq!(model.info(GuildId(5)), None);
    }

    #[test]
    fn a_deleted_channel_empties_first_and_late_voice_states_change_nothing() {
        let mut model = model();
        for user in [2, 3] {
            tell(&mut model, "VOICE_STATE_UPDATE", &voice(user, Some(201)));
        }
        let deleted = channel(201, 2, json!([]));
        let derived = tell(&mut model, "CHANNEL_DELETE", &deleted).1;
        assert_eq!(brief(&derived), ["voice.left 2: 201>", "voice.left 3: 201>", "room.deleted 201"]);
        assert_eq!(tell(&mut model, "CHANNEL_DELETE", &deleted).1, []);
        for user in [2, 3] {
            let (scope, derived) = tell(&mut model, "VOICE_STATE_UPDATE", &voice(user, None));
            assert_eq!((scope.channels, derived), (vec![ChannelId(201)], vec![]), "late state of {user}");
            let again = tell(&mut model, "VOICE_STATE_UPDATE", &voice(user, None)).0;
            assert_eq!(again, Scope::guild(GUILD, Permissions::ADMINISTRATOR), "it came already");
        }
    }

    #[test]
    fn a_member_who_is_removed_leaves_voice_once_whichever_dispatch_comes_first() {
        let gone = member(3, &[]);
        let mut model = model();
        tell(&mut model, "VOICE_STATE_UPDATE", &voice(3, Some(201)));
        assert_eq!(brief(&tell(&mut model, "GUILD_MEMBER_REMOVE", &gone).1), ["voice.left 3: 201>"]);
        let (scope, derived) = tell(&mut model, "VOICE_STATE_UPDATE", &voice(3, None));
        assert_eq!((scope.channels, derived), (vec![ChannelId(201)], vec![]));

        tell(&mut model, "VOICE_STATE_UPDATE", &voice(2, Some(201)));
        assert_eq!(tell(&mut model, "VOICE_STATE_UPDATE", &voice(2, None)).1.len(), 1);
        assert_eq!(tell(&mut model, "GUILD_MEMBER_REMOVE", &member(2, &[])).1, []);
    }

    #[test]
    fn a_session_that_begins_is_silent_until_the_guild_is_known_and_then_tells_differences() {
        let mut with_linus = guild();
        with_linus["voice_states"] = json!([{"user_id": "3", "channel_id": "201"}]);
        let mut changed = guild();
        changed["channels"] = json!([channel(201, 2, json!([])), channel(204, 2, json!([]))]);
        changed["voice_states"] =
            json!([{"user_id": "2", "channel_id": "204"}, {"user_id": "1", "channel_id": "201"}]);
        let outage = json!({"id": "100", "unavailable": true});
        let appeared = ["room.created 201", "room.created 202", "room.created 203", "voice.joined 3: >201"];
        let returned = [
            "room.created 204",
            "voice.left 3: 201>",
            "voice.joined 1: >201",
            "voice.moved 2: 202>204",
            "room.deleted 202",
            "room.deleted 203",
        ];
        let steps: [(&str, &str, Value, &[&str]); 13] = [
            ("the session begins", "READY", ready(), &[]),
            ("too early", "VOICE_STATE_UPDATE", voice(3, Some(202)), &[]),
            ("known", "GUILD_CREATE", with_linus.clone(), &[]),
            ("joins", "VOICE_STATE_UPDATE", voice(2, Some(202)), &["voice.joined 2: >202"]),
            ("an outage ends nothing", "GUILD_DELETE", outage.clone(), &[]),
            ("told of the outage again", "GUILD_CREATE", outage.clone(), &[]),
            ("back, with differences", "GUILD_CREATE", changed, &returned),
            ("the bot is removed", "GUILD_DELETE", json!({"id": "100"}), &[]),
            ("joined in mid-session", "GUILD_CREATE", with_linus.clone(), &appeared),
            ("another session", "READY", ready(), &[]),
            ("which finds an outage", "GUILD_DELETE", outage, &[]),
            ("back: nothing was known", "GUILD_CREATE", with_linus.clone(), &appeared),
            ("the same once more", "GUILD_CREATE", with_linus, &[]),
        ];
        let mut model = GuildModel::default();
        for (what, event, d, expected) in steps {
            assert_eq!(brief(&tell(&mut model, event, &d).1), expected, "{what}");
        }
    }

    #[test]
    fn a_guild_is_pending_from_ready_until_it_comes_or_is_given_up() {
        let pending_after = |events: &[(&str, Value)], settle: bool| {
            let mut model = GuildModel::default();
            for (event, d) in events {
                tell(&mut model, event, d);
            }
            if settle {
                model.settle();
            }
            (model.pending(GUILD), model.voice_snapshot(GUILD).is_some())
        };
        let outage = json!({"id": "100", "unavailable": true});
        assert_eq!(pending_after(&[], false), (false, false));
        assert_eq!(pending_after(&[("READY", ready())], false), (true, false));
        assert_eq!(pending_after(&[("READY", ready())], true), (false, false));
        assert_eq!(pending_after(&[("READY", ready()), ("GUILD_DELETE", outage)], false), (false, false));
        assert_eq!(pending_after(&[("READY", ready()), ("GUILD_CREATE", guild())], true), (false, true));
    }

    #[test]
    fn a_new_session_forgets_guilds_it_does_not_list() {
        let mut model = model();
        tell(&mut model, "READY", &json!({"user": {"id": "9"}, "guilds": [{"id": "500"}]}));
        assert_eq!(model.guild_ids().collect::<Vec<_>>(), [GuildId(500)]);
    }

    #[test]
    fn those_in_voice_before_the_start_are_named_after_the_members_and_renamed_with_them() {
        let mut told = guild();
        told["members"][2]["user"]["avatar"] = json!("a_0f1e");
        told["voice_states"] = json!([
            {"user_id": "3", "channel_id": "201", "self_mute": true},
            {"user_id": "2", "channel_id": "201"},
            {"user_id": "77", "channel_id": "201"},
            {"user_id": "nobody", "channel_id": "201"},
        ]);
        let mut model = GuildModel::default();
        tell(&mut model, "GUILD_CREATE", &told);
        let mut renamed = member(2, &["301"]);
        renamed["user"]["username"] = json!("grace");
        renamed["user"]["avatar"] = json!("https://cdn.example/grace.png");
        tell(&mut model, "GUILD_MEMBER_UPDATE", &renamed);

        let shown: Vec<_> = model.voice_snapshot(GUILD).unwrap().channels[0]
            .members
            .iter()
            .map(|member| {
                (member.user_id.0, member.username.clone(), member.avatar.clone(), member.self_mute)
            })
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown,
            [
                (2, text("grace"), text("https://cdn.example/grace.png"), false),
                (3, text("u3"), text("https://cdn.discordapp.com/avatars/3/a_0f1e.gif"), true),
                (77, None, None, false),
            ]
        );
    }

    #[test]
    fn a_snapshot_has_the_shape_of_the_protocol() {
        let mut model = model();
        tell(&mut model, "VOICE_STATE_UPDATE", &voice(3, Some(201)));
        let snapshot = serde_json::to_value(model.voice_snapshot(GUILD).unwrap()).unwrap();
        let member = json!({
            "userId": "3", "username": "u3", "displayName": "u3", "avatar": null, "selfMute": false, "selfDeaf": false, "mute": false,
            "deaf": false, "selfVideo": false, "selfStream": false, "suppress": false,
        });
        assert_eq!(snapshot["guildId"], "100");
        assert_eq!(
            snapshot["channels"][0],
            json!({"channelId": "201", "name": "c201", "parentId": null, "userLimit": 5, "members": [member]})
        );
    }

    #[test]
    fn a_channel_is_found_in_its_guild_while_it_exists() {
        let mut model = model();
        for (channel, expected) in [(101, Some(GUILD)), (401, Some(GUILD)), (999, None)] {
            assert_eq!(model.guild_of_channel(ChannelId(channel)), expected, "{channel}");
        }
        tell(&mut model, "CHANNEL_DELETE", &channel(101, 0, json!([])));
        assert_eq!(model.guild_of_channel(ChannelId(101)), None);
        assert_eq!(model.guild_of_channel(ChannelId(401)), None, "a thread goes with its parent");
    }

    #[test]
    fn a_checkpoint_brings_back_the_same_model() {
        let mut model = model();
        tell(&mut model, "VOICE_STATE_UPDATE", &voice(3, Some(203)));
        tell(&mut model, "VOICE_STATE_UPDATE", &voice(2, Some(202)));
        tell(&mut model, "CHANNEL_DELETE", &channel(202, 2, json!([])));
        tell(&mut model, "GUILD_MEMBER_REMOVE", &member(1, &[]));
        let text = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<GuildModel>(&text).unwrap(), model);
    }

    #[test]
    fn threads_and_deleted_channels_are_bounded() {
        let mut model = model();
        for id in 1_000..1_000 + THREADS_KEPT as u64 + 10 {
            tell(&mut model, "THREAD_CREATE", &fixture::thread(id, 11, 101));
        }
        for id in 10_000..10_000 + TOMBSTONES_KEPT as u64 + 10 {
            tell(&mut model, "CHANNEL_CREATE", &channel(id, 0, json!([])));
            tell(&mut model, "CHANNEL_DELETE", &channel(id, 0, json!([])));
        }
        let guild = &model.guilds[&GUILD];
        assert_eq!((guild.threads.len(), guild.tombstones.len()), (THREADS_KEPT, TOMBSTONES_KEPT));
    }

    /// `cargo test -p guildstream-actors --release -- --ignored --nocapture microseconds`
    #[test]
    #[ignore = "a measurement"]
    fn microseconds_to_judge_and_learn() {
        const ROUNDS: u32 = 20_000;
        let mut told = guild();
        told["members"] = (0..1_000).map(|user| member(user, &["301"])).collect();
        for (event, d) in [("VOICE_STATE_UPDATE", voice(3, Some(201))), ("GUILD_CREATE", told)] {
            let (mut model, d) = (model(), d.to_string());
            let rounds = if event == "GUILD_CREATE" { ROUNDS / 100 } else { ROUNDS };
            let start = std::time::Instant::now();
            for _ in 0..rounds {
                let facts = Facts::read(event, &d);
                std::hint::black_box(model.scope(&facts));
                std::hint::black_box(model.apply(facts));
            }
            let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
            println!("{event} of {} bytes: {each:.1} µs", d.len());
        }
    }

    /// What a page makes of a snapshot and the events after it: rooms, and who sits where.
    #[derive(Debug, Default, PartialEq)]
    struct Roster {
        rooms: BTreeSet<String>,
        seats: BTreeMap<String, String>,
    }

    impl Roster {
        fn of(model: &GuildModel) -> Self {
            let mut roster = Self::default();
            for room in model.voice_snapshot(GUILD).into_iter().flat_map(|snapshot| snapshot.channels) {
                let channel = room.channel_id.to_string();
                roster.seats.extend(room.members.iter().map(|m| (m.user_id.to_string(), channel.clone())));
                roster.rooms.extend(room.name.map(|_| channel));
            }
            roster
        }

        fn apply(&mut self, derived: &Derived) {
            let payload: Value = serde_json::from_str(&derived.payload).unwrap();
            let id = |key: &str| payload[key].as_str().unwrap_or_default().to_owned();
            let (user, channel, previous) = (id("userId"), id("channelId"), id("previousChannelId"));
            match derived.event {
                "voice.joined" => assert_eq!(self.seats.insert(user, channel), None, "joined twice"),
                "voice.moved" => assert_eq!(self.seats.insert(user, channel), Some(previous), "moved"),
                "voice.left" => assert_eq!(self.seats.remove(&user), Some(previous), "left"),
                "room.created" => assert!(self.rooms.insert(channel), "created twice"),
                "room.deleted" => {
                    assert!(self.rooms.remove(&channel), "deleted twice");
                    assert!(
                        !self.seats.values().any(|seat| *seat == channel),
                        "deleted while someone sat there"
                    );
                }
                other => panic!("unexpected {other}"),
            }
        }
    }

    fn any_dispatch() -> impl Strategy<Value = (&'static str, Value)> {
        let user = 1..6u64;
        let room = 201..206u64;
        let seat = (user.clone(), room.clone()).prop_map(|(user, room)| (user, room));
        let created = (
            prop::collection::btree_set(room.clone(), 0..4),
            prop::collection::btree_map(user.clone(), room.clone(), 0..5),
        );
        prop_oneof![
            6 => seat.prop_map(|(user, room)| ("VOICE_STATE_UPDATE", voice(user, Some(room)))),
            3 => user.clone().prop_map(|user| ("VOICE_STATE_UPDATE", voice(user, None))),
            1 => user.prop_map(|user| ("GUILD_MEMBER_REMOVE", member(user, &[]))),
            2 => room.clone().prop_map(|room| ("CHANNEL_CREATE", channel(room, 2, json!([])))),
            1 => room.clone().prop_map(|room| ("CHANNEL_UPDATE", channel(room, 2, json!([])))),
            2 => room.prop_map(|room| ("CHANNEL_DELETE", channel(room, 2, json!([])))),
            1 => Just(("GUILD_DELETE", json!({"id": "100", "unavailable": true}))),
            1 => created.prop_map(|(rooms, seats)| {
                let mut told = guild();
                told["channels"] = rooms.iter().map(|room| channel(*room, 2, json!([]))).collect();
                told["voice_states"] = seats
                    .into_iter()
                    .filter(|(_, room)| rooms.contains(room))
                    .map(|(user, room)| json!({"user_id": user.to_string(), "channel_id": room.to_string()}))
                    .collect();
                ("GUILD_CREATE", told)
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_snapshot_and_the_events_after_it_make_the_next_snapshot(
            dispatches in prop::collection::vec(any_dispatch(), 1..60)
        ) {
            let mut model = model();
            let mut roster = Roster::of(&model);
            for (event, d) in dispatches {
                for derived in tell(&mut model, event, &d).1 {
                    roster.apply(&derived);
                }
                prop_assert_eq!(&roster, &Roster::of(&model), "after {} {}", event, d);
            }
        }
    }
}
