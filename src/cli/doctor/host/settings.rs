//! Settings of the server itself that make it slower than this host lets it be. Their defaults are never told of.

use super::super::{Finding, Level};
use crate::config::Config;

/// A bound at which writes are as many as without one; at a tenth of it they are half as many, where clients pipeline (tuning/groups.md).
const SHARING_REQUESTS: usize = 1_000;

/// `processors`: those that it may use; `loops`: what it would start.
pub(super) fn look(config: &Config, processors: usize, loops: usize) -> Vec<Finding> {
    [looking(config, processors, loops), groups(config), snapshots(config)].into_iter().flatten().collect()
}

/// Only a lone loop looks, and only where others have a processor meanwhile.
fn looking(config: &Config, processors: usize, loops: usize) -> Option<Finding> {
    (config.look.is_none() && processors > 1 && loops == 1).then(|| {
        Finding::new(
            Level::Note,
            "ringkeeper.lookMicros=0: each request of a lone client finds the loop asleep",
        )
        .todo("Leave the setting out where latency matters more than processor time.")
        .see("looking")
    })
}

fn groups(config: &Config) -> Option<Finding> {
    let most = config.outstanding_max.filter(|&most| most < SHARING_REQUESTS)?;
    Some(
        Finding::new(Level::Note, format!("no more than {most} requests at once: fewer writes share a sync where clients pipeline them"))
            .todo("globalOutstandingLimit and request_throttle_max_requests bound them: leave both out, as memory is bounded otherwise.")
            .see("groups"),
    )
}

fn snapshots(config: &Config) -> Option<Finding> {
    config.snapshot_rate.is_none().then(|| {
        Finding::new(
            Level::Note,
            "ringkeeper.snapshotRate=0: a snapshot takes from writes whatever it can while it is written",
        )
        .todo(
            "Leave the setting out where the rate of writes matters more than how soon a snapshot is whole.",
        )
        .see("snapshots")
    })
}
