//! A Discord on your laptop, for tests and for people without an account.
//!
//! It speaks REST v10, Gateway v10 and OAuth2 so that unmodified client libraries connect, stay connected, resume and
//! call REST. What it does and does not do is in `docs/sandbox.md`.
//!
//! - [`world`]: the state. Guilds, people, messages, voice; every change leaves the events Discord would dispatch.
//! - [`gateway`], [`rest`], [`oauth`]: the edges, which know protocols and permissions and change the world.
//! - [`life`]: simulated members, and faults.
//! - [`control`]: routes for tests and people who want to see faults, on this machine only.
//! - [`discord`]: the one shared value that all of these take turns with.

mod avatar;
mod config;
mod control;
mod discord;
mod gateway;
mod life;
mod oauth;
mod rest;
mod server;
mod world;

pub use config::{BOT_TOKEN, CLIENT_ID, CLIENT_SECRET, SandboxConfig};
pub use control::DispatchError;
pub use life::faults::Fault;
pub use server::{ControlError, Sandbox, SandboxError, start};
