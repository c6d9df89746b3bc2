//! Starting and stopping a sandbox, and doing to it in process what its control routes do over HTTP.

use std::{
    future::Future,
    io,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use actix_web::{App, HttpServer, dev::ServerHandle, guard, web};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    avatar,
    config::SandboxConfig,
    control::{self, DispatchError, Posted},
    discord::Discord,
    gateway::{self, RawSocket},
    life::{faults::Fault, simulation},
    oauth, rest,
    world::{SelfState, id::Id},
};

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address can be reached by others.
    #[error(
        "{0} is not a loopback address: the sandbox has published credentials, set allow_remote to share it anyway"
    )]
    NotLoopback(IpAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {addr}, stop what listens there or choose another port")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Why something cannot be done to a running sandbox.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// An id that is no number, or of nobody and nothing.
    #[error("{0}")]
    Refused(String),
    /// Events that cannot be dispatched.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
}

/// A running sandbox. It ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    discord: web::Data<Discord>,
    server: ServerHandle,
    sockets: Sockets,
    life: JoinHandle<()>,
    finished: watch::Receiver<bool>,
}

/// The connections that are open, so that they can be cut.
#[derive(Clone, Debug, Default)]
struct Sockets(Arc<Mutex<Vec<Weak<TcpStream>>>>);

/// Binds, then serves on the current `LocalSet` until stopped. The simulated members begin to live at once.
///
/// # Errors
///
/// When the address is not loopback and `allow_remote` is not set, or cannot be bound.
pub async fn start(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
    if !config.bind.is_loopback() && !config.allow_remote {
        return Err(SandboxError::NotLoopback(config.bind));
    }
    let wanted = SocketAddr::new(config.bind, config.port);
    let bind = |source| SandboxError::Bind { addr: wanted, source };
    let listener = TcpListener::bind(wanted).map_err(bind)?;
    let addr = listener.local_addr().map_err(bind)?;
    let discord = web::Data::new(Discord::new(config));
    let sockets = Sockets::default();
    let (accepted, data) = (sockets.clone(), discord.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .service(
                web::resource("/{path:.*}")
                    .guard(guard::fn_guard(gateway::is_upgrade))
                    .route(web::get().to(gateway::connect)),
            )
            .configure(oauth::pages)
            .service(rest::api("/api/v10"))
            .service(rest::api("/api"))
            .configure(avatar::routes)
            .configure(control::routes)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .on_connect(move |io, extensions| {
        let stream = io.downcast_ref::<actix_web::rt::net::TcpStream>();
        if let Some(socket) = stream.and_then(|stream| accepted.keep(stream)) {
            extensions.insert(RawSocket(socket));
        }
    })
    .listen(listener)
    .map_err(bind)?
    .run();
    let handle = server.handle();
    let (ended, finished) = watch::channel(false);
    actix_web::rt::spawn(async move {
        if let Err(error) = server.await {
            log::error!("[Sandbox] server ended: {error}");
        }
        // Nobody may be left to hear it.
        let _ = ended.send(true);
    });
    let life = actix_web::rt::spawn(simulation::run(discord.clone()));
    log::info!("[Sandbox] listening on http://{addr}: a local sandbox, this is not Discord");
    Ok(Sandbox { addr, discord, server: handle, sockets, life, finished })
}

impl Sandbox {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The origin to use as `DISCORD_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Resolves when the server has ended, whatever ended it.
    pub fn finished(&self) -> impl Future<Output = ()> + use<> {
        let mut finished = self.finished.clone();
        async move {
            // An error means that the server's task is gone, which is an end too.
            let _ = finished.wait_for(|ended| *ended).await;
        }
    }

    /// Cuts every connection and ends. Sessions are forgotten.
    pub async fn stop(self) {
        self.cut();
        self.server.stop(false).await;
        self.finished().await;
    }

    /// Dispatches events as `POST /sandbox/dispatch` does; the answer is how many.
    ///
    /// # Errors
    ///
    /// When a line is no dispatch; nothing is dispatched then.
    pub fn dispatch(&self, lines: &str) -> Result<usize, ControlError> {
        let posted = Posted::parse(lines)?;
        self.discord.with(|inner| inner.publish(&posted));
        Ok(posted.events.len())
    }

    /// Lets something go wrong, as `POST /sandbox/fault` does.
    ///
    /// # Errors
    ///
    /// When the fault's values are none it can have.
    pub fn fault(&self, fault: &Fault) -> Result<(), ControlError> {
        self.discord.with(|inner| inner.begin(fault)).map_err(ControlError::Refused)
    }

    /// What `GET /sandbox/state` shows.
    pub fn state(&self) -> Value {
        self.discord.with(|inner| control::state(inner))
    }

    /// Moves a member into a voice channel, or out of voice, as `POST /sandbox/members/{id}/voice` does.
    ///
    /// # Errors
    ///
    /// When there is no such member or voice channel.
    pub fn move_member(&self, user: &str, channel: Option<&str>) -> Result<(), ControlError> {
        let id =
            |text: &str| text.parse::<Id>().map_err(|()| ControlError::Refused(format!("{text:?} is no id")));
        let (user, channel) = (id(user)?, channel.map(id).transpose()?);
        let moved = self.discord.with(|inner| inner.seat(user, Some(channel), SelfState::default()));
        moved.map_err(|error| ControlError::Refused(error.to_string()))
    }

    fn cut(&self) {
        self.life.abort();
        self.sockets.cut();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.cut();
        // Sent at once; the answer is for those who wait.
        drop(self.server.stop(false));
    }
}

impl Sockets {
    /// A second handle to a connection's socket, kept as long as the connection keeps it.
    fn keep(&self, stream: &actix_web::rt::net::TcpStream) -> Option<Arc<TcpStream>> {
        let socket = Arc::new(TcpStream::from(stream.as_fd().try_clone_to_owned().ok()?));
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|socket| socket.strong_count() > 0);
        open.push(Arc::downgrade(&socket));
        Some(socket)
    }

    fn cut(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in open.iter().filter_map(Weak::upgrade) {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
