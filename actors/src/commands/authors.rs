//! Who wrote which message, as far as we heard: the author of a message created lately, and for one that the bot sent
//! through us, the user it was sent for. An unknown author is nobody, so that more than authorship is needed.

use std::collections::{HashMap, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::snowflake::UserId;

/// Messages remembered; the oldest is forgotten first.
const KEPT: usize = 20_000;

#[derive(Default)]
pub(super) struct Authors {
    of: HashMap<u64, UserId>,
    order: VecDeque<u64>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    id: &'a str,
    author: Author<'a>,
    #[serde(borrow, default)]
    webhook_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Author<'a> {
    #[serde(borrow)]
    id: &'a str,
}

impl Authors {
    pub(super) fn of(&self, message: u64) -> Option<UserId> {
        self.of.get(&message).copied()
    }

    /// Notes the author of a new message; what was sent through us is known better.
    pub(super) fn hear(&mut self, event: &str, payload: &str) {
        if event != "MESSAGE_CREATE" {
            return;
        }
        if let Ok(Written { id, author, webhook_id: None }) = serde_json::from_str(payload)
            && let (Ok(message), Ok(author)) = (id.parse(), author.id.parse())
            && !self.of.contains_key(&message)
        {
            self.note(message, author);
        }
    }

    /// Notes that the message in Discord's answer was sent for `user`.
    pub(super) fn sent(&mut self, answer: &RawValue, user: UserId) {
        if let Ok(Written { id, .. }) = serde_json::from_str(answer.get())
            && let Ok(message) = id.parse()
        {
            self.note(message, user);
        }
    }

    fn note(&mut self, message: u64, author: UserId) {
        if self.of.insert(message, author).is_none() {
            self.order.push_back(message);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.of.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn who_had_a_message_sent_is_its_author_whichever_is_heard_first() {
        let message = r#"{"id":"7","author":{"id":"1"}}"#;
        let answer: &RawValue = serde_json::from_str(message).unwrap();
        for dispatch_first in [true, false] {
            let mut authors = Authors::default();
            if dispatch_first {
                authors.hear("MESSAGE_CREATE", message);
                assert_eq!(authors.of(7), Some(UserId(1)));
            }
            authors.sent(answer, UserId(2));
            authors.hear("MESSAGE_CREATE", message);
            assert_eq!(authors.of(7), Some(UserId(2)));
        }
    }

    #[test]
    fn webhooks_edits_and_nonsense_have_no_author() {
        let mut authors = Authors::default();
        authors.hear("MESSAGE_CREATE", r#"{"id":"1","author":{"id":"3"},"webhook_id":"3"}"#);
        authors.hear("MESSAGE_UPDATE", r#"{"id":"1","author":{"id":"3"}}"#);
        authors.hear("MESSAGE_CREATE", r#"{"id":1}"#);
        assert_eq!(authors.of(1), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut authors = Authors::default();
        for id in 0..=KEPT as u64 {
            authors.note(id, UserId(1));
        }
        assert_eq!((authors.of(0), authors.of(1), authors.of.len()), (None, Some(UserId(1)), KEPT));
    }
}
