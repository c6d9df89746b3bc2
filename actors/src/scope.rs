//! Who may see an event, as it travels with the event over the link: judged by LinkServer when the event happens,
//! compared with a viewer's access by the web role when it is delivered.

use serde::{Deserialize, Serialize};

use crate::{
    dispatch_facts::{Facts, Place},
    permissions::Permissions,
    snowflake::{ChannelId, GuildId, UserId},
};

/// The audience of one event. The default is nobody.
///
/// `changes` stands apart from the audience: it is to be heeded even where nobody may see the event itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scope {
    /// The guild; without one, nobody sees the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guild: Option<GuildId>,
    /// Channels that a viewer must be able to view, all of them; a thread counts as its parent. `voice.moved` names
    /// two, where from and where to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelId>,
    /// What a viewer must hold besides: in those channels, or in the guild when there are none.
    #[serde(skip_serializing_if = "Permissions::is_empty")]
    pub needs: Permissions,
    /// Nobody sees it, whatever they hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Whose access in the guild is another after this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<AccessChange>,
}

/// Whose access an event changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AccessChange {
    /// Anyone's in the guild.
    Guild,
    /// These users'.
    Users(Vec<UserId>),
}

impl AccessChange {
    /// Whether the access of `user` may be another now.
    #[must_use]
    pub fn affects(&self, user: UserId) -> bool {
        match self {
            Self::Guild => true,
            Self::Users(users) => users.contains(&user),
        }
    }
}

impl Scope {
    /// Everyone in the guild who holds `needs`.
    pub(crate) fn guild(guild: GuildId, needs: Permissions) -> Self {
        Self { guild: Some(guild), needs, ..Self::default() }
    }

    /// Everyone who can view all of `channels`.
    pub(crate) fn channels(guild: GuildId, channels: impl Into<Vec<ChannelId>>) -> Self {
        Self { guild: Some(guild), channels: channels.into(), ..Self::default() }
    }
}

/// The audience of an event from a gateway that sends no scope and answers no questions about channels.
///
/// With `everyone`, each event of a guild goes to each of its members, as in the system this one replaces; without,
/// only what is harmless to every member. Secrets stay secret either way.
#[must_use]
pub fn legacy_scope(event: &str, d: &str, everyone: bool) -> Scope {
    let facts = Facts::read(event, d);
    let derived = event.starts_with("voice.") || event.starts_with("room.");
    let guild = if derived { Facts::guild_in_derived(d) } else { facts.guild };
    let Some(guild) = guild else { return Scope::default() };
    let row = row(event);
    let harmless =
        matches!(row, Row::Located { elsewhere: Elsewhere::Members, .. }) && facts.place == Place::Nowhere;
    if facts.ephemeral || row == Row::Nobody || !(everyone || harmless) {
        return Scope { guild: Some(guild), secret: true, ..Scope::default() };
    }
    Scope::guild(guild, Permissions::NONE)
}

/// A row of the table of audiences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// Nobody.
    Nobody,
    /// Who holds this in the guild.
    Holders(Permissions),
    /// Who can view the channel the voice state names, or the one that was left.
    Voice,
    /// Who can view the event's channel and holds `needs` in it; an event without a channel goes `elsewhere`.
    Located { needs: Permissions, elsewhere: Elsewhere },
}

/// Who sees an event that names no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// Every member.
    Members,
    /// Administrators.
    Administrators,
}

/// The table: which row an event belongs to. An event that is named nowhere goes by its channel or else to
/// administrators.
pub(crate) fn row(event: &str) -> Row {
    let located = |needs| Row::Located { needs, elsewhere: Elsewhere::Administrators };
    match event {
        "READY" | "RESUMED" | "USER_UPDATE" => Row::Nobody,
        // Secrets, and answers meant for the bot alone.
        "VOICE_SERVER_UPDATE"
        | "INTERACTION_CREATE"
        | "GUILD_MEMBERS_CHUNK"
        | "RATE_LIMITED"
        | "THREAD_LIST_SYNC" => Row::Nobody,
        // Lists private channels and who sits in them.
        "GUILD_CREATE" => Row::Holders(Permissions::ADMINISTRATOR),
        "GUILD_BAN_ADD" | "GUILD_BAN_REMOVE" => Row::Holders(Permissions::BAN_MEMBERS),
        "GUILD_AUDIT_LOG_ENTRY_CREATE" => Row::Holders(Permissions::VIEW_AUDIT_LOG),
        "GUILD_INTEGRATIONS_UPDATE" => Row::Holders(Permissions::MANAGE_GUILD),
        _ if event.starts_with("INTEGRATION_") || event.starts_with("AUTO_MODERATION_") => {
            Row::Holders(Permissions::MANAGE_GUILD)
        }
        "WEBHOOKS_UPDATE" => located(Permissions::MANAGE_WEBHOOKS),
        "INVITE_CREATE" | "INVITE_DELETE" => located(Permissions::MANAGE_CHANNELS),
        "VOICE_STATE_UPDATE" => Row::Voice,
        "GUILD_UPDATE"
        | "GUILD_ROLE_CREATE"
        | "GUILD_ROLE_UPDATE"
        | "GUILD_ROLE_DELETE"
        | "GUILD_EMOJIS_UPDATE"
        | "GUILD_STICKERS_UPDATE"
        | "GUILD_SOUNDBOARD_SOUND_CREATE"
        | "GUILD_SOUNDBOARD_SOUND_UPDATE"
        | "GUILD_SOUNDBOARD_SOUND_DELETE"
        | "GUILD_SOUNDBOARD_SOUNDS_UPDATE"
        | "GUILD_MEMBER_ADD"
        | "GUILD_MEMBER_UPDATE"
        | "GUILD_MEMBER_REMOVE"
        | "PRESENCE_UPDATE"
        | "GUILD_SCHEDULED_EVENT_CREATE"
        | "GUILD_SCHEDULED_EVENT_UPDATE"
        | "GUILD_SCHEDULED_EVENT_DELETE" => {
            Row::Located { needs: Permissions::NONE, elsewhere: Elsewhere::Members }
        }
        _ => located(Permissions::NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_the_shape_of_the_protocol_and_reads_itself() {
        let table = [
            (Scope::default(), "{}"),
            (Scope::guild(GuildId(1), Permissions::NONE), r#"{"guild":"1"}"#),
            (
                Scope {
                    needs: Permissions::BAN_MEMBERS,
                    secret: true,
                    changes: Some(AccessChange::Guild),
                    ..Scope::channels(GuildId(1), [ChannelId(2), ChannelId(3)])
                },
                r#"{"guild":"1","channels":["2","3"],"needs":"4","secret":true,"changes":"guild"}"#,
            ),
            (
                Scope { changes: Some(AccessChange::Users(vec![UserId(7)])), ..Scope::default() },
                r#"{"changes":{"users":["7"]}}"#,
            ),
        ];
        for (scope, text) in table {
            assert_eq!(serde_json::to_string(&scope).unwrap(), text);
            assert_eq!(serde_json::from_str::<Scope>(text).unwrap(), scope);
        }
        let newer = r#"{"guild":"1","channels":["2"],"unheard":{"of":1}}"#;
        assert_eq!(
            serde_json::from_str::<Scope>(newer).unwrap(),
            Scope::channels(GuildId(1), [ChannelId(2)])
        );
    }

    #[test]
    fn a_gateway_without_scopes_reaches_members_only_as_far_as_the_setting_goes() {
        // (event, d, whether `none` lets it through, whether `members` does)
        let table = [
            ("MESSAGE_CREATE", r#"{"guild_id":"1","channel_id":"2"}"#, false, true),
            ("MESSAGE_CREATE", r#"{"guild_id":"1","channel_id":"2","flags":64}"#, false, false),
            ("MESSAGE_CREATE", r#"{"channel_id":"2"}"#, false, false),
            ("VOICE_STATE_UPDATE", r#"{"guild_id":"1","channel_id":null}"#, false, true),
            ("GUILD_MEMBER_ADD", r#"{"guild_id":"1"}"#, true, true),
            ("GUILD_UPDATE", r#"{"id":"1"}"#, true, true),
            ("GUILD_CREATE", r#"{"id":"1"}"#, false, true),
            ("GUILD_SCHEDULED_EVENT_CREATE", r#"{"guild_id":"1","channel_id":null}"#, true, true),
            ("GUILD_SCHEDULED_EVENT_CREATE", r#"{"guild_id":"1","channel_id":"2"}"#, false, true),
            ("GUILD_SCHEDULED_EVENT_CREATE", r#"{"guild_id":"1","channel_id":[]}"#, false, true),
            ("VOICE_SERVER_UPDATE", r#"{"guild_id":"1"}"#, false, false),
            ("INTERACTION_CREATE", r#"{"guild_id":"1"}"#, false, false),
            ("voice.joined", r#"{"guildId":"1","channelId":"2"}"#, false, true),
            ("voice.moved", r#"{"guildId":"1","channelId":"2","previousChannelId":"3"}"#, false, true),
            ("A_NEW_EVENT_2031", r#"{"guild_id":"1"}"#, false, true),
            ("A_NEW_EVENT_2031", r#"{"guildId":"1"}"#, false, false),
            ("A_NEW_EVENT_2031", "[1]", false, false),
        ];
        let everyone = Scope::guild(GuildId(1), Permissions::NONE);
        for (event, d, by_none, by_members) in table {
            for (setting, expected) in [(false, by_none), (true, by_members)] {
                let scope = legacy_scope(event, d, setting);
                assert_eq!(scope == everyone, expected, "{event} {d} everyone={setting}");
                assert_eq!(!scope.secret && scope.guild.is_some(), expected, "{event} {d} is nobody's");
            }
        }
    }

    #[test]
    fn a_change_affects_those_it_names() {
        assert!(AccessChange::Guild.affects(UserId(1)));
        assert!(AccessChange::Users(vec![UserId(1)]).affects(UserId(1)));
        assert!(!AccessChange::Users(vec![UserId(1)]).affects(UserId(2)));
    }
}
