//! One connection to the gateway: how it is dialled, and the task that writes to it.

use std::{cell::RefCell, pin::Pin, rc::Rc, task::Poll, time::Duration};

use actix_web::http::StatusCode;
use awc::{
    error::WsProtocolError,
    ws::{Frame, Message},
};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, future::LocalBoxFuture, stream::poll_fn};
use secrecy::ExposeSecret as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::LinkClientSettings;
use crate::link_frame::MAX_FRAME;

/// A dial that has not come through by then has failed.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a goodbye may take: a gateway that is gone does not take it.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// What arrives on a connection.
pub(crate) type Incoming = Pin<Box<dyn Stream<Item = Result<Frame, WsProtocolError>>>>;

/// Opens a connection that goes on behind a position, or says why there is none. Tests dial without a network.
pub(crate) type Dial =
    Rc<dyn Fn(LinkClientSettings, String) -> LocalBoxFuture<'static, Result<(Writer, Incoming), String>>>;

/// Dials the gateway.
///
/// # Errors
///
/// Why there is no connection, for people.
pub(super) async fn dial(
    settings: LinkClientSettings,
    last_event_id: String,
) -> Result<(Writer, Incoming), String> {
    // HTTP/1.1 only: the WebSocket upgrade is not spoken over HTTP/2.
    let connector = awc::Connector::new().timeout(DIAL_TIMEOUT);
    let request = awc::Client::builder()
        .connector(connector)
        .finish()
        .ws(&settings.url)
        .max_frame_size(MAX_FRAME)
        .set_header("authorization", format!("Bearer {}", settings.token.expose_secret()))
        .set_header("last-event-id", last_event_id);
    match timeout(DIAL_TIMEOUT, request.connect()).await {
        Ok(Ok((_, socket))) => {
            let (sink, stream) = socket.split();
            let (incoming, rest) = share(stream);
            Ok((Writer::new(sink, rest, settings.command_queue), incoming))
        }
        Ok(Err(awc::error::WsClientError::InvalidResponseStatus(StatusCode::UNAUTHORIZED))) => {
            Err("the gateway refused the token (401): LINK_TOKEN must be the same on both sides".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in 10 s".to_owned()),
    }
}

/// Two hands on one stream: the second goes on where the first was dropped. Behind a close frame nothing follows.
pub(crate) fn share(
    stream: impl Stream<Item = Result<Frame, WsProtocolError>> + Unpin + 'static,
) -> (Incoming, Incoming) {
    let shared = Rc::new(RefCell::new(Some(stream)));
    let hand = || -> Incoming {
        let shared = Rc::clone(&shared);
        Box::pin(poll_fn(move |cx| {
            let mut stream = shared.borrow_mut();
            let Some(open) = &mut *stream else { return Poll::Ready(None) };
            let item = open.poll_next_unpin(cx);
            if matches!(item, Poll::Ready(None | Some(Ok(Frame::Close(_))))) {
                stream.take();
            }
            item
        }))
    };
    (hand(), hand())
}

/// The way out: a bounded queue, and the task that writes what is in it. Dropped, it ends the connection as WebSocket
/// wants it: a close frame, the gateway's close frame in answer, and only then the socket. A socket that is closed
/// sooner can overtake the goodbye. <https://www.rfc-editor.org/rfc/rfc6455#section-7.1.1>
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    task: JoinHandle<()>,
    _open: oneshot::Sender<()>,
}

impl Writer {
    /// Writes to `sink`; at most `limit` messages wait for it. The answer to the goodbye is in `rest`.
    pub(crate) fn new(
        mut sink: impl Sink<Message> + Unpin + 'static,
        mut rest: Incoming,
        limit: usize,
    ) -> Self {
        let (queue, mut queued) = mpsc::channel::<Message>(limit.max(16));
        let (open, dropped) = oneshot::channel::<()>();
        let write = async move {
            while let Some(message) = queued.recv().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            if sink.send(Message::Close(None)).await.is_ok() {
                while let Some(Ok(_)) = rest.next().await {}
            }
            let _ = sink.close().await;
        };
        let task = actix::spawn(async move {
            tokio::select! {
                () = write => {}
                // A socket that takes nothing would keep this task for as long as the kernel keeps the connection.
                () = async { let _ = dropped.await; sleep(GOODBYE).await } => {}
            }
        });
        Self { queue, task, _open: open }
    }

    /// Queues a message. `false`: there is no room, or the connection is over.
    pub(super) fn write(&self, message: Message) -> bool {
        self.queue.try_send(message).is_ok()
    }

    /// Ends the connection; ready when the goodbye is answered, or nobody answers it.
    pub(super) async fn close(self) {
        let Self { queue, task, _open: open } = self;
        drop((queue, open));
        let _ = task.await;
    }
}
