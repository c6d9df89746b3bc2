//! The HTTP API of the web role over real sockets, with a Discord of three routes and actors that stand alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::Actor;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    cookie::Cookie,
    dev::ServerHandle,
    http::{Method, StatusCode, header::HeaderMap},
    web,
};
use awc::Client;
use guildstream::http::web::{WebState, configure};
use guildstream_actors::{link_client::LinkClient, snowflake::GuildId, sse_broker::SseBroker};
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::{Value, json};
use url::Url;

const GUILD: u64 = 910_000_000_000_000_001;
const SECRET: &str = "client-secret";

/// A Discord that knows codes: each stands for a user and for the challenge its sign-in was begun with.
#[derive(Default)]
struct FakeDiscord {
    codes: HashMap<String, (&'static str, String)>,
    /// What the token route answers instead.
    broken: Option<(u16, &'static str)>,
}

type Discord = web::Data<Mutex<FakeDiscord>>;

struct Server {
    base: Url,
    public: Url,
    discord: Discord,
    handles: Vec<ServerHandle>,
    client: Client,
}

/// A browser: it keeps one cookie.
struct Browser<'a> {
    server: &'a Server,
    cookie: Option<Cookie<'static>>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/json");
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{}", self.body);
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(!error["requestId"].as_str().unwrap().is_empty());
    }
}

impl Server {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(adapt: impl FnOnce(&mut Settings)) -> Self {
        let discord = Discord::new(Mutex::default());
        let (discord_url, discord_handle) = serve({
            let discord = discord.clone();
            move |app| {
                app.app_data(discord.clone())
                    .route("/api/v10/oauth2/token", web::post().to(token))
                    .route("/api/v10/users/@me", web::get().to(me))
                    .route("/api/v10/users/@me/guilds", web::get().to(guilds));
            }
        });
        let mut settings = Settings { public_url: None, cors_origins: vec![], development: true };
        adapt(&mut settings);
        // The address is only known once it is bound, and the state only made then.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let public = settings.public_url.clone().unwrap_or_else(|| base.clone());
        let config = settings.config(&public, &discord_url);
        let state =
            WebState::new(Arc::new(config), SseBroker::default().start(), LinkClient::default().start())
                .unwrap();
        let server = HttpServer::new(move || App::new().configure(configure(state.clone())));
        let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
        let handles = vec![discord_handle, server.handle()];
        actix_web::rt::spawn(server);
        let client = Client::builder().disable_redirects().timeout(Duration::from_secs(5)).finish();
        Self { base, public, discord, handles, client }
    }

    fn browser(&self) -> Browser<'_> {
        Browser { server: self, cookie: None }
    }

    async fn stop(self) {
        for handle in self.handles {
            handle.stop(false).await;
        }
    }
}

struct Settings {
    public_url: Option<Url>,
    cors_origins: Vec<Url>,
    development: bool,
}

impl Settings {
    fn config(&self, public_url: &Url, discord_url: &Url) -> guildstream::config::WebConfig {
        guildstream::config::WebConfig {
            development: self.development,
            vite_discord_guild_id: vec![GuildId(GUILD)],
            discord_url: discord_url.clone(),
            public_url: public_url.clone(),
            discord_client_id: "1000000000000000001".into(),
            discord_client_secret: SECRET.into(),
            session_secret: "s".repeat(64).into(),
            session_ttl_s: Duration::from_secs(3600),
            redis_url: None,
            cors_origins: self.cors_origins.clone(),
            trusted_proxies: vec![],
            sse_heartbeat_s: Duration::from_secs(15),
            metrics_token: None,
        }
    }
}

impl Browser<'_> {
    async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = self.server.client.request(method, self.server.base.join(path).unwrap().as_str());
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        if let Some(cookie) = &self.cookie {
            request = request.insert_header(("cookie", cookie.stripped().encoded().to_string()));
        }
        let mut response = request.send_body(body.to_owned()).await.unwrap();
        let body = String::from_utf8(response.body().await.unwrap().to_vec()).unwrap();
        let answer = Answer { status: response.status(), headers: response.headers().clone(), body };
        if let Some(cookie) = answer.headers.get("set-cookie") {
            let cookie = Cookie::parse_encoded(cookie.to_str().unwrap().to_owned()).unwrap();
            self.cookie = (!cookie.value().is_empty()).then_some(cookie);
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// As our own page posts.
    async fn post(&mut self, path: &str, body: &str) -> Answer {
        let origin = self.server.public.origin().ascii_serialization();
        let headers = [("origin", &*origin), ("x-guildstream", "1"), ("content-type", "application/json")];
        self.send(Method::POST, path, &headers, body).await
    }

    /// Begins to sign in and lets Discord say yes; the address Discord sends the browser to.
    async fn begin(&mut self, login: &str, user: &'static str) -> String {
        let answer = self.get(login).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let authorize = Url::parse(answer.header("location")).unwrap();
        let query: HashMap<_, _> = authorize.query_pairs().into_owned().collect();
        let mut discord = self.server.discord.lock().unwrap();
        let code = format!("code-{}", discord.codes.len());
        discord.codes.insert(code.clone(), (user, query["code_challenge"].clone()));
        format!("/auth/callback?code={code}&state={}", query["state"])
    }

    async fn sign_in(&mut self, user: &'static str) -> Answer {
        let callback = self.begin("/auth/login", user).await;
        let answer = self.get(&callback).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer
    }
}

fn serve(configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static) -> (Url, ServerHandle) {
    let server = HttpServer::new(move || App::new().configure(configure.clone()));
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", server.addrs()[0])).unwrap();
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (url, handle)
}

async fn token(discord: Discord, form: web::Form<HashMap<String, String>>) -> HttpResponse {
    let mut discord = discord.lock().unwrap();
    if let Some((status, body)) = discord.broken {
        return HttpResponse::build(StatusCode::from_u16(status).unwrap())
            .content_type("application/json")
            .body(body);
    }
    let refuse = |error| HttpResponse::BadRequest().json(json!({"error": error}));
    if form["client_secret"] != SECRET || form["client_id"] != "1000000000000000001" {
        return refuse("invalid_client");
    }
    let Some((user, challenge)) = discord.codes.remove(&form["code"]) else { return refuse("invalid_grant") };
    let verifier = PkceCodeVerifier::new(form["code_verifier"].clone());
    if PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str() != challenge {
        return refuse("invalid_grant");
    }
    HttpResponse::Ok().json(
        json!({"access_token": user, "token_type": "Bearer", "expires_in": 60, "scope": "identify guilds"}),
    )
}

fn bearer(request: &HttpRequest) -> String {
    request.headers().get("authorization").unwrap().to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

async fn me(request: HttpRequest) -> HttpResponse {
    let name = bearer(&request);
    let id = match &*name {
        "ada" => "930000000000000001",
        "linus" => "930000000000000003",
        "late" => "999",
        _ => "930000000000000004",
    };
    HttpResponse::Ok().json(json!({"id": id, "username": name, "avatar": "a_0f", "discriminator": "0"}))
}

async fn guilds(request: HttpRequest) -> HttpResponse {
    let ours =
        |owner, permissions| json!({"id": GUILD.to_string(), "owner": owner, "permissions": permissions});
    let other = json!({"id": "5", "owner": true, "permissions": "8"});
    HttpResponse::Ok().json(match &*bearer(&request) {
        "ada" => vec![other, ours(true, "0")],
        "mallory" => vec![other],
        _ => vec![ours(false, "104324673")],
    })
}

#[actix_web::test]
async fn a_browser_signs_in_is_known_and_signs_out() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.get("/api/session").await.refused(401, "NO_SESSION");

    let callback = browser.begin("/auth/login?next=/room?id=1", "ada").await;
    let answer = browser.get(&callback).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/room?id=1"));
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["guildstream_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=3600"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("ada"), "{cookie}");

    let session = browser.get("/api/session").await;
    assert_eq!(session.header("cache-control"), "no-store");
    let session = session.json();
    assert_eq!(session["user"]["id"], "930000000000000001");
    assert_eq!(session["user"]["avatar"], "https://cdn.discordapp.com/avatars/930000000000000001/a_0f.gif");
    assert_eq!(session["guilds"], json!([{"id": GUILD.to_string(), "manager": true}]));
    assert!(session["expiresAt"].as_u64().unwrap() > 1_700_000_000_000);

    let copy = browser.cookie.clone();
    assert_eq!(browser.post("/auth/logout", "").await.status, 204);
    assert_eq!(browser.cookie, None);
    browser.cookie = copy;
    browser.get("/api/session").await.refused(401, "NO_SESSION");
    assert_eq!(browser.post("/auth/logout", "").await.status, 204, "nothing is left to end");
    server.stop().await;
}

#[actix_web::test]
async fn with_https_the_cookie_is_bound_to_the_host() {
    let server = Server::with(|settings| {
        settings.public_url = Some(Url::parse("https://stream.example").unwrap());
        settings.development = false;
    });
    let server = server.await;
    let mut browser = server.browser();
    let moved = browser.get("/auth/login?next=/x&login_hint=ada").await;
    let expected = "https://stream.example/auth/login?next=%2Fx&login_hint=ada&moved=1";
    assert_eq!((moved.status.as_u16(), moved.header("location")), (303, expected));
    assert_eq!(moved.header("set-cookie"), "", "no cookie for another host name");

    let answer =
        browser.send(Method::GET, "/auth/login?login_hint=ada", &[("host", "stream.example")], "").await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-guildstream_session=") && cookie.contains("Secure"), "{cookie}");
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
    let authorize = Url::parse(answer.header("location")).unwrap();
    let query: HashMap<_, _> = authorize.query_pairs().into_owned().collect();
    assert_eq!(authorize.path(), "/oauth2/authorize");
    assert_eq!(query["redirect_uri"], "https://stream.example/auth/callback");
    assert_eq!(query["scope"], "identify guilds");
    assert_eq!((&*query["response_type"], &*query["code_challenge_method"]), ("code", "S256"));
    assert!(!query.contains_key("login_hint"), "a hint is for the sandbox alone");

    let circle = browser.get("/auth/login?moved=1").await;
    assert!(
        circle.header("location").contains("/oauth2/authorize?"),
        "a proxy that changes Host makes no circle"
    );
    server.stop().await;
}

#[actix_web::test]
async fn a_sign_in_that_was_forged_replayed_or_refused_signs_nobody_in() {
    let server = Server::start().await;
    let mut victim = server.browser();
    let mut attacker = server.browser();
    let callback = attacker.begin("/auth/login", "mallory").await;
    victim.get(&callback).await.refused(400, "SIGN_IN_EXPIRED");
    victim.get("/auth/login").await;
    victim.get(&callback).await.refused(400, "SIGN_IN_EXPIRED");

    let mut browser = server.browser();
    let callback = browser.begin("/auth/login", "ada").await;
    let begun = browser.cookie.clone();
    assert_eq!(browser.get(&callback).await.status, 303);
    browser.cookie = begun;
    browser.get(&callback).await.refused(400, "SIGN_IN_EXPIRED");

    let callback = browser.begin("/auth/login", "ada").await;
    let made_up = callback.replace("code-", "made-up-");
    browser.get(&made_up).await.refused(400, "SIGN_IN_EXPIRED");
    browser.get("/auth/callback").await.refused(400, "INVALID");
    browser.get("/auth/login?next=//evil.example").await.refused(400, "INVALID");

    let callback = browser.begin("/auth/login?next=/home", "ada").await;
    let denied = callback.split_once('&').unwrap().1;
    let answer = browser.get(&format!("/auth/callback?error=access_denied&{denied}")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/home"));
    browser.get("/api/session").await.refused(401, "NO_SESSION");
    server.stop().await;
}

#[actix_web::test]
async fn trouble_at_discord_is_told_without_secrets() {
    let server = Server::start().await;
    let cases = [
        (500, r#"{"message": "oops"}"#, 503, "UNAVAILABLE"),
        (429, r#"{"message": "slow down", "retry_after": 1.5}"#, 503, "UNAVAILABLE"),
        (200, "not json", 503, "UNAVAILABLE"),
        (302, "", 503, "UNAVAILABLE"),
        (401, r#"{"error": "invalid_client"}"#, 500, "INTERNAL"),
        (400, r#"{"error": "invalid_grant"}"#, 400, "SIGN_IN_EXPIRED"),
    ];
    for (answered, body, status, code) in cases {
        server.discord.lock().unwrap().broken = Some((answered, body));
        let mut browser = server.browser();
        let callback = browser.begin("/auth/login", "ada").await;
        let answer = browser.get(&callback).await;
        answer.refused(status, code);
        assert!(!answer.body.contains(SECRET) && !answer.body.contains("invalid_client"), "{}", answer.body);
    }
    server.stop().await;
}

#[actix_web::test]
async fn a_stream_opens_for_members_alone_and_passing_refusals_are_200() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.get("/api/stream").await.refused(401, "NO_SESSION");
    browser.sign_in("mallory").await;
    browser.get("/api/stream").await.refused(403, "NOT_A_MEMBER");
    browser.sign_in("linus").await;
    browser.get("/api/stream?guild=5").await.refused(400, "INVALID");

    let stream = browser.send(Method::GET, "/api/stream?lastEventId=a", &[("last-event-id", "b")], "").await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.header("content-type"), "text/event-stream");
    assert_eq!(stream.header("cache-control"), "no-cache, no-transform");
    assert_eq!(stream.header("x-accel-buffering"), "no");
    assert!(stream.body.contains(r#"Some("b")"#), "the header wins over the query: {}", stream.body);

    browser.sign_in("late").await;
    let refusal = browser.get("/api/stream").await;
    assert_eq!(refusal.status, 200);
    assert_eq!(refusal.header("content-type"), "text/event-stream");
    assert_eq!(refusal.body, "retry: 60000\n\n");
    server.stop().await;
}

#[actix_web::test]
async fn commands_are_answered_with_the_status_that_fits() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser
        .post("/api/commands", r#"{"command":"send_message","payload":{}}"#)
        .await
        .refused(401, "NO_SESSION");
    browser.sign_in("ada").await;
    let down =
        browser.post("/api/commands", r#"{"command":"send_message","payload":{},"requestId":"r1"}"#).await;
    down.refused(503, "NOT_SENT");
    assert_eq!(down.json()["error"]["requestId"], "r1");

    assert_eq!(browser.post("/api/gateway/connect", "").await.status, 204);
    let body =
        r#"{"command":"send_message","payload":{"n": 1.50, "id": 123456789012345678901},"requestId":"r2"}"#;
    let accepted = browser.post("/api/commands", body).await;
    assert_eq!(accepted.status, 200);
    assert_eq!(accepted.body, r#"{"requestId":"r2","data":{"n": 1.50, "id": 123456789012345678901}}"#);

    for (code, status) in [
        ("INVALID", 400),
        ("MISSING_PERMISSIONS", 403),
        ("FORBIDDEN", 403),
        ("UNKNOWN_COMMAND", 404),
        ("CONFLICT", 409),
        ("RATE_LIMITED", 429),
        ("DISCORD_ERROR", 502),
        ("UNHEARD_OF", 502),
        ("UNAVAILABLE", 503),
        ("OUTCOME_UNKNOWN", 504),
        ("TIMEOUT", 504),
    ] {
        let body = format!(r#"{{"command":"refuse_{code}","payload":{{"code": 50013}},"requestId":"r3"}}"#);
        let answer = browser.post("/api/commands", &body).await;
        answer.refused(status, code);
        assert_eq!(answer.header("retry-after"), if code == "RATE_LIMITED" { "2" } else { "" });
        let discord = &answer.json()["error"]["discord"];
        assert_eq!(discord, &if code == "DISCORD_ERROR" { json!({"code": 50013}) } else { Value::Null });
    }
    for question in ["viewer", "guild", "voice_snapshot"] {
        let body = format!(r#"{{"command":"{question}","payload":{{}}}}"#);
        browser.post("/api/commands", &body).await.refused(404, "UNKNOWN_COMMAND");
    }
    server.stop().await;
}

#[actix_web::test]
async fn bodies_that_are_broken_or_too_large_are_refused() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.sign_in("ada").await;
    let deep = format!(r#"{{"command":"x","payload":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let large = format!(r#"{{"command":"x","payload":"{}"}}"#, "x".repeat(70_000));
    let cases = [
        ("", 400, "INVALID"),
        ("{", 400, "INVALID"),
        ("[]", 400, "INVALID"),
        ("\u{0}", 400, "INVALID"),
        (r#"{"command":"x"}"#, 400, "INVALID"),
        (r#"{"command":1,"payload":{}}"#, 400, "INVALID"),
        (r#"{"command":"x","payload":{},"requestId":""}"#, 400, "INVALID"),
        (r#"{"command":"x","payload":{},"requestId":"a b"}"#, 400, "INVALID"),
        (&deep, 400, "INVALID"),
        (&large, 413, "TOO_LARGE"),
    ];
    for (body, status, code) in cases {
        browser.post("/api/commands", body).await.refused(status, code);
    }
    let form = [
        ("origin", server.public.as_str().trim_end_matches('/')),
        ("x-guildstream", "1"),
        ("content-type", "text/plain"),
    ];
    browser.send(Method::POST, "/api/commands", &form, "{}").await.refused(400, "INVALID");
    server.stop().await;
}

#[actix_web::test]
async fn the_link_is_managed_by_who_may_manage_the_guild() {
    let server = Server::start().await;
    let mut browser = server.browser();
    for path in ["/api/gateway/connect", "/api/gateway/disconnect"] {
        browser.cookie = None;
        browser.post(path, "").await.refused(401, "NO_SESSION");
        browser.sign_in("linus").await;
        browser.post(path, "").await.refused(403, "MISSING_PERMISSIONS");
        browser.sign_in("ada").await;
        assert_eq!(browser.post(path, "{}").await.status, 204);
    }
    server.stop().await;
}

#[actix_web::test]
async fn health_and_status_say_what_is_up() {
    let server = Server::start().await;
    let mut browser = server.browser();
    assert_eq!(browser.get("/livez").await.status, 200);
    for path in ["/readyz", "/healthz"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 503);
        assert!(answer.json()["reasons"][0].as_str().unwrap().contains("link"), "{}", answer.body);
    }
    browser.sign_in("ada").await;
    browser.post("/api/gateway/connect", "").await;
    assert_eq!(browser.get("/readyz").await.status, 200);
    let status = browser.get("/api/status").await.json();
    assert_eq!(status["role"], "web");
    assert_eq!(status["connected"], true);
    assert_eq!(status["reconnectAttempts"], 0);
    assert!(status["uptimeS"].is_u64() && status["version"].is_string());
    assert!(status["link"]["state"].is_string() && status["sse"]["sessions"].is_u64(), "{status}");
    let metrics = browser.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.body.contains("\nguildstream_link_connected 1\n"), "{}", metrics.body);
    let forwarded = browser.send(Method::GET, "/metrics", &[("x-forwarded-for", "192.0.2.1")], "").await;
    forwarded.refused(401, "INVALID_TOKEN");
    server.stop().await;
}

#[actix_web::test]
async fn every_answer_has_the_same_manners() {
    let server =
        Server::with(|settings| settings.cors_origins = vec![Url::parse("https://app.example").unwrap()]);
    let server = server.await;
    let mut browser = server.browser();
    browser.get("/nothing").await.refused(404, "NOT_FOUND");
    browser.get("/api/nothing").await.refused(404, "NOT_FOUND");
    browser.get("/../../etc/passwd").await.refused(404, "NOT_FOUND");
    let wrong = browser.get("/api/commands").await;
    wrong.refused(405, "METHOD_NOT_ALLOWED");
    assert_eq!(wrong.header("allow"), "POST");
    let wrong = browser.post("/api/status", "{}").await;
    wrong.refused(405, "METHOD_NOT_ALLOWED");
    assert_eq!(wrong.header("allow"), "GET, HEAD");
    browser.send(Method::HEAD, "/api/stream", &[], "").await;

    for path in ["/livez", "/nothing", "/api/session"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        assert_eq!(answer.header("server"), "", "no banner");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    let allowed = browser.send(Method::GET, "/livez", &[("origin", "https://app.example")], "").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    let foreign = browser.send(Method::GET, "/livez", &[("origin", "https://evil.example")], "").await;
    assert_eq!(foreign.header("access-control-allow-origin"), "");
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-guildstream"),
    ];
    let answer = browser.send(Method::OPTIONS, "/api/commands", &preflight, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
    browser
        .send(Method::POST, "/api/commands", &[("content-type", "application/json")], "{}")
        .await
        .refused(403, "FOREIGN_REQUEST");
    server.stop().await;
}

#[actix_web::test]
async fn the_page_is_served_once_and_then_asked_after() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let module = browser.get("/guildstream.js").await;
    assert_eq!(module.status, 200);
    assert_eq!(module.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(module.header("cache-control"), "no-cache");
    let tag = module.header("etag").to_owned();
    let again = browser.send(Method::GET, "/guildstream.js", &[("if-none-match", &tag)], "").await;
    assert_eq!((again.status.as_u16(), &*again.body), (304, ""));
    let head = browser.send(Method::HEAD, "/guildstream.js", &[], "").await;
    assert_eq!((head.status.as_u16(), &*head.body), (200, ""));
    server.stop().await;
}
