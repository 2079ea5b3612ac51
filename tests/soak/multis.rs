//! A client of multis, all of each or nothing, and one that watches what they create.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::base::Prng;
use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{
    AddWatchMode, AddWatchRequest, CheckVersionRequest, CreateRequest, EventType, ExistsRequest, MultiOp,
    MultiResult, MultiResults, SetDataRequest,
};
use ringkeeper::wire::{AclList, Encode, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::ensemble::Znode;
use crate::users::{Traveller, User};

struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done(i64),
    Refused,
    Unknown,
}

/// Each of its multis creates two znodes and sets a third.
pub struct Multis {
    random: Prng,
    traveller: Traveller,
    base: String,
    pub fates: Vec<Fate>,
}

fn pair(base: &str, number: usize) -> [String; 2] {
    [format!("{base}/a-{number}"), format!("{base}/b-{number}")]
}

impl Multis {
    pub fn new(mut traveller: Traveller, random: Prng) -> Multis {
        let base = format!("{}/multis", traveller.field.base);
        traveller.client.create(&base, b"", PERSISTENT);
        Multis { random, traveller, base, fates: vec![] }
    }

    /// Holds what was told against the tree that all have.
    pub fn judge(&self, tree: &BTreeMap<String, Znode>) -> Result<(), String> {
        let mut done = 0;
        for (number, fate) in self.fates.iter().enumerate() {
            let [a, b] = pair(&self.base, number).map(|path| tree.get(&path).map(|znode| znode.stat[0]));
            let is_sound = a == b
                && match fate {
                    Fate::Done(zxid) => a == Some(*zxid),
                    Fate::Refused => a.is_none(),
                    Fate::Unknown => true,
                };
            if !is_sound {
                return Err(format!(
                    "multi {number} was {fate:x?}, its znodes were created by {a:x?} and {b:x?}"
                ));
            }
            done += i64::from(a.is_some());
        }
        match &tree[&self.base] {
            znode if znode.stat[5] == done => Ok(()),
            znode => Err(format!("{done} multis have set {}: {znode:x?}", self.base)),
        }
    }
}

impl User for Multis {
    fn traveller(&mut self) -> &mut Traveller {
        &mut self.traveller
    }

    fn step(&mut self) -> Option<()> {
        if self.random.chance(1, 20) {
            self.traveller.hop(&mut self.random);
            return Some(());
        }
        let number = self.fates.len();
        let [a, b] = pair(&self.base, number);
        let made = |path| {
            MultiOp::Create(CreateRequest {
                path,
                data: Some(b"m"),
                acl: Some(AclList::OPEN),
                flags: PERSISTENT,
            })
        };
        let base = self.base.as_str();
        let set = MultiOp::SetData(SetDataRequest { path: base.into(), data: Some(b"m"), version: -1 });
        let is_refused = self.random.chance(1, 5);
        let mut ops = vec![made(a.as_str().into()), set, made(b.as_str().into())];
        if is_refused {
            ops.push(MultiOp::Check(CheckVersionRequest { path: base.into(), version: 1 << 30 }));
        }
        let mut bytes = vec![];
        encode_list(&mut bytes, ops);
        self.fates.push(Fate::Unknown);
        let reply = self.traveller.call("multi", Opcode::Multi, &Raw(bytes))?;
        let results = reply.record::<MultiResults<'_>>();
        let has_failed = results.iter().any(|result| matches!(result, MultiResult::Error(_)));
        assert_eq!(has_failed, is_refused, "multi {number}");
        self.fates[number] = if is_refused { Fate::Refused } else { Fate::Done(reply.zxid) };
        Some(())
    }
}

/// What was told on one connection, between these two zxids.
#[derive(Debug, Default)]
struct Stretch {
    from: i64,
    to: i64,
    created: BTreeSet<String>,
}

/// Watches all below the multis' znode.
pub struct Watcher {
    random: Prng,
    traveller: Traveller,
    base: String,
    stretches: Vec<Stretch>,
}

impl Watcher {
    pub fn new(mut traveller: Traveller, random: Prng) -> Watcher {
        let base = format!("{}/multis", traveller.field.base);
        traveller.client.sync("/");
        let mut watcher = Watcher { random, traveller, base, stretches: vec![] };
        watcher.begin().expect("nobody disturbs it yet");
        watcher
    }

    fn begin(&mut self) -> Option<()> {
        self.traveller.client.events.clear();
        let request =
            AddWatchRequest { path: self.base.as_str().into(), mode: AddWatchMode::PersistentRecursive };
        let reply = self.traveller.call("addWatch", Opcode::AddWatch, &request)?;
        assert_eq!(reply.err, 0);
        self.stretches.push(Stretch { from: reply.zxid, to: reply.zxid, created: BTreeSet::new() });
        // An event may be here already, and is told of below.
        Some(())
    }

    fn look(&mut self) -> Option<()> {
        let request = ExistsRequest { path: "/".into(), watch: false };
        let reply = self.traveller.call("exists", Opcode::Exists, &request)?;
        let stretch = self.stretches.last_mut().expect("it has begun");
        stretch.to = reply.zxid;
        let mut newest = stretch.from;
        for event in self.traveller.client.events.drain(..) {
            // 3.8 doesn't say.
            if event.zxid != -1 {
                assert!(event.zxid >= newest, "{event:?} behind 0x{newest:x}");
                newest = event.zxid;
            }
            if event.kind == EventType::NodeCreated {
                let path = event.path.clone();
                assert!(stretch.created.insert(event.path), "{path} was created once, and told twice");
            }
        }
        Some(())
    }

    /// Every znode that was created in a stretch was told of in it.
    pub fn judge(&self, tree: &BTreeMap<String, Znode>) -> Result<u64, String> {
        let mut told = 0;
        for stretch in &self.stretches {
            let prefix = format!("{}/", self.base);
            for (path, znode) in
                tree.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix))
            {
                let is_within = stretch.from < znode.stat[0] && znode.stat[0] <= stretch.to;
                let is_told = stretch.created.contains(path);
                if is_within && !is_told {
                    let (from, to) = (stretch.from, stretch.to);
                    return Err(format!(
                        "{path} was created by 0x{:x}, and not told of between 0x{from:x} and 0x{to:x}",
                        znode.stat[0]
                    ));
                }
                told += u64::from(is_told);
            }
            if let Some(path) = stretch.created.iter().find(|path| !tree.contains_key(*path)) {
                return Err(format!("{path} was told of, and is not there"));
            }
        }
        Ok(told)
    }
}

impl User for Watcher {
    fn traveller(&mut self) -> &mut Traveller {
        &mut self.traveller
    }

    fn step(&mut self) -> Option<()> {
        if self.random.chance(1, 50) {
            self.traveller.hop(&mut self.random);
            return self.begin();
        }
        self.look()
    }

    fn come_back(&mut self) -> Option<()> {
        self.begin()
    }
}
