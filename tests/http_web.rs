//! The HTTP API of the web role over real sockets.
#![allow(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

#[path = "support/web_role.rs"]
mod web_role;

use actix_web::http::Method;
use serde_json::{Value, json};
use url::Url;
use web_role::{CLIENT_SECRET, GUILD, Server, discord_refusal, query};

#[actix_web::test]
async fn a_browser_signs_in_is_known_and_signs_out() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.get("/api/session").await.refused(401, "NO_SESSION");

    let callback = browser.begin("/auth/login?next=/room?id=1", "ada").await;
    let answer = browser.get(&callback).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/room?id=1"));
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["guildstream_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=3600"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("ada"), "{cookie}");

    let session = browser.get("/api/session").await;
    assert_eq!(session.header("cache-control"), "no-store");
    let session = session.json();
    let id = session["user"]["id"].as_str().unwrap();
    assert_eq!(session["user"]["username"], "ada");
    let avatar = session["user"]["avatar"].as_str().unwrap();
    assert!(avatar.ends_with(&format!("/avatars/{id}/a_0f.gif")), "{avatar}");
    assert_eq!(session["guilds"], json!([{"id": GUILD, "manager": true}]));
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
    let server =
        Server::with(&[("PUBLIC_URL", "https://stream.example"), ("GUILDSTREAM_ENV", "production")]).await;
    let mut browser = server.browser();
    let elsewhere = [("host", "127.0.0.1")];
    let moved = browser.send(Method::GET, "/auth/login?next=/x&login_hint=ada", &elsewhere, "").await;
    let expected = "https://stream.example/auth/login?next=%2Fx&login_hint=ada&moved=1";
    assert_eq!((moved.status, moved.header("location")), (303, expected));
    assert_eq!(moved.header("set-cookie"), "", "no cookie for another host name");

    let answer = browser.get("/auth/login?login_hint=ada").await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-guildstream_session=") && cookie.contains("Secure"), "{cookie}");
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
    let authorize = Url::parse(answer.header("location")).unwrap();
    let query = query(authorize.as_str());
    assert_eq!(authorize.path(), "/oauth2/authorize");
    assert_eq!(query["redirect_uri"], "https://stream.example/auth/callback");
    assert_eq!(query["scope"], "identify guilds");
    assert_eq!((&*query["response_type"], &*query["code_challenge_method"]), ("code", "S256"));
    assert!(!query.contains_key("login_hint"), "a hint is for the sandbox alone");

    let circle = browser.send(Method::GET, "/auth/login?moved=1", &elsewhere, "").await;
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
    assert_eq!((answer.status, answer.header("location")), (303, "/home"));
    browser.get("/api/session").await.refused(401, "NO_SESSION");
    server.stop().await;
}

#[actix_web::test]
async fn a_person_whose_sign_in_went_wrong_is_shown_a_page() {
    let server = Server::start().await;
    let person = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let answer = server.browser().send(Method::GET, "/auth/callback?state=x&code=y", &person, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (400, "text/html; charset=utf-8"));
    assert!(answer.body.contains("begin again") && answer.body.contains(answer.header("x-request-id")));
    assert!(answer.header("content-security-policy").contains("script-src 'self'"));
    server.browser().send(Method::GET, "/api/session", &person, "").await.refused(401, "NO_SESSION");
    server.stop().await;
}

#[actix_web::test]
async fn sign_ins_are_limited_by_address_and_a_trusted_proxy_says_which() {
    let server = Server::with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let mut browser = server.browser();
    let mut answer = browser.send(Method::GET, "/auth/login", &[("x-forwarded-for", "192.0.2.1")], "").await;
    // One comes back each second, so that a slow machine may need some more.
    for _ in 0..300 {
        if answer.status != 303 {
            break;
        }
        answer = browser.send(Method::GET, "/auth/login", &[("x-forwarded-for", "192.0.2.1")], "").await;
    }
    answer.refused(429, "RATE_LIMITED");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    let other = browser.send(Method::GET, "/auth/login", &[("x-forwarded-for", "192.0.2.2")], "").await;
    assert_eq!(other.status, 303);
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
        server.world.lock().unwrap().token_answer = Some((answered, body));
        let mut browser = server.browser();
        let callback = browser.begin("/auth/login", "ada").await;
        let answer = browser.get(&callback).await;
        answer.refused(status, code);
        assert!(
            !answer.body.contains(CLIENT_SECRET) && !answer.body.contains("invalid_client"),
            "{}",
            answer.body
        );
    }
    server.stop().await;
}

#[actix_web::test]
async fn a_stream_opens_for_signed_in_members_alone() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.get("/api/stream").await.refused(401, "NO_SESSION");
    browser.sign_in("mallory").await;
    browser.get("/api/stream").await.refused(403, "NOT_A_MEMBER");
    browser.sign_in("linus").await;
    browser.get("/api/stream?guild=5").await.refused(400, "INVALID");
    browser.get("/api/stream?channel=general").await.refused(400, "INVALID");

    let position = "00000000000000ab-7";
    let (headers, mut stream) = browser.stream(&[("last-event-id", position)]).await;
    let expected = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
    ];
    for (name, value) in expected {
        assert_eq!(headers.get(name).unwrap(), value);
    }
    assert!(!headers.contains_key("content-encoding") && !headers.contains_key("content-length"));
    let hello = stream.until("\n\n").await;
    assert!(hello.starts_with("retry: ") && hello.contains(&format!("\nid: {position}\n")), "{hello}");
    assert!(hello.contains(r#""type":"ack","event":"connected""#), "{hello}");
    server.stop().await;
}

#[actix_web::test]
async fn signing_out_ends_the_streams_of_that_session_alone() {
    let server = Server::start().await;
    let (mut phone, mut laptop) = (server.browser(), server.browser());
    phone.sign_in("linus").await;
    laptop.sign_in("linus").await;
    let (_, mut on_phone) = phone.stream(&[]).await;
    let (_, mut on_laptop) = laptop.stream(&[]).await;
    on_phone.until("connected").await;
    on_laptop.until("connected").await;
    assert_eq!(phone.post("/auth/logout", "").await.status, 204);
    on_phone.rest().await;
    let status = laptop.get("/api/status").await.json();
    assert_eq!(status["sse"]["sessions"], 1, "{status}");
    server.stop().await;
}

#[actix_web::test]
async fn a_passing_refusal_of_a_stream_is_200_and_a_long_retry() {
    let server = Server::with(&[("SSE_MAX_SESSIONS_PER_USER", "1")]).await;
    let mut browser = server.browser();
    browser.sign_in("linus").await;
    let (_, mut first) = browser.stream(&[]).await;
    first.until("connected").await;
    // The second is one too many; after a while all of them are too many in a short time.
    for _ in 0..60 {
        let refusal = browser.get("/api/stream").await;
        assert_eq!((refusal.status, refusal.header("content-type")), (200, "text/event-stream"));
        let retry = refusal.body.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
        assert!(retry.unwrap().parse::<u64>().unwrap() >= 15_000, "{:?}", refusal.body);
    }
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
        // Each has an allowance of their own.
        browser.sign_in(code).await;
        let body = format!(r#"{{"command":"refuse_{code}","payload":{{}},"requestId":"r3"}}"#);
        let answer = browser.post("/api/commands", &body).await;
        answer.refused(status, code);
        assert_eq!(answer.json()["error"]["requestId"], "r3");
        assert_eq!(answer.header("retry-after"), if code == "RATE_LIMITED" { "2" } else { "" });
        let discord = if code == "DISCORD_ERROR" { discord_refusal() } else { Value::Null };
        assert_eq!(answer.json()["error"]["discord"], discord);
    }
    for question in guildstream_actors::questions::NAMES {
        let body = format!(r#"{{"command":"{question}","payload":{{}}}}"#);
        browser.post("/api/commands", &body).await.refused(404, "UNKNOWN_COMMAND");
    }
    server.stop().await;
}

#[actix_web::test]
async fn a_flood_of_commands_is_its_users_own_trouble() {
    let server = Server::start().await;
    let (mut ada, mut linus) = (server.browser(), server.browser());
    ada.sign_in("ada").await;
    linus.sign_in("linus").await;
    let body = r#"{"command":"send_message","payload":{}}"#;
    let began = std::time::Instant::now();
    let mut taken = 0;
    let answer = loop {
        let answer = ada.post("/api/commands", body).await;
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
    };
    // Ten at once, and one comes back each second.
    assert!((10..=11 + began.elapsed().as_secs()).contains(&taken), "{taken}");
    answer.refused(429, "RATE_LIMITED");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(linus.post("/api/commands", body).await.status, 200);
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
    for (n, (body, status, code)) in cases.into_iter().enumerate() {
        browser.sign_in(&format!("user {n}")).await;
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
    let (mut ada, mut linus, mut nobody) = (server.browser(), server.browser(), server.browser());
    ada.sign_in("ada").await;
    linus.sign_in("linus").await;
    for path in ["/api/gateway/connect", "/api/gateway/disconnect"] {
        nobody.post(path, "").await.refused(401, "NO_SESSION");
        linus.post(path, "").await.refused(403, "MISSING_PERMISSIONS");
    }
    // A disconnect stays until connect; meanwhile the guild list of the sign-in decides.
    assert_eq!(ada.post("/api/gateway/disconnect", "{}").await.status, 204);
    server.until_ready(503).await;
    assert_eq!(ada.get("/api/status").await.json()["link"]["state"], "disconnected");
    let down =
        linus.post("/api/commands", r#"{"command":"send_message","payload":{},"requestId":"r1"}"#).await;
    down.refused(503, "NOT_SENT");
    assert_eq!(down.json()["error"]["requestId"], "r1");
    linus.post("/api/gateway/connect", "").await.refused(403, "MISSING_PERMISSIONS");
    assert_eq!(ada.post("/api/gateway/connect", "").await.status, 204);
    server.until_ready(200).await;

    // What Discord says now goes before what it said at sign-in.
    let id = |session: Value| session["user"]["id"].as_str().unwrap().to_owned();
    let manager = |browser_id: String, permissions: &str| {
        let guild = json!({"guildId": GUILD, "permissions": permissions, "channels": []});
        json!({"userId": browser_id, "guilds": [guild]})
    };
    let demoted = manager(id(ada.get("/api/session").await.json()), "1024");
    let promoted = manager(id(linus.get("/api/session").await.json()), "32");
    server.world.lock().unwrap().viewers = Some(json!({"viewers": [demoted, promoted]}));
    ada.post("/api/gateway/disconnect", "").await.refused(403, "MISSING_PERMISSIONS");
    assert_eq!(linus.post("/api/gateway/disconnect", "").await.status, 204);
    server.stop().await;
}

#[actix_web::test]
async fn health_and_status_say_what_is_up() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let status = browser.get("/api/status").await.json();
    assert_eq!(status["role"], "web");
    assert_eq!(status["connected"], true);
    assert_eq!(status["reconnectAttempts"], 0);
    assert!(status["uptimeS"].is_u64() && status["version"].is_string());
    assert_eq!(status["link"]["state"], "live");
    assert_eq!(status["link"]["maxAttempts"], 10);
    assert!(status["sse"]["sessions"].is_u64(), "{status}");
    let metrics = browser.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.body.contains("\nguildstream_link_connected 1\n"), "{}", metrics.body);
    browser.sign_in("ada").await;
    browser.post("/api/commands", r#"{"command":"send_message","payload":{}}"#).await;
    browser.get("/made-up").await;
    let metrics = browser.get("/metrics").await.body;
    for line in [
        r#"guildstream_command_seconds_count{command="send_message",outcome="ok"} 1"#,
        r#"guildstream_http_answers_total{route="/api/commands",status="200"} 1"#,
        r#"guildstream_http_answers_total{route="none",status="404"} 1"#,
        r#"guildstream_sign_ins_total{outcome="ok"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    let forwarded = browser.send(Method::GET, "/metrics", &[("x-forwarded-for", "192.0.2.1")], "").await;
    forwarded.refused(401, "INVALID_TOKEN");

    browser.post("/api/gateway/disconnect", "").await;
    server.until_ready(503).await;
    assert_eq!(browser.get("/livez").await.status, 200);
    for path in ["/readyz", "/healthz"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["reasons"], json!(["link: disconnected"]));
    }
    assert_eq!(browser.get("/api/status").await.json()["connected"], false);
    server.stop().await;
}

#[actix_web::test]
async fn the_description_names_every_route_and_is_not_empty_talk() {
    let server = Server::start().await;
    let description = server.browser().get("/api/openapi.json").await.json();
    assert_eq!(description["openapi"], "3.1.0");
    let mut routes = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path}");
            routes.push(format!("{method} {path}"));
            // The harness holds each answer against the description; without a session that is mostly a refusal.
            let mut browser = server.browser();
            let answer =
                if method == "post" { browser.post(path, "{}").await } else { browser.get(path).await };
            assert_ne!(answer.status, 404, "{method} {path}");
        }
    }
    routes.sort();
    let expected = [
        "get /api/guilds",
        "get /api/openapi.json",
        "get /api/session",
        "get /api/status",
        "get /api/stream",
        "get /auth/callback",
        "get /auth/login",
        "get /healthz",
        "get /livez",
        "get /metrics",
        "get /readyz",
        "post /api/commands",
        "post /api/gateway/connect",
        "post /api/gateway/disconnect",
        "post /auth/logout",
    ];
    assert_eq!(routes, expected);
    server.stop().await;
}

#[actix_web::test]
async fn every_answer_has_the_same_manners() {
    let server = Server::with(&[("CORS_ORIGINS", "https://app.example")]).await;
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
    assert_eq!((again.status, &*again.body), (304, ""));
    let head = browser.send(Method::HEAD, "/guildstream.js", &[], "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    server.stop().await;
}
