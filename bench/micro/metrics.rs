//! What being observed costs: a request with all that is counted of it, the counting alone, and one scrape of a server with
//! ten thousand sessions, by whom it is paid.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};

use ringkeeper::admin::{
    About, ClientMetrics, DirectoryFacts, Distribution, Facts, Mode, ProcessFacts, ServerFacts, SessionFacts,
    StoreMetrics, Summary, WatchCounts, exposition,
};
use ringkeeper::base::{ConnectionId, Instant, Now, Prng, SessionId, ShardId, WallMillis, Zxid, limits};
use ringkeeper::config::Raw;
use ringkeeper::messages::{Answer, AnswerBody, Client, Notice};
use ringkeeper::shard::{self, Bounds, Input, LargeRequests, Latency, Output, Shard, Spread, Tallies};
use ringkeeper::wire::client::header::{encode_frame, encode_request};
use ringkeeper::wire::client::{ConnectRequest, GetDataRequest};
use ringkeeper::wire::{Opcode, Text};

use crate::operations::{KEY, path, tree_of_ten_thousand};

const SESSIONS: u32 = 10_000;

/// A shard, and the clients' ends of its connections.
struct Clients {
    shard: Shard,
    now: Now,
    outputs: Vec<Output>,
}

impl Clients {
    fn connected(reader: ringkeeper::tree::Reader, zxid: Zxid, count: u32) -> Clients {
        let now = Now { instant: Instant(1_000_000_000), wall: WallMillis(1) };
        let settings = shard::Settings {
            tick: Duration::from_secs(2),
            frame_bytes_max: limits::FRAME_BYTES_DEFAULT,
            sessionless_timeout: Duration::from_secs(10),
            slow_request: Duration::from_secs(1),
            skip_acl: false,
            super_digest: None,
            turn_budget: limits::TURN_BUDGET,
            bounds: Bounds::default(),
            large_requests: LargeRequests::default(),
            hash_key: KEY,
            is_serving: true,
        };
        let shard = Shard::new(ShardId(0), settings, reader, now);
        let mut clients = Clients { shard, now, outputs: vec![] };
        let mut frame = vec![];
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session_id: SessionId::NONE,
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        encode_frame(&mut frame, &request);
        for slot in 0..count {
            let connection = ConnectionId { slot, generation: 1 };
            let address = "127.0.0.1:4000".parse().expect("an address");
            clients.step(Input::Accepted { connection, address });
            clients.step(Input::Received { connection, bytes: &frame });
            let session = SessionId(i64::from(slot) + 1);
            let body = AnswerBody::Session { session, password: [0; 16], timeout_ms: 10_000 };
            let to = Client { shard: ShardId(0), connection };
            let answer = Some(Answer { to, xid: 0, body });
            clients.step(Input::Notice(Arc::new(Notice { zxid, answer, ..Notice::empty() })));
            clients.step(Input::Published { zxid });
            clients.end_turn();
        }
        clients
    }

    fn step(&mut self, input: Input<'_>) {
        self.shard.step(self.now, input, &mut self.outputs);
    }

    /// What is sent is taken at once.
    fn end_turn(&mut self) -> usize {
        self.step(Input::TurnEnd);
        let mut bytes_sent = 0;
        while let Some(output) = self.outputs.pop() {
            if let Output::Send { connection, bytes } = output {
                bytes_sent += bytes.len();
                self.step(Input::Sent { connection, buffer: bytes });
            }
        }
        bytes_sent
    }
}

fn latencies() -> Vec<u64> {
    let mut random = Prng::new(1);
    (0..1024).map(|_| random.below(2000)).collect()
}

/// The counting alone, and beside it all that a loop does for a read.
pub fn count(c: &mut Criterion) {
    let mut group = c.benchmark_group("count");
    group.throughput(Throughput::Elements(1));
    let latencies = latencies();
    group.bench_function("a reply's latency and size", |b| {
        let mut tallies = Tallies::default();
        let mut at = 0;
        b.iter(|| {
            at = (at + 1) % latencies.len();
            tallies.reads.add(black_box(latencies[at]));
            tallies.sizes.add(black_box(100));
        });
        black_box(tallies.latency().count);
    });
    let (_store, reader, zxid) = tree_of_ten_thousand();
    let mut clients = Clients::connected(reader, zxid, 16);
    let mut frame = vec![];
    let path = path(5);
    let request = GetDataRequest { path: Text::from_bytes(path.as_bytes()), watch: false };
    encode_request(&mut frame, 1, Opcode::GetData, &request);
    // As many as there are connections, in one turn.
    group.throughput(Throughput::Elements(16));
    group.bench_function("16 whole gets, counted", |b| {
        let mut at = 0;
        b.iter(|| {
            at = (at + 1) % latencies.len();
            for slot in 0..16 {
                let connection = ConnectionId { slot, generation: 1 };
                clients.step(Input::Received { connection, bytes: &frame });
            }
            clients.now.instant = clients.now.instant + Duration::from_micros(latencies[at]);
            let bytes = clients.end_turn();
            assert!(bytes > 16 * 100, "every get was answered: {bytes}");
            bytes
        });
    });
    group.finish();
    println!("counted: {}", clients.shard.tallies().reads.summary.count);
}

fn summary(of: &Latency) -> Summary {
    Summary { count: of.count, sum: of.sum, min: of.min, max: of.max }
}

fn distribution(of: &Spread) -> Distribution {
    Distribution::new(summary(&of.summary), of.histogram())
}

/// One look of Prometheus: what its loop pays, which has other work, and what the thread pays that makes the page.
pub fn scrape(c: &mut Criterion) {
    let (_store, reader, zxid) = tree_of_ten_thousand();
    let clients = Clients::connected(reader, zxid, SESSIONS);
    let mut group = c.benchmark_group("scrape, 10,000 sessions");
    let mut tallies = clients.shard.tallies().clone();
    latencies().into_iter().for_each(|micros| tallies.reads.add(micros));
    latencies().into_iter().for_each(|micros| tallies.updates.add(micros));
    group.bench_function("by the loop", |b| {
        b.iter(|| {
            let facts = clients.shard.facts();
            assert_eq!(facts.connections, u64::from(SESSIONS));
            (facts, black_box(&tallies).clone())
        });
    });
    let raw = Raw::parse("zoo.cfg", b"dataDir=/data\nclientPort=2181\n");
    let checked = raw.check_and_keep(|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let config = checked.unwrap_or_else(|refusal| panic!("{:?}", refusal.faults)).config;
    let about = About { built: "2026-07-17 17:37 UTC".to_owned(), environment: vec![] };
    let (store, process, sessions) =
        (StoreMetrics::default(), ProcessFacts::default(), SessionFacts::default());
    group.bench_function("the page", |b| {
        b.iter(|| {
            let in_shard = clients.shard.facts();
            let metrics = ClientMetrics {
                packets_received: in_shard.received,
                packets_sent: in_shard.sent,
                request_latency: summary(&tallies.latency()),
                read_latency: distribution(&tallies.reads),
                update_latency: distribution(&tallies.updates),
                ..ClientMetrics::default()
            };
            let server = ServerFacts {
                mode: Mode::Standalone,
                client_port: 2181,
                server_id: 0,
                last_zxid: zxid,
                connections_count: in_shard.connections,
                outstanding_requests: in_shard.outstanding,
                nodes_count: 10_000,
                watches_count: 0,
                ephemerals_count: 0,
                approximate_data_size: 0,
                sessions_count: in_shard.connections,
                local_sessions_count: 0,
                uptime: Duration::from_secs(60),
                open_files_count: 0,
                open_files_max: 0,
            };
            let facts = Facts {
                about: &about,
                config: &config,
                server: Some(server),
                clients: &metrics,
                store: &store,
                connections: &[],
                directories: DirectoryFacts::default(),
                ensemble: None,
                last_snapshot: None,
                process: &process,
                watch_counts: WatchCounts::default(),
                watches: &[],
                sessions: &sessions,
                digests: &[],
                trace_mask: 0,
            };
            exposition(black_box(&facts), true).len()
        });
    });
    group.finish();
}
