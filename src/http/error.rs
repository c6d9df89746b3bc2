//! Why a request is refused: one type for all routes, with the status, the code and the words of each refusal.

use std::borrow::Cow;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A refusal, as the caller is told it. What only the operator may know goes to the log.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request cannot be understood; the text says what is wrong with it.
    #[error("{0}")]
    Invalid(String),
    /// The sign-in was not begun in this browser, took too long, or was answered before.
    #[error("this sign-in was begun elsewhere, took too long or is used up: begin again at /auth/login")]
    SignInExpired,
    /// No session, or one that has expired or ended.
    #[error("no session: sign in at /auth/login")]
    NoSession,
    /// A bearer token is missing or wrong.
    #[error("the bearer token is missing or wrong")]
    InvalidToken,
    /// The signed-in user is in none of the guilds.
    #[error("you are a member of none of this service's guilds")]
    NotAMember,
    /// The user may not do this in Discord.
    #[error("you need the permission {0} in Discord")]
    MissingPermission(&'static str),
    /// The request does not come from a page that may act for the user.
    #[error("{0}")]
    ForeignRequest(Cow<'static, str>),
    /// There is nothing at this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// No such command, or one that browsers may not ask for.
    #[error("unknown command {0:?}")]
    UnknownCommand(String),
    /// The path exists, the method does not.
    #[error("use {0} here")]
    MethodNotAllowed(&'static str),
    /// The body is larger than this route takes.
    #[error("the body is too large: at most {0} bytes")]
    TooLarge(usize),
    /// The body did not arrive in this many seconds.
    #[error("the body did not arrive in {0} s")]
    TooSlow(u64),
    /// Too many requests; the seconds to wait.
    #[error("too many requests: try again in {0} s")]
    RateLimited(u64),
    /// Something this needs is not there now.
    #[error("{0}")]
    Unavailable(String),
    /// The gateway's or Discord's answer to a command.
    #[error("{message}")]
    Command {
        /// The status that stands for the code.
        status: StatusCode,
        /// The code of the link's error frame.
        code: Cow<'static, str>,
        /// Its message.
        message: String,
        /// The command's own request id.
        request_id: Option<String>,
        /// Seconds until Discord takes the next one.
        retry_after_s: Option<f64>,
        /// Discord's error, as it came.
        discord: Option<Box<RawValue>>,
    },
    /// Our fault; the cause is for the log alone.
    #[error("something went wrong here: tell the operator the request id")]
    Internal(anyhow::Error),
    /// A refusal made by the framework.
    #[error("{1}")]
    Other(StatusCode, String),
}

/// Every answer that is not a success.
#[derive(Serialize, ToSchema)]
pub(super) struct Refusal<'a> {
    error: RefusalBody<'a>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefusalBody<'a> {
    /// For programs.
    #[schema(example = "NO_SESSION")]
    code: &'a str,
    /// For people.
    message: String,
    /// Names the request in the log; for a command its own `requestId`.
    request_id: &'a str,
    /// What Discord answered to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DiscordRefusal>)]
    discord: Option<&'a RawValue>,
}

/// What Discord answered to a command that it refused.
/// <https://discord.com/developers/docs/reference#error-messages>
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what the gateway sends")]
struct DiscordRefusal {
    /// The HTTP status.
    status: u16,
    /// Discord's own code, such as 50013.
    #[schema(required)]
    code: Option<i64>,
    message: String,
    /// Which parts of the payload it did not like.
    #[schema(value_type = Option<Object>)]
    errors: Option<()>,
}

impl ApiError {
    /// The word a program can act on.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Invalid(_) => "INVALID",
            Self::SignInExpired => "SIGN_IN_EXPIRED",
            Self::NoSession => "NO_SESSION",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::NotAMember => "NOT_A_MEMBER",
            Self::MissingPermission(_) => "MISSING_PERMISSIONS",
            Self::ForeignRequest(_) => "FOREIGN_REQUEST",
            Self::NotFound => "NOT_FOUND",
            Self::UnknownCommand(_) => "UNKNOWN_COMMAND",
            Self::MethodNotAllowed(_) => "METHOD_NOT_ALLOWED",
            Self::TooLarge(_) => "TOO_LARGE",
            Self::TooSlow(_) => "TOO_SLOW",
            Self::RateLimited(_) => "RATE_LIMITED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Command { code, .. } => code,
            Self::Internal(_) => "INTERNAL",
            Self::Other(status, _) if status.is_server_error() => "INTERNAL",
            Self::Other(..) => "INVALID",
        }
    }

    /// What a refusal made by the framework says, without its insides.
    pub(super) fn from_response(status: StatusCode, error: Option<&actix_web::Error>) -> Self {
        match (status, error) {
            (StatusCode::NOT_FOUND, _) => Self::NotFound,
            (status, Some(error)) if status.is_client_error() => Self::Other(status, error.to_string()),
            (status, _) => {
                Self::Other(status, status.canonical_reason().unwrap_or("refused").to_ascii_lowercase())
            }
        }
    }

    /// The body as JSON.
    pub(super) fn body(&self, request_id: &str) -> String {
        let (own_id, discord) = match self {
            Self::Command { request_id, discord, .. } => (request_id.as_deref(), discord.as_deref()),
            _ => (None, None),
        };
        let request_id = own_id.unwrap_or(request_id);
        let error = RefusalBody { code: self.code(), message: self.to_string(), request_id, discord };
        serde_json::to_string(&Refusal { error }).expect("strings and raw JSON always serialise")
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::SignInExpired => StatusCode::BAD_REQUEST,
            Self::NoSession | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::NotAMember | Self::MissingPermission(_) | Self::ForeignRequest(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownCommand(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Command { status, .. } | Self::Other(status, _) => *status,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Status and headers; [`super::refusals`] writes the body, because only it knows the request's id.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::MethodNotAllowed(allow) => response.insert_header((header::ALLOW, *allow)),
            Self::RateLimited(seconds) => response.insert_header((header::RETRY_AFTER, *seconds)),
            // Retry-After counts whole seconds (RFC 9110, 10.2.3); Discord's may have a fraction.
            Self::Command { retry_after_s: Some(seconds), .. } => {
                response.insert_header((header::RETRY_AFTER, format!("{:.0}", seconds.max(0.0).ceil())))
            }
            Self::InvalidToken => response.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
            _ => &mut response,
        };
        response.finish()
    }
}
