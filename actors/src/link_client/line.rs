//! A connection without a network, for tests: what the client writes arrives at the far end, and the other way round.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use awc::{
    error::WsProtocolError,
    ws::{Frame, Message},
};
use futures_util::{
    Sink,
    stream::{pending, poll_fn},
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::socket::{Incoming, Writer, share};

/// The gateway's end.
pub(crate) struct FarEnd {
    /// What the client wrote; ends when the client has closed its end.
    pub(crate) written: UnboundedReceiver<Message>,
    /// What the client is to read; dropped, it ends the connection.
    pub(crate) say: UnboundedSender<Result<Frame, WsProtocolError>>,
}

/// A connection whose far end takes everything at once.
pub(crate) fn line() -> (Writer, Incoming, FarEnd) {
    let (sink, written) = mpsc::unbounded_channel();
    let (say, mut heard) = mpsc::unbounded_channel();
    let (incoming, rest) = share(poll_fn(move |cx| heard.poll_recv(cx)));
    (Writer::new(Near(Some(sink)), rest, 1000), incoming, FarEnd { written, say })
}

/// A connection whose far end is gone without a word: nothing is taken, nothing comes.
pub(crate) fn dead_line() -> (Writer, Incoming) {
    let (incoming, rest) = share(pending());
    (Writer::new(Near(None), rest, 1000), incoming)
}

struct Near(Option<UnboundedSender<Message>>);

impl Sink<Message> for Near {
    type Error = ();

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        match &self.0 {
            Some(sink) if sink.is_closed() => Poll::Ready(Err(())),
            Some(_) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), ()> {
        self.0.as_ref().map_or(Err(()), |sink| sink.send(message).map_err(drop))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if self.0.is_some() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}
