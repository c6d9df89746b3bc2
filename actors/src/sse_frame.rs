//! The browser's frames: Server-Sent Events whose `data` is one JSON envelope.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    event_id::EventId,
    link_frame::{push_display, push_json},
};

/// One event with its id; `payload` goes in as it is.
#[must_use]
pub fn event(id: Option<EventId>, name: &str, payload: &str, ts: u64) -> Bytes {
    let mut frame = String::with_capacity(payload.len() + 160);
    push_id(&mut frame, id);
    push_envelope(&mut frame, name, payload, ts);
    frame.into()
}

/// The first frame of a stream: how long to wait before coming back, and the greeting. A resumed stream's greeting
/// carries the id it resumed from, so that the browser keeps it.
#[must_use]
pub fn hello(retry: Duration, id: Option<EventId>, ts: u64) -> Bytes {
    #[derive(Serialize)]
    struct Ack<'a> {
        v: u8,
        r#type: &'a str,
        event: &'a str,
        message: &'a str,
        ts: u64,
    }
    let ack = Ack { v: 1, r#type: "ack", event: "connected", message: "Connected to the event stream", ts };
    let mut frame = String::new();
    push_retry(&mut frame, retry);
    push_id(&mut frame, id);
    frame.push_str("data: ");
    push_json(&mut frame, &ack);
    frame.push_str("\n\n");
    frame.into()
}

/// Events were lost and cannot be replayed; snapshots follow. It has no id: it stands for nothing.
#[must_use]
pub fn resync(message: &str, ts: u64) -> Bytes {
    #[derive(Serialize)]
    struct Resync<'a> {
        v: u8,
        r#type: &'a str,
        code: &'a str,
        message: &'a str,
        ts: u64,
    }
    let mut frame = String::from("data: ");
    push_json(&mut frame, &Resync { v: 1, r#type: "error", code: "RESYNC", message, ts });
    frame.push_str("\n\n");
    frame.into()
}

/// The heartbeat: a comment for proxies, and a named event that a page's watchdog can see and `onmessage` cannot.
#[must_use]
pub fn ping(ts: u64) -> Bytes {
    format!(": ping\nevent: ping\ndata: {{\"ts\":{ts}}}\n\n").into()
}

/// Moves the browser's position without an event: EventSource keeps the id of a block that dispatches nothing.
#[must_use]
pub fn position(id: EventId) -> Bytes {
    format!("id: {id}\n\n").into()
}

/// The last line of a stream that will be welcome again after `retry`.
#[must_use]
pub fn goodbye(retry: Duration) -> Bytes {
    let mut frame = String::new();
    push_retry(&mut frame, retry);
    frame.push('\n');
    frame.into()
}

fn push_retry(frame: &mut String, retry: Duration) {
    frame.push_str("retry: ");
    push_display(frame, retry.as_millis());
    frame.push('\n');
}

fn push_id(frame: &mut String, id: Option<impl Display>) {
    if let Some(id) = id {
        frame.push_str("id: ");
        push_display(frame, id);
        frame.push('\n');
    }
}

fn push_envelope(frame: &mut String, name: &str, payload: &str, ts: u64) {
    frame.push_str(r#"data: {"v":1,"type":"event","event":"#);
    push_json(frame, name);
    frame.push_str(r#","payload":"#);
    // Discord's JSON escapes every line break. Were it re-indented on its way, each line needs its own `data:`.
    if payload.bytes().any(|b| matches!(b, b'\r' | b'\n')) {
        for (n, line) in payload.replace("\r\n", "\n").split(['\r', '\n']).enumerate() {
            if n > 0 {
                frame.push_str("\ndata: ");
            }
            frame.push_str(line);
        }
    } else {
        frame.push_str(payload);
    }
    frame.push_str(r#","ts":"#);
    push_display(frame, ts);
    frame.push_str("}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_id::Epoch;
    use proptest::prelude::*;

    /// Reads a stream as the WHATWG algorithm does: (id, event, data) of each dispatched event.
    fn parse(stream: &str) -> Vec<(String, String, String)> {
        let (mut events, mut id, mut name, mut data) =
            (Vec::new(), String::new(), String::new(), None::<String>);
        for line in stream.replace("\r\n", "\n").split(['\r', '\n']) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (line, field) {
                ("", _) => {
                    if let Some(data) = data.take() {
                        events.push((id.clone(), std::mem::take(&mut name), data));
                    }
                    name.clear();
                }
                (_, "data") => match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => data = Some(value.to_owned()),
                },
                (_, "id") => value.clone_into(&mut id),
                (_, "event") => value.clone_into(&mut name),
                _ => {}
            }
        }
        events
    }

    fn text(frame: &Bytes) -> &str {
        std::str::from_utf8(frame).unwrap()
    }

    fn id() -> EventId {
        EventId { epoch: Epoch(1), seq: 9 }
    }

    #[test]
    fn an_event_looks_as_the_seed_has_it() {
        assert_eq!(
            text(&event(Some(id()), "VOICE_STATE_UPDATE", r#"{"a":1.50}"#, 1_234_567_890)),
            "id: 0000000000000001-9\n\
             data: {\"v\":1,\"type\":\"event\",\"event\":\"VOICE_STATE_UPDATE\",\"payload\":{\"a\":1.50},\"ts\":1234567890}\n\n"
        );
    }

    #[test]
    fn every_corpus_payload_arrives_in_one_event_byte_for_byte() {
        for line in include_str!("../../tests/corpus/dispatch.jsonl").lines() {
            let dispatch = crate::dispatch::split(&Bytes::from_static(line.as_bytes())).unwrap();
            let d = std::str::from_utf8(&dispatch.d).unwrap();
            let frame = event(Some(id()), &dispatch.t.unwrap(), d, 5);
            let events = parse(text(&frame));
            assert_eq!(events.len(), 1);
            assert!(events[0].2.contains(&format!(r#","payload":{d},"ts":5}}"#)));
        }
    }

    #[test]
    fn control_frames_reach_only_those_they_are_for() {
        let stream = [
            hello(Duration::from_millis(2137), Some(id()), 1),
            ping(2),
            position(id().next()),
            resync("gone", 3),
            goodbye(Duration::from_secs(9)),
        ];
        let stream: String = stream.iter().map(text).collect();
        assert!(stream.starts_with("retry: 2137\nid: 0000000000000001-9\ndata: {\"v\":1,\"type\":\"ack\""));
        let names: Vec<_> = parse(&stream).into_iter().map(|(id, name, _)| (id, name)).collect();
        let own = |seq, name: &str| (format!("0000000000000001-{seq}"), name.to_owned());
        assert_eq!(names, [own(9, ""), own(9, "ping"), own(10, "")]);
    }

    proptest! {
        #[test]
        fn no_name_or_payload_breaks_out_of_its_event(name in "(?s).*", payload in "(?s).*") {
            let payload = serde_json::to_string_pretty(&[payload]).unwrap();
            let frame = event(None, &name, &payload, 1);
            let events = parse(text(&frame));
            prop_assert_eq!(events.len(), 1);
            let value: serde_json::Value = serde_json::from_str(&events[0].2).unwrap();
            prop_assert_eq!(value["event"].as_str(), Some(name.as_str()));
            prop_assert_eq!(&value["payload"], &serde_json::from_str::<serde_json::Value>(&payload).unwrap());
        }
    }
}
