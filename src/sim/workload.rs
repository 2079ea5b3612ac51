//! What clients ask for: the whole protocol, on a small key space, so that they meet.

use crate::base::{Prng, Zxid};
use crate::wire::OwnedAcl;
use crate::wire::client::WatcherType;

use super::identity;
use super::operation::{Creation, Edit, Form, Look, Operation, Watched};
use super::quotas::{LIMITS, STATS, leaf};

pub struct Workload {
    prng: Prng,
    names: usize,
    counter: u64,
}

const NAMES: [&str; 9] = ["a", "b", "c", "a/x", "a/y", "b/x", "c/x", "a/x/1", "zookeeper/quota/q"];
/// What quotas are on.
const QUOTED: [&str; 3] = ["/a", "/a/x", "/b"];
const USERS: [&str; 2] = ["anna", "ben"];
/// Parts of a multi, at the most.
pub const PARTS_MAX: u64 = 6;

impl Workload {
    pub fn new(seed: u64, client: usize, names: usize) -> Workload {
        let prng = Prng::salted(seed, &format!("workload {client}"));
        Workload { prng, names, counter: 0 }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.prng.below(from.len() as u64) as usize]
    }

    fn path(&mut self) -> Vec<u8> {
        if self.prng.chance(1, 60) {
            let odd =
                ["", "a", "/a/", "/a//b", "/", "/nowhere/x", "/a/..", "/zookeeper", "/zookeeper/config"];
            return self.pick(&odd).as_bytes().to_vec();
        }
        let name = NAMES[self.prng.below(self.names as u64) as usize];
        let mut path = format!("/{name}").into_bytes();
        // Children with numbers, as sequential nodes and queues have them.
        if self.prng.chance(1, 6) {
            path.extend_from_slice(format!("/n{:010}", self.prng.below(20)).as_bytes());
        }
        path
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        self.counter += 1;
        match self.prng.below(12) {
            0 => None,
            1 => Some(vec![]),
            2 => {
                let bytes = 200 + self.prng.below(3_000) as usize;
                Some((0..bytes).map(|at| (at as u64 * 31 + self.counter) as u8).collect())
            }
            _ => Some(format!("data {}", self.counter).into_bytes()),
        }
    }

    fn version(&mut self) -> i32 {
        if self.prng.chance(2, 3) { -1 } else { self.prng.below(4) as i32 }
    }

    fn acl(&mut self) -> Vec<OwnedAcl> {
        let all = identity::ALL;
        let user = identity::digest_of(self.pick(&USERS));
        let entry = |perms, scheme: &str, id: &str| OwnedAcl::new(perms, scheme, id);
        match self.prng.below(90) {
            0 => vec![],
            1 => vec![entry(all & !identity::READ, "world", "anyone")],
            2 => vec![entry(all & !(1 << self.prng.below(5)), "world", "anyone")],
            3..=4 => vec![entry(all, "auth", ""), entry(identity::READ, "world", "anyone")],
            5 => vec![entry(all, "auth", "")],
            6 => vec![entry(all, "digest", &user)],
            7 => {
                let other = all & !identity::ADMIN;
                vec![entry(all, "digest", &user), entry(other, "world", "anyone")]
            }
            8 => vec![entry(all, "ip", "127.0.0.1"), entry(all, "ip", "127.0.0.1")],
            9 => vec![entry(all, "digest", "no colon")],
            10 => vec![entry(all, "unheard-of", "x")],
            _ => identity::open(),
        }
    }

    fn creation(&mut self) -> Creation {
        let ms = [1, 50, 2_000, 100_000, 0, -1, 1 << 41];
        let (form, flags) = match self.prng.below(24) {
            0..=7 => (Form::Create, self.pick(&[0, 0, 0, 1, 1, 2, 3, 3])),
            8..=15 => (Form::Create2, self.pick(&[0, 0, 0, 1, 1, 2, 3, 3])),
            16..=18 => (Form::Container, 0),
            19..=20 => (Form::Ttl(self.pick(&ms[..4])), self.pick(&[5, 5, 6])),
            21 => (Form::Ttl(self.pick(&ms)), self.prng.below(8) as i32),
            22 => (Form::Container, self.prng.below(7) as i32),
            _ => (self.pick(&[Form::Create, Form::Create2]), self.prng.below(8) as i32),
        };
        let mut path = self.path();
        if matches!(flags, 2 | 3 | 6) && path.len() > 1 {
            path.extend_from_slice(b"/n");
        }
        Creation { form, path, data: self.data(), acl: self.acl(), flags }
    }

    /// The znodes of a quota, and those above them.
    fn quota_path(&mut self) -> Vec<u8> {
        let root = self.pick(&QUOTED).as_bytes();
        let name = self.pick(&["", LIMITS, LIMITS, STATS, STATS]);
        leaf(root, name)
    }

    fn quota_edit(&mut self) -> Edit {
        let path = self.quota_path();
        let is_stats = path.ends_with(STATS.as_bytes());
        let number = self.prng.below(9);
        let text = match self.prng.below(8) {
            0 => None,
            _ if is_stats => Some(format!("count={number},bytes={}", 7 * number)),
            _ => Some(format!("count={number},bytes=-1=;byteHardLimit=-1;countHardLimit={number}")),
        };
        let data = text.map(String::into_bytes);
        match self.prng.below(8) {
            0 => Edit::Delete { path, version: -1 },
            1 => Edit::SetData { path, data, version: -1 },
            _ => Edit::Create(Creation { form: Form::Create, path, data, acl: identity::open(), flags: 0 }),
        }
    }

    fn edit(&mut self) -> Edit {
        match self.prng.below(16) {
            15 => self.quota_edit(),
            0..=6 => Edit::Create(self.creation()),
            7..=9 => Edit::Delete { path: self.path(), version: self.version() },
            _ => Edit::SetData { path: self.path(), data: self.data(), version: self.version() },
        }
    }

    fn multi(&mut self) -> Operation {
        let count = self.prng.below(PARTS_MAX + 1);
        // Many would fail at their first part: some are made to go through.
        let calm = self.prng.chance(1, 2);
        let part = |this: &mut Workload| match this.prng.below(6) {
            0 => Edit::Check { path: this.path(), version: this.version() },
            1 | 2 if calm => {
                let path = [this.path(), b"/n".to_vec()].concat();
                let (data, acl) = (this.data(), identity::open());
                Edit::Create(Creation { form: Form::Create2, path, data, acl, flags: 2 })
            }
            3 | 4 if calm => Edit::SetData { path: this.path(), data: this.data(), version: -1 },
            _ => this.edit(),
        };
        Operation::Multi((0..count).map(|_| part(self)).collect())
    }

    pub fn write(&mut self) -> Operation {
        match self.prng.below(16) {
            0..=2 if self.prng.chance(1, 20) => Operation::Reconfig,
            0..=2 => self.multi(),
            3 => {
                let path = self.path();
                // Without rights on the root nothing could ever be done again.
                let all = path.len() <= 1 || self.prng.chance(3, 4);
                let acl = if all { identity::open() } else { self.acl() };
                Operation::SetAcl { path, acl, version: self.version() }
            }
            _ => Operation::Edit(self.edit()),
        }
    }

    fn kind(&mut self) -> WatcherType {
        self.pick(WatcherType::ALL)
    }

    pub fn read(&mut self) -> Operation {
        let watch = self.prng.chance(1, 3);
        match self.prng.below(64) {
            0..=9 => Operation::Exists { path: self.path(), watch },
            10..=11 => Operation::GetData { path: self.quota_path(), watch },
            12..=23 => Operation::GetData { path: self.path(), watch },
            24..=35 => Operation::GetChildren { path: self.path(), watch, two: self.prng.chance(1, 2) },
            36..=38 => Operation::GetAcl { path: self.path() },
            39..=41 => Operation::Sync { path: self.path() },
            42..=44 => {
                let count = self.prng.below(5);
                let look = |this: &mut Workload| {
                    let path = this.path();
                    if this.prng.chance(1, 2) { Look::Data { path } } else { Look::Children { path } }
                };
                Operation::MultiRead((0..count).map(|_| look(self)).collect())
            }
            45..=46 => {
                let path = self.path();
                // The empty path has a meaning of its own there, which is no tree's.
                Operation::AllChildrenNumber { path: if path.is_empty() { b"/".to_vec() } else { path } }
            }
            47..=48 => {
                let path = self.path();
                Operation::Ephemerals { prefix: if path.is_empty() { b"/".to_vec() } else { path } }
            }
            49 => Operation::WhoAmI,
            50..=53 => {
                let path = if self.prng.chance(1, 4) { b"/".to_vec() } else { self.path() };
                Operation::AddWatch { path, recursive: self.prng.chance(1, 2) }
            }
            54..=55 => Operation::CheckWatches { path: self.path(), kind: self.kind() },
            56..=58 => Operation::RemoveWatches { path: self.path(), kind: self.kind() },
            59..=60 => Operation::Auth { user: Some(self.pick(&USERS).to_owned()) },
            _ => Operation::Ping,
        }
    }

    pub fn operation(&mut self) -> Operation {
        if self.prng.chance(1, 2) { self.write() } else { self.read() }
    }

    /// What a client that comes back says, if it says anything: clients of old know nothing of lasting watches.
    pub fn comes_back(&mut self, watched: &Watched, since: Zxid) -> Option<Operation> {
        if watched.count() == 0 || self.prng.chance(1, 4) {
            return None;
        }
        let mut watched = watched.clone();
        let old = self.prng.chance(1, 3);
        if old {
            watched.persistent.clear();
            watched.recursive.clear();
        }
        Some(Operation::SetWatches { since, watched, old })
    }
}
