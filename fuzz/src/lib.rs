//! Everything that reads bytes from outside, held to what must be true of it whatever the bytes are.
//!
//! Each target is one function. `make fuzz` drives it with libFuzzer, `make test` with a fixed number of cases
//! (`tests/fuzz.rs` in the folder above, which takes this file in as a module).

mod broker;
mod gateway;
mod link;
mod sse;
mod web;

pub use broker::positions;
pub use gateway::{commands, dispatches, guild_model};
pub use link::link_frames;
pub use sse::sse_frames;
pub use web::{command_bodies, cookies, queries};

/// A target, and inputs to begin with.
pub struct Target {
    /// As in `fuzz_targets/`.
    pub name: &'static str,
    /// Panics when something is not as it must be.
    pub run: fn(&[u8]),
    /// Inputs that reach far.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "link_frames", run: link_frames, seeds: link::seeds },
    Target { name: "dispatches", run: dispatches, seeds: gateway::envelopes },
    Target { name: "guild_model", run: guild_model, seeds: gateway::stories },
    Target { name: "commands", run: commands, seeds: gateway::orders },
    Target { name: "cookies", run: cookies, seeds: web::sessions },
    Target { name: "queries", run: queries, seeds: web::addresses },
    Target { name: "positions", run: positions, seeds: broker::seeds },
    Target { name: "command_bodies", run: command_bodies, seeds: web::bodies },
    Target { name: "sse_frames", run: sse_frames, seeds: sse::seeds },
];

/// Real dispatches, one a line.
const CORPUS: &str = include_str!("../../tests/corpus/dispatch.jsonl");

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
