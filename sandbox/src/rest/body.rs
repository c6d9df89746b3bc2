//! The JSON bodies of requests.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev, http::header, web};
use serde_json::{Map, Value, json};

use super::error::ApiError;

/// The largest body of a call. Discord's limit is larger because of uploads, which the sandbox does not take.
const BODY_BYTES: usize = 1024 * 1024;

/// A JSON object from a request's body; an empty body is an empty object.
#[derive(Debug)]
pub(crate) struct Body(pub(crate) Map<String, Value>);

/// A JSON list of objects from a request's body.
#[derive(Debug)]
pub(crate) struct BodyList(pub(crate) Vec<Map<String, Value>>);

impl FromRequest for Body {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let read = read(request, payload);
        Box::pin(async {
            match read.await? {
                Value::Null => Ok(Self(Map::new())),
                Value::Object(fields) => Ok(Self(fields)),
                _ => Err(not_a_dictionary()),
            }
        })
    }
}

impl FromRequest for BodyList {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let read = read(request, payload);
        Box::pin(async {
            let Value::Array(entries) = read.await? else { return Err(not_a_dictionary()) };
            let object = |entry| match entry {
                Value::Object(fields) => Ok(fields),
                _ => Err(not_a_dictionary()),
            };
            Ok(Self(entries.into_iter().map(object).collect::<Result<_, _>>()?))
        })
    }
}

/// The JSON value of a body; null when it is empty.
fn read(
    request: &HttpRequest,
    payload: &mut dev::Payload,
) -> impl Future<Output = Result<Value, ApiError>> + use<> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let upload = kind.is_some_and(|kind| kind.starts_with("multipart/"));
    let body = web::Payload::from_request(request, payload);
    async move {
        let body = body.await.map_err(|_| ApiError::INVALID_JSON)?;
        let bytes = body.to_bytes_limited(BODY_BYTES).await.map_err(|_| ApiError::TOO_LARGE)?;
        let bytes = bytes.map_err(|_| ApiError::INVALID_JSON)?;
        if upload {
            return Err(ApiError::UNSUPPORTED_MEDIA);
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| ApiError::INVALID_JSON)
    }
}

fn not_a_dictionary() -> ApiError {
    let message = "Only dictionaries may be used in a DictType";
    ApiError::invalid_form(json!({ "_errors": [{ "code": "DICT_TYPE_CONVERT", "message": message }] }))
}
