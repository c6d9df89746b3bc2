//! Whether a viewer may see an event: the web role's decision, one pure function of the event's scope and of what
//! the viewer may see.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use crate::derived::{Transform, transform_moved};
use crate::{
    derived::{VOICE_MOVED, VoiceSnapshot},
    permissions::Permissions,
    scope::Scope,
    snowflake::{ChannelId, GuildId},
};

/// What one user may see in one guild: a part of the answer to the link's `viewer` question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuildAccess {
    /// The guild.
    pub guild_id: GuildId,
    /// What the user may do in the guild at large.
    pub permissions: Permissions,
    /// The channels the user can view, and no others. Channels that were deleted lately are among them.
    pub channels: Vec<ChannelAccess>,
}

/// What one user may do in a channel that they can view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelAccess {
    /// The channel.
    pub id: ChannelId,
    /// What they may do in it.
    pub permissions: Permissions,
}

/// What one viewer may see, in the form that decides quickly: once per event and stream. The keys are Discord's own
/// numbers, which nobody can choose so that they collide, so the hash needs no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerAccess {
    guilds: FxHashMap<GuildId, GuildView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GuildView {
    permissions: Permissions,
    channels: FxHashMap<ChannelId, Permissions>,
}

/// What to do with an event for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it as it is.
    Deliver,
    /// Send that part of it which the viewer may know, under the same id.
    DeliverAs(Transform),
    /// Do not send it.
    Withhold,
}

impl FromIterator<GuildAccess> for ViewerAccess {
    fn from_iter<I: IntoIterator<Item = GuildAccess>>(guilds: I) -> Self {
        let view = |guild: GuildAccess| {
            let channels = guild.channels.iter().map(|channel| (channel.id, channel.permissions)).collect();
            (guild.guild_id, GuildView { permissions: guild.permissions, channels })
        };
        Self { guilds: guilds.into_iter().map(view).collect() }
    }
}

impl From<Vec<GuildAccess>> for ViewerAccess {
    fn from(guilds: Vec<GuildAccess>) -> Self {
        guilds.into_iter().collect()
    }
}

impl ViewerAccess {
    /// The guilds the viewer is a member of.
    pub fn guild_ids(&self) -> impl Iterator<Item = GuildId> + '_ {
        self.guilds.keys().copied()
    }

    /// What the viewer may do in a guild; `None` when they are not in it.
    #[must_use]
    pub fn guild_permissions(&self, guild: GuildId) -> Option<Permissions> {
        self.guilds.get(&guild).map(|view| view.permissions)
    }

    /// Whether the viewer can view a channel.
    #[must_use]
    pub fn sees(&self, guild: GuildId, channel: ChannelId) -> bool {
        self.guilds.get(&guild).is_some_and(|view| view.holds(channel, Permissions::NONE))
    }

    /// What the viewer may do in a channel; `None` when they cannot view it.
    #[must_use]
    pub fn channel_permissions(&self, guild: GuildId, channel: ChannelId) -> Option<Permissions> {
        let view = self.guilds.get(&guild)?;
        let held = view.channels.get(&channel).copied();
        held.or_else(|| view.permissions.contains(Permissions::ADMINISTRATOR).then_some(Permissions::ALL))
    }

    /// Whether the same channels can be viewed with this access as with another.
    #[must_use]
    pub fn views_the_same(&self, other: &Self) -> bool {
        let same = |(id, view): (&GuildId, &GuildView)| {
            other.guilds.get(id).is_some_and(|other| view.views_the_same(other))
        };
        self.guilds.len() == other.guilds.len() && self.guilds.iter().all(same)
    }

    /// The part of a snapshot that the viewer may see; `None` when they are not in the guild.
    #[must_use]
    pub fn filter(&self, snapshot: &VoiceSnapshot) -> Option<VoiceSnapshot> {
        let view = self.guilds.get(&snapshot.guild_id)?;
        let seen = snapshot.channels.iter().filter(|room| view.holds(room.channel_id, Permissions::NONE));
        Some(VoiceSnapshot { guild_id: snapshot.guild_id, channels: seen.cloned().collect() })
    }
}

impl GuildView {
    fn views_the_same(&self, other: &Self) -> bool {
        let administers = |view: &Self| view.permissions.contains(Permissions::ADMINISTRATOR);
        administers(self) == administers(other)
            && self.channels.len() == other.channels.len()
            && self.channels.keys().all(|channel| other.channels.contains_key(channel))
    }

    /// Administrators also see what the guild model does not know: an unknown channel is theirs alone.
    fn holds(&self, channel: ChannelId, needs: Permissions) -> bool {
        self.permissions.contains(Permissions::ADMINISTRATOR)
            || self.channels.get(&channel).is_some_and(|held| held.contains(needs))
    }
}

/// Decides whether the viewer with this `access` is sent `event`.
#[must_use]
pub fn decide(event: &str, scope: &Scope, access: &ViewerAccess) -> Decision {
    let Some(view) = scope.guild.filter(|_| !scope.secret).and_then(|guild| access.guilds.get(&guild)) else {
        return Decision::Withhold;
    };
    let sees = |channel: &ChannelId| view.holds(*channel, scope.needs);
    if let (VOICE_MOVED, [from, to]) = (event, scope.channels.as_slice()) {
        return match (sees(from), sees(to)) {
            (true, true) => Decision::Deliver,
            (true, false) => Decision::DeliverAs(Transform::MovedToLeft),
            (false, true) => Decision::DeliverAs(Transform::MovedToJoined),
            (false, false) => Decision::Withhold,
        };
    }
    let may = if scope.channels.is_empty() {
        view.permissions.contains(scope.needs)
    } else {
        scope.channels.iter().all(sees)
    };
    if may { Decision::Deliver } else { Decision::Withhold }
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, time::Instant};

    use serde_json::{Value, json, value::RawValue};

    use super::*;
    use crate::{
        derived::{VOICE_JOINED, VOICE_LEFT},
        guild_model::{
            GuildModel, Membership,
            fixture::{self, ADA, GRACE, GUILD, LINUS, MALLORY, model, viewer},
        },
        snowflake::UserId,
    };

    const CORPUS: &str = include_str!("../../tests/corpus/dispatch.jsonl");

    fn deciding(event: &str, scope: &Scope, model: &GuildModel) -> [Decision; 4] {
        [ADA, GRACE, LINUS, MALLORY].map(|user| decide(event, scope, &viewer(model, user)))
    }

    #[test]
    fn a_scope_is_for_those_who_hold_all_it_asks() {
        const YES: Decision = Decision::Deliver;
        const NO: Decision = Decision::Withhold;
        let model = model();
        let guild = |needs| Scope::guild(GUILD, needs);
        let channels =
            |ids: &[u64]| Scope::channels(GUILD, ids.iter().map(|id| ChannelId(*id)).collect::<Vec<_>>());
        // For the owner, staff, a member and an outsider.
        let table = [
            ("nobody", Scope::default(), [NO, NO, NO, NO]),
            ("another guild", Scope::guild(GuildId(5), Permissions::NONE), [NO, NO, NO, NO]),
            ("a secret", Scope { secret: true, ..guild(Permissions::NONE) }, [NO, NO, NO, NO]),
            ("members", guild(Permissions::NONE), [YES, YES, YES, NO]),
            ("administrators", guild(Permissions::ADMINISTRATOR), [YES, NO, NO, NO]),
            ("an open channel", channels(&[101]), [YES, YES, YES, NO]),
            ("a staff channel", channels(&[102]), [YES, YES, NO, NO]),
            ("both", channels(&[101, 102]), [YES, YES, NO, NO]),
            ("an unknown channel", channels(&[999]), [YES, NO, NO, NO]),
            (
                "webhooks",
                Scope { needs: Permissions::MANAGE_WEBHOOKS, ..channels(&[101]) },
                [YES, NO, NO, NO],
            ),
        ];
        for (what, scope, expected) in table {
            assert_eq!(deciding("X", &scope, &model), expected, "{what}");
        }
        let moved = |from, to| deciding(VOICE_MOVED, &channels(&[from, to]), &model);
        let left = Decision::DeliverAs(Transform::MovedToLeft);
        let joined = Decision::DeliverAs(Transform::MovedToJoined);
        assert_eq!(moved(201, 202), [YES, YES, YES, NO]);
        assert_eq!(moved(201, 203), [YES, YES, left, NO]);
        assert_eq!(moved(203, 201), [YES, YES, joined, NO]);
        assert_eq!(moved(999, 203), [YES, joined, NO, NO]);
    }

    #[test]
    fn a_move_that_is_half_seen_is_told_as_a_leave_or_a_join() {
        let moved = r#"{"guildId":"100","channelId":"202","previousChannelId":"201","userId":"3","username":"u\"3","displayName":null,"avatar":null}"#;
        let table = [
            (
                Transform::MovedToLeft,
                VOICE_LEFT,
                r#"{"guildId":"100","channelId":null,"userId":"3","previousChannelId":"201"}"#,
            ),
            (
                Transform::MovedToJoined,
                VOICE_JOINED,
                r#"{"guildId":"100","channelId":"202","userId":"3","username":"u\"3","displayName":null,"avatar":null}"#,
            ),
        ];
        for (transform, event, expected) in table {
            assert_eq!(transform.event(), event);
            assert_eq!(transform_moved(moved, transform).as_deref(), Some(expected));
            assert_eq!(transform_moved("{}", transform), None);
            assert_eq!(transform_moved(expected, transform), None);
        }
    }

    #[test]
    fn a_snapshot_shows_each_the_rooms_they_see() {
        let mut model = model();
        fixture::tell(&mut model, "VOICE_STATE_UPDATE", &fixture::voice(2, Some(203)));
        fixture::tell(&mut model, "VOICE_STATE_UPDATE", &fixture::voice(3, Some(999)));
        let snapshot = model.voice_snapshot(GUILD).unwrap();
        let rooms = |user| {
            let shown = viewer(&model, user).filter(&snapshot)?;
            Some(
                shown.channels.iter().map(|room| (room.channel_id.0, room.members.len())).collect::<Vec<_>>(),
            )
        };
        assert_eq!(rooms(ADA), Some(vec![(201, 0), (202, 0), (203, 1), (999, 1)]));
        assert_eq!(rooms(GRACE), Some(vec![(201, 0), (202, 0), (203, 1)]));
        assert_eq!(rooms(LINUS), Some(vec![(201, 0), (202, 0)]));
        assert_eq!(rooms(MALLORY), None);
    }

    /// Who of the four sees a line of the corpus; each also sees what those after them see.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Least {
        Nobody,
        Owner,
        Staff,
        Member,
    }

    /// The corpus, with a staff role and two staff channels put into its guild after it was told of.
    fn corpus() -> Vec<(usize, String, String)> {
        #[derive(serde::Deserialize)]
        struct Dispatch<'a> {
            t: String,
            #[serde(borrow)]
            d: &'a RawValue,
        }
        let guild = "910000000000000001";
        let overwrite = |id: &str, allow, deny| json!({"id": id, "type": 0, "allow": allow, "deny": deny});
        let private = |id: &str, kind: u64| {
            let overwrites = [overwrite(guild, "0", "1024"), overwrite("301", "1024", "0")];
            json!({"guild_id": guild, "id": id, "type": kind, "name": "staff", "permission_overwrites": overwrites})
        };
        let joined =
            |user: &str, roles: &[&str]| json!({"guild_id": guild, "user": {"id": user}, "roles": roles});
        let role = json!({"guild_id": guild, "role": {"id": "301", "permissions": "0"}});
        let added = [
            ("GUILD_ROLE_CREATE", role),
            ("GUILD_MEMBER_ADD", joined("2", &["301"])),
            ("GUILD_MEMBER_ADD", joined("3", &[])),
            ("CHANNEL_CREATE", private("910000000000000102", 0)),
            ("CHANNEL_UPDATE", private("910000000000000202", 2)),
        ];
        let mut dispatches = Vec::new();
        for (number, line) in (1..).zip(CORPUS.lines()) {
            let dispatch: Dispatch<'_> = serde_json::from_str(line).unwrap();
            dispatches.push((number, dispatch.t, dispatch.d.get().to_owned()));
            if number == 3 {
                dispatches
                    .extend(added.iter().map(|(t, d): &(_, Value)| (0, (*t).to_owned(), d.to_string())));
            }
        }
        dispatches
    }

    fn least(event: &str, scope: &Scope, model: &GuildModel) -> (Least, Vec<Decision>) {
        let users = [UserId(930_000_000_000_000_001), GRACE, LINUS, MALLORY];
        let decisions: Vec<_> = users
            .iter()
            .map(|user| match model.access(GuildId(910_000_000_000_000_001), *user, fixture::now()) {
                Membership::Member(access) => decide(event, scope, &vec![access].into()),
                _ => decide(event, scope, &ViewerAccess::default()),
            })
            .collect();
        let seers: Vec<_> = decisions.iter().map(|decision| *decision != Decision::Withhold).collect();
        let least = match seers.as_slice() {
            [false, false, false, false] => Least::Nobody,
            [true, false, false, false] => Least::Owner,
            [true, true, false, false] => Least::Staff,
            [true, true, true, false] => Least::Member,
            other => panic!("no such audience: {other:?}"),
        };
        (least, decisions)
    }

    #[test]
    fn every_line_of_the_corpus_reaches_exactly_its_audience() {
        use Least::{Member, Nobody, Owner, Staff};
        let expected = |line: usize| match line {
            // READY and RESUMED; a secret or two; other guilds and none.
            1 | 2 | 4 | 29 | 34 | 38 | 49 | 54 | 55 | 59 | 60 => Nobody,
            // Names no guild.
            62..=73 => Nobody,
            // GUILD_CREATE; a channel that was never told of (203); bans, audit log, invites, webhooks.
            3 | 8 | 39 | 41 | 56 | 57 | 61 => Owner,
            // Into and out of the staff's voice channel; its text channel is deleted.
            6 | 7 | 44 => Staff,
            5 | 9..=28 | 30..=33 | 35..=37 | 40 | 42 | 43 | 45..=48 | 50..=53 | 58 => Member,
            other => panic!("line {other} is not in the table"),
        };
        let left = Decision::DeliverAs(Transform::MovedToLeft);
        // What is derived, the least that sees it, and what an ordinary member is told.
        let expected_derived = |line: usize| -> &[(&str, Least, Decision)] {
            match line {
                5 => &[("voice.joined", Member, Decision::Deliver)],
                6 => &[("voice.moved", Member, Decision::DeliverAs(Transform::MovedToLeft))],
                7 => &[("voice.left", Staff, Decision::Withhold)],
                8 => &[("voice.joined", Owner, Decision::Withhold)],
                _ => &[],
            }
        };
        assert_eq!(expected_derived(6)[0].2, left);
        let mut model = GuildModel::default();
        for (line, event, d) in corpus() {
            let facts = crate::dispatch_facts::Facts::read(&event, &d);
            let scope = model.scope(&facts);
            let derived = model.apply(facts);
            if line == 0 {
                continue;
            }
            assert_eq!(least(&event, &scope, &model).0, expected(line), "line {line} {event} {scope:?}");
            let told: Vec<_> = derived
                .iter()
                .map(|derived| {
                    let (least, decisions) = least(derived.event, &derived.scope, &model);
                    (derived.event, least, decisions[2])
                })
                .collect();
            assert_eq!(told, expected_derived(line), "derived from line {line}");
        }
    }

    /// `cargo test -p guildstream-actors --release -- --ignored --nocapture nanoseconds`
    #[test]
    #[ignore = "a measurement"]
    fn nanoseconds_per_decision() {
        const CHANNELS: u64 = 500;
        const VIEWERS: usize = 1_000;
        let channel = |n| ChannelAccess {
            id: ChannelId(910_000_000_000_000_000 + n * 4_194_304_001),
            permissions: Permissions(3072),
        };
        let channels: Vec<_> = (0..CHANNELS).map(channel).collect();
        let access =
            || GuildAccess { guild_id: GUILD, permissions: Permissions(3072), channels: channels.clone() };
        // Each viewer's access is memory of its own, as it is in the broker.
        let viewers: Vec<ViewerAccess> = (0..VIEWERS).map(|_| vec![access()].into()).collect();
        let start = Instant::now();
        for channel in &channels {
            let scope = Scope::channels(GUILD, [channel.id]);
            for access in &viewers {
                let decision = decide(black_box("MESSAGE_CREATE"), black_box(&scope), black_box(access));
                assert_eq!(black_box(decision), Decision::Deliver);
            }
        }
        let decisions = CHANNELS as usize * VIEWERS;
        println!("{:.1} ns per decision", start.elapsed().as_nanos() as f64 / decisions as f64);
    }
}
