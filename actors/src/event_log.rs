//! The memory of the gateway role across restarts: a log of what was published, and a checkpoint of the guild model.
//!
//! Each dispatch is handed to the system with one plain write before anyone hears of it, so a process that is killed
//! has lost nothing. It is not forced to the disk: after the machine itself has stopped, the log may lack events that
//! peers have seen, and a new epoch begins (<https://www.kernel.org/doc/html/latest/admin-guide/sysctl/kernel.html#random>
//! tells one run of the machine from the next). A disk that takes no more costs the log, never the flow.

mod record;
mod restore;

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use log::{error, info, warn};

pub use self::restore::Restored;
use self::restore::{CHECKPOINT, Checkpoint, Segment, Unusable};
use crate::{event_id::EventId, guild_model::GuildModel, ring::RingLimits, shard_runner::Position};

/// Held while a gateway role uses the directory.
const LOCK: &str = "lock";
/// The checkpoint until it is complete.
const TEMPORARY: &str = "checkpoint.tmp";
/// The log is cut into files of this part of what the ring keeps; whole files are removed.
const SEGMENTS: usize = 4;

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// It cannot be created or written.
    #[error("cannot keep state in {dir} (GATEWAY_STATE_DIR): {source}; empty keeps nothing on disk")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{dir} (GATEWAY_STATE_DIR) is in use by another gateway: stop it, or choose another directory")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
}

/// The log.
pub struct EventLog {
    dir: PathBuf,
    limits: RingLimits,
    /// Released when the log is dropped.
    _lock: File,
    open: Option<Writing>,
    /// All segments of the epoch, oldest first; the last one is being written.
    kept: VecDeque<Segment>,
    failed: bool,
    /// Events that were not logged since the disk failed.
    unlogged: usize,
    failures: u64,
    /// The record that was begun, and how many frames are in it.
    buffer: Vec<u8>,
    frames: usize,
}

/// What is appended to.
struct Writing {
    writer: Box<dyn Write>,
    events: usize,
    bytes: usize,
}

impl EventLog {
    /// Opens the directory, and what a former run has left there to go on from.
    ///
    /// # Errors
    ///
    /// [`EventLogError`] when the directory is not to be had. What lies in it is never an error: a log that cannot be
    /// trusted is said so, removed, and the role begins anew.
    pub fn open(dir: &Path, limits: RingLimits) -> Result<(Self, Option<Restored>), EventLogError> {
        let lock = lock(dir)?;
        let mut log = Self {
            dir: dir.to_owned(),
            limits,
            _lock: lock,
            open: None,
            kept: VecDeque::new(),
            failed: false,
            unlogged: 0,
            failures: 0,
            buffer: Vec::new(),
            frames: 0,
        };
        let restored = match restore::restore(dir, limits) {
            Ok(restored) => Some(restored),
            Err(Unusable::Nothing) => None,
            Err(why) => {
                warn!("[Gateway Service] The event log cannot be continued, a new epoch begins: {why}");
                None
            }
        };
        let Some(restored) = restored else {
            log.remove_all();
            return Ok((log, None));
        };
        info!(
            "[Gateway Service] Going on after {}-{}, {} events to replay",
            restored.epoch,
            restored.ring.last(),
            restored.ring.len()
        );
        let segments = Segment::all(dir).unwrap_or_default().into_iter();
        log.kept = segments.filter(|segment| segment.id.epoch == restored.epoch).collect();
        let id = EventId { epoch: restored.epoch, seq: restored.ring.last() };
        log.checkpoint(id, &restored.position, &restored.model, restored.ring.floor());
        Ok((log, Some(restored)))
    }

    /// Begins what a dispatch becomes: frames from the position `first` on.
    pub fn begin(&mut self, s: u64, first: u64) {
        record::begin(&mut self.buffer, s, first);
        self.frames = 0;
    }

    /// Adds a frame to what was begun.
    pub fn push(&mut self, frame: &str) {
        self.frames += 1;
        if self.open.is_some() {
            record::push(&mut self.buffer, frame);
        }
    }

    /// Writes what was begun.
    pub fn commit(&mut self) {
        let Some(open) = &mut self.open else {
            self.unlogged += self.frames;
            return;
        };
        record::end(&mut self.buffer);
        match open.writer.write_all(&self.buffer) {
            Ok(()) => {
                open.events += self.frames;
                open.bytes += self.buffer.len();
            }
            Err(error) => self.fail(&error),
        }
        // One large event does not keep its size for ever.
        self.buffer.clear();
        self.buffer.shrink_to(1024 * 1024);
    }

    /// Whether it is time for a [`checkpoint`](Self::checkpoint).
    #[must_use]
    pub fn is_due(&self) -> bool {
        let events = self.limits.events.div_ceil(SEGMENTS);
        match &self.open {
            Some(open) => open.events >= events || open.bytes >= self.limits.bytes.div_ceil(SEGMENTS),
            None => self.failed && self.unlogged >= events,
        }
    }

    /// Replaces the checkpoint, begins a new segment and removes those that end at or before `floor`.
    ///
    /// `position` and `model` are as the event `id` left them. A new epoch begins the same way.
    pub fn checkpoint(&mut self, id: EventId, position: &Position, model: &GuildModel, floor: u64) {
        match self.try_checkpoint(&Checkpoint::new(id, position, model, false), floor) {
            Ok(()) if self.failed => {
                info!("[Gateway Service] The event log is written again, from {id} on");
                self.failed = false;
            }
            Ok(()) => {}
            Err(error) => self.fail(&error),
        }
    }

    /// Forces everything to the disk and ends the log: the next start may trust it even after the machine stopped.
    pub fn close(self, id: EventId, position: &Position, model: &GuildModel) {
        if self.open.is_none() {
            return;
        }
        let synced = || {
            for segment in &self.kept {
                File::open(&segment.path)?.sync_all()?;
            }
            self.write_checkpoint(&Checkpoint::new(id, position, model, true))?;
            File::open(&self.dir)?.sync_all()
        };
        if let Err(error) = synced() {
            // The last checkpoint and the log are still true; they are only not safe from a power loss.
            warn!("[Gateway Service] The event log could not be forced to the disk: {error}");
        }
    }

    /// Whether events are being logged.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.open.is_some()
    }

    /// Times the disk took no more.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    fn try_checkpoint(&mut self, checkpoint: &Checkpoint<'_>, floor: u64) -> io::Result<()> {
        self.write_checkpoint(checkpoint)?;
        let segment = Segment::new(&self.dir, checkpoint.id.next());
        self.open = Some(Writing { writer: Box::new(create(&segment.path)?), events: 0, bytes: 0 });
        // The checkpoint has closed every other epoch, and what a segment of the same name was begun for.
        self.kept.retain(|kept| kept.id.epoch == segment.id.epoch && kept.id != segment.id);
        self.kept.push_back(segment);
        while self.kept.get(1).is_some_and(|next| next.id.seq <= floor + 1) {
            self.kept.pop_front();
        }
        for old in Segment::all(&self.dir)? {
            if self.kept.iter().all(|kept| kept.id != old.id) {
                fs::remove_file(&old.path)?;
            }
        }
        Ok(())
    }

    /// Written beside the old one and renamed over it: a reader finds one or the other, whole.
    fn write_checkpoint(&self, checkpoint: &Checkpoint<'_>) -> io::Result<()> {
        let temporary = self.dir.join(TEMPORARY);
        let mut file = create(&temporary)?;
        file.write_all(&serde_json::to_vec(checkpoint)?)?;
        if checkpoint.boot.is_none() {
            file.sync_all()?;
        }
        fs::rename(temporary, self.dir.join(CHECKPOINT))
    }

    /// Goes on without a log. What is on disk now lacks events that peers will see, so it is not to be continued.
    fn fail(&mut self, error: &io::Error) {
        if !self.failed {
            warn!(
                "[Gateway Service] The event log cannot be written, events are kept in memory only: {error}; \
                 free space in {} (GATEWAY_STATE_DIR)",
                self.dir.display()
            );
        }
        self.failures += 1;
        self.failed = true;
        self.unlogged = 0;
        self.open = None;
        self.remove_all();
    }

    fn remove_all(&mut self) {
        self.kept.clear();
        if let Err(error) = remove_files(&self.dir) {
            error!("[Gateway Service] The old event log cannot be removed, remove it by hand: {error}");
        }
    }
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLog")
            .field("dir", &self.dir)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Removes everything a gateway role keeps in `dir`; answers how many files there were.
///
/// # Errors
///
/// [`EventLogError`] when a gateway uses the directory, or it cannot be written.
pub fn purge(dir: &Path) -> Result<usize, EventLogError> {
    if !dir.exists() {
        return Ok(0);
    }
    let _lock = lock(dir)?;
    remove_files(dir).map_err(|source| EventLogError::Directory { dir: dir.to_owned(), source })
}

fn lock(dir: &Path) -> Result<File, EventLogError> {
    let failed = |source| EventLogError::Directory { dir: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let file = create(&dir.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(EventLogError::InUse { dir: dir.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The checkpoint goes first: without it, nobody takes the rest for a log.
fn remove_files(dir: &Path) -> io::Result<usize> {
    let mut paths = vec![dir.join(CHECKPOINT), dir.join(TEMPORARY)];
    paths.extend(Segment::all(dir)?.into_iter().map(|segment| segment.path));
    let mut removed = 0;
    for path in paths {
        match fs::remove_file(path) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// An empty file that only its owner may read: messages are in it.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
#[path = "event_log/tests.rs"]
mod tests;
