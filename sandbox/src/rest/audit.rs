//! What the audit log notes of the bot's deeds.
//!
//! <https://discord.com/developers/docs/resources/audit-log>

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::error::ApiError;

pub(crate) const GUILD_UPDATE: u8 = 1;
pub(crate) const CHANNEL_CREATE: u8 = 10;
pub(crate) const CHANNEL_UPDATE: u8 = 11;
pub(crate) const CHANNEL_DELETE: u8 = 12;
pub(crate) const OVERWRITE_CREATE: u8 = 13;
pub(crate) const OVERWRITE_UPDATE: u8 = 14;
pub(crate) const OVERWRITE_DELETE: u8 = 15;
pub(crate) const MEMBER_KICK: u8 = 20;
pub(crate) const MEMBER_BAN_ADD: u8 = 22;
pub(crate) const MEMBER_BAN_REMOVE: u8 = 23;
pub(crate) const MEMBER_UPDATE: u8 = 24;
pub(crate) const MEMBER_ROLE_UPDATE: u8 = 25;
pub(crate) const ROLE_CREATE: u8 = 30;
pub(crate) const ROLE_UPDATE: u8 = 31;
pub(crate) const ROLE_DELETE: u8 = 32;
pub(crate) const THREAD_CREATE: u8 = 110;
pub(crate) const THREAD_DELETE: u8 = 112;

/// Why the bot does what it does: the header `X-Audit-Log-Reason`, percent-encoded UTF-8.
#[derive(Debug)]
pub(crate) struct Reason(pub(crate) Option<String>);

impl FromRequest for Reason {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request.headers().get("X-Audit-Log-Reason").and_then(|value| value.to_str().ok());
        // A form's decoding, but with a plus that stays a plus.
        let decode = |text: &str| {
            let pair = format!("r={}", text.replace('+', "%2B").replace('&', "%26"));
            url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, reason)| reason.into_owned())
        };
        ready(Ok(Self(header.and_then(decode).map(|reason| reason.chars().take(512).collect()))))
    }
}
