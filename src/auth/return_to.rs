//! Where a browser goes after signing in: a path here, or a page of an allowed origin, and nowhere else.
//! <https://cwe.mitre.org/data/definitions/601.html>

use url::{Origin, Url};

/// A longer address does not fit into the session cookie beside everything else.
pub const MAX_RETURN_TO_BYTES: usize = 256;

/// The `next` parameter cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReturnToError {
    /// See [`MAX_RETURN_TO_BYTES`].
    #[error("next is longer than {MAX_RETURN_TO_BYTES} bytes: use a shorter address")]
    TooLong,
    /// Neither a path here nor an address of an allowed origin.
    #[error("next={0:?} is neither a path here nor an address of an origin in CORS_ORIGINS")]
    Foreign(String),
}

/// Checks `next`; the answer is fit for a `Location` header.
///
/// # Errors
///
/// [`ReturnToError`] when the browser must not be sent there.
pub fn parse(next: &str, public_url: &Url, allowed: &[Origin]) -> Result<String, ReturnToError> {
    let location = resolve(next, public_url, allowed)?;
    // Measured after it was resolved, because that may have escaped some bytes as three.
    if location.len() > MAX_RETURN_TO_BYTES { Err(ReturnToError::TooLong) } else { Ok(location) }
}

fn resolve(next: &str, public_url: &Url, allowed: &[Origin]) -> Result<String, ReturnToError> {
    let foreign = || ReturnToError::Foreign(next.chars().take(64).collect());
    // Browsers take a backslash for a slash and drop tabs and newlines, so `/\evil.example` and `/<tab>/evil.example`
    // would lead away. https://url.spec.whatwg.org/#concept-basic-url-parser
    if !next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(foreign());
    }
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let url = if is_path { public_url.join(next) } else { Url::parse(next) }.map_err(|_| foreign())?;
    let is_ours = url.origin() == public_url.origin();
    // `/.//evil.example` becomes `//evil.example` when its dots are resolved.
    if is_path && is_ours && !url.path().starts_with("//") {
        return Ok(url[url::Position::BeforePath..].to_owned());
    }
    let has_userinfo = !url.username().is_empty() || url.password().is_some();
    let is_web = matches!(url.scheme(), "http" | "https");
    if !is_path && is_web && !has_userinfo && (is_ours || allowed.contains(&url.origin())) {
        return Ok(url.into());
    }
    Err(foreign())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(next: &str) -> Result<String, ReturnToError> {
        let public_url = Url::parse("https://stream.example").unwrap();
        let allowed = [Url::parse("https://app.stream.example").unwrap().origin()];
        parse(next, &public_url, &allowed)
    }

    #[test]
    fn a_path_here_or_a_page_of_an_allowed_origin_is_kept() {
        let cases = [
            ("/", "/"),
            ("/room?id=5#top", "/room?id=5#top"),
            ("/a/../b", "/b"),
            ("/%2f%2fevil.example", "/%2f%2fevil.example"),
            ("/@evil.example", "/@evil.example"),
            ("https://app.stream.example", "https://app.stream.example/"),
            ("https://app.stream.example/a?b#c", "https://app.stream.example/a?b#c"),
            ("https://app.stream.example:443/", "https://app.stream.example/"),
            ("https://stream.example/x", "https://stream.example/x"),
        ];
        for (next, expected) in cases {
            assert_eq!(check(next).as_deref(), Ok(expected), "{next:?}");
        }
    }

    #[test]
    fn no_address_leads_away() {
        let cases = [
            "",
            "room",
            "//evil.example",
            "///evil.example",
            r"/\evil.example",
            r"\\evil.example",
            r"\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "https://evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https://app.stream.example.evil.example",
            "https://app.stream.example@evil.example",
            "https://evil.example@app.stream.example",
            "https://user:pass@app.stream.example/",
            "https://app.stream.example:8443/",
            "http://app.stream.example/",
            "http://stream.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "blob:https://app.stream.example/1",
            "/r\u{f6}om",
            "/a\r\nSet-Cookie: x=y",
            "/a\0",
        ];
        for next in cases {
            assert!(check(next).is_err(), "{next:?} gives {:?}", check(next));
        }
        assert_eq!(check(&format!("/{}", "a".repeat(MAX_RETURN_TO_BYTES))), Err(ReturnToError::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_is_kept_resolves_to_an_allowed_origin(next in r"[/\\.a-z:@?#%\t ]{0,24}") {
            let public_url = Url::parse("https://stream.example").unwrap();
            if let Ok(location) = check(&next) {
                let target = public_url.join(&location).unwrap();
                let host = target.host_str().unwrap();
                prop_assert!(["stream.example", "app.stream.example"].contains(&host), "{location:?}");
            }
        }
    }
}
