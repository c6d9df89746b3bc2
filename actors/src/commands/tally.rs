//! What is measured of commands: how many, how they ended and how long they took.

use std::{collections::BTreeMap, time::Duration};

use crate::metric::Metric;

/// Both keys come from short lists of ours, so that the map stays small.
#[derive(Default)]
pub(super) struct Tally {
    ended: BTreeMap<(&'static str, String), u64>,
    took: BTreeMap<&'static str, (Duration, u64)>,
}

impl Tally {
    /// Counts a command; `took` when it was this one that was carried out.
    pub(super) fn count(&mut self, command: &'static str, outcome: &str, took: Option<Duration>) {
        *self.ended.entry((command, outcome.to_ascii_lowercase())).or_default() += 1;
        if let Some(took) = took {
            let (sum, count) = self.took.entry(command).or_default();
            *sum += took;
            *count += 1;
        }
    }

    pub(super) fn metrics(&self) -> Vec<Metric> {
        let ended = self.ended.iter().map(|((command, outcome), count)| {
            Metric::counter("commands_total", "Commands by how they ended.", *count)
                .label("command", *command)
                .label("outcome", outcome.as_str())
        });
        let took = self.took.iter().flat_map(|(command, (sum, count))| {
            let help = "Seconds that commands took, all together.";
            let seconds = Metric {
                value: sum.as_secs_f64(),
                ..Metric::counter("command_duration_seconds_sum", help, 0)
            };
            let help = "Commands whose seconds were added.";
            let count = Metric::counter("command_duration_seconds_count", help, *count);
            [seconds, count].map(|metric| metric.label("command", *command))
        });
        ended.chain(took).collect()
    }
}
