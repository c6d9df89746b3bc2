//! One web role on port 0 with its real actors, between a Discord of three routes and a gateway that answers commands
//! by their names.

#[path = "description.rs"]
mod description;

use std::{collections::HashMap, sync::Mutex, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    cookie::Cookie,
    dev::ServerHandle,
    http::{Method, StatusCode, header::HeaderMap},
    rt, web,
};
use actix_ws::Message;
use awc::Client;
use futures_util::StreamExt as _;
use guildstream::{
    config::{Environment, WebConfig},
    roles::{self, RunningRole},
};
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::{Value, json, value::RawValue};
use url::Url;

use self::description::Description;

pub(crate) const GUILD: &str = "910000000000000001";
pub(crate) const CLIENT_SECRET: &str = "client-secret";
const TOKEN: &str = "link-token-of-the-test";
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What Discord and the gateway know, and how they fail.
#[derive(Default)]
pub(crate) struct World {
    /// Each code stands for a user and for the challenge its sign-in was begun with.
    codes: HashMap<String, (String, String)>,
    /// What the token route answers instead.
    pub(crate) token_answer: Option<(u16, &'static str)>,
    /// What the gateway answers to `viewer`; it says that it cannot tell without.
    pub(crate) viewers: Option<Value>,
}

type Shared = web::Data<Mutex<World>>;

pub(crate) struct Server {
    pub(crate) base: Url,
    pub(crate) public: Url,
    pub(crate) world: Shared,
    /// What `/api/openapi.json` promises; every answer is held against it.
    description: Description,
    role: RunningRole,
    doubles: Vec<ServerHandle>,
    client: Client,
}

/// A browser: it keeps one cookie.
pub(crate) struct Browser<'a> {
    server: &'a Server,
    pub(crate) cookie: Option<Cookie<'static>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Server {
    /// A role in development, without other origins.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A role with these settings changed.
    pub(crate) async fn with(changes: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = Shared::new(Mutex::default());
        let (gateway_url, gateway) = serve(&world, |app| {
            app.route("/", web::get().to(link));
        });
        let (discord_url, discord) = serve(&world, |app| {
            app.route("/api/v10/oauth2/token", web::post().to(token))
                .route("/api/v10/users/@me", web::get().to(me))
                .route("/api/v10/users/@me/guilds", web::get().to(guilds));
        });
        let config = settings(&gateway_url, &discord_url, changes);
        let public = config.public_url.clone();
        let role = roles::web::start(config).await.unwrap();
        let base = Url::parse(&format!("http://{}", role.addr())).unwrap();
        let doubles = vec![gateway, discord];
        let client = Client::builder().disable_redirects().timeout(PATIENCE).finish();
        let mut server =
            Self { base, public, world, description: Description(Value::Null), role, doubles, client };
        server.description = Description(server.browser().get("/api/openapi.json").await.json());
        server.until_ready(200).await;
        server
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { server: self, cookie: None }
    }

    /// Asks `/readyz` until it answers so: the link comes and goes in its own time.
    pub(crate) async fn until_ready(&self, status: u16) {
        let asked = async { while self.browser().get("/readyz").await.status != status {} };
        rt::time::timeout(PATIENCE, asked).await.unwrap();
    }

    /// Asserts that no actor died and ends everything.
    pub(crate) async fn stop(self) {
        self.role.stop().await.unwrap();
        for double in self.doubles {
            double.stop(false).await;
        }
    }
}

impl Browser<'_> {
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut response =
            self.request(method.clone(), path, headers).send_body(body.to_owned()).await.unwrap();
        let body = String::from_utf8(response.body().await.unwrap().to_vec()).unwrap();
        let answer = Answer { status: response.status().as_u16(), headers: response.headers().clone(), body };
        // A person is shown a page instead.
        if !answer.header("content-type").starts_with("text/html") {
            self.server.description.check(method.as_str(), path, answer.status, &answer.body);
        }
        if let Some(cookie) = answer.headers.get("set-cookie") {
            let cookie = Cookie::parse_encoded(cookie.to_str().unwrap().to_owned()).unwrap();
            self.cookie = (!cookie.value().is_empty()).then_some(cookie);
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// As our own page posts.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Answer {
        let origin = self.server.public.origin().ascii_serialization();
        let headers = [("origin", &*origin), ("x-guildstream", "1"), ("content-type", "application/json")];
        self.send(Method::POST, path, &headers, body).await
    }

    /// Opens a stream; its head and its body as it comes.
    pub(crate) async fn stream(&mut self, headers: &[(&str, &str)]) -> (HeaderMap, EventStream) {
        let response = self.request(Method::GET, "/api/stream", headers).send().await.unwrap();
        assert_eq!(response.status(), 200);
        (response.headers().clone(), EventStream { chunks: Box::new(response), text: String::new() })
    }

    /// Begins to sign in and lets Discord say yes; the address Discord sends the browser to.
    pub(crate) async fn begin(&mut self, login: &str, user: &str) -> String {
        let answer = self.get(login).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let query = query(answer.header("location"));
        let mut world = self.server.world.lock().unwrap();
        let code = format!("code-{}", world.codes.len());
        world.codes.insert(code.clone(), (user.to_owned(), query["code_challenge"].clone()));
        format!("/auth/callback?code={code}&state={}", query["state"])
    }

    pub(crate) async fn sign_in(&mut self, user: &str) -> Answer {
        let callback = self.begin("/auth/login", user).await;
        let answer = self.get(&callback).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> awc::ClientRequest {
        let mut request = self.server.client.request(method, self.server.base.join(path).unwrap().as_str());
        // A browser asks for the public name, whatever address that leads to.
        request = request.insert_header((
            "host",
            &self.server.public[url::Position::BeforeHost..url::Position::AfterPort],
        ));
        for header in headers {
            request = request.insert_header(*header);
        }
        match &self.cookie {
            Some(cookie) => request.insert_header(("cookie", cookie.stripped().encoded().to_string())),
            None => request,
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/json");
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{}", self.body);
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(!error["requestId"].as_str().unwrap().is_empty());
    }
}

/// An open stream, as text.
pub(crate) struct EventStream {
    chunks: Box<dyn futures_util::Stream<Item = Result<bytes::Bytes, awc::error::PayloadError>> + Unpin>,
    text: String,
}

impl EventStream {
    /// Everything up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> &str {
        while !self.text.contains(end) {
            let chunk = rt::time::timeout(PATIENCE, self.chunks.next()).await.unwrap();
            let chunk = chunk.unwrap_or_else(|| panic!("ended without {end:?}: {:?}", self.text)).unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        &self.text
    }

    /// Everything up to the stream's end.
    pub(crate) async fn rest(mut self) -> String {
        while let Some(chunk) = rt::time::timeout(PATIENCE, self.chunks.next()).await.unwrap() {
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        self.text
    }
}

pub(crate) fn query(url: &str) -> HashMap<String, String> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

fn settings(gateway_url: &Url, discord_url: &Url, changes: &[(&str, &str)]) -> WebConfig {
    let mut environment: HashMap<_, _> = [
        ("GUILDSTREAM_ENV", "development"),
        ("WEB_PORT", "0"),
        ("WEB_WORKERS", "1"),
        ("GATEWAY_WS_URL", &gateway_url.as_str().replace("http:", "ws:")),
        ("DISCORD_URL", discord_url.as_str()),
        ("DISCORD_CLIENT_ID", "1000000000000000001"),
        ("DISCORD_CLIENT_SECRET", CLIENT_SECRET),
        ("SESSION_SECRET", &"a session secret of sixty-four bytes ".repeat(2)),
        ("SESSION_TTL_S", "3600"),
        ("LINK_TOKEN", TOKEN),
        ("VITE_DISCORD_GUILD_ID", GUILD),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    WebConfig::read(&Environment::from_iter(environment)).unwrap_or_else(|error| panic!("{error}"))
}

fn serve(world: &Shared, routes: fn(&mut web::ServiceConfig)) -> (Url, ServerHandle) {
    let world = world.clone();
    let server = HttpServer::new(move || App::new().app_data(world.clone()).configure(routes));
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", server.addrs()[0])).unwrap();
    let server = server.run();
    let handle = server.handle();
    rt::spawn(server);
    (url, handle)
}

async fn token(world: Shared, form: web::Form<HashMap<String, String>>) -> HttpResponse {
    let mut world = world.lock().unwrap();
    if let Some((status, body)) = world.token_answer {
        return HttpResponse::build(StatusCode::from_u16(status).unwrap())
            .content_type("application/json")
            .body(body);
    }
    let refuse = |error| HttpResponse::BadRequest().json(json!({"error": error}));
    if form["client_secret"] != CLIENT_SECRET || form["client_id"] != "1000000000000000001" {
        return refuse("invalid_client");
    }
    let Some((user, challenge)) = world.codes.remove(&form["code"]) else { return refuse("invalid_grant") };
    let verifier = PkceCodeVerifier::new(form["code_verifier"].clone());
    if PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str() != challenge {
        return refuse("invalid_grant");
    }
    HttpResponse::Ok().json(json!({"access_token": user, "token_type": "Bearer", "expires_in": 60}))
}

fn bearer(request: &HttpRequest) -> String {
    request.headers().get("authorization").unwrap().to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

async fn me(request: HttpRequest) -> HttpResponse {
    let name = bearer(&request);
    // A number made of the name: the same name is the same user.
    let id = name.bytes().fold(930, |id: u64, byte| id * 7 + u64::from(byte));
    HttpResponse::Ok()
        .json(json!({"id": id.to_string(), "username": name, "avatar": "a_0f", "discriminator": "0"}))
}

/// `ada` owns the guild, `mallory` is in another alone, everyone else is a member.
async fn guilds(request: HttpRequest) -> HttpResponse {
    let ours = |owner| json!({"id": GUILD, "owner": owner, "permissions": "104324673"});
    let other = json!({"id": "5", "owner": true, "permissions": "8"});
    HttpResponse::Ok().json(match &*bearer(&request) {
        "ada" => vec![other, ours(true)],
        "mallory" => vec![other],
        _ => vec![ours(false)],
    })
}

async fn link(request: HttpRequest, body: web::Payload, world: Shared) -> actix_web::Result<HttpResponse> {
    assert_eq!(bearer(&request), TOKEN);
    let (response, mut session, mut frames) = actix_ws::handle(&request, body)?;
    rt::spawn(async move {
        let id = "0000000000000001-0";
        let hello = json!({"message": "", "protocol": 1, "oldestId": id, "latestId": id, "complete": true});
        let _ = session.text(json!({"type": "ack", "id": id, "data": hello, "ts": 1}).to_string()).await;
        while let Some(Ok(frame)) = frames.next().await {
            if let Message::Text(text) = frame {
                let answer = answer(&text, &world.lock().unwrap());
                let _ = session.text(answer).await;
            }
        }
    });
    Ok(response)
}

/// What Discord says to a command, as the gateway passes it on.
pub(crate) fn discord_refusal() -> Value {
    json!({"status": 403, "code": 50013, "message": "Missing Permissions"})
}

/// `refuse_CODE` is refused with that code; anything else is answered with its own payload, byte for byte.
fn answer(text: &str, world: &World) -> String {
    let frame: Value = serde_json::from_str(text).unwrap();
    let request_id = frame["requestId"].as_str().unwrap();
    let error = |code: &str| {
        let mut data = json!({"code": code, "message": format!("refused as {code}")});
        match code {
            "RATE_LIMITED" => data["retryAfterS"] = json!(1.5),
            "DISCORD_ERROR" => data["discord"] = discord_refusal(),
            _ => {}
        }
        json!({"type": "error", "data": data, "requestId": request_id, "ts": 1}).to_string()
    };
    let ack = |data: &str| {
        format!(
            r#"{{"type":"ack","id":"0000000000000001-0","data":{data},"requestId":"{request_id}","ts":1}}"#
        )
    };
    let command = frame["data"]["command"].as_str().unwrap();
    match (command, &world.viewers) {
        ("viewer", None) => error("UNAVAILABLE"),
        ("viewer", Some(viewers)) => ack(&viewers.to_string()),
        ("voice_snapshot", _) => ack(r#"{"guilds":[],"pending":[]}"#),
        _ => command.strip_prefix("refuse_").map_or_else(|| ack(&payload(text)), error),
    }
}

fn payload(text: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    serde_json::from_str::<Frame<'_>>(text).unwrap().data.payload.get().to_owned()
}
