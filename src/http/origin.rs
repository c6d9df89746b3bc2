//! Who may make a browser act for its user. A request that changes something must say that it comes from our page or
//! one of an allowed origin, carry a header that no form can send, and be JSON.
//! <https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html>

use actix_cors::Cors;
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderName},
    },
    middleware::Next,
    web,
};
use url::{Origin, Url};

use super::{error::ApiError, refusals::REQUEST_ID};

const OWN_HEADER: HeaderName = HeaderName::from_static("x-guildstream");

/// The origins whose pages may act for a signed-in user.
#[derive(Clone, Debug)]
pub struct AllowedOrigins {
    ours: Origin,
    others: Vec<Origin>,
}

impl AllowedOrigins {
    /// Ours is that of `PUBLIC_URL`, the others those of `CORS_ORIGINS`.
    #[must_use]
    pub fn new(public_url: &Url, others: impl IntoIterator<Item = Origin>) -> Self {
        Self { ours: public_url.origin(), others: others.into_iter().collect() }
    }

    /// Those of `CORS_ORIGINS`.
    #[must_use]
    pub fn others(&self) -> &[Origin] {
        &self.others
    }

    /// Lets pages of the other origins read our answers, with the cookie.
    pub fn cors(&self) -> Cors {
        let cors = Cors::default()
            .allowed_methods([Method::GET, Method::HEAD, Method::POST])
            .allowed_headers([header::CONTENT_TYPE, OWN_HEADER, HeaderName::from_static("last-event-id")])
            .expose_headers([header::RETRY_AFTER, REQUEST_ID])
            .supports_credentials()
            .max_age(600);
        self.others.iter().fold(cors, |cors, origin| cors.allowed_origin(&origin.ascii_serialization()))
    }

    fn check(&self, request: &HttpRequest) -> Result<(), ApiError> {
        let headers = request.headers();
        let mut origins = headers.get_all(header::ORIGIN);
        let origin = match (origins.next(), origins.next()) {
            (Some(origin), None) => origin.to_str().unwrap_or_default(),
            (None, _) => return Err(ApiError::ForeignRequest("the header Origin is missing".into())),
            (Some(_), Some(_)) => {
                return Err(ApiError::ForeignRequest("there are several headers Origin".into()));
            }
        };
        if !std::iter::once(&self.ours)
            .chain(&self.others)
            .any(|allowed| allowed.ascii_serialization() == origin)
        {
            let shown: String = origin.chars().take(64).collect();
            let message = format!("the origin {shown:?} is not allowed: name it in CORS_ORIGINS");
            return Err(ApiError::ForeignRequest(message.into()));
        }
        if headers.get(OWN_HEADER).is_none_or(|value| value != "1") {
            return Err(ApiError::ForeignRequest("the header X-Guildstream: 1 is missing".into()));
        }
        let has_body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        let is_json = request.content_type().eq_ignore_ascii_case("application/json");
        if !is_json && (has_body || headers.contains_key(header::CONTENT_TYPE)) {
            return Err(ApiError::Invalid(
                "the body is not JSON: send Content-Type: application/json".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The middleware of every resource that does something.
///
/// # Errors
///
/// Passes on those of inner middleware.
pub async fn own_pages_only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let allowed =
        request.app_data::<web::Data<AllowedOrigins>>().expect("every role that has POST routes sets it");
    if request.method() == Method::POST
        && let Err(refusal) = allowed.check(request.request())
    {
        return Ok(request.error_response(refusal).map_into_boxed_body());
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{ResponseError, http::StatusCode, test::TestRequest};

    fn status(headers: &[(&'static str, &'static str)]) -> StatusCode {
        let public_url = Url::parse("http://localhost:3000").unwrap();
        let other = Url::parse("https://app.example").unwrap().origin();
        let request =
            headers.iter().fold(TestRequest::post(), |request, header| request.append_header(*header));
        let answer = AllowedOrigins::new(&public_url, [other]).check(&request.to_http_request());
        answer.map_or_else(|refusal| refusal.status_code(), |()| StatusCode::OK)
    }

    #[test]
    fn only_pages_of_allowed_origins_with_our_header_and_json_may_act() {
        const OURS: (&str, &str) = ("Origin", "http://localhost:3000");
        const OWN: (&str, &str) = ("X-Guildstream", "1");
        const JSON: (&str, &str) = ("Content-Type", "application/json");
        const BODY: (&str, &str) = ("Content-Length", "2");
        let cases: [(&[_], u16); 16] = [
            (&[OURS, OWN, JSON, BODY], 200),
            (&[OURS, OWN], 200),
            (&[("Origin", "https://app.example"), OWN, JSON], 200),
            (&[OURS, OWN, ("Content-Type", "application/json; charset=utf-8"), BODY], 200),
            (&[OWN, JSON, BODY], 403),
            (&[("Origin", "null"), OWN, JSON], 403),
            (&[("Origin", "http://localhost:3001"), OWN, JSON], 403),
            (&[("Origin", "https://localhost:3000"), OWN, JSON], 403),
            (&[("Origin", "http://localhost:3000.evil.example"), OWN, JSON], 403),
            (&[("Origin", "https://evil.example"), OWN, JSON], 403),
            (&[OURS, ("Origin", "https://evil.example"), OWN, JSON], 403),
            (&[OURS, JSON, BODY], 403),
            (&[OURS, ("X-Guildstream", "0"), JSON], 403),
            (&[OURS, OWN, BODY], 400),
            (&[OURS, OWN, ("Content-Type", "text/plain"), BODY], 400),
            (&[OURS, OWN, ("Content-Type", "application/x-www-form-urlencoded")], 400),
        ];
        for (headers, expected) in cases {
            assert_eq!(status(headers).as_u16(), expected, "{headers:?}");
        }
    }
}
