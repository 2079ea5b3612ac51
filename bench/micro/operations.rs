//! What is measured: one operation each of the pure rooms, set up once and done as often as wanted.
//!
//! Used by `main.rs` (time and, under callgrind, instructions), by what is beside it, and by `bench/allocations.rs`. Fixed seeds, no I/O.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use ringkeeper::base::{
    ConnectionId, Epoch, HashKey, Instant, Now, Prng, ServerId, SessionId, Ticket, WallMillis, Zxid,
};
use ringkeeper::log;
use ringkeeper::messages::Identity;
use ringkeeper::shard::{Modes, Table, Watches};
use ringkeeper::tree::{self, Head, Overlay, Progress, Record, Scratch, Sessions, Store, View, Write};
use ringkeeper::wire::client::{GetDataRequest, RequestHeader, SetDataRequest};
use ringkeeper::wire::peer::packet::{encode_bare, encode_record};
use ringkeeper::wire::peer::{AckEpoch, Kind, LearnerInfo};
use ringkeeper::wire::txn::{CreateTxn, Entry, SetDataTxn, Txn};
use ringkeeper::wire::{AclList, Decode, Encode, Opcode, Reader, Text};
use ringkeeper::zab::{
    Config, Epochs, History, HistoryLimits, Joint, Leader, LeaderInput, LeaderOutput, Link, Member, Settings,
};

pub const KEY: HashKey = HashKey(1, 2);
const PARENTS: usize = 100;
const CHILDREN: usize = 100;
const DATA: [u8; 100] = [7; 100];
/// Of the znode whose children are listed.
const MANY_CHILDREN: usize = 1000;
/// Connections that each watch a thousand znodes while one is changed.
const WATCHERS: u32 = 100;

/// Does it once more.
pub type Operation = Box<dyn FnMut()>;

/// Name, and what sets it up.
pub type Measured = (&'static str, fn() -> Operation);

pub const ALL: &[Measured] = &[
    ("decode getData", decode),
    ("lookup", lookup),
    ("list 1000 children", children),
    ("prep setData", || prep(false)),
    ("prep setData, digest foretold", || prep(true)),
    ("apply setData", apply),
    ("match a watch", watch),
    ("append setData to the log, groups of 64", log_append),
    ("propose and commit, 2 followers", zab_step),
    ("snapshot of 10,000 znodes, written", snapshot_write),
    ("snapshot of 10,000 znodes, loaded", snapshot_load),
];

pub fn path(number: u64) -> String {
    let number = number as usize;
    format!("/parent-{:05}/child-{:05}", number / CHILDREN % PARENTS, number % CHILDREN)
}

pub fn create(store: &mut Store, zxid: &mut Zxid, path: &str) {
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
pub fn tree_of_ten_thousand() -> (Store, tree::Reader, Zxid) {
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

fn set_data(path: &str, zxid: Zxid) -> Entry<'_> {
    let path = Text::from_bytes(path.as_bytes());
    let txn = Txn::SetData(SetDataTxn { path, data: Some(&DATA), version: 1 });
    Entry::new(SessionId(1), 1, zxid, WallMillis(1), txn, None)
}

fn decode() -> Operation {
    let mut frame = vec![];
    RequestHeader { xid: 1, opcode: Opcode::GetData.code() }.encode(&mut frame);
    GetDataRequest { path: Text::from_bytes(path(5).as_bytes()), watch: false }.encode(&mut frame);
    Box::new(move || {
        let mut reader = Reader::new(black_box(&frame));
        let header = RequestHeader::decode(&mut reader).expect("encoded above");
        let request = GetDataRequest::decode(&mut reader).expect("encoded above");
        black_box((header.xid, request.path.as_bytes().len()));
    })
}

fn lookup() -> Operation {
    let (store, mut reader, zxid) = tree_of_ten_thousand();
    let mut prng = Prng::new(1);
    let paths: Vec<String> = (0..1024).map(|_| path(prng.below((PARENTS * CHILDREN) as u64))).collect();
    let mut at = 0;
    Box::new(move || {
        let _ = &store;
        at = (at + 1) % paths.len();
        let reading = reader.enter();
        black_box(reading.node(paths[at].as_bytes(), zxid).expect("it exists").version);
    })
}

fn children() -> Operation {
    let (mut store, mut reader, mut zxid) = tree_of_ten_thousand();
    create(&mut store, &mut zxid, "/many");
    for child in 0..MANY_CHILDREN {
        create(&mut store, &mut zxid, &format!("/many/child-{child:05}"));
    }
    Box::new(move || {
        let _ = &store;
        let reading = reader.enter();
        let node = reading.node(b"/many", zxid).expect("it exists");
        let bytes: usize = reading.children(node, zxid).map(|child| child.path.bytes().len()).sum();
        assert_eq!(black_box(bytes), MANY_CHILDREN * "/many/child-00000".len());
    })
}

fn prep(foretells: bool) -> Operation {
    let (store, reader, mut next) = tree_of_ten_thousand();
    let now = Now { instant: Instant(1), wall: WallMillis(1) };
    let mut overlay = Overlay::new(KEY, foretells);
    let mut sessions = Sessions::new(ServerId(1), Duration::from_secs(2), KEY, now.instant);
    let identities = [Identity { scheme: "ip".into(), id: "127.0.0.1".into() }];
    let mut scratch = Scratch::default();
    let mut body = vec![];
    let path = path(7);
    SetDataRequest { path: Text::from_bytes(path.as_bytes()), data: Some(&DATA), version: -1 }
        .encode(&mut body);
    Box::new(move || {
        let _ = &reader;
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
        assert!(view.decide(next, &write, &mut scratch).is_ok());
    })
}

fn apply() -> Operation {
    let (mut store, mut reader, mut zxid) = tree_of_ten_thousand();
    // It sleeps: no version is kept for it.
    reader.park();
    let mut prng = Prng::new(2);
    let paths: Vec<String> = (0..1024).map(|_| path(prng.below((PARENTS * CHILDREN) as u64))).collect();
    let mut at = 0;
    Box::new(move || {
        let _ = &reader;
        at = (at + 1) % paths.len();
        zxid = zxid.next();
        let entry = set_data(&paths[at], zxid);
        let applied = store.apply(&entry.header, &entry.txn);
        store.publish(zxid);
        store.reclaim(64);
        black_box(applied.changes.as_slice().len());
    })
}

/// One of 100,000 watches fires, and is set again.
fn watch() -> Operation {
    let mut watches = Watches::new(KEY);
    let connection = |slot| ConnectionId { slot, generation: 1 };
    for slot in 0..WATCHERS {
        for number in 0..1000 {
            let path = path(u64::from(slot) * 100 + number);
            watches.add(Table::Data, path.as_bytes(), None, connection(slot), Modes::STANDARD);
        }
    }
    let lone = "/parent-00007/only-one-watches";
    let mut receivers = vec![];
    Box::new(move || {
        watches.add(Table::Data, lone.as_bytes(), None, connection(7), Modes::STANDARD);
        watches.begin_event();
        watches.trigger(Table::Data, black_box(lone.as_bytes()), &mut receivers);
        assert_eq!(receivers.len(), 1);
        receivers.clear();
    })
}

fn log_append() -> Operation {
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
    Box::new(move || {
        zxid = zxid.next();
        let entry = set_data(&path, zxid);
        writer.append(zxid, |buffer| entry.encode(buffer));
        if zxid.0 % 64 == 0
            && let Some(sealed) = writer.seal(&mut commands)
        {
            writer.on_durable(sealed.ticket);
            commands.clear();
        }
    })
}

/// A leader of three with both followers there: a proposal goes out, is durable here and acknowledged by one, and committed; the
/// other's acknowledgement comes behind that.
fn zab_step() -> Operation {
    let mut led = Led::established();
    let payload = Bytes::from_static(&DATA);
    let mut zxid = Zxid(led.leader.epoch().0 << 32);
    Box::new(move || {
        zxid = zxid.next();
        led.history.push(zxid, payload.clone());
        led.step(LeaderInput::Proposed { zxid });
        led.step(LeaderInput::TurnEnd);
        led.step(LeaderInput::Durable { zxid });
        for link in [Link(1), Link(2)] {
            led.ack(link, zxid);
        }
        led.step(LeaderInput::TurnEnd);
        led.history.trim(zxid);
        assert_eq!(led.leader.committed(), zxid);
    })
}

struct Led {
    leader: Leader,
    history: History,
    outputs: Vec<LeaderOutput>,
    bytes: Vec<u8>,
}

impl Led {
    fn established() -> Led {
        let settings = Settings {
            me: ServerId(1),
            tick: Duration::from_secs(2),
            init_limit: 10,
            sync_limit: 5,
            payload_bytes_max: 1 << 20,
            reconfig_enabled: false,
        };
        let member =
            |id| Member::parse(ServerId(id), &format!("127.0.0.1:{id}:{}", id + 10)).expect("a member");
        let config = Config::new([1, 2, 3].map(member), 0).expect("voters");
        let joint = Joint::new(Arc::new(config), None);
        let mut outputs = vec![];
        let leader = Leader::new(settings, joint, Epochs::default(), Zxid::ZERO, Instant(0), &mut outputs);
        let history = History::new(HistoryLimits { count: 500, bytes: 1 << 20 }, Zxid::ZERO);
        let mut led = Led { leader, history, outputs, bytes: vec![] };
        for (link, server) in [(Link(1), 2), (Link(2), 3)] {
            led.step(LeaderInput::Connected { link });
            let info = LearnerInfo::new(ServerId(server), 0);
            led.hear(link, |bytes| encode_record(Kind::FollowerInfo, Zxid::ZERO, &info, bytes));
        }
        for link in [Link(1), Link(2)] {
            let ack = AckEpoch { current_epoch: Some(Epoch(0)) };
            led.hear(link, |bytes| encode_record(Kind::AckEpoch, Zxid::ZERO, &ack, bytes));
        }
        for link in [Link(1), Link(2)] {
            let beginning = Zxid(led.leader.epoch().0 << 32);
            led.ack(link, beginning);
        }
        assert!(led.leader.is_established());
        led
    }

    /// Epochs are durable at once; what is sent goes nowhere.
    fn step(&mut self, input: LeaderInput<'_>) {
        let mut writes_epochs = false;
        self.leader.step(Instant(0), input, &self.history, &mut self.outputs);
        for output in self.outputs.drain(..) {
            writes_epochs |= matches!(output, LeaderOutput::PersistEpochs(_));
            black_box(output);
        }
        if writes_epochs {
            self.step(LeaderInput::EpochsDurable);
        }
    }

    fn hear(&mut self, link: Link, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        encode(&mut bytes);
        self.step(LeaderInput::Received { link, bytes: &bytes });
        self.bytes = bytes;
    }

    fn ack(&mut self, link: Link, zxid: Zxid) {
        self.hear(link, |bytes| encode_bare(Kind::Ack, zxid, bytes));
    }
}

fn written(store: &mut Store, chunk: &mut Vec<u8>) -> Vec<u8> {
    let head = store.begin_snapshot(&[(SessionId(1), 30_000)]);
    while store.continue_snapshot(1024, usize::MAX, chunk) {}
    head
}

fn snapshot_write() -> Operation {
    let (mut store, reader, _) = tree_of_ten_thousand();
    let mut chunk = vec![];
    Box::new(move || {
        let _ = &reader;
        chunk.clear();
        black_box(written(&mut store, &mut chunk));
    })
}

fn snapshot_load() -> Operation {
    let (mut store, _, _) = tree_of_ten_thousand();
    let mut nodes = vec![];
    let head = written(&mut store, &mut nodes);
    Box::new(move || {
        let (head, _) = Head::decode(&head).expect("written above");
        let (mut store, _readers) = tree::tree(KEY, 1);
        let (mut progress, mut rest) = (Progress::default(), &nodes[..]);
        while !rest.is_empty() {
            let (record, behind) = Record::decode(rest).expect("written above");
            store.load(head.zxid, record, &mut progress).expect("a sound tree");
            rest = behind;
        }
        store.check_loaded(&head, &progress).expect("all of it");
    })
}
