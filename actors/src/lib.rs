//! The actor system of guildstream. It knows no environment, no routes and no cookies.
//!
//! Data flows one way; the files in the order an event meets them:
//! `discord_shard` → `link_server` → `link_session` → (WebSocket) → `link_client` → `sse_broker` → `sse_session`.
//! Beside the actors stand the pure parts: wire formats, ring, restart policy, guild model, audience.

pub mod audience;
mod command_log;
pub mod commands;
#[cfg(test)]
mod delivery;
pub mod derived;
pub mod discord_shard;
pub mod dispatch;
pub mod dispatch_facts;
pub mod event_id;
pub mod event_log;
pub mod filter;
pub mod guild_info;
pub mod guild_model;
pub mod link_client;
mod link_fragments;
pub mod link_frame;
pub mod link_server;
pub mod link_session;
pub mod metric;
pub mod outbox;
pub mod permissions;
pub mod questions;
pub mod restart;
pub mod ring;
pub mod scope;
pub mod shard_runner;
pub mod snowflake;
pub mod sse_broker;
pub mod sse_frame;
pub mod sse_session;
