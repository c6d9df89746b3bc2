//! What the web role reads of a request: cookies, queries, bodies. The routes are the real ones; the link is down.

use std::{collections::HashMap, future::Future, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, Supervisor, System, SystemRunner};
use actix_session::Session;
use actix_web::{
    App, HttpResponse,
    body::to_bytes,
    dev::{Service, ServiceResponse},
    http::header::{HeaderValue, SET_COOKIE},
    test::{TestRequest, init_service},
    web,
};
use guildstream::{
    auth::{
        return_to,
        session::Sessions,
        session_store::SessionStore,
        signed_in::{Membership, Person, SignedIn},
    },
    config::{Environment, WebConfig},
    http::web::{WebState, configure},
};
use guildstream_actors::{
    filter::Filter,
    link_client::{LinkClient, LinkClientSettings},
    ring::RingLimits,
    snowflake::{GuildId, UserId},
    sse_broker::{BrokerSettings, SseBroker},
};
use serde_json::Value;

const GUILD: GuildId = GuildId(910_000_000_000_000_001);
const ORIGIN: &str = "http://localhost:3000";

/// No bytes are a session. What is read of a session's payload is written and read the same again.
pub fn cookies(data: &[u8]) {
    if let Ok(signed_in) = serde_json::from_slice::<SignedIn>(data) {
        let text = serde_json::to_string(&signed_in).expect("a session serialises");
        assert_eq!(serde_json::from_str::<SignedIn>(&text).expect("a session is read"), signed_in);
    }
    let Ok(cookie) = HeaderValue::from_bytes(&[b"guildstream_session=", data].concat()) else { return };
    let request = TestRequest::get().uri("/api/session").insert_header(("cookie", cookie));
    let (status, body) = ask(request);
    assert_eq!(status, 401, "{body}");
}

/// The query of a stream narrows or is refused, and no `next` leads away.
pub fn queries(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let parts = web::Query::<HashMap<String, String>>::from_query(query).map(web::Query::into_inner);
    let parts = parts.unwrap_or_default();
    let part = |name: &str| parts.get(name).map(String::as_str);
    if let Ok(filter) = Filter::parse(part("guild"), part("channel"), part("events"), &[GUILD]) {
        let blank = |list: &str| list.split(',').all(|item| item.trim().is_empty());
        assert!(part("guild").is_none_or(blank) || !filter.wants_guild(GuildId(5)));
    }
    let public_url = url::Url::parse(ORIGIN).expect("a constant");
    if let Ok(location) = return_to::parse(part("next").unwrap_or(query), &public_url, &[]) {
        let target = public_url.join(&location).expect("what is kept resolves");
        assert_eq!(target.origin(), public_url.origin(), "{location:?}");
    }
    let uri = format!("/api/stream?{query}");
    if uri.parse::<actix_web::http::Uri>().is_ok() {
        let (status, body) = ask(signed_in(TestRequest::get().uri(&uri)));
        assert!([200, 400].contains(&status), "{status} {body}");
    }
}

/// A body is refused in our own words, or sent to a gateway that is not there.
pub fn command_bodies(data: &[u8]) {
    let request =
        TestRequest::post().uri("/api/commands").insert_header(("content-type", "application/json"));
    let request = request.insert_header(("origin", ORIGIN)).insert_header(("x-guildstream", "1"));
    let (status, body) = ask(signed_in(request).set_payload(data.to_vec()));
    assert!([400, 404, 413, 429, 503].contains(&status), "{status} {body}");
    let refusal: Value = serde_json::from_str(&body).expect("a refusal is JSON");
    for field in ["code", "message", "requestId"] {
        assert!(refusal["error"][field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {body}");
    }
}

pub(crate) fn sessions() -> Vec<Vec<u8>> {
    let stage = stage(|stage| stage.cookie.clone());
    let value = stage.split_once('=').map_or("", |(_, value)| value);
    let mut seeds = super::owned(&[
        r#"{"sid":"0123","iat":1,"exp":99999999999,"user":{"id":"1","username":"ada","globalName":"Ada"},"guilds":["1*","2"]}"#,
        "",
        "x; guildstream_session=y",
        "\"quoted\"",
    ]);
    // All but right.
    seeds.push(value.as_bytes()[1..].to_vec());
    seeds
}

pub(crate) fn addresses() -> Vec<Vec<u8>> {
    super::owned(&[
        "guild=910000000000000001&channel=1,2&events=MESSAGE_CREATE,voice.*",
        "lastEventId=00000000000000ab-7&events=",
        "guild=%39&channel=%00&events=%F0%9F%8E%BA",
        "next=/room?id=1%23top",
        "next=//evil.example",
        "next=https%3A%2F%2Fevil.example",
        "next=/%5Cevil.example",
        "a=1&a=2&&==&%",
    ])
}

pub(crate) fn bodies() -> Vec<Vec<u8>> {
    super::owned(&[
        r#"{"command":"send_message","payload":{"channelId":"1","content":"x"},"requestId":"r"}"#,
        r#"{"command":"viewer","payload":{"userIds":["1"]}}"#,
        r#"{"command":"","payload":[],"requestId":"a b"}"#,
        "[[[[",
    ])
}

/// The routes, and the cookie of somebody who is signed in.
struct Stage {
    system: SystemRunner,
    answer: Box<dyn Fn(TestRequest) -> std::pin::Pin<Box<dyn Future<Output = (u16, String)>>>>,
    cookie: String,
}

fn stage<T>(act: impl FnOnce(&Stage) -> T) -> T {
    thread_local! { static STAGE: &'static Stage = Box::leak(Box::new(Stage::new())); }
    STAGE.with(|stage| act(stage))
}

fn ask(request: TestRequest) -> (u16, String) {
    stage(|stage| stage.system.block_on((stage.answer)(request)))
}

fn signed_in(request: TestRequest) -> TestRequest {
    request.insert_header(("cookie", stage(|stage| stage.cookie.clone())))
}

impl Stage {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let system = System::new();
        let (answer, cookie) = system.block_on(async {
            let config = config();
            let sessions =
                Sessions::new(SessionStore::new(None), &config.session_secret, false, config.session_ttl_s);
            let cookie = sign_in(web::Data::new(sessions)).await;
            let broker = SseBroker::new(broker_settings(&config)).start();
            let settings = link_settings(&config);
            let (events, states) = (broker.clone().recipient(), broker.clone().recipient());
            let link = Supervisor::start(move |_| LinkClient::new(settings, events, states));
            let state = WebState::new(Arc::new(config), broker, link).expect("the settings fit");
            let service = Rc::new(init_service(App::new().configure(configure(state))).await);
            let answer = move |request: TestRequest| {
                let service = Rc::clone(&service);
                Box::pin(async move {
                    let answer: ServiceResponse<_> = match service.call(request.to_request()).await {
                        Ok(answer) => answer,
                        Err(error) => return (error.error_response().status().as_u16(), String::new()),
                    };
                    let status = answer.status().as_u16();
                    // A stream has no end.
                    if answer.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
                        return (status, String::new());
                    }
                    let body =
                        to_bytes(answer.into_body()).await.map_err(|_| "unreadable").unwrap_or_default();
                    (status, String::from_utf8_lossy(&body).into_owned())
                }) as std::pin::Pin<Box<dyn Future<Output = (u16, String)>>>
            };
            (Box::new(answer) as _, cookie)
        });
        Self { system, answer, cookie }
    }
}

async fn sign_in(sessions: web::Data<Sessions>) -> String {
    let middleware = sessions.middleware();
    let start = async |session: Session, sessions: web::Data<Sessions>| {
        let person = Person { id: UserId(3), username: "linus".into(), global_name: None, avatar: None };
        let guilds = vec![Membership { guild: GUILD, manager: false }];
        sessions.start(&session, person, guilds).expect("a session fits a cookie");
        HttpResponse::Ok().finish()
    };
    let app = App::new().app_data(sessions).wrap(middleware).route("/", web::get().to(start));
    let answer = init_service(app).await.call(TestRequest::get().to_request()).await.expect("it answers");
    let cookie = answer.headers().get(SET_COOKIE).expect("it sets a cookie").to_str().expect("of ASCII");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

fn config() -> WebConfig {
    // Of this run alone, so that no input can know it.
    let secret: String = (0..8).map(|_| format!("{:016x}", rand::random::<u64>())).collect();
    let environment = [
        ("GUILDSTREAM_ENV", "development"),
        ("PUBLIC_URL", ORIGIN),
        ("GATEWAY_WS_URL", "ws://127.0.0.1:9"),
        ("DISCORD_URL", "http://127.0.0.1:9"),
        ("DISCORD_CLIENT_ID", "1"),
        ("DISCORD_CLIENT_SECRET", "the-client-secret-of-nobody"),
        ("LINK_TOKEN", "the-link-token-of-nobody"),
        ("SESSION_SECRET", &secret),
        ("VITE_DISCORD_GUILD_ID", &GUILD.to_string()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    WebConfig::read(&Environment::from_iter(environment)).unwrap_or_else(|error| panic!("{error}"))
}

fn broker_settings(config: &WebConfig) -> BrokerSettings {
    BrokerSettings {
        guilds: config.vite_discord_guild_id.clone(),
        replay: RingLimits { events: 10, bytes: 1 << 20 },
        heartbeat: config.sse_heartbeat_s,
        stall: config.sse_stall_s,
        queue_bytes: config.sse_queue_bytes,
        max_sessions: config.sse_max_sessions,
        max_sessions_per_user: config.sse_max_sessions_per_user,
        viewer_ttl: config.viewer_ttl_s,
    }
}

fn link_settings(config: &WebConfig) -> LinkClientSettings {
    LinkClientSettings {
        url: config.gateway_ws_url.to_string(),
        token: config.link_token.clone(),
        max_attempts: 1,
        command_queue: 10,
        command_timeout: Duration::from_secs(1),
        legacy_members: false,
    }
}
