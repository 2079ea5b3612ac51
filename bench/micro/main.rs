//! Micro-benchmarks of the pure rooms: decode, prep, apply, lookup, log append; and what is counted on their way. Fixed seed, no I/O.
//!
//! `cargo bench --bench micro` measures; `cargo bench --bench micro -- --test` runs each once, so that they can't rot.

mod metrics;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

use ringkeeper::base::limits::TURN_BUDGET;
use ringkeeper::base::{HashKey, Instant, Now, Prng, ServerId, SessionId, Ticket, WallMillis, Zxid};
use ringkeeper::log;
use ringkeeper::messages::Identity;
use ringkeeper::tree::{self, Overlay, Scratch, Sessions, Store, View, Write};
use ringkeeper::wire::client::{GetDataRequest, RequestHeader, SetDataRequest};
use ringkeeper::wire::txn::{CreateTxn, Entry, SetDataTxn, Txn, TxnHeader};
use ringkeeper::wire::{AclList, Decode, Encode, Opcode, Reader, Text};

#[global_allocator]
static ALLOCATOR: ringkeeper::io::Allocator = ringkeeper::io::Allocator;

const KEY: HashKey = HashKey(1, 2);
const PARENTS: usize = 100;
const CHILDREN: usize = 100;
const DATA: [u8; 100] = [7; 100];

fn path(number: u64) -> String {
    let number = number as usize;
    format!("/parent-{:05}/child-{:05}", number / CHILDREN % PARENTS, number % CHILDREN)
}

fn create(store: &mut Store, zxid: &mut Zxid, path: &str) {
    *zxid = zxid.next();
    let txn = Txn::Create(CreateTxn {
        path: Text::from_bytes(path.as_bytes()),
        data: Some(&DATA),
        acl: Some(AclList::OPEN),
        ephemeral: false,
        parent_cversion: -1,
    });
    let entry = Entry::new(SessionId(1), 1, *zxid, WallMillis(1), txn, None);
    store.apply(&entry.header, &entry.txn);
    store.publish(*zxid);
    store.reclaim(64);
}

/// 100 parents with 100 children each, 100 bytes of data.
fn tree_of_ten_thousand() -> (Store, tree::Reader, Zxid) {
    let (mut store, mut readers) = tree::tree(KEY, 1);
    store.plant();
    let mut zxid = Zxid::ZERO;
    for parent in 0..PARENTS {
        create(&mut store, &mut zxid, &format!("/parent-{parent:05}"));
    }
    for child in 0..PARENTS * CHILDREN {
        create(&mut store, &mut zxid, &path(child as u64));
    }
    (store, readers.pop().expect("one was asked for"), zxid)
}

fn decode(c: &mut Criterion) {
    let mut frame = vec![];
    RequestHeader { xid: 1, opcode: Opcode::GetData.code() }.encode(&mut frame);
    GetDataRequest { path: Text::from_bytes(path(5).as_bytes()), watch: false }.encode(&mut frame);
    c.bench_function("decode getData", |b| {
        b.iter(|| {
            let mut reader = Reader::new(black_box(&frame));
            let header = RequestHeader::decode(&mut reader).expect("encoded above");
            let request = GetDataRequest::decode(&mut reader).expect("encoded above");
            (header.xid, request.path.as_bytes().len())
        });
    });
}

fn lookup(c: &mut Criterion) {
    let (_store, mut reader, zxid) = tree_of_ten_thousand();
    let mut prng = Prng::new(1);
    let paths: Vec<String> = (0..1024).map(|_| path(prng.below((PARENTS * CHILDREN) as u64))).collect();
    let reading = reader.enter();
    let mut at = 0;
    c.bench_function("lookup", |b| {
        b.iter(|| {
            at = (at + 1) % paths.len();
            reading.node(paths[at].as_bytes(), zxid).expect("it exists").version
        });
    });
}

fn prep(c: &mut Criterion) {
    prep_as(c, "prep setData", false);
    prep_as(c, "prep setData, digest foretold", true);
}

fn prep_as(c: &mut Criterion, name: &str, foretells: bool) {
    let (store, _reader, zxid) = tree_of_ten_thousand();
    let now = Now { instant: Instant(1), wall: WallMillis(1) };
    let mut overlay = Overlay::new(KEY, foretells);
    let mut sessions = Sessions::new(ServerId(1), Duration::from_secs(2), KEY, now.instant);
    let identities = [Identity { scheme: "ip".into(), id: "127.0.0.1".into() }];
    let mut scratch = Scratch::default();
    let mut body = vec![];
    SetDataRequest { path: Text::from_bytes(path(7).as_bytes()), data: Some(&DATA), version: -1 }
        .encode(&mut body);
    let mut next = zxid;
    c.bench_function(name, |b| {
        b.iter(|| {
            next = next.next();
            let mut view = View {
                store: &store,
                overlay: &mut overlay,
                sessions: &mut sessions,
                rules: Default::default(),
                time: now.wall,
                excess: None,
            };
            let write = Write {
                from: None,
                session: SessionId(1),
                opcode: Opcode::SetData,
                body: black_box(&body),
                identities: &identities,
            };
            view.decide(next, &write, &mut scratch).is_ok()
        });
    });
}

fn apply(c: &mut Criterion) {
    let (mut store, mut reader, mut zxid) = tree_of_ten_thousand();
    let mut prng = Prng::new(2);
    c.bench_function("apply setData", |b| {
        b.iter(|| {
            zxid = zxid.next();
            let path = path(prng.below((PARENTS * CHILDREN) as u64));
            let txn = Txn::SetData(SetDataTxn {
                path: Text::from_bytes(path.as_bytes()),
                data: Some(&DATA),
                version: 1,
            });
            let entry = Entry::new(SessionId(1), 1, zxid, WallMillis(1), txn, None);
            let applied = store.apply(&entry.header, &entry.txn);
            store.publish(zxid);
            store.reclaim(64);
            applied.changes.as_slice().len()
        });
    });
    reader.park();
    println!("checksum of the result: {:x}", store.digest());
}

const OWNED: u64 = 100_000;

/// A session that owns much, made and closed over and over, as the neighbours of `perf/neighbours.py` feel it.
struct Closing {
    store: Store,
    reader: tree::Reader,
    overlay: Overlay,
    sessions: Sessions,
    scratch: Scratch,
    zxid: Zxid,
}

impl Closing {
    fn new() -> Closing {
        let (mut store, reader, mut zxid) = tree_of_ten_thousand();
        create(&mut store, &mut zxid, "/e");
        let sessions = Sessions::new(ServerId(1), Duration::from_secs(2), KEY, Instant(1));
        Closing {
            store,
            reader,
            overlay: Overlay::new(KEY, false),
            sessions,
            scratch: Scratch::default(),
            zxid,
        }
    }

    fn apply(&mut self, txn: Txn<'_>) {
        self.zxid = self.zxid.next();
        let entry = Entry::new(SessionId(7), 1, self.zxid, WallMillis(1), txn, None);
        self.store.apply(&entry.header, &entry.txn);
    }

    /// How long each part takes, of which none is interrupted.
    fn once(&mut self) -> [Duration; PARTS.len()] {
        for number in 0..OWNED {
            let path = format!("/e/{number:06}");
            self.apply(Txn::Create(CreateTxn {
                path: Text::from_bytes(path.as_bytes()),
                data: Some(b""),
                acl: Some(AclList::OPEN),
                ephemeral: true,
                parent_cversion: -1,
            }));
            self.store.publish(self.zxid);
            self.store.reclaim(64);
        }
        let Closing { store, reader, overlay, sessions, scratch, zxid } = self;
        let session = SessionId(7);
        let write = Write { from: None, session, opcode: Opcode::CloseSession, body: &[], identities: &[] };
        *zxid = zxid.next();
        let mut times = [Duration::ZERO; PARTS.len()];
        let mut timer = Timer::start();
        let mut view =
            View { store, overlay, sessions, rules: Default::default(), time: WallMillis(1), excess: None };
        let txn = view.decide(*zxid, &write, scratch).expect("a session can always be closed");
        let mut logged = vec![];
        Entry::new(session, 1, *zxid, WallMillis(1), txn, None).encode(&mut logged);
        times[0] = timer.lap();
        let mut closing = None;
        let mut is_ready = false;
        while !is_ready {
            let mut reader = Reader::new(&logged);
            let header = TxnHeader::decode(&mut reader).expect("encoded above");
            let mut budget = TURN_BUDGET;
            is_ready = store.prepare_close(&mut closing, &header, reader.rest(), &mut budget);
            let piece = timer.lap();
            times[1] += piece;
            times[2] = times[2].max(piece);
        }
        let entry = Entry::decode(&mut Reader::new(&logged)).expect("encoded above");
        let applied = store.apply_prepared(&entry.header, &entry.txn, closing);
        overlay.applied(*zxid, session, &entry.txn);
        times[3] = timer.lap();
        assert_eq!(applied.changes.as_slice().len(), OWNED as usize);
        drop(applied);
        times[4] = timer.lap();
        store.publish(*zxid);
        store.reclaim_behind(1);
        times[5] = timer.lap();
        while store.has_leftovers() {
            store.reclaim_leftovers();
            times[6] = times[6].max(timer.lap());
        }
        store.reclaim(usize::MAX);
        *sessions = Sessions::new(ServerId(1), Duration::from_secs(2), KEY, Instant(1));
        reader.park();
        times
    }
}

const PARTS: [&str; 7] = [
    "prep",
    "worked out, all pieces",
    "worked out, longest piece",
    "apply",
    "drop the changes",
    "publish and reclaim",
    "reclaim, longest piece",
];

struct Timer(std::time::Instant);

impl Timer {
    #[expect(clippy::disallowed_methods, reason = "benchmarks look at the clock")]
    fn start() -> Timer {
        Timer(std::time::Instant::now())
    }

    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(self, Timer::start());
        self.0.duration_since(before.0)
    }
}

fn close_session(c: &mut Criterion) {
    let mut group = c.benchmark_group("closeSession of 100,000 ephemerals");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(10)).measurement_time(Duration::from_millis(100));
    let mut closing = Closing::new();
    for (part, name) in PARTS.into_iter().enumerate() {
        group.bench_function(name, |b| b.iter_custom(|count| (0..count).map(|_| closing.once()[part]).sum()));
    }
    group.finish();
}

fn log_append(c: &mut Criterion) {
    let settings = log::Settings {
        segment_bytes: 64 << 20,
        first_segment_bytes: 64 << 20,
        group_bytes_max: 4 << 20,
        persists_max: 1,
        salt_seed: 3,
        first_ticket: Ticket(1),
    };
    let recovered = log::recover(&settings, &[], Zxid::ZERO).expect("an empty directory is a fresh log");
    let mut writer = log::Writer::new(settings, recovered.resume);
    let path = path(9);
    let mut zxid = Zxid::ZERO;
    let mut commands = vec![];
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append setData, groups of 64", |b| {
        b.iter(|| {
            zxid = zxid.next();
            let txn = Txn::SetData(SetDataTxn {
                path: Text::from_bytes(path.as_bytes()),
                data: Some(&DATA),
                version: 1,
            });
            let entry = Entry::new(SessionId(1), 1, zxid, WallMillis(1), txn, None);
            writer.append(zxid, |buffer| entry.encode(buffer));
            if zxid.0 % 64 == 0
                && let Some(sealed) = writer.seal(&mut commands)
            {
                writer.on_durable(sealed.ticket);
                commands.clear();
            }
        });
    });
    group.finish();
}

criterion_group!(
    benches,
    metrics::count,
    metrics::scrape,
    decode,
    lookup,
    prep,
    apply,
    close_session,
    log_append
);
criterion_main!(benches);
