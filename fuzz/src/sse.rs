//! The encoder of Server-Sent Events, read back as a browser reads it.

use std::time::Duration;

use guildstream_actors::{
    event_id::{Epoch, EventId},
    sse_frame,
};

/// An event as EventSource dispatches it.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    last_event_id: String,
    name: String,
    data: String,
}

/// Whatever the names and payloads are, a browser gets the events that were meant, each whole, under its id.
pub fn sse_frames(data: &[u8]) {
    let mut script = Script(data);
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    let (mut last_event_id, mut seq) = (String::new(), 0);
    let mut expect = |last_event_id: &str, name: &str, data: String| {
        expected.push(Message { last_event_id: last_event_id.to_owned(), name: name.to_owned(), data });
    };
    while let Some(kind) = script.byte() {
        seq += 1;
        let id = EventId { epoch: Epoch(u64::from(kind)), seq };
        let frame = match kind % 6 {
            0 | 1 => {
                let id = (kind % 6 == 0).then_some(id);
                last_event_id = id.map_or(last_event_id, |id| id.to_string());
                let (name, payload) = (script.text(), script.text());
                let whole = payload.replace("\r\n", "\n").replace('\r', "\n");
                let json = serde_json::to_string(&name).expect("a string serialises");
                let envelope =
                    format!(r#"{{"v":1,"type":"event","event":{json},"payload":{whole},"ts":{seq}}}"#);
                expect(&last_event_id, "message", envelope);
                sse_frame::event(id, &name, &payload, seq)
            }
            2 => {
                let wait = u64::from(script.byte().unwrap_or_default());
                last_event_id = id.to_string();
                let greeting = format!(
                    r#"{{"v":1,"type":"ack","event":"connected","message":"Connected to the event stream","ts":{seq}}}"#
                );
                expect(&last_event_id, "message", greeting);
                sse_frame::hello(Duration::from_millis(wait), Some(id), seq)
            }
            3 => {
                let message = script.text();
                let json = serde_json::to_string(&message).expect("a string serialises");
                let told = format!(r#"{{"v":1,"type":"error","code":"RESYNC","message":{json},"ts":{seq}}}"#);
                expect(&last_event_id, "message", told);
                sse_frame::resync(&message, seq)
            }
            4 => {
                expect(&last_event_id, "ping", format!(r#"{{"ts":{seq}}}"#));
                sse_frame::ping(seq)
            }
            _ => {
                last_event_id = id.to_string();
                sse_frame::position(id)
            }
        };
        stream.extend_from_slice(&frame);
    }
    stream.extend_from_slice(&sse_frame::goodbye(Duration::from_millis(9)));
    let text = String::from_utf8(stream).expect("a stream is UTF-8");
    let (messages, last, waits) = event_source(&text);
    assert_eq!(messages, expected);
    assert_eq!((last, waits), (last_event_id, Some(9)));
}

/// The algorithm of <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>: the
/// dispatched events, the last event id and the reconnection time.
fn event_source(stream: &str) -> (Vec<Message>, String, Option<u64>) {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let (mut messages, mut last, mut retry) = (Vec::new(), String::new(), None);
    let (mut id, mut name, mut data) = (String::new(), String::new(), String::new());
    let stream = stream.replace("\r\n", "\n");
    for line in stream.split(['\r', '\n']) {
        if line.is_empty() {
            last.clone_from(&id);
            let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
            if let Some(data) = data.strip_suffix('\n') {
                let name = if name.is_empty() { "message".to_owned() } else { name };
                messages.push(Message { last_event_id: last.clone(), name, data: data.to_owned() });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                retry = value.parse().ok().or(retry);
            }
            // A comment, or a field that nobody knows.
            _ => {}
        }
    }
    (messages, last, retry)
}

/// The input as a series of bytes and texts.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A text of as many bytes as the next byte says.
    fn text(&mut self) -> String {
        let length = usize::from(self.byte().unwrap_or_default()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    super::owned(&[
        "\u{0}\u{1}X\u{7}{\"a\":1}\u{1}\u{3}a\nb\u{4}\r\n\n\r",
        "\u{2}\u{9}\u{3}\u{4}gone\u{4}\u{5}\u{0}\u{9}data: x\n\n\u{b}id: 7\n\nevent",
        "\u{6}\u{3}\u{feff}\u{6}\u{2028}\u{2029}\u{0}\u{4}a\0b:\u{2}{}",
    ])
}
