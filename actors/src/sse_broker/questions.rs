//! What the broker asks the gateway: who may see what, who sits in voice, and what guilds are called.

use std::time::Duration;

use actix::{ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use tokio::time::Instant;

use super::{
    SseBroker,
    feed::{Feed, Snapshots},
};
use crate::{
    link_client::{Answer, CommandError, SendCommand},
    link_frame::raw,
    questions,
    snowflake::{GuildId, UserId},
};

/// Users in one `viewer` question.
const VIEWERS_AT_ONCE: usize = 500;
/// How long until a question is asked again that had no full answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl SseBroker {
    /// Asks what a stream or a page has been found to wait for.
    pub(super) fn ask_what_is_wanted(&mut self, ctx: &mut Context<Self>) {
        self.tell_guilds();
        let Some(ask) = self.ask.clone() else { return };
        if self.feed.snapshot_wanted && !self.asking_snapshot {
            self.feed.snapshot_wanted = false;
            self.asking_snapshot = true;
            let asked = ask.send(question("voice_snapshot", &serde_json::json!({}))).into_actor(self);
            ctx.spawn(asked.map(|answer, broker, ctx| broker.snapshot_answered(answer.ok(), ctx)));
        }
        if self.feed.directory.take_wanted() {
            let asked = ask.send(question("guild", &serde_json::json!({}))).into_actor(self);
            ctx.spawn(asked.map(|answer, broker, ctx| broker.guilds_answered(answer.ok(), ctx)));
        }
        while self.feed.viewers.has_wanted() {
            let users = self.feed.viewers.take_wanted(VIEWERS_AT_ONCE);
            let asked =
                ask.send(question("viewer", &serde_json::json!({ "userIds": users }))).into_actor(self);
            ctx.spawn(
                asked.map(move |answer, broker, ctx| broker.viewers_answered(&users, answer.ok(), ctx)),
            );
        }
    }

    /// Whether none of these is a guild that this role follows.
    fn none_is_ours(&self, guilds: &[GuildId]) -> bool {
        guilds.iter().all(|guild| !self.feed.settings.guilds.contains(guild))
    }

    fn snapshot_answered(&mut self, answer: Option<Result<Answer, CommandError>>, ctx: &mut Context<Self>) {
        self.asking_snapshot = false;
        let parsed = match answer {
            Some(Ok(Answer { id: Some(id), data, .. })) => {
                serde_json::from_str::<questions::VoiceSnapshots>(data.get()).map(|answer| (id, answer)).ok()
            }
            _ => None,
        };
        match parsed {
            // Of another epoch: the event that says so is on its way, and with it another question.
            Some((id, answer)) if self.none_is_ours(&answer.pending) && Some(id.epoch) == self.feed.epoch => {
                // An answer may overtake events that are on their way.
                self.feed.target = self.feed.target.max(id.seq);
                self.feed.snapshot = Some(Snapshots { id, taken: Instant::now(), guilds: answer.guilds });
                self.step_all(ctx);
            }
            _ => {
                ctx.run_later(ASK_AGAIN, Self::step_all);
            }
        }
    }

    /// Tells those who wait what guilds are called, or that it cannot be said.
    pub(super) fn tell_guilds(&mut self) {
        let Feed { directory, viewers, epoch, ring, .. } = &mut self.feed;
        if let Some(epoch) = *epoch {
            directory.tell(viewers, epoch, ring.last());
        }
        if self.ask.is_none() {
            directory.give_up();
        }
    }

    fn guilds_answered(&mut self, answer: Option<Result<Answer, CommandError>>, ctx: &mut Context<Self>) {
        let parsed = match answer {
            Some(Ok(Answer { id: Some(id), data, .. })) => {
                serde_json::from_str::<questions::Guilds>(data.get()).map(|answer| (id, answer)).ok()
            }
            _ => None,
        };
        let whole = parsed
            .filter(|(id, answer)| self.none_is_ours(&answer.pending) && Some(id.epoch) == self.feed.epoch);
        let again = whole.is_none();
        self.feed.directory.answered(whole.map(|(id, answer)| (answer.guilds, id)));
        if again {
            ctx.run_later(ASK_AGAIN, Self::ask_what_is_wanted);
        } else {
            self.ask_what_is_wanted(ctx);
        }
    }

    fn viewers_answered(
        &mut self,
        users: &[UserId],
        answer: Option<Result<Answer, CommandError>>,
        ctx: &mut Context<Self>,
    ) {
        let parsed = match answer {
            // Of another epoch: the event that says so is on its way, and until then no answer is of any use.
            Some(Ok(Answer { id: Some(id), data, .. })) if Some(id.epoch) == self.feed.epoch => {
                serde_json::from_str::<questions::Viewers>(data.get()).map(|answer| (id, answer)).ok()
            }
            _ => None,
        };
        self.feed.viewers.unanswered(users);
        let complete = parsed.is_some_and(|(id, answer)| {
            // All of them are taken in, whatever one of them says. The gateway may follow more guilds than this role.
            let Feed { viewers, settings, .. } = &mut self.feed;
            let answered = answer.viewers.into_iter().map(|mut viewer| {
                viewer.guilds.retain(|guild| settings.guilds.contains(&guild.guild_id));
                viewer.unknown.retain(|guild| settings.guilds.contains(guild));
                viewers.answered(viewer, id)
            });
            answered.fold(true, |all, complete| all & complete)
        });
        self.each(ctx, |stream, feed| stream.check_membership(feed));
        if complete {
            self.step_all(ctx);
        } else {
            // A step would ask again at once.
            ctx.run_later(ASK_AGAIN, Self::step_all);
        }
    }
}

fn question(command: &str, payload: &serde_json::Value) -> SendCommand {
    SendCommand { command: command.to_owned(), payload: raw(payload), actor: None, request_id: None }
}
