//! `/auth/…`: sign-in through Discord, and sign-out.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use guildstream_actors::sse_broker::EndSession;
use serde::Deserialize;
use url::Url;
use utoipa::IntoParams;

use super::{
    ask,
    client_address::client_address,
    error::{ApiError, Refusal},
    web::WebState,
};
use crate::auth::{discord_oauth::OauthError, return_to, signed_in::SignedIn};

/// The longest code or state that is looked at; Discord's have about 30 bytes.
const MAX_ANSWER_BYTES: usize = 512;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LoginQuery {
    /// Where to go afterwards: a path here, or an address of an origin in CORS_ORIGINS.
    next: Option<String>,
    /// A demo user of the sandbox; used in development alone.
    login_hint: Option<String>,
    /// Set by our own redirect, so that a proxy that changes the Host header cannot make it a circle.
    #[param(ignore)]
    moved: Option<String>,
}

/// What Discord adds to the address. <https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2>
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CallbackQuery {
    state: String,
    code: Option<String>,
    error: Option<String>,
}

/// Sends the browser to Discord to sign in.
#[utoipa::path(get, path = "/auth/login", tag = "session", params(LoginQuery), responses(
    (status = 303, description = "to Discord"),
    (status = 400, body = Refusal, description = "an address to return to that is not allowed"),
    (status = 429, body = Refusal, description = "too many sign-ins from this address"),
    (status = 503, body = Refusal, description = "sessions cannot be written now"),
))]
pub(super) async fn login(
    request: HttpRequest,
    query: web::Query<LoginQuery>,
    session: Session,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    state.rates.sign_in.take(client_address(&request, &state.config.trusted_proxies).into())?;
    let public_url = &state.config.public_url;
    if query.moved.is_none() && !is_at(&request, public_url) {
        // The cookie would be set for this host name, and Discord sends the browser back to the other.
        return Ok(see_other(moved_login(public_url, &query)));
    }
    let next = query.next.as_deref().unwrap_or("/");
    let return_to = return_to::parse(next, public_url, state.origins().others())
        .map_err(|error| ApiError::Invalid(error.to_string()))?;
    state.sessions().usable(&session).await?;
    let hint = query.login_hint.as_deref().filter(|_| state.config.development);
    let begun = state.oauth.begin(hint);
    state.sessions().begin(&session, begun.state, begun.verifier, return_to)?;
    Ok(see_other(begun.authorize_url))
}

/// Where Discord sends the browser back to.
#[utoipa::path(get, path = "/auth/callback", tag = "session", params(CallbackQuery), responses(
    (status = 303, description = "signed in, or refused by the user; to where the sign-in was begun"),
    (status = 400, body = Refusal, description = "begun elsewhere, too long ago, or used before"),
    (status = 429, body = Refusal, description = "too many sign-ins from this address"),
    (status = 503, body = Refusal, description = "Discord does not answer, or sessions cannot be written now"),
))]
pub(super) async fn callback(
    request: HttpRequest,
    query: web::Query<CallbackQuery>,
    session: Session,
    state: web::Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    state.rates.sign_in.take(client_address(&request, &state.config.trusted_proxies).into())?;
    let CallbackQuery { state: answered, code, error } = query.into_inner();
    state.sessions().usable(&session).await?;
    let pending = state.sessions().take_pending(&session, &answered)?;
    let code = match (code, error) {
        (Some(code), None) if !code.is_empty() && code.len() <= MAX_ANSWER_BYTES => code,
        (_, Some(error)) if error == "access_denied" => {
            state.counters().sign_in("declined");
            return Ok(see_other(pending.return_to));
        }
        (_, error) => {
            log::warn!("[Sign-in] Discord answered without a code: {error:?}");
            return Err(ApiError::Invalid(
                "discord did not sign you in: begin again at /auth/login".to_owned(),
            ));
        }
    };
    let configured = &state.config.vite_discord_guild_id;
    let who = state.oauth.finish(code, pending.verifier, configured).await;
    state.counters().sign_in(if who.is_ok() { "ok" } else { "failed" });
    let (user, guilds) = who.map_err(refusal)?;
    let (signed_in, before) = state.sessions().start(&session, user, guilds)?;
    log::info!("[Sign-in] User {} signed in, in {} guild(s)", signed_in.user.id, signed_in.guilds.len());
    end_streams(&state, before).await;
    Ok(see_other(pending.return_to))
}

/// Ends the session and its streams. Without a session there is nothing to do.
#[utoipa::path(post, path = "/auth/logout", tag = "session", params(
    ("X-Guildstream" = String, Header, description = "always 1"),
    ("Origin" = String, Header, description = "set by browsers: ours, or one of CORS_ORIGINS"),
), responses(
    (status = 204, description = "signed out"),
    (status = 400, body = Refusal, description = "a body that is not JSON"),
    (status = 403, body = Refusal, description = "a foreign page asks"),
    (status = 503, body = Refusal, description = "sessions cannot be read now"),
))]
pub(super) async fn logout(session: Session, state: web::Data<WebState>) -> Result<HttpResponse, ApiError> {
    state.sessions().usable(&session).await?;
    let ended = state.sessions().end(&session);
    session.purge();
    end_streams(&state, ended).await;
    Ok(HttpResponse::NoContent().finish())
}

async fn end_streams(state: &WebState, ended: Option<SignedIn>) {
    let Some(ended) = ended else { return };
    if let Err(error) = state.sessions().store().announce_end(&ended.ended()).await {
        log::warn!("[Sign-in] Other web roles do not hear that a session has ended: {error:#}");
    }
    let SignedIn { sid, user, .. } = ended;
    match ask("broker", &state.broker, EndSession { sid }).await {
        Ok(streams) => log::info!("[Sign-in] Session of user {} ended, with {streams} stream(s)", user.id),
        Err(error) => {
            log::warn!("[Sign-in] Session of user {} ended, its streams perhaps not: {error}", user.id);
        }
    }
}

fn refusal(error: OauthError) -> ApiError {
    log::warn!("[Sign-in] {error}");
    match error {
        OauthError::Refused(_) => ApiError::SignInExpired,
        OauthError::Unavailable(_) => {
            ApiError::Unavailable("discord does not answer: try again later".to_owned())
        }
        error => ApiError::Internal(error.into()),
    }
}

/// Whether the browser asked for us by the name in `PUBLIC_URL`. What a proxy says is not asked: the name in the
/// address bar is in Host, unless a proxy changes it, and then one more redirect does no harm.
fn is_at(request: &HttpRequest, public_url: &Url) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Url::parse(&format!("{}://{host}", public_url.scheme()))
        .is_ok_and(|url| url.origin() == public_url.origin())
}

fn moved_login(public_url: &Url, query: &LoginQuery) -> Url {
    let mut url = public_url.join("/auth/login").expect("a constant path fits every http address");
    let parts = [("next", &query.next), ("login_hint", &query.login_hint)];
    url.query_pairs_mut()
        .extend_pairs(parts.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))))
        .append_pair("moved", "1");
    url
}

fn see_other(location: impl AsRef<str>) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, location.as_ref())).finish()
}
