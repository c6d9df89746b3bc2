//! Discord's error answers.
//!
//! <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>

use std::borrow::Cow;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde_json::{Value, json};

/// A refused call: an HTTP status, Discord's own code and its words for it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status}: {message} ({code})")]
pub(crate) struct ApiError {
    status: StatusCode,
    code: u32,
    message: Cow<'static, str>,
    /// The tree of what is wrong with each field, for code 50035.
    errors: Option<Value>,
}

/// Declares the errors once: name, status, code, words.
macro_rules! errors {
    ($($name:ident = $status:ident, $code:literal, $message:literal;)*) => {
        impl ApiError {
            $(pub(crate) const $name: Self = Self {
                status: StatusCode::$status,
                code: $code,
                message: Cow::Borrowed($message),
                errors: None,
            };)*
        }
    };
}

errors! {
    UNAUTHORIZED = UNAUTHORIZED, 0, "401: Unauthorized";
    NOT_FOUND = NOT_FOUND, 0, "404: Not Found";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, 0, "405: Method Not Allowed";
    UNKNOWN_CHANNEL = NOT_FOUND, 10003, "Unknown Channel";
    UNKNOWN_GUILD = NOT_FOUND, 10004, "Unknown Guild";
    UNKNOWN_MEMBER = NOT_FOUND, 10007, "Unknown Member";
    UNKNOWN_MESSAGE = NOT_FOUND, 10008, "Unknown Message";
    UNKNOWN_OVERWRITE = NOT_FOUND, 10009, "Unknown Overwrite";
    UNKNOWN_ROLE = NOT_FOUND, 10011, "Unknown Role";
    UNKNOWN_USER = NOT_FOUND, 10013, "Unknown User";
    UNKNOWN_EMOJI = BAD_REQUEST, 10014, "Unknown Emoji";
    UNKNOWN_BAN = NOT_FOUND, 10026, "Unknown Ban";
    UNKNOWN_APPLICATION = NOT_FOUND, 10002, "Unknown Application";
    UNKNOWN_COMMAND = NOT_FOUND, 10063, "Unknown application command";
    UNKNOWN_VOICE_STATE = NOT_FOUND, 10065, "Unknown Voice State";
    TOO_MANY_ROLES = BAD_REQUEST, 30005, "Maximum number of guild roles reached (250)";
    TOO_MANY_REACTIONS = BAD_REQUEST, 30010, "Maximum number of reactions reached (20)";
    TOO_MANY_CHANNELS = BAD_REQUEST, 30013, "Maximum number of server channels reached (500)";
    TOO_MANY_COMMANDS = BAD_REQUEST, 30032, "Maximum number of application commands reached (100)";
    TOO_LARGE = PAYLOAD_TOO_LARGE, 40005, "Request entity too large";
    NOT_IN_VOICE = BAD_REQUEST, 40032, "Target user is not connected to voice.";
    MISSING_ACCESS = FORBIDDEN, 50001, "Missing Access";
    NOT_YOUR_MESSAGE = FORBIDDEN, 50005, "Cannot edit a message authored by another user";
    EMPTY_MESSAGE = BAD_REQUEST, 50006, "Cannot send an empty message";
    MISSING_PERMISSIONS = FORBIDDEN, 50013, "Missing Permissions";
    WRONG_CHANNEL_TYPE = BAD_REQUEST, 50024, "Cannot execute action on this channel type";
    INVALID_ROLE = BAD_REQUEST, 50028, "Invalid Role";
    TOO_OLD_FOR_BULK = BAD_REQUEST, 50034, "You can only bulk delete messages that are under 14 days old.";
    THREAD_ARCHIVED = BAD_REQUEST, 50083, "Thread is archived";
    INVALID_JSON = BAD_REQUEST, 50109, "The request body contains invalid JSON.";
    THREAD_EXISTS = BAD_REQUEST, 160004, "A thread has already been created for this message";
    UNSUPPORTED_MEDIA = UNSUPPORTED_MEDIA_TYPE, 50035, "The sandbox takes no uploads: send application/json";
}

impl ApiError {
    /// Code 50035 with the tree that says which field is wrong and how.
    pub(crate) fn invalid_form(errors: Value) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: 50035,
            message: Cow::Borrowed("Invalid Form Body"),
            errors: Some(errors),
        }
    }

    /// The answer this error is.
    pub(crate) fn into_response(self) -> HttpResponse {
        self.error_response()
    }

    /// An error that a fault asked for.
    pub(crate) fn on_purpose(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let words = status.canonical_reason().unwrap_or("Error");
        Self { status, code: 0, message: Cow::Owned(format!("{}: {words}", status.as_u16())), errors: None }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = json!({ "message": self.message, "code": self.code });
        if let Some(errors) = &self.errors {
            body["errors"] = errors.clone();
        }
        HttpResponse::build(self.status).json(body)
    }
}

/// A path or query that names no snowflake where one belongs.
pub(crate) fn invalid_path() -> ApiError {
    let message = "Value in the path or query is not a snowflake or a number in range.";
    ApiError::invalid_form(json!({ "_errors": [{ "code": "NUMBER_TYPE_COERCE", "message": message }] }))
}
