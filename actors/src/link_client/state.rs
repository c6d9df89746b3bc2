//! Where the link stands, and the copy of it that `/api/status` and the metrics show.

use serde::Serialize;
use tokio::time::Instant;

use crate::{event_id::EventId, metric::Metric};

/// Where the link stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Dialling, or waiting for the gateway's first frame.
    Connecting,
    /// Following.
    Live,
    /// The next dial is at `until`.
    Waiting {
        /// When.
        until: Instant,
    },
    /// Told to disconnect; stays so until told to connect.
    Disconnected,
    /// All attempts failed; stays so until told to connect.
    Exhausted,
    /// Stopping.
    Stopped,
}

impl LinkState {
    /// Its name in the status, and when the next dial is.
    pub(super) fn describe(&self) -> (&'static str, Option<Instant>) {
        match self {
            Self::Connecting => ("connecting", None),
            Self::Live => ("live", None),
            Self::Waiting { until } => ("waiting", Some(*until)),
            Self::Disconnected => ("disconnected", None),
            Self::Exhausted => ("exhausted", None),
            Self::Stopped => ("stopped", None),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) events: u64,
    pub(super) invalid: u64,
    pub(super) connects: u64,
    pub(super) disconnects: u64,
    pub(super) commands: u64,
    pub(super) failed_commands: u64,
}

/// A copy of the LinkClient's state, as `/api/status` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkClientState {
    /// `connecting`, `live`, `waiting`, `disconnected`, `exhausted` or `stopped`.
    pub state: &'static str,
    /// The number of the current or coming attempt; 0 while live.
    pub attempt: u32,
    /// Attempts before it gives up; 0 = never.
    pub max_attempts: u32,
    /// Milliseconds until the next dial.
    pub next_attempt_in_ms: Option<u64>,
    /// The last event delivered.
    pub last_event_id: Option<EventId>,
    /// Milliseconds since the Unix epoch when it came.
    pub last_event_at: Option<u64>,
    /// Whether the gateway answers questions: not one that knows only the first protocol.
    #[serde(skip)]
    pub answers: bool,
    #[serde(skip)]
    pub(super) counters: Counters,
}

impl LinkClientState {
    /// Whether the gateway is followed.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.state == "live"
    }

    /// Attempts since the link was last live.
    #[must_use]
    pub fn reconnect_attempts(&self) -> u32 {
        self.attempt
    }

    /// Whether events are coming in.
    ///
    /// # Errors
    ///
    /// Says where the link stands instead.
    pub fn ready(&self) -> Result<(), String> {
        match self.state {
            "live" => Ok(()),
            "exhausted" => Err(format!("link: exhausted after {} attempts", self.max_attempts)),
            "waiting" => Err(format!("link: waiting for attempt {}", self.attempt)),
            state => Err(format!("link: {state}")),
        }
    }

    /// The state as metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let Counters { events, invalid, connects, disconnects, commands, failed_commands } = self.counters;
        vec![
            Metric::gauge("link_connected", "1 while the gateway is followed.", u64::from(self.connected())),
            Metric::gauge("link_attempt", "Attempts since the link was last live.", self.attempt.into()),
            Metric::counter("link_events_total", "Events received over the link.", events),
            Metric::counter("link_invalid_frames_total", "Frames that could not be read.", invalid),
            Metric::counter("link_connects_total", "Times the link became live.", connects),
            Metric::counter("link_disconnects_total", "Times the link ended.", disconnects),
            Metric::counter("link_commands_sent_total", "Commands and questions sent.", commands),
            Metric::counter("link_commands_failed_total", "Commands without an answer.", failed_commands),
        ]
    }
}
