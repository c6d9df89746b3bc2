//! Where a Discord session stands: what a dispatch is to it, where it can be resumed, and which ends are final. Pure.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;

/// Where a Discord session can be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The session's id, from READY.
    pub session: Arc<str>,
    /// The host to resume at, from READY.
    pub resume_url: Arc<str>,
    /// The last sequence number received.
    pub seq: u64,
}

/// The place in the session that was reached.
#[derive(Debug, Default)]
pub(super) struct Place {
    position: Option<Position>,
    /// The sequence number after which Discord left some out, also when asked again.
    hole_after: Option<u64>,
}

/// What a dispatch was to the session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its own position.
    pub(super) position: Position,
    /// Sequence numbers before it are missing, and asking again did not help.
    pub(super) lost_before: bool,
    /// Whether it made the session live: `Some(true)` when it goes on, `Some(false)` when it is new.
    pub(super) live: Option<bool>,
}

impl Place {
    /// The place to resume at, if there is one.
    pub(super) fn at(position: Option<Position>) -> Self {
        Self { position, hole_after: None }
    }

    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Takes in a dispatch; `gateway` is where to resume when READY does not say.
    ///
    /// # Errors
    ///
    /// Why the connection has to end.
    pub(super) fn take(
        &mut self,
        s: u64,
        t: &str,
        d: &Bytes,
        gateway: Option<&str>,
    ) -> Result<Taken, String> {
        if t == "READY" {
            let position = ready_position(d, s, gateway).ok_or("READY without a session id")?;
            self.position = Some(position);
            self.hole_after = None;
        }
        let position = self.position.as_mut().ok_or_else(|| format!("a dispatch before READY: {t}"))?;
        let lost_before = s > position.seq + 1;
        if lost_before && self.hole_after != Some(position.seq) {
            self.hole_after = Some(position.seq);
            return Err(format!("sequence jumped from {} to {s}: resuming to have it again", position.seq));
        }
        position.seq = position.seq.max(s);
        let live = match t {
            "READY" => Some(false),
            "RESUMED" => Some(true),
            _ => None,
        };
        Ok(Taken { position: Position { seq: s, ..position.clone() }, lost_before, live })
    }

    /// The session cannot be resumed.
    pub(super) fn forget(&mut self) {
        self.position = None;
    }

    /// The resume host may be the one that is gone; the session may still be known at `gateway`.
    pub(super) fn resume_at(&mut self, gateway: &str) {
        if let Some(position) = &mut self.position {
            position.resume_url = gateway.into();
        }
    }
}

/// What a close code leaves of the session.
/// <https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It can be resumed.
    Resumable,
    /// It is over; another can begin.
    SessionOver,
    /// No other attempt is accepted.
    Fatal,
}

impl Closed {
    pub(super) fn by(code: u16) -> Self {
        match code {
            4004 | 4010..=4014 => Self::Fatal,
            4007 | 4009 => Self::SessionOver,
            _ => Self::Resumable,
        }
    }
}

fn ready_position(d: &Bytes, seq: u64, fallback: Option<&str>) -> Option<Position> {
    #[derive(Deserialize)]
    struct Ready<'a> {
        session_id: String,
        #[serde(borrow, default)]
        resume_gateway_url: Option<&'a RawValue>,
    }
    let ready: Ready<'_> = serde_json::from_slice(d).ok()?;
    // An unusable URL would panic inside the shard.
    let resume_url = ready
        .resume_gateway_url
        .and_then(|url| serde_json::from_str::<String>(url.get()).ok())
        .filter(|url| is_websocket_url(url))
        .or_else(|| fallback.map(ToOwned::to_owned))?;
    Some(Position { session: ready.session_id.into(), resume_url: resume_url.into(), seq })
}

pub(super) fn is_websocket_url(url: &str) -> bool {
    // The shard appends its own path and query to what it is given.
    Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "ws" | "wss")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// What to do about a close code after which Discord accepts no other attempt.
/// <https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>
pub(super) fn fatal_advice(code: u16) -> String {
    match code {
        4004 => "Discord refused the bot's token (4004): set DISCORD_BOT_TOKEN to the token of the Bot page of your \
                 application, https://discord.com/developers/applications"
            .to_owned(),
        4010 => "Discord refused the shard id (4010): this program runs shard 0 of 1".to_owned(),
        4011 => "the bot is in too many guilds for one shard (4011): leave some, or wait for sharding here".to_owned(),
        4012 => "Discord no longer speaks this version of its gateway (4012): upgrade guildstream".to_owned(),
        4013 => "Discord does not know one of the intents (4013): check DISCORD_INTENTS".to_owned(),
        4014 => "Discord refused a privileged intent (4014): under Bot → Privileged Gateway Intents of your \
                 application, https://discord.com/developers/applications, switch on SERVER MEMBERS INTENT \
                 (GUILD_MEMBERS), MESSAGE CONTENT INTENT (MESSAGE_CONTENT) and PRESENCE INTENT (GUILD_PRESENCES), as \
                 far as DISCORD_INTENTS names them"
            .to_owned(),
        other => format!("Discord closed the session for good ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_resume_url_never_reaches_the_shard() {
        for (url, expected) in [
            (r#""wss://eu.gateway.discord.gg""#, "wss://eu.gateway.discord.gg"),
            (r#""not a url""#, "ws://fallback"),
            (r#""http://eu.gateway.discord.gg""#, "ws://fallback"),
            (r#""wss://x/?a=b""#, "ws://fallback"),
            ("5", "ws://fallback"),
            ("null", "ws://fallback"),
        ] {
            let d = Bytes::from(format!(r#"{{"session_id":"s","resume_gateway_url":{url}}}"#));
            let position = ready_position(&d, 1, Some("ws://fallback")).unwrap();
            assert_eq!(&*position.resume_url, expected, "{url}");
        }
    }

    fn place(seq: u64) -> Place {
        Place::at(Some(Position { session: "s".into(), resume_url: "ws://x".into(), seq }))
    }

    fn take(place: &mut Place, s: u64, t: &str) -> Result<(u64, bool, Option<bool>), String> {
        let d = Bytes::from_static(br#"{"session_id":"new","resume_gateway_url":"ws://x"}"#);
        let taken = place.take(s, t, &d, None)?;
        Ok((taken.position.seq, taken.lost_before, taken.live))
    }

    #[test]
    fn a_dispatch_moves_the_place_and_a_jump_is_asked_for_again_once() {
        assert!(take(&mut Place::default(), 1, "X").unwrap_err().contains("before READY"));
        let mut place = place(5);
        assert_eq!(take(&mut place, 6, "X"), Ok((6, false, None)));
        // A repeat after a resume does not take the place back.
        assert_eq!(take(&mut place, 4, "X"), Ok((4, false, None)));
        assert_eq!(place.position().unwrap().seq, 6);
        assert_eq!(take(&mut place, 7, "RESUMED"), Ok((7, false, Some(true))));
        assert!(take(&mut place, 10, "X").unwrap_err().contains("jumped from 7 to 10"));
        assert_eq!(place.position().unwrap().seq, 7, "it is asked for again");
        assert_eq!(take(&mut place, 10, "X"), Ok((10, true, None)));
        assert!(take(&mut place, 12, "X").is_err(), "another hole is another question");
        assert_eq!(take(&mut place, 1, "READY"), Ok((1, false, Some(false))));
        assert_eq!(&*place.position().unwrap().session, "new");
    }

    #[test]
    fn a_close_code_says_what_is_left_of_the_session() {
        for (codes, expected) in [
            (&[1000, 1006, 4000, 4001, 4002, 4003, 4005, 4008][..], Closed::Resumable),
            (&[4007, 4009], Closed::SessionOver),
            (&[4004, 4010, 4011, 4012, 4013, 4014], Closed::Fatal),
        ] {
            for code in codes {
                assert_eq!(Closed::by(*code), expected, "{code}");
            }
        }
    }

    #[test]
    fn a_refused_privileged_intent_names_the_switches_and_the_page() {
        let advice = fatal_advice(4014);
        for part in ["GUILD_MEMBERS", "MESSAGE_CONTENT", "https://discord.com/developers/applications"] {
            assert!(advice.contains(part), "{advice}");
        }
    }
}
