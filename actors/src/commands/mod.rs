//! Commands: what a browser's user, or a web role itself, may have done in Discord. Each is one struct that is parsed,
//! allowed or refused against the guild model, and becomes one REST call whose raw answer is the ack's data.
//!
//! `Commands` owns what they need beside the model: which were asked before, who sent which message through us,
//! the routes that Discord limits now, and what is measured. So members are looked up here too. LinkServer asks it; it
//! knows no links.

mod authority;
mod authors;
mod channels;
mod look_up;
mod members;
mod messages;
mod reactions;
mod rest;
mod tally;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serenity::http::Http;

pub(crate) use self::look_up::Found;
use self::{
    authority::Authority,
    authors::Authors,
    rest::{Call, Holds, Reply, Rest},
    tally::Tally,
};
use crate::{
    command_log::{Admission, Asker, CommandLog, Outcome, Ticket},
    guild_model::{GuildModel, Membership},
    link_frame::{Command, Refusal},
    metric::Metric,
    questions::Lookup,
    snowflake::GuildId,
};

/// A command's arguments, which know how to become a call.
trait Arguments: DeserializeOwned {
    /// The call, if the one who asks may have it made.
    fn prepare(self, authority: &Authority<'_>) -> Result<Call, Refusal>;
}

type Prepare = fn(&Command, &Authority<'_>) -> Result<Call, Refusal>;

/// Every command there is.
const COMMANDS: [(&str, Prepare); 9] = [
    ("send_message", read::<messages::SendMessage>),
    ("edit_message", read::<messages::EditMessage>),
    ("delete_message", read::<messages::DeleteMessage>),
    ("start_typing", read::<messages::StartTyping>),
    ("add_reaction", read::<reactions::AddReaction>),
    ("remove_reaction", read::<reactions::RemoveReaction>),
    ("create_channel", read::<channels::CreateChannel>),
    ("delete_channel", read::<channels::DeleteChannel>),
    ("move_member", read::<members::MoveMember>),
];

/// The commands there are, in snake case.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, _)| *name)
}

/// Parses the arguments and prepares the call.
fn read<A: Arguments>(command: &Command, authority: &Authority<'_>) -> Result<Call, Refusal> {
    // serde would also take an array for the fields in their order.
    if !command.payload.get().starts_with('{') {
        return Err(Refusal::new("INVALID", format!("{}: payload is not a JSON object", command.command)));
    }
    serde_json::from_str::<A>(command.payload.get())
        .map_err(|error| Refusal::new("INVALID", format!("{}: {error}", command.command)))?
        .prepare(authority)
}

/// What commands need beside the guild model.
pub(crate) struct Commands {
    rest: Rest,
    log: CommandLog,
    authors: Authors,
    holds: Holds,
    tally: Tally,
}

/// A command that was admitted and is not done yet.
pub(crate) struct Job {
    ticket: Ticket,
    command: Command,
    name: &'static str,
    since: Instant,
    /// When it was tried first, if nobody knows what came of that.
    first_tried: Option<Instant>,
}

/// How a command is met.
pub(crate) enum Met {
    /// It is to be carried out.
    Begin(Job),
    /// The same one is being carried out; its asker will hear.
    Joined,
    /// It is answered already.
    Answered(Outcome),
}

impl Commands {
    pub(crate) fn new(http: Arc<Http>) -> Self {
        Self {
            rest: Rest::new(http),
            log: CommandLog::default(),
            authors: Authors::default(),
            holds: Holds::default(),
            tally: Tally::default(),
        }
    }

    /// Learns from a dispatch who wrote a message.
    pub(crate) fn hear(&mut self, event: &str, payload: &str) {
        self.authors.hear(event, payload);
    }

    /// Takes a command in, unless it was asked before or cannot be.
    pub(crate) fn meet(&mut self, command: Command, asker: Asker) -> Met {
        let name = names().find(|name| *name == command.command);
        let Some(name) = name else {
            self.tally.count("unknown", "UNKNOWN_COMMAND", None);
            let message = format!("there is no command {:?}", command.command);
            return Met::Answered(Err(Refusal::new("UNKNOWN_COMMAND", message)));
        };
        let now = Instant::now();
        match self.log.admit(&command, asker, now) {
            Admission::Run { ticket, first_tried } => {
                // What the web role remembers reaches beyond a restart of ours.
                let before = command.first_sent.and_then(|ago| now.checked_sub(ago));
                let first_tried = first_tried.into_iter().chain(before).min();
                Met::Begin(Job { ticket, command, name, since: now, first_tried })
            }
            Admission::Joined => Met::Joined,
            Admission::Answered(outcome) => {
                let what = outcome.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "REPEATED");
                self.tally.count(name, what, None);
                Met::Answered(outcome)
            }
        }
    }

    /// The guilds in which the one who asks has to be looked up first.
    pub(crate) fn lookups(job: &Job, model: &GuildModel, guilds: &[GuildId]) -> BTreeSet<Lookup> {
        let Some(user) = job.command.actor else { return BTreeSet::new() };
        let now = std::time::SystemTime::now();
        let unseen = |guild: &&GuildId| model.access(**guild, user, now) == Membership::Unseen;
        guilds.iter().filter(unseen).map(|guild| Lookup { guild: *guild, user }).collect()
    }

    /// Parses a command and decides whether it may be done, by this user and now.
    ///
    /// # Errors
    ///
    /// `INVALID`, `FORBIDDEN` (not a configured guild), `MISSING_PERMISSIONS`, `RATE_LIMITED` while Discord limits its
    /// route, `UNAVAILABLE` when it cannot be said yet, and `OUTCOME_UNKNOWN` for one that may have been done before.
    pub(crate) fn prepare(&self, job: &Job, model: &GuildModel, guilds: &[GuildId]) -> Result<Call, Refusal> {
        let authority = Authority::new(model, guilds, &self.authors, &job.command);
        let (_, prepare) = COMMANDS
            .iter()
            .find(|(name, _)| *name == job.name)
            .ok_or_else(|| Refusal::new("UNKNOWN_COMMAND", job.name))?;
        let call = match (prepare(&job.command, &authority), job.first_tried) {
            (call, None) => call?,
            (Ok(call), Some(first)) if call.may_repeat(first.elapsed()) => call,
            // That it is refused now does not undo it either.
            (_, Some(_)) => {
                let message = "it was sent before and never answered: it may have been done";
                return Err(Refusal::new("OUTCOME_UNKNOWN", message));
            }
        };
        self.holds.check(&call, Instant::now())?;
        Ok(call)
    }

    /// Makes the call.
    pub(crate) fn send(&self, call: Call) -> impl Future<Output = Reply> + use<> {
        self.rest.send(call)
    }

    /// Takes in what Discord answered.
    pub(crate) fn replied(&mut self, job: &Job, reply: Reply) -> Outcome {
        if let Some(hold) = reply.hold {
            self.holds.add(hold, Instant::now());
        }
        if let (Ok(data), Some(user), "send_message") = (&reply.outcome, job.command.actor, job.name) {
            self.authors.sent(data, user);
        }
        reply.outcome
    }

    /// Remembers the outcome, and says whom to tell.
    pub(crate) fn conclude(&mut self, job: Job, outcome: &Outcome) -> Vec<Asker> {
        let what = outcome.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "OK");
        self.tally.count(job.name, what, Some(job.since.elapsed()));
        self.log.conclude(job.ticket, outcome, job.first_tried, Instant::now())
    }

    /// Gives up on all that are being carried out; each of these is to be told that its outcome is unknown.
    pub(crate) fn abandon(&mut self) -> Vec<Asker> {
        self.log.abandon()
    }

    /// What was measured.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let in_flight = self.log.in_flight() as u64;
        let mut metrics = self.tally.metrics();
        metrics.push(Metric::gauge("commands_in_flight", "Commands that wait for Discord.", in_flight));
        metrics
    }
}

/// Discord's raw answer; null when it is no JSON.
fn data(body: String) -> Box<RawValue> {
    RawValue::from_string(body).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
