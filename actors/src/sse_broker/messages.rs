//! What the broker is told and asked: by the link, by streams, and by the routes.

use std::{sync::Arc, time::Duration};

use actix::{Message, Recipient};
use bytes::Bytes;

use super::{BrokerState, StreamId};
use crate::{
    audience::ViewerAccess,
    event_id::EventId,
    filter::Filter,
    guild_info::GuildInfo,
    link_client::SendCommand,
    outbox::Gauge,
    permissions::Permissions,
    scope::Scope,
    snowflake::{GuildId, UserId},
    sse_session::{CloseStream, SendSse, Viewer},
};

/// An event as it came over the link; the payload is still the frame's own bytes.
#[derive(Debug)]
pub struct LinkEvent {
    /// Its place in the order.
    pub id: EventId,
    /// Discord's name, or a derived one.
    pub event: String,
    /// The raw payload.
    pub payload: Bytes,
    /// Who may see it.
    pub scope: Scope,
    /// Milliseconds since the Unix epoch when it was received from Discord.
    pub ts: u64,
}

/// The next event, or the id of one that was too large.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Deliver {
    /// An event.
    Event(Arc<LinkEvent>),
    /// It cannot be had.
    Gap(EventId),
}

/// The link came up or went down.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum LinkStateChanged {
    /// Events follow from `start` on.
    Live(Uplink),
    /// No events until further notice.
    Down,
}

/// What a live link offers.
#[derive(Debug)]
pub struct Uplink {
    /// Where questions go; `None` when the gateway answers none.
    pub ask: Option<Recipient<SendCommand>>,
    /// The position before the first event that follows.
    pub start: Option<EventId>,
    /// The gateway's newest event.
    pub target: Option<EventId>,
    /// Whether what follows joins what came before.
    pub complete: bool,
}

/// Whether a stream would be accepted now.
#[derive(Debug, Message)]
#[rtype(result = "Admission")]
pub struct Admit {
    /// Who asks.
    pub user: UserId,
    /// The configured guilds the user had at sign-in.
    pub guilds: Vec<GuildId>,
}

/// The answer to [`Admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Welcome,
    /// The user is in none of the guilds.
    NotAMember,
    /// Not now; the browser should come back after `retry`.
    Later {
        /// Why.
        reason: &'static str,
        /// When.
        retry: Duration,
    },
}

/// Registers a stream; its first frames are queued before this is answered.
#[derive(Debug, Message)]
#[rtype(result = "StreamId")]
pub struct Subscribe {
    /// Where its frames go.
    pub recipient: Recipient<SendSse>,
    /// How it is told to end.
    pub close: Recipient<CloseStream>,
    /// What its socket has taken.
    pub gauge: Arc<Gauge>,
    /// Whose it is.
    pub viewer: Viewer,
    /// What it asks for.
    pub filter: Filter,
    /// Where it was, as the browser sent it.
    pub after: Option<String>,
}

/// A stream is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Unsubscribe(pub StreamId);

/// A stream has taken all it was given.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StreamDrained(pub StreamId);

/// Ends all streams of a session that was signed out; answered with their number.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct EndSession {
    /// The session.
    pub sid: String,
}

/// What a user may do in the guilds, as far as the broker knows; asks the gateway when it does not.
#[derive(Debug, Message)]
#[rtype(result = "Option<Vec<(GuildId, Permissions)>>")]
pub struct GuildPermissions {
    /// Who.
    pub user: UserId,
}

/// Asks for the guilds and what a user may see of them, as of the newest event; asks the gateway when it is not known.
#[derive(Debug, Message)]
#[rtype(result = "Option<VisibleGuilds>")]
pub struct GuildsOf {
    /// Who.
    pub user: UserId,
}

/// The answer to [`GuildsOf`]: all configured guilds, of which no more may be shown than `access` allows.
#[derive(Debug)]
pub struct VisibleGuilds {
    /// The guilds, with channels that the user may not see.
    pub guilds: Arc<[GuildInfo]>,
    /// What the user may see.
    pub access: ViewerAccess,
}

/// Ends all streams, spread over `grace`; each browser is told to come back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown {
    /// How long the ends may be spread.
    pub grace: Duration,
}

/// Asks for a copy of the state.
#[derive(Debug, Message)]
#[rtype(result = "BrokerState")]
pub struct Snapshot;
