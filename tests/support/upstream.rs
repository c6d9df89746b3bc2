//! A Discord that follows a script, and a gateway as the system before this one was.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, rt, web};
use actix_ws::{CloseCode, CloseReason, Message, Session};
use futures_util::StreamExt as _;

/// Runs an app on a free port: its address and its handle. The app's type has no name.
macro_rules! serve {
    ($app:expr) => {{
        let server = HttpServer::new($app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        rt::spawn(server);
        (url, handle)
    }};
}

/// What the Discord does with every connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DiscordScript {
    /// A close frame right after the upgrade.
    CloseAtOnce,
    /// The end of the stream right after the upgrade.
    DropAtOnce,
    /// HELLO, then the end of the stream.
    DropAfterHello,
    /// READY, then a close frame that allows a resume, which is answered with READY too.
    CloseAfterReady,
    /// Drops the first session once; RESUME is answered with close 4007.
    InvalidSeqOnResume,
    /// A close with this code in answer to IDENTIFY.
    Refuse(u16),
}

#[derive(Clone)]
struct Shared {
    script: DiscordScript,
    dials: Arc<AtomicUsize>,
    identifies: Arc<AtomicUsize>,
    resumes: Arc<AtomicUsize>,
}

pub(crate) struct Discord {
    pub(crate) url: String,
    pub(crate) dials: Arc<AtomicUsize>,
    pub(crate) identifies: Arc<AtomicUsize>,
    pub(crate) resumes: Arc<AtomicUsize>,
    handle: ServerHandle,
}

impl Discord {
    pub(crate) async fn start(script: DiscordScript) -> Self {
        let shared =
            Shared { script, dials: Arc::default(), identifies: Arc::default(), resumes: Arc::default() };
        let data = web::Data::new(shared.clone());
        let (url, handle) = serve!(move || {
            App::new()
                .app_data(data.clone())
                .route("/api/v10/gateway/bot", web::get().to(gateway_bot))
                .default_service(web::to(socket))
        });
        let Shared { dials, identifies, resumes, .. } = shared;
        Self { url, dials, identifies, resumes, handle }
    }

    pub(crate) async fn stop(self) {
        self.handle.stop(false).await;
    }
}

async fn gateway_bot(request: HttpRequest) -> HttpResponse {
    let host = request.connection_info().host().to_owned();
    HttpResponse::Ok().json(serde_json::json!({ "url": format!("ws://{host}"), "shards": 1 }))
}

async fn socket(
    request: HttpRequest,
    body: web::Payload,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, actix_web::Error> {
    shared.dials.fetch_add(1, Ordering::SeqCst);
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    let host = request.connection_info().host().to_owned();
    rt::spawn(async move { follow(&shared, session, messages, &host).await });
    Ok(response)
}

async fn follow(shared: &Shared, mut session: Session, mut messages: actix_ws::MessageStream, host: &str) {
    match shared.script {
        DiscordScript::CloseAtOnce => return close(session, 4000).await,
        DiscordScript::DropAtOnce => return,
        _ => {}
    }
    let _ = session.text(r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":41250}}"#).await;
    if matches!(shared.script, DiscordScript::DropAfterHello) {
        return;
    }
    while let Some(Ok(message)) = messages.next().await {
        let Message::Text(text) = message else { continue };
        let identify = text.contains(r#""op":2"#);
        let resume = text.contains(r#""op":6"#);
        let first = if identify {
            shared.identifies.fetch_add(1, Ordering::SeqCst) == 0
        } else if resume {
            shared.resumes.fetch_add(1, Ordering::SeqCst);
            false
        } else {
            continue;
        };
        match shared.script {
            DiscordScript::Refuse(code) => return close(session, code).await,
            DiscordScript::InvalidSeqOnResume if resume => return close(session, 4007).await,
            _ => {}
        }
        let ready = format!(
            r#"{{"t":"READY","s":1,"op":0,"d":{{"v":10,"session_id":"session-{}","resume_gateway_url":"ws://{host}","guilds":[]}}}}"#,
            shared.identifies.load(Ordering::SeqCst)
        );
        let _ = session.text(ready).await;
        match shared.script {
            DiscordScript::CloseAfterReady => return close(session, 4000).await,
            DiscordScript::InvalidSeqOnResume if first => return,
            _ => {}
        }
    }
}

async fn close(session: Session, code: u16) {
    let _ = session.close(Some(CloseReason { code: CloseCode::from(code), description: None })).await;
}

/// The gateway of the system before: an ack without fields, events without ids. Or one that leaves at once.
pub(crate) struct SeedGateway {
    pub(crate) url: String,
    pub(crate) dials: Arc<AtomicUsize>,
    sessions: Arc<Mutex<Vec<Session>>>,
    handle: ServerHandle,
}

impl SeedGateway {
    pub(crate) async fn start(stays: bool) -> Self {
        let dials = Arc::new(AtomicUsize::new(0));
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let (count, kept) = (Arc::clone(&dials), Arc::clone(&sessions));
        let (url, handle) = serve!(move || {
            let (count, kept) = (Arc::clone(&count), Arc::clone(&kept));
            App::new().route(
                "/",
                web::get().to(move |request: HttpRequest, body: web::Payload| {
                    let (count, kept) = (Arc::clone(&count), Arc::clone(&kept));
                    async move {
                        count.fetch_add(1, Ordering::SeqCst);
                        let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
                        rt::spawn(async move {
                            if !stays {
                                return close(session, 1000).await;
                            }
                            let _ =
                                session.text(r#"{"type":"ack","data":{"message":"Connected"},"ts":1}"#).await;
                            kept.lock().unwrap().push(session);
                            while let Some(Ok(_)) = messages.next().await {}
                        });
                        Ok::<_, actix_web::Error>(response)
                    }
                }),
            )
        });
        Self { url: url.replace("http", "ws"), dials, sessions, handle }
    }

    /// Sends a frame to everyone connected.
    pub(crate) fn send(&self, text: String) {
        for session in &*self.sessions.lock().unwrap() {
            let (mut session, text) = (session.clone(), text.clone());
            rt::spawn(async move { session.text(text).await });
        }
    }

    pub(crate) async fn stop(self) {
        self.sessions.lock().unwrap().clear();
        self.handle.stop(false).await;
    }
}

/// Waits, with a bound, until a condition holds.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let mut look = rt::time::interval(Duration::from_millis(10));
    let met = async {
        while !condition().await {
            look.tick().await;
        }
    };
    rt::time::timeout(Duration::from_secs(20), met).await.unwrap_or_else(|_| panic!("not in 20 s: {what}"));
}
