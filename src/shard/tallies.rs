//! What a shard counts for operators. Plain numbers of the thread that counts; whoever asks gets a copy.

use hdrhistogram::Histogram;

use super::connection::Latency;
use super::watches;

/// What an operator sees of the shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub connections: u64,
    pub outstanding: u64,
    pub received: u64,
    pub sent: u64,
    pub bytes_received: u64,
    /// Of both tables.
    pub watches: u64,
    pub data_watches: watches::Counts,
    /// In microseconds.
    pub latency: Latency,
}

impl Facts {
    /// Adds another shard's.
    pub fn add(&mut self, other: &Facts) {
        self.connections += other.connections;
        self.outstanding += other.outstanding;
        self.received += other.received;
        self.sent += other.sent;
        self.bytes_received += other.bytes_received;
        self.watches += other.watches;
        self.data_watches.add(other.data_watches);
        self.latency.merge(&other.latency);
    }
}

/// Since the start, or since `srst`.
#[derive(Clone, Default)]
pub struct Tallies {
    /// From the last byte of a request to its reply: what reads the tree, and what changes it (sessions included).
    pub reads: Spread,
    pub updates: Spread,
    /// Handshakes that asked for a session.
    pub connection_requests: u64,
    /// Bytes of one reply.
    pub sizes: Latency,
    /// Closed for their silence before they had a session.
    pub sessionless_expired: u64,
    pub auth_failures: u64,
    /// Connections closed for a request that was one large one too many (`large_requests.rs`).
    pub large_requests_rejected: u64,
    /// Handed to sockets: replies and events.
    pub bytes_sent: u64,
    /// Of these, events.
    pub watch_bytes: u64,
    /// Connections told of one change, by what it was.
    pub created: Latency,
    pub deleted: Latency,
    pub changed: Latency,
    pub children: Latency,
}

/// Times in microseconds: their summary, and how they are spread.
#[derive(Clone)]
pub struct Spread {
    pub summary: Latency,
    /// Exact to 1 % up to a minute, above which all times look alike. Without the newest run.
    histogram: Histogram<u64>,
    /// A time, and how often it has come in a row: what came together is mostly answered together.
    run: (u64, u64),
}

impl Default for Spread {
    fn default() -> Spread {
        const MICROS_MAX: u64 = 60_000_000;
        const DIGITS: u8 = 2;
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("the bounds are in order");
        Spread { summary: Latency::default(), histogram, run: (0, 0) }
    }
}

impl Spread {
    #[inline]
    pub fn add(&mut self, micros: u64) {
        self.summary.add(micros);
        if micros != self.run.0 {
            let (before, count) = std::mem::replace(&mut self.run, (micros, 0));
            self.histogram.saturating_record_n(before, count);
        }
        self.run.1 += 1;
    }

    /// All of them.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut all = self.histogram.clone();
        all.saturating_record_n(self.run.0, self.run.1);
        all
    }

    pub fn merge(&mut self, other: &Spread) {
        self.summary.merge(&other.summary);
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.histogram.saturating_record_n(other.run.0, other.run.1);
    }
}

impl Tallies {
    /// Of all requests.
    pub fn latency(&self) -> Latency {
        let mut all = self.reads.summary;
        all.merge(&self.updates.summary);
        all
    }

    pub fn merge(&mut self, other: &Tallies) {
        // All fields are named, so that a new one doesn't get lost here.
        let Tallies {
            reads,
            updates,
            connection_requests,
            sizes,
            sessionless_expired,
            auth_failures,
            large_requests_rejected,
            bytes_sent,
            watch_bytes,
            created,
            deleted,
            changed,
            children,
        } = other;
        self.reads.merge(reads);
        self.updates.merge(updates);
        self.connection_requests += connection_requests;
        self.sizes.merge(sizes);
        if sizes.count > 0 {
            self.sizes.last = sizes.last;
        }
        self.sessionless_expired += sessionless_expired;
        self.auth_failures += auth_failures;
        self.large_requests_rejected += large_requests_rejected;
        self.bytes_sent += bytes_sent;
        self.watch_bytes += watch_bytes;
        self.created.merge(created);
        self.deleted.merge(deleted);
        self.changed.merge(changed);
        self.children.merge(children);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let mut one = Tallies { bytes_sent: 5, auth_failures: 1, ..Tallies::default() };
        let mut other = Tallies { bytes_sent: 7, ..Tallies::default() };
        (1..=90).for_each(|_| one.reads.add(100));
        (1..=10).for_each(|_| other.reads.add(90_000_000));
        other.updates.add(50);
        one.merge(&other);
        assert_eq!((one.bytes_sent, one.auth_failures), (12, 1));
        let all = one.latency();
        assert_eq!((all.count, all.min, all.max), (101, 50, 90_000_000));
        let times = one.reads.histogram();
        assert_eq!(times.len(), 100, "the newest runs of both are among them");
        assert!(times.value_at_quantile(0.5).abs_diff(100) <= 1);
        assert!(times.value_at_quantile(0.99) >= 59_000_000, "saturates, and isn't lost");
    }

    #[test]
    fn times_that_alternate_are_all_counted() {
        let mut spread = Spread::default();
        for micros in [0, 0, 7, 7, 7, 0, 9] {
            spread.add(micros);
        }
        let times = spread.histogram();
        let count = |micros| times.count_at(micros);
        assert_eq!((times.len(), count(0), count(7), count(9)), (7, 3, 3, 1));
    }
}
