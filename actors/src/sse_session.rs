//! SseSession is one browser's stream: it writes what the broker gives it into the response body. It lives on an HTTP
//! worker's thread and is not supervised; the browser comes back by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, Addr, AsyncContext as _, Handler, Message,
    WrapFuture as _, dev::AsyncContextParts as _,
};
use actix_web_actors::HttpContext;
use bytes::Bytes;
use futures_util::Stream;

use crate::{
    filter::Filter,
    outbox::{Gauge, Metered},
    snowflake::{GuildId, UserId},
    sse_broker::{SseBroker, StreamDrained, StreamId, Subscribe, Unsubscribe},
    sse_frame,
};

/// The HTTP dispatcher's buffer begins with 8 KiB; a pause before that leaves room for a frame.
const PAUSE_AFTER: usize = 4 * 1024;

/// The actor.
struct SseSession {
    broker: Addr<SseBroker>,
    subscribe: Option<(Viewer, Filter, Option<String>)>,
    gauge: Arc<Gauge>,
    queue_frames: usize,
    shared_id: Arc<AtomicU64>,
    id: Option<StreamId>,
}

/// Whose stream it is.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The signed-in user.
    pub user: UserId,
    /// The session, so that signing out ends its streams.
    pub sid: String,
    /// The configured guilds the user had at sign-in.
    pub guilds: Vec<GuildId>,
    /// The stream ends with the session.
    pub expires_at: SystemTime,
}

/// A stream to be opened for a request that was admitted.
#[derive(Debug)]
pub struct OpenStream {
    /// Where it is registered.
    pub broker: Addr<SseBroker>,
    /// Whose it is.
    pub viewer: Viewer,
    /// What it asks for.
    pub filter: Filter,
    /// `Last-Event-ID`, as the browser sent it.
    pub after: Option<String>,
    /// Frames that may wait for it.
    pub queue_frames: usize,
}

/// Bytes for the browser, shared by all streams that get them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendSse {
    /// One or more whole frames.
    pub bytes: Bytes,
}

/// Ends the stream; with `retry` the browser is told when to come back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseStream {
    /// How long the browser should wait.
    pub retry: Option<Duration>,
}

/// The response body of a stream.
pub fn stream(open: OpenStream) -> impl Stream<Item = Result<Bytes, actix_web::Error>> + 'static {
    let gauge = Arc::new(Gauge::default());
    let shared_id = Arc::new(AtomicU64::new(0));
    let session = SseSession {
        broker: open.broker.clone(),
        subscribe: Some((open.viewer, open.filter, open.after)),
        gauge: Arc::clone(&gauge),
        queue_frames: open.queue_frames,
        shared_id: Arc::clone(&shared_id),
        id: None,
    };
    // Zero, which names no stream, until the broker has answered; it feeds a stream as it registers it.
    let drained = move || open.broker.do_send(StreamDrained(StreamId(shared_id.load(Ordering::Acquire))));
    Metered::new(HttpContext::create(session), gauge, PAUSE_AFTER, drained)
}

/// The whole body of a stream that is refused for now: EventSource gives up on any status but 200, so the refusal is
/// a long wait.
#[must_use]
pub fn refusal(retry: Duration) -> Bytes {
    sse_frame::goodbye(retry)
}

impl Actor for SseSession {
    type Context = HttpContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.parts().set_mailbox_capacity(self.queue_frames);
        let Some((viewer, filter, after)) = self.subscribe.take() else { return };
        let subscribe = Subscribe {
            recipient: ctx.address().recipient(),
            close: ctx.address().recipient(),
            gauge: Arc::clone(&self.gauge),
            viewer,
            filter,
            after,
        };
        let subscribed = self.broker.send(subscribe).into_actor(self);
        ctx.wait(subscribed.map(|id, session, ctx| match id {
            Ok(id) => {
                session.shared_id.store(id.0, Ordering::Release);
                session.id = Some(id);
                // What drained before the id was known found no stream.
                session.broker.do_send(StreamDrained(id));
            }
            // The broker is gone, and with it the role.
            Err(_) => ctx.write_eof(),
        }));
    }
}

impl Drop for SseSession {
    /// A browser that leaves drops the body without another poll: nothing else would tell the broker.
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.broker.do_send(Unsubscribe(id));
        }
    }
}

impl Handler<SendSse> for SseSession {
    type Result = ();

    fn handle(&mut self, SendSse { bytes }: SendSse, ctx: &mut Self::Context) {
        ctx.write(bytes);
    }
}

impl Handler<CloseStream> for SseSession {
    type Result = ();

    fn handle(&mut self, CloseStream { retry }: CloseStream, ctx: &mut Self::Context) {
        if let Some(retry) = retry {
            ctx.write(sse_frame::goodbye(retry));
        }
        ctx.write_eof();
        ctx.stop();
    }
}
