//! Asks the loops from outside: by the thread "facts", which works for the ports that speak HTTP, by the thread
//! "watchdog", and by the thread "restore"; each of them one question at a time.
//!
//! A loop looks for a question once a turn, as it does for other rare words, and answers with a census; nothing that it
//! writes on its way is shared. Whoever asks waits with a bound: a loop that is stuck keeps no monitor from hearing so.

use crossbeam::channel::{Sender, bounded, unbounded};
use std::time::Duration;

use crate::io::Waker;
use crate::shard::Look;

use super::census::{Ask, ReplicaCensus, ShardCensus};
use super::rings::{Bell, ToReplica, ToShard};

/// Answered is with what came in until then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The threads that ask. A loop that turns has at most one question of each before it.
pub const ASKERS: usize = 3;

/// To the one loop.
pub enum Question {
    Census { ask: Ask, answer: Sender<(ReplicaCensus, Vec<ShardCensus>)> },
    Look { look: Box<Look>, answer: Sender<Box<Look>> },
}

/// A way to ask.
#[derive(Clone)]
pub enum Inquiry {
    One { ask: Sender<Question>, bell: Waker },
    Many(Loops),
}

/// The threads of the placement with several.
#[derive(Clone)]
pub struct Loops {
    pub shards: Vec<(Sender<ToShard>, Bell)>,
    pub to_replica: Sender<ToReplica>,
    pub replica: Bell,
}

impl Inquiry {
    /// `None`: a loop doesn't answer.
    pub fn ask(&self, ask: Ask) -> Option<(ReplicaCensus, Vec<ShardCensus>)> {
        match self {
            Inquiry::One { ask: questions, bell } => {
                let (answer, census) = bounded(1);
                // Full: it hasn't even taken the last ones.
                questions.try_send(Question::Census { ask, answer }).ok()?;
                bell.wake();
                census.recv_timeout(PATIENCE).ok()
            }
            Inquiry::Many(loops) => {
                let (in_replica, shards) = loops.ask(ask);
                let is_whole = in_replica.mode.is_some() && shards.len() == loops.shards.len();
                is_whole.then_some((in_replica, shards))
            }
        }
    }

    /// One more piece of a look, by the first shard. `None`: it doesn't answer.
    pub fn look(&self, look: Box<Look>) -> Option<Box<Look>> {
        let (answer, seen) = bounded(1);
        match self {
            Inquiry::One { ask: questions, bell } => {
                questions.try_send(Question::Look { look, answer }).ok()?;
                bell.wake();
            }
            Inquiry::Many(loops) => {
                let (to_shard, bell) = loops.shards.first()?;
                to_shard.send(ToShard::Look(look, answer)).ok()?;
                bell.ring();
            }
        }
        seen.recv_timeout(PATIENCE).ok()
    }
}

impl Loops {
    /// The replica's mode is `None`, or shards are missing, if they didn't answer in time.
    pub fn ask(&self, ask: Ask) -> (ReplicaCensus, Vec<ShardCensus>) {
        let (facts_in, facts) = bounded(1);
        let (census_in, census) = unbounded();
        let _ = self.to_replica.send(ToReplica::Census(ask, facts_in));
        self.replica.ring();
        for (to_shard, bell) in &self.shards {
            let _ = to_shard.send(ToShard::Census(ask, census_in.clone()));
            bell.ring();
        }
        drop(census_in);
        let facts = facts.recv_timeout(PATIENCE).unwrap_or_default();
        let mut shards: Vec<ShardCensus> = vec![];
        while let Ok(one) = census.recv_timeout(PATIENCE) {
            shards.push(one);
        }
        (facts, shards)
    }
}
