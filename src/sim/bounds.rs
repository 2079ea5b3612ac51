//! Memory is bounded at every moment, not only at rest: after each turn, whatever the server holds is held against the
//! limit that it states, or against what the clients can have asked for.

use crate::base::limits;

use super::history::{Checked, violation};
use super::workload::PARTS_MAX;
use super::world::{Process, World};

/// The largest request of the workload, and so about the largest record of the log.
const REQUEST_BYTES_MAX: usize = 24 << 10;
/// Nodes that one transaction changes: itself and its parent, for each part of a multi. A closeSession may change more,
/// but not more than there are.
const CHANGES_MAX: usize = 2 * PARTS_MAX as usize;
/// Versions that it supersedes: those, and a statistic of a quota that is written twice, made and counted.
const SUPERSEDED_MAX: usize = CHANGES_MAX + 2 * PARTS_MAX as usize;
/// Superseded versions that a publication may leave to the next one.
const VERSIONS_LEFT: usize = 64;

impl World {
    pub(super) fn check_bounds(&mut self) -> Checked {
        let Process::Up(server) = &self.process else { return Ok(()) };
        let (held, facts) = (server.replica.held(), server.replica.facts());
        let store = server.replica.store();
        self.nodes_max = self.nodes_max.max(facts.nodes_count as usize);
        // One packet brings as many requests as a client has under way, and is taken as a whole.
        let packet = self.shape.pipeline + 64;
        let nodes = self.nodes_max + held.proposals * PARTS_MAX as usize;
        let oldest = server.shards().map(|shard| shard.version().0).min().unwrap_or(facts.applied.0);
        let unseen = (facts.applied.0 - oldest) as usize;
        let asked = self.sockets.values().filter(|socket| socket.connection.is_some());
        let watches =
            asked.map(|socket| socket.watches_max).chain(server.leaving.values().copied()).sum::<u64>();
        let found: u64 = server.shards().map(|shard| shard.facts().watches).sum();
        let overlay_max = if held.proposals == 0 { 0 } else { CHANGES_MAX * held.proposals + 2 * nodes };
        // A node and its parents may pass it.
        let ahead_max = crate::tree::AHEAD_BYTES_MAX + (128 << 10);
        let limits = [
            ("proposals", held.proposals, self.shape.outstanding_max + packet),
            ("answers that wait", held.deferred, self.shape.outstanding_max + packet),
            ("sealed bytes", held.sealed_bytes, limits::PROPOSED_BYTES_MAX + REQUEST_BYTES_MAX * packet),
            ("bytes of the open group", held.open_bytes, self.shape.group_bytes + REQUEST_BYTES_MAX * packet),
            ("changes in the overlay", held.overlay, overlay_max),
            ("nodes kept for a snapshot", store.kept_for_snapshot(), nodes),
            ("bytes written ahead of a snapshot", store.ahead_of_snapshot(), ahead_max),
            ("superseded versions", store.retired(), VERSIONS_LEFT + SUPERSEDED_MAX * unseen + nodes),
            ("watches", found as usize, watches as usize),
        ];
        for (what, found, limit) in limits {
            if found > limit {
                return violation("memory is bounded", format!("{found} {what}, {limit} are allowed"));
            }
        }
        let output_max = limits::CONNECTION_OUTPUT_BYTES_MAX + limits::REPLY_BYTES_MAX;
        for connection in server.shards().flat_map(|shard| shard.connections()) {
            let within = connection.pending.len() <= limits::CONNECTION_REQUESTS_MAX
                && connection.input.len() <= self.shard_settings.frame_bytes_max + REQUEST_BYTES_MAX * packet
                && connection.output.len() <= output_max;
            if !within {
                return violation("memory is bounded", format!("{connection:?}"));
            }
        }
        Ok(())
    }
}
