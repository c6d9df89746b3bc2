//! One connection of a twilight shard, from dial to end.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use futures_util::Stream;
use tokio::time::timeout;
use twilight_gateway::{CloseFrame, Message as Frame, Session, Shard, ShardState};

/// More polls than a dial ever needs. A server that upgrades and drops in one packet is redialled inside a single
/// poll of twilight's shard, unseen; this is how it is noticed.
const MAX_DIAL_POLLS: u32 = 64;
/// How long a polite close may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// What a connection yields.
pub(super) enum Next {
    Text(String),
    /// A close frame with its code.
    Closed(Option<u16>),
    /// The connection ended without one.
    Ended(String),
}

/// The connection.
pub(super) struct Socket {
    shard: Shard,
    was_connected: bool,
    dial_polls: u32,
}

impl Socket {
    pub(super) fn new(shard: Shard) -> Self {
        Self { shard, was_connected: false, dial_polls: 0 }
    }

    pub(super) async fn next(&mut self) -> Next {
        use twilight_gateway::error::ReceiveMessageErrorType as Kind;
        let item = poll_fn(|cx| {
            let item = Pin::new(&mut self.shard).poll_next(cx);
            let connected = !matches!(self.shard.state(), ShardState::Disconnected { .. });
            self.dial_polls += u32::from(!self.was_connected);
            let dropped = !connected && (self.was_connected || self.dial_polls > MAX_DIAL_POLLS);
            self.was_connected |= connected;
            match item {
                // A dropped socket yields no item: the shard dials again inside this very poll.
                Poll::Pending if dropped => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(item) => Poll::Ready(item),
            }
        })
        .await;
        match item {
            None => Next::Ended("the socket was dropped".to_owned()),
            Some(Ok(Frame::Text(text))) => Next::Text(text),
            Some(Ok(Frame::Close(frame))) => Next::Closed(frame.map(|frame| frame.code)),
            Some(Err(error)) => match error.kind() {
                // twilight scans for the envelope where we parse: what it cannot find we may.
                Kind::Deserializing { event } => Next::Text(event.clone()),
                Kind::Reconnect => Next::Ended(format!("cannot connect: {}", chain(&error))),
                _ => Next::Ended(chain(&error)),
            },
        }
    }

    /// Heartbeat to acknowledgement, the last time.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.shard.latency().recent().first().copied()
    }

    /// The sequence number its heartbeats carry.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.shard.session().map(Session::sequence)
    }

    /// Closes so that Discord keeps the session: 1000 and 1001 would end it.
    pub(super) async fn close(&mut self) {
        if !self.was_connected {
            return;
        }
        self.shard.close(CloseFrame::RESUME);
        let _ = timeout(CLOSE_DEADLINE, async { while let Next::Text(_) = self.next().await {} }).await;
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
