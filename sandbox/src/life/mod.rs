//! What makes the sandbox more than a store: people who live in it, and the bad days it can have.

pub(crate) mod faults;
pub(crate) mod simulation;
