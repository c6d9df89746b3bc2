//! The web role's position in the gateway's order: where it goes on, and which id an event gets that came without one.

use crate::{
    event_id::{Epoch, EventId},
    link_frame::Hello,
};

/// Where this client is.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The last event delivered.
    position: Option<EventId>,
    /// The next id to give to an event that came without one.
    minted: Option<EventId>,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// The position before the first event that follows.
    pub(super) start: Option<EventId>,
    /// The gateway's newest event.
    pub(super) target: Option<EventId>,
    /// Whether what follows joins what came before.
    pub(super) complete: bool,
}

impl Cursor {
    /// The last event delivered, if it means something to a gateway.
    pub(super) fn position(&self) -> Option<EventId> {
        self.position
    }

    /// What to ask the gateway for: `0` is the oldest event it has kept.
    pub(super) fn last_event_id(&self) -> String {
        self.position.map_or_else(|| "0".to_owned(), |id| id.to_string())
    }

    /// Whether the gateway of this connection gives no ids, and with them no answers.
    pub(super) fn mints(&self) -> bool {
        self.minted.is_some()
    }

    /// A connection was opened; nothing was heard on it yet.
    pub(super) fn opened(&mut self) {
        self.minted = None;
    }

    /// The gateway has spoken. One without a protocol gives no ids: they are made here, in an epoch of their own.
    pub(super) fn greeted(&mut self, hello: Option<&Hello>) -> Beginning {
        let Some(hello) = hello else {
            let start = EventId { epoch: Epoch::random(), seq: 0 };
            self.minted = Some(start.next());
            return Beginning { start: Some(start), target: Some(start), complete: false };
        };
        // A position that cannot be continued is none: the next dial asks from where this one went on.
        if !hello.complete || self.position.is_none() {
            self.position = if hello.complete { hello.oldest_id } else { hello.latest_id };
        }
        Beginning { start: self.position, target: hello.latest_id, complete: hello.complete }
    }

    /// The id of an event that arrived under `id`; `None` when it has none, so that it cannot be placed.
    pub(super) fn take(&mut self, id: Option<EventId>) -> Option<EventId> {
        // Minted ids mean nothing to the gateway: the next connection starts anew.
        if let Some(minted) = &mut self.minted {
            let id = *minted;
            *minted = minted.next();
            return Some(id);
        }
        if id.is_some() {
            self.position = id;
        }
        id
    }
}
