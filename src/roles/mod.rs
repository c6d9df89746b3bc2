//! The three roles: wiring only, downstream first. A role binds its listener before it starts anything, so that tests
//! ask for port 0 and read the address back.

pub mod gateway;
pub mod sandbox;

pub mod web;

use std::{
    any::Any,
    future::Future,
    net::{IpAddr, SocketAddr, TcpListener},
    pin::Pin,
    time::Duration,
};

use actix_web::{dev::ServerHandle, rt::net::TcpStream};

/// A step of the stop that has not ended by then is left behind.
const STEP_DEADLINE: Duration = Duration::from_secs(2);
/// How often a role looks whether its core actors live; an address says so, but tells nobody.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// The kernel drops a connection whose peer has not acknowledged what was sent for this long.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

type Later<T> = Pin<Box<dyn Future<Output = T>>>;

/// A role that runs.
pub struct RunningRole {
    addr: SocketAddr,
    failure: Later<RoleError>,
    stop: Later<()>,
}

/// Why a role could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The address is not to be had.
    #[error("cannot listen on {addr} ({setting}): {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The settings it comes from.
        setting: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A setting that only shows to be unusable when it is used.
    #[error("{0}")]
    Unusable(String),
    /// Discord will not have us; the text says what to do.
    #[error("{0}")]
    Fatal(String),
    /// A core actor is gone: a defect. A restart resumes where this process was.
    #[error("the {0} has died: restart the role, it resumes where it was")]
    ActorDied(&'static str),
    /// The HTTP server ended by itself.
    #[error("the HTTP server has ended")]
    ServerEnded,
}

impl RoleError {
    /// The process's exit code, after `sysexits.h`: 70 is an internal error, 78 a setting to be mended.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bind { .. } => 1,
            Self::Unusable(_) | Self::Fatal(_) => 78,
            Self::ActorDied(_) | Self::ServerEnded => 70,
        }
    }
}

impl RunningRole {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Runs until `stop` is ready or the role fails; either way everything is stopped in order.
    ///
    /// # Errors
    ///
    /// Why the role failed.
    pub async fn wait<T>(self, stop: impl Future<Output = T>) -> Result<(), RoleError> {
        let failed = tokio::select! {
            failure = self.failure => Err(failure),
            _ = stop => Ok(()),
        };
        self.stop.await;
        failed
    }

    /// Stops in order.
    ///
    /// # Errors
    ///
    /// Why the role had failed before.
    pub async fn stop(self) -> Result<(), RoleError> {
        let failed = futures_util::FutureExt::now_or_never(self.failure).map_or(Ok(()), Err);
        self.stop.await;
        failed
    }
}

fn bind(ip: IpAddr, port: u16, setting: &'static str) -> Result<(TcpListener, SocketAddr), RoleError> {
    let addr = SocketAddr::new(ip, port);
    let bound = TcpListener::bind(addr).and_then(|listener| {
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    });
    bound.map_err(|source| RoleError::Bind { addr, setting, source })
}

/// Small writes leave at once, and a peer that has vanished does not hold its socket for ever.
fn tune(connection: &dyn Any) {
    if let Some(socket) = connection.downcast_ref::<TcpStream>() {
        let _ = socket.set_nodelay(true);
        let _ = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    }
}

/// Waits until one of the addresses is dead.
async fn first_death(actors: Vec<(&'static str, Box<dyn Fn() -> bool>)>) -> RoleError {
    loop {
        if let Some((name, _)) = actors.iter().find(|(_, alive)| !alive()) {
            return RoleError::ActorDied(name);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// Runs one step of a stop; the next one follows at the deadline.
async fn step<T>(name: &str, step: impl Future<Output = T>) {
    if tokio::time::timeout(STEP_DEADLINE, step).await.is_err() {
        log::warn!("stopping the {name} took too long: left behind");
    }
}

async fn stop_server(server: ServerHandle) {
    step("HTTP server", server.stop(true)).await;
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler, Message, Supervised, Supervisor};

    use super::*;

    struct Core;
    impl Actor for Core {
        type Context = Context<Self>;
    }
    impl Supervised for Core {}

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Panic;
    impl Handler<Panic> for Core {
        type Result = ();
        fn handle(&mut self, _: Panic, _: &mut Self::Context) {
            panic!("a defect");
        }
    }

    /// Supervisor brings back an actor that stopped, not one that panicked: the role has to notice.
    #[actix_web::test]
    async fn a_core_actor_that_panicked_ends_its_role_with_70() {
        let (core, healthy) = (Supervisor::start(|_| Core), Core.start());
        let failure = {
            let (core, healthy) = (core.clone(), healthy.clone());
            first_death(vec![
                ("healthy", Box::new(move || healthy.connected())),
                ("core", Box::new(move || core.connected())),
            ])
        };
        core.do_send(Panic);
        let role = RunningRole {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            failure: Box::pin(failure),
            stop: Box::pin(async {}),
        };
        let error = role.wait(std::future::pending::<()>()).await.unwrap_err();
        assert!(matches!(error, RoleError::ActorDied("core")));
        assert_eq!(error.exit_code(), 70);
        assert!(healthy.connected());
    }
}
