//! The last events of an epoch, by sequence number: bounded by count and by bytes, whichever comes first.

use std::collections::VecDeque;

/// How much a ring keeps.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// At most this many events.
    pub events: usize,
    /// At most this many bytes of events.
    pub bytes: usize,
}

/// Consecutive events, oldest first. The position of an event is its sequence number; there are no holes.
#[derive(Debug)]
pub struct Ring<T> {
    limits: RingLimits,
    entries: VecDeque<(usize, T)>,
    /// The sequence number of the newest entry, or the position the ring was emptied at.
    last: u64,
    bytes: usize,
}

impl<T> Ring<T> {
    /// An empty ring whose first event will be `last + 1`.
    #[must_use]
    pub fn new(limits: RingLimits, last: u64) -> Self {
        Self { limits, entries: VecDeque::new(), last, bytes: 0 }
    }

    /// Appends the next event; `bytes` is what it holds in memory. Returns its sequence number.
    ///
    /// The newest event always stays, even one larger than the ring.
    pub fn push(&mut self, entry: T, bytes: usize) -> u64 {
        self.entries.push_back((bytes, entry));
        self.bytes += bytes;
        self.last += 1;
        while self.entries.len() > 1
            && (self.entries.len() > self.limits.events || self.bytes > self.limits.bytes)
        {
            if let Some((bytes, _)) = self.entries.pop_front() {
                self.bytes -= bytes;
            }
        }
        self.last
    }

    /// Forgets everything; the next event will be `last + 1`.
    pub fn restart(&mut self, last: u64) {
        self.entries.clear();
        self.bytes = 0;
        self.last = last;
    }

    /// The position of the newest event.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The position before the oldest kept event: what a reader must have seen to go on from here.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.last - self.entries.len() as u64
    }

    /// Whether everything after `seq` is still here.
    #[must_use]
    pub fn reaches(&self, seq: u64) -> bool {
        (self.floor()..=self.last).contains(&seq)
    }

    /// The event at `seq`, if it is kept.
    #[must_use]
    pub fn get(&self, seq: u64) -> Option<&T> {
        let index = usize::try_from(seq.checked_sub(self.floor() + 1)?).ok()?;
        self.entries.get(index).map(|(_, entry)| entry)
    }

    /// Number of events kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the events kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many events the ring keeps at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.limits.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever was pushed: what `reaches` promises can be read, in order and without holes, within the limits.
        #[test]
        fn everything_within_reach_is_there(sizes in prop::collection::vec(0usize..40, 1..200), start in 0u64..1000, events in 1usize..20) {
            let mut ring = Ring::new(RingLimits { events, bytes: 100 }, start);
            for (n, size) in sizes.iter().enumerate() {
                let seq = ring.push(n, *size);
                prop_assert_eq!(seq, start + 1 + n as u64);
                prop_assert!(ring.len() <= events && (ring.bytes() <= 100 || ring.len() == 1));
                prop_assert_eq!(ring.bytes(), sizes[n + 1 - ring.len()..=n].iter().sum::<usize>());
            }
            for seq in start..=ring.last() + 1 {
                let readable = (seq + 1..=ring.last()).all(|s| ring.get(s) == Some(&usize::try_from(s - start - 1).unwrap()));
                prop_assert_eq!(ring.reaches(seq), readable && seq <= ring.last());
            }
        }
    }
}
