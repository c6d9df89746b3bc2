//! Who calls: the bot with its token, or a person through an application they authorised.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};

use super::error::ApiError;
use crate::{config::BOT_TOKEN, discord::Discord, oauth::grants::Scope, world::id::Id};

/// Proof that the bot calls: only handlers with this argument do what bots may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bot;

/// Anybody with a valid token.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Bot,
    /// A person, and what they allowed the application to see.
    Person {
        id: Id,
        scopes: Vec<Scope>,
    },
}

impl Caller {
    /// Refuses people who have not granted `scope`; the bot needs none.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        match self {
            Self::Person { scopes, .. } if !scopes.contains(&scope) => Err(ApiError::UNAUTHORIZED),
            _ => Ok(()),
        }
    }

    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (kind, token) = header.and_then(|value| value.split_once(' ')).ok_or(ApiError::UNAUTHORIZED)?;
        match kind {
            "Bot" if token == BOT_TOKEN => Ok(Self::Bot),
            "Bearer" => {
                let discord = request.app_data::<web::Data<Discord>>().ok_or(ApiError::UNAUTHORIZED)?;
                let grant = discord.with(|inner| inner.grants.of_access_token(token));
                grant.map(|(id, scopes)| Self::Person { id, scopes }).ok_or(ApiError::UNAUTHORIZED)
            }
            _ => Err(ApiError::UNAUTHORIZED),
        }
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl FromRequest for Bot {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match Caller::of(request) {
            Ok(Caller::Bot) => Ok(Self),
            _ => Err(ApiError::UNAUTHORIZED),
        })
    }
}
