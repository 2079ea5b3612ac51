//! Looks at the whole server at once: is the tree the model's, and is what it holds in memory bounded?

use crate::base::{SessionId, Zxid};

use super::client::State;
use super::history::{Checked, violation};
use super::plan::Canary;
use super::world::{Process, World};

/// Superseded versions that may be left when nothing happens any more: they go with the next publications.
const RETIRED_MAX: usize = 512;

impl World {
    /// Every node, as a reader sees it at the published version.
    pub(super) fn audit(&mut self, when: &str) -> Checked {
        let Process::Up(server) = &mut self.process else { return Ok(()) };
        let at = server.auditor.published();
        let model = &self.history.model;
        let reading = server.auditor.enter();
        for (path, expected) in model.all(at) {
            let Some(node) = reading.node(path, at) else {
                let path = String::from_utf8_lossy(path).into_owned();
                return violation("the tree is the log's", format!("{when}: {path} is missing at {at}"));
            };
            let mut children: Vec<&[u8]> =
                reading.children(node, at).map(|child| child.path.name()).collect();
            children.sort_unstable();
            let same = node.data() == expected.data.as_deref()
                && node.stat() == expected.stat()
                && node.acl_entries() == expected.acl.as_deref()
                && children.iter().copied().eq(expected.children.iter().map(Vec::as_slice));
            if !same {
                let path = String::from_utf8_lossy(path).into_owned();
                return violation(
                    "the tree is the log's",
                    format!(
                        "{when}: {path} at {at} is {:?}, children {children:?}; should be {expected:?}",
                        node.stat()
                    ),
                );
            }
        }
        if self.plan.canary != Some(Canary::ReaderLeftBehind) {
            server.auditor.park();
        }
        self.check_digest(when)
    }

    /// The running digest against one computed from scratch.
    pub(super) fn check_digest(&self, when: &str) -> Checked {
        let Process::Up(server) = &self.process else { return Ok(()) };
        let facts = server.replica.facts();
        let model = &self.history.model;
        let expected = model.digest(facts.applied);
        if facts.digest != expected {
            return violation(
                "the digest is right",
                format!("{when}: {:x} at {}, from scratch {expected:x}", facts.digest, facts.applied),
            );
        }
        if facts.digest_mismatches > 0 {
            return violation(
                "prep foretells the digest",
                format!("{when}: {} transactions up to {} differ", facts.digest_mismatches, facts.applied),
            );
        }
        let nodes = model.all(facts.applied).count() as u64;
        let owned =
            model.all(facts.applied).filter(|(_, node)| node.owner() != SessionId::NONE).count() as u64;
        if (facts.nodes_count, facts.ephemerals_count) != (nodes, owned) {
            return violation(
                "the tree is the log's",
                format!("{when}: {facts:?}; should be {nodes} nodes, {owned} ephemerals"),
            );
        }
        Ok(())
    }

    /// Nobody asks for anything any more: what was needed for it must be gone.
    pub(super) fn check_memory(&mut self) -> Checked {
        let mut armed = 0;
        for actor in &mut self.actors {
            armed += actor.client.stream.armed(&self.history);
            let missing = actor.client.stream.watching.missing(self.history.last());
            if let Some(due) = missing.filter(|_| actor.client.state == State::Active) {
                return violation("every event comes", format!("client {}: {due:?}", actor.client.index));
            }
        }
        let Process::Up(server) = &mut self.process else { return Ok(()) };
        let facts = server.replica.facts();
        let store = server.replica.store();
        let held = (facts.outstanding, store.kept_for_snapshot(), store.ahead_of_snapshot());
        let alive = self.history.model.sessions.values().filter(|life| life.closed.is_none()).count() as u64;
        let watches: u64 = server.shards().map(|shard| shard.facts().watches).sum();
        let pending: u64 = server.shards().map(|shard| shard.facts().outstanding).sum();
        let connections: u64 = server.shards().map(|shard| shard.facts().connections).sum();
        let open = self.sockets.values().filter(|socket| socket.connection.is_some()).count() as u64;
        let buffered: usize = server
            .shards()
            .flat_map(|shard| shard.connections())
            .map(|c| c.input.len() + c.output.len())
            .sum();
        let behind = server.shards().any(|shard| shard.version() != facts.applied);
        let what = if held != (0, 0, 0) {
            format!("{held:?} proposals, pre-images, bytes ahead of a snapshot")
        } else if store.retired() > RETIRED_MAX {
            format!("{} superseded versions", store.retired())
        } else if facts.sessions_count != alive {
            format!("{} sessions, of which {alive} live", facts.sessions_count)
        } else if watches != armed as u64 {
            format!("{watches} watches, of which clients know {armed}")
        } else if (pending, buffered) != (0, 0) {
            format!("{pending} requests, {buffered} bytes of buffers")
        } else if connections != open {
            format!("{connections} connections, of which {open} are open")
        } else if behind {
            "a shard that is behind".to_owned()
        } else {
            return Ok(());
        };
        violation("memory shrinks back", format!("at rest the server holds {what}"))
    }

    /// All sessions are over: so is everything that was theirs.
    pub(super) fn check_nothing_ephemeral(&self) -> Checked {
        let Process::Up(server) = &self.process else { return Ok(()) };
        let facts = server.replica.facts();
        let left = self
            .history
            .model
            .all(Zxid(i64::MAX))
            .filter(|(_, node)| node.owner() != SessionId::NONE)
            .count();
        if (facts.sessions_count, facts.ephemerals_count, left) != (0, 0, 0) {
            return violation("ephemerals die with their session", format!("{facts:?}"));
        }
        Ok(())
    }
}
