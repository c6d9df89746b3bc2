//! What a session says of the browser it belongs to, and the extractor by which routes ask for it.

use std::{
    future::{Ready, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix_session::SessionExt as _;
use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use guildstream_actors::snowflake::{GuildId, UserId};
use serde::{Deserialize, Serialize};

use super::{session::Sessions, session_store::EndedSession};
use crate::http::error::ApiError;

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// Names the session; new at every sign-in.
    pub sid: String,
    /// When it began, in seconds since the Unix epoch.
    pub iat: u64,
    /// When it ends, in seconds since the Unix epoch.
    pub exp: u64,
    /// Who signed in.
    pub user: Person,
    /// Those of the configured guilds the user was a member of when signing in.
    pub guilds: Vec<Membership>,
}

/// A Discord user, as the sign-in told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The user's id.
    pub id: UserId,
    /// The unique name.
    pub username: String,
    /// The name the user chose to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
    /// The hash of the avatar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
}

/// A guild the user is in. Written as its id, with a star if the user may manage it: a cookie is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Membership {
    /// The guild's id.
    pub guild: GuildId,
    /// Whether the user is its owner or has Administrator or Manage Server.
    pub manager: bool,
}

impl SignedIn {
    /// The session, as others hear of its end.
    #[must_use]
    pub fn ended(&self) -> EndedSession {
        EndedSession { sid: self.sid.clone(), exp: self.exp }
    }

    /// The ids of the guilds.
    #[must_use]
    pub fn guild_ids(&self) -> Vec<GuildId> {
        self.guilds.iter().map(|membership| membership.guild).collect()
    }

    /// When the session ends.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.exp)
    }

    /// Whether the user could manage one of the guilds when signing in.
    #[must_use]
    pub fn is_manager(&self) -> bool {
        self.guilds.iter().any(|membership| membership.manager)
    }
}

impl FromRequest for SignedIn {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let sessions = request.app_data::<web::Data<Sessions>>();
        ready(sessions.ok_or(ApiError::NoSession).and_then(|sessions| sessions.read(&request.get_session())))
    }
}

impl From<Membership> for String {
    fn from(membership: Membership) -> Self {
        format!("{}{}", membership.guild, if membership.manager { "*" } else { "" })
    }
}

impl TryFrom<String> for Membership {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = text.strip_suffix('*');
        Ok(Self { guild: id.unwrap_or(&text).parse()?, manager: id.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_membership_survives_its_text(id: u64, manager: bool) {
            let membership = Membership { guild: GuildId(id), manager };
            prop_assert_eq!(Membership::try_from(String::from(membership)), Ok(membership));
        }

        #[test]
        fn no_text_breaks_the_session_parser(text in "(?s).*") {
            let _ = Membership::try_from(text.clone());
            let _ = serde_json::from_str::<SignedIn>(&text);
        }
    }
}
