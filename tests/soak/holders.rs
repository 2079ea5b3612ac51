//! Clients that hold ephemeral znodes, end and abandon sessions, and make what is reaped.

use ringkeeper::base::Prng;
use ringkeeper::wire::client::{
    CreateRequest, CreateTtlRequest, DeleteRequest, ExistsRequest, ExistsResponse,
};
use ringkeeper::wire::{AclList, ErrorCode, Opcode};

use crate::members::SESSION_MS;
use crate::support::Reply;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::users::{Traveller, User};

const TTL: i32 = 5;
const CONTAINER: i32 = 4;
/// Of a session that is left alone.
const SHORT_MS: i32 = 4_000;

/// Its sessions come and go, and their ephemerals with them.
pub struct Holder {
    me: usize,
    random: Prng,
    traveller: Traveller,
    number: u64,
    held: Option<String>,
    /// Of a session that was closed.
    gone: Option<String>,
}

/// What the names of all ephemerals here have in them.
pub const EPHEMERALS: &str = "/ephemeral-";

impl Holder {
    pub fn new(me: usize, traveller: Traveller, random: Prng) -> Holder {
        Holder { me, random, traveller, number: 0, held: None, gone: None }
    }

    fn next_path(&mut self) -> String {
        self.number += 1;
        format!("{}{EPHEMERALS}{}-{}", self.traveller.field.base, self.me, self.number)
    }

    fn exists(&mut self, path: &str) -> Option<Reply> {
        self.traveller.call("exists", Opcode::Exists, &ExistsRequest { path: path.into(), watch: false })
    }

    /// The first write of a session shows it that what the last one held is gone.
    fn begin(&mut self) -> Option<()> {
        let path = self.next_path();
        create(&mut self.traveller, &path, self.number)?;
        self.held = Some(path);
        if let Some(gone) = self.gone.take() {
            let reply = self.exists(&gone)?;
            assert_eq!(reply.code(), ErrorCode::NoNode, "{gone}: its session was closed");
        }
        Some(())
    }

    fn assert_held(&mut self, path: &str) -> Option<()> {
        let reply = self.exists(path)?;
        assert_eq!(reply.code(), ErrorCode::Ok, "{path}: its session lives");
        let owner = reply.record::<ExistsResponse>().stat.ephemeral_owner.0;
        assert_eq!(owner, self.traveller.client.session, "{path}");
        Some(())
    }

    fn end(&mut self) {
        let at = self.random.below(5) as usize;
        let field = self.traveller.field.clone();
        let old = std::mem::replace(&mut self.traveller, Traveller::open(&field, at, SESSION_MS));
        // Where the answer is lost the session may have to expire.
        self.gone = self.held.take().filter(|_| old.close().is_some());
    }

    /// Its session ends by itself.
    fn abandon(&mut self) {
        let path = self.next_path();
        let at = self.random.below(5) as usize;
        let field = self.traveller.field.clone();
        let mut brief = Traveller::open(&field, at, SHORT_MS);
        // Answered or not: it goes with its session.
        let _unknown = create(&mut brief, &path, self.number);
        brief.client.cut();
        field.tally.count("sessions abandoned");
    }

    /// The end of the round.
    pub fn finish(self) {
        let _unknown = self.traveller.close();
    }
}

/// Now and then with null data.
fn create(traveller: &mut Traveller, path: &str, number: u64) -> Option<()> {
    let data = number.is_multiple_of(2).then_some(b"x".as_slice());
    let request = CreateRequest { path: path.into(), data, acl: Some(AclList::OPEN), flags: EPHEMERAL };
    let reply = traveller.call("create ephemeral", Opcode::Create, &request)?;
    assert_eq!(reply.code(), ErrorCode::Ok, "{path}");
    Some(())
}

impl User for Holder {
    fn traveller(&mut self) -> &mut Traveller {
        &mut self.traveller
    }

    fn step(&mut self) -> Option<()> {
        let Some(path) = self.held.clone() else { return self.begin() };
        match self.random.below(20) {
            0 => self.end(),
            1 => self.abandon(),
            2..5 => {
                self.traveller.hop(&mut self.random);
                return self.assert_held(&path);
            }
            _ => return self.assert_held(&path),
        }
        Some(())
    }
}

/// Containers and TTL nodes: what has to be reaped, and what may not.
pub struct Reaped {
    random: Prng,
    traveller: Traveller,
    number: u64,
    pub goes: Vec<String>,
    pub stays: Vec<String>,
}

impl Reaped {
    pub fn new(traveller: Traveller, random: Prng) -> Reaped {
        Reaped { random, traveller, number: 0, goes: vec![], stays: vec![] }
    }

    fn container(&mut self, path: &str, lasts: bool) -> Option<()> {
        let child = format!("{path}/child");
        let acl = Some(AclList::OPEN);
        let request = CreateRequest { path: path.into(), data: Some(b""), acl, flags: CONTAINER };
        let reply = self.traveller.call("createContainer", Opcode::CreateContainer, &request)?;
        assert_eq!(reply.code(), ErrorCode::Ok, "{path}");
        let request = CreateRequest { path: child.as_str().into(), data: Some(b""), acl, flags: PERSISTENT };
        let reply = self.traveller.call("create", Opcode::Create, &request)?;
        assert_eq!(
            reply.code(),
            ErrorCode::Ok,
            "{child}: a container that never had a child is not reaped yet"
        );
        if lasts {
            self.stays.extend([path.to_owned(), child]);
            return Some(());
        }
        let request = DeleteRequest { path: child.as_str().into(), version: 0 };
        let reply = self.traveller.call("delete", Opcode::Delete, &request)?;
        assert_eq!(reply.code(), ErrorCode::Ok, "{child}");
        self.goes.push(path.to_owned());
        Some(())
    }

    fn with_ttl(&mut self, path: &str, lasts: bool) -> Option<()> {
        let ttl = if lasts { 3_600_000 } else { 1 + self.random.below(3_000) as i64 };
        let acl = Some(AclList::OPEN);
        let request = CreateTtlRequest { path: path.into(), data: Some(b""), acl, flags: TTL, ttl };
        let reply = self.traveller.call("createTTL", Opcode::CreateTtl, &request)?;
        assert_eq!(reply.code(), ErrorCode::Ok, "{path}");
        if lasts { &mut self.stays } else { &mut self.goes }.push(path.to_owned());
        Some(())
    }
}

impl User for Reaped {
    fn traveller(&mut self) -> &mut Traveller {
        &mut self.traveller
    }

    fn step(&mut self) -> Option<()> {
        self.number += 1;
        let base = &self.traveller.field.base;
        let (container, ttl) =
            (format!("{base}/container-{}", self.number), format!("{base}/ttl-{}", self.number));
        let lasts = self.random.chance(1, 8);
        match self.random.below(20) {
            0 => {
                self.traveller.hop(&mut self.random);
                Some(())
            }
            1..10 => self.container(&container, lasts),
            _ => self.with_ttl(&ttl, lasts),
        }
    }
}
