//! What others than clients ask of the one loop: four-letter words, the ports that speak HTTP, the watchdog.

use crate::base::Instant;

use super::super::census::{ReplicaCensus, ShardCensus};
use super::super::inquiry::Question;
use super::OneLoop;

impl OneLoop {
    pub(super) fn answer_word(&mut self, word: [u8; 4], argument: &[u8], now: Instant) -> String {
        let Some(ask) = self.words.ask(word) else { return String::new() };
        let in_replica = ReplicaCensus::take(&mut self.replica, ask, now);
        let census = vec![ShardCensus::take(&mut self.shard, ask, true)];
        self.words.answer(word, argument, in_replica, census)
    }

    /// One a turn.
    pub(super) fn answer_questions(&mut self, now: Instant) {
        // Who asked may have given up.
        match self.questions.try_recv() {
            Ok(Question::Census { ask, answer }) => {
                let in_replica = ReplicaCensus::take(&mut self.replica, ask, now);
                let _ = answer.send((in_replica, vec![ShardCensus::take(&mut self.shard, ask, true)]));
            }
            Ok(Question::Look { mut look, answer }) => {
                self.shard.look(&mut look);
                let _ = answer.send(look);
            }
            Err(_) => {}
        }
    }
}
