//! Sign-in through Discord: the OAuth2 authorization code grant with PKCE. The access token answers two questions (who
//! is it, which guilds is he or she in) and is then forgotten.
//! <https://discord.com/developers/docs/topics/oauth2#authorization-code-grant>

use std::time::Duration;

use guildstream_actors::{
    permissions::Permissions,
    snowflake::{GuildId, UserId},
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, TokenResponse, TokenUrl,
    basic::BasicClient, reqwest,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::signed_in::{Membership, Person};

/// The longest a sign-in waits for one answer of Discord.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A member of 200 guilds, the most there can be, is told in far less.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Discord's names are no longer.
const MAX_NAME_CHARS: usize = 32;
/// An avatar's hash is 32 or 34 bytes.
const MAX_AVATAR_BYTES: usize = 64;

/// Discord as the one who says who somebody is.
#[derive(Clone, Debug)]
pub struct DiscordOauth {
    client: BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>,
    http: reqwest::Client,
    api: String,
}

/// A sign-in that has been begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser has to go.
    pub authorize_url: Url,
    /// Comes back with the answer.
    pub state: String,
    /// Proves that the answer is redeemed by who asked the question.
    pub verifier: String,
}

/// Why Discord did not say who it is.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// A setting cannot be used.
    #[error("DISCORD_URL or PUBLIC_URL cannot be used for signing in: {0}")]
    Settings(#[from] url::ParseError),
    /// The HTTP client cannot be made.
    #[error("the client for discord cannot be made: {0}")]
    Client(reqwest::Error),
    /// Discord does not know the code: it was made up, used before, or waited too long.
    #[error("discord did not accept the sign-in: {0}")]
    Refused(String),
    /// Discord does not accept our client id or secret.
    #[error(
        "discord does not accept this application: check DISCORD_CLIENT_ID and DISCORD_CLIENT_SECRET ({0})"
    )]
    Application(String),
    /// Discord cannot be reached, or its answer cannot be understood.
    #[error("discord did not answer the sign-in: {0}")]
    Unavailable(String),
}

impl DiscordOauth {
    /// `discord_url` is the origin of Discord (or the sandbox), `public_url` our own.
    ///
    /// # Errors
    ///
    /// [`OauthError::Settings`] and [`OauthError::Client`].
    pub fn new(
        discord_url: &Url,
        public_url: &Url,
        client_id: &str,
        client_secret: &SecretString,
    ) -> Result<Self, OauthError> {
        let discord = discord_url.as_str().trim_end_matches('/');
        let api = format!("{discord}/api/v10");
        let client = BasicClient::new(ClientId::new(client_id.to_owned()))
            .set_client_secret(ClientSecret::new(client_secret.expose_secret().to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(format!("{discord}/oauth2/authorize"))?)
            .set_token_uri(TokenUrl::new(format!("{api}/oauth2/token"))?)
            .set_redirect_uri(RedirectUrl::from_url(public_url.join("/auth/callback")?));
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_TIMEOUT)
            .connect_timeout(ANSWER_TIMEOUT / 2)
            .user_agent(concat!("guildstream/", env!("CARGO_PKG_VERSION")));
        if is_loopback(discord_url) {
            // The sandbox is never behind the proxy that the environment may name.
            http = http.no_proxy();
        }
        Ok(Self { client, http: http.build().map_err(OauthError::Client)?, api })
    }

    /// Begins a sign-in. `login_hint` names a demo user of the sandbox.
    #[must_use]
    pub fn begin(&self, login_hint: Option<&str>) -> Begun {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = self
            .client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(["identify", "guilds"].map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge);
        if let Some(hint) = login_hint {
            request = request.add_extra_param("login_hint", hint.to_owned());
        }
        let (authorize_url, state) = request.url();
        Begun { authorize_url, state: state.into_secret(), verifier: verifier.into_secret() }
    }

    /// Redeems the code Discord sent with the browser: who it is, and which of the `configured` guilds he or she is in.
    ///
    /// # Errors
    ///
    /// [`OauthError`] when Discord refuses or cannot be understood.
    pub async fn finish(
        &self,
        code: String,
        verifier: String,
        configured: &[GuildId],
    ) -> Result<(Person, Vec<Membership>), OauthError> {
        let token = self
            .client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&self.http)
            .await
            .map_err(token_error)?;
        let token = token.access_token().secret();
        let user: CurrentUser = self.get("/users/@me", token).await?;
        let guilds: Vec<CurrentUserGuild> = self.get("/users/@me/guilds", token).await?;
        let guilds = guilds.into_iter().filter(|guild| configured.contains(&guild.id)).map(Membership::from);
        Ok((user.into(), guilds.collect()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, token: &str) -> Result<T, OauthError> {
        let unavailable = |error: reqwest::Error| OauthError::Unavailable(error.to_string());
        let request = self.http.get(format!("{}{path}", self.api)).bearer_auth(token);
        let mut response = request.send().await.map_err(unavailable)?;
        if !response.status().is_success() {
            return Err(OauthError::Unavailable(format!("GET {path} was answered {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(OauthError::Unavailable(format!("the answer to GET {path} is too large")));
            }
        }
        serde_json::from_slice(&body).map_err(|error| {
            OauthError::Unavailable(format!("the answer to GET {path} is not understood: {error}"))
        })
    }
}

/// <https://discord.com/developers/docs/resources/user#user-object>
#[derive(Deserialize)]
struct CurrentUser {
    id: UserId,
    username: String,
    #[serde(default)]
    global_name: Option<String>,
    #[serde(default)]
    avatar: Option<String>,
}

/// <https://discord.com/developers/docs/resources/user#get-current-user-guilds>
#[derive(Deserialize)]
struct CurrentUserGuild {
    id: GuildId,
    #[serde(default)]
    owner: bool,
    /// The user's permissions in the guild, without those of channels.
    #[serde(default)]
    permissions: Option<String>,
}

impl From<CurrentUser> for Person {
    fn from(user: CurrentUser) -> Self {
        let short = |name: String| name.chars().take(MAX_NAME_CHARS).collect();
        Self {
            id: user.id,
            username: short(user.username),
            global_name: user.global_name.map(short),
            avatar: user.avatar.filter(|hash| hash.len() <= MAX_AVATAR_BYTES),
        }
    }
}

impl From<CurrentUserGuild> for Membership {
    fn from(guild: CurrentUserGuild) -> Self {
        // What does not parse grants nothing.
        let held =
            guild.permissions.and_then(|bits| bits.parse().ok()).map_or(Permissions::NONE, Permissions);
        let manages =
            [Permissions::ADMINISTRATOR, Permissions::MANAGE_GUILD].iter().any(|one| held.contains(*one));
        Self { guild: guild.id, manager: guild.owner || manages }
    }
}

type TokenError =
    RequestTokenError<oauth2::HttpClientError<reqwest::Error>, oauth2::basic::BasicErrorResponse>;

fn token_error(error: TokenError) -> OauthError {
    use oauth2::basic::BasicErrorResponseType as Kind;
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            Kind::InvalidClient | Kind::UnauthorizedClient => OauthError::Application(answer.to_string()),
            _ => OauthError::Refused(answer.to_string()),
        },
        RequestTokenError::Request(error) => OauthError::Unavailable(chain(&error)),
        RequestTokenError::Parse(error, _) => OauthError::Unavailable(chain(&error)),
        RequestTokenError::Other(error) => OauthError::Unavailable(error),
    }
}

/// The error with its causes: the outermost alone says only that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
