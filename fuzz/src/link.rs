//! Frames of the link, in both directions.

use std::time::Duration;

use bytes::Bytes;
use guildstream_actors::{
    audience::{Decision, ViewerAccess, decide},
    event_id::{Epoch, EventId},
    link_frame::{self, Command, Hello, LinkFrame, decode},
    questions::{Guilds, Status, Viewers, VoiceSnapshots},
    scope::Scope,
};
use serde_json::value::RawValue;

/// A frame that is understood is understood the same once more after it was written again; what is not breaks nothing.
pub fn link_frames(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    match decode(&frame) {
        Ok(LinkFrame::Event { id, event, payload, scope, ts }) => {
            let text = std::str::from_utf8(&payload).expect("a payload is text");
            serde_json::from_str::<&RawValue>(text).expect("a payload is JSON");
            let (id, scope) = (id.unwrap_or(EventId { epoch: Epoch(1), seq: 1 }), scope.unwrap_or_default());
            let again = link_frame::encode_event(id, &event, text, &scope, ts);
            let Ok(LinkFrame::Event {
                id: Some(id_again),
                event: event_again,
                payload: payload_again,
                scope: Some(scope_again),
                ts: ts_again,
            }) = decode(&again.into())
            else {
                panic!("an event that was written is read")
            };
            assert_eq!(
                (id_again, event_again, payload_again, scope_again, ts_again),
                (id, event, payload, scope, ts)
            );
        }
        Ok(LinkFrame::Gap { id, event }) => {
            let again = decode(&link_frame::encode_gap(id, &event, 1, 1).into());
            assert!(matches!(again, Ok(LinkFrame::Gap { id: again, .. }) if again == id));
        }
        Ok(LinkFrame::Command(command)) => {
            let again = decode(&link_frame::encode_command(&command, 1).into());
            let Ok(LinkFrame::Command(again)) = again else { panic!("a command that was written is read") };
            assert_eq!(parts(&again), parts(&command));
        }
        Ok(LinkFrame::Ack { id, request_id, data }) => {
            let id = id.unwrap_or(EventId { epoch: Epoch(1), seq: 1 });
            let again = decode(&link_frame::encode_ack(id, request_id.as_deref(), &data, 1).into());
            let Ok(LinkFrame::Ack { id: Some(id_again), request_id: request_again, data: data_again }) =
                again
            else {
                panic!("an ack that was written is read")
            };
            assert_eq!((id_again, request_again, data_again.get()), (id, request_id, data.get()));
            answers(&data);
        }
        Ok(LinkFrame::Error { request_id, refusal }) => {
            let again = decode(&link_frame::encode_error(request_id.as_deref(), &refusal, 1).into());
            let Ok(LinkFrame::Error { request_id: request_again, refusal: again }) = again else {
                panic!("a refusal that was written is read")
            };
            assert_eq!(
                (request_again, again.code, again.message),
                (request_id, refusal.code, refusal.message)
            );
        }
        Err(error) => drop(error.to_string()),
    }
}

fn parts(command: &Command) -> (&str, &str, Option<u64>, Option<&str>, Option<&str>, Option<Duration>) {
    let Command { command, payload, actor, request_id, key, first_sent } = command;
    (command, payload.get(), actor.map(|actor| actor.0), request_id.as_deref(), key.as_deref(), *first_sent)
}

/// What a gateway says of viewers gives nobody anything outside the guilds it names.
fn answers(data: &RawValue) {
    drop(serde_json::from_str::<Hello>(data.get()));
    drop(serde_json::from_str::<VoiceSnapshots>(data.get()));
    drop(serde_json::from_str::<Guilds>(data.get()));
    drop(serde_json::from_str::<Status>(data.get()));
    let Ok(Viewers { viewers }) = serde_json::from_str(data.get()) else { return };
    for viewer in viewers {
        let guilds: Vec<_> = viewer.guilds.iter().map(|guild| guild.guild_id).collect();
        let access = ViewerAccess::from(viewer.guilds);
        assert!(access.guild_ids().all(|guild| guilds.contains(&guild)));
        let elsewhere = Scope { guild: None, ..Scope::default() };
        assert_eq!(decide("MESSAGE_CREATE", &elsewhere, &access), Decision::Withhold);
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    super::owned(&[
        r#"{"type":"event","id":"0000000000000007-3","data":{"event":"X","payload":{"a":1.50}},"scope":{"guild":"1","channels":["2","3"],"needs":"4","secret":true,"changes":{"users":["7"]}},"ts":5}"#,
        r#"{"type":"gap","id":"0000000000000007-3","data":{"event":"X","bytes":9}}"#,
        r#"{"type":"command","data":{"command":"send_message","payload":{"channelId":"1"},"actor":{"userId":"2"},"key":"k","firstSentMsAgo":1500},"requestId":"r","ts":1}"#,
        r#"{"type":"ack","id":"0000000000000007-3","data":{"message":"","protocol":1,"oldestId":"0000000000000007-0","latestId":"0000000000000007-3","complete":true,"guilds":["1"]}}"#,
        r#"{"type":"ack","id":"0000000000000007-3","requestId":"1","data":{"viewers":[{"userId":"1","guilds":[{"guildId":"1","permissions":"8","channels":[{"id":"2","permissions":"1024"}]}],"unknown":["2"]}]}}"#,
        r#"{"type":"ack","requestId":"2","data":{"guilds":[{"guildId":"1","channels":[{"channelId":"2","name":null,"parentId":null,"userLimit":0,"members":[]}]}],"pending":["3"]}}"#,
        r#"{"type":"ack","requestId":"3","data":{"guilds":[{"id":"1","name":"n","icon":null,"channels":[{"id":"2","name":null,"type":0,"parentId":null,"position":0}],"roles":[{"id":"1","name":"r"}]}]}}"#,
        r#"{"type":"ack","requestId":"4","data":{"discord":{"state":"live","shards":[{"id":0,"state":"live","resumes":0,"identifies":1,"latencyMs":null,"lastSeq":2}]}}}"#,
        r#"{"type":"error","data":{"message":"m","code":"RATE_LIMITED","retryAfterS":1.5,"discord":{"status":429}},"requestId":"r"}"#,
    ])
}
