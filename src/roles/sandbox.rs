//! The sandbox role: a Discord on this machine.

use std::net::SocketAddr;

use guildstream_sandbox::{SandboxConfig, SandboxError};

use super::{RoleError, RunningRole};
use crate::config::SandboxSettings;

/// Starts the role on the current actix system.
///
/// # Errors
///
/// [`RoleError::Bind`] when the address is taken; a sandbox that would be open to others is refused.
pub async fn start(settings: SandboxSettings) -> Result<RunningRole, RoleError> {
    let config = SandboxConfig {
        bind: settings.sandbox_bind,
        port: settings.sandbox_port,
        events_per_s: settings.sandbox_events_per_s,
        seed: settings.sandbox_seed,
        members: settings.sandbox_members,
        ..SandboxConfig::default()
    };
    let addr = SocketAddr::new(config.bind, config.port);
    let sandbox = guildstream_sandbox::start(config).await.map_err(|error| match error {
        SandboxError::Bind { source, .. } => {
            RoleError::Bind { addr, setting: "SANDBOX_BIND, SANDBOX_PORT", source }
        }
        other => RoleError::Unusable(other.to_string()),
    })?;
    let addr = sandbox.addr();
    let finished = sandbox.finished();
    let failure = async move {
        finished.await;
        RoleError::ServerEnded
    };
    Ok(RunningRole { addr, failure: Box::pin(failure), stop: Box::pin(sandbox.stop()) })
}
