//! Browser sessions: how one begins, is read, and ends.
//!
//! Without Redis a session lives in an encrypted cookie, which by itself neither expires nor can be taken back. So it
//! carries its own expiry, and ended sessions are remembered until theirs. A restart forgets them: a copied cookie of
//! an ended session then works again until it expires. With Redis it does not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_session::{Session, SessionMiddleware, config::PersistentSession};
use actix_web::cookie::{self, Key, SameSite};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::{
    expiring_set::ExpiringSet,
    session_store::{EndedSession, SessionStore},
    signed_in::{Membership, Person, SignedIn},
};
use crate::http::error::ApiError;

/// As many guilds as fit into a cookie of 4096 bytes with everything else a session may hold.
pub const MAX_GUILDS: usize = 64;

/// Ended sessions and answered sign-ins that are remembered; each takes about 150 bytes.
pub(super) const REMEMBERED: usize = 50_000;

/// The time a person may take to sign in.
const SIGN_IN_TTL_S: u64 = 600;

const SIGNED_IN: &str = "user";
const SIGN_IN: &str = "sign_in";

/// A sign-in that was begun in this browser and not yet answered by Discord.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSignIn {
    /// Returned by Discord; binds its answer to this browser.
    pub state: String,
    /// The secret of PKCE.
    pub verifier: String,
    /// Where the browser goes afterwards.
    pub return_to: String,
    /// When it was begun, in seconds since the Unix epoch.
    pub iat: u64,
}

/// How sessions are kept, and what has become of them. One for all workers.
pub struct Sessions {
    store: SessionStore,
    key: Key,
    secure: bool,
    ttl: Duration,
    ended: ExpiringSet,
    answered: ExpiringSet,
}

impl Sessions {
    /// `store` keeps them, `secret` encrypts the cookies; `secure` says whether the service is reached over https.
    ///
    /// # Panics
    ///
    /// When `secret` is shorter than 32 bytes; the configuration asks for 64.
    #[must_use]
    pub fn new(store: SessionStore, secret: &SecretString, secure: bool, ttl: Duration) -> Self {
        Self {
            store,
            key: Key::derive_from(secret.expose_secret().as_bytes()),
            secure,
            ttl,
            ended: ExpiringSet::new(REMEMBERED),
            answered: ExpiringSet::new(REMEMBERED),
        }
    }

    /// The middleware that opens and closes the cookie around a request.
    #[must_use]
    pub fn middleware(&self) -> SessionMiddleware<SessionStore> {
        let ttl = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX);
        SessionMiddleware::builder(self.store.clone(), self.key.clone())
            .cookie_name(self.cookie_name().to_owned())
            .cookie_secure(self.secure)
            .cookie_http_only(true)
            // Lax, not Strict: the cookie must come along when Discord sends the browser back.
            .cookie_same_site(SameSite::Lax)
            .session_lifecycle(PersistentSession::default().session_ttl(cookie::time::Duration::seconds(ttl)))
            .build()
    }

    /// With https, a name that browsers accept from this very host alone.
    /// <https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes>
    #[must_use]
    pub fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-guildstream_session" } else { "guildstream_session" }
    }

    /// Where they are kept.
    #[must_use]
    pub fn store(&self) -> &SessionStore {
        &self.store
    }

    /// Whether this browser's session can be read and written now.
    ///
    /// # Errors
    ///
    /// [`ApiError::Unavailable`] when it cannot.
    pub async fn usable(&self, session: &Session) -> Result<(), ApiError> {
        if SessionStore::is_unreadable(session) || self.store.reachable().await.is_err() {
            return Err(unreadable());
        }
        Ok(())
    }

    /// Notes that this browser begins to sign in.
    ///
    /// # Errors
    ///
    /// [`ApiError::Internal`] when it cannot be written.
    pub fn begin(
        &self,
        session: &Session,
        state: String,
        verifier: String,
        return_to: String,
    ) -> Result<(), ApiError> {
        let pending = PendingSignIn { state, verifier, return_to, iat: now() };
        session.insert(SIGN_IN, pending).map_err(|error| ApiError::Internal(error.into()))
    }

    /// The sign-in that Discord's answer with this `state` belongs to. It can be taken once.
    ///
    /// # Errors
    ///
    /// [`ApiError::SignInExpired`] when there is none, it is too old, or it was taken before.
    pub fn take_pending(&self, session: &Session, state: &str) -> Result<PendingSignIn, ApiError> {
        let now = now();
        let pending = session.get::<PendingSignIn>(SIGN_IN).ok().flatten().ok_or(ApiError::SignInExpired)?;
        session.remove(SIGN_IN);
        let is_same: bool = pending.state.as_bytes().ct_eq(state.as_bytes()).into();
        let expires = pending.iat.saturating_add(SIGN_IN_TTL_S);
        // The cookie of before can be sent again, so forgetting the state there is not enough.
        if is_same && now < expires && self.answered.insert(state, expires, now) {
            Ok(pending)
        } else {
            Err(ApiError::SignInExpired)
        }
    }

    /// Signs the browser in under a new session id; the session it had before, if any, ends.
    ///
    /// # Errors
    ///
    /// [`ApiError::Internal`] when it cannot be written.
    pub fn start(
        &self,
        session: &Session,
        user: Person,
        mut guilds: Vec<Membership>,
    ) -> Result<(SignedIn, Option<SignedIn>), ApiError> {
        let before = self.end(session);
        guilds.truncate(MAX_GUILDS);
        let iat = now();
        let signed_in =
            SignedIn { sid: random_id(), iat, exp: iat.saturating_add(self.ttl.as_secs()), user, guilds };
        session.clear();
        session.renew();
        session.insert(SIGNED_IN, &signed_in).map_err(|error| ApiError::Internal(error.into()))?;
        Ok((signed_in, before))
    }

    /// Ends the browser's session, also for copies of its cookie; the answer is what it was.
    pub fn end(&self, session: &Session) -> Option<SignedIn> {
        let signed_in = self.read(session).ok()?;
        self.remember_end(&signed_in.ended());
        Some(signed_in)
    }

    /// Lets a session that has ended, here or at another web role, be used no more.
    pub fn remember_end(&self, EndedSession { sid, exp }: &EndedSession) {
        let now = now();
        if now < *exp {
            self.ended.insert(sid, *exp, now);
        }
    }

    /// Whether the session of this id was ended, here or, as far as that was heard, at another web role.
    #[must_use]
    pub fn has_ended(&self, sid: &str) -> bool {
        self.ended.contains(sid)
    }

    /// The session, if it is signed in, has not expired and was not ended.
    ///
    /// # Errors
    ///
    /// [`ApiError::NoSession`], or [`ApiError::Unavailable`] when it cannot be read.
    pub fn read(&self, session: &Session) -> Result<SignedIn, ApiError> {
        if SessionStore::is_unreadable(session) {
            return Err(unreadable());
        }
        let signed_in = session.get::<SignedIn>(SIGNED_IN).ok().flatten().ok_or(ApiError::NoSession)?;
        let is_current = now() < signed_in.exp && !self.has_ended(&signed_in.sid);
        is_current.then_some(signed_in).ok_or(ApiError::NoSession)
    }
}

/// 128 random bits, in text that any cookie or URL can carry.
fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn unreadable() -> ApiError {
    ApiError::Unavailable("sessions cannot be read now: try again soon".to_owned())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{
        App, HttpResponse, ResponseError,
        cookie::Cookie,
        test::{TestRequest, call_service, init_service},
        web,
    };
    use guildstream_actors::snowflake::{GuildId, UserId};

    const TTL: Duration = Duration::from_secs(3600);

    fn sessions(secret: &str, ttl: Duration) -> web::Data<Sessions> {
        web::Data::new(Sessions::new(
            SessionStore::new(None),
            &SecretString::from(secret.repeat(64)),
            false,
            ttl,
        ))
    }

    fn person(name: &str) -> Person {
        Person {
            id: UserId(u64::MAX),
            username: name.to_owned(),
            global_name: Some(name.to_owned()),
            avatar: Some("a_0123456789abcdef0123456789abcdef".to_owned()),
        }
    }

    fn memberships(count: u64) -> Vec<Membership> {
        (0..count).map(|n| Membership { guild: GuildId(u64::MAX - n), manager: true }).collect()
    }

    /// Runs `act` on the session of a request that brings `cookie`; the answer's cookie, if it sets one.
    async fn visit(
        sessions: &web::Data<Sessions>,
        cookie: Option<&Cookie<'static>>,
        act: impl Fn(&Sessions, Session) -> HttpResponse + Clone + 'static,
    ) -> (u16, Option<Cookie<'static>>) {
        let handler = move |session: Session, sessions: web::Data<Sessions>| {
            let answer = act(&sessions, session);
            async move { answer }
        };
        let app = App::new()
            .app_data(sessions.clone())
            .wrap(sessions.middleware())
            .default_service(web::to(handler));
        let app = init_service(app).await;
        let mut request = TestRequest::get();
        if let Some(cookie) = cookie {
            // A browser sends name and value alone, as they came.
            request = request.insert_header(("Cookie", cookie.stripped().encoded().to_string()));
        }
        let response = call_service(&app, request.to_request()).await;
        let cookie = response.response().cookies().next().map(Cookie::into_owned);
        (response.status().as_u16(), cookie)
    }

    async fn sign_in(sessions: &web::Data<Sessions>) -> Cookie<'static> {
        let start = |sessions: &Sessions, session: Session| {
            sessions.start(&session, person("ada"), memberships(1)).unwrap();
            HttpResponse::Ok().finish()
        };
        visit(sessions, None, start).await.1.unwrap()
    }

    fn whoami(sessions: &Sessions, session: Session) -> HttpResponse {
        sessions.read(&session).map_or_else(|error| error.error_response(), |_| HttpResponse::Ok().finish())
    }

    #[actix_web::test]
    async fn the_largest_session_fits_into_a_cookie() {
        let sessions = sessions("s", TTL);
        for name in ["\"".repeat(32), "\u{1f980}".repeat(32), "\\".repeat(32)] {
            let start = move |sessions: &Sessions, session: Session| {
                sessions.start(&session, person(&name), memberships(1000)).unwrap();
                let return_to = format!("/{}", "x".repeat(super::super::return_to::MAX_RETURN_TO_BYTES - 1));
                sessions.begin(&session, "s".repeat(22), "v".repeat(43), return_to).unwrap();
                HttpResponse::Ok().finish()
            };
            let cookie = visit(&sessions, None, start).await.1.unwrap();
            let bytes = cookie.stripped().encoded().to_string().len();
            // Chrome counts name and value together. https://httpwg.org/specs/rfc6265.html#implementation-limits
            assert!(bytes + "__Host-".len() <= 4096, "{bytes} bytes");
            assert_eq!(visit(&sessions, Some(&cookie), whoami).await.0, 200);
        }
    }

    #[actix_web::test]
    async fn only_an_untouched_unexpired_unended_session_of_ours_is_let_in() {
        let ours = sessions("s", TTL);
        let cookie = sign_in(&ours).await;
        assert_eq!(visit(&ours, Some(&cookie), whoami).await.0, 200);
        assert_eq!(visit(&ours, None, whoami).await.0, 401);

        let mut tampered = cookie.value().to_owned();
        let last = tampered.pop().unwrap();
        tampered.push(if last == 'A' { 'B' } else { 'A' });
        let foreign = sign_in(&sessions("x", TTL)).await;
        let expired = sign_in(&sessions("s", Duration::ZERO)).await;
        let values = [&tampered, "", "%", "e30", "{}", foreign.value(), expired.value()];
        for value in values {
            let cookie = Cookie::new("guildstream_session", value.to_owned());
            assert_eq!(visit(&ours, Some(&cookie), whoami).await.0, 401, "{value:?}");
        }

        let end = |sessions: &Sessions, session: Session| {
            assert!(sessions.end(&session).is_some());
            session.purge();
            HttpResponse::Ok().finish()
        };
        let removal = visit(&ours, Some(&cookie), end).await.1.unwrap();
        assert_eq!(removal.value(), "");
        assert_eq!(visit(&ours, Some(&cookie), whoami).await.0, 401, "a copy of an ended session's cookie");
    }

    #[actix_web::test]
    async fn a_cookie_is_good_under_its_own_name_alone() {
        let secret = SecretString::from("s".repeat(64));
        let https = web::Data::new(Sessions::new(SessionStore::new(None), &secret, true, TTL));
        let plain = sign_in(&sessions("s", TTL)).await;
        let renamed = Cookie::new("__Host-guildstream_session", plain.value().to_owned());
        assert_eq!(visit(&https, Some(&renamed), whoami).await.0, 401);
        assert_eq!(visit(&https, Some(&plain), whoami).await.0, 401);
        let value = sign_in(&https).await.value().to_owned();
        let renamed = Cookie::new("guildstream_session", value);
        assert_eq!(visit(&sessions("s", TTL), Some(&renamed), whoami).await.0, 401);
    }

    #[actix_web::test]
    async fn every_byte_of_the_secret_counts() {
        let sessions = |secret: &str| {
            let store = SessionStore::new(None);
            web::Data::new(Sessions::new(store, &SecretString::from(secret.to_owned()), false, TTL))
        };
        let begin = "the same beginning of sixty-four bytes and more ".repeat(2);
        let cookie = sign_in(&sessions(&format!("{begin}a"))).await;
        assert_eq!(visit(&sessions(&format!("{begin}a")), Some(&cookie), whoami).await.0, 200);
        assert_eq!(visit(&sessions(&format!("{begin}b")), Some(&cookie), whoami).await.0, 401);
    }

    #[actix_web::test]
    async fn a_sign_in_is_answered_once_and_only_in_the_browser_that_began_it() {
        let sessions = sessions("s", TTL);
        let begin = |sessions: &Sessions, session: Session| {
            sessions.begin(&session, "state".into(), "verifier".into(), "/".into()).unwrap();
            HttpResponse::Ok().finish()
        };
        let take = |state: &'static str| {
            move |sessions: &Sessions, session: Session| {
                let taken = sessions.take_pending(&session, state);
                taken.map_or_else(|error| error.error_response(), |_| HttpResponse::Ok().finish())
            }
        };
        let cookie = visit(&sessions, None, begin).await.1.unwrap();
        assert_eq!(visit(&sessions, None, take("state")).await.0, 400, "another browser");
        assert_eq!(visit(&sessions, Some(&cookie), take("forged")).await.0, 400, "another state");
        assert_eq!(visit(&sessions, Some(&cookie), take("state")).await.0, 200);
        assert_eq!(visit(&sessions, Some(&cookie), take("state")).await.0, 400, "the same again");
    }

    #[actix_web::test]
    async fn signing_in_again_ends_the_session_before() {
        let sessions = sessions("s", TTL);
        let first = sign_in(&sessions).await;
        let again = |sessions: &Sessions, session: Session| {
            let (now, before) = sessions.start(&session, person("ada"), memberships(1)).unwrap();
            assert_ne!(now.sid, before.unwrap().sid);
            HttpResponse::Ok().finish()
        };
        let second = visit(&sessions, Some(&first), again).await.1.unwrap();
        assert_eq!(visit(&sessions, Some(&first), whoami).await.0, 401);
        assert_eq!(visit(&sessions, Some(&second), whoami).await.0, 200);
    }
}
