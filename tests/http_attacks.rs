//! What a hostile page, browser or peer tries at the web role's port, and what comes of it.
#![allow(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

#[path = "support/web_role.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod web_role;

use std::time::Duration;

use actix_web::http::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use web_role::{Answer, Server};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const POST_ROUTES: [&str; 4] =
    ["/api/commands", "/api/gateway/connect", "/api/gateway/disconnect", "/auth/logout"];
const READ_ROUTES: [&str; 10] = [
    "/",
    "/api/guilds",
    "/api/openapi.json",
    "/api/session",
    "/api/status",
    "/guildstream.js",
    "/healthz",
    "/livez",
    "/metrics",
    "/readyz",
];
/// Read as well, and not by HEAD.
const STREAM_ROUTES: [&str; 3] = ["/api/stream", "/auth/login", "/auth/callback"];

#[actix_web::test]
async fn no_post_route_acts_for_a_foreign_page() {
    let server = Server::start().await;
    let ours = server.public.origin().ascii_serialization();
    let mut ada = server.browser();
    ada.sign_in("ada").await;
    let (own, json) = (("x-guildstream", "1"), ("content-type", "application/json"));
    let foreign: [&[(&str, &str)]; 7] = [
        &[own, json],
        &[("origin", "null"), own, json],
        &[("origin", "https://evil.example"), own, json],
        &[("origin", "http://localhost:3000.evil.example"), own, json],
        &[("referer", &ours), own, json],
        // What a form can send, were its origin ours.
        &[("origin", &ours), ("content-type", "application/x-www-form-urlencoded")],
        &[("origin", &ours), json],
    ];
    for path in POST_ROUTES {
        for headers in foreign {
            ada.send(Method::POST, path, headers, "{}").await.refused(403, "FOREIGN_REQUEST");
        }
        let form = [("origin", &*ours), own, ("content-type", "text/plain")];
        ada.send(Method::POST, path, &form, "{}").await.refused(400, "INVALID");
    }
    assert_eq!(ada.get("/api/session").await.status, 200, "nobody was signed out");
    server.until_ready(200).await;
    server.stop().await;
}

#[actix_web::test]
async fn no_route_has_a_method_that_it_does_not_say() {
    let server = Server::start().await;
    let mut ada = server.browser();
    ada.sign_in("ada").await;
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
    let described = ada.get("/api/openapi.json").await.json();
    let known = |path: &str| [&POST_ROUTES[..], &READ_ROUTES, &STREAM_ROUTES].concat().contains(&path);
    assert!(
        described["paths"].as_object().unwrap().keys().all(|path| known(path)),
        "a route is missing here"
    );
    let routes = [(&POST_ROUTES[..], "POST"), (&READ_ROUTES, "GET, HEAD"), (&STREAM_ROUTES, "GET")];
    for (paths, allowed) in routes {
        for (path, method) in paths.iter().flat_map(|path| methods.map(|method| (*path, method))) {
            if allowed.split(", ").any(|one| one == method) {
                continue;
            }
            let answer = ada.send(method.parse().unwrap(), path, &[], "").await;
            assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {path}");
        }
    }
    assert_eq!(ada.get("/api/session").await.status, 200, "nobody was signed out");
    server.stop().await;
}

#[actix_web::test]
async fn a_preflight_of_a_foreign_page_gets_nothing_it_could_use() {
    let server = Server::with(&[("CORS_ORIGINS", "https://app.example")]).await;
    let mut browser = server.browser();
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"] {
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-guildstream"),
        ];
        let answer = browser.send(Method::OPTIONS, "/api/commands", &preflight, "").await;
        for name in ["origin", "credentials", "methods", "headers"] {
            assert_eq!(answer.header(&format!("access-control-allow-{name}")), "", "{origin}");
        }
    }
    let other_header = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "DELETE"),
        ("access-control-request-headers", "x-forwarded-for"),
    ];
    let answer = browser.send(Method::OPTIONS, "/api/commands", &other_header, "").await;
    assert!(answer.status >= 400, "{}", answer.status);
    server.stop().await;
}

#[actix_web::test]
async fn a_host_name_that_is_not_ours_leads_nowhere_else() {
    let server = Server::start().await;
    let ours = server.public.as_str();
    let hosts: [&[(&str, &str)]; 6] = [
        &[("host", "evil.example")],
        &[("host", "localhost:3000.evil.example")],
        &[("host", "localhost:3000@evil.example")],
        &[("host", "evil.example"), ("x-forwarded-host", "localhost:3000")],
        &[("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "https")],
        &[("forwarded", "host=evil.example;proto=https")],
    ];
    for headers in hosts {
        let answer = server.browser().send(Method::GET, "/auth/login", headers, "").await;
        assert_eq!(answer.status, 303, "{headers:?}");
        let location = answer.header("location");
        // Either it is first sent where we are known, or on to Discord with our own address to come back to.
        let to_us = location.starts_with(&format!("{ours}auth/login"));
        let to_discord = location.contains("redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fauth%2Fcallback");
        assert!(to_us || to_discord, "{headers:?} {location}");
        assert!(!location.contains("evil"), "{headers:?} {location}");
    }
    for request in [
        "GET http://evil.example/auth/login HTTP/1.1\r\nhost: localhost:3000\r\nconnection: close\r\n\r\n",
        "GET /auth/login HTTP/1.1\r\nhost: localhost:3000\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        "GET /auth/login HTTP/1.0\r\n\r\n",
    ] {
        let said = say(&server, request.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.") && !said.contains("evil"), "{request:?} {said}");
    }
    server.stop().await;
}

#[actix_web::test]
async fn no_next_leads_away_from_a_sign_in() {
    let server = Server::start().await;
    let nexts = [
        "//evil.example",
        "/%5Cevil.example",
        "%5C%5Cevil.example",
        "/%09/evil.example",
        "/%0A/evil.example",
        "/.//evil.example",
        "https:evil.example",
        "https%3A%2F%2Fevil.example",
        "http%3A%2F%2Flocalhost%3A3000%40evil.example",
        "http%3A%2F%2Fuser%3Apass%40localhost%3A3000%2F",
        "javascript%3Aalert(1)",
        "%0D%0ASet-Cookie%3A%20a%3Db",
    ];
    for next in nexts {
        let answer = server.browser().get(&format!("/auth/login?next={next}")).await;
        answer.refused(400, "INVALID");
        assert_eq!((answer.header("location"), answer.header("set-cookie")), ("", ""), "{next}");
    }
    server.stop().await;
}

#[actix_web::test]
async fn without_a_trusted_proxy_no_header_buys_a_new_allowance() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let mut answers = Vec::new();
    // One comes back each second, so that a slow machine may need some more.
    for n in 0..300 {
        let address = format!("192.0.2.{}", n % 250);
        let headers =
            [("x-forwarded-for", &*address), ("forwarded", "for=192.0.2.9"), ("x-real-ip", &address)];
        let answer = browser.send(Method::GET, "/auth/login", &headers, "").await;
        answers.push(answer.status);
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            break;
        }
    }
    assert_eq!(answers.last(), Some(&429), "{} sign-ins", answers.len());
    server.stop().await;
}

#[actix_web::test]
async fn streams_are_limited_altogether_and_one_more_is_told_to_come_later() {
    let server = Server::with(&[("SSE_MAX_SESSIONS", "2")]).await;
    let (mut ada, mut linus) = (server.browser(), server.browser());
    ada.sign_in("ada").await;
    linus.sign_in("linus").await;
    let mut open = [ada.stream(&[]).await.1, ada.stream(&[]).await.1];
    for stream in &mut open {
        stream.until("connected").await;
    }
    let refusal = linus.get("/api/stream").await;
    assert_eq!((refusal.status, refusal.header("content-type")), (200, "text/event-stream"));
    assert!(refusal.body.starts_with("retry: ") && !refusal.body.contains("connected"), "{}", refusal.body);
    assert_eq!(linus.get("/api/session").await.status, 200, "everything else goes on");
    drop(open);
    server.stop().await;
}

#[actix_web::test]
async fn who_signs_in_as_another_takes_nothing_along() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.sign_in("linus").await;
    let before = browser.cookie.clone();
    let (_, mut stream) = browser.stream(&[]).await;
    stream.until("connected").await;
    // A stream belongs to who opened it, whatever cookie the browser holds by then.
    browser.sign_in("ada").await;
    stream.rest().await;
    assert_eq!(browser.get("/api/session").await.json()["user"]["username"], "ada");
    browser.cookie = before;
    browser.get("/api/session").await.refused(401, "NO_SESSION");
    server.stop().await;
}

#[actix_web::test]
async fn every_answer_carries_the_security_headers_and_none_says_what_it_is_made_of() {
    fn check(what: &str, answer: &Answer) {
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"] {
            assert!(policy.contains(part), "{what}: {part} in {policy:?}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{what}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
        assert!(!answer.header("referrer-policy").is_empty(), "{what}");
        assert!(!answer.header("cache-control").is_empty(), "{what}");
        for name in ["server", "x-powered-by", "via"] {
            assert_eq!(answer.header(name), "", "{what}");
        }
        let body = answer.body.to_lowercase();
        for word in ["actix", "panicked", "backtrace", "src/"] {
            assert!(
                !answer.header("content-type").contains("json") || !body.contains(word),
                "{what}: {body}"
            );
        }
    }
    let server = Server::start().await;
    let (mut nobody, mut mallory, mut linus) = (server.browser(), server.browser(), server.browser());
    mallory.sign_in("mallory").await;
    let signed_in = linus.sign_in("linus").await;
    let person = [("accept", "text/html")];
    let large = format!(r#"{{"command":"x","payload":"{}"}}"#, "x".repeat(70_000));
    let answers = [
        ("the page", 200, nobody.get("/").await),
        ("a script", 200, nobody.get("/guildstream.js").await),
        ("status", 200, nobody.get("/api/status").await),
        ("metrics", 200, nobody.get("/metrics").await),
        ("signed in", 303, signed_in),
        ("a redirect to Discord", 303, nobody.get("/auth/login").await),
        (
            "a page of a sign-in gone wrong",
            400,
            nobody.send(Method::GET, "/auth/callback?state=x&code=y", &person, "").await,
        ),
        ("a query that cannot be", 400, linus.get("/api/stream?channel=x").await),
        ("no session", 401, nobody.get("/api/session").await),
        ("no member", 403, mallory.get("/api/stream").await),
        ("a foreign page", 403, nobody.send(Method::POST, "/auth/logout", &[], "").await),
        ("nothing", 404, nobody.get("/wp-admin/../.git/config").await),
        ("a wrong method", 405, nobody.send(Method::DELETE, "/api/status", &[], "").await),
        ("too large", 413, linus.post("/api/commands", &large).await),
        (
            "a refused command",
            403,
            linus.post("/api/commands", r#"{"command":"refuse_FORBIDDEN","payload":{}}"#).await,
        ),
    ];
    for (what, status, answer) in &answers {
        assert_eq!(answer.status, *status, "{what}: {}", answer.body);
        check(what, answer);
    }
    let (headers, _stream) = linus.stream(&[]).await;
    check("a stream", &Answer { status: 200, headers, body: String::new() });
    server.stop().await;
}

/// What comes back for raw bytes until the peer closes.
async fn say(server: &Server, request: &[u8]) -> String {
    let mut socket = connect(server).await;
    socket.write_all(request).await.unwrap();
    let mut said = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut said)).await.expect("it closes").unwrap();
    String::from_utf8(said).unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.base.socket_addrs(|| None).unwrap()[0]).await.unwrap()
}

/// The head of a POST that the routes take.
fn head(server: &Server, path: &str, cookie: &str, more: &str) -> String {
    let origin = server.public.origin().ascii_serialization();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost:3000\r\norigin: {origin}\r\nx-guildstream: 1\r\ncookie: {cookie}\r\n\
         content-type: application/json\r\n{more}\r\n\r\n"
    )
}

#[actix_web::test]
async fn a_body_without_an_end_is_cut_off_and_a_body_nobody_reads_is_not_waited_for() {
    let server = Server::start().await;
    let mut ada = server.browser();
    ada.sign_in("ada").await;
    let cookie = ada.cookie.clone().unwrap().stripped().encoded().to_string();
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    let endless = head(&server, "/api/commands", &cookie, "transfer-encoding: chunked") + &chunk.repeat(64);
    let promised = head(&server, "/api/commands", &cookie, "content-length: 99999999999");
    let unread = head(&server, "/api/gateway/connect", &cookie, "content-length: 99999999999") + "{";
    for (what, request, status) in
        [("endless", endless, 413), ("promised", promised, 413), ("unread", unread, 204)]
    {
        let mut socket = connect(&server).await;
        // The peer may answer and close before it has taken everything.
        let _ = socket.write_all(request.as_bytes()).await;
        let mut said = [0; 15];
        timeout(PATIENCE, socket.read_exact(&mut said)).await.expect(what).unwrap();
        assert_eq!(&said[..12], format!("HTTP/1.1 {status}").as_bytes(), "{what}");
    }
    assert_eq!(ada.get("/api/session").await.status, 200);
    server.stop().await;
}

#[actix_web::test]
async fn requests_sent_ahead_are_answered_in_order_and_none_is_smuggled_in_a_body() {
    let server = Server::start().await;
    let mut ada = server.browser();
    ada.sign_in("ada").await;
    let cookie = ada.cookie.clone().unwrap().stripped().encoded().to_string();
    let smuggled = "POST /auth/logout HTTP/1.1\r\nhost: localhost:3000\r\n\r\n";
    let length = format!("content-length: {}", smuggled.len());
    let requests = [
        "GET /livez HTTP/1.1\r\nhost: localhost:3000\r\n\r\n",
        &(head(&server, "/api/commands", &cookie, &length) + smuggled),
        "GET /nothing HTTP/1.1\r\nhost: localhost:3000\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: localhost:3000\r\nconnection: close\r\n\r\n",
    ];
    let said = say(&server, requests.concat().as_bytes()).await;
    let statuses: Vec<_> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "400", "404", "200"], "{said}");
    server.stop().await;
}

#[actix_web::test]
async fn requests_sent_behind_a_stream_are_not_kept_without_a_bound() {
    const MANY: usize = 64 << 20;
    const STALLED: Duration = Duration::from_secs(1);
    let server = Server::start().await;
    let mut linus = server.browser();
    linus.sign_in("linus").await;
    let cookie = linus.cookie.clone().unwrap().stripped().encoded().to_string();
    let open = format!("GET /api/stream HTTP/1.1\r\nhost: localhost:3000\r\ncookie: {cookie}\r\n\r\n");
    let mut socket = connect(&server).await;
    socket.write_all(open.as_bytes()).await.unwrap();
    let mut said = [0; 12];
    timeout(PATIENCE, socket.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"HTTP/1.1 200");
    let ahead = "GET /api/status HTTP/1.1\r\nhost: localhost:3000\r\n\r\n".repeat(1000);
    // Both ends are here: the kernel's buffers take some megabytes, and then nobody reads.
    let mut taken = 0;
    while taken < MANY
        && timeout(STALLED, socket.write_all(ahead.as_bytes())).await.is_ok_and(|sent| sent.is_ok())
    {
        taken += ahead.len();
    }
    assert!(taken < MANY, "{taken} bytes were taken");
    assert_eq!(server.browser().get("/livez").await.status, 200);
    server.stop().await;
}
