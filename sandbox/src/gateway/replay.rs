//! The dispatches of one session, kept so that a connection can fall behind, break and resume.

use std::collections::VecDeque;

use bytestring::ByteString;

/// Dispatches kept per session. What is older cannot be resumed from.
const FRAMES_KEPT: usize = 20_000;
/// Bytes kept per session, unless a single burst is larger than that.
const BYTES_KEPT: usize = 96 * 1024 * 1024;

/// One dispatch of one session.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    /// The event's name as JSON text, quotes included.
    name: ByteString,
    data: ByteString,
}

/// A numbered list of dispatches without holes, bounded in length and bytes.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    frames: VecDeque<Frame>,
    bytes: usize,
    last: u64,
}

impl Frame {
    /// The dispatch as it goes over the wire: Discord's key order, no spaces, `d` untouched.
    pub(crate) fn text(&self) -> String {
        format!(r#"{{"t":{},"s":{},"op":0,"d":{}}}"#, self.name, self.seq, self.data)
    }
}

impl Replay {
    /// The sequence number of the newest dispatch; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn push(&mut self, name: ByteString, data: ByteString) {
        self.last += 1;
        self.bytes += data.len();
        self.frames.push_back(Frame { seq: self.last, name, data });
        while self.frames.len() > FRAMES_KEPT || (self.bytes > BYTES_KEPT && self.frames.len() > 1) {
            self.bytes -= self.frames.pop_front().map_or(0, |frame| frame.data.len());
        }
    }

    /// True when everything after `seq` is still here.
    pub(crate) fn reaches(&self, seq: u64) -> bool {
        seq <= self.last && self.frames.front().is_none_or(|oldest| oldest.seq <= seq + 1)
    }

    /// Up to `most` dispatches after `seq`, oldest first.
    pub(crate) fn after(&self, seq: u64, most: usize) -> Vec<Frame> {
        let oldest = self.frames.front().map_or(0, |frame| frame.seq);
        let skip = (seq + 1).saturating_sub(oldest) as usize;
        self.frames.iter().skip(skip).take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(frames: usize) -> Replay {
        let mut replay = Replay::default();
        for _ in 0..frames {
            replay.push("\"X\"".into(), "{}".into());
        }
        replay
    }

    #[test]
    fn a_dispatch_is_spelled_t_s_op_d_without_spaces() {
        let mut replay = Replay::default();
        replay.push("\"A\"".into(), "{ \"d\": 1.50 }".into());
        assert_eq!(replay.after(0, 9)[0].text(), r#"{"t":"A","s":1,"op":0,"d":{ "d": 1.50 }}"#);
    }

    #[test]
    fn what_comes_after_a_number_is_contiguous_and_complete() {
        let replay = filled(10);
        for (after, expected) in
            [(0, (1..=10).collect::<Vec<_>>()), (7, vec![8, 9, 10]), (10, vec![]), (11, vec![])]
        {
            assert_eq!(replay.after(after, 99).iter().map(|frame| frame.seq).collect::<Vec<_>>(), expected);
        }
        assert_eq!(replay.after(2, 3).iter().map(|frame| frame.seq).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn a_number_that_was_forgotten_or_never_given_is_out_of_reach() {
        let replay = filled(FRAMES_KEPT + 5);
        for (seq, within) in [
            (4, false),
            (5, true),
            (6, true),
            (FRAMES_KEPT as u64 + 5, true),
            (FRAMES_KEPT as u64 + 6, false),
        ] {
            assert_eq!(replay.reaches(seq), within, "{seq}");
        }
        assert!(Replay::default().reaches(0));
    }

    #[test]
    fn bytes_are_bounded_but_the_newest_always_stays() {
        let mut replay = Replay::default();
        let large: ByteString = "x".repeat(BYTES_KEPT / 2 + 1).into();
        for _ in 0..3 {
            replay.push("\"X\"".into(), large.clone());
        }
        assert_eq!(replay.after(0, 9).len(), 1);
    }
}
