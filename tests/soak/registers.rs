//! Registers that several clients set, each on the condition of a version, and read: the order of versions is the order of
//! all that is done to a register, so that a history of them is judged in one pass.

use std::collections::BTreeMap;

use ringkeeper::base::{Prng, Zxid};
use ringkeeper::wire::client::{
    EventType, GetDataRequest, GetDataResponse, SetDataRequest, SetDataResponse, SetWatches, SyncRequest,
};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{Decode, ErrorCode, Opcode, Text, Vector};

use crate::history::tick;
use crate::support::client::PERSISTENT;
use crate::users::{Traveller, User};

pub const REGISTERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Set,
    /// Wherever the session is: it may be behind.
    Read,
    /// Behind a write of the same session: it may not.
    ReadBehindWrite,
    /// Behind a sync, which asks no quorum: under a leader that was one it may be behind.
    ReadBehindSync,
}

/// What was done and answered.
#[derive(Clone, Debug)]
pub struct Seen {
    pub register: usize,
    pub deed: Deed,
    pub version: i32,
    pub value: String,
    pub zxid: i64,
    /// Places in the order of all that was sent and received.
    pub begun: u64,
    pub ended: u64,
}

/// A set that was not answered: it may have happened, and then as this version.
#[derive(Clone, Debug)]
pub struct Unknown {
    pub register: usize,
    pub version: i32,
    pub value: String,
}

pub fn path(base: &str, register: usize) -> String {
    format!("{base}/register-{register}")
}

pub struct Registrar {
    me: usize,
    random: Prng,
    traveller: Traveller,
    own: String,
    known: BTreeMap<usize, i32>,
    /// Versions at which a watch was set that has not fired.
    armed: BTreeMap<usize, i32>,
    number: u64,
    pub seen: Vec<Seen>,
    pub unknown: Vec<Unknown>,
}

impl Registrar {
    pub fn new(me: usize, mut traveller: Traveller, random: Prng) -> Registrar {
        let own = format!("{}/own-{me}", traveller.field.base);
        traveller.client.create(&own, b"", PERSISTENT);
        let (known, armed, seen, unknown) = Default::default();
        Registrar { me, random, traveller, own, known, armed, number: 0, seen, unknown }
    }

    /// A watch fires once, and what is read behind it is newer.
    fn take_events(&mut self) {
        while let Some(event) = self.traveller.client.events.pop_front() {
            assert_eq!(event.kind, EventType::NodeDataChanged, "{event:?}");
            let of =
                (0..REGISTERS).find(|register| path(&self.traveller.field.base, *register) == event.path);
            let register = of.unwrap_or_else(|| panic!("nobody watches {event:?}"));
            let armed = self.armed.remove(&register);
            assert!(
                armed.is_some(),
                "{event:?}: that watch had fired, session 0x{:x}",
                self.traveller.client.session
            );
            self.traveller.field.tally.count("watches fired");
        }
    }

    fn see(&mut self, register: usize, deed: Deed, version: i32, value: String, zxid: i64, begun: u64) {
        self.take_events();
        if let Some(armed) = self.armed.get(&register) {
            let session = self.traveller.client.session;
            assert_eq!(
                *armed, version,
                "register {register} in session 0x{session:x}: changed, and its watch is silent"
            );
        }
        if let Some(before) = self.known.insert(register, version) {
            assert!(before <= version, "register {register}: {version} read behind {before} in one session");
        }
        self.seen.push(Seen { register, deed, version, value, zxid, begun, ended: tick() });
    }

    fn read(&mut self, register: usize, deed: Deed, begun: u64) -> Option<()> {
        let path = path(&self.traveller.field.base, register);
        let watch = !self.armed.contains_key(&register) && self.random.chance(1, 2);
        let reply = self.traveller.call(
            "getData",
            Opcode::GetData,
            &GetDataRequest { path: path.as_str().into(), watch },
        )?;
        let response = reply.record::<GetDataResponse>();
        let value = String::from_utf8_lossy(response.data.unwrap_or_default()).into_owned();
        let stat = response.stat;
        self.see(register, deed, stat.version, value, stat.mzxid.0, begun);
        if watch {
            self.armed.insert(register, stat.version);
        }
        Some(())
    }

    fn set(&mut self, register: usize) -> Option<()> {
        let Some(version) = self.known.get(&register).copied() else {
            return self.read(register, Deed::Read, tick());
        };
        self.number += 1;
        let path = path(&self.traveller.field.base, register);
        let value = format!("{}-{}", self.me, self.number);
        let begun = tick();
        let request = SetDataRequest { path: path.as_str().into(), data: Some(value.as_bytes()), version };
        let Some(reply) = self.traveller.call("setData", Opcode::SetData, &request) else {
            self.unknown.push(Unknown { register, version: version + 1, value });
            return None;
        };
        match reply.code() {
            ErrorCode::Ok => {
                let stat = reply.record::<SetDataResponse>().stat;
                assert_eq!((stat.version, stat.mzxid.0), (version + 1, reply.zxid), "{path}");
                self.see(register, Deed::Set, stat.version, value, reply.zxid, begun);
            }
            ErrorCode::BadVersion => {
                self.take_events();
                // Whoever was refused has something newer to read, here.
                let before = self.known.remove(&register);
                self.read(register, Deed::Read, tick())?;
                let now = self.known[&register];
                assert!(before < Some(now), "{path}: {now} read behind the refusal of {before:?}");
            }
            error => panic!("{path}: {error:?}"),
        }
        Some(())
    }
}

impl User for Registrar {
    fn traveller(&mut self) -> &mut Traveller {
        &mut self.traveller
    }

    fn step(&mut self) -> Option<()> {
        let register = self.random.below(REGISTERS as u64) as usize;
        match self.random.below(20) {
            0..8 => self.set(register),
            8..13 => self.read(register, Deed::Read, tick()),
            13..16 => {
                let begun = tick();
                let request = SetDataRequest { path: self.own.as_str().into(), data: Some(b""), version: -1 };
                let reply = self.traveller.call("setData", Opcode::SetData, &request)?;
                assert_eq!(reply.err, 0, "{}", self.own);
                self.read(register, Deed::ReadBehindWrite, begun)
            }
            16..19 => {
                let begun = tick();
                let reply =
                    self.traveller.call("sync", Opcode::Sync, &SyncRequest { path: Some("/".into()) })?;
                assert_eq!(reply.err, 0);
                self.read(register, Deed::ReadBehindSync, begun)
            }
            _ => {
                self.traveller.hop(&mut self.random);
                self.come_back()
            }
        }
    }

    /// As clients do: what was watched is told to the new server, with what was seen.
    fn come_back(&mut self) -> Option<()> {
        self.take_events();
        let base = self.traveller.field.base.clone();
        let paths: Vec<String> = self.armed.keys().map(|register| path(&base, *register)).collect();
        let (mut paths_bytes, mut none) = (vec![], vec![]);
        encode_vector(&mut paths_bytes, paths.iter().map(String::as_str));
        encode_vector(&mut none, [""; 0]);
        let vector = |bytes| Vector::<Text<'_>>::parse(bytes).expect("a vector of strings");
        let request = SetWatches {
            relative_zxid: Zxid(self.traveller.client.zxid),
            data_watches: vector(&paths_bytes),
            exist_watches: vector(&none),
            child_watches: vector(&none),
        };
        let reply = self.traveller.call("setWatches", Opcode::SetWatches, &request)?;
        assert_eq!(reply.err, 0);
        self.take_events();
        Some(())
    }
}

/// Holds all that was done to the registers against each other, and against what they are in the end (version and value).
/// Reads behind a sync that were behind.
pub fn judge(seen: &[Seen], unknown: &[Unknown], last: &[(i32, String)]) -> Result<u64, String> {
    let mut stale = 0;
    for (register, (version, value)) in last.iter().enumerate() {
        let mut story: Vec<&Seen> = seen.iter().filter(|seen| seen.register == register).collect();
        let mut known: BTreeMap<i32, (&str, i64)> = BTreeMap::new();
        for seen in &story {
            let told = (seen.value.as_str(), seen.zxid);
            if *known.entry(seen.version).or_insert(told) != told {
                return Err(format!(
                    "register {register}: {seen:?}, and {:?} was told elsewhere",
                    known[&seen.version]
                ));
            }
        }
        let sets: Vec<i32> =
            story.iter().filter(|seen| seen.deed == Deed::Set).map(|seen| seen.version).collect();
        let may_be = |version: i32, value: &str| {
            unknown
                .iter()
                .any(|set| (set.register, set.version, set.value.as_str()) == (register, version, value))
        };
        let mut newest = 0;
        for at in 1..=*version {
            let answered = sets.iter().filter(|set| **set == at).count();
            match known.get(&at) {
                _ if answered > 1 => {
                    return Err(format!("register {register}: version {at} was acknowledged twice"));
                }
                Some((value, _)) if answered == 0 && !may_be(at, value) => {
                    return Err(format!("register {register}: nobody has set {value} as version {at}"));
                }
                None if !unknown.iter().any(|set| (set.register, set.version) == (register, at)) => {
                    return Err(format!("register {register}: nobody has set version {at}"));
                }
                Some((_, zxid)) if *zxid <= newest => {
                    return Err(format!(
                        "register {register}: version {at} has 0x{zxid:x}, an earlier one 0x{newest:x}"
                    ));
                }
                told => newest = told.map_or(newest, |(_, zxid)| *zxid),
            }
        }
        if let Some((beyond, told)) = known.range(version + 1..).next() {
            return Err(format!("register {register} is {version} in the end, {beyond} was {told:?}"));
        }
        if known.get(version).map_or(*version > 0 && !may_be(*version, value), |(told, _)| told != value) {
            return Err(format!(
                "register {register}: {value} in the end, not what was told of version {version}"
            ));
        }
        stale += in_time(&mut story)?;
    }
    Ok(stale)
}

/// What begins behind the end of something else sees at least that.
fn in_time(story: &mut [&Seen]) -> Result<u64, String> {
    let mut ends: Vec<(u64, i32)> = story.iter().map(|seen| (seen.ended, seen.version)).collect();
    ends.sort_unstable();
    story.sort_unstable_by_key(|seen| seen.begun);
    let (mut stale, mut newest, mut ends) = (0, 0, ends.into_iter().peekable());
    for seen in story {
        while let Some((_, version)) = ends.next_if(|(ended, _)| *ended < seen.begun) {
            newest = newest.max(version);
        }
        match seen.deed {
            Deed::Set if seen.version <= newest => {
                return Err(format!("{seen:?} began when {newest} was known"));
            }
            Deed::ReadBehindWrite if seen.version < newest => {
                return Err(format!("{seen:?} began when {newest} was known"));
            }
            Deed::ReadBehindSync if seen.version < newest => stale += 1,
            _ => {}
        }
    }
    Ok(stale)
}

/// The judge finds what is put in on purpose.
pub fn canary() -> Result<(), String> {
    let seen = |deed, version: i32, zxid, begun, ended| {
        let value = version.to_string();
        Seen { register: 0, deed, version, value, zxid, begun, ended }
    };
    let sound = vec![
        seen(Deed::Set, 1, 10, 1, 2),
        seen(Deed::Read, 2, 20, 3, 4),
        seen(Deed::Set, 3, 30, 5, 8),
        seen(Deed::ReadBehindWrite, 2, 20, 6, 7),
        seen(Deed::ReadBehindSync, 1, 10, 9, 10),
    ];
    let unknown = [Unknown { register: 0, version: 2, value: "2".to_owned() }];
    let last = |version: i32| [(version, version.to_string())];
    if judge(&sound, &unknown, &last(3)) != Ok(1) {
        return Err(format!("sound, and found: {:?}", judge(&sound, &unknown, &last(3))));
    }
    let with = |more: Seen| [sound.clone(), vec![more]].concat();
    let other_value = Seen { value: "x".to_owned(), ..seen(Deed::Read, 3, 30, 9, 10) };
    let faults = [
        ("a set that is lost", judge(&sound, &unknown, &last(2))),
        ("a set by nobody", judge(&sound, &[], &last(3))),
        ("a version by nobody", judge(&sound, &unknown, &last(4))),
        ("two sets of one version", judge(&with(seen(Deed::Set, 3, 30, 5, 8)), &unknown, &last(3))),
        ("two values of one version", judge(&with(other_value), &unknown, &last(3))),
        ("a zxid that steps back", judge(&with(seen(Deed::Set, 4, 25, 9, 10)), &unknown, &last(4))),
        ("a read of the past", judge(&with(seen(Deed::ReadBehindWrite, 2, 20, 9, 10)), &unknown, &last(3))),
    ];
    match faults.iter().find(|(_, found)| found.is_ok()) {
        Some((name, _)) => Err(format!("{name} is not found")),
        None => Ok(()),
    }
}
