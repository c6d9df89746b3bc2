//! Commands that wait for the gateway's answer, and those of whose outcome nobody knows.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use actix::Message;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::{
    event_id::EventId,
    link_frame::{Command, Refusal},
    snowflake::UserId,
};

/// A command for the gateway; answered with Discord's answer.
#[derive(Debug, Message)]
#[rtype(result = "Result<Answer, CommandError>")]
pub struct SendCommand {
    /// What to do, in snake case.
    pub command: String,
    /// Its arguments, raw.
    pub payload: Box<RawValue>,
    /// On whose behalf.
    pub actor: Option<UserId>,
    /// The caller's name for it: under the same one it is done once for this user. Made up when there is none.
    pub request_id: Option<String>,
}

/// What an ack carried.
#[derive(Debug)]
pub struct Answer {
    /// The command's name for it.
    pub request_id: String,
    /// The position at which it was true.
    pub id: Option<EventId>,
    /// The answer, raw.
    pub data: Box<RawValue>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It was never sent.
    #[error("not sent: {reason}")]
    NotSent {
        /// Why.
        reason: String,
    },
    /// Too many are in flight.
    #[error("not sent: too many commands are waiting for an answer, try again")]
    QueueFull,
    /// It was sent; it may still happen.
    #[error("sent and not answered: it may still happen")]
    Unanswered,
    /// The gateway or Discord said no.
    #[error("refused: {}", .0.message)]
    Refused(Refusal),
}

/// Where the answer to one command arrives.
pub(super) type Told = oneshot::Receiver<Result<Answer, CommandError>>;

/// Who asked, and under which name.
type Key = (Option<UserId>, String);

/// All that was asked over the link and not answered yet.
pub(super) struct InFlight {
    limit: usize,
    asked: HashMap<String, Asked>,
    next_ask: u64,
    unanswered: Unanswered,
    /// Commands that ended without an answer.
    failed: u64,
}

/// A command that waits for its answer.
struct Asked {
    key: Key,
    since: Instant,
    tell: oneshot::Sender<Result<Answer, CommandError>>,
}

impl InFlight {
    /// Nothing asked; at most `limit` commands wait at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, asked: HashMap::new(), next_ask: 0, unanswered: Unanswered::default(), failed: 0 }
    }

    /// Whether no other command may be asked now. Questions do not count: they are few, and people's streams stand still
    /// without their answers.
    pub(super) fn is_full_for(&self, command: &SendCommand) -> bool {
        let commands = || self.asked.values().filter(|asked| asked.key.0.is_some()).count();
        command.actor.is_some() && commands() >= self.limit
    }

    /// The command as it is to be sent; it waits once it was [`sent`](Self::sent).
    pub(super) fn prepare(&mut self, command: SendCommand) -> Prepared {
        // The callers choose their ids themselves, so that two may choose the same: the link has ids of its own.
        self.next_ask += 1;
        let name = command.request_id.clone().unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let key = (command.actor, name);
        let frame = Command {
            command: command.command,
            payload: command.payload,
            actor: command.actor,
            request_id: Some(format!("c{}", self.next_ask)),
            first_sent: self.unanswered.first_sent(&key).map(|since| since.elapsed()),
            key: command.request_id,
        };
        Prepared { frame, key }
    }

    /// Waits for the answer: the name under which it is awaited, and where it arrives.
    pub(super) fn sent(&mut self, Prepared { frame, key }: Prepared) -> (String, Told) {
        let ask = frame.request_id.unwrap_or_default();
        let (tell, told) = oneshot::channel();
        self.asked.insert(ask.clone(), Asked { key, since: Instant::now(), tell });
        (ask, told)
    }

    /// The gateway has answered.
    pub(super) fn answered(&mut self, ask: &str, id: Option<EventId>, data: Box<RawValue>) {
        if let Some(asked) = self.asked.remove(ask) {
            let request_id = asked.key.1.clone();
            self.settle(asked, Ok(Answer { request_id, id, data }));
        }
    }

    /// The gateway has said no.
    pub(super) fn refused(&mut self, ask: &str, refusal: Refusal) {
        if let Some(asked) = self.asked.remove(ask) {
            self.settle(asked, Err(CommandError::Refused(refusal)));
        }
    }

    /// No answer came in time.
    pub(super) fn give_up(&mut self, ask: &str) {
        if let Some(asked) = self.asked.remove(ask) {
            self.settle(asked, Err(CommandError::Unanswered));
        }
    }

    /// No answer will come: the link is gone.
    pub(super) fn give_up_all(&mut self) {
        for (_, asked) in std::mem::take(&mut self.asked) {
            self.settle(asked, Err(CommandError::Unanswered));
        }
    }

    /// Commands that ended without an answer.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Tells the caller, and remembers what may have been done without an answer.
    fn settle(&mut self, Asked { key, since, tell }: Asked, outcome: Result<Answer, CommandError>) {
        match &outcome {
            Err(CommandError::Unanswered) => {
                self.failed += 1;
                self.unanswered.insert(key, since);
            }
            Err(CommandError::Refused(refusal)) if refusal.is_unknown() => {
                self.unanswered.insert(key, since);
            }
            // Not done this time; what came of it before is as unknown as it was.
            Err(CommandError::Refused(refusal)) if refusal.is_passing() => {}
            _ => self.unanswered.remove(&key),
        }
        let _ = tell.send(outcome);
    }
}

/// A command that was given its name and not sent yet.
pub(super) struct Prepared {
    pub(super) frame: Command,
    key: Key,
}

/// Commands whose outcome nobody knows, and when they were sent first. When one is asked again, the gateway is told so: a
/// gateway that started since then cannot know it, and must not do it a second time.
#[derive(Default)]
struct Unanswered(VecDeque<(Instant, Key)>);

impl Unanswered {
    /// Commands remembered; the oldest is forgotten first.
    const KEPT: usize = 1000;
    /// As long as the gateway remembers its answers.
    const FOR: Duration = Duration::from_secs(600);

    fn first_sent(&self, key: &Key) -> Option<Instant> {
        let (since, _) = self.0.iter().find(|(_, known)| known == key)?;
        (since.elapsed() < Self::FOR).then_some(*since)
    }

    /// Questions, which nobody's name stands under, do nothing twice.
    fn insert(&mut self, key: Key, since: Instant) {
        if key.0.is_none() {
            return;
        }
        let first = self.first_sent(&key).unwrap_or(since);
        self.remove(&key);
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back((first, key));
    }

    fn remove(&mut self, key: &Key) {
        self.0.retain(|(_, known)| known != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(actor: Option<UserId>) -> SendCommand {
        let payload = RawValue::from_string("{}".to_owned()).unwrap();
        SendCommand { command: "x".to_owned(), payload, actor, request_id: Some("r".to_owned()) }
    }

    /// Sends it, and says how long ago it was sent first.
    fn send(in_flight: &mut InFlight, actor: Option<UserId>) -> (String, Option<Duration>) {
        let prepared = in_flight.prepare(write(actor));
        let first = prepared.frame.first_sent;
        (in_flight.sent(prepared).0, first)
    }

    #[test]
    fn what_nobody_answered_is_marked_until_it_is_known_what_came_of_it() {
        let (mut in_flight, ada) = (InFlight::new(10), Some(UserId(1)));
        let (ask, first) = send(&mut in_flight, ada);
        assert_eq!(first, None);
        in_flight.give_up(&ask);
        for code in ["RATE_LIMITED", "UNAVAILABLE", "OUTCOME_UNKNOWN"] {
            let (ask, first) = send(&mut in_flight, ada);
            assert!(first.is_some(), "after {code}");
            in_flight.refused(&ask, Refusal::new(code, ""));
        }
        assert_eq!(in_flight.prepare(write(Some(UserId(2)))).frame.first_sent, None, "another's");
        let (ask, first) = send(&mut in_flight, ada);
        assert!(first.is_some());
        in_flight.answered(&ask, None, RawValue::NULL.to_owned());
        assert_eq!(send(&mut in_flight, ada).1, None);
    }

    #[test]
    fn the_first_time_it_was_sent_counts_and_not_the_last() {
        let (mut unanswered, key) = (Unanswered::default(), (Some(UserId(1)), "r".to_owned()));
        let first = Instant::now();
        unanswered.insert(key.clone(), first);
        unanswered.insert(key.clone(), first + Duration::from_secs(60));
        assert_eq!(unanswered.first_sent(&key), Some(first));
    }

    #[test]
    fn commands_are_limited_and_questions_are_not() {
        let mut in_flight = InFlight::new(2);
        for user in [1, 2] {
            send(&mut in_flight, None);
            assert!(!in_flight.is_full_for(&write(Some(UserId(user)))));
            send(&mut in_flight, Some(UserId(user)));
        }
        assert!(in_flight.is_full_for(&write(Some(UserId(3)))));
        assert!(!in_flight.is_full_for(&write(None)));
        in_flight.give_up_all();
        assert!(!in_flight.is_full_for(&write(Some(UserId(3)))));
    }
}
