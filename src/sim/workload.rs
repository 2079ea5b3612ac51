//! What clients ask for: a small key space, so that they meet.

use crate::base::Prng;

use super::model::{self, Operation};

pub struct Workload {
    prng: Prng,
    names: usize,
    counter: u64,
}

const NAMES: [&str; 9] = ["a", "b", "c", "a/x", "a/y", "b/x", "c/x", "a/x/1", "zookeeper/quota/q"];

impl Workload {
    pub fn new(seed: u64, client: usize, names: usize) -> Workload {
        let prng = Prng::salted(seed, &format!("workload {client}"));
        Workload { prng, names, counter: 0 }
    }

    fn path(&mut self) -> Vec<u8> {
        if self.prng.chance(1, 60) {
            let odd =
                ["", "a", "/a/", "/a//b", "/", "/nowhere/x", "/a/..", "/zookeeper", "/zookeeper/config"];
            return odd[self.prng.below(odd.len() as u64) as usize].as_bytes().to_vec();
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

    fn perms(&mut self) -> i32 {
        match self.prng.below(60) {
            0 => 0,
            1 => model::ALL & !model::READ,
            2 => model::ALL & !(1 << self.prng.below(5)),
            _ => model::ALL,
        }
    }

    pub fn write(&mut self) -> Operation {
        match self.prng.below(16) {
            0..=6 => {
                let flags = [0, 0, 0, 1, 1, 2, 3, 3][self.prng.below(8) as usize];
                let mut path = self.path();
                if flags >= 2 && path.len() > 1 {
                    path.extend_from_slice(b"/n");
                }
                let (data, perms) = (self.data(), self.perms());
                Operation::Create { path, data, perms, flags, two: self.prng.chance(1, 2) }
            }
            7..=9 => Operation::Delete { path: self.path(), version: self.version() },
            10..=14 => Operation::SetData { path: self.path(), data: self.data(), version: self.version() },
            _ => {
                let path = self.path();
                // Without rights on the root nothing could ever be done again.
                let all = path.len() <= 1 || self.prng.chance(3, 4);
                let perms = if all { model::ALL } else { self.perms() };
                Operation::SetAcl { path, perms, version: self.version() }
            }
        }
    }

    pub fn read(&mut self) -> Operation {
        let watch = self.prng.chance(1, 3);
        match self.prng.below(16) {
            0..=3 => Operation::Exists { path: self.path(), watch },
            4..=8 => Operation::GetData { path: self.path(), watch },
            9..=12 => Operation::GetChildren { path: self.path(), watch, two: self.prng.chance(1, 2) },
            13 => Operation::GetAcl { path: self.path() },
            14 => Operation::Sync { path: self.path() },
            _ => Operation::Ping,
        }
    }

    pub fn operation(&mut self) -> Operation {
        if self.prng.chance(1, 2) { self.write() } else { self.read() }
    }
}
