//! What one run does: everything that its seed decides up front, and what the command line may say instead.
//!
//! A run is a function of its [`Plan`]. The line that replays a failure names the whole plan, so a plan drawn from a
//! seed and the same plan written out give the same run: nothing else is drawn from the stream that makes plans.

use std::fmt;
use std::time::Duration;

use crate::base::{Prng, limits};

/// Families of faults; each can be left out, to see whether a failure needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The process dies, with or without the page cache; it is stopped; it dies again while it starts.
    pub crash: bool,
    /// Syncs that are slow or fail; snapshots that can't be written.
    pub disk: bool,
    /// Flipped bits and overwritten sectors, found at the next start.
    pub damage: bool,
    /// The disk's reserve is touched.
    pub full: bool,
    /// Connections that break, half close, or aren't read from; sessions that move or never come back.
    pub cut: bool,
    /// The process stands still; the wall clock steps.
    pub clock: bool,
    /// Threads and packets that lag.
    pub slow: bool,
}

impl Faults {
    pub const NONE: Faults = Faults {
        crash: false,
        disk: false,
        damage: false,
        full: false,
        cut: false,
        clock: false,
        slow: false,
    };

    fn fields(&mut self) -> [(&'static str, &mut bool); 7] {
        [
            ("crash", &mut self.crash),
            ("disk", &mut self.disk),
            ("damage", &mut self.damage),
            ("full", &mut self.full),
            ("cut", &mut self.cut),
            ("clock", &mut self.clock),
            ("slow", &mut self.slow),
        ]
    }

    /// `crash,disk`; `none`; `all`.
    pub fn parse(text: &str) -> Result<Faults, String> {
        let mut faults = Faults::NONE;
        for word in text.split(',').filter(|word| !matches!(*word, "none" | "")) {
            let mut known = false;
            for (name, field) in faults.fields() {
                if name == word || word == "all" {
                    *field = true;
                    known = true;
                }
            }
            if !known {
                return Err(format!(
                    "--faults: {word:?} is no family of faults: crash, disk, damage, full, cut, clock, slow, all, none"
                ));
            }
        }
        Ok(faults)
    }

    fn draw(prng: &mut Prng) -> Faults {
        let mut faults = Faults::NONE;
        // Some runs have few faults, so that what needs a long undisturbed stretch has its chance, too.
        let calm = prng.chance(1, 4);
        for (_, field) in faults.fields() {
            *field = if calm { prng.chance(1, 4) } else { prng.chance(3, 4) };
        }
        faults
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = *self;
        let names: Vec<&str> =
            faults.fields().into_iter().filter(|(_, on)| **on).map(|(name, _)| name).collect();
        if names.is_empty() { f.write_str("none") } else { f.write_str(&names.join(",")) }
    }
}

/// A bug put into the driver on purpose, to see that the checkers find it. The server's code doesn't know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// `Durable` is reported when the sync begins.
    ReplyBeforeSync,
    /// `Durable` is reported in time, but nothing was synced.
    SkippedSync,
    /// A version is published before the notices that explain it are handed to the shards.
    NoticeAfterPublish,
    /// At a start, checksums of torn records are made to fit.
    TornTailAccepted,
    /// The id alone resumes a session.
    PasswordIgnored,
    /// Now and then a notice loses its changes, so watches don't fire.
    WatchLost,
    /// Now and then a change is announced twice.
    EventTwice,
    /// Of a multi only the first half is carried out.
    MultiByHalves,
    /// A recursive watch misses what is below its own node.
    RecursiveWatchShallow,
    /// Who comes back is not told what happened meanwhile.
    SetWatchesBlind,
    /// Whoever asks may do everything.
    AclIgnored,
    /// Containers that never had a child are deleted.
    ReapedEarly,
    /// A reader looks at the tree once, and keeps the version.
    ReaderLeftBehind,
}

impl Canary {
    pub const ALL: [Canary; 13] = [
        Canary::ReplyBeforeSync,
        Canary::SkippedSync,
        Canary::NoticeAfterPublish,
        Canary::TornTailAccepted,
        Canary::PasswordIgnored,
        Canary::WatchLost,
        Canary::EventTwice,
        Canary::MultiByHalves,
        Canary::RecursiveWatchShallow,
        Canary::SetWatchesBlind,
        Canary::AclIgnored,
        Canary::ReapedEarly,
        Canary::ReaderLeftBehind,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Canary::ReplyBeforeSync => "reply-before-sync",
            Canary::SkippedSync => "skipped-sync",
            Canary::NoticeAfterPublish => "notice-after-publish",
            Canary::TornTailAccepted => "torn-tail-accepted",
            Canary::PasswordIgnored => "password-ignored",
            Canary::WatchLost => "watch-lost",
            Canary::EventTwice => "event-twice",
            Canary::MultiByHalves => "multi-by-halves",
            Canary::RecursiveWatchShallow => "recursive-watch-shallow",
            Canary::SetWatchesBlind => "set-watches-blind",
            Canary::AclIgnored => "acl-ignored",
            Canary::ReapedEarly => "reaped-early",
            Canary::ReaderLeftBehind => "reader-left-behind",
        }
    }

    pub fn parse(text: &str) -> Result<Canary, String> {
        let found = Canary::ALL.into_iter().find(|canary| canary.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Canary::ALL.iter().map(|canary| canary.name()).collect();
            format!("--canary: {text:?} is none of {}", names.join(", "))
        })
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    /// One: replica and shard in one loop. More: a loop for the replica and one for each shard.
    pub shards: usize,
    pub faults: Faults,
    pub canary: Option<Canary>,
    /// Events of the phase with faults.
    pub ticks: u64,
    /// Print every line of the trace.
    pub trace: bool,
}

/// Events of the phase with faults, unless the command line says otherwise.
pub const TICKS_DEFAULT: u64 = 12_000;

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut prng = Prng::salted(seed, "plan");
        let shards = if prng.chance(1, 2) { 1 } else { 2 + prng.below(3) as usize };
        let faults = Faults::draw(&mut prng);
        Plan { seed, shards, faults, canary: None, ticks: TICKS_DEFAULT, trace: false }
    }

    /// A run in which this bug has every chance to show.
    pub fn canary_plan(seed: u64, canary: Canary) -> Plan {
        let (shards, faults) = match canary {
            Canary::ReplyBeforeSync | Canary::SkippedSync => (1, "crash"),
            Canary::TornTailAccepted => (1, "crash,disk"),
            Canary::NoticeAfterPublish => (2, "slow"),
            Canary::EventTwice => (2, "none"),
            Canary::MultiByHalves
            | Canary::RecursiveWatchShallow
            | Canary::AclIgnored
            | Canary::ReapedEarly
            | Canary::ReaderLeftBehind => (1, "none"),
            Canary::PasswordIgnored | Canary::WatchLost | Canary::SetWatchesBlind => (1, "cut"),
        };
        let faults = Faults::parse(faults).unwrap_or(Faults::NONE);
        Plan { seed, shards, faults, canary: Some(canary), ticks: TICKS_DEFAULT, trace: false }
    }

    /// What to type to see the run again.
    pub fn replay(&self) -> String {
        let mut line = format!(
            "cargo test --release --test sim -- --seed {:#x} --shards {} --faults {}",
            self.seed, self.shards, self.faults
        );
        if self.ticks != TICKS_DEFAULT {
            line.push_str(&format!(" --ticks {}", self.ticks));
        }
        if let Some(canary) = self.canary {
            line.push_str(&format!(" --canary {}", canary.name()));
        }
        line
    }
}

/// What the seed decides about the world, whatever the command line says of faults.
#[derive(Clone, Debug)]
pub struct Shape {
    pub tick: Duration,
    pub clients: usize,
    pub segment_bytes: u64,
    pub first_segment_bytes: u64,
    pub persists_max: usize,
    /// Transactions between two snapshots.
    pub snapshot_count: u64,
    pub snapshot_bytes_per_second: u64,
    /// What may be written ahead of a snapshot; what may not is kept.
    pub snapshot_ahead_bytes: usize,
    pub retain: Option<usize>,
    /// Notices that a shard's ring holds.
    pub ring: usize,
    /// Bytes that the kernel takes from a server before the client reads.
    pub socket_bytes: usize,
    /// Usual time of a sync.
    pub sync: Duration,
    /// Usual time of a packet.
    pub packet: Duration,
    /// Usual time until a thread that was woken runs.
    pub wake: Duration,
    /// Requests that a client sends without waiting, at the most.
    pub pipeline: usize,
    /// Usual time between two acts of a client.
    pub think: Duration,
    /// Names of the key space.
    pub names: usize,
    /// Requests that the ring from a shard to the replica holds.
    pub request_ring: usize,
    /// Bytes of one group of the log: the replica is full when the open one has them.
    pub group_bytes: usize,
    pub extended_types: bool,
    /// Between two looks at containers and TTL nodes.
    pub reap_interval: Duration,
    pub reap_per_minute: u32,
    /// When containers go that never had a child.
    pub never_used: Option<Duration>,
    /// Requests that the operator allows to be under way.
    pub outstanding_max: usize,
    /// Units of divisible work in one turn of a loop.
    pub turn_budget: usize,
    /// Requests taken of one client in a turn.
    pub turn_requests: usize,
    /// Unanswered writes, above which a client has its share.
    pub writes: usize,
    /// Unsent bytes of all connections of a loop.
    pub output_bytes: usize,
    /// Transactions carry the tree's digest, as in an ensemble, and it is compared.
    pub digests: bool,
}

impl Shape {
    pub fn draw(seed: u64) -> Shape {
        let mut prng = Prng::salted(seed, "shape");
        let mut pick = |choices: &[u64]| choices[prng.below(choices.len() as u64) as usize];
        let room = limits::OUTPUT_BYTES_SOFT as u64;
        let tick = Duration::from_millis(pick(&[100, 500, 2000]));
        Shape {
            tick,
            clients: pick(&[1, 2, 4, 6, 8]) as usize,
            segment_bytes: pick(&[6 << 10, 16 << 10, 64 << 10]),
            first_segment_bytes: pick(&[6 << 10, 8 << 10, 32 << 10]),
            persists_max: pick(&[1, 1, 1, 1, 1, 1, 1, 2]) as usize,
            snapshot_count: pick(&[20, 60, 200, 1000]),
            snapshot_bytes_per_second: pick(&[0, 20_000, 1_000_000]),
            // Not from `prng`: what other seeds draw stays what it was.
            snapshot_ahead_bytes: [0, 500, crate::tree::AHEAD_BYTES_MAX][seed as usize % 3],
            retain: [None, Some(1), Some(3)][pick(&[0, 1, 2]) as usize],
            ring: pick(&[2, 8, 64]) as usize,
            socket_bytes: pick(&[64, 1000, 100_000]) as usize,
            sync: Duration::from_micros(pick(&[20, 100, 2_000, 20_000])),
            packet: Duration::from_micros(pick(&[5, 50, 500, 5_000])),
            wake: Duration::from_micros(pick(&[1, 20, 500])),
            pipeline: pick(&[1, 4, 16]) as usize,
            think: Duration::from_micros(pick(&[10, 200, 3_000, 30_000])),
            names: pick(&[3, 5, 9]) as usize,
            request_ring: pick(&[1, 4, 64]) as usize,
            group_bytes: pick(&[2 << 10, 1 << 20, 1 << 20]) as usize,
            extended_types: pick(&[0, 1, 1]) == 1,
            reap_interval: tick * pick(&[1, 2, 20]) as u32,
            reap_per_minute: pick(&[600, 10_000, 100_000]) as u32,
            never_used: [None, None, Some(tick * 3)][pick(&[0, 1, 2]) as usize],
            turn_budget: pick(&[12, 40, 100, 2048]) as usize,
            outstanding_max: pick(&[65_536]) as usize,
            turn_requests: pick(&[2, 16, 128]) as usize,
            writes: pick(&[2, 8, 2_048]) as usize,
            output_bytes: pick(&[300, 20_000, room, room, room, room]) as usize,
            digests: pick(&[0, 1, 1]) == 1,
        }
    }
}
