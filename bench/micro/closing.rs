//! How long the parts of a closing take, of which none is interrupted: a session with 100,000 ephemerals.

use std::time::Duration;

use criterion::{Criterion, SamplingMode};

use ringkeeper::base::limits::TURN_BUDGET;
use ringkeeper::base::{Instant, ServerId, SessionId, WallMillis, Zxid};
use ringkeeper::tree::{self, Overlay, Scratch, Sessions, Store, View, Write};
use ringkeeper::wire::txn::{CreateTxn, Entry, Txn, TxnHeader};
use ringkeeper::wire::{AclList, Decode, Encode, Opcode, Reader, Text};

use crate::operations::{KEY, create, tree_of_ten_thousand};

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
        overlay.applied(*zxid, session, &entry.txn, None);
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

pub fn close_session(c: &mut Criterion) {
    let mut group = c.benchmark_group("closeSession of 100,000 ephemerals");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(10)).measurement_time(Duration::from_millis(100));
    let mut closing = Closing::new();
    for (part, name) in PARTS.into_iter().enumerate() {
        group.bench_function(name, |b| b.iter_custom(|count| (0..count).map(|_| closing.once()[part]).sum()));
    }
    group.finish();
}
