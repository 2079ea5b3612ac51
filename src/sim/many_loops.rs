//! The replica and each shard in a loop of its own, as `server/replica_thread.rs` and `shard_thread.rs` run them.
//!
//! A turn is cut into steps of one input or one output each, and between two steps of one loop those of the others run:
//! so a publication may come between the notices of two shards, or in the middle of a shard's turn. The rings are
//! bounded: a shard with requests that found no room takes nothing from its sockets, and a replica applies nothing that
//! some shard has no room for.

use std::time::Duration;

use crate::base::{Now, ShardId};
use crate::replica;
use crate::shard;

use super::plan::Canary;
use super::server::{Effect, Server};

/// As in `server/shard_thread.rs`.
const HELD_RETRY: Duration = Duration::from_millis(1);
/// As in `server/replica_thread.rs`.
const ROOM_RETRY: Duration = Duration::from_micros(200);

/// Where a shard's turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShardStage {
    Asleep,
    /// Takes notices from its ring.
    Draining,
    Publishing,
    Taking {
        left: usize,
    },
    Ending,
}

/// Where the replica's turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicaStage {
    Asleep,
    Applying { left: usize },
    Taking { left: usize },
    Ending,
}

impl Server {
    pub(super) fn replica_step(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.outputs.is_empty() {
            return self.carry_out_one(effects);
        }
        match self.stage {
            ReplicaStage::Asleep => {
                self.retry = None;
                while let Some(input) = self.inputs.pop_front() {
                    self.work += 1;
                    self.ask_replica(now, input);
                }
                self.stage = ReplicaStage::Applying { left: 1 + self.prng.below(16) as usize };
            }
            ReplicaStage::Applying { left } => {
                // A full ring makes apply wait, while log and commits go on.
                let room = self.lanes.iter().all(|lane| lane.notices.len() < self.ring);
                let mut outputs = vec![];
                if left > 0 && room && self.replica.apply_next(&mut outputs) {
                    self.work += 1;
                    self.swap_if_canary(&mut outputs);
                    self.outputs.extend(outputs);
                    self.stage = ReplicaStage::Applying { left: left - 1 };
                    return;
                }
                self.retry = (!room).then_some(now.instant + ROOM_RETRY);
                self.publish(effects);
                self.stage = ReplicaStage::Taking { left: 1 + self.prng.below(16) as usize };
            }
            ReplicaStage::Taking { left } => match if left == 0 { None } else { self.next_request() } {
                Some(input) => {
                    self.work += 1;
                    self.ask_replica(now, input);
                    self.stage = ReplicaStage::Taking { left: left - 1 };
                }
                None => {
                    if self.replica.next_wakeup().is_some_and(|at| at <= now.instant) {
                        self.ask_replica(now, replica::Input::Wakeup);
                    }
                    self.stage = ReplicaStage::Ending;
                }
            },
            ReplicaStage::Ending => {
                self.ask_replica(now, replica::Input::TurnEnd);
                self.stage = ReplicaStage::Asleep;
            }
        }
    }

    fn carry_out_one(&mut self, effects: &mut Vec<Effect>) {
        let Some(output) = self.outputs.pop_front() else { return };
        match output {
            replica::Output::Log(command) => effects.push(Effect::Log(command)),
            replica::Output::Snapshot(command) => effects.push(Effect::Snapshot(command)),
            replica::Output::Peer(_) | replica::Output::Serve(_) => unreachable!("a lone server"),
            // The bug put in on purpose dawdles between the publication and its notice.
            replica::Output::Notify { .. }
                if self.canary == Some(Canary::NoticeAfterPublish) && self.prng.chance(7, 8) =>
            {
                self.outputs.push_front(output);
                return self.publish(effects);
            }
            replica::Output::Notify { shard, notice } => {
                let notice = self.doctored_notice(notice);
                // One ring at a time, as a thread does it: the other shards' turns come next.
                let first = shard.map_or(0, |shard| usize::from(shard.0));
                if shard.is_none() {
                    for other in (1..self.lanes.len()).rev() {
                        let (shard, notice) = (Some(ShardId(other as u16)), notice.clone());
                        self.outputs.push_front(replica::Output::Notify { shard, notice });
                    }
                }
                self.lanes[first].notices.push_back(notice);
            }
            // Several transactions may be published at once.
            replica::Output::Publish { zxid } => self.unpublished = Some(zxid),
        }
        if self.prng.chance(1, 2) {
            self.publish(effects);
        }
    }

    fn publish(&mut self, effects: &mut Vec<Effect>) {
        if let Some(zxid) = self.unpublished.take() {
            self.replica.publish(zxid);
            effects.push(Effect::Published { zxid });
        }
    }

    fn ask_replica(&mut self, now: Now, input: replica::Input) {
        let mut outputs = vec![];
        self.replica.step(now, input, &mut outputs);
        self.outputs.extend(outputs);
    }

    fn next_request(&mut self) -> Option<replica::Input> {
        if !self.replica.takes_requests() {
            return None;
        }
        let waiting: Vec<usize> =
            (0..self.lanes.len()).filter(|index| !self.lanes[*index].requests.is_empty()).collect();
        if waiting.is_empty() {
            return None;
        }
        let lane = waiting[self.prng.below(waiting.len() as u64) as usize];
        self.lanes[lane].requests.pop_front().map(replica::Input::Request)
    }

    pub(super) fn shard_step(&mut self, index: usize, now: Now, effects: &mut Vec<Effect>) {
        let lane = &mut self.lanes[index];
        match lane.stage {
            ShardStage::Asleep => {
                lane.stage = ShardStage::Draining;
                lane.retry = None;
                // Before the ring is looked at: what is published had its notices pushed before.
                lane.seen = lane.shard.published();
            }
            ShardStage::Draining => {
                let due = lane.notices.front().is_some_and(|notice| notice.zxid <= lane.seen);
                let notice = if due || self.prng.chance(1, 2) { lane.notices.pop_front() } else { None };
                match notice {
                    Some(notice) => {
                        self.work += 1;
                        self.tell_shard(index, now, shard::Input::Notice(notice), effects);
                    }
                    None => lane.stage = ShardStage::Publishing,
                }
            }
            ShardStage::Publishing => {
                let zxid = lane.seen;
                self.tell_shard(index, now, shard::Input::Published { zxid }, effects);
                let lane = &mut self.lanes[index];
                let left = self.prng.below(lane.arrivals.len() as u64 + 1).max(1) as usize;
                lane.stage = ShardStage::Taking { left };
                while lane.requests.len() < self.request_ring
                    && let Some(request) = lane.held.pop_front()
                {
                    lane.requests.push_back(request);
                }
                if !lane.held.is_empty() {
                    self.tell_shard(index, now, shard::Input::Deaf, effects);
                }
            }
            ShardStage::Taking { left } => {
                let takes = left > 0 && lane.held.is_empty();
                match if takes { lane.arrivals.pop_front() } else { None } {
                    Some(arrival) => {
                        lane.stage = ShardStage::Taking { left: left - 1 };
                        let mut outputs = vec![];
                        self.take(index, arrival, now, &mut outputs, effects);
                        self.carry_out_of_lane(index, outputs, effects);
                    }
                    None => {
                        lane.stage = ShardStage::Ending;
                        if lane.shard.next_wakeup().is_some_and(|at| at <= now.instant) {
                            self.tell_shard(index, now, shard::Input::Wakeup, effects);
                        }
                    }
                }
            }
            ShardStage::Ending => {
                self.tell_shard(index, now, shard::Input::TurnEnd, effects);
                let lane = &mut self.lanes[index];
                lane.stage = ShardStage::Asleep;
                lane.retry = (!lane.held.is_empty()).then_some(now.instant + HELD_RETRY);
            }
        }
    }

    fn tell_shard(&mut self, index: usize, now: Now, input: shard::Input<'_>, effects: &mut Vec<Effect>) {
        let mut outputs = vec![];
        self.lanes[index].shard.step(now, input, &mut outputs);
        self.carry_out_of_lane(index, outputs, effects);
    }

    fn carry_out_of_lane(&mut self, index: usize, outputs: Vec<shard::Output>, effects: &mut Vec<Effect>) {
        for output in outputs {
            let Some(request) = self.carry_out_of_shard(index, output, effects) else { continue };
            let lane = &mut self.lanes[index];
            if lane.held.is_empty() && lane.requests.len() < self.request_ring {
                lane.requests.push_back(request);
            } else {
                lane.held.push_back(request);
            }
        }
    }
}

#[cfg(test)]
#[path = "many_loops_test.rs"]
mod tests;
