//! The way from a hub to one of its sessions: a mailbox bounded in frames and in bytes, and the count of what the
//! session's socket has really taken. Shared by both hubs, LinkServer and SseBroker.
//!
//! A session actor whose peer does not read is not polled at all, so nothing can be asked of it: the hub reads the
//! [`Gauge`] instead, which [`Metered`] moves as the HTTP dispatcher takes chunks.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use actix::{Message, Recipient, prelude::SendError};
use bytes::Bytes;
use futures_util::Stream;

/// What a session has been given and what its socket has taken, in bytes.
#[derive(Debug, Default)]
pub struct Gauge {
    pending: AtomicUsize,
    taken: AtomicU64,
    notify: AtomicBool,
}

impl Gauge {
    /// Bytes given to the session and not taken by its socket.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    /// Bytes taken by the socket since it opened: it stands still while the peer does not read.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Counts bytes that reach the socket without a hub's [`Outbox`] (a session's own pings).
    pub fn offered(&self, bytes: usize) {
        self.pending.fetch_add(bytes, Ordering::AcqRel);
    }

    fn refused(&self, bytes: usize) {
        self.pending.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Whether the hub must be told now: everything was taken, and it asked to know.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.taken.fetch_add(bytes as u64, Ordering::AcqRel);
        let before = self.pending.load(Ordering::Acquire);
        // A session may write bytes that were never offered (a closing line): never below zero.
        let taken = bytes.min(before);
        self.pending.fetch_sub(taken, Ordering::AcqRel) == taken && self.notify.swap(false, Ordering::AcqRel)
    }
}

/// Why a frame was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The session is behind by as much as it may be.
    Full,
    /// The session is gone.
    Closed,
}

/// A hub's end of one session's mailbox.
#[derive(Debug)]
pub struct Outbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Recipient<M>,
    gauge: Arc<Gauge>,
    max_bytes: usize,
}

impl<M> Outbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// One outbox per session: the recipient is never cloned to send, since Full is counted per instance.
    #[must_use]
    pub fn new(recipient: Recipient<M>, gauge: Arc<Gauge>, max_bytes: usize) -> Self {
        Self { recipient, gauge, max_bytes }
    }

    /// Queues a frame of `bytes` bytes for the session.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] when the mailbox or its byte limit is full. A frame larger than the limit passes when
    /// nothing else is pending, so that no frame is too large for ever.
    pub fn offer(&self, frame: M, bytes: usize) -> Result<(), Refused> {
        let pending = self.gauge.pending();
        if pending > 0 && pending + bytes > self.max_bytes {
            return Err(Refused::Full);
        }
        // Counted before it is sent: the session may take it on another thread before this returns.
        self.gauge.offered(bytes);
        self.recipient.try_send(frame).map_err(|error| {
            self.gauge.refused(bytes);
            match error {
                SendError::Full(_) => Refused::Full,
                SendError::Closed(_) => Refused::Closed,
            }
        })
    }

    /// Queues a frame past the limits: an answer that was asked for, or the last word of a session.
    pub fn force(&self, frame: M, bytes: usize) {
        self.gauge.offered(bytes);
        self.recipient.do_send(frame);
    }

    /// Whether a session that catches up may be given more now. When not, it is asked to say when it has drained.
    #[must_use]
    pub fn has_room(&self, window: usize) -> bool {
        if self.gauge.pending() < window {
            return true;
        }
        self.gauge.notify.store(true, Ordering::Release);
        // It may have drained between the two looks; then nobody would ever be told.
        self.gauge.pending() == 0 && self.gauge.notify.swap(false, Ordering::AcqRel)
    }

    /// What the session's socket has taken.
    #[must_use]
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Whether the session still lives.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.recipient.connected()
    }
}

/// A response body that moves the gauge with each chunk the HTTP dispatcher takes, and tells the hub when it drained.
pub struct Metered<S, F> {
    body: Pin<Box<S>>,
    gauge: Arc<Gauge>,
    drained: F,
}

impl<S, F: Fn()> Metered<S, F> {
    /// Wraps a session's body; `drained` is called when everything was taken and the hub asked to know.
    pub fn new(body: S, gauge: Arc<Gauge>, drained: F) -> Self {
        Self { body: Box::pin(body), gauge, drained }
    }
}

impl<S, F, E> Stream for Metered<S, F>
where
    S: Stream<Item = Result<Bytes, E>>,
    F: Fn() + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.body.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(chunk))) = &item
            && self.gauge.take(chunk.len())
        {
            (self.drained)();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::{Actor, Context as ActorContext, Handler};

    struct Peer;
    impl Actor for Peer {
        type Context = ActorContext<Self>;
    }
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Frame;
    impl Handler<Frame> for Peer {
        type Result = ();
        fn handle(&mut self, _: Frame, _: &mut Self::Context) {}
    }

    fn outbox(max_bytes: usize) -> (Outbox<Frame>, Arc<Gauge>) {
        let gauge = Arc::new(Gauge::default());
        (Outbox::new(Peer.start().recipient(), Arc::clone(&gauge), max_bytes), gauge)
    }

    #[actix::test]
    async fn a_session_is_full_in_bytes_before_its_mailbox_is() {
        let (outbox, gauge) = outbox(100);
        assert_eq!(outbox.offer(Frame, 500), Ok(()), "an empty session takes a frame of any size");
        assert_eq!(outbox.offer(Frame, 1), Err(Refused::Full));
        assert!(!gauge.take(500));
        assert_eq!(outbox.offer(Frame, 60), Ok(()));
        assert_eq!(outbox.offer(Frame, 60), Err(Refused::Full));
        assert_eq!((gauge.pending(), gauge.taken()), (60, 500));
    }

    #[actix::test]
    async fn a_full_mailbox_refuses_and_its_bytes_do_not_count() {
        let (outbox, gauge) = outbox(usize::MAX);
        let accepted = (0..1000).take_while(|_| outbox.offer(Frame, 1).is_ok()).count();
        assert!(accepted < 1000);
        assert_eq!(gauge.pending(), accepted);
    }

    #[actix::test]
    async fn the_hub_is_told_once_that_a_session_has_drained() {
        let (outbox, gauge) = outbox(100);
        outbox.offer(Frame, 50).unwrap();
        assert!(outbox.has_room(51));
        assert!(!outbox.has_room(50));
        assert!(!gauge.take(20));
        assert!(gauge.take(30));
        outbox.offer(Frame, 1).unwrap();
        assert!(!gauge.take(1), "nobody asked");
    }
}
