//! What two servers can't agree on, put into a common form, in the bytes of the frames and nowhere else.
//!
//! * **zxids**: both servers begin at zero and count the same transactions, so they have to be equal. One exception: when the body
//!   of a write can't be decoded, ZooKeeper 3.9 answers with the zxid of the transaction before; Ringkeeper never uses a zxid twice and
//!   takes a new one. From there on its zxids are one ahead. [`Zxids`] takes back what has been proven so, and only that.
//! * **times**: a ctime has to be that of its czxid and an mtime that of its mzxid, whenever they are shown, and lie within the
//!   run. Then it becomes 1; an unset one stays 0; any other stays as it is, and differs.
//! * **sessions and passwords**: become the ordinal of the session. Passwords have to be 16 bytes and not zero.
//! * **orders** that are a hash table's in Java: the names of getChildren(2), the paths of getEphemerals, the entries of whoAmI are
//!   sorted, what became of scheme `auth` in an ACL, and the events of one closeSession.
//! * **3.8**: events carry the zxid −1 (else: that of their transaction). A multi with a null where a value is needed is
//!   answered with an empty list of results behind the error (else: the error alone).

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::base::{SessionId, WallMillis, Zxid};
use ringkeeper::wire::client::{ReplyHeader, WatcherEvent};
use ringkeeper::wire::{Decode, Encode, ErrorCode, Opcode, Stat};

const HEADER_BYTES: usize = 16;
const STAT_BYTES: usize = 68;
const PASSWORD_BYTES: usize = 16;
/// A list of results that ends at once.
const NO_RESULTS: [u8; 9] = [0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff];

/// From the zxids of Ringkeeper to those of ZooKeeper.
#[derive(Clone, Debug, Default)]
pub struct Zxids {
    /// From this zxid of Ringkeeper's on it is so many ahead. Ascending.
    ahead: Vec<(i64, i64)>,
}

impl Zxids {
    /// For servers that have a past: of the same moment, one's zxid is `ours` and the other's `theirs`.
    pub fn starting_at(ours: i64, theirs: i64) -> Zxids {
        Zxids { ahead: vec![(ours, ours - theirs)] }
    }

    /// Ours, as ZooKeeper would number it.
    pub fn normal(&self, ours: i64) -> i64 {
        let ahead = self.ahead.iter().rev().find(|(from, _)| *from <= ours).map_or(0, |(_, ahead)| *ahead);
        ours - ahead
    }

    /// The two replies to a write that could not be decoded.
    pub fn undecodable(&mut self, ours: i64, theirs: i64) {
        if self.normal(ours) == theirs + 1 {
            self.ahead.push((ours, ours - theirs));
        }
    }
}

/// One server's view.
#[derive(Clone, Debug, Default)]
pub struct Normal {
    /// `None`: the server whose zxids are the measure.
    pub zxids: Option<Zxids>,
    sessions: BTreeMap<i64, i64>,
    times: BTreeMap<i64, i64>,
    /// Milliseconds since 1970 between which the run takes place.
    pub run: (i64, i64),
    /// The zxids of closeSessions, normal ones.
    closes: BTreeSet<i64>,
    /// The other server is of 3.8.
    pub before_3_9: bool,
}

/// A walk over a body that changes it on its way. Stops where the body is not what it should be: the rest stays as it is.
struct Walk<'a> {
    bytes: &'a mut Vec<u8>,
    at: usize,
}

impl Walk<'_> {
    fn i32(&mut self) -> Option<i32> {
        let value = i32::from_be_bytes(*self.bytes.get(self.at..)?.first_chunk()?);
        self.at += 4;
        Some(value)
    }

    /// A string or buffer; null counts as empty.
    fn stretch(&mut self) -> Option<()> {
        let length = usize::try_from(self.i32()?.max(0)).ok()?;
        self.at += length;
        (self.at <= self.bytes.len()).then_some(())
    }

    /// A vector of elements that are `strings` strings each, sorted by their bytes.
    fn sorted(&mut self, strings: usize) -> Option<()> {
        let count = self.i32()?;
        let start = self.at;
        let mut elements = Vec::new();
        for _ in 0..count {
            let from = self.at;
            for _ in 0..strings {
                self.stretch()?;
            }
            elements.push(self.bytes[from..self.at].to_vec());
        }
        elements.sort();
        let end = self.at;
        self.bytes.splice(start..end, elements.concat());
        Some(())
    }

    /// Scheme `auth` became entries for all the digests that the client had shown, in the order of a hash table: neighbours
    /// that differ in nothing but the digest are sorted.
    fn acl(&mut self) -> Option<()> {
        let count = self.i32()?;
        let start = self.at;
        let mut entries = Vec::new();
        for _ in 0..count {
            let from = self.at;
            self.i32()?;
            self.stretch()?;
            let id = self.at - from;
            self.stretch()?;
            entries.push((self.bytes[from..self.at].to_vec(), id));
        }
        let kind = |(entry, id): &(Vec<u8>, usize)| entry[..*id].to_vec();
        for run in entries.chunk_by_mut(|a, b| kind(a) == kind(b) && kind(a).ends_with(b"digest")) {
            run.sort();
        }
        let end = self.at;
        self.bytes.splice(start..end, entries.into_iter().flat_map(|(entry, _)| entry));
        Some(())
    }

    fn stat(&mut self, normal: &mut Normal) -> Option<()> {
        let place = self.bytes.get(self.at..self.at + STAT_BYTES)?;
        let stat = Stat::parse(place).ok()?;
        let mut out = Vec::new();
        normal.stat(stat).encode(&mut out);
        self.bytes[self.at..self.at + STAT_BYTES].copy_from_slice(&out);
        self.at += STAT_BYTES;
        Some(())
    }

    /// The results of a multi or multiRead.
    fn results(&mut self, normal: &mut Normal) -> Option<()> {
        loop {
            let kind = self.i32()?;
            let done = *self.bytes.get(self.at)?;
            self.at += 1;
            self.i32()?;
            if done != 0 {
                return Some(());
            }
            match Opcode::from_i32(kind)? {
                Opcode::Create => self.stretch()?,
                Opcode::Create2 => {
                    self.stretch()?;
                    self.stat(normal)?;
                }
                Opcode::SetData => self.stat(normal)?,
                Opcode::GetData => {
                    self.stretch()?;
                    self.stat(normal)?;
                }
                Opcode::GetChildren => self.sorted(1)?,
                Opcode::Error => {
                    self.i32()?;
                }
                _ => {}
            }
        }
    }

    fn reply(&mut self, opcode: Opcode, normal: &mut Normal) -> Option<()> {
        match opcode {
            Opcode::Exists | Opcode::SetData | Opcode::SetAcl => self.stat(normal),
            Opcode::Create2
            | Opcode::CreateContainer
            | Opcode::CreateTtl
            | Opcode::GetData
            | Opcode::Reconfig => {
                self.stretch()?;
                self.stat(normal)
            }
            Opcode::GetChildren | Opcode::GetEphemerals => self.sorted(1),
            Opcode::WhoAmI => self.sorted(2),
            Opcode::GetChildren2 => {
                self.sorted(1)?;
                self.stat(normal)
            }
            Opcode::GetAcl => {
                self.acl()?;
                self.stat(normal)
            }
            Opcode::Multi | Opcode::MultiRead => self.results(normal),
            _ => Some(()),
        }
    }
}

impl Normal {
    fn zxid(&self, zxid: i64) -> i64 {
        match &self.zxids {
            Some(zxids) if zxid > 0 => zxids.normal(zxid),
            _ => zxid,
        }
    }

    fn time(&mut self, zxid: Zxid, time: WallMillis) -> WallMillis {
        let WallMillis(millis) = time;
        if millis == 0 {
            return time;
        }
        let first = *self.times.entry(zxid.0).or_insert(millis);
        if first == millis && (self.run.0..=self.run.1).contains(&millis) { WallMillis(1) } else { time }
    }

    fn session(&mut self, session: i64) -> i64 {
        self.sessions.get(&session).copied().unwrap_or(session)
    }

    fn stat(&mut self, stat: Stat) -> Stat {
        Stat {
            ctime: self.time(stat.czxid, stat.ctime),
            mtime: self.time(stat.mzxid, stat.mtime),
            czxid: Zxid(self.zxid(stat.czxid.0)),
            mzxid: Zxid(self.zxid(stat.mzxid.0)),
            pzxid: Zxid(self.zxid(stat.pzxid.0)),
            ephemeral_owner: SessionId(self.session(stat.ephemeral_owner.0)),
            ..stat
        }
    }

    /// The answer to a connect request.
    pub fn handshake(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut out = frame.to_vec();
        let Some(session) = frame.get(8..).and_then(|rest| rest.first_chunk()) else { return out };
        let session = i64::from_be_bytes(*session);
        if session != 0 {
            let next = self.sessions.len() as i64 + 1;
            let ordinal = *self.sessions.entry(session).or_insert(next);
            out[8..16].copy_from_slice(&ordinal.to_be_bytes());
            if let Some(password) = out.get_mut(20..20 + PASSWORD_BYTES)
                && password != [0; PASSWORD_BYTES]
            {
                password.fill(0x77);
            }
        }
        out
    }

    /// A reply or an event.
    pub fn message(&mut self, opcode: Option<Opcode>, frame: &[u8]) -> Vec<u8> {
        let mut out = frame.to_vec();
        let Ok(header) = ReplyHeader::parse(frame) else { return out };
        let mut zxid = self.zxid(header.zxid.0);
        if header.xid == -1 {
            if self.before_3_9 {
                zxid = -1;
            }
        } else if opcode == Some(Opcode::CloseSession) && header.err == 0 {
            self.closes.insert(zxid);
        }
        out[4..12].copy_from_slice(&zxid.to_be_bytes());
        if self.before_3_9
            && self.zxids.is_none()
            && opcode == Some(Opcode::Multi)
            && header.err == ErrorCode::MarshallingError.code()
            && out[HEADER_BYTES..] == NO_RESULTS
        {
            out.truncate(HEADER_BYTES);
        }
        if let Some(opcode) = opcode
            && header.xid != -1
            // An error has no body; but a multiRead with a null path has one.
            && (header.err == 0 || opcode == Opcode::MultiRead)
        {
            let _rest_is_compared_as_it_is = Walk { bytes: &mut out, at: HEADER_BYTES }.reply(opcode, self);
        }
        out
    }

    /// Sorts neighbours that are events of one closeSession. `frames` are normal.
    pub fn sort_closes(&self, frames: &mut [Vec<u8>]) {
        let close_of = |frame: &Vec<u8>| {
            let header = ReplyHeader::parse(frame).ok().filter(|header| header.xid == -1)?;
            WatcherEvent::parse(&frame[HEADER_BYTES..]).ok()?;
            (self.before_3_9 || self.closes.contains(&header.zxid.0)).then_some(header.zxid)
        };
        for run in frames.chunk_by_mut(|a, b| close_of(a).is_some() && close_of(a) == close_of(b)) {
            if run.len() > 1 {
                run.sort();
            }
        }
    }
}
