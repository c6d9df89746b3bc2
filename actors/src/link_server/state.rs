//! The copy of LinkServer's state that `/api/status` and the metrics show.

use serde::Serialize;

use super::journal;
use crate::{event_id::EventId, metric::Metric};

#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) derived: u64,
    pub(super) overrun: u64,
    pub(super) commands: u64,
    pub(super) refusals: u64,
}

/// A copy of the LinkServer's state.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkServerState {
    /// The peers that follow.
    pub peers: Vec<PeerState>,
    /// What can be replayed.
    pub ring: RingState,
    /// Events published in this process's life, derived ones included.
    pub published: u64,
    /// Whether a restart will go on from here: false without GATEWAY_STATE_DIR, and while its disk takes no more.
    pub durable: bool,
    #[serde(skip)]
    pub(super) log_failures: u64,
    #[serde(skip)]
    pub(super) journal: journal::Counters,
    #[serde(skip)]
    pub(super) counters: Counters,
    #[serde(skip)]
    pub(super) command_metrics: Vec<Metric>,
}

/// One peer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerState {
    /// Its address.
    pub peer: String,
    /// Seconds since it connected.
    pub connected_s: u64,
    /// Events it is behind.
    pub behind: u64,
    /// Bytes its socket has not taken.
    pub pending_bytes: usize,
}

/// What a ring holds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct RingState {
    pub events: usize,
    pub bytes: usize,
    pub oldest_id: EventId,
    pub latest_id: EventId,
}

impl LinkServerState {
    /// The state as metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let Counters { derived, overrun, commands, refusals } = self.counters;
        let journal::Counters { published, repeats, oversized, epochs } = self.journal;
        let behind = self.peers.iter().map(|peer| peer.behind).max().unwrap_or_default();
        let mut metrics = vec![
            Metric::gauge(
                "event_log_writing",
                "1 while a restart could go on without loss.",
                u64::from(self.durable),
            ),
            Metric::counter(
                "event_log_failures_total",
                "Times the event log could not be written.",
                self.log_failures,
            ),
            Metric::gauge("link_peers", "Web roles that follow.", self.peers.len() as u64),
            Metric::gauge("link_peer_behind_events", "Events the slowest peer is behind.", behind),
            Metric::gauge("ring_events", "Events that can be replayed.", self.ring.events as u64),
            Metric::gauge("ring_bytes", "Bytes of events that can be replayed.", self.ring.bytes as u64),
            Metric::counter("events_published_total", "Events given an id.", published),
            Metric::counter("events_derived_total", "Derived events among them.", derived),
            Metric::counter("events_repeated_total", "Dispatches Discord sent twice.", repeats),
            Metric::counter("events_oversized_total", "Events too large for a frame.", oversized),
            Metric::counter(
                "epochs_total",
                "Spans begun since events were lost or the session was new.",
                epochs,
            ),
            Metric::counter("link_overruns_total", "Peers that the ring left behind.", overrun),
            Metric::counter("link_commands_total", "Commands and questions received.", commands),
            Metric::counter("link_refusals_total", "Commands and questions refused.", refusals),
        ];
        metrics.extend(self.command_metrics.iter().cloned());
        metrics
    }
}
