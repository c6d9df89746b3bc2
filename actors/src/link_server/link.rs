//! One peer as LinkServer sees it: a cursor in the ring that moves as the peer has room.

use std::{sync::Arc, time::Instant};

use actix::Recipient;
use bytestring::ByteString;
use log::warn;

use super::state::PeerState;
use crate::{
    link_frame::MAX_FRAME,
    link_session::{CloseSocket, SendFrame},
    outbox::{Gauge, Outbox, Refused},
    ring::Ring,
};

/// Bytes a peer may have pending while it reads on from the ring.
const CATCH_UP_WINDOW: usize = 1024 * 1024;
/// Bytes a live peer may have pending before it has to read on from the ring: two frames of the largest size.
const LIVE_WINDOW: usize = 2 * MAX_FRAME;

/// A peer that follows.
pub(super) struct Link {
    outbox: Outbox<SendFrame>,
    close: Recipient<CloseSocket>,
    pub(super) peer: String,
    since: Instant,
    /// The last event given to this peer.
    cursor: u64,
    /// Whether events go to it as they come; otherwise it reads on from the ring as it drains.
    live: bool,
}

impl Link {
    /// A peer that has had everything up to `cursor`.
    pub(super) fn new(
        recipient: Recipient<SendFrame>,
        close: Recipient<CloseSocket>,
        gauge: Arc<Gauge>,
        peer: String,
        cursor: u64,
    ) -> Self {
        let outbox = Outbox::new(recipient, gauge, LIVE_WINDOW);
        Self { outbox, close, peer, since: Instant::now(), cursor, live: false }
    }

    /// Queues what the peer has not had, as far as it has room. `false`: it is gone, or the ring has left it behind.
    pub(super) fn feed(&mut self, ring: &Ring<ByteString>) -> bool {
        while self.cursor < ring.last() {
            if !self.live && !self.outbox.has_room(CATCH_UP_WINDOW) {
                return true;
            }
            let Some(frame) = ring.get(self.cursor + 1) else {
                warn!("[Gateway WS] Client {} cannot keep up: closed, it may resume", self.peer);
                self.close(1013, "cannot keep up: come back and resume");
                return false;
            };
            match self.outbox.offer(SendFrame { text: frame.clone() }, frame.len()) {
                Ok(()) => self.cursor += 1,
                Err(Refused::Closed) => return false,
                Err(Refused::Full) => {
                    self.live = false;
                    if !self.outbox.has_room(1) {
                        return true;
                    }
                }
            }
        }
        self.live = true;
        true
    }

    /// A new epoch counts from its beginning.
    pub(super) fn rewind(&mut self) {
        self.cursor = 0;
    }

    /// Queues a frame that was asked for, whatever is pending.
    pub(super) fn force(&self, frame: ByteString) {
        let bytes = frame.len();
        self.outbox.force(SendFrame { text: frame }, bytes);
    }

    /// Ends it with a close frame.
    pub(super) fn close(&self, code: u16, reason: &'static str) {
        self.close.do_send(CloseSocket { code, reason });
    }

    /// A copy of its state, `latest` being the newest event.
    pub(super) fn state(&self, latest: u64) -> PeerState {
        PeerState {
            peer: self.peer.clone(),
            connected_s: self.since.elapsed().as_secs(),
            behind: latest - self.cursor,
            pending_bytes: self.outbox.gauge().pending(),
        }
    }
}
