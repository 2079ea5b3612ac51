//! The disks of the virtual cluster: what survives a crash, and starts from it.

use super::*;

pub fn log_settings(salt: u64) -> log::Settings {
    log::Settings {
        segment_bytes: 64 << 10,
        first_segment_bytes: 16 << 10,
        group_bytes_max: 8 << 10,
        persists_max: 1,
        salt_seed: salt,
        first_ticket: Ticket(1),
    }
}

#[derive(Clone, Default)]
pub struct Files {
    pub segments: BTreeMap<SegmentId, Vec<u8>>,
    pub snapshots: BTreeMap<Zxid, Vec<u8>>,
    pub epochs: Option<Epochs>,
    /// The committed configuration, if it is not the first one.
    pub members: Option<Arc<Config>>,
    /// A leader's snapshot that the log does not continue yet.
    pub received: Option<Zxid>,
}

impl Files {
    pub fn carry_out(&mut self, command: &Command) {
        match command {
            Command::Create { segment, header, bytes } => {
                let mut file = vec![0; *bytes as usize];
                file[..header.len()].copy_from_slice(header);
                self.segments.insert(*segment, file);
            }
            Command::Append { segment, offset, bytes } => {
                let at = *offset as usize;
                let file = self.segments.get_mut(segment).expect("made before");
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Command::Persist { .. } => {}
            Command::Remove { segment } => {
                self.segments.remove(segment);
            }
        }
    }
}

impl World {
    pub fn boot(&mut self, node: usize, to: Option<Zxid>) -> (Replica, Reader, History, bool) {
        let limits = HistoryLimits { count: self.history_count, bytes: 1 << 20 };
        let now = self.instant();
        self.nodes[node].salt += 1;
        let salt = log_settings(self.nodes[node].salt);
        let files = &mut self.nodes[node].files;
        let is_blank = files.segments.is_empty() && files.snapshots.is_empty() && files.epochs.is_none();
        if let Some(to) = to.or(files.received) {
            files.snapshots.retain(|zxid, _| *zxid <= to);
        }
        let mut settings = testing::settings();
        settings.history = Some(limits);
        settings.server = ServerId(node as i64 + 1);
        settings.tick = TICK;
        settings.session_timeout_min = TICK * 2;
        settings.session_timeout_max = TICK * 20;
        settings.snapshots.count = 40;
        settings.snapshots.seed = self.prng.next();
        settings.snapshots.retain = Some(3);
        let mut boot = Boot::new(settings, 1, now);
        match files.snapshots.last_key_value() {
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
            files.segments.iter().map(|(id, bytes)| SegmentImage { id: *id, bytes }).collect();
        let recovered = match to {
            _ if files.received.is_some() => log::overtake(&salt, &images, boot.applied()),
            Some(to) => log::truncate(&salt, &images, boot.applied(), to),
            None => log::recover(&salt, &images, boot.applied()),
        };
        let recovered = recovered.expect("a sound log");
        for entry in &recovered.entries {
            boot.replay(entry.zxid, entry.payload).expect("what was logged");
        }
        let commands: Vec<Command> = recovered.repair.iter().chain(&recovered.cleanup).cloned().collect();
        let writer = log::Writer::new(salt, recovered.resume);
        commands.iter().for_each(|command| files.carry_out(command));
        files.received = None;
        let finished = files.snapshots.keys().copied().collect();
        let Start { mut replica, mut readers, history } = boot.finish(writer, finished);
        let history = history.expect("a member has one");
        replica.step(now, Input::SegmentReady, &mut vec![]);
        (replica, readers.pop().expect("one shard"), history, is_blank)
    }

    pub fn start(&mut self, node: usize) {
        let _span = tracing::info_span!("server", id = node + 1, ms = self.now / 1_000_000).entered();
        if self.nodes[node].replica.is_some() {
            return;
        }
        let (mut replica, reader, history, is_blank) = self.boot(node, None);
        let me = ServerId(node as i64 + 1);
        let mut outputs = vec![];
        let members = self.nodes[node].files.members.clone().unwrap_or_else(|| self.config.clone());
        let settings = Settings {
            me,
            participant: members.member(me).is_none_or(zab::Member::is_voter),
            members,
            tick: TICK,
            init_limit: 10,
            sync_limit: 4,
            payload_bytes_max: 1 << 20,
            reconfig_enabled: true,
            standalone_enabled: false,
            next: None,
            leader_serves: true,
            history: HistoryLimits { count: self.history_count, bytes: 1 << 20 },
            is_blank,
            epochs: self.nodes[node].files.epochs.map_or(EpochRecord::None, EpochRecord::Found),
        };
        replica.join(self.instant(), settings, history, &mut outputs);
        self.nodes[node].replica = Some(replica);
        self.nodes[node].reader = Some(reader);
        self.nodes[node].life += 1;
        self.carry_out(node, outputs);
        self.turn(node);
    }

    pub fn crash(&mut self, node: usize) {
        let kept = self.prng.below(self.nodes[node].pending.len() as u64 + 1);
        let found = &mut self.nodes[node];
        if found.replica.take().is_none() {
            return;
        }
        found.reader = None;
        found.serves = false;
        for command in std::mem::take(&mut found.pending).iter().take(kept as usize) {
            found.files.carry_out(command);
        }
        let life = found.life;
        for wire in 0..self.wires.len() {
            for end in 0..2 {
                let (who, when, _) = self.wires[wire].ends[end];
                if (who, when) == (node, life) && self.wires[wire].is_open {
                    self.close(wire, end);
                }
            }
        }
        self.drop_people(node);
    }

    pub fn take_snapshot(&mut self, node: usize, command: SnapshotCommand) {
        let (life, delay) = (self.nodes[node].life, self.prng.below(5_000_000));
        let writing = &mut self.nodes[node].writing;
        match command {
            SnapshotCommand::Create { .. } => writing.clear(),
            SnapshotCommand::Append { bytes } => {
                writing.extend_from_slice(&bytes);
                let bytes = bytes.len() as u64;
                self.at(10_000, Event::SnapshotBytes { node, life, bytes });
            }
            SnapshotCommand::Complete { zxid } => {
                let bytes = std::mem::take(writing);
                self.nodes[node].files.snapshots.insert(zxid, bytes);
                self.at(20_000 + delay, Event::SnapshotDone { node, life, zxid: zxid.0 });
            }
            SnapshotCommand::Install { zxid } => {
                let bytes = std::mem::take(writing);
                self.nodes[node].files.snapshots.insert(zxid, bytes);
                self.nodes[node].files.received = Some(zxid);
                self.at(20_000 + delay, Event::SnapshotDone { node, life, zxid: zxid.0 });
            }
            SnapshotCommand::Abandon { .. } => writing.clear(),
            SnapshotCommand::RemoveBelow { zxid } => {
                self.nodes[node].files.snapshots.retain(|found, _| *found >= zxid);
            }
        }
    }
}
