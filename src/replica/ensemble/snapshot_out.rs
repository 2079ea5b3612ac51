//! SNAP, sent: the tree to a learner that is too far behind, as Apache's snapshot body, in pieces as the link takes them.

use bytes::Bytes;

use crate::base::Zxid;
use crate::tree::{JavaStreamId, Store};
use crate::wire::peer::{Kind, packet};
use crate::zab::{LeaderInput, Link};

use super::super::{Output, Replica};
use super::snapshot_in::SNAPSHOT_END;
use super::words::PeerOutput;
use super::{Ensemble, Role};

/// What one turn sends to one learner, and how many nodes it looks at.
const SLICE_BYTES: usize = 256 << 10;
const SLICE_NODES: usize = 1024;

pub struct Stream {
    link: Link,
    id: JavaStreamId,
    zxid: Zxid,
    /// The last piece is not with the kernel yet.
    is_under_way: bool,
}

impl Stream {
    pub fn link(&self) -> Link {
        self.link
    }

    pub fn may_go_on(&self) -> bool {
        !self.is_under_way
    }

    pub fn abandon(self, store: &mut Store) {
        store.abandon_java_snapshot(self.id);
    }
}

impl Replica {
    pub(super) fn begin_stream(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let zxid = self.applied;
        let id = self.store.begin_java_snapshot(self.sessions.list());
        let mut bytes = vec![];
        packet::encode_bare(Kind::Snap, zxid, &mut bytes);
        outputs.push(Output::Peer(PeerOutput::Send { link, bytes: bytes.into() }));
        tracing::info!(?link, %zxid, "sending a snapshot to a learner");
        if let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut() {
            leading.streams.push(Stream { link, id, zxid, is_under_way: false });
        }
    }

    /// The kernel has taken what was sent to this learner.
    pub(super) fn on_snapshot_taken(&mut self, link: Link) {
        let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut() else {
            return;
        };
        if let Some(stream) = leading.streams.iter_mut().find(|stream| stream.link == link) {
            stream.is_under_way = false;
        }
    }

    /// One turn's share of each.
    pub(super) fn send_snapshots(&mut self, outputs: &mut Vec<Output>) {
        let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut() else {
            return;
        };
        let mut ended = vec![];
        for stream in leading.streams.iter_mut().filter(|stream| stream.may_go_on()) {
            let mut chunk = vec![];
            let more = self.store.continue_java_snapshot(stream.id, SLICE_NODES, SLICE_BYTES, &mut chunk);
            if !more {
                chunk.extend_from_slice(SNAPSHOT_END);
                ended.push((stream.link, stream.zxid));
            }
            // A piece without bytes (nodes that were only looked at) leaves nothing to wait for.
            if !chunk.is_empty() {
                stream.is_under_way = true;
                let (link, bytes) = (stream.link, Bytes::from(chunk));
                outputs.push(Output::Peer(PeerOutput::Send { link, bytes }));
            }
        }
        leading.streams.retain(|stream| !ended.iter().any(|(link, _)| *link == stream.link));
        for (link, zxid) in ended {
            self.lead(LeaderInput::SnapshotSent { link, zxid }, outputs);
        }
    }
}
