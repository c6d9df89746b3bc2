//! What a start finds in the directory: the checkpoint, and the segments that join it.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::record::{self, Read, Record};
use crate::{
    dispatch_facts::Facts,
    event_id::{Epoch, EventId},
    guild_model::GuildModel,
    link_frame::{self, LinkFrame},
    ring::{Ring, RingLimits},
    shard_runner::Position,
};

/// The file that is replaced as a whole.
pub(super) const CHECKPOINT: &str = "checkpoint.json";
/// Changes when a checkpoint of an older program cannot be read any more.
const VERSION: u32 = 1;

/// Where the gateway role was.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Checkpoint<'a> {
    pub(super) version: u32,
    /// The newest event the model knows.
    pub(super) id: EventId,
    pub(super) position: Position,
    /// The boot in which the log was only handed to the system; `None` when it was forced to the disk.
    pub(super) boot: Option<String>,
    pub(super) model: Cow<'a, GuildModel>,
}

impl<'a> Checkpoint<'a> {
    pub(super) fn new(id: EventId, position: &Position, model: &'a GuildModel, durable: bool) -> Self {
        let boot = if durable { None } else { boot_id() };
        Self { version: VERSION, id, position: position.clone(), boot, model: Cow::Borrowed(model) }
    }
}

/// Everything a start goes on from.
#[derive(Debug)]
pub struct Restored {
    /// The epoch that goes on.
    pub epoch: Epoch,
    /// The events that can be replayed.
    pub ring: Ring<ByteString>,
    /// Where the Discord session goes on.
    pub position: Position,
    /// The guilds as the newest event left them.
    pub model: GuildModel,
}

/// Why a start cannot go on from what it found.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is no checkpoint")]
    Nothing,
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{CHECKPOINT} is not a checkpoint of this version: {0}")]
    Checkpoint(String),
    #[error("the machine stopped before the log had reached the disk")]
    PowerLoss,
    #[error("{0} is corrupt")]
    Corrupt(PathBuf),
    #[error("event {0} was too large to be logged")]
    Oversized(u64),
    #[error("the Discord session had not begun")]
    NoSession,
}

/// A file of the log: the events of an epoch from `id` on.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) id: EventId,
    pub(super) path: PathBuf,
}

impl Segment {
    pub(super) fn new(dir: &Path, id: EventId) -> Self {
        Self { id, path: dir.join(format!("events-{id}.log")) }
    }

    fn parse(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix("events-")?.strip_suffix(".log")?;
        let id = name.parse().ok()?;
        Some(Self { id, path })
    }

    /// The segments in `dir`, of all epochs, each epoch's oldest first.
    pub(super) fn all(dir: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            found.extend(Self::parse(entry?.path()));
        }
        found.sort_by_key(|segment| segment.id.seq);
        Ok(found)
    }
}

/// Tells one run of the machine from the next: what was only handed to the system is gone with the run.
fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Reads the checkpoint and replays the log onto it.
pub(super) fn restore(dir: &Path, limits: RingLimits) -> Result<Restored, Unusable> {
    let checkpoint = read_checkpoint(&dir.join(CHECKPOINT))?;
    if checkpoint.boot.is_some() && checkpoint.boot != boot_id() {
        return Err(Unusable::PowerLoss);
    }
    let EventId { epoch, seq } = checkpoint.id;
    let unreadable = |path: &Path, source| Unusable::Io { path: path.to_owned(), source };
    let segments = Segment::all(dir).map_err(|source| unreadable(dir, source))?;
    let mut replay = Replay {
        ring: Ring::new(limits, seq),
        joined: false,
        checkpoint: seq,
        position: checkpoint.position,
        model: checkpoint.model.into_owned(),
    };
    for Segment { path, .. } in segments.into_iter().filter(|segment| segment.id.epoch == epoch) {
        let bytes = fs::read(&path).map_err(|source| unreadable(&path, source))?;
        let mut rest = &bytes[..];
        loop {
            match record::read(rest) {
                Read::End => break,
                Read::Corrupt => return Err(Unusable::Corrupt(path)),
                Read::Record(record, after) => {
                    replay.take(&record).ok_or(Unusable::Corrupt(path.clone()))??;
                    rest = after;
                }
            }
        }
    }
    if replay.ring.last() < seq {
        replay.ring.restart(seq);
    }
    if replay.position.seq == 0 {
        return Err(Unusable::NoSession);
    }
    Ok(Restored { epoch, ring: replay.ring, position: replay.position, model: replay.model })
}

fn read_checkpoint(path: &Path) -> Result<Checkpoint<'static>, Unusable> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Nothing),
        Err(source) => return Err(Unusable::Io { path: path.to_owned(), source }),
    };
    let checkpoint: Checkpoint<'static> =
        serde_json::from_slice(&text).map_err(|error| Unusable::Checkpoint(error.to_string()))?;
    if checkpoint.version != VERSION {
        return Err(Unusable::Checkpoint(format!("version {}", checkpoint.version)));
    }
    Ok(checkpoint)
}

/// The state as it grows record by record.
struct Replay {
    ring: Ring<ByteString>,
    /// Whether the ring has begun.
    joined: bool,
    checkpoint: u64,
    position: Position,
    model: GuildModel,
}

impl Replay {
    /// Takes in a record. `None`: it does not join what came before, though the checkpoint does not cover the hole.
    fn take(&mut self, record: &Record<'_>) -> Option<Result<(), Unusable>> {
        if !self.joined || record.first != self.ring.last() + 1 {
            // Older events than the checkpoint's are only for peers that were away: there a hole does no harm.
            if record.first > self.checkpoint + 1 {
                return None;
            }
            self.ring.restart(record.first - 1);
            self.joined = true;
        }
        for frame in &record.frames {
            self.ring.push(ByteString::from(*frame), frame.len());
        }
        if record.first <= self.checkpoint {
            return Some(Ok(()));
        }
        self.position.seq = record.s;
        Some(self.apply(record))
    }

    /// The first frame is the dispatch; the others were derived from it, and are again.
    fn apply(&mut self, record: &Record<'_>) -> Result<(), Unusable> {
        let frame = record.frames.first().copied().unwrap_or_default();
        match link_frame::decode(&Bytes::copy_from_slice(frame.as_bytes())) {
            Ok(LinkFrame::Event { event, payload, .. }) => {
                // It is a slice of a string.
                let payload = std::str::from_utf8(&payload).unwrap_or_default();
                self.model.apply(Facts::read(&event, payload));
                Ok(())
            }
            _ => Err(Unusable::Oversized(record.first)),
        }
    }
}
