//! Splits a Gateway payload into its envelope and the raw bytes of `d`.
//! <https://discord.com/developers/docs/events/gateway-events#payload-structure>

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The envelope of one Gateway payload. `d` is the very text that came, neither parsed nor copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The opcode; 0 is a dispatch.
    pub op: u64,
    /// The sequence number of a dispatch.
    pub s: Option<u64>,
    /// The name of a dispatch.
    pub t: Option<String>,
    /// The payload as it stands in the frame; `null` when there was none.
    pub d: Bytes,
}

/// The frame is not a Gateway payload.
#[derive(Debug, thiserror::Error)]
#[error("not a gateway payload ({} bytes, starts {start:?}): {source}", .len)]
pub struct InvalidPayload {
    len: usize,
    start: String,
    source: serde_json::Error,
}

#[derive(Deserialize)]
struct Wire<'a> {
    op: u64,
    #[serde(default)]
    s: Option<u64>,
    #[serde(default)]
    t: Option<String>,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
}

/// Splits `frame`, whatever the order of its keys.
///
/// # Errors
///
/// [`InvalidPayload`] when the frame is not a JSON object with an opcode.
pub fn split(frame: &Bytes) -> Result<Envelope, InvalidPayload> {
    match serde_json::from_slice::<Wire<'_>>(frame) {
        Ok(Wire { op, s, t, d }) => {
            // `Option<&RawValue>` reads a literal null as absent; the bytes are the same.
            let d = d.map_or(Bytes::from_static(b"null"), |d| frame.slice_ref(d.get().as_bytes()));
            Ok(Envelope { op, s, t, d })
        }
        Err(source) => Err(InvalidPayload {
            len: frame.len(),
            // Enough to recognise the frame, not enough to spill a message into the log.
            start: String::from_utf8_lossy(&frame[..frame.len().min(24)]).into_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CORPUS: &str = include_str!("../../tests/corpus/dispatch.jsonl");
    const VARIANTS: &str = include_str!("../../tests/corpus/envelope_variants.jsonl");

    #[test]
    fn every_corpus_line_keeps_its_payload_byte_for_byte() {
        for (n, line) in CORPUS.lines().enumerate() {
            let envelope = split(&Bytes::from_static(line.as_bytes())).unwrap();
            let start = line.find("\"d\":").unwrap() + 4;
            assert_eq!(envelope.d, &line.as_bytes()[start..line.len() - 1], "line {}", n + 1);
            assert_eq!((envelope.op, envelope.s), (0, Some(n as u64 + 1)));
        }
    }

    #[test]
    fn the_envelope_is_read_from_the_top_level_in_any_order() {
        let expected = [1, 2, 3, 4, 5, 6, 7, 9_007_199_254_740_993];
        for (line, s) in VARIANTS.lines().zip(expected) {
            let envelope = split(&Bytes::from_static(line.as_bytes())).unwrap();
            assert_eq!((envelope.op, envelope.s), (0, Some(s)), "{line}");
            assert_eq!(envelope.t.as_deref(), Some("MESSAGE_CREATE"), "{line}");
            assert!(line.as_bytes().windows(envelope.d.len()).any(|part| part == envelope.d), "{line}");
        }
    }

    #[test]
    fn what_is_no_payload_is_named_and_refused() {
        for text in ["", "garbage", "[]", "{}", r#"{"op":"0"}"#, r#"{"op":0,"d":}"#, r#"{"op":0}x"#] {
            let error = split(&Bytes::from_static(text.as_bytes())).unwrap_err().to_string();
            assert!(error.starts_with("not a gateway payload"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_splitter(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = split(&Bytes::from(bytes));
        }
    }
}
