//! guildstream: Discord guild events, live in the browser. One program, three roles.
//!
//! - [`config`]: settings from the environment, one struct per role
//! - [`roles`]: what each role starts, in which order, and how it stops
//! - [`http`]: routes, one file per resource; [`auth`]: sign-in, sessions, the link's token
//! - [`telemetry`]: log lines; [`shutdown`]: the wish to stop
//!
//! The actors the roles are made of are in the crate `guildstream-actors`, the local Discord in
//! `guildstream-sandbox`.

pub mod auth;
pub mod config;
pub mod http;
pub mod roles;
pub mod shutdown;
pub mod telemetry;
