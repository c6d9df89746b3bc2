//! What was published, by id, as a peer hears it that never misses anything.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler};
use serde_json::Value;

use crate::{
    event_id::EventId,
    guild_model::fixture::ADA,
    link_frame::{LinkFrame, decode},
    link_session::{CloseSocket, SendFrame},
    outbox::Gauge,
    snowflake::UserId,
};

/// Everything that was published.
#[derive(Default)]
pub(super) struct Truth {
    /// The event and its payload, by epoch and number; `None` for one that was too large.
    events: BTreeMap<(u64, u64), Option<(String, Value)>>,
    /// What the gateway said that no gateway may say.
    pub(super) lies: Vec<String>,
}

/// The peer. It takes everything at once.
pub(super) struct Tap {
    pub(super) truth: Rc<RefCell<Truth>>,
    pub(super) gauge: Arc<Gauge>,
}

impl Actor for Tap {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1 << 16);
    }
}

impl Handler<SendFrame> for Tap {
    type Result = ();
    fn handle(&mut self, SendFrame { text }: SendFrame, _: &mut Self::Context) {
        self.gauge.take(text.len());
        match decode(&text.into_bytes()).unwrap() {
            LinkFrame::Event { id: Some(id), event, payload, .. } => {
                let payload = serde_json::from_slice(&payload).unwrap();
                self.truth.borrow_mut().learn(id, Some((event, payload)));
            }
            LinkFrame::Gap { id, .. } => self.truth.borrow_mut().learn(id, None),
            _ => {}
        }
    }
}

impl Handler<CloseSocket> for Tap {
    type Result = ();
    fn handle(&mut self, _: CloseSocket, _: &mut Self::Context) {}
}

impl Truth {
    fn learn(&mut self, id: EventId, event: Option<(String, Value)>) {
        let before = self.events.insert((id.epoch.0, id.seq), event.clone());
        if before.as_ref().is_some_and(|before| *before != event) {
            self.lies.push(format!("{id} was {before:?} and is {event:?}"));
        }
    }

    /// Whether an event behind `from`, up to `to`, was too large for the link.
    pub(super) fn has_gap(&self, from: EventId, to: EventId) -> bool {
        self.between(from, to).any(Option::is_none)
    }

    /// Whether channel 102 was opened or shut behind `from`, up to `to`.
    pub(super) fn has_turned_key(&self, from: EventId, to: EventId) -> bool {
        self.between(from, to).any(|event| matches!(event, Some((name, _)) if name == "CHANNEL_UPDATE"))
    }

    fn between(&self, from: EventId, to: EventId) -> impl Iterator<Item = &Option<(String, Value)>> {
        let to = if from.epoch == to.epoch { to.seq } else { from.seq };
        self.events.range((from.epoch.0, from.seq + 1)..(from.epoch.0, to + 1)).map(|(_, event)| event)
    }

    /// Whether this is the event of that id.
    pub(super) fn is(&self, id: EventId, event: &str, payload: &Value) -> Result<(), String> {
        match self.events.get(&(id.epoch.0, id.seq)) {
            Some(Some((name, truth))) if name == event && truth == payload => Ok(()),
            other => Err(format!("{id} is {other:?} and not {event} {payload}")),
        }
    }

    /// Whether a browser may go from one position to another without having read what lies between.
    pub(super) fn nothing_between(
        &self,
        from: EventId,
        to: EventId,
        user: UserId,
        query: (Option<&str>, Option<&str>),
    ) -> Result<(), String> {
        for seq in from.seq + 1..=to.seq {
            let missed = match self.events.get(&(to.epoch.0, seq)) {
                None => Some(format!("{seq}, which was never published")),
                Some(None) => Some(format!("{seq}, which was too large")),
                Some(Some((event, payload))) => {
                    is_theirs(event, payload, user, query).then(|| format!("{event} {payload}"))
                }
            };
            if let Some(missed) = missed {
                return Err(format!("user {user} {query:?} went from {from} to {to} past {missed}"));
            }
        }
        Ok(())
    }
}

/// Whether the event reaches the browser for certain: who sees channel 102 changes, so that an event in it may reach
/// who was let in since, and nobody but the owner surely.
fn is_theirs(event: &str, payload: &Value, user: UserId, query: (Option<&str>, Option<&str>)) -> bool {
    let channel = payload["channel_id"].as_str();
    let asked =
        query.0.is_none_or(|wanted| channel == Some(wanted)) && query.1.is_none_or(|wanted| event == wanted);
    let owner = user == ADA;
    asked
        && match event {
            "MESSAGE_CREATE" => owner || channel == Some("101"),
            "CHANNEL_UPDATE" | "GUILD_CREATE" => owner,
            "VOICE_STATE_UPDATE" | "voice.joined" | "voice.moved" | "voice.left" => true,
            _ => false,
        }
}
