//! Signing in, by hand.

use guildstream_sandbox::{CLIENT_ID, CLIENT_SECRET};
use serde_json::{Value, json};

use crate::harness::{ADA, GUILD, Place, quiet};

const HERE: &str = "http://localhost:3000/callback";

fn authorize(rest: &str) -> String {
    format!("/oauth2/authorize?client_id={CLIENT_ID}&redirect_uri={HERE}&response_type=code&{rest}")
}

#[actix_web::test]
async fn a_person_chooses_who_they_are_and_comes_back_with_a_code_and_the_state() {
    let place = Place::open(quiet()).await;
    let page = place.call("GET", &authorize("scope=identify+guilds&state=a%26b"), &[], Value::Null).await;
    let html = page.body.as_str().expect("a page");
    for shown in ["Ada", "Grace", "Linus", "Mallory", "not Discord", "Cancel"] {
        assert!(html.contains(shown), "{shown}");
    }
    assert!(!html.contains("<script") && page.headers.contains_key("content-security-policy"));
    let link = html.split("href=\"").find(|rest| rest.contains("as=linus")).expect("a link");
    let link = link.split('"').next().expect("a quote").replace("&amp;", "&");
    let answer = place.call("GET", &link, &[], Value::Null).await;
    assert_eq!((answer.status.as_u16(), answer.location("state")), (302, Some("a&b".to_owned())));
    let form = format!(
        "grant_type=authorization_code&redirect_uri={HERE}&code={}",
        answer.location("code").expect("a code")
    );
    let token = place.token(&form, CLIENT_SECRET).await.body;
    let me = place.person(token["access_token"].as_str().expect("a token"), "/users/@me").await;
    assert_eq!(me.body["username"], "linus");
    // A page is good for one answer.
    assert_eq!(place.call("GET", &link, &[], Value::Null).await.status, 400);
    place.close().await;
}

#[actix_web::test]
async fn saying_no_comes_back_as_access_denied() {
    let place = Place::open(quiet()).await;
    let page = place.call("GET", &authorize("scope=identify&state=s"), &[], Value::Null).await;
    let html = page.body.as_str().expect("a page");
    let link = html.split("href=\"").find(|rest| rest.starts_with("/oauth2/deny")).expect("a link");
    let answer = place.call("GET", link.split('"').next().expect("a quote"), &[], Value::Null).await;
    assert_eq!(answer.location("error").as_deref(), Some("access_denied"));
    assert_eq!(answer.location("state").as_deref(), Some("s"));
    place.close().await;
}

#[actix_web::test]
async fn a_wrong_request_shows_an_error_and_redirects_nowhere() {
    let place = Place::open(quiet()).await;
    for path in [
        authorize("scope=identify&login_hint=nobody"),
        authorize("scope=bot"),
        authorize("scope="),
        authorize("scope=identify").replace(CLIENT_ID, "1"),
        authorize("scope=identify").replace("localhost", "evil.example"),
        authorize("scope=identify").replace("=code", "=token"),
        authorize("scope=identify&code_challenge=x&code_challenge_method=S1"),
    ] {
        let answer = place.call("GET", &path, &[], Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.location("code")), (400, None), "{path}");
    }
    place.close().await;
}

#[actix_web::test]
async fn the_browser_is_remembered_and_prompt_none_needs_no_page() {
    let place = Place::open(quiet()).await;
    let first = place.call("GET", &authorize("scope=identify&login_hint=grace"), &[], Value::Null).await;
    let cookie = first.headers.get("set-cookie").and_then(|cookie| cookie.to_str().ok()).expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair");
    let again =
        place.call("GET", &authorize("scope=identify&prompt=none"), &[("Cookie", cookie)], Value::Null).await;
    assert!(again.location("code").is_some());
    let page = place.call("GET", &authorize("scope=identify&prompt=none"), &[], Value::Null).await;
    assert_eq!(page.status, 200, "nobody is remembered");
    place.close().await;
}

#[actix_web::test]
async fn tokens_are_refused_with_the_errors_of_the_rfc() {
    let place = Place::open(quiet()).await;
    let code = place
        .call("GET", &authorize("scope=identify&login_hint=ada"), &[], Value::Null)
        .await
        .location("code");
    let code = code.expect("a code");
    let good = format!("grant_type=authorization_code&redirect_uri={HERE}&code={code}");
    for (form, secret, status, error) in [
        (good.clone(), "wrong", 401, "invalid_client"),
        ("grant_type=authorization_code".to_owned(), CLIENT_SECRET, 400, "invalid_request"),
        (String::new(), CLIENT_SECRET, 400, "invalid_request"),
        ("grant_type=password".to_owned(), CLIENT_SECRET, 400, "unsupported_grant_type"),
        ("grant_type=refresh_token&refresh_token=x".to_owned(), CLIENT_SECRET, 400, "invalid_grant"),
        (good.replace(&code, "x"), CLIENT_SECRET, 400, "invalid_grant"),
    ] {
        let answer = place.token(&form, secret).await;
        assert_eq!((answer.status.as_u16(), &answer.body["error"]), (status, &json!(error)), "{form}");
    }
    assert_eq!(place.token(&good, CLIENT_SECRET).await.status, 200);
    assert_eq!(place.token(&good, CLIENT_SECRET).await.body["error"], "invalid_grant", "a code is good once");
    let json = place.call("POST", "/api/oauth2/token", &[], json!({ "grant_type": "x" })).await;
    assert_eq!(json.body["error"], "invalid_request");
    place.close().await;
}

#[actix_web::test]
async fn scopes_decide_what_a_token_may_read() {
    let place = Place::open(quiet()).await;
    let token = async |scope: &str| {
        place.sign_in("ada", scope).await["access_token"].as_str().expect("a token").to_owned()
    };
    let (narrow, wide) = (token("identify").await, token("identify+guilds+guilds.members.read+email").await);
    let member = format!("/users/@me/guilds/{GUILD}/member");
    for (token, path, status) in [
        (&narrow, "/users/@me", 200),
        (&narrow, "/users/@me/guilds", 401),
        (&narrow, member.as_str(), 401),
        (&wide, "/users/@me/guilds", 200),
        (&wide, member.as_str(), 200),
        (&wide, "/users/@me/guilds/1/member", 404),
        (&wide, "/oauth2/@me", 200),
        (&wide, "/gateway/bot", 401),
        (&"made-up".to_owned(), "/users/@me", 401),
    ] {
        assert_eq!(place.person(token, path).await.status, status, "{path}");
    }
    let guilds = place.person(&wide, "/users/@me/guilds").await.body;
    assert_eq!((&guilds[0]["id"], &guilds[0]["owner"]), (&json!(GUILD), &json!(true)));
    assert!(guilds[0]["permissions"].is_string());
    assert_eq!(place.person(&wide, &member).await.body["user"]["id"], ADA);
    assert_eq!(place.person(&narrow, "/users/@me").await.body.get("email"), None);
    let nobody = place.sign_in("mallory", "guilds").await;
    let guilds = place.person(nobody["access_token"].as_str().expect("a token"), "/users/@me/guilds").await;
    assert_eq!(guilds.body, json!([]));
    place.close().await;
}

#[actix_web::test]
async fn a_refresh_replaces_both_tokens_and_a_revocation_ends_them() {
    let place = Place::open(quiet()).await;
    let first = place.sign_in("ada", "identify").await;
    let text = |token: &Value, name: &str| token[name].as_str().expect("a token").to_owned();
    let form = format!("grant_type=refresh_token&refresh_token={}", text(&first, "refresh_token"));
    let second = place.token(&form, CLIENT_SECRET).await.body;
    assert_eq!(second["scope"], "identify");
    assert_eq!(place.person(&text(&first, "access_token"), "/users/@me").await.status, 401);
    assert_eq!(place.person(&text(&second, "access_token"), "/users/@me").await.status, 200);
    let form = format!(
        "token={}&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}",
        text(&second, "access_token")
    );
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(place.send("POST", "/api/oauth2/token/revoke", &kind, form).await.status, 200);
    assert_eq!(place.person(&text(&second, "access_token"), "/users/@me").await.status, 401);
    place.close().await;
}
