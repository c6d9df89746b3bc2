//! The actor system of guildstream. It knows no environment, no routes and no cookies.
//!
//! Data flows one way; the files in the order an event meets them:
//! `discord_shard` → `link_server` → `link_session` → (WebSocket) → `link_client` → `sse_broker` → `sse_session`.
//! Beside the actors stand the pure parts: wire formats, ring, restart policy, guild model, audience.

pub mod event_id;
pub mod snowflake;

pub mod audience;
pub mod derived;
pub mod dispatch_facts;
pub mod guild_model;
pub mod permissions;
pub mod scope;
