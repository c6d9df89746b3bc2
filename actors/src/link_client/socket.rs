//! One connection to the gateway: how it is dialled, and the task that writes to it.

use std::{pin::Pin, time::Duration};

use actix_web::http::StatusCode;
use awc::{
    error::WsProtocolError,
    ws::{Frame, Message},
};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;

use super::LinkClientSettings;
use crate::link_frame::MAX_FRAME;

/// A dial that has not come through by then has failed.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What arrives on a connection.
pub(super) type Incoming = Pin<Box<dyn Stream<Item = Result<Frame, WsProtocolError>>>>;

/// Opens a connection that goes on behind `last_event_id`.
///
/// # Errors
///
/// Why there is none, for people.
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
    match tokio::time::timeout(DIAL_TIMEOUT, request.connect()).await {
        Ok(Ok((_, socket))) => {
            let (sink, stream) = socket.split();
            Ok((Writer::new(sink, settings.command_queue), Box::pin(stream)))
        }
        Ok(Err(awc::error::WsClientError::InvalidResponseStatus(StatusCode::UNAUTHORIZED))) => {
            Err("the gateway refused the token (401): LINK_TOKEN must be the same on both sides".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in 10 s".to_owned()),
    }
}

/// The way out: a bounded queue, and the task that writes what is in it. Dropped, it closes the socket.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Writes to `sink`; at most `limit` messages wait for it.
    pub(super) fn new(mut sink: impl Sink<Message> + Unpin + 'static, limit: usize) -> Self {
        let (queue, mut queued) = mpsc::channel::<Message>(limit.max(16));
        actix::spawn(async move {
            while let Some(message) = queued.recv().await {
                if sink.send(message).await.is_err() {
                    break;
                }
            }
            let _ = sink.close().await;
        });
        Self { queue }
    }

    /// Queues a message. `false`: there is no room, or the connection is over.
    pub(super) fn write(&self, message: Message) -> bool {
        self.queue.try_send(message).is_ok()
    }
}
