//! The demo guild: four people who can sign in, a crowd of simulated members, and channels of every kind.

use std::collections::{BTreeMap, HashMap};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Application, World,
    guild::{
        Channel, ChannelKind, Emoji, Guild, Member, Overwrite, OverwriteKind, Role, Status, Thread,
        VoiceState,
    },
    id::{Id, Mint, Timestamp},
    message::MessageBody,
    permissions::Permissions,
    user::User,
};
use crate::config::SandboxConfig;

/// A person one can sign in as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    /// What `login_hint` calls them, also their username.
    pub(crate) login: &'static str,
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    /// One line for the sign-in page.
    pub(crate) what: &'static str,
}

/// The owner of the demo guild and of the application.
const ADA: Id = Id(930_000_000_000_000_001);
const GRACE: Id = Id(930_000_000_000_000_002);
const LINUS: Id = Id(930_000_000_000_000_003);
const MALLORY: Id = Id(939_000_000_000_000_001);

/// The four who can sign in. All but mallory are members of the demo guild.
pub(crate) const PEOPLE: [Person; 4] = [
    Person { login: "ada", id: ADA, name: "Ada", what: "owns the guild: sees and may do everything" },
    Person { login: "grace", id: GRACE, name: "Grace", what: "staff: also sees #staff and the Staff Room" },
    Person { login: "linus", id: LINUS, name: "Linus", what: "an ordinary member" },
    Person { login: "mallory", id: MALLORY, name: "Mallory", what: "is in no guild at all" },
];

const APPLICATION: Id = Id(1_000_000_000_000_000_001);
const GUILD: Id = Id(910_000_000_000_000_001);
const GENERAL: Id = Id(910_000_000_000_000_101);
const LOUNGE: Id = Id(910_000_000_000_000_201);
const WORKSHOP: Id = Id(910_000_000_000_000_202);
const ROOMS: Id = Id(910_000_000_000_000_501);
const TALK: Id = Id(910_000_000_000_000_502);
const THREAD: Id = Id(910_000_000_000_000_401);
const STAFF_ROLE: Id = Id(940_000_000_000_000_001);
const BOT_ROLE: Id = Id(940_000_000_000_000_009);
const PARTY: Id = Id(950_000_000_000_000_001);

/// The first simulated member; the others follow.
const FIRST_SIMULATED: u64 = 930_000_000_000_000_004;

/// 2025-03-01T00:00:00Z: when the demo guild began. Fixed, so that two runs show the same dates.
const BEGINNING_S: i64 = 1_740_787_200;

/// Share of members shown online in a guild too large to be chatting all at once.
const ONLINE_IN_A_CROWD: f64 = 0.1;

const NAMES: [&str; 40] = [
    "Amélie",
    "Bjørn",
    "Chidi",
    "Dilnoza",
    "Eun-ji",
    "Fatima",
    "Giorgos",
    "Hana",
    "Ignacio",
    "Jasper",
    "Kofi",
    "Leilani",
    "Mateo",
    "Nadia",
    "Oluwaseun",
    "Priya",
    "Quentin",
    "Rosa",
    "Søren",
    "Tariq",
    "Uma",
    "Viktor",
    "Wanjiru",
    "Xiulan",
    "Yusuf",
    "Zofia",
    "Anahí",
    "Bao",
    "Céline",
    "Dmitri",
    "Elif",
    "Farid",
    "Gwen",
    "Hiroshi",
    "Ingrid",
    "João",
    "Keoni",
    "Lucía",
    "Mei",
    "Noor",
];

const MEMBER: Permissions = Permissions::VIEW_CHANNEL
    .with(Permissions::SEND_MESSAGES)
    .with(Permissions::SEND_MESSAGES_IN_THREADS)
    .with(Permissions::CREATE_PUBLIC_THREADS)
    .with(Permissions::READ_MESSAGE_HISTORY)
    .with(Permissions::ADD_REACTIONS)
    .with(Permissions::EMBED_LINKS)
    .with(Permissions::ATTACH_FILES)
    .with(Permissions::USE_EXTERNAL_EMOJIS)
    .with(Permissions::CREATE_INSTANT_INVITE)
    .with(Permissions::CHANGE_NICKNAME)
    .with(Permissions::CONNECT)
    .with(Permissions::SPEAK)
    .with(Permissions::STREAM)
    .with(Permissions::USE_VAD)
    .with(Permissions::REQUEST_TO_SPEAK)
    .with(Permissions::USE_APPLICATION_COMMANDS);

const STAFF: Permissions = Permissions::MANAGE_MESSAGES
    .with(Permissions::PIN_MESSAGES)
    .with(Permissions::MOVE_MEMBERS)
    .with(Permissions::MUTE_MEMBERS);

/// The bot is no administrator, so that missing permissions can be met.
const BOT: Permissions = STAFF
    .with(Permissions::VIEW_AUDIT_LOG)
    .with(Permissions::MANAGE_GUILD)
    .with(Permissions::MANAGE_CHANNELS)
    .with(Permissions::MANAGE_ROLES)
    .with(Permissions::MANAGE_THREADS)
    .with(Permissions::MANAGE_NICKNAMES)
    .with(Permissions::MANAGE_WEBHOOKS)
    .with(Permissions::CREATE_PRIVATE_THREADS)
    .with(Permissions::MENTION_EVERYONE)
    .with(Permissions::DEAFEN_MEMBERS)
    .with(Permissions::KICK_MEMBERS)
    .with(Permissions::BAN_MEMBERS)
    .with(Permissions::MODERATE_MEMBERS);

impl World {
    /// A world with the demo guild in it; the same for the same seed.
    pub(crate) fn demo(config: &SandboxConfig) -> Self {
        let SandboxConfig { members, seed, privileged_intents, shards, .. } = *config;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut users = HashMap::new();
        let bot = User { id: APPLICATION, username: "guildstream".to_owned(), global_name: None, bot: true };
        users.insert(bot.id, bot);
        for person in PEOPLE {
            users.insert(person.id, account(person.id, person.login.to_owned(), person.name.to_owned()));
        }
        let began = Timestamp::from_unix_s(BEGINNING_S);
        let mut guild = Guild {
            id: GUILD,
            name: "Sandbox guild".to_owned(),
            owner: ADA,
            system_channel: Some(GENERAL),
            roles: roles(),
            channels: channels(),
            members: BTreeMap::new(),
            voice: BTreeMap::new(),
            emojis: vec![Emoji { id: PARTY, name: "party".to_owned(), animated: true }],
            bans: BTreeMap::new(),
        };
        for (id, role) in
            [(APPLICATION, Some(BOT_ROLE)), (ADA, None), (GRACE, Some(STAFF_ROLE)), (LINUS, None)]
        {
            let mut member = Member::new(id, began);
            member.roles.extend(role);
            member.status = Status::Online;
            guild.members.insert(id, member);
        }
        let simulated = u64::from(members.saturating_sub(3));
        let online = if members > 250 { ONLINE_IN_A_CROWD } else { 0.75 };
        for at in 0..simulated {
            let user = simulated_user(at);
            let mut member = Member::new(user.id, Timestamp::from_unix_s(BEGINNING_S + 60 * at as i64));
            if rng.random_bool(online) {
                member.status = [Status::Online, Status::Idle, Status::Dnd][rng.random_range(0..3)];
            }
            guild.members.insert(user.id, member);
            users.insert(user.id, user);
        }
        seat_some(&mut guild, simulated);
        let application = Application {
            id: APPLICATION,
            bot: APPLICATION,
            owner: ADA,
            privileged_intents,
            shards: u64::from(shards),
            commands: Vec::new(),
        };
        let mut world = Self {
            application,
            users,
            guilds: BTreeMap::from([(GUILD, guild)]),
            mint: Mint::default(),
            outbox: Vec::new(),
        };
        let welcome =
            MessageBody { content: "Welcome. Nothing here is real.".to_owned(), ..MessageBody::default() };
        world.post(GENERAL, ADA, welcome);
        world.take_events();
        world
    }

    /// True for members that nobody plays: the simulation may do with them what it likes.
    pub(crate) fn is_simulated(&self, user: Id) -> bool {
        (FIRST_SIMULATED..MALLORY.0).contains(&user.0)
    }
}

fn account(id: Id, username: String, name: String) -> User {
    User { id, username, global_name: Some(name), bot: false }
}

fn simulated_user(at: u64) -> User {
    let id = Id(FIRST_SIMULATED + at);
    let name = NAMES[at as usize % NAMES.len()];
    let mut username: String = name
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_lowercase() { letter } else { '_' })
        .collect();
    let round = at as usize / NAMES.len();
    if round == 0 {
        return account(id, username, name.to_owned());
    }
    username.push_str(&round.to_string());
    account(id, username, format!("{name} {round}"))
}

/// The first few simulated members sit in voice from the start.
fn seat_some(guild: &mut Guild, simulated: u64) {
    for at in 0..simulated.min(5) {
        let channel = if at < 3 { LOUNGE } else { WORKSHOP };
        let seat = VoiceState {
            channel,
            session_id: format!("{at:032x}"),
            self_mute: at == 2,
            self_deaf: false,
            self_video: false,
            self_stream: false,
            suppress: false,
        };
        guild.voice.insert(Id(FIRST_SIMULATED + at), seat);
    }
}

fn roles() -> BTreeMap<Id, Role> {
    let role = |id, name: &str, color, position, permissions, bot: Option<Id>| Role {
        id,
        name: name.to_owned(),
        color,
        hoist: bot.is_none() && position > 0,
        position,
        permissions,
        mentionable: false,
        bot,
    };
    [
        role(GUILD, "@everyone", 0, 0, MEMBER, None),
        role(STAFF_ROLE, "Staff", 0x00E6_7E22, 1, STAFF, None),
        role(BOT_ROLE, "guildstream", 0x0058_65F2, 2, BOT, Some(APPLICATION)),
    ]
    .into_iter()
    .map(|role| (role.id, role))
    .collect()
}

/// Two rooms of voice and a stage, five text channels of which one is private to staff, one read-only and one closed
/// even to the bot, and a thread.
fn channels() -> BTreeMap<Id, Channel> {
    use ChannelKind::{Category, PublicThread, Stage, Text, Voice};
    let place = |id: u64, kind, name: &str, position, parent: Option<Id>, overwrites: &[Overwrite]| {
        let mut channel = Channel::new(Id(id), kind, name);
        channel.position = position;
        channel.parent = parent;
        channel.overwrites = overwrites.to_vec();
        channel
    };
    let see = Permissions::VIEW_CHANNEL.with(Permissions::CONNECT);
    let role = |id, allow, deny| Overwrite { id, kind: OverwriteKind::Role, allow, deny };
    let closed = role(GUILD, Permissions::NONE, see);
    let staff_only =
        [closed, role(STAFF_ROLE, see, Permissions::NONE), role(BOT_ROLE, see, Permissions::NONE)];
    let read_only = [
        role(GUILD, Permissions::NONE, Permissions::SEND_MESSAGES),
        role(STAFF_ROLE, Permissions::SEND_MESSAGES, Permissions::NONE),
    ];
    let mut general = place(GENERAL.0, Text, "general", 0, Some(TALK), &[]);
    general.topic = Some("Whatever comes to mind".to_owned());
    let mut workshop = place(WORKSHOP.0, Voice, "Workshop", 1, Some(ROOMS), &[]);
    workshop.user_limit = 10;
    let mut thread = place(THREAD.0, PublicThread, "Weekend plans", 0, Some(GENERAL), &[]);
    let began = Timestamp::from_unix_s(BEGINNING_S);
    thread.thread = Some(Thread {
        owner: ADA,
        created: began,
        archive_changed: began,
        archived: false,
        locked: false,
        auto_archive_min: 10_080,
        message_count: 0,
        members: BTreeMap::from([(ADA, began)]),
    });
    [
        place(TALK.0, Category, "Talk", 0, None, &[]),
        general,
        place(910_000_000_000_000_102, Text, "other", 1, Some(TALK), &[]),
        place(910_000_000_000_000_103, Text, "staff", 2, Some(TALK), &staff_only),
        place(910_000_000_000_000_104, Text, "announcements", 3, Some(TALK), &read_only),
        place(910_000_000_000_000_105, Text, "vault", 4, Some(TALK), &[closed]),
        place(ROOMS.0, Category, "Rooms", 1, None, &[]),
        place(LOUNGE.0, Voice, "Lounge", 0, Some(ROOMS), &[]),
        workshop,
        place(910_000_000_000_000_203, Stage, "Town Hall", 2, Some(ROOMS), &[]),
        place(910_000_000_000_000_204, Voice, "Staff Room", 3, Some(ROOMS), &staff_only),
        thread,
    ]
    .into_iter()
    .map(|channel| (channel.id, channel))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(members: u32, seed: u64) -> World {
        World::demo(&SandboxConfig { members, seed, ..SandboxConfig::default() })
    }

    #[test]
    fn the_four_people_see_what_the_page_says_of_them() {
        let world = demo(24, 1);
        let (staff, room, vault) =
            (Id(910_000_000_000_000_103), Id(910_000_000_000_000_204), Id(910_000_000_000_000_105));
        let sees = |user, channel| world.permissions_in(user, channel).contains(Permissions::VIEW_CHANNEL);
        for (user, expected) in [
            (ADA, [true, true, true, true]),
            (GRACE, [true, true, true, false]),
            (LINUS, [true, false, false, false]),
            (MALLORY, [false, false, false, false]),
            (APPLICATION, [true, true, true, false]),
        ] {
            assert_eq!([GENERAL, staff, room, vault].map(|channel| sees(user, channel)), expected, "{user}");
        }
    }

    #[test]
    fn the_guild_has_as_many_people_as_asked_for_and_one_bot() {
        for members in [3, 24, 1000] {
            let world = demo(members, 1);
            assert_eq!(world.guilds[&GUILD].members.len(), members as usize + 1);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_guild() {
        let statuses = |seed| {
            let world = demo(200, seed);
            world.guilds[&GUILD].members.values().map(|member| member.status).collect::<Vec<_>>()
        };
        assert_eq!(statuses(7), statuses(7));
        assert_ne!(statuses(7), statuses(8));
    }
}
