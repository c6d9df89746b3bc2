//! twilight-gateway against the sandbox.

use std::time::Duration;

use futures_util::StreamExt;
use guildstream_sandbox::{BOT_TOKEN, Fault, Sandbox, SandboxConfig};
use twilight_gateway::{ConfigBuilder, Intents, Message, Shard, ShardId};

async fn quiet() -> Sandbox {
    let config = SandboxConfig {
        port: 0,
        events_per_s: 0.0,
        identify_interval: Duration::ZERO,
        ..SandboxConfig::default()
    };
    guildstream_sandbox::start(config).await.expect("the sandbox starts")
}

fn shard(sandbox: &Sandbox) -> Shard {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ConfigBuilder::new(BOT_TOKEN.to_owned(), Intents::all())
        .proxy_url(sandbox.url().replace("http", "ws"))
        .build();
    Shard::with_config(ShardId::ONE, config)
}

/// The next dispatch of this type, as the text that came over the wire.
async fn next(shard: &mut Shard, event: &str) -> String {
    let wanted = format!(r#"{{"t":"{event}""#);
    let search = async {
        loop {
            if let Some(Ok(Message::Text(text))) = StreamExt::next(shard).await
                && text.starts_with(&wanted)
            {
                return text;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), search).await.unwrap_or_else(|_| panic!("no {event} came"))
}

#[actix_web::test]
async fn it_becomes_ready_and_hears_what_is_posted_byte_for_byte() {
    let sandbox = quiet().await;
    let mut shard = shard(&sandbox);
    next(&mut shard, "GUILD_CREATE").await;
    sandbox
        .dispatch("{\"t\":\"ODD\",\"d\":{ \"z\": 1.50,\"a\":123456789012345678901 }}")
        .expect("dispatched");
    let text = next(&mut shard, "ODD").await;
    assert_eq!(text, "{\"t\":\"ODD\",\"s\":3,\"op\":0,\"d\":{ \"z\": 1.50,\"a\":123456789012345678901 }}");
    sandbox.stop().await;
}

#[actix_web::test]
async fn it_resumes_after_every_end_that_allows_it_and_misses_nothing() {
    let sandbox = quiet().await;
    let mut shard = shard(&sandbox);
    next(&mut shard, "GUILD_CREATE").await;
    let faults = [
        Fault::Reconnect {},
        Fault::Drop {},
        Fault::Close { code: 4000 },
        Fault::InvalidSession { resumable: true },
    ];
    for (at, fault) in faults.iter().enumerate() {
        sandbox.fault(fault).expect("a fault");
        sandbox.dispatch(&format!("{{\"t\":\"MARK\",\"d\":{at}}}")).expect("dispatched");
        let text = next(&mut shard, "MARK").await;
        assert!(text.ends_with(&format!("\"d\":{at}}}")), "{fault:?}: {text}");
    }
    assert_eq!(sandbox.state()["identifies"], 1);
    sandbox.stop().await;
}
