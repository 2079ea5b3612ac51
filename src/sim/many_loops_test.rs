//! A loop that waits for another one waits: it isn't woken over and over.

use std::time::Duration;

use crate::base::{HashKey, Instant, Now, Prng, SessionId, WallMillis, Zxid, limits};
use crate::log::Command;
use crate::replica::{self, SnapshotSettings};
use crate::shard;
use crate::wire::client::ConnectRequest;
use crate::wire::client::header::encode_frame;

use super::super::boot::{self, Disk};
use super::super::network::Slots;
use super::super::plan::Shape;
use super::super::server::{Arrival, Effect, Server};

const TICK: Duration = Duration::from_millis(100);

fn at(ms: u64) -> Now {
    Now { instant: Instant(ms * 1_000_000), wall: WallMillis(ms as i64) }
}

/// Two shards, and rings that hold one notice each.
fn server() -> Server {
    let hash_key = HashKey(1, 2);
    let settings = replica::Settings {
        server: crate::base::ServerId(1),
        tick: TICK,
        session_timeout_min: TICK * 2,
        session_timeout_max: TICK * 20,
        rules: crate::tree::Rules { extended_types: true, ..crate::tree::Rules::default() },
        containers: Default::default(),
        snapshots: SnapshotSettings {
            count: 1000,
            log_bytes: 0,
            bytes_per_second: 0,
            ahead_bytes_max: 0,
            retain: None,
            seed: 1,
        },
        outstanding_max: limits::PROPOSALS_MAX,
        slow_request: Duration::MAX,
        throttle: None,
        turn_budget: limits::TURN_BUDGET,
        hash_key,
        passwords: crate::tree::Passwords::default(),
        history: None,
        digests: false,
    };
    let shard_settings = shard::Settings {
        super_digest: None,
        tick: TICK,
        frame_bytes_max: 1 << 20,
        sessionless_timeout: Duration::from_secs(10),
        slow_request: Duration::MAX,
        skip_acl: false,
        turn_budget: limits::TURN_BUDGET,
        bounds: shard::Bounds::default(),
        large_requests: shard::LargeRequests::default(),
        hash_key,
        is_serving: true,
    };
    let shape = Shape { ring: 1, request_ring: 64, group_bytes: 1 << 20, ..Shape::draw(0) };
    let booting = boot::begin(&Disk::default(), &shape, &settings, 3, at(1), 7, None).expect("an empty disk");
    let start = booting.finish().expect("an empty disk");
    Server::new(start, &shard_settings, at(1), Prng::salted(1, "test"), &shape, None)
}

/// Runs a thread until it sleeps; what it asks of the log is durable at once.
fn run(server: &mut Server, thread: usize, now: Now) -> usize {
    for steps in 0..1_000 {
        if !server.is_busy(thread) && server.next_wakeup(thread).is_none_or(|at| at > now.instant) {
            return steps;
        }
        let mut effects = vec![];
        server.step(thread, now, &mut effects);
        for effect in effects {
            if let Effect::Log(Command::Persist { ticket }) = effect {
                server.inputs.push_back(replica::Input::Durable { ticket });
            }
        }
    }
    panic!("thread {thread} never sleeps: {}", server.business());
}

fn connect(server: &mut Server, shard: usize, slots: &mut Slots) {
    let connection = slots.take();
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 1,
        session_id: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: None,
    };
    let mut bytes = vec![];
    encode_frame(&mut bytes, &request);
    server.arrive(shard, Arrival::Accepted { connection });
    server.arrive(shard, Arrival::Received { connection, bytes });
}

/// What seed 0xd3 died of: due all the time, and never told.
#[test]
fn a_replica_that_waits_for_a_shards_ring_still_expires_sessions_and_sleeps() {
    let mut server = server();
    let mut slots = Slots::default();
    for _ in 0..3 {
        connect(&mut server, 0, &mut slots);
    }
    run(&mut server, 1, at(2));
    // The second shard stands still: its ring is full after one transaction.
    run(&mut server, 0, at(2));
    assert_eq!(server.lanes[1].notices.len(), 1);
    assert!(!server.replica.is_idle(), "two sessions wait to be applied");
    // The first session's time is over, and everything else stays where it is.
    for ms in (50..1_000).step_by(50) {
        let steps = run(&mut server, 0, at(ms));
        assert!(steps <= 20, "{steps} steps at {ms} ms");
    }
    run(&mut server, 2, at(1_000));
    for ms in 1_001..1_010 {
        run(&mut server, 0, at(ms));
        run(&mut server, 1, at(ms));
        run(&mut server, 2, at(ms));
    }
    assert!(server.is_idle(), "{}", server.business());
}
