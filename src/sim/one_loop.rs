//! Replica and shard in one loop, as `server/one_loop.rs` runs them: each committed transaction is published, and the
//! reads behind it are served, before the next is applied.

use crate::base::Now;
use crate::replica;
use crate::shard;

use super::server::{Effect, Server};

/// What came out and is not carried out yet.
#[derive(Default)]
struct Turn {
    from_replica: Vec<replica::Output>,
    from_shard: Vec<shard::Output>,
}

impl Server {
    pub(super) fn turn(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut turn = Turn::default();
        self.take_done(now, &mut turn, effects);
        self.take_events(now, &mut turn, effects);
        // The replies first: who gets one often has the next request at once, and it should join this group.
        self.end_shard_turn(now, &mut turn, effects);
        while self.replica.is_about_to_seal() && self.prng.chance(1, 2) {
            self.take_events(now, &mut turn, effects);
            self.end_shard_turn(now, &mut turn, effects);
        }
        self.wake_up(now, &mut turn, effects);
        self.replica.step(now, replica::Input::TurnEnd, &mut turn.from_replica);
        self.carry_out(now, &mut turn, effects);
        self.end_shard_turn(now, &mut turn, effects);
    }

    fn take_done(&mut self, now: Now, turn: &mut Turn, effects: &mut Vec<Effect>) {
        while let Some(input) = self.inputs.pop_front() {
            self.work += 1;
            self.replica.step(now, input, &mut turn.from_replica);
            self.carry_out(now, turn, effects);
        }
        while self.replica.apply_next(&mut turn.from_replica) {
            self.swap_if_canary(&mut turn.from_replica);
            self.carry_out(now, turn, effects);
        }
    }

    fn take_events(&mut self, now: Now, turn: &mut Turn, effects: &mut Vec<Effect>) {
        if !self.replica.takes_requests() {
            self.lanes[0].shard.step(now, shard::Input::Deaf, &mut turn.from_shard);
        }
        // As many as have reached the loop by now.
        let count = self.prng.below(self.lanes[0].arrivals.len() as u64 + 1).max(1);
        for _ in 0..count {
            if !self.replica.takes_requests() {
                return;
            }
            let Some(arrival) = self.lanes[0].arrivals.pop_front() else { return };
            self.take(0, arrival, now, &mut turn.from_shard, effects);
            self.carry_out(now, turn, effects);
        }
    }

    fn wake_up(&mut self, now: Now, turn: &mut Turn, effects: &mut Vec<Effect>) {
        if self.replica.next_wakeup().is_some_and(|at| at <= now.instant) {
            self.replica.step(now, replica::Input::Wakeup, &mut turn.from_replica);
            self.carry_out(now, turn, effects);
        }
        if self.lanes[0].shard.next_wakeup().is_some_and(|at| at <= now.instant) {
            self.lanes[0].shard.step(now, shard::Input::Wakeup, &mut turn.from_shard);
            self.carry_out(now, turn, effects);
        }
    }

    fn end_shard_turn(&mut self, now: Now, turn: &mut Turn, effects: &mut Vec<Effect>) {
        self.lanes[0].shard.step(now, shard::Input::TurnEnd, &mut turn.from_shard);
        self.carry_out(now, turn, effects);
    }

    fn carry_out(&mut self, now: Now, turn: &mut Turn, effects: &mut Vec<Effect>) {
        loop {
            if !turn.from_shard.is_empty() {
                self.carry_out_shard(now, turn, effects);
            } else if !turn.from_replica.is_empty() {
                self.carry_out_replica(now, turn, effects);
            } else {
                return;
            }
        }
    }

    fn carry_out_replica(&mut self, now: Now, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let mut any = false;
        for output in std::mem::take(&mut turn.from_replica) {
            any = true;
            match output {
                replica::Output::Log(command) => effects.push(Effect::Log(command)),
                replica::Output::Snapshot(command) => effects.push(Effect::Snapshot(command)),
                replica::Output::Peer(_) | replica::Output::Serve(_) => unreachable!("a lone server"),
                replica::Output::Notify { shard: _, notice } => {
                    let notice = self.doctored_notice(notice);
                    self.lanes[0].shard.step(now, shard::Input::Notice(notice), &mut turn.from_shard);
                }
                replica::Output::Publish { zxid } => {
                    self.replica.publish(zxid);
                    effects.push(Effect::Published { zxid });
                }
            }
        }
        if any {
            let shard = &mut self.lanes[0].shard;
            let zxid = shard.published();
            shard.step(now, shard::Input::Published { zxid }, &mut turn.from_shard);
        }
    }

    fn carry_out_shard(&mut self, now: Now, turn: &mut Turn, effects: &mut Vec<Effect>) {
        for output in std::mem::take(&mut turn.from_shard) {
            if let Some(request) = self.carry_out_of_shard(0, output, effects) {
                self.replica.step(now, replica::Input::Request(request), &mut turn.from_replica);
            }
        }
    }
}
