//! The line about a request that took long.
//!
//! Called by the loops, for what the shards say. Tested: tests/admin/log_lines.rs.

use crate::base::Instant;
use crate::shard::SlowRequest;

pub fn tell(slow: &SlowRequest) {
    let behind = |at: Instant| at.since(slow.received).as_millis() as u64;
    let stages = slow.stages.as_ref();
    tracing::warn!(
        session = %slow.session,
        op = slow.opcode.name(),
        path = slow.path.as_deref(),
        zxid = %slow.zxid,
        taken_ms = stages.map(|stages| behind(stages.taken)),
        proposed_ms = stages.map(|stages| behind(stages.proposed)),
        durable_ms = stages.and_then(|stages| stages.durable).map(behind),
        committed_ms = stages.and_then(|stages| stages.committed).map(behind),
        answered_ms = behind(slow.answered),
        left_out = (slow.left_out > 0).then_some(slow.left_out),
        "slow request: moments count from its last byte"
    );
}
