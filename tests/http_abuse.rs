//! What the web role's port takes from peers that mean no good: broken requests are refused, idle ones are closed, and
//! nobody else notices.
#![allow(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

#[path = "support/web_role.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod web_role;

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use actix_web::rt::net::TcpStream;
use futures_util::{StreamExt as _, future::join_all, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{timeout, timeout_at},
};
use web_role::Server;

/// The role closes what has sent no whole head after 10 s.
const CLOSED_BY_THEN: Duration = Duration::from_secs(30);

async fn connect(server: &Server, first: &[u8]) -> TcpStream {
    let address: SocketAddr = *server.base.socket_addrs(|| None).unwrap().first().unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The peer may have closed already; what it said is read later.
    let _ = socket.write_all(first).await;
    socket
}

/// What the peer says until it closes.
async fn read_to_end(mut socket: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        said.extend_from_slice(&buffer[..count]);
    }
    said
}

/// A request that would be answered 200 but for this header.
fn with(header: &str) -> Vec<u8> {
    format!("GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{header}\r\n\r\n").into_bytes()
}

#[actix_web::test]
async fn a_broken_request_is_refused_and_costs_nobody_else_anything() {
    let server = Server::start().await;
    let requests = [
        ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0\r\n\r\n".to_vec()),
        ("no version", b"GET /livez\r\n\r\n".to_vec()),
        ("a header without a colon", b"GET /livez HTTP/1.1\r\nhost\r\n\r\n".to_vec()),
        ("NUL in a header", b"GET /livez HTTP/1.1\r\nhost: a\0b\r\n\r\n".to_vec()),
        ("200 headers", ["GET /livez HTTP/1.1\r\n", &"x: y\r\n".repeat(200), "\r\n"].concat().into_bytes()),
        (
            "a header of 1 MiB",
            ["GET /livez HTTP/1.1\r\nx: ", &"y".repeat(1 << 20), "\r\n\r\n"].concat().into_bytes(),
        ),
        ("a path of 200 KB", ["GET /", &"y".repeat(200_000), " HTTP/1.1\r\n\r\n"].concat().into_bytes()),
        (
            "two lengths",
            b"POST /api/commands HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
        ),
        (
            "a length and chunks",
            b"POST /api/commands HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
        ),
        ("a space before the colon", with("transfer-encoding : chunked")),
        ("a folded header", with("x: a\r\n b")),
        ("a coding nobody knows", with("transfer-encoding: chunked, cow")),
        ("a negative length", with("content-length: -1")),
        ("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".to_vec()),
        (
            "a length that is no number",
            b"POST /api/commands HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n{}".to_vec(),
        ),
    ];
    for (what, request) in requests {
        let said = timeout(CLOSED_BY_THEN, read_to_end(connect(&server, &request).await)).await;
        let said = String::from_utf8(said.unwrap_or_else(|_| panic!("{what}: left open"))).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{what}: {said}");
    }
    let said = read_to_end(connect(&server, &with("x: a")).await).await;
    assert!(said.starts_with(b"HTTP/1.1 200"), "and a good one is answered");
    server.stop().await;
}

#[actix_web::test]
async fn thousands_of_idle_and_slow_peers_are_closed_and_nobody_else_notices() {
    let server = Server::start().await;
    let beginnings: [&[u8]; 3] =
        [b"", b"GET /api/stream HT", b"GET /api/stream HTTP/1.1\r\nhost: localhost\r\nx: "];
    let server_ref = &server;
    let opened = (0..peers()).map(|n| connect(server_ref, beginnings[n % 3]));
    let peers: Vec<TcpStream> = stream::iter(opened).buffer_unordered(100).collect().await;

    let asked = Instant::now();
    assert_eq!(server.browser().get("/livez").await.status, 200);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());

    let deadline = tokio::time::Instant::now() + CLOSED_BY_THEN;
    let closed = join_all(peers.into_iter().map(|peer| timeout_at(deadline, read_to_end(peer)))).await;
    let left_open = closed.iter().filter(|said| said.is_err()).count();
    assert_eq!(left_open, 0, "of {}", closed.len());
    server.stop().await;
}

/// 10,000, or as many as this process may have open with both ends in it.
fn peers() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok()).unwrap_or(1024);
    (soft.saturating_sub(400) / 2).min(10_000)
}
