//! Every refusal in one shape, `{"error":{"code","message","requestId"}}`, whoever made it: a handler, an extractor or
//! the framework. A person whose sign-in went wrong is shown a page instead.

use actix_web::{
    HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
};

use super::error::ApiError;

/// The header that names a request in answers and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What must be known of a request to word its refusal.
struct Asked {
    method_and_path: String,
    request_id: String,
    /// A browser's navigation to a sign-in route.
    by_a_person: bool,
}

/// The body of a refusal and its type.
#[derive(Clone)]
struct Body {
    content_type: &'static str,
    text: String,
}

/// The outermost middleware: names the request, and gives every refusal its body.
///
/// # Errors
///
/// Passes on those of inner middleware, which then answer in the same shape.
pub async fn refusals(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let asked = Asked::new(&request);
    match next.call(request).await {
        Ok(response) => {
            let (request, response) = response.map_into_boxed_body().into_parts();
            let body = asked.refusal(&response, response.error());
            Ok(ServiceResponse::new(request, dress(response, body, &asked.request_id)))
        }
        Err(mut error) => {
            let body = asked.refusal(&error.error_response(), Some(&error));
            error.add_response_mapper(move |response| dress(response, body.clone(), &asked.request_id));
            Err(error)
        }
    }
}

impl Asked {
    fn new(request: &ServiceRequest) -> Self {
        let accepts = |kind| {
            let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
            accept.is_some_and(|value| value.contains(kind))
        };
        Self {
            method_and_path: format!("{} {}", request.method(), request.path()),
            request_id: format!("{:016x}", rand::random::<u64>()),
            by_a_person: request.path().starts_with("/auth/") && accepts("text/html"),
        }
    }

    /// The body of a refusal; none for what is not a refusal or already says in JSON why.
    fn refusal(&self, response: &HttpResponse, error: Option<&actix_web::Error>) -> Option<Body> {
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let is_refusal = status.is_client_error() || status.is_server_error();
        if !is_refusal || content_type.is_some_and(|value| value == "application/json") {
            return None;
        }
        let Self { method_and_path: what, request_id, .. } = self;
        let own = error.and_then(actix_web::Error::as_error::<ApiError>);
        match own {
            Some(ApiError::Internal(cause)) => {
                log::error!("[HTTP] {what} failed (request {request_id}): {cause:#}");
            }
            _ if status == StatusCode::INTERNAL_SERVER_ERROR => {
                log::error!("[HTTP] {what} failed (request {request_id}): {error:?}");
            }
            _ => log::debug!("[HTTP] {what} answered {status} (request {request_id})"),
        }
        Some(match own {
            Some(error) => self.word(error),
            None => self.word(&ApiError::from_response(status, error)),
        })
    }

    fn word(&self, error: &ApiError) -> Body {
        if self.by_a_person {
            Body {
                content_type: "text/html; charset=utf-8",
                text: page(&error.to_string(), &self.request_id),
            }
        } else {
            Body { content_type: "application/json", text: error.body(&self.request_id) }
        }
    }
}

fn dress(mut response: HttpResponse, body: Option<Body>, request_id: &str) -> HttpResponse {
    // The handshake of a WebSocket is left as it is.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    if let Some(Body { content_type, text }) = body {
        response = response.set_body(BoxBody::new(text));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn page(message: &str, request_id: &str) -> String {
    let message = escape(message);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Sign-in did not work · guildstream</title>
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <header class="bar"><h1 class="brand">guildstream</h1></header>
  <main>
    <section class="panel">
      <h2>Sign-in did not work</h2>
      <p>It was answered: {message}.</p>
      <p><a class="button primary" href="/auth/login">Sign in again</a> <a class="button" href="/">Back to the page</a></p>
      <p><small>Request {request_id}</small></p>
    </section>
  </main>
</body>
</html>
"#
    )
}

/// Some messages repeat what was sent. <https://html.spec.whatwg.org/multipage/parsing.html#escapingString>
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_stays_text_on_the_page() {
        let page = page(r#"next="<img src=x onerror='alert(1)'>&""#, "0");
        let message = "next=&quot;&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&amp;&quot;";
        assert!(page.contains(message), "{page}");
    }
}
