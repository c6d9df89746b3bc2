//! Headers that tell browsers what our answers may not be used for.
//! <https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html>

use actix_web::{http::header, middleware::DefaultHeaders};
use url::Url;

/// The headers of every answer. Images may also come from where Discord keeps avatars.
#[must_use]
pub fn security_headers(public_url: &Url, discord_url: &Url) -> DefaultHeaders {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; \
         img-src 'self' data: https://cdn.discordapp.com {discord}; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        discord = discord_url.origin().ascii_serialization(),
    );
    let headers = DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, policy))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        // What a route does not say may be kept, is not.
        .add((header::CACHE_CONTROL, "no-store"));
    if public_url.scheme() == "https" {
        headers.add((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
    } else {
        headers
    }
}
