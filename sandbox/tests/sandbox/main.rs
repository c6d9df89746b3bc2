//! The sandbox from outside: over HTTP and WebSockets, by hand and with client libraries.

mod control;
mod gateway;
mod harness;
mod oauth;
mod rest;
mod serenity;
mod size;
mod soak;
mod twilight;
