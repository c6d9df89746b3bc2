//! Whether a viewer may see an event: the web role's decision, one pure function of the event's scope and of what
//! the viewer may see.

use std::collections::HashMap;

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

/// What one viewer may see, in the form that decides quickly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerAccess {
    guilds: HashMap<GuildId, GuildView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GuildView {
    permissions: Permissions,
    channels: HashMap<ChannelId, Permissions>,
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

    /// The part of a snapshot that the viewer may see; `None` when they are not in the guild.
    #[must_use]
    pub fn filter(&self, snapshot: &VoiceSnapshot) -> Option<VoiceSnapshot> {
        let view = self.guilds.get(&snapshot.guild_id)?;
        let seen = snapshot.channels.iter().filter(|room| view.holds(room.channel_id, Permissions::NONE));
        Some(VoiceSnapshot { guild_id: snapshot.guild_id, channels: seen.cloned().collect() })
    }
}

impl GuildView {
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
