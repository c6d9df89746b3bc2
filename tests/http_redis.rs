//! Sessions in Redis: shared by all web roles, taken back at once, and no stream ends when Redis does.
#![allow(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

#[path = "support/web_role.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod web_role;

use std::{
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use web_role::Server;

/// A Redis of this test's own, on a socket in a directory of its own. It keeps what it was told over a restart.
struct Redis {
    directory: TempDir,
    process: Option<Child>,
}

impl Redis {
    /// None on a machine without Redis, which is not to happen in CI.
    fn start() -> Option<Self> {
        let mut redis = Self { directory: TempDir::new().unwrap(), process: None };
        match redis.resume() {
            Ok(()) => Some(redis),
            Err(error) if std::env::var_os("CI").is_none() => {
                eprintln!("skipped, redis-server cannot be started ({error}): install Debian's redis-server");
                None
            }
            Err(error) => panic!("redis-server cannot be started: {error}"),
        }
    }

    fn resume(&mut self) -> std::io::Result<()> {
        let process = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .arg("--unixsocket")
            .arg(self.socket())
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .spawn()?;
        self.process = Some(process);
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            std::thread::yield_now();
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

#[actix_web::test]
async fn a_session_is_shared_by_all_web_roles_and_ends_at_all_of_them() {
    let Some(redis) = Redis::start() else { return };
    let settings = [("REDIS_URL", &*redis.url())];
    let (here, there) = (Server::with(&settings).await, Server::with(&settings).await);
    let mut browser = here.browser();
    browser.sign_in("linus").await;
    let mut elsewhere = there.browser();
    elsewhere.cookie = browser.cookie.clone();
    assert_eq!(elsewhere.get("/api/session").await.status, 200);
    let (_, mut stream_here) = browser.stream(&[]).await;
    let (_, mut stream_there) = elsewhere.stream(&[]).await;
    // The same user's other session.
    let mut phone = there.browser();
    phone.sign_in("linus").await;
    let (_, mut stream_of_phone) = phone.stream(&[]).await;
    for stream in [&mut stream_here, &mut stream_there, &mut stream_of_phone] {
        stream.until("connected").await;
    }

    let copy = browser.cookie.clone();
    assert_eq!(browser.post("/auth/logout", "").await.status, 204);
    stream_here.rest().await;
    stream_there.rest().await;
    elsewhere.get("/api/session").await.refused(401, "NO_SESSION");
    let status = phone.get("/api/status").await.json();
    assert_eq!(status["sse"]["sessions"], 1, "the phone's goes on");

    // A role that starts later does not believe a copy of the cookie either.
    let later = Server::with(&settings).await;
    let mut thief = later.browser();
    thief.cookie = copy;
    thief.get("/api/session").await.refused(401, "NO_SESSION");
    for server in [here, there, later] {
        server.stop().await;
    }
}

#[actix_web::test]
async fn trouble_with_redis_ends_no_stream_and_signs_nobody_out() {
    let Some(mut redis) = Redis::start() else { return };
    let server = Server::with(&[("REDIS_URL", &*redis.url()), ("SSE_HEARTBEAT_S", "1")]).await;
    let mut browser = server.browser();
    browser.sign_in("linus").await;
    let (_, mut stream) = browser.stream(&[]).await;
    stream.until("connected").await;

    redis.stop();
    let refusal = browser.get("/api/stream").await;
    assert_eq!((refusal.status, refusal.header("content-type")), (200, "text/event-stream"));
    assert!(refusal.body.starts_with("retry: "), "{:?}", refusal.body);
    browser.get("/api/session").await.refused(503, "UNAVAILABLE");
    browser.get("/auth/login").await.refused(503, "UNAVAILABLE");
    browser.post("/auth/logout", "").await.refused(503, "UNAVAILABLE");
    server.browser().get("/api/session").await.refused(401, "NO_SESSION");
    stream.until("event: ping").await;

    redis.resume().unwrap();
    let mut answer = browser.get("/api/session").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while answer.status == 503 && Instant::now() < deadline {
        answer = browser.get("/api/session").await;
    }
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(browser.post("/auth/logout", "").await.status, 204);
    stream.rest().await;
    server.stop().await;
}

#[actix_web::test]
async fn a_role_starts_without_redis_and_finds_it_later() {
    let Some(mut redis) = Redis::start() else { return };
    redis.stop();
    let server = Server::with(&[("REDIS_URL", &*redis.url())]).await;
    server.browser().get("/auth/login").await.refused(503, "UNAVAILABLE");
    redis.resume().unwrap();
    let mut browser = server.browser();
    let deadline = Instant::now() + Duration::from_secs(20);
    while browser.get("/auth/login").await.status == 503 {
        assert!(Instant::now() < deadline);
    }
    browser.sign_in("linus").await;
    assert_eq!(browser.get("/api/session").await.status, 200);
    server.stop().await;
}
