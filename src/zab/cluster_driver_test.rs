//! The driver of the servers in `cluster_test.rs`: outputs to links and disks, snapshots as lists of transactions.

use super::*;

impl World {
    pub(super) fn lead_step(&mut self, at: usize, input: LeaderInput<'_>) {
        let mut outputs = vec![];
        let member = &mut self.members[at];
        if let Role::Leading(leader) = &mut member.role {
            leader.step(self.now, input, &member.history, &mut outputs);
            self.carry_out_leader(at, outputs);
        }
    }

    pub(super) fn learn_step(&mut self, at: usize, input: LearnerInput<'_>) {
        let mut outputs = vec![];
        if let Role::Learning(learner, _) = &mut self.members[at].role {
            learner.step(self.now, input, &mut outputs);
            self.carry_out_learner(at, outputs);
        }
    }

    pub(super) fn carry_out_leader(&mut self, at: usize, outputs: Vec<LeaderOutput>) {
        for output in outputs {
            match output {
                LeaderOutput::Send { link, bytes } => {
                    if let Some(wire) = self.wires.get_mut(&link) {
                        wire.bytes[1].push_back(bytes);
                    }
                }
                LeaderOutput::Close { link } => self.cut(link, Some(at)),
                LeaderOutput::PersistEpochs(epochs) => self.members[at].next_epochs = Some(epochs),
                LeaderOutput::Established { history, .. } => self.commit(at, history, true),
                LeaderOutput::Committed { zxid } => self.commit(at, zxid, true),
                LeaderOutput::Activated { .. } => unreachable!("no configuration changes in this world"),
                LeaderOutput::SendSnapshot { link } => self.send_snapshot(at, link),
                LeaderOutput::StepDown { .. } => self.look(at),
                LeaderOutput::Request { .. }
                | LeaderOutput::Sync { .. }
                | LeaderOutput::Revalidate { .. }
                | LeaderOutput::Touched { .. } => unreachable!("no client is part of this world"),
            }
        }
    }

    pub(super) fn send_snapshot(&mut self, at: usize, link: Link) {
        self.snapshots += 1;
        let member = &self.members[at];
        let zxid = member.tree;
        let tree = member.log.iter().chain(&member.tail).filter(|(logged, _)| *logged <= zxid);
        let tree: Vec<_> = tree.collect();
        let mut bytes = vec![];
        packet::encode_bare(Kind::Snap, zxid, &mut bytes);
        bytes.extend((tree.len() as u32).to_be_bytes());
        for (zxid, payload) in tree {
            bytes.extend(zxid.0.to_be_bytes());
            bytes.extend(&payload[..8]);
        }
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.bytes[1].push_back(bytes.into());
        }
        self.lead_step(at, LeaderInput::SnapshotSent { link, zxid });
    }

    pub(super) fn carry_out_learner(&mut self, at: usize, outputs: Vec<LearnerOutput>) {
        for output in outputs {
            match output {
                LearnerOutput::Send { link, bytes } => {
                    if let Some(wire) = self.wires.get_mut(&link) {
                        wire.bytes[0].push_back(bytes);
                    }
                }
                LearnerOutput::PersistEpochs(epochs) => self.members[at].next_epochs = Some(epochs),
                LearnerOutput::Append { zxid, payload } => {
                    let member = &mut self.members[at];
                    member.history.push(zxid, payload.clone());
                    member.tail.push((zxid, payload));
                    if self.canary == Canary::DurableTooEarly {
                        self.learn_step(at, LearnerInput::Durable { zxid });
                    }
                }
                LearnerOutput::Truncate { after } => {
                    self.truncations += 1;
                    let member = &mut self.members[at];
                    member.log.append(&mut member.tail);
                    member.log.retain(|(zxid, _)| *zxid <= after);
                    member.tree = member.tree.min(after);
                    member.fill_history();
                    assert!(member.last() == after, "{after} is in the log that is truncated to it");
                    self.learn_step(at, LearnerInput::Truncated);
                }
                LearnerOutput::ReceiveSnapshot { .. } => self.members[at].snapshot.clear(),
                LearnerOutput::SnapshotBytes { bytes } => self.on_snapshot_bytes(at, &bytes),
                LearnerOutput::Established { committed, .. } => self.commit(at, committed, false),
                LearnerOutput::Committed { zxid } => self.commit(at, zxid, false),
                LearnerOutput::AskForSnapshot => unreachable!("no snapshot is stored here"),
                LearnerOutput::Config { .. } => {}
                LearnerOutput::Activated { .. } => unreachable!("no configuration changes in this world"),
                LearnerOutput::StepDown { .. } => self.look(at),
                LearnerOutput::Synced | LearnerOutput::Revalidated { .. } => {
                    unreachable!("no client is part of this world")
                }
            }
        }
    }

    pub(super) fn on_snapshot_bytes(&mut self, at: usize, bytes: &[u8]) {
        let member = &mut self.members[at];
        member.snapshot.extend_from_slice(bytes);
        let Some(count) = member.snapshot.first_chunk::<4>() else { return };
        let end = 4 + 16 * u32::from_be_bytes(*count) as usize;
        if member.snapshot.len() < end {
            return;
        }
        let snapshot = std::mem::take(&mut member.snapshot);
        let entries = snapshot[4..end].chunks(16).map(|entry| {
            let zxid = i64::from_be_bytes(entry[..8].try_into().expect("eight bytes"));
            (Zxid(zxid), Bytes::copy_from_slice(&entry[8..]))
        });
        // In this world the log is the tree as well.
        member.log = entries.collect();
        member.tail.clear();
        let zxid = member.last();
        // The leader's tree may hold what its quorum is only about to have: committed is it with UPTODATE.
        member.tree = zxid;
        member.history.restart(zxid);
        self.learn_step(at, LearnerInput::SnapshotInstalled { zxid, rest: &snapshot[end..] });
    }
}
