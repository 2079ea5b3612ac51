//! What the tests of this room share: a replica over a disk of byte vectors, and its outputs in words.

use std::collections::BTreeMap;

use super::*;
use crate::base::HashKey;
use crate::base::ServerId;
use crate::base::{ConnectionId, ShardId, Ticket, WallMillis, limits};
use crate::log::{Command, SegmentId, SegmentImage, SnapshotDecoder};
use crate::wire::AclList;
use crate::wire::client::CreateRequest;
use crate::wire::txn::TxnDigest;
use crate::zab::{Config, History, HistoryLimits};

use super::ensemble::{EpochRecord, PeerInput, PeerOutput};

pub const TICK: Duration = Duration::from_millis(2000);

pub fn settings() -> Settings {
    Settings {
        server: ServerId(1),
        tick: TICK,
        session_timeout_min: TICK * 2,
        session_timeout_max: TICK * 20,
        rules: tree::Rules::default(),
        containers: ContainerSettings::default(),
        snapshots: SnapshotSettings {
            count: 1_000_000,
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
        history: None,
        digests: false,
    }
}

/// What the commands leave on a disk.
#[derive(Default)]
pub struct Disk {
    segments: BTreeMap<SegmentId, Vec<u8>>,
    active: Option<SegmentId>,
    /// The snapshot that is being written.
    pub writing: Vec<u8>,
    pub snapshots: BTreeMap<Zxid, Vec<u8>>,
}

impl Disk {
    fn carry_out(&mut self, command: &Command) {
        match command {
            Command::Create { segment, header, bytes } => {
                let mut file = vec![0; *bytes as usize];
                file[..header.len()].copy_from_slice(header);
                self.segments.insert(*segment, file);
                self.active = Some(*segment);
            }
            Command::Append { segment, offset, bytes } => {
                assert_eq!(self.active, Some(*segment));
                let at = *offset as usize;
                let file = self.segments.get_mut(segment).expect("made before");
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Command::Persist { .. } => {}
            Command::Remove { segment } => assert!(self.segments.remove(segment).is_some()),
        }
    }
}

pub struct Server {
    pub replica: Replica,
    /// None, if the test took it.
    pub readers: Vec<tree::Reader>,
    pub now: Now,
    pub disk: Disk,
    /// Of persists that are not reported as durable.
    pub tickets: Vec<Ticket>,
    /// Whether the disk has room for the next segment; segments to be prepared.
    pub prepares: bool,
    pub unprepared: u32,
    /// A member's, until it joins.
    history: Option<History>,
    /// Epoch records that are not reported as durable.
    epoch_writes: u32,
}

fn log_settings() -> log::Settings {
    log::Settings {
        segment_bytes: 64 << 10,
        first_segment_bytes: 16 << 10,
        group_bytes_max: 8 << 10,
        persists_max: 1,
        salt_seed: 7,
        first_ticket: Ticket(1),
    }
}

/// From what is on the disk, as a driver does it: newest snapshot, log, repair. Loading takes `takes`.
pub fn start_from(disk: Disk, settings: Settings, at: Now, takes: Duration) -> Server {
    let mut boot = Boot::new(settings, 1, at);
    match disk.snapshots.last_key_value() {
        Some((&zxid, bytes)) => {
            let mut decoder = SnapshotDecoder::new(bytes, zxid).expect("a whole snapshot");
            while let Some(chunk) = decoder.next_chunk().expect("whole chunks") {
                boot.load(zxid, chunk).expect("what was written");
            }
            boot.loaded().expect("what was written");
        }
        None => boot.plant(),
    }
    let images: Vec<SegmentImage<'_>> =
        disk.segments.iter().map(|(id, bytes)| SegmentImage { id: *id, bytes }).collect();
    let recovered = log::recover(&log_settings(), &images, boot.applied()).expect("a sound log");
    for entry in &recovered.entries {
        boot.replay(entry.zxid, entry.payload).expect("what was logged");
    }
    assert!(boot.orphans().is_empty());
    let commands: Vec<Command> = recovered.repair.iter().chain(&recovered.cleanup).cloned().collect();
    let writer = log::Writer::new(log_settings(), recovered.resume);
    let mut disk = disk;
    commands.iter().for_each(|command| disk.carry_out(command));
    let finished = disk.snapshots.keys().copied().collect();
    let Start { replica, readers, history } = boot.finish(writer, finished);
    let now = Now { instant: at.instant + takes, wall: at.wall };
    let mut server = Server {
        replica,
        readers,
        now,
        disk,
        tickets: vec![],
        prepares: true,
        unprepared: 0,
        history,
        epoch_writes: 0,
    };
    server.replica.step(at, Input::SegmentReady, &mut vec![]);
    server
}

pub fn start() -> Server {
    start_with(settings())
}

pub fn start_with(settings: Settings) -> Server {
    let now = Now { instant: Instant(1_000_000_000_000), wall: WallMillis(77) };
    start_from(Disk::default(), settings, now, Duration::ZERO)
}

/// Server 1 of an ensemble of so many voters; the others are nowhere to be found.
pub fn start_member(voters: usize, adapt: impl FnOnce(&mut ensemble::Settings)) -> Server {
    start_member_saying(voters, adapt).0
}

/// And what it says by then.
pub fn start_member_saying(
    voters: usize,
    adapt: impl FnOnce(&mut ensemble::Settings),
) -> (Server, Vec<String>) {
    let limits = HistoryLimits { count: 1000, bytes: 1 << 20 };
    let mut server = start_with(Settings { history: Some(limits), ..settings() });
    let lines: Vec<String> = (1..=voters).map(|id| format!("server.{id}=127.0.0.1:1{id}:2{id}")).collect();
    let members = Arc::new(Config::parse(&lines.join("\n")).expect("a configuration"));
    let mut settings = ensemble::Settings {
        me: ServerId(1),
        members,
        participant: true,
        tick: TICK,
        init_limit: 10,
        sync_limit: 5,
        payload_bytes_max: 1 << 20,
        reconfig_enabled: false,
        standalone_enabled: false,
        next: None,
        leader_serves: true,
        read_only_mode: false,
        local_sessions: false,
        local_sessions_upgrading: false,
        history: limits,
        epochs: EpochRecord::None,
    };
    adapt(&mut settings);
    let history = server.history.take().expect("a member has one");
    let mut outputs = vec![];
    server.replica.join(server.now, settings, history, &mut outputs);
    assert_eq!(server.carry_out(outputs), ["serve None"]);
    let said = server.settle();
    (server, said)
}

pub fn client(slot: u32) -> Client {
    Client { shard: ShardId(0), connection: ConnectionId { slot, generation: 1 } }
}

impl Server {
    pub fn step(&mut self, input: Input) -> Vec<String> {
        let mut outputs = vec![];
        self.replica.step(self.now, input, &mut outputs);
        let mut said = self.carry_out(outputs);
        while self.prepares && self.unprepared > 0 {
            self.unprepared -= 1;
            let mut outputs = vec![];
            self.replica.step(self.now, Input::SegmentReady, &mut outputs);
            said.extend(self.carry_out(outputs));
        }
        said
    }

    pub fn turn_end(&mut self) -> Vec<String> {
        self.step(Input::TurnEnd)
    }

    /// The oldest persist is done.
    pub fn durable(&mut self) -> Vec<String> {
        let ticket = self.tickets.remove(0);
        self.step(Input::Durable { ticket })
    }

    pub fn apply(&mut self) -> Vec<String> {
        let mut said = vec![];
        let mut outputs = vec![];
        while self.replica.apply_next(&mut outputs) {
            said.extend(self.carry_out(std::mem::take(&mut outputs)));
        }
        said
    }

    /// Seals, syncs and applies until nothing is left; what was said to the shards.
    pub fn settle(&mut self) -> Vec<String> {
        let mut said = vec![];
        loop {
            said.extend(self.turn_end());
            if !self.tickets.is_empty() {
                said.extend(self.durable());
            } else if self.epoch_writes > 0 {
                self.epoch_writes -= 1;
                let mut outputs = vec![];
                self.replica.peer(self.now, PeerInput::EpochsDurable, &mut outputs);
                said.extend(self.carry_out(outputs));
            } else if !self.replica.has_work() {
                break;
            }
            said.extend(self.apply());
        }
        said.retain(|output| output.starts_with("notify") || output.starts_with("serve"));
        said
    }

    /// Time passes, at most this much, until somebody else is served. What was said then.
    pub fn pass_until_served(&mut self, bound: Duration) -> Vec<String> {
        let end = self.now.instant + bound;
        while self.now.instant < end {
            self.pass(self.wakes_in().clamp(Duration::from_millis(1), end.since(self.now.instant)));
            let mut said = self.wake_up();
            said.extend(self.settle());
            if said.iter().any(|output| output.starts_with("serve")) {
                return said;
            }
        }
        vec![]
    }

    pub fn pass(&mut self, time: Duration) {
        self.now.instant = self.now.instant + time;
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> Vec<String> {
        let mut said = vec![];
        for output in &outputs {
            match output {
                Output::Log(command) => {
                    self.disk.carry_out(command);
                    if let Command::Persist { ticket } = command {
                        self.tickets.push(*ticket);
                    }
                    let usual = log_settings().segment_bytes;
                    self.unprepared +=
                        u32::from(matches!(command, Command::Create { bytes, .. } if *bytes == usual));
                    said.push(
                        match command {
                            Command::Create { .. } => "log: create",
                            Command::Append { .. } => "log: append",
                            Command::Persist { .. } => "log: persist",
                            Command::Remove { .. } => "log: remove",
                        }
                        .to_owned(),
                    );
                }
                Output::Publish { zxid } => {
                    self.replica.publish(*zxid);
                    if let Some(reader) = self.readers.first_mut() {
                        let published = reader.enter().published();
                        reader.raise(published);
                    }
                    said.push(format!("publish {}", zxid.0));
                }
                Output::Notify { shard, notice } => said.push(say_notice(*shard, notice)),
                Output::Snapshot(command) => said.push(self.take_snapshot_command(command)),
                Output::Peer(PeerOutput::Reload { to }) => said.push(format!("reload {}", to.0)),
                Output::Peer(_) if self.replica.ensemble.is_none() => panic!("a lone server"),
                Output::Peer(PeerOutput::PersistEpochs(_)) => self.epoch_writes += 1,
                Output::Peer(_) => {}
                Output::Serve(service) => said.push(format!("serve {service:?}")),
            }
        }
        said
    }

    fn take_snapshot_command(&mut self, command: &SnapshotCommand) -> String {
        match command {
            SnapshotCommand::Create { zxid } => {
                self.disk.writing.clear();
                format!("snapshot {}: create", zxid.0)
            }
            SnapshotCommand::Append { bytes } => {
                self.disk.writing.extend_from_slice(bytes);
                "snapshot: append".to_owned()
            }
            SnapshotCommand::Complete { zxid } => {
                self.disk.snapshots.insert(*zxid, std::mem::take(&mut self.disk.writing));
                format!("snapshot {}: complete", zxid.0)
            }
            SnapshotCommand::Install { .. } => panic!("a lone server"),
            SnapshotCommand::Abandon { zxid } => format!("snapshot {}: abandon", zxid.0),
            SnapshotCommand::RemoveBelow { zxid } => {
                self.disk.snapshots.retain(|found, _| found >= zxid);
                format!("snapshots below {}: remove", zxid.0)
            }
        }
    }

    pub fn write(
        &mut self,
        session: SessionId,
        slot: u32,
        xid: i32,
        opcode: Opcode,
        body: Vec<u8>,
    ) -> Vec<String> {
        let (from, identities) = (client(slot), Arc::from([]));
        let body = body.into();
        self.step(Input::Request(Request::Write { from, session, xid, opcode, body, identities }))
    }

    pub fn create(&mut self, session: SessionId, slot: u32, xid: i32, path: &str, flags: i32) -> Vec<String> {
        let acl = Some(AclList::OPEN);
        let request = CreateRequest { path: path.into(), data: Some(b"data"), acl, flags };
        self.write(session, slot, xid, Opcode::Create, encoded(&request))
    }

    pub fn sync(&mut self, session: SessionId, slot: u32, xid: i32) -> Vec<String> {
        let body = bytes::Bytes::from_static(b"path");
        self.step(Input::Request(Request::Sync { from: client(slot), session, xid, body }))
    }

    pub fn connect(&mut self, session: SessionId, slot: u32, password: Option<[u8; 16]>) -> Vec<String> {
        let from = client(slot);
        self.step(Input::Request(Request::Connect { from, session, password, timeout_ms: 5000 }))
    }

    /// A session of 5 s whose connection is `slot`.
    pub fn open(&mut self, slot: u32) -> SessionId {
        assert_eq!(self.connect(SessionId::NONE, slot, None), NOTHING);
        self.settle();
        let (id, _) = *self.replica.sessions.list().last().expect("created just now");
        id
    }

    /// Of the transactions on the disk.
    pub fn logged_digests(&self) -> Vec<Option<TxnDigest>> {
        let segments = self.disk.segments.iter();
        let images: Vec<_> = segments.map(|(id, bytes)| SegmentImage { id: *id, bytes }).collect();
        let recovered = log::recover(&log_settings(), &images, Zxid::ZERO).expect("a sound log");
        let digest = |payload| Entry::decode(&mut Reader::new(payload)).expect("what was logged").digest;
        recovered.entries.iter().map(|entry| digest(entry.payload)).collect()
    }

    pub fn wake_up(&mut self) -> Vec<String> {
        self.step(Input::Wakeup)
    }

    /// How long until it wants to be woken.
    pub fn wakes_in(&self) -> Duration {
        self.replica.next_wakeup().expect("it always wants to").since(self.now.instant)
    }
}

pub const NOTHING: [String; 0] = [];

pub fn encoded(record: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![];
    record.encode(&mut bytes);
    bytes
}

/// A notice without the ids that differ from run to run.
fn say_notice(shard: Option<ShardId>, notice: &Notice) -> String {
    let mut said = format!("notify {} at {}:", if shard.is_some() { "one" } else { "all" }, notice.zxid.0);
    for change in notice.changes.as_slice() {
        said += &format!(" {:?} {};", change.kind, change.path);
    }
    if let Some(Answer { to, xid, body }) = &notice.answer {
        let body = match body {
            AnswerBody::Error(code) => format!("{code}"),
            AnswerBody::Created { path } => format!("created {path}"),
            AnswerBody::CreatedWithStat { path, stat } => format!("created {path} with {}", stat.czxid.0),
            AnswerBody::Stat(stat) => format!("version {}", stat.version),
            AnswerBody::Raw(bytes) => format!("{bytes:?}"),
            AnswerBody::Session { session, password, timeout_ms } => {
                assert!(tree::Passwords::Apaches.is_right(*session, password));
                format!("session for {timeout_ms} ms")
            }
            AnswerBody::SessionRefused => "refused".to_owned(),
            AnswerBody::SessionMoved => "moved".to_owned(),
        };
        said += &format!(" {} xid {xid}: {body};", to.connection.slot);
    }
    if notice.ended.is_some() {
        said += " ended;";
    }
    if let Some((_, owner)) = notice.moved {
        match owner {
            Some(owner) => said += &format!(" belongs to {};", owner.connection.slot),
            None => said += " belongs to another server's;",
        }
    }
    said
}
