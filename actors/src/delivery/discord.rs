//! A Discord that keeps a session's dispatches and sends them again to who resumes.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    guild_model::fixture,
    link_frame::MAX_FRAME,
    shard_runner::{Dispatch, Position},
};

/// The guild, and the session of the one bot in it.
pub(super) struct Discord {
    session: u32,
    /// The dispatches of the session; `None` are those that it will never send.
    sent: Vec<Option<(&'static str, String)>>,
    /// Who sits where.
    pub(super) voice: BTreeMap<u64, u64>,
    staff_only: bool,
    messages: u64,
}

impl Discord {
    pub(super) fn new() -> Self {
        let voice = BTreeMap::from([(50, 201)]);
        Self { session: 0, sent: Vec::new(), voice, staff_only: true, messages: 0 }
    }

    /// Begins a session.
    pub(super) fn identify(&mut self) {
        self.session += 1;
        self.sent.clear();
        self.send("READY", fixture::ready().to_string());
        let mut guild = fixture::guild();
        let seated = self.voice.iter().map(|(user, channel)| fixture::voice(*user, Some(*channel)));
        guild["voice_states"] = seated.collect();
        guild["channels"][1] = self.staff_channel();
        self.send("GUILD_CREATE", guild.to_string());
    }

    pub(super) fn session(&self) -> String {
        format!("session-{}", self.session)
    }

    /// Dispatches of the session so far.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// The dispatch after the first `index`, if it is ever sent.
    pub(super) fn dispatch(&self, index: usize) -> Option<Dispatch> {
        let (t, d) = self.sent[index].as_ref()?;
        let (session, resume_url) = (self.session().into(), "ws://discord".into());
        let position = Position { session, resume_url, seq: index as u64 + 1 };
        let lost_before = index > 0 && self.sent[index - 1].is_none();
        Some(Dispatch { position, t: (*t).to_owned(), d: d.clone().into(), ts: 1, lost_before })
    }

    pub(super) fn send(&mut self, t: &'static str, d: String) {
        self.sent.push(Some((t, d)));
    }

    /// Somebody writes in a channel.
    pub(super) fn talk(&mut self, channel: u64) {
        self.messages += 1;
        let d = format!(r#"{{"guild_id":"100","channel_id":"{channel}","n":{}}}"#, self.messages);
        self.send("MESSAGE_CREATE", d);
    }

    /// Somebody writes more than fits into a frame.
    pub(super) fn shout(&mut self) {
        let content = "x".repeat(MAX_FRAME);
        self.send(
            "MESSAGE_CREATE",
            format!(r#"{{"guild_id":"100","channel_id":"101","content":"{content}"}}"#),
        );
    }

    /// Somebody joins, moves or leaves voice.
    pub(super) fn go(&mut self, user: u64, channel: Option<u64>) {
        match channel {
            Some(channel) => self.voice.insert(user, channel),
            None => self.voice.remove(&user),
        };
        self.send("VOICE_STATE_UPDATE", fixture::voice(user, channel).to_string());
    }

    /// Channel 102 opens to all, or to staff alone.
    pub(super) fn turn_the_key(&mut self) {
        self.staff_only = !self.staff_only;
        self.send("CHANNEL_UPDATE", self.staff_channel().to_string());
    }

    /// Something happens that is nobody's business.
    pub(super) fn whisper(&mut self) {
        self.send("USER_UPDATE", json!({"id": "9"}).to_string());
    }

    /// A message is lost that Discord never sends, and another follows that it does.
    pub(super) fn leave_out(&mut self) {
        self.sent.push(None);
        self.talk(101);
    }

    fn staff_channel(&self) -> serde_json::Value {
        fixture::channel(102, 0, if self.staff_only { fixture::staff_only() } else { json!([]) })
    }
}
