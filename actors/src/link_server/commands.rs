//! The way of a command through LinkServer: met, allowed against the model as it is now, made, answered to all who ask.

use actix::{ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};

use super::{LinkId, LinkServer};
use crate::{
    command_log::{Asker, Outcome},
    commands::{Commands, Job, Met},
    link_frame::{Command, Refusal},
};

impl LinkServer {
    /// Carries a command out, once.
    pub(super) fn run_command(&mut self, link: LinkId, command: Command, ctx: &mut Context<Self>) {
        let asker = Asker { link, request_id: command.request_id.clone() };
        let job = match self.commands.meet(command, asker.clone()) {
            Met::Begin(job) => job,
            Met::Joined => return,
            Met::Answered(outcome) => return self.tell(&[asker], &outcome),
        };
        let lookups = Commands::lookups(&job, &self.model, &self.settings.guilds);
        if lookups.is_empty() {
            return self.carry_out(job, ctx);
        }
        let found = self.commands.look_up(lookups).into_actor(self);
        ctx.spawn(found.map(move |found, server, ctx| {
            server.learn(found);
            server.carry_out(job, ctx);
        }));
    }

    fn carry_out(&mut self, job: Job, ctx: &mut Context<Self>) {
        match self.commands.prepare(&job, &self.model, &self.settings.guilds) {
            Ok(call) => {
                let reply = self.commands.send(call).into_actor(self);
                ctx.spawn(reply.map(move |reply, server, _| {
                    let outcome = server.commands.replied(&job, reply);
                    server.conclude(job, &outcome);
                }));
            }
            Err(refusal) => self.conclude(job, &Err(refusal)),
        }
    }

    fn conclude(&mut self, job: Job, outcome: &Outcome) {
        let askers = self.commands.conclude(job, outcome);
        self.tell(&askers, outcome);
    }

    /// Answers what is being carried out, before the links end.
    pub(super) fn abandon_commands(&mut self) {
        let message = "the gateway stops: it may have been done, or may still be";
        let askers = self.commands.abandon();
        self.tell(&askers, &Err(Refusal::new("OUTCOME_UNKNOWN", message)));
    }

    fn tell(&mut self, askers: &[Asker], outcome: &Outcome) {
        for Asker { link, request_id } in askers {
            self.counters.refusals += u64::from(outcome.is_err());
            self.answer(*link, request_id.as_deref(), outcome.clone());
        }
    }
}
