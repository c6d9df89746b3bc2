//! Who is asking: sign-in through Discord, browser sessions, and the tokens of machines.

pub mod bearer;
pub mod discord_oauth;
pub mod expiring_set;
pub mod return_to;
pub mod session;
pub mod session_store;
pub mod signed_in;
