//! Bearer tokens of machines: the link's shared secret and the one for metrics.
//! <https://www.rfc-editor.org/rfc/rfc6750#section-2.1>

use actix_web::http::header::{self, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether the request carries `Authorization: Bearer <token>`. The time it takes tells nothing about the token: both
/// sides are hashed first, so that not even the length shows.
#[must_use]
pub fn is_authorised(headers: &HeaderMap, token: &SecretString) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION);
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return false;
    }
    let expected = token.expose_secret().as_bytes();
    !expected.is_empty() & bool::from(Sha256::digest(given).ct_eq(&Sha256::digest(expected)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn only_the_whole_token_in_one_header_is_let_in() {
        let token = SecretString::from("sixteen-character");
        let cases: [(&[&str], bool); 10] = [
            (&["Bearer sixteen-character"], true),
            (&["bearer sixteen-character"], true),
            (&[], false),
            (&["Bearer "], false),
            (&["Bearer sixteen-characte"], false),
            (&["Bearer sixteen-character "], false),
            (&["Bearer  sixteen-character"], false),
            (&["Basic sixteen-character"], false),
            (&["sixteen-character"], false),
            (&["Bearer wrong", "Bearer sixteen-character"], false),
        ];
        for (values, let_in) in cases {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(is_authorised(&headers, &token), let_in, "{values:?}");
        }
    }

    #[test]
    fn an_empty_token_lets_nobody_in() {
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer "));
        assert!(!is_authorised(&headers, &SecretString::from("")));
    }
}
