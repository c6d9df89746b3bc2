//! The one shared value behind all edges: the world, who listens to it, and what is wrong with it.

use std::sync::{Mutex, PoisonError};

use crate::{
    config::SandboxConfig, gateway::hub::Hub, life::faults::Faults, oauth::grants::Grants,
    rest::limits::Limits, world::World,
};

/// This Discord. Every access is one short turn under one lock, so each change and the dispatches it causes are in the
/// same order for everybody.
#[derive(Debug)]
pub(crate) struct Discord {
    pub(crate) config: SandboxConfig,
    inner: Mutex<Inner>,
}

/// What a turn may look at and change.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) hub: Hub,
    pub(crate) faults: Faults,
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
    /// REST calls so far.
    pub(crate) rest_requests: u64,
}

impl Discord {
    pub(crate) fn new(config: SandboxConfig) -> Self {
        let inner = Inner {
            world: World::demo(&config),
            hub: Hub::default(),
            faults: Faults::default(),
            grants: Grants::default(),
            limits: Limits::new(config.rate_limits),
            rest_requests: 0,
        };
        Self { config, inner: Mutex::new(inner) }
    }

    /// Takes a turn. What it makes happen in the world is dispatched before the next one begins.
    pub(crate) fn with<R>(&self, turn: impl FnOnce(&mut Inner) -> R) -> R {
        // A turn that panicked has cost its caller a 500; the others go on.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let result = turn(&mut inner);
        for event in inner.world.take_events() {
            inner.hub.publish(&event);
        }
        result
    }
}
