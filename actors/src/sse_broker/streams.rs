//! The open streams, and how many of them are whose.

use std::collections::{BTreeMap, HashMap};

use super::stream::Stream;
use crate::snowflake::UserId;

/// Names a stream of this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u64);

/// All open streams.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<StreamId, Stream>,
    per_user: HashMap<UserId, usize>,
    last: u64,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many of them are a user's.
    pub(super) fn of(&self, user: UserId) -> usize {
        self.per_user.get(&user).copied().unwrap_or_default()
    }

    /// Takes a stream in and names it.
    pub(super) fn insert(&mut self, stream: Stream) -> StreamId {
        self.last += 1;
        *self.per_user.entry(stream.viewer.user).or_default() += 1;
        self.open.insert(StreamId(self.last), stream);
        StreamId(self.last)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.open.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.open.iter().map(|(id, stream)| (*id, stream))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamId, &mut Stream)> {
        self.open.iter_mut().map(|(id, stream)| (*id, stream))
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        if let Some(count) = self.per_user.get_mut(&stream.viewer.user) {
            *count -= 1;
            if *count == 0 {
                self.per_user.remove(&stream.viewer.user);
            }
        }
        Some(stream)
    }

    /// All of them; none are left.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Stream> + use<> {
        self.per_user.clear();
        std::mem::take(&mut self.open).into_values()
    }
}
