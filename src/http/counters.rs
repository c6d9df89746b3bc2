//! What the HTTP side counts itself: answers, commands with their time, and sign-ins. Labels are taken from small sets,
//! so that nobody outside can make a new one.

use std::time::Duration;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};
use guildstream_actors::commands;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

/// Upper bounds in seconds: a healthy Discord answers in 0.1 s, and COMMAND_TIMEOUT_S is 10.
const COMMAND_SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The counters of the web role. One for all workers.
#[derive(Debug)]
pub struct Counters {
    registry: Registry,
    answers: IntCounterVec,
    commands: HistogramVec,
    sign_ins: IntCounterVec,
}

impl Counters {
    /// Nothing counted yet.
    ///
    /// # Panics
    ///
    /// Never: names and labels are constants that are valid and distinct.
    #[must_use]
    pub fn new() -> Self {
        let name = |name: &str| format!("guildstream_{name}");
        let answers = Opts::new(name("http_answers_total"), "Answers, by route and status.");
        let answers = IntCounterVec::new(answers, &["route", "status"]).expect("constant");
        let commands =
            HistogramOpts::new(name("command_seconds"), "Time until a command was answered, by outcome.");
        let commands = HistogramVec::new(commands.buckets(COMMAND_SECONDS.into()), &["command", "outcome"]);
        let commands = commands.expect("constant");
        let sign_ins = Opts::new(name("sign_ins_total"), "Sign-ins that Discord sent back, by outcome.");
        let sign_ins = IntCounterVec::new(sign_ins, &["outcome"]).expect("constant");
        let registry = Registry::new();
        registry.register(Box::new(answers.clone())).expect("distinct");
        registry.register(Box::new(commands.clone())).expect("distinct");
        registry.register(Box::new(sign_ins.clone())).expect("distinct");
        Self { registry, answers, commands, sign_ins }
    }

    /// Counts a command. `outcome` is `ok` or the code of its refusal.
    pub fn command(&self, command: &str, outcome: &str, time: Duration) {
        let labels = [known(commands::names(), command), known(OUTCOMES, outcome)];
        self.commands.with_label_values(&labels).observe(time.as_secs_f64());
    }

    /// Counts a sign-in that Discord sent back.
    pub fn sign_in(&self, outcome: &'static str) {
        self.sign_ins.with_label_values(&[outcome]).inc();
    }

    /// All of them, in Prometheus's text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts each answer under its route, not its path: paths are the callers' choice.
///
/// # Errors
///
/// Passes on those of inner middleware, uncounted.
pub async fn count_answers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let counters = request.app_data::<web::Data<Counters>>().cloned();
    let response = next.call(request).await?;
    if let Some(counters) = counters {
        let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
        counters.answers.with_label_values(&[route.as_str(), response.status().as_str()]).inc();
    }
    Ok(response)
}

const OUTCOMES: [&str; 15] = [
    "ok",
    "INVALID",
    "MISSING_PERMISSIONS",
    "FORBIDDEN",
    "UNKNOWN_COMMAND",
    "CONFLICT",
    "RATE_LIMITED",
    "DISCORD_ERROR",
    "OUTCOME_UNKNOWN",
    "TIMEOUT",
    "UNAVAILABLE",
    "NOT_SENT",
    "QUEUE_FULL",
    "UNANSWERED",
    "INTERNAL",
];

fn known(names: impl IntoIterator<Item = &'static str>, name: &str) -> &'static str {
    names.into_iter().find(|known| *known == name).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_outside_can_make_a_label() {
        let counters = Counters::new();
        for n in 0..1000 {
            counters.command(&format!("made_up_{n}"), &format!("MADE_UP_{n}"), Duration::from_millis(20));
        }
        counters.command("send_message", "ok", Duration::from_millis(20));
        let text = counters.exposition();
        let counts: Vec<_> = text.lines().filter(|line| line.contains("_count{")).collect();
        let expected = [
            r#"guildstream_command_seconds_count{command="other",outcome="other"} 1000"#,
            r#"guildstream_command_seconds_count{command="send_message",outcome="ok"} 1"#,
        ];
        assert_eq!(counts, expected);
    }
}
