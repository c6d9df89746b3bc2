//! Which event needs which intent.
//!
//! <https://discord.com/developers/docs/events/gateway#list-of-intents>

/// A bit per group of events, as IDENTIFY sends them.
pub(crate) type Intents = u64;

pub(crate) const GUILDS: Intents = 1 << 0;
pub(crate) const GUILD_MEMBERS: Intents = 1 << 1;
const GUILD_MODERATION: Intents = 1 << 2;
const GUILD_EXPRESSIONS: Intents = 1 << 3;
const GUILD_INTEGRATIONS: Intents = 1 << 4;
const GUILD_WEBHOOKS: Intents = 1 << 5;
const GUILD_INVITES: Intents = 1 << 6;
const GUILD_VOICE_STATES: Intents = 1 << 7;
pub(crate) const GUILD_PRESENCES: Intents = 1 << 8;
const GUILD_MESSAGES: Intents = 1 << 9;
const GUILD_MESSAGE_REACTIONS: Intents = 1 << 10;
const GUILD_MESSAGE_TYPING: Intents = 1 << 11;
const DIRECT_MESSAGES: Intents = 1 << 12;
const DIRECT_MESSAGE_REACTIONS: Intents = 1 << 13;
const DIRECT_MESSAGE_TYPING: Intents = 1 << 14;
pub(crate) const MESSAGE_CONTENT: Intents = 1 << 15;
const GUILD_SCHEDULED_EVENTS: Intents = 1 << 16;
const AUTO_MODERATION_CONFIGURATION: Intents = 1 << 20;
const AUTO_MODERATION_EXECUTION: Intents = 1 << 21;
const GUILD_MESSAGE_POLLS: Intents = 1 << 24;
const DIRECT_MESSAGE_POLLS: Intents = 1 << 25;

/// Intents that must be switched on in the developer portal first.
pub(crate) const PRIVILEGED: Intents = GUILD_MEMBERS | GUILD_PRESENCES | MESSAGE_CONTENT;

/// Every intent there is; any other bit ends in close 4013.
pub(crate) const ALL: Intents = 0x1FFFF
    | AUTO_MODERATION_CONFIGURATION
    | AUTO_MODERATION_EXECUTION
    | GUILD_MESSAGE_POLLS
    | DIRECT_MESSAGE_POLLS;

/// The privileged intents by name, for control routes and messages.
pub(crate) const PRIVILEGED_NAMES: [(&str, Intents); 3] = [
    ("GUILD_MEMBERS", GUILD_MEMBERS),
    ("GUILD_PRESENCES", GUILD_PRESENCES),
    ("MESSAGE_CONTENT", MESSAGE_CONTENT),
];

/// The application flags that show which privileged intents are switched on, in the form for small applications.
///
/// <https://discord.com/developers/docs/resources/application#application-object-application-flags>
pub(crate) fn application_flags(privileged: Intents) -> u64 {
    let flags = [(GUILD_PRESENCES, 1 << 13), (GUILD_MEMBERS, 1 << 15), (MESSAGE_CONTENT, 1 << 19)];
    flags.into_iter().filter(|(intent, _)| privileged & intent != 0).map(|(_, flag)| flag).sum()
}

/// The intents of which a session needs one to be told `event`; 0 when it is told in any case.
pub(crate) fn needed_for(event: &str, in_guild: bool) -> Intents {
    let of = |guild, direct| if in_guild { guild } else { direct };
    match event {
        "THREAD_MEMBERS_UPDATE" => GUILDS | GUILD_MEMBERS,
        "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE" | "GUILD_MEMBER_REMOVE" => GUILD_MEMBERS,
        "GUILD_BAN_ADD" | "GUILD_BAN_REMOVE" | "GUILD_AUDIT_LOG_ENTRY_CREATE" => GUILD_MODERATION,
        "GUILD_EMOJIS_UPDATE" | "GUILD_STICKERS_UPDATE" => GUILD_EXPRESSIONS,
        "WEBHOOKS_UPDATE" => GUILD_WEBHOOKS,
        "INVITE_CREATE" | "INVITE_DELETE" => GUILD_INVITES,
        "VOICE_STATE_UPDATE" | "VOICE_CHANNEL_EFFECT_SEND" => GUILD_VOICE_STATES,
        "PRESENCE_UPDATE" => GUILD_PRESENCES,
        "TYPING_START" => of(GUILD_MESSAGE_TYPING, DIRECT_MESSAGE_TYPING),
        "MESSAGE_CREATE" | "MESSAGE_UPDATE" | "MESSAGE_DELETE" => of(GUILD_MESSAGES, DIRECT_MESSAGES),
        "MESSAGE_DELETE_BULK" => GUILD_MESSAGES,
        "CHANNEL_PINS_UPDATE" => of(GUILDS, DIRECT_MESSAGES),
        _ if event.starts_with("MESSAGE_REACTION_") => of(GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGE_REACTIONS),
        _ if event.starts_with("MESSAGE_POLL_") => of(GUILD_MESSAGE_POLLS, DIRECT_MESSAGE_POLLS),
        _ if event.starts_with("GUILD_SCHEDULED_EVENT_") => GUILD_SCHEDULED_EVENTS,
        _ if event.starts_with("GUILD_SOUNDBOARD_") => GUILD_EXPRESSIONS,
        _ if event.starts_with("INTEGRATION_") || event == "GUILD_INTEGRATIONS_UPDATE" => GUILD_INTEGRATIONS,
        "AUTO_MODERATION_ACTION_EXECUTION" => AUTO_MODERATION_EXECUTION,
        _ if event.starts_with("AUTO_MODERATION_") => AUTO_MODERATION_CONFIGURATION,
        _ => {
            let prefixes = [
                "GUILD_CREATE",
                "GUILD_UPDATE",
                "GUILD_DELETE",
                "GUILD_ROLE_",
                "CHANNEL_",
                "THREAD_",
                "STAGE_",
            ];
            if prefixes.iter().any(|prefix| event.starts_with(prefix)) { GUILDS } else { 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_asks_for_the_intent_that_discord_lists() {
        for (event, in_guild, intents) in [
            ("READY", false, 0),
            ("RESUMED", false, 0),
            ("VOICE_SERVER_UPDATE", true, 0),
            ("INTERACTION_CREATE", true, 0),
            ("USER_UPDATE", false, 0),
            ("GUILD_CREATE", true, GUILDS),
            ("GUILD_ROLE_DELETE", true, GUILDS),
            ("CHANNEL_PINS_UPDATE", true, GUILDS),
            ("CHANNEL_PINS_UPDATE", false, DIRECT_MESSAGES),
            ("THREAD_CREATE", true, GUILDS),
            ("THREAD_MEMBERS_UPDATE", true, GUILDS | GUILD_MEMBERS),
            ("STAGE_INSTANCE_CREATE", true, GUILDS),
            ("GUILD_MEMBER_ADD", true, GUILD_MEMBERS),
            ("GUILD_BAN_ADD", true, GUILD_MODERATION),
            ("GUILD_SOUNDBOARD_SOUND_CREATE", true, GUILD_EXPRESSIONS),
            ("INTEGRATION_CREATE", true, GUILD_INTEGRATIONS),
            ("VOICE_STATE_UPDATE", true, GUILD_VOICE_STATES),
            ("PRESENCE_UPDATE", true, GUILD_PRESENCES),
            ("MESSAGE_CREATE", true, GUILD_MESSAGES),
            ("MESSAGE_CREATE", false, DIRECT_MESSAGES),
            ("MESSAGE_REACTION_REMOVE_EMOJI", true, GUILD_MESSAGE_REACTIONS),
            ("TYPING_START", true, GUILD_MESSAGE_TYPING),
            ("GUILD_SCHEDULED_EVENT_USER_ADD", true, GUILD_SCHEDULED_EVENTS),
            ("AUTO_MODERATION_RULE_CREATE", true, AUTO_MODERATION_CONFIGURATION),
            ("AUTO_MODERATION_ACTION_EXECUTION", true, AUTO_MODERATION_EXECUTION),
            ("MESSAGE_POLL_VOTE_ADD", true, GUILD_MESSAGE_POLLS),
        ] {
            assert_eq!(needed_for(event, in_guild), intents, "{event}");
        }
    }
}
