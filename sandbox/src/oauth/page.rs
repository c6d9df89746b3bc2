//! The page on which one chooses who to be. It needs no script.

use std::fmt::Write;

use actix_web::{HttpResponse, HttpResponseBuilder, http::header};

use super::{authorize::ConsentError, grants::Scope};
use crate::world::{PEOPLE, Person, user::User};

const STYLE: &str = include_str!("../../page/authorize.css");

/// No script, nothing from elsewhere, and no frame around it: a sign-in page must not be clicked by accident.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(crate) async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(STYLE)
}

/// The page with a card per person.
pub(crate) fn choose(ticket: &str, scopes: &[Scope], remembered: Option<Person>) -> HttpResponse {
    let mut cards = String::new();
    for person in PEOPLE {
        let avatar = avatar(person);
        let last = remembered.is_some_and(|last| last.id == person.id);
        let note = if last { " <small>last time</small>" } else { "" };
        let _ = write!(
            cards,
            "<li><a href=\"/oauth2/approve?ticket={ticket}&amp;as={login}\"><img src=\"{avatar}\" alt=\"\" width=\"48\" \
             height=\"48\"><span><strong>{name}</strong>{note}<br>{what}</span></a></li>",
            login = person.login,
            name = person.name,
            what = person.what,
        );
    }
    let wishes: String = scopes.iter().map(|scope| format!("<li>{}</li>", wish(*scope))).collect();
    let main = format!(
        "<h1>Sign in as</h1><ul class=\"people\">{cards}</ul>\
         <section><h2>The application will be able to</h2><ul class=\"scopes\">{wishes}</ul></section>\
         <p><a class=\"cancel\" href=\"/oauth2/deny?ticket={ticket}\">Cancel</a></p>"
    );
    page(HttpResponse::Ok(), "Sign in", &main)
}

/// The page that says what is wrong with a request.
pub(crate) fn error(error: &ConsentError) -> HttpResponse {
    let main =
        format!("<h1>This sign-in cannot go on</h1><p class=\"error\">{}</p>", escape(&error.to_string()));
    page(HttpResponse::BadRequest(), "Cannot sign in", &main)
}

fn page(mut response: HttpResponseBuilder, title: &str, main: &str) -> HttpResponse {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · sandbox</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <link rel=\"stylesheet\" href=\"/oauth2/authorize.css\"></head>\
         <body><main>{main}</main><footer>This is a local sandbox, not Discord. Nobody here is real.</footer></body></html>"
    );
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(html)
}

fn wish(scope: Scope) -> &'static str {
    match scope {
        Scope::Identify | Scope::Openid => "see your username and avatar",
        Scope::Email => "see your email address (the sandbox has none)",
        Scope::Guilds => "know which guilds you are in",
        Scope::GuildsMembersRead => "read your membership in those guilds",
        Scope::Connections => "see your connections (the sandbox has none)",
    }
}

fn avatar(person: Person) -> String {
    let user = User { id: person.id, username: String::new(), global_name: None, bot: false };
    format!("/avatars/{}/{}.png?size=96", person.id, user.avatar())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_request_stays_text() {
        let shown = escape("<img src=x onerror='alert(\"&\")'>");
        assert_eq!(shown, "&lt;img src=x onerror=&#39;alert(&quot;&amp;&quot;)&#39;&gt;");
    }
}
