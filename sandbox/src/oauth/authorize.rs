//! The way to a code: a request for consent, a person's choice, and back to the application.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite},
    http::header,
    web,
};
use serde::Deserialize;
use url::{Host, Url};

use super::{
    grants::{Challenge, Consent, Scope},
    page,
};
use crate::{
    config::CLIENT_ID,
    discord::Discord,
    world::{PEOPLE, Person},
};

/// Remembers who signed in last, as a browser is signed in at Discord.
const COOKIE: &str = "sandbox_session";

#[derive(Deserialize)]
pub(crate) struct AuthorizeQuery {
    client_id: Option<String>,
    redirect_uri: Option<String>,
    response_type: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    prompt: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    /// Not Discord's: approves at once as this person, so that scripts can sign in.
    login_hint: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ApproveQuery {
    ticket: String,
    #[serde(rename = "as")]
    login: String,
}

#[derive(Deserialize)]
pub(crate) struct DenyQuery {
    ticket: String,
}

/// Why a request for consent cannot be shown; the application is at fault and must not be redirected to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ConsentError {
    #[error("client_id {0:?} is not an application of this sandbox, use {CLIENT_ID}")]
    UnknownClient(String),
    #[error(
        "redirect_uri {0:?} is not allowed, use one on a loopback host or name it in the sandbox's settings"
    )]
    RedirectUri(String),
    #[error("response_type {0:?} is not supported, use \"code\"")]
    ResponseType(String),
    #[error(
        "scope {0:?} is not known here, use identify, guilds, guilds.members.read, email, connections or openid"
    )]
    Scope(String),
    #[error("scope is missing, ask for at least \"identify\"")]
    NoScope,
    #[error("code_challenge_method {0:?} is not supported, use \"S256\" or \"plain\"")]
    ChallengeMethod(String),
    #[error("{0:?} is nobody here, use ada, grace, linus or mallory")]
    UnknownPerson(String),
    #[error(
        "this page was open for too long or has been used already, go back to the application and sign in again"
    )]
    StaleTicket,
}

/// Shows the page, or answers at once when it is told who signs in.
pub(crate) async fn authorize(
    request: HttpRequest,
    query: web::Query<AuthorizeQuery>,
    discord: web::Data<Discord>,
) -> HttpResponse {
    let query = query.into_inner();
    let consent = match check(&query, &discord.config.redirect_uris) {
        Ok(consent) => consent,
        Err(error) => return page::error(&error),
    };
    let remembered = request.cookie(COOKIE).and_then(|cookie| person(cookie.value()));
    if let Some(hint) = query.login_hint {
        return match person(&hint) {
            Some(person) => accept(&discord, person, consent),
            None => page::error(&ConsentError::UnknownPerson(hint)),
        };
    }
    match (query.prompt.as_deref(), remembered) {
        (Some("none"), Some(person)) => accept(&discord, person, consent),
        (_, remembered) => {
            let scopes = consent.scopes.clone();
            let ticket = discord.with(|inner| inner.grants.ask(consent));
            page::choose(&ticket, &scopes, remembered)
        }
    }
}

/// A person said yes.
pub(crate) async fn approve(query: web::Query<ApproveQuery>, discord: web::Data<Discord>) -> HttpResponse {
    let Some(person) = person(&query.login) else {
        return page::error(&ConsentError::UnknownPerson(query.into_inner().login));
    };
    match discord.with(|inner| inner.grants.answer(&query.ticket)) {
        Some(consent) => accept(&discord, person, consent),
        None => page::error(&ConsentError::StaleTicket),
    }
}

/// A person said no.
pub(crate) async fn deny(query: web::Query<DenyQuery>, discord: web::Data<Discord>) -> HttpResponse {
    match discord.with(|inner| inner.grants.answer(&query.ticket)) {
        Some(consent) => {
            let description = "The resource owner or authorization server denied the request";
            let answer = [("error", "access_denied"), ("error_description", description)];
            redirect(&consent, &answer, None)
        }
        None => page::error(&ConsentError::StaleTicket),
    }
}

fn accept(discord: &Discord, person: Person, consent: Consent) -> HttpResponse {
    let code = discord.with(|inner| inner.grants.approve(person.id, consent.clone()));
    redirect(&consent, &[("code", &code)], Some(person))
}

fn redirect(consent: &Consent, answer: &[(&str, &str)], person: Option<Person>) -> HttpResponse {
    // Checked when the consent was asked for.
    let Ok(mut url) = Url::parse(&consent.redirect_uri) else {
        return page::error(&ConsentError::RedirectUri(consent.redirect_uri.clone()));
    };
    url.query_pairs_mut().extend_pairs(answer);
    if let Some(state) = &consent.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    let mut response = HttpResponse::Found();
    response
        .insert_header((header::LOCATION, url.as_str()))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(person) = person {
        let cookie =
            Cookie::build(COOKIE, person.login).path("/oauth2").http_only(true).same_site(SameSite::Lax);
        response.cookie(cookie.finish());
    }
    response.finish()
}

fn check(query: &AuthorizeQuery, registered: &[String]) -> Result<Consent, ConsentError> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    if query.client_id.as_deref() != Some(CLIENT_ID) {
        return Err(ConsentError::UnknownClient(text(&query.client_id)));
    }
    let redirect_uri = text(&query.redirect_uri);
    if !may_redirect(&redirect_uri, registered) {
        return Err(ConsentError::RedirectUri(redirect_uri));
    }
    if query.response_type.as_deref() != Some("code") {
        return Err(ConsentError::ResponseType(text(&query.response_type)));
    }
    let scopes = Scope::parse_list(&text(&query.scope)).map_err(ConsentError::Scope)?;
    if scopes.is_empty() {
        return Err(ConsentError::NoScope);
    }
    let challenge = match (&query.code_challenge, query.code_challenge_method.as_deref()) {
        (None, _) => None,
        (Some(challenge), Some("S256")) => Some(Challenge::S256(challenge.clone())),
        (Some(challenge), None | Some("plain")) => Some(Challenge::Plain(challenge.clone())),
        (Some(_), Some(method)) => return Err(ConsentError::ChallengeMethod(method.to_owned())),
    };
    Ok(Consent { redirect_uri, state: query.state.clone(), scopes, challenge })
}

/// Discord redirects to what was registered. With nothing registered, any loopback host will do.
fn may_redirect(uri: &str, registered: &[String]) -> bool {
    if !registered.is_empty() {
        return registered.iter().any(|known| known == uri);
    }
    let Ok(url) = Url::parse(uri) else { return false };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    loopback && matches!(url.scheme(), "http" | "https")
}

fn person(login: &str) -> Option<Person> {
    PEOPLE.into_iter().find(|person| person.login == login || person.id.to_string() == login)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> AuthorizeQuery {
        web::Query::<AuthorizeQuery>::from_query(text).expect("a query").into_inner()
    }

    #[test]
    fn a_request_that_is_wrong_is_told_what_is_wrong() {
        let good = "client_id=1000000000000000001&redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fcb&response_type=code&scope=identify";
        assert!(check(&query(good), &[]).is_ok());
        let with = |from: &str, to: &str| check(&query(&good.replace(from, to)), &[]).err();
        for (from, to, expected) in [
            ("1000000000000000001", "7", ConsentError::UnknownClient("7".to_owned())),
            (
                "localhost%3A3000",
                "evil.example",
                ConsentError::RedirectUri("http://evil.example/cb".to_owned()),
            ),
            (
                "http%3A%2F%2F",
                "javascript%3A",
                ConsentError::RedirectUri("javascript:localhost:3000/cb".to_owned()),
            ),
            ("=code", "=token", ConsentError::ResponseType("token".to_owned())),
            ("=identify", "=bot", ConsentError::Scope("bot".to_owned())),
            ("=identify", "=", ConsentError::NoScope),
            (
                "=identify",
                "=identify&code_challenge=x&code_challenge_method=md5",
                ConsentError::ChallengeMethod("md5".to_owned()),
            ),
        ] {
            assert_eq!(with(from, to), Some(expected), "{to}");
        }
    }

    #[test]
    fn a_registered_redirect_is_matched_exactly() {
        let registered = ["https://app.example/cb".to_owned()];
        for (uri, allowed) in [
            ("https://app.example/cb", true),
            ("https://app.example/cb/", false),
            ("https://app.example/cb?x=1", false),
            ("http://localhost/cb", false),
        ] {
            assert_eq!(may_redirect(uri, &registered), allowed, "{uri}");
        }
        for (uri, allowed) in [
            ("http://127.0.0.1:3000/auth/callback", true),
            ("http://[::1]/", true),
            ("http://app.localhost/", true),
            ("http://localhost.evil.example/", false),
            ("http://user@evil.example#@localhost", false),
            ("/auth/callback", false),
        ] {
            assert_eq!(may_redirect(uri, &[]), allowed, "{uri}");
        }
    }
}
