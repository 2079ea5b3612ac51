//! Answers four-letter words; `admin` makes the text.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::admin::{self, Effect, Needs};
use crate::base::{ConnectionId, ShardId};

use super::census::{Ask, ReplicaCensus, ShardCensus};
use super::facts::Background;

pub struct Words(pub Background);

/// A four-letter word that came to some shard.
pub struct Question {
    pub asker: ShardId,
    pub connection: ConnectionId,
    pub word: [u8; 4],
    pub argument: Vec<u8>,
}

impl Words {
    /// The port as bound.
    pub fn at_port(mut self, port: u16) -> Words {
        self.0.port = port;
        self
    }

    /// What must be gathered for a word, and changed. `None` for a word that isn't known.
    pub fn ask(&self, word: [u8; 4]) -> Option<Ask> {
        let command = admin::recognise(word)?;
        let runs = command.may_run(&self.0.config.four_letter_words, true);
        Some(if runs {
            Ask { needs: command.needs(), effect: command.effect() }
        } else {
            Ask { needs: Needs::Counters, effect: Effect::None }
        })
    }

    /// The text for a word, or nothing for one that isn't known: then the connection is just closed.
    pub fn answer(
        &mut self,
        word: [u8; 4],
        argument: &[u8],
        in_replica: ReplicaCensus,
        shards: Vec<ShardCensus>,
    ) -> String {
        let Some(command) = admin::recognise(word) else { return String::new() };
        if let Some(mask) = argument.first_chunk::<8>().filter(|_| command.argument_bytes() == 8) {
            self.0.trace_mask.store(i64::from_be_bytes(*mask), Relaxed);
        }
        let gathered = self.0.gather(in_replica, shards);
        let resets = self.ask(word).is_some_and(|ask| ask.effect == Effect::ResetServer);
        if resets && gathered.mode().is_some() {
            self.0.sync_times.reset();
        }
        admin::answer(command, &self.0.config.four_letter_words, &self.0.facts(&gathered))
    }
}

pub fn connection_facts(connection: &crate::shard::Connection) -> admin::ConnectionFacts {
    let stats = &connection.stats;
    let latency = &stats.latency_ms;
    let millis = Duration::from_millis;
    let session = match connection.phase {
        crate::shard::Phase::Active { session, timeout_ms } => Some(admin::SessionOfConnection {
            id: session,
            last_operation: stats.last_opcode.map_or("NA", admin::operation_code),
            established: crate::base::WallMillis(stats.established),
            timeout: millis(u64::try_from(timeout_ms).unwrap_or(0)),
            last_cxid: u32::try_from(stats.last_cxid).ok().filter(|&cxid| cxid > 0),
            last_zxid: stats.last_zxid,
            last_response: crate::base::Instant(stats.last_response_ms * 1_000_000),
            last_latency: millis(latency.last),
            min_latency: millis(latency.min),
            average_latency: millis(latency.sum.checked_div(latency.count).unwrap_or(0)),
            max_latency: millis(latency.max),
        }),
        _ => None,
    };
    admin::ConnectionFacts {
        remote: connection.address,
        reads: !connection.paused,
        writes: !connection.output.is_empty(),
        queued: connection.pending.len() as u64,
        received: stats.received,
        sent: stats.sent,
        session,
    }
}
