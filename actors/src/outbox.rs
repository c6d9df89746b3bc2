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

    /// Whether fewer than `window` bytes are pending. When not, [`take`](Self::take) says when there are none.
    fn has_room(&self, window: usize) -> bool {
        if self.pending() < window {
            return true;
        }
        // The wish must be known before the second look, as the session first drains and then looks for a wish:
        // weaker orders let both miss each other, and nobody would ever be told.
        self.notify.swap(true, Ordering::SeqCst);
        self.pending.load(Ordering::SeqCst) == 0 && self.notify.swap(false, Ordering::SeqCst)
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
        self.pending.fetch_sub(taken, Ordering::SeqCst) == taken && self.notify.swap(false, Ordering::SeqCst)
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
        self.gauge.has_room(window)
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
///
/// The dispatcher copies chunks into a buffer until there are no more, and that buffer never shrinks again: ten thousand
/// streams that read on from the ring at once would keep all they read. So the body makes a pause now and then, in
/// which the dispatcher writes to its socket.
pub struct Metered<S, F> {
    body: Pin<Box<S>>,
    gauge: Arc<Gauge>,
    drained: F,
    /// Bytes taken since the last pause, and how many may be.
    since_pause: usize,
    pause_after: usize,
}

impl<S, F: Fn()> Metered<S, F> {
    /// Wraps a session's body, which pauses after `pause_after` bytes; `drained` is called when everything was taken
    /// and the hub asked to know.
    pub fn new(body: S, gauge: Arc<Gauge>, pause_after: usize, drained: F) -> Self {
        Self { body: Box::pin(body), gauge, drained, since_pause: 0, pause_after }
    }
}

impl<S, F, E> Stream for Metered<S, F>
where
    S: Stream<Item = Result<Bytes, E>>,
    F: Fn() + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.since_pause >= self.pause_after {
            self.since_pause = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let item = self.body.as_mut().poll_next(cx);
        match &item {
            Poll::Ready(Some(Ok(chunk))) => {
                self.since_pause += chunk.len();
                if self.gauge.take(chunk.len()) {
                    (self.drained)();
                }
            }
            _ => self.since_pause = 0,
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use std::{hint, task::Waker, thread};

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

    /// Hub and session are on different threads, and look at the same two numbers in opposite order.
    #[test]
    fn a_session_that_drains_while_the_hub_looks_is_always_noticed() {
        const ROUNDS: usize = 200_000;
        let wait = |counter: &AtomicUsize, round| {
            for look in 0.. {
                if counter.load(Ordering::Acquire) >= round {
                    break;
                }
                // Close enough to meet, and fair where there is one core for both.
                if look < 300 { hint::spin_loop() } else { thread::yield_now() }
            }
        };
        let gauge = Gauge::default();
        let (offered, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let session = scope.spawn(|| {
                let mut told = Vec::with_capacity(ROUNDS);
                for round in 1..=ROUNDS {
                    wait(&offered, round);
                    told.push(gauge.take(1));
                    taken.store(round, Ordering::Release);
                }
                told
            });
            let mut seen = Vec::with_capacity(ROUNDS);
            for round in 1..=ROUNDS {
                gauge.offered(1);
                offered.store(round, Ordering::Release);
                seen.push(gauge.has_room(1));
                wait(&taken, round);
            }
            let told = session.join().unwrap();
            let missed = seen.iter().zip(&told).filter(|(seen, told)| !**seen && !**told).count();
            assert_eq!(missed, 0, "of {ROUNDS}");
        });
    }

    #[actix::test]
    async fn a_long_body_pauses_so_that_it_can_be_written() {
        let chunks = futures_util::stream::iter((0..5).map(|_| Ok::<_, ()>(Bytes::from_static(b"1234"))));
        let mut body = Metered::new(chunks, Arc::default(), 8, || {});
        let mut taken = Vec::new();
        let (mut cx, mut pauses) = (Context::from_waker(Waker::noop()), 0);
        loop {
            match Pin::new(&mut body).poll_next(&mut cx) {
                Poll::Ready(Some(Ok(chunk))) => taken.extend_from_slice(&chunk),
                Poll::Ready(_) => break,
                Poll::Pending => pauses += 1,
            }
        }
        assert_eq!((taken.len(), pauses), (20, 2));
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
