//! twilight-gateway against the sandbox.

use futures_util::StreamExt;
use guildstream_sandbox::{BOT_TOKEN, Fault};
use serde_json::json;
use twilight_gateway::{CloseFrame, ConfigBuilder, Intents, Message, Session, Shard, ShardId};

use crate::harness::{GENERAL, PATIENCE, Place, quiet};

pub(crate) fn config(place: &Place) -> ConfigBuilder {
    // Another test of this process may have done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ConfigBuilder::new(BOT_TOKEN.to_owned(), Intents::all())
        .proxy_url(place.sandbox.url().replace("http", "ws"))
}

/// The next dispatch, as the text that came over the wire. Its sequence number must follow the one before.
pub(crate) async fn dispatch(shard: &mut Shard, seq: &mut u64) -> String {
    loop {
        let Some(Ok(Message::Text(text))) = StreamExt::next(shard).await else { continue };
        let Some(s) = text.split(r#","s":"#).nth(1).and_then(|rest| rest.split(',').next()?.parse().ok())
        else {
            continue;
        };
        assert_eq!(s, *seq + 1, "a hole before {text}");
        *seq = s;
        return text;
    }
}

/// The next dispatch of this type, with no hole before it.
async fn next(shard: &mut Shard, seq: &mut u64, event: &str) -> String {
    let wanted = format!(r#"{{"t":"{event}""#);
    let search = async {
        loop {
            let text = dispatch(shard, seq).await;
            if text.starts_with(&wanted) {
                return text;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no {event} came"))
}

#[actix_web::test]
async fn it_becomes_ready_and_hears_its_own_message_and_reaction() {
    let place = Place::open(quiet()).await;
    let (mut shard, mut seq) = (Shard::with_config(ShardId::ONE, config(&place).build()), 0);
    next(&mut shard, &mut seq, "READY").await;
    next(&mut shard, &mut seq, "GUILD_CREATE").await;
    let path = format!("/channels/{GENERAL}/messages");
    let message = place.bot("POST", &path, json!({ "content": "hello" })).await.body;
    assert!(next(&mut shard, &mut seq, "MESSAGE_CREATE").await.contains("hello"));
    let id = message["id"].as_str().expect("an id");
    let reaction = place.bot("PUT", &format!("{path}/{id}/reactions/%F0%9F%8E%89/@me"), json!(null)).await;
    assert_eq!(reaction.status, 204);
    assert!(next(&mut shard, &mut seq, "MESSAGE_REACTION_ADD").await.contains("🎉"));
    place.close().await;
}

#[actix_web::test]
async fn it_resumes_after_every_end_that_allows_it_and_misses_nothing() {
    let place = Place::open(quiet()).await;
    let (mut shard, mut seq) = (Shard::with_config(ShardId::ONE, config(&place).build()), 0);
    next(&mut shard, &mut seq, "GUILD_CREATE").await;
    let faults = [
        Fault::Reconnect {},
        Fault::Drop {},
        Fault::Close { code: 4000 },
        Fault::InvalidSession { resumable: true },
    ];
    for (at, fault) in faults.iter().enumerate() {
        place.sandbox.fault(fault).expect("a fault");
        place.sandbox.dispatch(&format!("{{\"t\":\"MARK\",\"d\":{at}}}")).expect("dispatched");
        let text = next(&mut shard, &mut seq, "MARK").await;
        assert!(text.ends_with(&format!("\"d\":{at}}}")), "{fault:?}: {text}");
    }
    assert_eq!(place.state()["identifies"], 1);
    place.close().await;
}

#[actix_web::test]
async fn a_restarted_process_resumes_from_what_it_wrote_down() {
    let place = Place::open(quiet()).await;
    let (mut shard, mut seq) = (Shard::with_config(ShardId::ONE, config(&place).build()), 0);
    next(&mut shard, &mut seq, "GUILD_CREATE").await;
    let session = shard.session().expect("a session").clone();
    shard.close(CloseFrame::RESUME);
    while let Some(item) = StreamExt::next(&mut shard).await {
        if matches!(item, Ok(Message::Close(_))) {
            break;
        }
    }
    drop(shard);
    place.sandbox.dispatch(r#"{"t":"MISSED","d":1}"#).expect("dispatched");
    let session = Session::new(session.sequence(), session.id().to_owned());
    let config =
        config(&place).session(session).resume_url(place.sandbox.url().replace("http", "ws")).build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    next(&mut shard, &mut seq, "MISSED").await;
    next(&mut shard, &mut seq, "RESUMED").await;
    assert_eq!((&place.state()["identifies"], &place.state()["resumes"]), (&json!(1), &json!(1)));
    place.close().await;
}
