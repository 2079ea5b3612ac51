//! What is asked: which operation comes next, on which znode, with which data.
//!
//! Called by `load`, once per operation, on the hot path of the generator. Pure; randomness is seeded, so two runs with
//! the same arguments ask the same things. Keys lie 1,000 to a parent under [`ROOT`], so that `--keys 1000000`
//! addresses the very tree which `--preload 1000x1000` makes. Tested: `workload_test.rs`.

use crate::base::Prng;
use crate::bench::cycle::Cycle;
use crate::bench::keys::{Keys, Sizes};
use crate::bench::mix::{Mix, Op};
use crate::bench::protocol::{self, Flags};
use std::io::Write;

/// Every znode which the generator makes lies below this one.
pub const ROOT: &str = "/preload";
/// Children of one parent in the layout of `--keys`.
pub const CHILDREN_PER_PARENT: u64 = 1_000;
/// Their parents have four digits.
const KEYS_OF_ONE_LENGTH: u64 = 10_000 * CHILDREN_PER_PARENT;
/// Length, header and the path's length; the path itself, and whether to watch.
const GET_PATH_AT: usize = 16;
const GET_BYTES: usize = GET_PATH_AT + 26 + 1;

/// What is measured: one histogram each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Exists,
    Children,
    Set,
    Create,
    Delete,
    Multi,
    /// From create to delete.
    Ephemeral,
    /// Until the lock is held.
    Lock,
    /// An item into the queue.
    Put,
    /// An item out of it, races that were lost included.
    Take,
    /// From the change until one watcher is told.
    Watch,
    /// From the change until the last one is. No operation of its own.
    WatchLast,
    /// From the dial until the session stands.
    Connect,
    /// Its farewell. No operation of its own.
    Close,
}

pub const KINDS: [Kind; 15] = [
    Kind::Get,
    Kind::Exists,
    Kind::Children,
    Kind::Set,
    Kind::Create,
    Kind::Delete,
    Kind::Multi,
    Kind::Ephemeral,
    Kind::Lock,
    Kind::Put,
    Kind::Take,
    Kind::Watch,
    Kind::WatchLast,
    Kind::Connect,
    Kind::Close,
];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Exists => "exists",
            Kind::Children => "getChildren",
            Kind::Set => "set",
            Kind::Create => "create",
            Kind::Delete => "delete",
            Kind::Multi => "multi",
            Kind::Ephemeral => "ephemeral",
            Kind::Lock => "lock",
            Kind::Put => "queue_put",
            Kind::Take => "queue_take",
            Kind::Watch => "watch",
            Kind::WatchLast => "watch_last",
            Kind::Connect => "connect",
            Kind::Close => "close",
        }
    }

    /// Whether it counts among the operations: the others look at the same ones again.
    pub fn is_operation(self) -> bool {
        !matches!(self, Kind::WatchLast | Kind::Close)
    }
}

/// What the body of a right reply looks like, after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Bytes(u32),
    AtLeast(u32),
    /// A buffer of `min` to `max` bytes, and a Stat.
    Data {
        min: u32,
        max: u32,
    },
}

impl Expect {
    pub fn holds(self, body: &[u8]) -> bool {
        match self {
            Expect::Bytes(bytes) => body.len() == bytes as usize,
            Expect::AtLeast(bytes) => body.len() >= bytes as usize,
            Expect::Data { min, max } => {
                let rest =
                    protocol::split_buffer(body).filter(|(_, stat)| stat.len() == protocol::STAT_BYTES);
                rest.is_some_and(|(data, _)| (min as usize..=max as usize).contains(&data.len()))
            }
        }
    }
}

/// What was asked: one request, or the first one of several.
#[derive(Debug)]
pub enum Asked {
    Single(Kind, Expect),
    /// Boxed: every request's word passes through here, and nearly all are single ones.
    Cycle(Box<Cycle>),
}

/// A two-level tree below [`ROOT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub parents: u64,
    pub children: u64,
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let shape = text.split_once('x').and_then(|(parents, children)| {
            Some(Shape { parents: parents.parse().ok()?, children: children.parse().ok()? })
        });
        match shape {
            Some(shape)
                if (1..=10_000).contains(&shape.parents) && (1..=10_000_000).contains(&shape.children) =>
            {
                Ok(shape)
            }
            _ => Err(format!(
                "shape {text:?} is not PARENTSxCHILDREN with 1 to 10,000 parents and at least a child"
            )),
        }
    }
}

/// The root and the parents of `shape`, in an order in which they can be created.
pub fn parent_paths(parents: u64) -> impl Iterator<Item = Vec<u8>> {
    std::iter::once(ROOT.as_bytes().to_vec())
        .chain((0..parents).map(|parent| format!("{ROOT}/p{parent:04}").into_bytes()))
}

/// The children of the first `count` keys, `children` to a parent.
pub fn child_paths(count: u64, children: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |key| child_path(key / children, key % children))
}

/// 26 bytes for the first 10,000 parents of up to 100,000 children.
pub fn child_path(parent: u64, child: u64) -> Vec<u8> {
    format!("{ROOT}/p{parent:04}/child-{child:05}").into_bytes()
}

/// Where requests come from.
pub enum Source {
    /// Znodes to be created once; ends.
    Creates(Box<dyn Iterator<Item = Vec<u8>>>),
    /// Every key gets its data anew; ends.
    Sets(std::ops::Range<u64>),
    /// One znode, again and again; never ends.
    SetsOf(Vec<u8>),
    /// A measured load; never ends.
    Endless(Endless),
}

/// What a measured load does, and where.
pub struct Endless {
    pub mix: Mix,
    pub keys: Keys,
    pub rng: Prng,
    /// Below it a run has znodes of its own: `<prefix>/s<session>/…`, `<prefix>/locks/l<n>`, `<prefix>/queues/q<n>`.
    pub prefix: String,
    pub multi_ops: usize,
    pub locks: u64,
    pub queues: u64,
    /// By session.
    pub made: Vec<Made>,
    /// How many were made so far.
    pub ephemerals: u64,
}

/// The znodes that a session has made and not deleted are those with the numbers `first..next`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made {
    first: u64,
    next: u64,
}

/// The parents that a load of `mix` with so many sessions needs below `prefix`, in an order in which they can be made.
pub fn own_parents(endless: &Endless) -> Vec<Vec<u8>> {
    let (prefix, mix) = (&endless.prefix, &endless.mix);
    let mut parents = vec![ROOT.to_owned(), prefix.clone()];
    if mix.has(&[Op::Create, Op::Delete, Op::Ephemeral]) {
        parents.extend((0..endless.made.len()).map(|session| format!("{prefix}/s{session:05}")));
    }
    if mix.has(&[Op::Lock]) {
        parents.push(format!("{prefix}/locks"));
        parents.extend((0..endless.locks).map(|lock| format!("{prefix}/locks/l{lock:04}")));
    }
    if mix.has(&[Op::Queue]) {
        parents.push(format!("{prefix}/queues"));
        parents.extend((0..endless.queues).map(|queue| format!("{prefix}/queues/q{queue:04}")));
    }
    parents.into_iter().map(String::into_bytes).collect()
}

/// Writes requests; owns the scratch space which that takes.
pub struct Workload {
    pub source: Source,
    sizes: Sizes,
    /// Its own stream, so that another size doesn't change which keys are asked for.
    sizes_rng: Prng,
    /// The get of key 0.
    get: [u8; GET_BYTES],
    data: Vec<u8>,
    path: Vec<u8>,
}

impl Workload {
    /// `sizes`: of every znode's data.
    pub fn new(source: Source, sizes: Sizes, seed: u64) -> Workload {
        let data = (0..sizes.max).map(|i| b'a' + (i % 26) as u8).collect();
        let (mut get, mut path) = (Vec::with_capacity(GET_BYTES), Vec::with_capacity(64));
        write_key(&mut path, 0);
        protocol::get_data(&mut get, 0, &path, false);
        let get = get.try_into().expect("its path is as long as every other");
        Workload { source, sizes, sizes_rng: Prng::salted(seed, "sizes"), get, data, path }
    }

    /// Whether a reply may be answered with the next step of its operation.
    pub fn has_cycles(&self) -> bool {
        matches!(&self.source, Source::Endless(load) if load.mix.has(&[Op::Ephemeral, Op::Lock, Op::Queue]))
    }

    /// Appends the next request of `session` to `out`; nothing where the source has ended. `start`: from when on an
    /// operation of several requests is measured.
    pub fn write_next(&mut self, session: usize, xid: i32, start: u64, out: &mut Vec<u8>) -> Option<Asked> {
        match &mut self.source {
            Source::Creates(paths) => {
                self.path = paths.next()?;
                Some(self.create(xid, out))
            }
            Source::Sets(keys) => {
                let key = keys.next()?;
                self.path.clear();
                write_key(&mut self.path, key);
                Some(self.set(xid, out))
            }
            Source::SetsOf(path) => {
                self.path.clone_from(path);
                Some(self.set(xid, out))
            }
            Source::Endless(_) => Some(self.write_endless(session, xid, start, out)),
        }
    }

    /// `count` gets in a row, with xids from `xid` on, where this load asks nothing else: a pipeline is filled many times as often as
    /// anything else is done here. Nothing where it does, or where they aren't all of one length: [`Workload::write_next`] can all.
    pub fn write_gets(&mut self, xid: i32, count: usize, out: &mut Vec<u8>) -> Option<(Kind, Expect)> {
        let Source::Endless(endless) = &mut self.source else { return None };
        let are_alike = endless.mix.single() == Some(Op::Get) && endless.keys.count() <= KEYS_OF_ONE_LENGTH;
        if !are_alike {
            return None;
        }
        let end = xid.checked_add(i32::try_from(count).ok()?)?;
        out.reserve(count * GET_BYTES);
        for xid in xid..end {
            let key = endless.keys.draw(&mut endless.rng);
            let digits = digits(key / CHILDREN_PER_PARENT, key % CHILDREN_PER_PARENT);
            out.extend_from_slice(&self.get);
            let request: &mut [u8; GET_BYTES] = out.last_chunk_mut().expect("just written");
            request[4..8].copy_from_slice(&xid.to_be_bytes());
            request[GET_PATH_AT + 10..][..4].copy_from_slice(&digits[..4]);
            request[GET_PATH_AT + 22..][..4].copy_from_slice(&digits[4..]);
        }
        Some((Kind::Get, self.data_expected()))
    }

    fn data_expected(&self) -> Expect {
        Expect::Data { min: self.sizes.min as u32, max: self.sizes.max as u32 }
    }

    fn write_endless(&mut self, session: usize, xid: i32, start: u64, out: &mut Vec<u8>) -> Asked {
        let Source::Endless(endless) = &mut self.source else { unreachable!("looked at by the caller") };
        let mut op = endless.mix.draw(&mut endless.rng);
        if op == Op::Delete && endless.made[session].first == endless.made[session].next {
            op = Op::Create;
        }
        let path = &mut self.path;
        path.clear();
        match op {
            Op::Get | Op::Exists | Op::Set => write_key(path, endless.keys.draw(&mut endless.rng)),
            Op::Children => write_parent(path, endless.keys.draw(&mut endless.rng)),
            Op::Create => {
                endless.own_path(session, 'n', endless.made[session].next, path);
                endless.made[session].next += 1;
            }
            Op::Delete => {
                endless.own_path(session, 'n', endless.made[session].first, path);
                endless.made[session].first += 1;
            }
            Op::Ephemeral => {
                endless.own_path(session, 'e', endless.ephemerals, path);
                endless.ephemerals += 1;
            }
            Op::Lock => endless.shared_path("locks/l", endless.locks, path),
            Op::Queue => endless.shared_path("queues/q", endless.queues, path),
            Op::Multi => {}
        }
        match op {
            Op::Get => {
                protocol::get_data(out, xid, path, false);
                Asked::Single(Kind::Get, self.data_expected())
            }
            Op::Exists => {
                protocol::exists(out, xid, path, false);
                Asked::Single(Kind::Exists, Expect::Bytes(protocol::STAT_BYTES as u32))
            }
            Op::Children => {
                protocol::get_children(out, xid, path);
                Asked::Single(Kind::Children, Expect::AtLeast(4))
            }
            Op::Set => self.set(xid, out),
            Op::Create => self.create(xid, out),
            Op::Delete => {
                protocol::delete(out, xid, path);
                Asked::Single(Kind::Delete, Expect::Bytes(0))
            }
            Op::Multi => self.multi(xid, out),
            Op::Ephemeral => {
                protocol::create(out, xid, path, b"", Flags::Ephemeral);
                Asked::Cycle(Box::new(Cycle::ephemeral(start, path)))
            }
            Op::Lock => {
                let lock = path.clone();
                path.extend_from_slice(b"/n-");
                protocol::create(out, xid, path, b"", Flags::EphemeralSequential);
                Asked::Cycle(Box::new(Cycle::lock(start, &lock)))
            }
            Op::Queue => {
                let queue = path.clone();
                path.extend_from_slice(b"/n-");
                let data = &self.data[..self.sizes.draw(&mut self.sizes_rng)];
                protocol::create(out, xid, path, data, Flags::PersistentSequential);
                Asked::Cycle(Box::new(Cycle::queue(start, &queue)))
            }
        }
    }

    fn set(&mut self, xid: i32, out: &mut Vec<u8>) -> Asked {
        let data = &self.data[..self.sizes.draw(&mut self.sizes_rng)];
        protocol::set_data(out, xid, &self.path, data);
        Asked::Single(Kind::Set, Expect::Bytes(protocol::STAT_BYTES as u32))
    }

    fn create(&mut self, xid: i32, out: &mut Vec<u8>) -> Asked {
        let data = &self.data[..self.sizes.draw(&mut self.sizes_rng)];
        protocol::create(out, xid, &self.path, data, Flags::Persistent);
        Asked::Single(Kind::Create, Expect::Bytes(4 + self.path.len() as u32))
    }

    fn multi(&mut self, xid: i32, out: &mut Vec<u8>) -> Asked {
        let Source::Endless(endless) = &mut self.source else { unreachable!("looked at by the caller") };
        let sets = endless.multi_ops;
        protocol::multi(out, xid, sets, |out| {
            self.path.clear();
            write_key(&mut self.path, endless.keys.draw(&mut endless.rng));
            protocol::multi_set(out, &self.path, &self.data[..self.sizes.draw(&mut self.sizes_rng)]);
        });
        let body =
            sets * (protocol::MULTI_HEADER_BYTES + protocol::STAT_BYTES) + protocol::MULTI_HEADER_BYTES;
        Asked::Single(Kind::Multi, Expect::Bytes(body as u32))
    }
}

impl Endless {
    fn own_path(&self, session: usize, letter: char, number: u64, path: &mut Vec<u8>) {
        write!(path, "{}/s{session:05}/{letter}{number:010}", self.prefix)
            .expect("writing to a Vec can't fail");
    }

    /// One of `count` locks or queues.
    fn shared_path(&mut self, name: &str, count: u64, path: &mut Vec<u8>) {
        let number = self.rng.below(count);
        write!(path, "{}/{name}{number:04}", self.prefix).expect("writing to a Vec can't fail");
    }
}

/// [`child_path`] without the formatting machinery: it is half of the generator's work per request otherwise.
fn write_key(path: &mut Vec<u8>, key: u64) {
    write_parent(path, key);
    path.extend_from_slice(b"/child-");
    write_padded(path, key % CHILDREN_PER_PARENT, 5);
}

/// Of two numbers below 10,000, both at once: in one word each half is parted into hundreds, then each of those into tens.
/// A quotient by a constant is a product and a shift, exact for what can stand there.
fn digits(first: u64, second: u64) -> [u8; 8] {
    let numbers = first | second << 32;
    let hundreds = ((numbers * 5_243) >> 19) & 0x7f_0000_007f;
    let pairs = hundreds | (numbers - hundreds * 100) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (pairs - tens * 10) << 8;
    (digits + 0x3030_3030_3030_3030).to_le_bytes()
}

/// The parent of a key.
fn write_parent(path: &mut Vec<u8>, key: u64) {
    path.extend_from_slice(ROOT.as_bytes());
    path.extend_from_slice(b"/p");
    write_padded(path, key / CHILDREN_PER_PARENT, 4);
}

/// `value` in decimal, padded with zeros to at least `width` digits.
fn write_padded(path: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    while value > 0 || used < width {
        used += 1;
        digits[20 - used] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    path.extend_from_slice(&digits[20 - used..]);
}

#[cfg(test)]
#[path = "workload_test.rs"]
mod tests;
