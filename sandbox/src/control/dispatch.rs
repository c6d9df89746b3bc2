//! `POST /sandbox/dispatch`: events that the sandbox hands on as they are, byte for byte.

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Events posted together; all are dispatched or none.
#[derive(Debug)]
pub(crate) struct Posted {
    /// The name and `d` of each, as JSON text.
    pub(crate) events: Vec<(ByteString, ByteString)>,
}

/// A line that cannot be dispatched.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DispatchError {
    /// Not one JSON object with `t` and `d`.
    #[error("line {line} is not a dispatch: {why}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// READY and RESUMED steer the session and would break it.
    #[error("line {line} is {name}, which steers the session: begin one with IDENTIFY or RESUME instead")]
    SteersSession {
        /// Counted from 1.
        line: usize,
        /// The event.
        name: String,
    },
    /// Nothing to dispatch.
    #[error("no event was posted, send {{\"t\":\"EVENT\",\"d\":{{}}}} or one such object a line")]
    Empty,
}

/// Only the fields that matter; others, such as `op` and `s`, may be there and are left alone.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    t: &'a RawValue,
    #[serde(borrow)]
    d: &'a RawValue,
}

impl Posted {
    /// Reads one JSON object, or one a line. `d` is cut out of the text, never rewritten.
    pub(crate) fn parse(text: &str) -> Result<Self, DispatchError> {
        // One object may be spread over lines; then the whole is one.
        let whole = text.trim();
        if !whole.is_empty()
            && let Ok(event) = read(whole, 1)
        {
            return Ok(Self { events: vec![event] });
        }
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let events = lines.map(|(at, line)| read(line, at + 1)).collect::<Result<Vec<_>, _>>()?;
        if events.is_empty() { Err(DispatchError::Empty) } else { Ok(Self { events }) }
    }
}

fn read(text: &str, line: usize) -> Result<(ByteString, ByteString), DispatchError> {
    let malformed = |why: String| DispatchError::Malformed { line, why };
    let Envelope { t, d } = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let name: String =
        serde_json::from_str(t.get()).map_err(|_| malformed("\"t\" must be a string".to_owned()))?;
    if matches!(name.as_str(), "READY" | "RESUMED") {
        return Err(DispatchError::SteersSession { line, name });
    }
    Ok((t.get().into(), d.get().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_is_cut_out_byte_for_byte() {
        for (text, expected) in [
            (
                r#"{"t":"A","d":{ "z" : 1.50, "a":[1e400, 123456789012345678901] }}"#,
                r#"{ "z" : 1.50, "a":[1e400, 123456789012345678901] }"#,
            ),
            (
                r#"{"op":0,"t":"A","s":7,"d":{"s":1,"t":"READY","a":1,"a":2}}"#,
                r#"{"s":1,"t":"READY","a":1,"a":2}"#,
            ),
            (r#"{"d":null,"t":"A"}"#, "null"),
            (r#"{"t":"A","d":"\ud83e lone \u0022"}"#, r#""\ud83e lone \u0022""#),
        ] {
            let posted = Posted::parse(text).expect("valid");
            assert_eq!(posted.events[0].1, expected);
        }
    }

    #[test]
    fn one_object_or_many_lines() {
        let count = |text: &str| Posted::parse(text).map(|posted| posted.events.len());
        assert_eq!(count("{\"t\":\"A\",\"d\":1}"), Ok(1));
        assert_eq!(count("{\n \"t\": \"A\",\n \"d\": {}\n}\n"), Ok(1));
        assert_eq!(count("{\"t\":\"A\",\"d\":1}\n\n{\"t\":\"B\",\"d\":2}\r\n"), Ok(2));
        assert_eq!(count(" \n"), Err(DispatchError::Empty));
    }

    #[test]
    fn a_bad_line_is_named_and_nothing_is_dispatched() {
        let good = r#"{"t":"A","d":1}"#;
        for (bad, line) in
            [("{", 2), ("[]", 2), (r#"{"t":"A"}"#, 2), (r#"{"t":1,"d":1}"#, 2), (r#"{"t":"A","d":1} x"#, 2)]
        {
            match Posted::parse(&format!("{good}\n{bad}\n{good}")) {
                Err(DispatchError::Malformed { line: named, .. }) => assert_eq!(named, line, "{bad}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
        let steering = Posted::parse("{\"t\":\"READY\",\"d\":{}}").expect_err("refused");
        assert_eq!(steering, DispatchError::SteersSession { line: 1, name: "READY".to_owned() });
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[\\[\\]{}\",:\\\\0-9a-z \n]{0,80}") {
            let _ = Posted::parse(&text);
        }
    }
}
