//! Bad days on request: everything that goes wrong between a bot and Discord, done on purpose.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    gateway::hub::{Hub, Order},
    world::id::Timestamp,
};

/// Faults that `/sandbox/state` remembers.
const REMEMBERED: usize = 50;

/// The longest a fault may last, in seconds: an hour.
const LONGEST_S: f64 = 3600.0;

/// Something that goes wrong, as `POST /sandbox/fault` names it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// Op 7: every session is asked to reconnect and resume.
    Reconnect {},
    /// Op 9 to every session.
    InvalidSession {
        /// Whether the session may be resumed.
        #[serde(default)]
        resumable: bool,
    },
    /// A close frame to every session.
    Close {
        /// The close code, 1000 or 3000–4999. Codes that end a session at Discord end it here.
        code: u16,
    },
    /// Every connection is cut without a close frame.
    Drop {},
    /// Nothing is sent or heard on the present connections for a while.
    Stall {
        /// How long.
        seconds: f64,
    },
    /// Every connection is cut and new ones are refused (503) for a while.
    Refuse {
        /// How long.
        seconds: f64,
    },
    /// Op 1: every client is asked for a heartbeat at once.
    Heartbeat {},
    /// A frame that is no JSON to every session.
    Corrupt {},
    /// After the next RESUME the last dispatches before it are sent a second time.
    Dup {
        /// How many.
        count: u64,
    },
    /// The next REST calls of the bot fail.
    RestError {
        /// The HTTP status, 400–599.
        status: u16,
        /// How many calls.
        #[serde(default = "one")]
        count: u64,
    },
    /// The next REST calls of the bot are done, but answered late.
    RestDelay {
        /// How late.
        seconds: f64,
        /// How many calls.
        #[serde(default = "one")]
        count: u64,
    },
    /// REST calls of the bot are answered with 429 for a while.
    RateLimit {
        /// How long, and what Retry-After begins with.
        retry_after_s: f64,
        /// Whether the limit is the bot's global one; else it is that of the route.
        #[serde(default)]
        global: bool,
    },
}

/// Faults in force, and those of the past.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    refuse_until: Option<Instant>,
    repeats: u64,
    rest_errors: Option<(u16, u64)>,
    rest_delays: Option<(Duration, u64)>,
    rate_limit: Option<(Instant, bool)>,
    log: VecDeque<Value>,
}

/// What a fault does to one REST call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RestFault {
    Error(u16),
    RateLimit {
        retry_after: Duration,
        global: bool,
    },
    /// Answer this much later.
    Delay(Duration),
}

impl Fault {
    /// Says what is wrong with values that no fault can have.
    pub(crate) fn check(&self) -> Result<(), String> {
        match *self {
            Self::Close { code } if code != 1000 && !(3000..5000).contains(&code) => {
                Err(format!("code {code} cannot be sent in a close frame, use 1000 or 3000–4999"))
            }
            Self::RestError { status, .. } if !(400..600).contains(&status) => {
                Err(format!("status {status} is no error, use 400–599"))
            }
            Self::Stall { seconds }
            | Self::Refuse { seconds }
            | Self::RestDelay { seconds, .. }
            | Self::RateLimit { retry_after_s: seconds, .. }
                if !(0.0..=LONGEST_S).contains(&seconds) =>
            {
                Err(format!("{seconds} seconds cannot be waited, use 0–{LONGEST_S}"))
            }
            _ => Ok(()),
        }
    }
}

impl Faults {
    /// Lets a checked fault happen.
    pub(crate) fn begin(&mut self, fault: &Fault, hub: &mut Hub) {
        let now = Instant::now();
        let mut touched = hub.links().count();
        match *fault {
            Fault::Reconnect {} => {
                order_all(hub, &Order::Send(r#"{"t":null,"s":null,"op":7,"d":null}"#.into()));
            }
            Fault::Heartbeat {} => {
                order_all(hub, &Order::Send(r#"{"t":null,"s":null,"op":1,"d":null}"#.into()));
            }
            Fault::Corrupt {} => {
                order_all(hub, &Order::Send(r#"{"t":"MESSAGE_CREATE","s":4,"op":0,"d":{"id":"#.into()));
            }
            Fault::InvalidSession { resumable } => order_all(hub, &Order::Invalidate { resumable }),
            Fault::Close { code } => {
                order_all(hub, &Order::Close(code));
                if ends_session(code) {
                    hub.sessions.retain(|session| session.link.is_none());
                }
            }
            Fault::Drop {} => hub.links().for_each(crate::gateway::hub::Link::cut),
            Fault::Stall { seconds } => order_all(hub, &Order::Stall(Duration::from_secs_f64(seconds))),
            Fault::Refuse { seconds } => {
                self.refuse_until = Some(now + Duration::from_secs_f64(seconds));
                hub.links().for_each(crate::gateway::hub::Link::cut);
            }
            Fault::Dup { count } => self.repeats = count,
            Fault::RestError { status, count } => self.rest_errors = Some((status, count)),
            Fault::RestDelay { seconds, count } => {
                self.rest_delays = Some((Duration::from_secs_f64(seconds), count));
            }
            Fault::RateLimit { retry_after_s, global } => {
                self.rate_limit = Some((now + Duration::from_secs_f64(retry_after_s), global));
            }
        }
        if matches!(
            fault,
            Fault::Dup { .. } | Fault::RestError { .. } | Fault::RestDelay { .. } | Fault::RateLimit { .. }
        ) {
            touched = 0;
        }
        log::info!("[Sandbox] fault {fault:?} on {touched} connections");
        self.log.push_back(json!({ "at": Timestamp::now(), "fault": fault, "connections": touched }));
        if self.log.len() > REMEMBERED {
            self.log.pop_front();
        }
    }

    /// True while new Gateway connections are refused.
    pub(crate) fn refuses_gateway(&self) -> bool {
        self.refuse_until.is_some_and(|until| Instant::now() < until)
    }

    /// How many dispatches the RESUME at hand shall repeat.
    pub(crate) fn take_repeats(&mut self) -> u64 {
        std::mem::take(&mut self.repeats)
    }

    /// What shall go wrong with the REST call at hand.
    pub(crate) fn take_rest(&mut self) -> Option<RestFault> {
        let now = Instant::now();
        if let Some((until, global)) = self.rate_limit {
            if now < until {
                return Some(RestFault::RateLimit { retry_after: until - now, global });
            }
            self.rate_limit = None;
        }
        if let Some(status) = take_one(&mut self.rest_errors) {
            return Some(RestFault::Error(status));
        }
        take_one(&mut self.rest_delays).map(RestFault::Delay)
    }

    /// Everything in force and what happened before, for `/sandbox/state`.
    pub(crate) fn state(&self) -> Value {
        let left_ms = |until: Option<Instant>| {
            until.map_or(0, |until| until.saturating_duration_since(Instant::now()).as_millis() as u64)
        };
        json!({
            "refusingForMs": left_ms(self.refuse_until),
            "rateLimitedForMs": left_ms(self.rate_limit.map(|(until, _)| until)),
            "restErrorsLeft": self.rest_errors.map_or(0, |(_, left)| left),
            "restDelaysLeft": self.rest_delays.map_or(0, |(_, left)| left),
            "dupOnResume": self.repeats,
            "log": self.log,
        })
    }
}

fn order_all(hub: &Hub, order: &Order) {
    for link in hub.links() {
        // A connection with a full queue has been told enough.
        let _ = link.orders.try_send(order.clone());
    }
}

/// Closes after which a RESUME is not possible: the client ended it, or Discord documents "start a new session".
fn ends_session(code: u16) -> bool {
    matches!(code, 1000 | 1001 | 4004 | 4007 | 4009..=4014)
}

fn take_one<T: Copy>(slot: &mut Option<(T, u64)>) -> Option<T> {
    let (value, left) = slot.as_mut()?;
    let value = *value;
    *left = left.saturating_sub(1);
    if *left == 0 {
        *slot = None;
    }
    Some(value)
}

fn one() -> u64 {
    1
}
