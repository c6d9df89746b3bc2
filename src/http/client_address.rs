//! Who is at the other end. A forwarding header is believed only when it was added by a proxy in `TRUSTED_PROXIES`.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::{HttpRequest, http::header};

/// The peer's address or, when that is a trusted proxy, the last address in `X-Forwarded-For` that is none: each proxy
/// adds at the end whom it was called by, and what stands before that may be made up.
/// <https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For#selecting_an_ip_address>
#[must_use]
pub fn client_address(request: &HttpRequest, trusted: &[IpAddr]) -> IpAddr {
    // Only a request made up by a test has no peer.
    let peer = request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
    let is_trusted = |address: &IpAddr| trusted.iter().any(|proxy| proxy.to_canonical() == *address);
    if !is_trusted(&peer) {
        return peer;
    }
    let headers = request.headers().get_all(header::X_FORWARDED_FOR);
    let hops: Vec<_> =
        headers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        // What cannot be read ends the chain: the last address known for certain is the proxy that sent it.
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = address;
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

/// An address, perhaps with a port, which some proxies add.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().or_else(|_| hop.parse().map(|socket: std::net::SocketAddr| socket.ip()));
    let address = address.or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    fn check(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|address| address.parse().unwrap());
        let request = TestRequest::get().peer_addr(format!("{peer}:5").parse().unwrap());
        let request = forwarded
            .iter()
            .fold(request, |request, value| request.append_header(("X-Forwarded-For", *value)));
        client_address(&request.to_http_request(), &trusted).to_string()
    }

    #[test]
    fn a_forwarding_header_counts_from_a_trusted_proxy_alone() {
        let cases: [(&str, &[&str], &str); 13] = [
            ("192.0.2.1", &[], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7,10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("[fd00::1]", &["2001:db8::7"], "2001:db8::7"),
            ("[::ffff:10.0.0.1]", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ];
        for (peer, forwarded, expected) in cases {
            assert_eq!(check(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_parser(value in "[ -~]{0,64}") {
            check("10.0.0.1", &[&value]);
        }
    }
}
