use std::os::unix::fs::PermissionsExt as _;

use bytestring::ByteString;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{dispatch_facts::Facts, event_id::Epoch, link_frame, ring::Ring, scope::Scope};

const LIMITS: RingLimits = RingLimits { events: 20, bytes: 1024 * 1024 };
const GUILD: &str = r#"{"id":"1","name":"g","owner_id":"7","roles":[{"id":"1","permissions":"1024"}],"channels":[{"id":"2","type":2,"name":"v"}],"members":[],"voice_states":[]}"#;

/// What LinkServer does with a log, and nothing else.
struct Run {
    log: EventLog,
    epoch: Epoch,
    ring: Ring<ByteString>,
    position: Position,
    model: GuildModel,
}

/// Everything a run must find again.
type State = (Epoch, u64, Vec<ByteString>, Position, GuildModel);

impl Run {
    fn start(dir: &Path, limits: RingLimits) -> (Self, bool) {
        let (log, restored) = EventLog::open(dir, limits).unwrap();
        if let Some(Restored { epoch, ring, position, model }) = restored {
            return (Self { log, epoch, ring, position, model }, true);
        }
        let position = Position { session: "s".into(), resume_url: "wss://resume".into(), seq: 0 };
        let (epoch, ring, model) = (Epoch::random(), Ring::new(limits, 0), GuildModel::default());
        let mut run = Self { log, epoch, ring, position, model };
        run.checkpoint();
        run.publish("READY", r#"{"user":{"id":"9"},"guilds":[{"id":"1"}]}"#);
        run.publish("GUILD_CREATE", GUILD);
        (run, false)
    }

    fn id(&self) -> EventId {
        EventId { epoch: self.epoch, seq: self.ring.last() }
    }

    fn checkpoint(&mut self) {
        self.log.checkpoint(self.id(), &self.position, &self.model, self.ring.floor());
    }

    fn publish(&mut self, event: &str, d: &str) {
        self.position.seq += 1;
        self.log.begin(self.position.seq, self.ring.last() + 1);
        let mut frame = |ring: &mut Ring<ByteString>, name: &str, payload: &str| {
            let id = EventId { epoch: self.epoch, seq: ring.last() + 1 };
            let frame = ByteString::from(link_frame::encode_event(id, name, payload, &Scope::default(), 5));
            ring.push(frame.clone(), frame.len());
            self.log.push(&frame);
        };
        frame(&mut self.ring, event, d);
        for derived in self.model.apply(Facts::read(event, d)) {
            frame(&mut self.ring, derived.event, &derived.payload);
        }
        self.log.commit();
        if self.log.is_due() {
            self.checkpoint();
        }
    }

    /// Somebody joins or leaves voice: one event, and one derived from it.
    fn join(&mut self, user: u64, channel: &str) {
        let d = format!(
            r#"{{"guild_id":"1","channel_id":{channel},"user_id":"{user}","session_id":"x","member":{{"user":{{"id":"{user}","username":"u"}},"roles":[]}}}}"#
        );
        self.publish("VOICE_STATE_UPDATE", &d);
    }

    fn state(&self) -> State {
        let events = self.ring.floor() + 1..=self.ring.last();
        let frames = events.map(|seq| self.ring.get(seq).unwrap().clone()).collect();
        (self.epoch, self.ring.last(), frames, self.position.clone(), self.model.clone())
    }

    fn close(self) {
        self.log.close(EventId { epoch: self.epoch, seq: self.ring.last() }, &self.position, &self.model);
    }
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    paths.sort();
    paths
}

/// As if the machine had been switched off and on.
fn pretend_reboot(dir: &Path) {
    let path = dir.join(CHECKPOINT);
    let mut checkpoint: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    if !checkpoint["boot"].is_null() {
        checkpoint["boot"] = "another".into();
    }
    fs::write(path, checkpoint.to_string()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A run may be killed after any dispatch and any number of times: ring, model, position and epoch go on.
    #[test]
    fn a_killed_run_is_continued_as_if_nothing_had_happened(steps in prop::collection::vec(prop_oneof![
        4 => (10u64..14, prop_oneof![Just("\"2\""), Just("null")]).prop_map(Some),
        1 => Just(None),
    ], 1..80)) {
        let (killed, steady) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut run = Run::start(killed.path(), LIMITS).0;
        let mut reference = Run::start(steady.path(), LIMITS).0;
        reference.epoch = run.epoch;
        reference.ring = Ring::new(LIMITS, 0);
        for seq in 1..=run.ring.last() {
            let frame = run.ring.get(seq).unwrap().clone();
            reference.ring.push(frame.clone(), frame.len());
        }
        for step in steps {
            match step {
                Some((user, channel)) => {
                    run.join(user, channel);
                    reference.join(user, channel);
                }
                None => {
                    drop(run);
                    let (again, went_on) = Run::start(killed.path(), LIMITS);
                    prop_assert!(went_on);
                    run = again;
                }
            }
            prop_assert_eq!(run.state(), reference.state());
        }
    }

    /// Whatever a kill left of the last write is cut off, and everything before it is there.
    #[test]
    fn a_torn_tail_is_cut_off(cut: prop::sample::Index) {
        let dir = TempDir::new().unwrap();
        let mut run = Run::start(dir.path(), LIMITS).0;
        let mut states = vec![run.state()];
        for user in 10..13 {
            run.join(user, "\"2\"");
            states.push(run.state());
        }
        drop(run);
        let segment = files(dir.path(), ".log").pop().unwrap();
        let bytes = fs::read(&segment).unwrap();
        fs::write(&segment, &bytes[..cut.index(bytes.len())]).unwrap();
        let (mut run, went_on) = Run::start(dir.path(), LIMITS);
        prop_assert!(!went_on || run.position.seq == 1 || states.contains(&run.state()));
        // And it goes on behind the cut.
        run.join(20, "\"2\"");
        let state = run.state();
        drop(run);
        prop_assert_eq!(Run::start(dir.path(), LIMITS).0.state(), state);
    }

    #[test]
    fn damage_is_never_taken_for_events(at: prop::sample::Index, bit in 0u8..8) {
        let dir = TempDir::new().unwrap();
        let mut run = Run::start(dir.path(), LIMITS).0;
        for user in 10..13 {
            run.join(user, "\"2\"");
        }
        let (epoch, _, frames, ..) = run.state();
        drop(run);
        let segment = files(dir.path(), ".log").pop().unwrap();
        let mut bytes = fs::read(&segment).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(&segment, bytes).unwrap();
        let (run, went_on) = Run::start(dir.path(), LIMITS);
        prop_assert_eq!(went_on, run.epoch == epoch);
        prop_assert!(!went_on || frames.starts_with(&run.state().2));
    }
}

#[test]
fn what_cannot_be_trusted_begins_a_new_epoch_and_is_removed() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("no checkpoint", |dir| fs::remove_file(dir.join(CHECKPOINT)).unwrap()),
        ("half a checkpoint", |dir| {
            let text = fs::read(dir.join(CHECKPOINT)).unwrap();
            fs::write(dir.join(CHECKPOINT), &text[..text.len() / 2]).unwrap();
        }),
        ("a checkpoint of a later version", |dir| {
            let text = fs::read_to_string(dir.join(CHECKPOINT)).unwrap();
            fs::write(dir.join(CHECKPOINT), text.replace(r#""version":1"#, r#""version":2"#)).unwrap();
        }),
        ("a power loss", pretend_reboot),
    ];
    for (what, damage) in damages {
        let dir = TempDir::new().unwrap();
        let mut run = Run::start(dir.path(), LIMITS).0;
        run.join(10, "\"2\"");
        let epoch = run.epoch;
        drop(run);
        damage(dir.path());
        let (run, went_on) = Run::start(dir.path(), LIMITS);
        assert!(!went_on && run.epoch != epoch, "{what}");
        assert!(run.log.is_writing(), "{what}");
    }
}

#[test]
fn an_orderly_stop_is_safe_from_a_power_loss() {
    let dir = TempDir::new().unwrap();
    let mut run = Run::start(dir.path(), LIMITS).0;
    run.join(10, "\"2\"");
    let state = run.state();
    run.close();
    pretend_reboot(dir.path());
    let (run, _) = Run::start(dir.path(), LIMITS);
    assert_eq!(run.state(), state);
    drop(run);
    // The next run is exposed again.
    pretend_reboot(dir.path());
    assert!(!Run::start(dir.path(), LIMITS).1);
}

#[test]
fn the_disk_holds_little_more_than_the_ring() {
    let dir = TempDir::new().unwrap();
    let mut run = Run::start(dir.path(), LIMITS).0;
    for user in 0..500 {
        run.join(user % 4, if user % 8 < 4 { "\"2\"" } else { "null" });
        assert!(files(dir.path(), ".log").len() <= SEGMENTS + 2);
    }
    assert_eq!(run.ring.len(), LIMITS.events);
}

#[test]
fn only_the_owner_may_read_what_was_said() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("state");
    let mut run = Run::start(&dir, LIMITS).0;
    run.join(10, "\"2\"");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for path in files(&dir, "") {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_full_disk_costs_the_log_and_not_the_flow() {
    let dir = TempDir::new().unwrap();
    let mut run = Run::start(dir.path(), LIMITS).0;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    run.log.open.as_mut().unwrap().writer = Box::new(full);
    run.join(10, "\"2\"");
    assert_eq!((run.log.is_writing(), run.log.failures()), (false, 1));
    // What peers see now is nowhere: a restart must not claim to go on.
    assert_eq!(files(dir.path(), ".log").len() + files(dir.path(), ".json").len(), 0);
    for user in 10..20 {
        run.join(user, "null");
        run.join(user, "\"2\"");
    }
    assert!(run.log.is_writing(), "it is tried again");
    let state = run.state();
    drop(run);
    let (run, went_on) = Run::start(dir.path(), LIMITS);
    assert!(went_on);
    let (epoch, last, frames, position, model) = run.state();
    assert_eq!((epoch, last, position, model), (state.0, state.1, state.3, state.4));
    assert!(state.2.ends_with(&frames));
}

#[test]
fn a_directory_serves_one_gateway_at_a_time_and_can_be_purged() {
    let dir = TempDir::new().unwrap();
    let run = Run::start(dir.path(), LIMITS).0;
    assert!(matches!(EventLog::open(dir.path(), LIMITS), Err(EventLogError::InUse { .. })));
    assert!(matches!(purge(dir.path()), Err(EventLogError::InUse { .. })));
    drop(run);
    assert_eq!(purge(dir.path()).unwrap(), 2);
    assert!(!Run::start(dir.path(), LIMITS).1);
    assert_eq!(purge(&dir.path().join("nothing")).unwrap(), 0);
}

#[test]
fn a_directory_that_cannot_be_had_is_named_with_its_setting() {
    let error = EventLog::open(Path::new("/dev/null/state"), LIMITS).unwrap_err().to_string();
    assert!(error.contains("/dev/null/state") && error.contains("GATEWAY_STATE_DIR"), "{error}");
}

/// `cargo test -p guildstream-actors --release -- --ignored --nocapture cost`
#[test]
#[ignore = "a measurement"]
fn the_cost_of_an_event() {
    let dir = TempDir::new().unwrap();
    let limits = RingLimits { events: 1_000_000, bytes: 1 << 40 };
    let mut run = Run::start(dir.path(), limits).0;
    let frame = ByteString::from("x".repeat(1000));
    let (events, start) = (200_000u32, std::time::Instant::now());
    for n in 0..events {
        run.log.begin(n.into(), run.ring.last() + 1 + u64::from(n));
        run.log.push(&frame);
        run.log.commit();
    }
    println!("{} ns per event of 1 kB", (start.elapsed() / events).as_nanos());
}
