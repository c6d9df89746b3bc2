//! LinkSession is one peer's WebSocket on the gateway's side. Fed by LinkServer; feeds it the peer's commands. It
//! lives on an HTTP worker's thread, is not supervised (the peer comes back), and ends a peer that is silent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, Addr, AsyncContext as _, Handler, Message, StreamHandler,
    WrapFuture as _,
};
use actix_http::ws::{Codec, Item};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use bytes::Bytes;
use bytestring::ByteString;
use log::{debug, info, warn};
use tokio::time::Instant;

use crate::{
    link_fragments::{Fragments, Unfit},
    link_frame::{self, LinkFrame, MAX_FRAME, Refusal},
    link_server::{CloseLink, LinkDrained, LinkId, LinkServer, OpenLink, RunCommand},
    outbox::{Gauge, Metered},
    shard_runner::now_ms,
};

/// How often each side pings the other.
pub const PING_EVERY: Duration = Duration::from_secs(15);
/// A peer that has sent nothing for this long, not even a pong, is gone.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// Links are few and carry much: the HTTP dispatcher may gather as much as it likes for one write.
const PAUSE_AFTER: usize = usize::MAX;
/// Frames that may wait in a session's mailbox.
const MAILBOX: usize = 1024;

/// The actor.
struct LinkSession {
    server: Addr<LinkServer>,
    gauge: Arc<Gauge>,
    id: Arc<AtomicU64>,
    link: Option<LinkId>,
    peer: String,
    after: Option<String>,
    heard: Instant,
    fragments: Fragments,
}

/// A frame for the peer, shared by all sessions that send it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendFrame {
    /// The text.
    pub text: ByteString,
}

/// Ends the connection with a close frame.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseSocket {
    /// <https://www.rfc-editor.org/rfc/rfc6455#section-7.4>
    pub code: u16,
    /// For people.
    pub reason: &'static str,
}

/// Answers the upgrade of a peer whose token was checked.
///
/// # Errors
///
/// 400 when the request is no WebSocket handshake.
pub fn upgrade(
    request: &HttpRequest,
    payload: web::Payload,
    server: Addr<LinkServer>,
) -> Result<HttpResponse, actix_web::Error> {
    let mut response = ws::handshake(request)?;
    let gauge = Arc::new(Gauge::default());
    let id = Arc::new(AtomicU64::new(0));
    let header =
        |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let session = LinkSession {
        server: server.clone(),
        gauge: Arc::clone(&gauge),
        id: Arc::clone(&id),
        link: None,
        peer: request.peer_addr().map_or_else(|| "unknown".to_owned(), |addr| addr.to_string()),
        after: header("last-event-id"),
        heard: Instant::now(),
        fragments: Fragments::default(),
    };
    let frames = WebsocketContext::with_codec(session, payload, Codec::new().max_size(MAX_FRAME));
    // Zero, which names no link, until the server has answered; it feeds a link as it registers it.
    let drained = move || server.do_send(LinkDrained(LinkId(id.load(Ordering::Acquire))));
    Ok(response.streaming(Metered::new(frames, gauge, PAUSE_AFTER, drained)))
}

impl LinkSession {
    fn text(&mut self, text: Bytes, ctx: &mut WebsocketContext<Self>) {
        let refusal = match (link_frame::decode(&text), self.link) {
            (Ok(LinkFrame::Command(command)), Some(link)) => {
                debug!("[Gateway WS] Command {} from {}", command.command, self.peer);
                return self.server.do_send(RunCommand { link, command });
            }
            (Ok(LinkFrame::Command(_)), None) => Refusal::new("UNAVAILABLE", "the link is not open yet"),
            (Ok(_), _) => Refusal::new("INVALID", "only commands travel in this direction"),
            (Err(error), _) => Refusal::new("INVALID", error.to_string()),
        };
        warn!("[Gateway WS] Refused a frame from {}: {}", self.peer, refusal.message);
        ctx.text(link_frame::encode_error(None, &refusal, now_ms()));
    }

    fn fragment(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        if matches!(item, Item::FirstBinary(_)) {
            return Self::end(ctx, CloseCode::Unsupported, "only text frames are spoken here");
        }
        match self.fragments.take(item) {
            Ok(None) => {}
            Ok(Some(message)) if std::str::from_utf8(&message).is_ok() => self.text(message, ctx),
            Ok(Some(_)) => Self::end(ctx, CloseCode::Invalid, "a text message that is not UTF-8"),
            Err(Unfit::TooLarge) => Self::end(ctx, CloseCode::Size, "a message of more than 16 MiB"),
            Err(Unfit::NoBeginning) => {
                Self::end(ctx, CloseCode::Protocol, "a continuation without a beginning");
            }
        }
    }

    fn end(ctx: &mut WebsocketContext<Self>, code: CloseCode, reason: &str) {
        ctx.close(Some(CloseReason { code, description: Some(reason.to_owned()) }));
        ctx.stop();
    }

    fn beat(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.heard.elapsed() > SILENCE_LIMIT {
            info!("[Gateway WS] Client {} is silent: closed", self.peer);
            return Self::end(ctx, CloseCode::Policy, "nothing was heard for 45 s");
        }
        ctx.ping(b"");
    }
}

impl Actor for LinkSession {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(PING_EVERY, Self::beat);
        let open = OpenLink {
            recipient: ctx.address().recipient(),
            close: ctx.address().recipient(),
            gauge: Arc::clone(&self.gauge),
            peer: self.peer.clone(),
            after: self.after.take(),
        };
        let opened = self.server.send(open).into_actor(self);
        ctx.wait(opened.map(|link, session, ctx| match link {
            Ok(link) => {
                session.id.store(link.0, Ordering::Release);
                session.link = Some(link);
                // What drained before the id was known found no link.
                session.server.do_send(LinkDrained(link));
            }
            Err(_) => Self::end(ctx, CloseCode::Away, "the gateway is stopping"),
        }));
    }
}

impl Drop for LinkSession {
    /// Also when the peer is simply gone: the dispatcher then drops the body without polling it again.
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            self.server.do_send(CloseLink(link));
        }
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for LinkSession {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.heard = Instant::now();
        match message {
            Ok(ws::Message::Text(text)) => self.text(text.into_bytes(), ctx),
            Ok(ws::Message::Continuation(item)) => self.fragment(item, ctx),
            Ok(ws::Message::Ping(data)) => ctx.pong(&data),
            Ok(ws::Message::Binary(_)) => {
                Self::end(ctx, CloseCode::Unsupported, "only text frames are spoken here");
            }
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(ws::Message::Pong(_) | ws::Message::Nop) => {}
            Err(ProtocolError::Overflow) => {
                warn!("[Gateway WS] Client {} sent a frame of more than 16 MiB: closed", self.peer);
                Self::end(ctx, CloseCode::Size, "a frame of more than 16 MiB");
            }
            Err(error) => {
                warn!("[Gateway WS] Client {} broke the protocol: {error}", self.peer);
                Self::end(ctx, CloseCode::Protocol, "not a WebSocket frame");
            }
        }
    }
}

impl Handler<SendFrame> for LinkSession {
    type Result = ();

    fn handle(&mut self, SendFrame { text }: SendFrame, ctx: &mut Self::Context) {
        ctx.text(text);
    }
}

impl Handler<CloseSocket> for LinkSession {
    type Result = ();

    fn handle(&mut self, CloseSocket { code, reason }: CloseSocket, ctx: &mut Self::Context) {
        Self::end(ctx, code.into(), reason);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use futures_util::StreamExt as _;
    use serenity::http::HttpBuilder;
    use tokio::{
        sync::mpsc::{self, UnboundedSender},
        time::timeout,
    };

    use super::*;
    use crate::{
        link_server::{LinkServerSettings, Snapshot},
        ring::RingLimits,
    };

    type Said = Result<Bytes, PayloadError>;

    /// A peer's socket without a network: where it speaks, and what it is sent, as bytes of frames.
    fn peer(
        server: &Addr<LinkServer>,
    ) -> (UnboundedSender<Said>, impl futures_util::Stream<Item = Result<Bytes, actix_web::Error>> + Unpin)
    {
        let (say, mut said) = mpsc::unbounded_channel();
        let session = LinkSession {
            server: server.clone(),
            gauge: Arc::default(),
            id: Arc::default(),
            link: None,
            peer: "peer".to_owned(),
            after: None,
            heard: Instant::now(),
            fragments: Fragments::default(),
        };
        let said = futures_util::stream::poll_fn(move |cx| said.poll_recv(cx));
        (say, Box::pin(WebsocketContext::with_codec(session, said, Codec::new())))
    }

    /// A pong as a client sends it: masked, without data.
    const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];

    #[actix::test]
    async fn a_peer_that_falls_silent_is_closed_within_a_minute_and_one_that_answers_is_not() {
        tokio::time::pause();
        let settings = LinkServerSettings {
            guilds: Vec::new(),
            replay: RingLimits { events: 10, bytes: 1000 },
            http: Arc::new(HttpBuilder::new("token").build()),
        };
        let server = LinkServer::new(settings).start();
        let ((say, mut good), (_silent, mut silent)) = (peer(&server), peer(&server));
        let begun = Instant::now();
        let mut closed = None;
        while begun.elapsed() < 2 * SILENCE_LIMIT {
            let _ = timeout(Duration::from_secs(1), async {
                tokio::select! {
                    frame = good.next() => {
                        let frame = frame.unwrap().unwrap();
                        assert_ne!(frame[0], 0x88, "closed after {:?}", begun.elapsed());
                        if frame[0] == 0x89 {
                            say.send(Ok(Bytes::from_static(PONG))).unwrap();
                        }
                    }
                    Some(Ok(frame)) = silent.next() => {
                        if frame[0] == 0x88 {
                            closed.get_or_insert(begun.elapsed());
                        }
                    }
                }
            })
            .await;
        }
        assert!(
            closed.is_some_and(|after| after > SILENCE_LIMIT && after <= SILENCE_LIMIT + PING_EVERY),
            "{closed:?}"
        );
        drop(silent);
        assert_eq!(server.send(Snapshot).await.unwrap().peers.len(), 1, "the other follows");
    }
}
