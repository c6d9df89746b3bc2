//! The copy of the broker's state that `/api/status` and the metrics show.

use std::collections::BTreeMap;

use serde::Serialize;

use super::feed::Feed;
use crate::{event_id::EventId, metric::Metric};

#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) delivered: u64,
    pub(super) events: u64,
    pub(super) repeats: u64,
    pub(super) resyncs: BTreeMap<&'static str, u64>,
    ended: BTreeMap<&'static str, u64>,
    pub(super) opened: u64,
}

impl Counters {
    pub(super) fn resync(&mut self, cause: &'static str) {
        *self.resyncs.entry(cause).or_default() += 1;
    }

    pub(super) fn ended(&mut self, cause: &'static str, count: usize) {
        *self.ended.entry(cause).or_default() += count as u64;
    }
}

/// A copy of the broker's state.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerState {
    /// Open streams.
    pub sessions: usize,
    /// Events sent to streams.
    pub delivered: u64,
    /// Streams ended because they were too slow.
    pub dropped: u64,
    /// Times a stream was told that events were lost.
    pub resyncs: u64,
    /// The same by cause.
    pub resyncs_by_cause: BTreeMap<&'static str, u64>,
    /// Streams that ended, by cause.
    pub ended: BTreeMap<&'static str, u64>,
    /// Events that can be replayed.
    pub ring_events: usize,
    /// Bytes they take.
    pub ring_bytes: usize,
    /// The newest event.
    pub latest_id: Option<EventId>,
    /// People whose access is remembered.
    pub viewers: usize,
    #[serde(skip)]
    counters: Counters,
}

impl BrokerState {
    pub(super) fn new(sessions: usize, feed: &Feed) -> Self {
        let counters = feed.counters.clone();
        let ended = |cause| counters.ended.get(cause).copied().unwrap_or_default();
        Self {
            sessions,
            delivered: counters.delivered,
            dropped: ended("slow") + ended("stalled"),
            resyncs: counters.resyncs.values().sum(),
            resyncs_by_cause: counters.resyncs.clone(),
            ended: counters.ended.clone(),
            ring_events: feed.ring.len(),
            ring_bytes: feed.ring.bytes(),
            latest_id: feed.id(feed.ring.last()),
            viewers: feed.viewers.len(),
            counters,
        }
    }

    /// The state as metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![
            Metric::gauge("sse_sessions", "Open streams.", self.sessions as u64),
            Metric::counter("sse_opened_total", "Streams opened.", self.counters.opened),
            Metric::counter("sse_delivered_total", "Events sent to streams.", self.delivered),
            Metric::counter("sse_events_total", "Events taken in.", self.counters.events),
            Metric::counter("sse_events_repeated_total", "Events that came twice.", self.counters.repeats),
            Metric::gauge("sse_ring_events", "Events that can be replayed.", self.ring_events as u64),
            Metric::gauge("sse_ring_bytes", "Bytes of events that can be replayed.", self.ring_bytes as u64),
            Metric::gauge("sse_viewers", "People whose access is remembered.", self.viewers as u64),
        ];
        let by_cause = |name, help, counts: &BTreeMap<&'static str, u64>| {
            let count = |(cause, count): (&&'static str, &u64)| {
                Metric::counter(name, help, *count).label("cause", *cause)
            };
            counts.iter().map(count).collect::<Vec<_>>()
        };
        metrics.extend(by_cause(
            "sse_resyncs_total",
            "Streams told that events were lost.",
            &self.resyncs_by_cause,
        ));
        metrics.extend(by_cause("sse_ended_total", "Streams that ended.", &self.ended));
        metrics
    }
}
