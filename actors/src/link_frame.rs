//! The link's envelope, between gateway and web: WebSocket text frames of JSON. Unknown fields are ignored, so a peer
//! that knows only the first protocol's fields keeps working in either direction.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    event_id::EventId,
    scope::Scope,
    snowflake::{GuildId, UserId},
};

/// The largest frame either side sends or takes, in bytes. A GUILD_CREATE of a large guild has several million.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// The version this program speaks; a peer that states none knows only the first fields.
pub const PROTOCOL: u32 = 1;

/// A frame that arrived, still holding the bytes it came in.
#[derive(Debug)]
pub enum LinkFrame {
    /// A Discord event. `id` and `scope` are missing from a peer that knows only the first protocol.
    Event {
        /// Its place in the gateway's order.
        id: Option<EventId>,
        /// Discord's name, or a derived one.
        event: String,
        /// The raw payload.
        payload: Bytes,
        /// Who may see it.
        scope: Option<Scope>,
        /// Milliseconds since the Unix epoch when it was received from Discord.
        ts: u64,
    },
    /// An event that was too large for a frame; its id is spent.
    Gap {
        /// The id of the event that is missing.
        id: EventId,
        /// What it was called.
        event: String,
    },
    /// A command or a question.
    Command(Command),
    /// An answer; the first frame of a connection is one without a request.
    Ack {
        /// The position at which the answer was true.
        id: Option<EventId>,
        /// Which command it answers.
        request_id: Option<String>,
        /// The answer, raw.
        data: Box<RawValue>,
    },
    /// A refusal.
    Error {
        /// Which command it answers.
        request_id: Option<String>,
        /// Why.
        refusal: Refusal,
    },
}

/// A command from a web role.
#[derive(Debug)]
pub struct Command {
    /// What to do, in snake case.
    pub command: String,
    /// Its arguments, raw.
    pub payload: Box<RawValue>,
    /// On whose behalf; without one the bot's own rights decide.
    pub actor: Option<UserId>,
    /// Names the answer.
    pub request_id: Option<String>,
    /// What its caller calls it, to have it done once; without one, that is `request_id`.
    pub key: Option<String>,
    /// How long ago it was sent first, if it was sent before and nobody knows what came of it.
    pub first_sent: Option<Duration>,
}

impl Command {
    /// The name under which it is done once.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref().or(self.request_id.as_deref())
    }
}

/// Why a command was not carried out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// For people.
    pub message: String,
    /// For programs, in capitals, such as `MISSING_PERMISSIONS`.
    #[serde(default)]
    pub code: String,
    /// Seconds until another try makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<f64>,
    /// What Discord answered: `{status, code, message}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discord: Option<Box<RawValue>>,
}

impl Refusal {
    /// A refusal with a code and a message.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code: code.to_owned(), retry_after_s: None, discord: None }
    }

    /// Nothing was done, and a later try may go better.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.code.as_str(), "RATE_LIMITED" | "UNAVAILABLE")
    }

    /// It may have been done.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.code == "OUTCOME_UNKNOWN"
    }
}

/// The data of the first frame after the upgrade.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// For people.
    pub message: String,
    /// [`PROTOCOL`]; missing from a peer that knows only the first protocol.
    #[serde(default)]
    pub protocol: Option<u32>,
    /// The position before the oldest event that can still be replayed.
    #[serde(default)]
    pub oldest_id: Option<EventId>,
    /// The position of the newest event.
    #[serde(default)]
    pub latest_id: Option<EventId>,
    /// Whether everything after the peer's position follows.
    #[serde(default)]
    pub complete: bool,
    /// The guilds this gateway is configured for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guilds: Vec<GuildId>,
}

/// The frame is not one of the link's.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFrame {
    /// It is not the JSON of an envelope.
    #[error("not a link frame ({len} bytes): {source}")]
    NotJson {
        /// How long it was.
        len: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The envelope lacks what its type needs.
    #[error("a link frame of type {kind:?} without {missing}")]
    Incomplete {
        /// The frame's type.
        kind: String,
        /// The field it lacks.
        missing: &'static str,
    },
    /// A type this program does not know.
    #[error("a link frame of unknown type {0:?}")]
    UnknownType(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    r#type: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct EventData<'a> {
    event: String,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommandData<'a> {
    command: String,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    actor: Option<Actor>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    first_sent_ms_ago: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    user_id: UserId,
}

/// Reads a frame. An event's payload is a slice of `frame`.
///
/// # Errors
///
/// [`InvalidFrame`] says what is wrong; the connection can go on.
pub fn decode(frame: &Bytes) -> Result<LinkFrame, InvalidFrame> {
    let not_json = |source| InvalidFrame::NotJson { len: frame.len(), source };
    let wire: Wire<'_> = serde_json::from_slice(frame).map_err(not_json)?;
    let data = wire.data.map_or("null", RawValue::get);
    let id = wire.id.and_then(|id| id.parse().ok());
    match wire.r#type.as_str() {
        "event" => {
            let EventData { event, payload } = serde_json::from_str(data).map_err(not_json)?;
            Ok(LinkFrame::Event {
                id,
                event,
                payload: payload.map_or(Bytes::from_static(b"null"), |p| frame.slice_ref(p.get().as_bytes())),
                // A scope that cannot be read is one that lets nobody see the event.
                scope: wire.scope.map(|scope| serde_json::from_str(scope.get()).unwrap_or_default()),
                // Some clocks send fractions; the event matters more than its time.
                ts: wire.ts.and_then(|ts| serde_json::from_str(ts.get()).ok()).unwrap_or_default(),
            })
        }
        "gap" => {
            let EventData { event, .. } = serde_json::from_str(data).map_err(not_json)?;
            let id = id.ok_or(InvalidFrame::Incomplete { kind: wire.r#type, missing: "id" })?;
            Ok(LinkFrame::Gap { id, event })
        }
        "command" => {
            let CommandData { command, payload, actor, key, first_sent_ms_ago } =
                serde_json::from_str(data).map_err(not_json)?;
            Ok(LinkFrame::Command(Command {
                command,
                payload: payload.map_or_else(null, ToOwned::to_owned),
                actor: actor.map(|actor| actor.user_id),
                request_id: wire.request_id,
                key,
                first_sent: first_sent_ms_ago.map(Duration::from_millis),
            }))
        }
        "ack" => Ok(LinkFrame::Ack {
            id,
            request_id: wire.request_id,
            data: wire.data.map_or_else(null, ToOwned::to_owned),
        }),
        "error" => {
            let refusal = serde_json::from_str(data).map_err(not_json)?;
            Ok(LinkFrame::Error { request_id: wire.request_id, refusal })
        }
        _ => Err(InvalidFrame::UnknownType(wire.r#type)),
    }
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// Encodes an event once for all links. `payload` goes in as it is.
#[must_use]
pub fn encode_event(id: EventId, event: &str, payload: &str, scope: &Scope, ts: u64) -> String {
    let mut frame = String::with_capacity(payload.len() + 256);
    frame.push_str(r#"{"type":"event","id":""#);
    push_display(&mut frame, id);
    frame.push_str(r#"","data":{"event":"#);
    push_json(&mut frame, event);
    frame.push_str(r#","payload":"#);
    frame.push_str(payload);
    frame.push_str(r#"},"scope":"#);
    push_json(&mut frame, scope);
    frame.push_str(r#","ts":"#);
    push_display(&mut frame, ts);
    frame.push('}');
    frame
}

/// Encodes the placeholder of an event that was too large for a frame.
#[must_use]
pub fn encode_gap(id: EventId, event: &str, bytes: usize, ts: u64) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        event: &'a str,
        bytes: usize,
    }
    encode(&Outgoing { id: Some(id), ts, ..Outgoing::new("gap", &Data { event, bytes }) })
}

/// Encodes an answer that was true at `id`.
pub fn encode_ack<T: Serialize>(id: EventId, request_id: Option<&str>, data: &T, ts: u64) -> String {
    encode(&Outgoing { id: Some(id), request_id, ts, ..Outgoing::new("ack", data) })
}

/// Encodes a refusal.
#[must_use]
pub fn encode_error(request_id: Option<&str>, refusal: &Refusal, ts: u64) -> String {
    encode(&Outgoing { request_id, ts, ..Outgoing::new("error", refusal) })
}

/// Encodes a command.
#[must_use]
pub fn encode_command(command: &Command, ts: u64) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        command: &'a str,
        payload: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        actor: Option<Actor>,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        first_sent_ms_ago: Option<u64>,
    }
    let data = Data {
        command: &command.command,
        payload: &command.payload,
        actor: command.actor.map(|user_id| Actor { user_id }),
        key: command.key.as_deref(),
        first_sent_ms_ago: command.first_sent.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
    };
    let request_id = command.request_id.as_deref();
    encode(&Outgoing { request_id, ts, ..Outgoing::new("command", &data) })
}

/// Raw JSON of any value; used for answers that are put together here.
///
/// # Panics
///
/// Never: the values of this program have string keys.
pub fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).expect("values of this program serialise: their keys are strings")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outgoing<'a, T: ?Sized> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
    data: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    ts: u64,
}

impl<'a, T: ?Sized> Outgoing<'a, T> {
    fn new(r#type: &'static str, data: &'a T) -> Self {
        Self { r#type, id: None, data, request_id: None, ts: 0 }
    }
}

fn encode<T: Serialize + ?Sized>(frame: &Outgoing<'_, T>) -> String {
    serde_json::to_string(frame).expect("values of this program serialise: their keys are strings")
}

pub(crate) fn push_json<T: Serialize + ?Sized>(text: &mut String, value: &T) {
    text.push_str(&serde_json::to_string(value).expect("scopes and names serialise: their keys are strings"));
}

pub(crate) fn push_display(text: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write as _;
    write!(text, "{value}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_id::Epoch;
    use proptest::prelude::*;

    fn id(seq: u64) -> EventId {
        EventId { epoch: Epoch(7), seq }
    }

    #[test]
    fn an_event_keeps_its_payload_byte_for_byte_over_the_link() {
        for line in include_str!("../../tests/corpus/dispatch.jsonl").lines() {
            let dispatch = crate::dispatch::split(&Bytes::from_static(line.as_bytes())).unwrap();
            let (t, d) = (dispatch.t.unwrap(), std::str::from_utf8(&dispatch.d).unwrap());
            let frame = Bytes::from(encode_event(id(3), &t, d, &Scope::default(), 1_234_567_890));
            let LinkFrame::Event { id: Some(read), event, payload, scope: Some(_), ts } =
                decode(&frame).unwrap()
            else {
                panic!("{frame:?}")
            };
            assert_eq!(
                (read, event.as_str(), &payload[..], ts),
                (id(3), t.as_str(), d.as_bytes(), 1_234_567_890)
            );
        }
    }

    #[test]
    fn a_peer_that_knows_only_the_first_fields_is_understood() {
        let event = r#"{"type":"event","data":{"event":"X","payload":{"a":1.50}},"ts":1.5}"#;
        let LinkFrame::Event { id: None, payload, scope: None, ts: 0, .. } = decode(&event.into()).unwrap()
        else {
            panic!()
        };
        assert_eq!(&payload[..], br#"{"a":1.50}"#);
        assert!(matches!(decode(&r#"{"type":"ack"}"#.into()), Ok(LinkFrame::Ack { request_id: None, .. })));
        let command = r#"{"type":"command","data":{"command":"send_message","payload":{"channelId":"1"}}}"#;
        assert!(matches!(decode(&command.into()), Ok(LinkFrame::Command(Command { actor: None, .. }))));
    }

    #[test]
    fn a_scope_that_cannot_be_read_lets_nobody_see_the_event() {
        let frame = r#"{"type":"event","data":{"event":"X"},"scope":{"guild":true},"ts":1}"#;
        assert!(
            matches!(decode(&frame.into()), Ok(LinkFrame::Event { scope: Some(scope), .. }) if scope == Scope::default())
        );
    }

    #[test]
    fn what_is_no_frame_is_named() {
        for (text, why) in [
            ("x", "not a link frame (1 bytes)"),
            ("[]", "not a link frame"),
            (r#"{"type":"event"}"#, "not a link frame"),
            (r#"{"type":"gap","data":{"event":"X"}}"#, "without id"),
            (r#"{"type":"dance"}"#, "unknown type \"dance\""),
        ] {
            let error = decode(&Bytes::from(text)).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&Bytes::from(bytes));
        }

        #[test]
        fn commands_and_refusals_survive_the_link(command in ".*", request in ".*", actor: Option<u64>, message in ".*") {
            let sent = Command { command: command.clone(), payload: raw(&message), actor: actor.map(UserId), request_id: Some(request.clone()), key: None, first_sent: None };
            let LinkFrame::Command(read) = decode(&encode_command(&sent, 1).into()).unwrap() else { panic!() };
            prop_assert_eq!((read.command, read.actor, read.request_id), (command, actor.map(UserId), Some(request.clone())));
            prop_assert_eq!(read.payload.get(), sent.payload.get());
            let error = encode_error(Some(&request), &Refusal::new("NO", message.clone()), 1);
            let LinkFrame::Error { request_id, refusal } = decode(&error.into()).unwrap() else { panic!() };
            prop_assert_eq!((request_id, refusal.message), (Some(request), message));
        }
    }
}
