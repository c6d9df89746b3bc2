//! Codes and refresh tokens become access tokens; tokens are revoked.
//!
//! <https://www.rfc-editor.org/rfc/rfc6749#section-5>

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

use super::grants::{ACCESS_TTL, Scope, Tokens};
use crate::{
    config::{CLIENT_ID, CLIENT_SECRET},
    discord::Discord,
};

/// The largest form that is read.
const FORM_BYTES: usize = 16 * 1024;

#[derive(Default, Deserialize)]
struct TokenForm {
    grant_type: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// The errors of RFC 6749, section 5.2.
enum TokenError {
    InvalidRequest(&'static str),
    InvalidClient,
    InvalidGrant(&'static str),
    UnsupportedGrantType,
    TooLarge,
}

pub(crate) async fn token(
    request: HttpRequest,
    body: web::Payload,
    discord: web::Data<Discord>,
) -> HttpResponse {
    let tokens = match read(&request, body).await {
        Ok(form) => exchange(&form, &discord),
        Err(error) => Err(error),
    };
    match tokens {
        Ok(Tokens { access, refresh, scopes }) => {
            HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
                "token_type": "Bearer",
                "access_token": access,
                "expires_in": ACCESS_TTL.as_secs(),
                "refresh_token": refresh,
                "scope": Scope::join(&scopes),
            }))
        }
        Err(error) => error.response(),
    }
}

pub(crate) async fn revoke(
    request: HttpRequest,
    body: web::Payload,
    discord: web::Data<Discord>,
) -> HttpResponse {
    match read(&request, body).await {
        Ok(TokenForm { token: Some(token), .. }) => {
            discord.with(|inner| inner.grants.revoke(&token));
            HttpResponse::Ok().json(json!({}))
        }
        Ok(_) => TokenError::InvalidRequest("Missing \"token\" in request.").response(),
        Err(error) => error.response(),
    }
}

/// Reads the form of an application that has shown who it is, in the body or with Basic authentication.
async fn read(request: &HttpRequest, body: web::Payload) -> Result<TokenForm, TokenError> {
    let unreadable = TokenError::InvalidRequest("The body must be application/x-www-form-urlencoded.");
    let Ok(bytes) = body.to_bytes_limited(FORM_BYTES).await else { return Err(TokenError::TooLarge) };
    let Ok(bytes) = bytes else { return Err(unreadable) };
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(unreadable);
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| TokenError::InvalidRequest("The body must be UTF-8."))?;
    let form = web::Query::<TokenForm>::from_query(text)
        .map_err(|_| TokenError::InvalidRequest("A field was sent twice."))?
        .into_inner();
    let (id, secret) = match basic(request) {
        Some((id, secret)) => (Some(id), Some(secret)),
        None => (form.client_id.clone(), form.client_secret.clone()),
    };
    if id.as_deref() == Some(CLIENT_ID) && secret.as_deref() == Some(CLIENT_SECRET) {
        Ok(form)
    } else {
        Err(TokenError::InvalidClient)
    }
}

fn exchange(form: &TokenForm, discord: &Discord) -> Result<Tokens, TokenError> {
    match form.grant_type.as_deref() {
        Some("authorization_code") => {
            let code =
                form.code.as_deref().ok_or(TokenError::InvalidRequest("Missing \"code\" in request."))?;
            let redirect = form
                .redirect_uri
                .as_deref()
                .ok_or(TokenError::InvalidRequest("Missing \"redirect_uri\" in request."))?;
            let verifier = form.code_verifier.as_deref();
            let tokens = discord.with(|inner| inner.grants.redeem(code, redirect, verifier));
            tokens.ok_or(TokenError::InvalidGrant("Invalid \"code\" in request."))
        }
        Some("refresh_token") => {
            let refresh = form.refresh_token.as_deref();
            let refresh =
                refresh.ok_or(TokenError::InvalidRequest("Missing \"refresh_token\" in request."))?;
            let tokens = discord.with(|inner| inner.grants.refresh(refresh));
            tokens.ok_or(TokenError::InvalidGrant("Invalid \"refresh_token\" in request."))
        }
        Some(_) => Err(TokenError::UnsupportedGrantType),
        None => Err(TokenError::InvalidRequest("Missing \"grant_type\" in request.")),
    }
}

/// The client's id and secret from `Authorization: Basic`, percent-decoded as RFC 6749 section 2.3.1 asks.
fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    let plain = |text: &str| {
        let pair = format!("x={text}");
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((plain(id)?, plain(secret)?))
}

impl TokenError {
    fn response(self) -> HttpResponse {
        let bad = |error: &str, description: &str| {
            HttpResponse::BadRequest().json(json!({ "error": error, "error_description": description }))
        };
        match self {
            Self::InvalidRequest(description) => bad("invalid_request", description),
            Self::InvalidGrant(description) => bad("invalid_grant", description),
            Self::UnsupportedGrantType => {
                bad("unsupported_grant_type", "Use \"authorization_code\" or \"refresh_token\".")
            }
            Self::TooLarge => HttpResponse::PayloadTooLarge()
                .json(json!({ "error": "invalid_request", "error_description": "The body is too large." })),
            Self::InvalidClient => HttpResponse::Unauthorized()
                .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"sandbox\""))
                .json(json!({ "error": "invalid_client" })),
        }
    }
}
