//! A sandbox on a port of its own, and clients that speak to it by hand.

use std::{io::Read, time::Duration};

use actix_web::http::{
    Method, StatusCode,
    header::{self, HeaderMap},
};
use awc::{
    error::WsProtocolError as ProtocolError,
    ws::{CloseCode, Frame, Message},
};
use flate2::read::ZlibDecoder;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use guildstream_sandbox::{BOT_TOKEN, CLIENT_ID, CLIENT_SECRET, Sandbox, SandboxConfig};
use serde_json::{Value, json};

pub(crate) const GUILD: &str = "910000000000000001";
pub(crate) const GENERAL: &str = "910000000000000101";
pub(crate) const ADA: &str = "930000000000000001";
pub(crate) const GRACE: &str = "930000000000000002";
pub(crate) const LINUS: &str = "930000000000000003";
pub(crate) const MALLORY: &str = "939000000000000001";
pub(crate) const LOUNGE: &str = "910000000000000201";
pub(crate) const WORKSHOP: &str = "910000000000000202";

/// GUILDS, GUILD_MEMBERS, GUILD_VOICE_STATES, GUILD_MESSAGES, GUILD_MESSAGE_REACTIONS, MESSAGE_CONTENT.
pub(crate) const INTENTS: u64 = 1 | 2 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 15;
/// Everything there is.
pub(crate) const ALL_INTENTS: u64 = 53_608_447;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One sandbox and a way to call it.
pub(crate) struct Place {
    pub(crate) sandbox: Sandbox,
    http: awc::Client,
}

/// A call's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// A Gateway connection driven by hand.
pub(crate) struct Socket {
    sink: Box<dyn Sink<Message, Error = ProtocolError> + Unpin>,
    stream: Box<dyn Stream<Item = Result<Frame, ProtocolError>> + Unpin>,
    /// Set for `compress=zlib-stream`.
    inflate: Option<flate2::Decompress>,
}

/// What came next on a connection.
#[derive(Debug)]
pub(crate) enum Heard {
    Text(String),
    Closed(Option<u16>),
    Cut,
}

/// A quiet sandbox: nobody moves, and IDENTIFY is not rationed.
pub(crate) fn quiet() -> SandboxConfig {
    SandboxConfig {
        port: 0,
        events_per_s: 0.0,
        identify_interval: Duration::ZERO,
        ..SandboxConfig::default()
    }
}

impl Place {
    pub(crate) async fn open(config: SandboxConfig) -> Self {
        let sandbox = guildstream_sandbox::start(config).await.expect("the sandbox starts");
        let http = awc::Client::builder().timeout(PATIENCE).disable_redirects().finish();
        Self { sandbox, http }
    }

    /// A REST call as the bot.
    pub(crate) async fn bot(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call(method, &format!("/api/v10{path}"), &[("Authorization", &format!("Bot {BOT_TOKEN}"))], body)
            .await
    }

    /// A REST call with an access token.
    pub(crate) async fn person(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call("GET", &format!("/api/v10{path}"), &[("Authorization", &bearer)], Value::Null).await
    }

    /// A call with a JSON body, or none for null.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &[headers, &[("Content-Type", "application/json")]].concat(), text).await
    }

    /// A call with any body.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<String>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.sandbox.url()));
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let mut response = request.send_body(body.into()).await.expect("an answer");
        let bytes = response.body().limit(64 * 1024 * 1024).await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
        Answer { status: response.status(), headers: response.headers().clone(), body }
    }

    /// Signs a person in as scripts do; the answer is the token response.
    pub(crate) async fn sign_in(&self, login: &str, scope: &str) -> Value {
        let here = "http://localhost:3000/callback";
        let query = format!(
            "client_id={CLIENT_ID}&redirect_uri={here}&response_type=code&scope={scope}&state=s&login_hint={login}"
        );
        let answer = self.call("GET", &format!("/oauth2/authorize?{query}"), &[], Value::Null).await;
        let code = answer.location("code").expect("a code");
        let form = format!("grant_type=authorization_code&code={code}&redirect_uri={here}");
        self.token(&form, CLIENT_SECRET).await.body
    }

    /// A call to the token endpoint.
    pub(crate) async fn token(&self, form: &str, secret: &str) -> Answer {
        let form = format!("{form}&client_id={CLIENT_ID}&client_secret={secret}");
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", "/api/v10/oauth2/token", &kind, form).await
    }

    pub(crate) async fn fault(&self, fault: Value) -> Answer {
        self.call("POST", "/sandbox/fault", &[], fault).await
    }

    pub(crate) async fn socket(&self, query: &str) -> Socket {
        self.try_socket(query).await.expect("an upgrade")
    }

    /// A connection, or the status of its refusal.
    pub(crate) async fn try_socket(&self, query: &str) -> Result<Socket, StatusCode> {
        let url = format!("{}/{query}", self.sandbox.url());
        match self.http.ws(url).max_frame_size(64 * 1024 * 1024).connect().await {
            Ok((_, framed)) => {
                let (sink, stream) = framed.split();
                let inflate = query.contains("zlib-stream").then(|| flate2::Decompress::new(true));
                Ok(Socket { sink: Box::new(sink), stream: Box::new(stream), inflate })
            }
            Err(awc::error::WsClientError::InvalidResponseStatus(status)) => Err(status),
            Err(error) => panic!("no upgrade: {error}"),
        }
    }

    /// A connection that has begun a session, with READY and GUILD_CREATE heard.
    pub(crate) async fn ready(&self, intents: u64) -> (Socket, Value) {
        let mut socket = self.socket("?v=10&encoding=json").await;
        socket.op(10).await;
        socket.identify(json!({ "intents": intents })).await;
        let ready = socket.event("READY").await;
        if intents & 1 == 1 {
            socket.event("GUILD_CREATE").await;
        }
        (socket, ready)
    }

    pub(crate) fn state(&self) -> Value {
        self.sandbox.state()
    }

    pub(crate) async fn close(self) {
        self.sandbox.stop().await;
    }
}

impl Answer {
    /// Discord's error code.
    pub(crate) fn code(&self) -> (u16, u64) {
        (self.status.as_u16(), self.body["code"].as_u64().unwrap_or(u64::MAX))
    }

    /// A query parameter of the redirect.
    pub(crate) fn location(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(self.headers.get(header::LOCATION)?.to_str().ok()?).ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Socket {
    pub(crate) async fn send(&mut self, payload: Value) {
        self.text(payload.to_string()).await;
    }

    pub(crate) async fn text(&mut self, text: String) {
        self.sink.send(Message::Text(text.into())).await.expect("sent");
    }

    pub(crate) async fn binary(&mut self, bytes: Vec<u8>) {
        self.sink.send(Message::Binary(bytes.into())).await.expect("sent");
    }

    pub(crate) async fn close(&mut self, code: u16) {
        self.sink.send(Message::Close(Some(CloseCode::from(code).into()))).await.expect("sent");
    }

    /// IDENTIFY with the right token and whatever else is given.
    pub(crate) async fn identify(&mut self, mut d: Value) {
        d["token"] = json!(BOT_TOKEN);
        d["properties"] = json!({ "os": "linux", "browser": "test", "device": "test" });
        self.send(json!({ "op": 2, "d": d })).await;
    }

    pub(crate) async fn resume(&mut self, session: &Value, seq: u64) {
        self.send(json!({ "op": 6, "d": { "token": BOT_TOKEN, "session_id": session, "seq": seq } })).await;
    }

    /// The next message, decompressed.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("something is heard");
            return match frame {
                Some(Ok(Frame::Text(bytes))) => Heard::Text(String::from_utf8(bytes.into()).expect("UTF-8")),
                Some(Ok(Frame::Binary(bytes))) => Heard::Text(self.inflate(&bytes)),
                Some(Ok(Frame::Close(reason))) => Heard::Closed(reason.map(|reason| reason.code.into())),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                Some(Ok(frame)) => panic!("unexpected {frame:?}"),
                Some(Err(_)) | None => Heard::Cut,
            };
        }
    }

    /// The next payload.
    pub(crate) async fn payload(&mut self) -> Value {
        match self.hear().await {
            Heard::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("no payload but {other:?}"),
        }
    }

    /// The next payload with this opcode.
    pub(crate) async fn op(&mut self, op: u64) -> Value {
        loop {
            let payload = self.payload().await;
            if payload["op"] == op {
                return payload;
            }
        }
    }

    /// The `d` of the next dispatch of this type.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            let mut payload = self.payload().await;
            if payload["t"] == name {
                return payload["d"].take();
            }
        }
    }

    /// The names of all dispatches up to one that is caused now and heard by every session.
    pub(crate) async fn events_until_mark(&mut self, place: &Place) -> Vec<String> {
        place.sandbox.dispatch(r#"{"t":"MARK","d":null}"#).expect("dispatched");
        let mut names = Vec::new();
        loop {
            let payload = self.payload().await;
            match payload["t"].as_str() {
                Some("MARK") => return names,
                Some(name) => names.push(name.to_owned()),
                None => {}
            }
        }
    }

    /// The code this connection is closed with; whatever else is said before is ignored.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.hear().await {
                Heard::Closed(code) => return code,
                Heard::Cut => return None,
                Heard::Text(_) => {}
            }
        }
    }

    fn inflate(&mut self, bytes: &[u8]) -> String {
        let mut text = Vec::new();
        match &mut self.inflate {
            Some(stream) => {
                let start = stream.total_in();
                while ((stream.total_in() - start) as usize) < bytes.len() {
                    text.reserve(64 * 1024);
                    let rest = &bytes[(stream.total_in() - start) as usize..];
                    stream.decompress_vec(rest, &mut text, flate2::FlushDecompress::Sync).expect("zlib");
                }
            }
            None => {
                ZlibDecoder::new(bytes).read_to_end(&mut text).expect("zlib");
            }
        }
        String::from_utf8(text).expect("UTF-8")
    }
}
