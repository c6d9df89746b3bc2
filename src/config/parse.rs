//! Parsers of single values. An error says what to write instead; the reader puts name and value in front.

use std::{
    collections::BTreeSet, fmt::Display, net::IpAddr, ops::RangeInclusive, str::FromStr, time::Duration,
};

use guildstream_actors::snowflake::GuildId;
use url::{Host, Url};

use crate::auth::session::MAX_GUILDS;

type Parsed<T> = Result<T, String>;

/// Intents by name, with their bits: <https://discord.com/developers/docs/events/gateway#list-of-intents>.
const INTENTS: &[(&str, u64)] = &[
    ("GUILDS", 1 << 0),
    ("GUILD_MEMBERS", 1 << 1),
    ("GUILD_MODERATION", 1 << 2),
    ("GUILD_EXPRESSIONS", 1 << 3),
    ("GUILD_INTEGRATIONS", 1 << 4),
    ("GUILD_WEBHOOKS", 1 << 5),
    ("GUILD_INVITES", 1 << 6),
    ("GUILD_VOICE_STATES", 1 << 7),
    ("GUILD_PRESENCES", 1 << 8),
    ("GUILD_MESSAGES", 1 << 9),
    ("GUILD_MESSAGE_REACTIONS", 1 << 10),
    ("GUILD_MESSAGE_TYPING", 1 << 11),
    ("DIRECT_MESSAGES", 1 << 12),
    ("DIRECT_MESSAGE_REACTIONS", 1 << 13),
    ("DIRECT_MESSAGE_TYPING", 1 << 14),
    ("MESSAGE_CONTENT", 1 << 15),
    ("GUILD_SCHEDULED_EVENTS", 1 << 16),
    ("AUTO_MODERATION_CONFIGURATION", 1 << 20),
    ("AUTO_MODERATION_EXECUTION", 1 << 21),
    ("GUILD_MESSAGE_POLLS", 1 << 24),
    ("DIRECT_MESSAGE_POLLS", 1 << 25),
];

/// Without these nobody can say who may see what.
const REQUIRED_INTENTS: &[&str] = &["GUILDS", "GUILD_MEMBERS"];

pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Parsed<T>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let (least, most) = (range.start(), range.end());
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("write a number from {least} to {most}")),
        }
    }
}

pub(super) fn seconds(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<Duration> {
    let number = number(range);
    move |text| number(text).map(Duration::from_secs).map_err(|why| format!("{why} (seconds, no unit)"))
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    number(0..=u16::MAX)(text)
}

pub(super) fn address(text: &str) -> Parsed<IpAddr> {
    text.parse().map_err(|_| "write an IP address, such as 127.0.0.1, 0.0.0.0 or ::1".into())
}

/// An address that only this machine reaches.
pub(super) fn loopback(text: &str) -> Parsed<IpAddr> {
    match address(text)? {
        ip if ip.is_loopback() => Ok(ip),
        _ => Err("use a loopback address: the sandbox's credentials are known to everybody".into()),
    }
}

pub(super) fn addresses(text: &str) -> Parsed<Vec<IpAddr>> {
    items(text).map(address).collect()
}

pub(super) fn workers(text: &str) -> Parsed<usize> {
    match text {
        "cores" => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        _ => number(1..=1024)(text).map_err(|why| format!("{why}, or cores")),
    }
}

pub(super) fn guild_ids(text: &str) -> Parsed<Vec<GuildId>> {
    let id = |item: &str| match item.parse() {
        Ok(GuildId(0)) | Err(_) => {
            Err("write guild ids (17 to 20 digits: Copy Server ID in Discord's developer mode)".to_owned())
        }
        Ok(id) => Ok(id),
    };
    let ids: BTreeSet<GuildId> = items(text).map(id).collect::<Parsed<_>>()?;
    match ids.len() {
        0 => Err("write at least one guild id".into()),
        1..=MAX_GUILDS => Ok(ids.into_iter().collect()),
        _ => Err(format!("write at most {MAX_GUILDS} guild ids: a session cookie has room for no more")),
    }
}

/// An application's id, kept as text because only URLs carry it.
pub(super) fn application_id(text: &str) -> Parsed<String> {
    match text.parse::<u64>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write the application id, all digits, from the developer portal".into()),
    }
}

pub(super) fn intents(text: &str) -> Parsed<u64> {
    let names: Vec<&str> = items(text).collect();
    if let Some(missing) = REQUIRED_INTENTS.iter().find(|name| !names.contains(name)) {
        return Err(format!("add {missing}: without it nobody can say who may see what"));
    }
    names.iter().try_fold(0, |bits, name| match INTENTS.iter().find(|(known, _)| known == name) {
        Some((_, bit)) => Ok(bits | bit),
        None => {
            let known: Vec<&str> = INTENTS.iter().map(|(known, _)| *known).collect();
            Err(format!("{name:?} is no intent; there are {}", known.join(", ")))
        }
    })
}

/// An http or https origin; http only where nobody can listen in.
pub(super) fn origin(text: &str) -> Parsed<Url> {
    let url = bare_origin(text)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("use https: http is only for loopback addresses".into());
    }
    Ok(url)
}

/// Origins of other sites, compared exactly.
pub(super) fn origins(text: &str) -> Parsed<Vec<Url>> {
    items(text)
        .map(|item| match item {
            "*" => Err("name each origin: * would open the API to every site".into()),
            _ => bare_origin(item),
        })
        .collect()
}

pub(super) fn link_url(text: &str) -> Parsed<Url> {
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "ws" | "wss") => Err("write a ws:// or wss:// URL".into()),
        Ok(url) if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() => {
            Err("leave out user, query and fragment: LINK_TOKEN goes in a header".into())
        }
        Ok(url) => Ok(url),
        Err(error) => Err(format!("write a URL such as ws://localhost:8080 ({error})")),
    }
}

/// A secret that travels in a header, so of visible ASCII alone (RFC 9110, section 5.5).
pub(super) fn header_secret(least: usize) -> impl Fn(&str) -> Parsed<()> {
    move |text| {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err("use visible ASCII characters without spaces".into())
        } else if text.len() < least {
            Err(format!(
                "use at least {least} characters, not {}; make one with: openssl rand -hex 32",
                text.len()
            ))
        } else {
            Ok(())
        }
    }
}

pub(super) fn bot_token(text: &str) -> Parsed<()> {
    match text.split_once(' ') {
        Some(("Bot", _)) => Err("leave out the word Bot and the space after it".into()),
        _ => header_secret(1)(text),
    }
}

pub(super) fn session_secret(text: &str) -> Parsed<()> {
    match text.len() {
        ..64 => {
            Err(format!("use at least 64 bytes, not {}; make one with: openssl rand -hex 64", text.len()))
        }
        _ => Ok(()),
    }
}

pub(super) fn redis_url(text: &str) -> Parsed<()> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "redis" | "rediss" | "redis+unix") => Ok(()),
        _ => Err("write a URL such as redis://localhost:6379".into()),
    }
}

/// Whether only this machine can be meant.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // `.localhost` never leaves the machine: RFC 6761, section 6.3.
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn bare_origin(text: &str) -> Parsed<Url> {
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Err("write an http:// or https:// URL".into())
        }
        Ok(url)
            if url.path() != "/"
                || url.query().is_some()
                || url.fragment().is_some()
                || has_credentials(&url) =>
        {
            Err(format!("write the origin alone: {}", url.origin().ascii_serialization()))
        }
        Ok(url) => Ok(url),
        Err(error) => Err(format!("write a URL such as https://example.org ({error})")),
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_is_https_or_on_loopback() {
        for good in [
            "https://example.org",
            "https://example.org:8443/",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://127.8.9.1:1",
            "http://[::1]:3000",
            "http://web.localhost",
        ] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://example.org", "http beyond loopback"),
            ("http://localhost.example.org", "only looks like loopback"),
            ("http://192.168.0.1", "a private network is not loopback"),
            ("https://example.org/app", "a path"),
            ("https://example.org/?a=b", "a query"),
            ("https://user:secret@example.org", "credentials"),
            ("ftp://example.org", "another scheme"),
            ("example.org", "no scheme"),
            ("", "nothing"),
        ] {
            assert!(origin(bad).is_err(), "{bad}: {why}");
        }
    }

    #[test]
    fn origins_of_other_sites_are_exact() {
        let urls = origins("https://a.example, http://b.example:8080").unwrap();
        assert_eq!(
            urls.iter().map(Url::as_str).collect::<Vec<_>>(),
            ["https://a.example/", "http://b.example:8080/"]
        );
        for bad in ["*", "null", "https://a.example/path", "https://a.example,*"] {
            assert!(origins(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_link_url_is_a_websocket_without_a_secret_in_it() {
        for good in ["ws://localhost:8080", "wss://gateway.example/link"] {
            assert!(link_url(good).is_ok(), "{good}");
        }
        for bad in
            ["http://localhost:8080", "localhost:8080", "ws://token@localhost", "ws://localhost/?token=a", ""]
        {
            assert!(link_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn guild_ids_are_distinct_and_never_empty() {
        assert_eq!(guild_ids("12, 7,12,").unwrap(), [GuildId(7), GuildId(12)]);
        let many = (1..=MAX_GUILDS + 1).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        for bad in ["", ",", "0", "-1", "general", "1;2", "99999999999999999999999", &many] {
            assert!(guild_ids(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn intents_are_bits_by_name_and_include_what_access_needs() {
        assert_eq!(intents("GUILDS,GUILD_MEMBERS").unwrap(), 0b11);
        assert_eq!(intents(" GUILD_MEMBERS , GUILDS,MESSAGE_CONTENT").unwrap(), 0b11 | 1 << 15);
        for (bad, named) in [
            ("GUILDS", "GUILD_MEMBERS"),
            ("GUILD_MEMBERS", "GUILDS"),
            ("GUILDS,GUILD_MEMBERS,guild_voice_states", "guild_voice_states"),
            ("513", "GUILDS"),
        ] {
            let why = intents(bad).unwrap_err();
            assert!(why.contains(named), "{bad}: {why}");
        }
    }

    #[test]
    fn secrets_are_long_enough_and_fit_a_header() {
        assert!(header_secret(16)("0123456789abcdef").is_ok());
        for bad in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdéf", "0123456789abc\r\ndef"] {
            assert!(header_secret(16)(bad).is_err(), "{bad:?}");
        }
        assert!(bot_token("MTAw.abc.def-_").is_ok());
        assert!(bot_token("Bot MTAw.abc.def").unwrap_err().contains("Bot"));
        assert!(session_secret(&"x".repeat(64)).is_ok());
        assert!(session_secret(&"x".repeat(63)).unwrap_err().contains("openssl rand -hex 64"));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = (origin(&text), origins(&text), link_url(&text), redis_url(&text));
            let _ = (guild_ids(&text), intents(&text), addresses(&text), workers(&text), bot_token(&text));
            let _ = (number(0.0..=1.0)(&text), seconds(1..=u64::MAX)(&text), application_id(&text));
        }

        #[test]
        fn a_number_is_read_if_and_only_if_it_is_in_range(number_given in 0_u64..1000) {
            prop_assert_eq!(number(5..=500)(&number_given.to_string()).is_ok(), (5..=500).contains(&number_given));
        }
    }
}
