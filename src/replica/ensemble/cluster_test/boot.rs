//! From what a virtual disk holds to a member, at a start and when it reloads: in the order of `server/recovery.rs`.

use super::disk::{Finish, log_settings, note_name};
use super::disk_faults::Mishap;
use super::*;
use crate::log::{EPOCH_FILE, EpochsFound};

impl World {
    /// From the disk to a replica. `to`: what is later goes (see `server/recovery.rs`, whose order this is).
    /// `None`: it has ended in the middle, by this mishap.
    pub fn boot(&mut self, node: usize, to: Option<Zxid>, mishap: Option<Mishap>) -> Option<Booted> {
        if mishap == Some(Mishap::Unreadable { is_late: false }) {
            return None;
        }
        let (now, salt, seed) = (self.instant(node), self.prng.next(), self.prng.next());
        let is_forgetful = self.plan.canary.is_some() && self.plan.is_buggy;
        let found = &mut self.nodes[node];
        let disk = &mut found.disk;
        if to.is_none() && !is_forgetful && !disk.log.names().any(|name| SegmentId::parse(name).is_some()) {
            disk.set_epochs_aside();
        }
        let received = disk.received();
        if mishap == Some(Mishap::Unreadable { is_late: true }) {
            return None;
        }
        let limit = [to, received].into_iter().flatten().min();
        let (usable, above): (Vec<Zxid>, Vec<Zxid>) =
            disk.snapshot_names().into_iter().partition(|zxid| limit.is_none_or(|limit| *zxid <= limit));
        let mut settings = member_settings(node, self.plan.history_count, seed);
        settings.snapshots.bytes_per_second = self.plan.snapshot_pace;
        let mut boot = Boot::new(settings, 1, now);
        match usable.last() {
            Some(&zxid) => {
                let file = disk.snapshots.read(&log::snapshot_file_name(zxid)).expect("it has a name");
                let mut decoder = SnapshotDecoder::new(file, zxid).expect("what has its name is whole");
                while let Some(chunk) = decoder.next_chunk().expect("whole chunks") {
                    boot.load(zxid, chunk).expect("what was written");
                }
                boot.loaded().expect("what was written");
            }
            None => boot.plant(),
        }
        let snapshot = boot.applied();
        found.began_with = snapshot;
        let is_behind_received = received.is_some() && received == usable.last().copied();
        let images: Vec<SegmentImage<'_>> = disk
            .log
            .names()
            .filter_map(|name| {
                Some(SegmentImage { id: SegmentId::parse(name)?, bytes: disk.log.read(name)? })
            })
            .collect();
        let settings = log_settings(salt);
        let recovered = match limit {
            _ if is_behind_received => log::overtake(&settings, &images, snapshot),
            Some(to) => log::truncate(&settings, &images, snapshot, to),
            None => log::recover(&settings, &images, snapshot),
        };
        let recovered = recovered.unwrap_or_else(|fault| panic!("server {}: {fault}", node + 1));
        let last = recovered.last_zxid;
        let kept: BTreeMap<Zxid, Bytes> =
            recovered.entries.iter().map(|e| (e.zxid, Bytes::copy_from_slice(e.payload))).collect();
        if limit.is_none() && !is_forgetful {
            let durable = found.durable;
            assert!(last >= durable, "server {} had {durable} on its disk and starts at {last}", node + 1);
            for (zxid, payload) in found.log.range(..=durable) {
                let same = *zxid <= snapshot || kept.get(zxid) == Some(payload);
                assert!(same, "server {}: {zxid} has changed on the disk", node + 1);
            }
        }
        for (zxid, payload) in &kept {
            boot.replay(*zxid, payload).expect("what was logged");
        }
        let (repair, cleanup, resume) = (recovered.repair, recovered.cleanup, recovered.resume);
        for zxid in above {
            disk.snapshots.unlink(&log::snapshot_file_name(zxid));
        }
        disk.sync_snapshot_names();
        if mishap == Some(Mishap::NoRoom { is_late: false }) {
            return None;
        }
        repair.iter().for_each(|command| disk.carry_out(command));
        if mishap == Some(Mishap::Power) {
            disk.crash(true, &mut self.prng);
            // What a leader wanted dropped is there or not.
            found.durable = limit.map_or(found.durable, |limit| found.durable.min(limit));
            return None;
        }
        disk.sync();
        if let Some(zxid) = received {
            disk.snapshots.unlink(&note_name(zxid));
            disk.sync_snapshot_names();
        }
        cleanup.iter().for_each(|command| disk.carry_out(command));
        let mut found_epochs = Epochs::default();
        let epochs = match log::decode_epochs(disk.log.read(EPOCH_FILE)) {
            EpochsFound::None if disk.epochs_aside => EpochRecord::Lost,
            EpochsFound::None => EpochRecord::None,
            EpochsFound::Found { accepted, current } => {
                let epochs = Epochs { accepted, current };
                disk.put_epochs(epochs);
                found_epochs = epochs;
                EpochRecord::Found(epochs)
            }
            other => panic!("server {}: its epochs are {other:?} after a crash", node + 1),
        };
        if !is_forgetful {
            let durable = found.epochs;
            let is_there = match epochs {
                EpochRecord::Found(epochs) => {
                    epochs.accepted >= durable.accepted && epochs.current >= durable.current
                }
                _ => durable == Epochs::default(),
            };
            assert!(is_there, "server {} had epochs {durable:?} and starts with {epochs:?}", node + 1);
        }
        found.epochs = found_epochs;
        // What the snapshot stands for is known from before, or from whom it came.
        let before = if is_behind_received { std::mem::take(&mut found.coming) } else { found.log.clone() };
        found.log = before.into_iter().filter(|(zxid, _)| *zxid <= snapshot).chain(kept).collect();
        found.durable = last;
        if mishap == Some(Mishap::NoRoom { is_late: true }) {
            return None;
        }
        let writer = log::Writer::new(settings, resume);
        let Start { mut replica, mut readers, history } = boot.finish(writer, usable);
        found.disk.lacks_room = false;
        if !found.disk.is_full {
            replica.step(now, Input::SegmentReady, &mut vec![]);
        }
        let (reader, history) = (readers.pop().expect("one shard"), history.expect("a member has one"));
        Some(Booted { replica, reader, history, epochs })
    }

    /// One was there already, if there was room.
    pub fn want_segment(&mut self, node: usize) {
        let Node { disk_life: life, disk, .. } = &self.nodes[node];
        if disk.is_full {
            self.at(300_000, Event::SegmentReady { node, life: *life, is_due: true });
        }
    }

    /// The member goes on from what its disk holds up to `to`.
    pub fn reload(&mut self, node: usize, to: Zxid) {
        let disk = &mut self.nodes[node].disk;
        let mut left = None;
        loop {
            match disk.running.take() {
                Some((Finish::Epochs { epochs, is_new }, sync)) => {
                    disk.log.complete(sync);
                    if is_new {
                        disk.put_epochs(epochs);
                    }
                    left = Some(epochs);
                }
                Some((_, sync)) => disk.log.complete(sync),
                None => {}
            }
            if !disk.pump() {
                break;
            }
        }
        while let Some(step) = disk.steps.pop_front() {
            disk.step(step, None);
        }
        self.nodes[node].disk_life += 1;
        self.nodes[node].disk.is_stepping = false;
        let mishap = self.draw_mishap(node);
        let Some(Booted { mut replica, reader, history, .. }) = self.boot(node, Some(to), mishap) else {
            return self.end_made_anew(node);
        };
        self.want_segment(node);
        let found = &mut self.nodes[node];
        found.epochs = left.unwrap_or(found.epochs);
        let Some(Member { replica: current, shard, from_replica, .. }) = &mut found.member else { return };
        shard.restart(reader);
        std::mem::swap(current, &mut replica);
        current.take_over(replica, Some(history), from_replica);
        found.applied = current.applied();
        if left.is_some() {
            let now = self.instant(node);
            if let Some(Member { replica, from_replica, .. }) = &mut self.nodes[node].member {
                replica.peer(now, PeerInput::EpochsDurable, from_replica);
            }
        }
    }
}

fn member_settings(node: usize, history_count: usize, seed: u64) -> crate::replica::Settings {
    let mut settings = testing::settings();
    settings.rules.reconfig = true;
    settings.rules.skip_acl = true;
    settings.history = Some(HistoryLimits { count: history_count, bytes: 1 << 20 });
    settings.digests = true;
    settings.server = ServerId(node as i64 + 1);
    settings.tick = TICK;
    settings.session_timeout_min = TICK * 2;
    settings.session_timeout_max = TICK * 20;
    settings.snapshots.count = 40;
    settings.snapshots.seed = seed;
    settings.snapshots.retain = Some(3);
    settings
}
