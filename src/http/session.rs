//! `GET /api/session`: who is signed in.

use actix_web::{HttpResponse, web};
use guildstream_actors::snowflake::{GuildId, UserId};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::{error::Refusal, web::WebState};
use crate::auth::signed_in::{Person, SignedIn};

/// Who is signed in, and until when.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionView {
    user: UserView,
    /// The configured guilds the user was in when signing in.
    guilds: Vec<GuildView>,
    /// Milliseconds since the Unix epoch.
    expires_at: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserView {
    #[schema(value_type = String)]
    id: UserId,
    username: String,
    #[schema(required)]
    global_name: Option<String>,
    /// An address, or null for Discord's default.
    #[schema(required)]
    avatar: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GuildView {
    #[schema(value_type = String)]
    id: GuildId,
    /// Whether the user had Manage Server when signing in.
    manager: bool,
}

/// The signed-in user, their guilds, and when the session ends.
#[utoipa::path(get, path = "/api/session", operation_id = "session", tag = "session", security(("session" = [])), responses(
    (status = 200, body = SessionView),
    (status = 401, body = Refusal, description = "no session, or one that expired or ended"),
    (status = 503, body = Refusal, description = "sessions cannot be read now"),
))]
pub(super) async fn show(signed_in: SignedIn, state: web::Data<WebState>) -> HttpResponse {
    HttpResponse::Ok().json(SessionView {
        guilds: signed_in.guilds.iter().map(|it| GuildView { id: it.guild, manager: it.manager }).collect(),
        expires_at: signed_in.exp.saturating_mul(1000),
        user: UserView::new(signed_in.user, &state.config.discord_url),
    })
}

impl UserView {
    fn new(person: Person, discord_url: &Url) -> Self {
        // A Discord of another make, such as the sandbox, keeps the pictures itself. The page takes it from here.
        let images = match discord_url.host_str() {
            Some("discord.com") => "https://cdn.discordapp.com".to_owned(),
            _ => discord_url.origin().ascii_serialization(),
        };
        // https://discord.com/developers/docs/reference#image-formatting
        let avatar = person.avatar.map(|hash| {
            let kind = if hash.starts_with("a_") { "gif" } else { "png" };
            format!("{images}/avatars/{}/{hash}.{kind}", person.id)
        });
        Self { id: person.id, username: person.username, global_name: person.global_name, avatar }
    }
}
