//! Starts and reloads on real directories, with the disk's real threads: what is left, and what a crash at each step of a
//! reload leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::disk::{self, Disk, Done};
use super::super::epochs::tests::Scratch;
use super::super::reload::Reloader;
use super::super::sync_times::SyncTimes;
use super::*;
use crate::base::{ConnectionId, Epoch, HashKey, Instant, ServerId, SessionId, ShardId, WallMillis};
use crate::io::{Backend, Loop};
use crate::messages::{Client, Request};
use crate::replica::{Input, Output, Replica, SnapshotCommand, SnapshotSettings};
use crate::zab::{Epochs, History, HistoryLimits};

const PATIENCE: Duration = Duration::from_secs(20);
const SEGMENT_BYTES: u64 = 64 << 10;
/// A snapshot after each transaction, or none.
const EACH: u64 = 1;
const NEVER: u64 = u64::MAX / 2;

/// What the disk's threads report next. Panics if they say nothing for long.
fn next_done(disk: &mut Disk, io: &mut Loop) -> Done {
    const WAIT: Duration = Duration::from_millis(50);
    for _ in 0..PATIENCE.as_millis() / WAIT.as_millis() {
        if let Some(done) = disk.next_done(io) {
            return done;
        }
        disk.wait_done(io, WAIT).expect("a loop");
    }
    panic!("the disk's threads say nothing more")
}

fn now() -> Now {
    Now { instant: Instant(1_000_000_000), wall: WallMillis(1) }
}

/// A server's replica and disk, without clients: its transactions are sessions.
struct Server {
    replica: Replica,
    disk: Disk,
    reloader: Reloader,
    history: History,
    epochs: EpochRecord,
    /// Snapshots asked for and not written.
    snapshots: usize,
    io: Loop,
}

/// `id` is in the server's session ids, so that two servers' histories differ.
fn recovery(directory: Directory, id: i64, snapshots: u64) -> Recovery {
    let directory = Arc::new(directory);
    let settings = replica::Settings {
        server: ServerId(id),
        tick: Duration::from_secs(2),
        session_timeout_min: Duration::from_secs(4),
        session_timeout_max: Duration::from_secs(40),
        rules: crate::tree::Rules::default(),
        containers: Default::default(),
        snapshots: SnapshotSettings {
            count: snapshots,
            log_bytes: 0,
            bytes_per_second: 0,
            ahead_bytes_max: crate::tree::AHEAD_BYTES_MAX,
            retain: None,
            seed: 1,
        },
        outstanding_max: limits::PROPOSALS_MAX,
        slow_request: Duration::MAX,
        throttle: None,
        turn_budget: limits::TURN_BUDGET,
        hash_key: HashKey(1, 2),
        passwords: crate::tree::Passwords::default(),
        history: Some(HistoryLimits { count: 3, bytes: 1 << 20 }),
        digests: true,
    };
    let places = Arc::new(Places::of_one(directory));
    // Salts differ from start to start, as the seed does.
    let seed = SyncTimes::default();
    let prng = Prng::salted(std::ptr::from_ref(&seed) as u64 ^ crate::io::Clock::instant().0, "test");
    Recovery { places, settings, segment_bytes: SEGMENT_BYTES, shards: 1, prng }
}

impl Server {
    fn start(directory: Directory, id: i64, snapshots: u64) -> Result<Server, Fatal> {
        let io = Loop::new(Backend::Auto, 1).expect("a loop");
        let mut recovery = recovery(directory, id, snapshots);
        let Recovered { start, active, epochs, epoch_file } = recovery.run(None, now())?;
        let Start { replica, history, .. } = start;
        let settings = disk::Settings {
            log_directory: recovery.places.log.clone(),
            snapshot_directory: recovery.places.snapshots.clone(),
            segment_bytes: SEGMENT_BYTES,
            force_sync: true,
            is_direct: true,
            sync_warning: PATIENCE,
            sync_times: Arc::default(),
        };
        let bell = io.doorbell();
        let disk = Disk::start(settings.clone(), active, epoch_file, &bell)?;
        let reloader = Reloader { recovery, disk: settings, bell };
        let history = history.expect("a member's");
        Ok(Server { replica, disk, reloader, history, epochs, snapshots: 0, io })
    }

    /// What the threads report until `done` says that it is what was waited for.
    fn wait(&mut self, mut done: impl FnMut(&Done) -> bool) {
        loop {
            let next = next_done(&mut self.disk, &mut self.io);
            let is_it = done(&next);
            match next {
                Done::Failed { error } => panic!("{error}"),
                Done::EpochsDurable => {}
                next => self.step(next.into_input()),
            }
            if is_it {
                return;
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut outputs = vec![];
        self.replica.step(now(), input, &mut outputs);
        while self.replica.apply_next(&mut outputs) {}
        for output in outputs {
            match output {
                Output::Log(command) => self.disk.log(command),
                Output::Snapshot(command) => {
                    self.snapshots += usize::from(matches!(command, SnapshotCommand::Create { .. }));
                    self.disk.snapshot(command);
                }
                Output::Publish { zxid } => self.replica.publish(zxid),
                Output::Notify { .. } => {}
                Output::Peer(_) | Output::Serve(_) => panic!("nobody has joined"),
            }
        }
        self.disk.submit(&mut self.io);
    }

    /// So many transactions, each durable and applied; and the snapshot that follows it, if there is one.
    fn write(mut self, count: usize) -> Server {
        for _ in 0..count {
            let from = Client { shard: ShardId(0), connection: ConnectionId { slot: 0, generation: 1 } };
            let session = SessionId::NONE;
            self.step(Input::Request(Request::Connect { from, session, password: None, timeout_ms: 9000 }));
            self.step(Input::TurnEnd);
            while !self.replica.is_idle() {
                self.wait(|_| true);
            }
            self.step(Input::TurnEnd);
            while self.snapshots > 0 {
                let mut written = false;
                self.wait(|done| {
                    written = matches!(done, Done::SnapshotWritten { .. });
                    true
                });
                self.snapshots -= usize::from(written);
                self.step(Input::TurnEnd);
            }
        }
        self
    }

    fn reload(mut self, to: i64) -> Result<Server, Fatal> {
        let (start, _) = self.reloader.reload(&mut self.disk, &mut self.io, Zxid(to), now())?;
        self.replica = start.replica;
        self.history = start.history.expect("a member's");
        Ok(self)
    }

    fn end(mut self) {
        self.disk.finish(&mut self.io, &mut self.replica).expect("room");
    }

    fn sessions(&self) -> BTreeSet<i64> {
        self.replica.sessions().list().into_iter().map(|(id, _)| id.0).collect()
    }

    fn directory(&self) -> Arc<Directory> {
        self.reloader.recovery.places.snapshots.clone()
    }
}

fn start(scratch: &Scratch) -> Server {
    Server::start(scratch.directory(), 1, NEVER).unwrap_or_else(|fatal| panic!("{fatal}"))
}

fn names(directory: &Directory, prefix: &str) -> Vec<String> {
    let entries = directory.list().expect("readable");
    entries.into_iter().map(|entry| entry.name).filter(|name| name.starts_with(prefix)).collect()
}

fn snapshots(directory: &Directory) -> Vec<i64> {
    let names = names(directory, "snapshot.");
    let zxid = |name: &String| match SnapshotName::parse(name) {
        Some(SnapshotName::Whole(zxid)) => zxid.0,
        other => panic!("{name}: {other:?}"),
    };
    names.iter().map(zxid).collect()
}

/// All files, as a crash at this moment would leave them (everything the steps write is synced).
fn files(directory: &Directory) -> BTreeMap<String, Vec<u8>> {
    let entries = directory.list().expect("readable");
    entries
        .into_iter()
        .map(|entry| (entry.name.clone(), directory.read(&entry.name).expect("readable")))
        .collect()
}

fn put(scratch: &Scratch, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        std::fs::write(scratch.directory().path_of(name), bytes).expect("room");
    }
}

#[test]
fn a_start_says_what_the_epochs_were() {
    let scratch = Scratch::new();
    let mut server = start(&scratch);
    assert_eq!((server.epochs, server.history.last()), (EpochRecord::None, Zxid::ZERO));
    server = server.write(5);
    for accepted in 1..4 {
        server.disk.persist_epochs(&mut server.io, Epochs { accepted: Epoch(accepted), current: Epoch(0) });
        server.wait(|done| matches!(done, Done::EpochsDurable));
    }
    server.end();
    let server = start(&scratch);
    assert_eq!(server.epochs, EpochRecord::Found(Epochs { accepted: Epoch(3), current: Epoch(0) }));
    // Its limit is three.
    let kept = server.history.between(Zxid(2), Zxid(9)).expect("the newest three");
    assert_eq!(kept.map(|entry| entry.zxid.0).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(server.history.between(Zxid(1), Zxid(9)).is_none());
    server.end();
    // A record without a log says that the log was lost.
    let directory = scratch.directory();
    for name in names(&directory, "segment.") {
        directory.remove(&[&name]).expect("it is there");
    }
    let server = start(&scratch);
    assert_eq!(server.epochs, EpochRecord::Lost);
    server.end();
    let server = start(&scratch);
    assert_eq!(server.epochs, EpochRecord::Lost, "and later, when there is a new log");
    let epochs = Epochs { accepted: Epoch(4), current: Epoch(4) };
    let mut server = server;
    server.disk.persist_epochs(&mut server.io, epochs);
    server.wait(|done| matches!(done, Done::EpochsDurable));
    server.end();
    let server = start(&scratch);
    assert_eq!(server.epochs, EpochRecord::Found(epochs), "until there is a record again");
    server.end();
}

#[test]
fn a_reload_cuts_the_log_and_the_next_start_finds_it_so() {
    let scratch = Scratch::new();
    let server = start(&scratch).write(6);
    let all = server.sessions();
    let server = server.reload(4).expect("it can be cut");
    assert_eq!((server.replica.applied(), server.history.last()), (Zxid(4), Zxid(4)));
    assert_eq!(server.sessions(), all.iter().copied().take(4).collect());
    // The disk's new threads go on with it.
    let server = server.write(2);
    assert_eq!(server.replica.applied(), Zxid(6));
    let written = server.sessions();
    server.end();
    let server = start(&scratch);
    assert_eq!((server.replica.applied(), server.sessions()), (Zxid(6), written));
    // Nothing to cut, and everything.
    let server = server.reload(6).expect("nothing to do");
    assert_eq!(server.replica.applied(), Zxid(6));
    let server = server.reload(0).expect("the log begins at the beginning").write(1);
    assert_eq!(server.replica.applied(), Zxid(1));
    server.end();
}

/// What was handed to the disk before, also without having come back, is carried out and not lost.
#[test]
fn a_reload_carries_out_what_was_handed_over() {
    let scratch = Scratch::new();
    let mut server = start(&scratch).write(2);
    let epochs = Epochs { accepted: Epoch(9), current: Epoch(2) };
    server.disk.persist_epochs(&mut server.io, epochs);
    let (started, left) =
        server.reloader.reload(&mut server.disk, &mut server.io, Zxid(2), now()).expect("nothing to cut");
    assert!(left.epochs_durable);
    server.replica = started.replica;
    // Not by `EpochFile::read`, which would put another file in its place.
    let bytes = server.directory().read(log::EPOCH_FILE).expect("it is there");
    let expected = log::EpochsFound::Found { accepted: epochs.accepted, current: epochs.current };
    assert_eq!(log::decode_epochs(Some(&bytes)), expected);
    // The new log thread goes on with the record.
    let epochs = Epochs { accepted: Epoch(9), current: Epoch(9) };
    server.disk.persist_epochs(&mut server.io, epochs);
    server.wait(|done| matches!(done, Done::EpochsDurable));
    server.end();
    assert_eq!(start(&scratch).epochs, EpochRecord::Found(epochs));
}

#[test]
fn snapshots_of_what_is_cut_go_and_a_crash_between_the_steps_loses_nothing() {
    let scratch = Scratch::new();
    let server = Server::start(scratch.directory(), 1, EACH).expect("blank").write(6);
    let all = server.sessions();
    let directory = server.directory();
    assert_eq!(snapshots(&directory), [1, 2, 3, 4, 5, 6]);
    server.end();
    let before = files(&scratch.directory());

    let server = start(&scratch).reload(3).expect("it can be cut");
    assert_eq!(server.replica.applied(), Zxid(3));
    assert_eq!(snapshots(&directory), [1, 2, 3]);
    server.end();
    let after = files(&scratch.directory());

    // A crash behind step 1, with the newer snapshots gone, all or some: what it was before.
    for gone in [&[4, 5, 6][..], &[5], &[6, 4]] {
        let scratch = Scratch::new();
        put(&scratch, &before);
        for zxid in gone {
            scratch.directory().remove(&[&log::snapshot_file_name(Zxid(*zxid))]).expect("it is there");
        }
        let server = start(&scratch);
        assert_eq!((server.replica.applied(), server.sessions()), (Zxid(6), all.clone()), "{gone:?}");
        let server = server.reload(3).expect("told again");
        assert_eq!(server.replica.applied(), Zxid(3));
        server.end();
    }
    // Behind step 2, with the superseded segments still there: cut.
    let scratch = Scratch::new();
    let is_log = |name: &String| name.starts_with("segment.");
    put(
        &scratch,
        &before.iter().filter(|(name, _)| is_log(name)).map(|(n, b)| (n.clone(), b.clone())).collect(),
    );
    put(&scratch, &after);
    let server = start(&scratch);
    assert_eq!(server.replica.applied(), Zxid(3));
    assert_eq!(server.sessions(), all.into_iter().take(3).collect());
    server.end();
}

/// No snapshot is old enough and the log doesn't reach back: said before anything is touched.
#[test]
fn what_cant_be_cut_is_refused_and_nothing_is_changed() {
    let scratch = Scratch::new();
    let other = Scratch::new();
    let other_server = Server::start(other.directory(), 2, EACH).expect("blank").write(5);
    let received = other_server.directory().read(&log::snapshot_file_name(Zxid(5))).expect("written");
    other_server.end();
    let server = install(start(&scratch), 5, &received).reload(5).expect("it can be taken over").write(2);
    server.end();
    let before = files(&scratch.directory());
    let refused = start(&scratch).reload(4).map(|_| ()).expect_err("nothing reaches below 5");
    assert!(matches!(refused, Fatal::Recovery { .. }), "{refused}");
    let after = files(&scratch.directory());
    assert_eq!(snapshots_in(&before), snapshots_in(&after));
    let server = start(&scratch);
    assert_eq!(server.replica.applied(), Zxid(7));
    server.end();
}

fn snapshots_in(files: &BTreeMap<String, Vec<u8>>) -> Vec<&String> {
    files.keys().filter(|name| name.starts_with("snapshot.")).collect()
}

/// A snapshot that a leader sent, written and not yet taken over.
fn install(mut server: Server, zxid: i64, bytes: &[u8]) -> Server {
    let zxid = Zxid(zxid);
    server.disk.snapshot(SnapshotCommand::Create { zxid });
    server.disk.snapshot(SnapshotCommand::Append { bytes: bytes.to_vec().into() });
    server.disk.snapshot(SnapshotCommand::Install { zxid });
    loop {
        match next_done(&mut server.disk, &mut server.io) {
            Done::SnapshotWritten { zxid: written } => {
                assert_eq!(written, zxid);
                return server;
            }
            Done::SnapshotFailed { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
}

/// Our log is another history, and goes on behind the snapshot: nothing of it may come back, at no crash.
#[test]
fn a_received_snapshot_takes_the_place_of_another_history() {
    let leader = Scratch::new();
    let server = Server::start(leader.directory(), 2, EACH).expect("blank").write(4);
    let received = server.directory().read(&log::snapshot_file_name(Zxid(4))).expect("written");
    let theirs = server.sessions();
    server.end();
    // Our log ends behind the snapshot, at it, and before it.
    for ours in [6, 4, 2] {
        let scratch = Scratch::new();
        let server = Server::start(scratch.directory(), 1, EACH).expect("blank").write(ours);
        let mine = server.sessions();
        server.end();
        let before = files(&scratch.directory());
        let server = install(start(&scratch), 4, &received);
        let directory = server.directory();
        assert_eq!(names(&directory, NOTE), [note_name(Zxid(4))]);
        let installed = files(&directory);
        let server = server.reload(4).expect("it can be taken over");
        assert_eq!((server.replica.applied(), server.sessions()), (Zxid(4), theirs.clone()), "{ours}");
        assert_eq!(server.history.last(), Zxid(4));
        assert!(names(&directory, NOTE).is_empty());
        assert!(snapshots(&directory).iter().all(|zxid| *zxid <= 4));
        let server = server.write(1);
        let grown = server.sessions();
        server.end();
        let server = start(&scratch);
        assert_eq!((server.replica.applied(), server.sessions()), (Zxid(5), grown.clone()));
        server.end();

        // A crash between the snapshot and the reload: the start does as the reload would.
        let scratch = Scratch::new();
        put(&scratch, &installed);
        let server = start(&scratch);
        assert_eq!((server.replica.applied(), server.sessions()), (Zxid(4), theirs.clone()), "{ours}");
        assert!(names(&scratch.directory(), NOTE).is_empty());
        server.end();
        // The log is cut and the note is still there: again, with the same end.
        scratch.directory().write_atomically(&note_name(Zxid(4)), &[]).expect("room");
        let server = start(&scratch);
        assert_eq!((server.replica.applied(), server.sessions()), (Zxid(4), theirs.clone()));
        server.end();
        // The note without its snapshot: nothing had happened.
        let scratch = Scratch::new();
        put(&scratch, &before);
        scratch.directory().remove(&[&log::snapshot_file_name(Zxid(4))]).expect("one of ours, or none");
        scratch.directory().write_atomically(&note_name(Zxid(4)), &[]).expect("room");
        let server = start(&scratch);
        assert_eq!((server.replica.applied(), server.sessions()), (Zxid(ours as i64), mine), "{ours}");
        assert!(names(&scratch.directory(), NOTE).is_empty());
        server.end();
    }
}

/// What is told of a received snapshot whose file can't get its name, as `spoil` sees to.
fn spoilt_install(spoil: impl FnOnce(&Directory)) -> (Done, Vec<String>) {
    let scratch = Scratch::new();
    let mut server = start(&scratch).write(2);
    let directory = server.directory();
    server.disk.snapshot(SnapshotCommand::Create { zxid: Zxid(7) });
    server.disk.snapshot(SnapshotCommand::Append { bytes: b"a snapshot".to_vec().into() });
    while !matches!(next_done(&mut server.disk, &mut server.io), Done::SnapshotProgress { .. }) {}
    spoil(&directory);
    server.disk.snapshot(SnapshotCommand::Install { zxid: Zxid(7) });
    loop {
        let told = next_done(&mut server.disk, &mut server.io);
        if matches!(told, Done::Failed { .. } | Done::SnapshotFailed { .. } | Done::SnapshotWritten { .. }) {
            return (told, names(&directory, NOTE));
        }
    }
}

#[test]
fn a_received_snapshot_that_may_be_there_ends_the_server() {
    let gone = |directory: &Directory| {
        let written = names(directory, "snapshot.");
        written.iter().for_each(|name| std::fs::remove_file(directory.path_of(name)).expect("ours"));
    };
    let (told, notes) = spoilt_install(gone);
    assert!(matches!(told, Done::SnapshotFailed { zxid: Zxid(7), .. }), "{told:?}");
    assert!(notes.is_empty(), "beside the next snapshot of that zxid it would cost the log: {notes:?}");
    // Something has its name: whether it is the snapshot is not looked at.
    let taken = |directory: &Directory| {
        std::fs::create_dir(directory.path_of(&log::snapshot_file_name(Zxid(7)))).expect("room");
    };
    let (told, _) = spoilt_install(taken);
    assert!(matches!(told, Done::Failed { .. }), "{told:?}");
}

#[test]
fn only_what_we_write_is_a_note() {
    assert_eq!(parse_note(&note_name(Zxid(0x1_0000_0005))), Some(Zxid(0x1_0000_0005)));
    for name in
        ["received.", "received.5", "received.+000000000000005", "received.000000000000000A", "snapshot.5"]
    {
        assert_eq!(parse_note(name), None, "{name}");
    }
}
