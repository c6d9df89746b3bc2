//! Each command once: what was asked under which id, by whom, and what came of it. The same again joins the one that
//! is being carried out, or gets its answer; another body under the same id is a conflict.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::{
    link_frame::{Command, Refusal},
    link_server::LinkId,
    snowflake::UserId,
};

/// How long an outcome is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Outcomes remembered, in number and in bytes; the oldest are forgotten first, before their time.
const MAX_OUTCOMES: usize = 50_000;
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Commands carried out at once.
const MAX_IN_FLIGHT: usize = 1000;
/// Askers that wait for one command, its first one included.
const MAX_ASKERS: usize = 16;

/// What came of a command: Discord's answer, or why there is none.
pub(crate) type Outcome = Result<Box<RawValue>, Refusal>;

/// Who is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// Over which link.
    pub(crate) link: LinkId,
    /// How that link calls it.
    pub(crate) request_id: Option<String>,
}

/// Names a command: ids are the callers' own choice, so that each caller has a space of their own.
type Key = (Option<UserId>, String);
type BodyHash = [u8; 32];

/// A command that is being carried out. Not cloned: each is concluded once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// How a command is met.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is new, or what came of it at `first_tried` is not known.
    Run { ticket: Ticket, first_tried: Option<Instant> },
    /// The same is being carried out.
    Joined,
    /// It was asked before, or cannot be.
    Answered(Outcome),
}

#[derive(Default)]
pub(crate) struct CommandLog {
    entries: HashMap<Key, Entry>,
    running: HashMap<u64, Running>,
    /// Outcomes in the order they came.
    remembered: VecDeque<Remembered>,
    bytes: usize,
    next: u64,
}

struct Entry {
    body: BodyHash,
    stage: Stage,
}

enum Stage {
    Running(u64),
    /// The ticket's number tells this outcome from one that the same command had before.
    Done {
        ticket: u64,
        outcome: Outcome,
        first_tried: Instant,
    },
}

struct Running {
    /// A command without an id is carried out and forgotten.
    key: Option<Key>,
    askers: Vec<Asker>,
    began: Instant,
}

struct Remembered {
    since: Instant,
    key: Key,
    ticket: u64,
    bytes: usize,
}

impl CommandLog {
    /// Takes a command in.
    pub(crate) fn admit(&mut self, command: &Command, asker: Asker, now: Instant) -> Admission {
        self.forget(now);
        let refused = |code, message: &str| Admission::Answered(Err(Refusal::new(code, message)));
        let key = command.key().map(|key| (command.actor, key.to_owned()));
        let body = hash(command);
        let mut tried = None;
        if let Some(entry) = key.as_ref().and_then(|key| self.entries.get(key)) {
            if entry.body != body {
                return refused("CONFLICT", "this requestId was used with another body: take a new one");
            }
            match &entry.stage {
                Stage::Done { outcome: Err(refusal), first_tried, .. } if refusal.is_unknown() => {
                    tried = Some(*first_tried);
                }
                Stage::Done { outcome, .. } => return Admission::Answered(outcome.clone()),
                Stage::Running(id) => match self.running.get_mut(id) {
                    Some(running) if running.askers.len() < MAX_ASKERS => {
                        running.askers.push(asker);
                        return Admission::Joined;
                    }
                    _ => {
                        return refused("UNAVAILABLE", "it is being carried out, and too many wait for it");
                    }
                },
            }
        }
        if self.running.len() >= MAX_IN_FLIGHT {
            return refused("UNAVAILABLE", "not sent: too many commands are being carried out, try again");
        }
        self.next += 1;
        if let Some(key) = &key {
            self.entries.insert(key.clone(), Entry { body, stage: Stage::Running(self.next) });
        }
        self.running.insert(self.next, Running { key, askers: vec![asker], began: now });
        Admission::Run { ticket: Ticket(self.next), first_tried: tried }
    }

    /// Remembers what came of a command, and says who waits for it. What was surely not done may be asked again;
    /// `first_tried` is when it may have been done for the first time, if this was not it.
    pub(crate) fn conclude(
        &mut self,
        Ticket(ticket): Ticket,
        outcome: &Outcome,
        first_tried: Option<Instant>,
        now: Instant,
    ) -> Vec<Asker> {
        let Some(Running { key, askers, began }) = self.running.remove(&ticket) else { return Vec::new() };
        let Some(key) = key else { return askers };
        let outcome = match (outcome, first_tried) {
            (Err(refusal), None) if refusal.is_passing() => {
                self.entries.remove(&key);
                return askers;
            }
            // That it was not done this time says nothing of the time before.
            (Err(refusal), Some(_)) if refusal.is_passing() => Err(Refusal::new("OUTCOME_UNKNOWN", "")),
            (outcome, _) => outcome.clone(),
        };
        if let Some(entry) = self.entries.get_mut(&key) {
            let bytes = size(&outcome) + key.1.len();
            entry.stage = Stage::Done { ticket, outcome, first_tried: first_tried.unwrap_or(began) };
            self.bytes += bytes;
            self.remembered.push_back(Remembered { since: now, key, ticket, bytes });
        }
        askers
    }

    /// Gives up on all that are being carried out, and says who waits for them.
    pub(crate) fn abandon(&mut self) -> Vec<Asker> {
        self.running.drain().flat_map(|(_, running)| running.askers).collect()
    }

    /// Commands being carried out.
    pub(crate) fn in_flight(&self) -> usize {
        self.running.len()
    }

    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.remembered.front()
            && (now.saturating_duration_since(oldest.since) >= REMEMBERED
                || self.remembered.len() > MAX_OUTCOMES
                || self.bytes > MAX_BYTES)
        {
            let Some(Remembered { key, ticket: forgotten, bytes, .. }) = self.remembered.pop_front() else {
                return;
            };
            self.bytes -= bytes;
            let is_it =
                |entry: &Entry| matches!(entry.stage, Stage::Done { ticket, .. } if ticket == forgotten);
            if self.entries.get(&key).is_some_and(is_it) {
                self.entries.remove(&key);
            }
        }
    }
}

fn size(outcome: &Outcome) -> usize {
    match outcome {
        Ok(data) => data.get().len(),
        Err(refusal) => {
            refusal.message.len() + refusal.discord.as_ref().map_or(0, |discord| discord.get().len())
        }
    }
}

fn hash(command: &Command) -> BodyHash {
    Sha256::new()
        .chain_update(command.command.as_bytes())
        .chain_update([0])
        .chain_update(command.payload.get())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(user: u64, id: Option<&str>, payload: &str) -> Command {
        Command {
            command: "send_message".to_owned(),
            payload: RawValue::from_string(payload.to_owned()).unwrap(),
            actor: Some(UserId(user)),
            request_id: id.map(ToOwned::to_owned),
            key: None,
            first_sent: None,
        }
    }

    fn asker(link: u64) -> Asker {
        Asker { link: LinkId(link), request_id: None }
    }

    fn ticket(admission: Admission) -> Ticket {
        match admission {
            Admission::Run { ticket, .. } => ticket,
            other => panic!("not run: {other:?}"),
        }
    }

    fn done() -> Outcome {
        Ok(RawValue::from_string("[1]".to_owned()).unwrap())
    }

    #[test]
    fn the_same_again_joins_and_then_gets_the_answer_for_ten_minutes() {
        let (mut log, now) = (CommandLog::default(), Instant::now());
        let ask = command(1, Some("a"), "{}");
        let running = ticket(log.admit(&ask, asker(1), now));
        assert!(matches!(log.admit(&ask, asker(2), now), Admission::Joined));
        assert_eq!(log.conclude(running, &done(), None, now), [asker(1), asker(2)]);
        let almost = now + REMEMBERED - Duration::from_secs(1);
        let Admission::Answered(Ok(data)) = log.admit(&ask, asker(3), almost) else { panic!("run twice") };
        assert_eq!(data.get(), "[1]");
        ticket(log.admit(&ask, asker(3), now + REMEMBERED));
        assert_eq!(log.bytes, 0);
    }

    #[test]
    fn another_body_conflicts_and_another_user_does_not() {
        let (mut log, now) = (CommandLog::default(), Instant::now());
        ticket(log.admit(&command(1, Some("a"), "{}"), asker(1), now));
        let conflict = log.admit(&command(1, Some("a"), "{ }"), asker(1), now);
        assert!(matches!(conflict, Admission::Answered(Err(refusal)) if refusal.code == "CONFLICT"));
        ticket(log.admit(&command(2, Some("a"), "{ }"), asker(1), now));
    }

    fn refused(code: &str) -> Outcome {
        Err(Refusal::new(code, ""))
    }

    #[test]
    fn what_was_surely_not_done_may_be_asked_again() {
        for (code, may) in [("RATE_LIMITED", true), ("UNAVAILABLE", true), ("MISSING_PERMISSIONS", false)] {
            let (mut log, now) = (CommandLog::default(), Instant::now());
            let ask = command(1, Some("a"), "{}");
            let running = ticket(log.admit(&ask, asker(1), now));
            log.conclude(running, &refused(code), None, now);
            let again = log.admit(&ask, asker(1), now);
            assert_eq!(matches!(again, Admission::Run { first_tried: None, .. }), may, "{code}");
        }
    }

    #[test]
    fn what_may_have_been_done_is_known_to_be_so_however_often_it_is_asked() {
        let (mut log, now) = (CommandLog::default(), Instant::now());
        let ask = command(1, Some("a"), "{}");
        let running = ticket(log.admit(&ask, asker(1), now));
        log.conclude(running, &refused("OUTCOME_UNKNOWN"), None, now);
        let conflict = log.admit(&command(1, Some("a"), "{ }"), asker(1), now);
        assert!(matches!(conflict, Admission::Answered(Err(refusal)) if refusal.code == "CONFLICT"));
        for (after_s, outcome) in
            [(100, refused("RATE_LIMITED")), (200, refused("OUTCOME_UNKNOWN")), (300, done())]
        {
            let later = now + Duration::from_secs(after_s);
            let Admission::Run { ticket, first_tried } = log.admit(&ask, asker(1), later) else {
                panic!("answered")
            };
            assert_eq!(first_tried, Some(now));
            log.conclude(ticket, &outcome, first_tried, later);
        }
        // The answer is remembered for its own ten minutes, not for those of what was not known.
        let late = log.admit(&ask, asker(1), now + Duration::from_secs(700));
        assert!(matches!(late, Admission::Answered(Ok(_))), "{late:?}");
        ticket(log.admit(&ask, asker(1), now + Duration::from_secs(900)));
        assert_eq!(log.bytes, 0);
    }

    #[test]
    fn commands_without_an_id_are_each_their_own() {
        let (mut log, now) = (CommandLog::default(), Instant::now());
        let ask = command(1, None, "{}");
        let first = ticket(log.admit(&ask, asker(1), now));
        let second = ticket(log.admit(&ask, asker(2), now));
        assert_eq!(log.conclude(first, &done(), None, now), [asker(1)]);
        assert_eq!(log.conclude(second, &done(), None, now), [asker(2)]);
        assert!(log.entries.is_empty());
    }

    #[test]
    fn what_is_in_flight_and_what_is_remembered_is_bounded() {
        let (mut log, now) = (CommandLog::default(), Instant::now());
        let mut tickets = Vec::new();
        for n in 0..MAX_IN_FLIGHT {
            tickets.push(ticket(log.admit(&command(1, Some(&n.to_string()), "{}"), asker(1), now)));
        }
        let refused = log.admit(&command(1, Some("one more"), "{}"), asker(1), now);
        assert!(matches!(refused, Admission::Answered(Err(refusal)) if refusal.code == "UNAVAILABLE"));
        let large: Outcome = Ok(RawValue::from_string(format!("\"{}\"", "x".repeat(100_000))).unwrap());
        for ticket in tickets {
            log.conclude(ticket, &large, None, now);
        }
        log.forget(now);
        assert!(log.bytes <= MAX_BYTES && log.entries.len() == log.remembered.len());
    }
}
