//! Makes streams: a seed and a number give the same episode on every machine.
//!
//! An episode is a few hundred items of three clients below one znode. Its end shows every event that is still on its way and
//! closes the sessions. Left out are the requests of design decision 20: createTTL without a TTL flag and deleteContainer and
//! createSession from clients, and a wrong password while the session's other connection is open.

use ringkeeper::base::Prng;
use ringkeeper::wire::Opcode;

use crate::body::Body;
use crate::groups::{Group, Groups, Profile, SUPER};
use crate::item::{AUTH, Action, CLOSE_SESSION, Connect, Item, Moment, PING, ROOT, SASL, Wanted};
use crate::operations;
use crate::values::Values;

pub const ITEMS: usize = 400;
const SLOTS: u64 = 3;

/// What all episodes of a run share.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub groups: Groups,
    pub profile: Profile,
    /// The other server is of 3.8. Left out is what 3.8 does otherwise: watches with modes (there the last of several on a path
    /// wins), checkWatches (finds anybody's watch), types 4 and 5 of removeWatches, IPv6 addresses in ACLs (refused).
    pub before_3_9: bool,
}

pub struct Generator<'a> {
    pub values: Values,
    pub plan: &'a Plan,
    /// Requests may be sent together.
    bursts: bool,
    items: Vec<Item>,
}

impl Plan {
    /// The items of an episode. The first one makes the root, and belongs into every replay.
    pub fn episode(&self, number: u64) -> Vec<Item> {
        let mut random = Prng::salted(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15), "differential");
        // Enforced quotas look at what is applied, and that is a matter of time for what is sent together.
        let quota = self.groups.has(Group::Quota) && random.chance(1, 3);
        let closed_percent = [4, 15, 40][random.below(3) as usize];
        let values =
            Values { random, users: self.groups.has(Group::Auth), ip_v6: !self.before_3_9, closed_percent };
        let mut generator = Generator { values, plan: self, bursts: !quota, items: Vec::new() };
        generator.root();
        while generator.items.len() < ITEMS {
            generator.step(quota);
        }
        generator.end();
        generator.items
    }
}

impl Generator<'_> {
    fn push(&mut self, slot: usize, action: Action, joined: bool) {
        self.items.push(Item { slot, action, joined });
    }

    fn request(&mut self, slot: usize, opcode: i32, body: Vec<u8>) {
        let xid = self.xid(opcode);
        self.push(slot, Action::Request { xid, opcode, body, zxid_at: None }, false);
    }

    /// Ordinary ones are the number of the item. -1 would make a reply look like an event.
    fn xid(&mut self, opcode: i32) -> i32 {
        let usual = match opcode {
            PING => -2,
            AUTH => -4,
            101 | 105 => -8,
            _ => self.items.len() as i32 + 1,
        };
        if self.values.percent(3) {
            self.values.one(&[0, -2, -4, -8, -9, 1, i32::MIN, i32::MAX, 7])
        } else {
            usual
        }
    }

    fn root(&mut self) {
        let open = [(31, Some("world".to_owned()), Some("anyone".to_owned()))];
        let body = Body::default().stretch(Some(ROOT.as_bytes())).stretch(Some(b"")).acl(Some(&open)).int(0);
        self.request(0, Opcode::Create.code(), body.bytes);
    }

    fn end(&mut self) {
        for slot in 0..SLOTS as usize {
            self.push(
                slot,
                Action::Request { xid: -2, opcode: PING, body: Vec::new(), zxid_at: None },
                false,
            );
        }
        for slot in 0..SLOTS as usize {
            self.request(slot, CLOSE_SESSION, Vec::new());
            for other in slot + 1..SLOTS as usize {
                self.push(
                    other,
                    Action::Request { xid: -2, opcode: PING, body: Vec::new(), zxid_at: None },
                    false,
                );
            }
        }
    }

    /// Whatever comes next: one item, or a few that belong together.
    fn step(&mut self, quota: bool) {
        let slot = self.values.below(SLOTS) as usize;
        match self.values.below(1000) {
            0..12 => self.connect(slot),
            12..16 => self.bytes(slot),
            16..20 => self.unknown(slot),
            20..28 => self.request(slot, CLOSE_SESSION, Vec::new()),
            28..40 if quota => self.quota(slot),
            40..46 if self.plan.groups.has(Group::Off) => self.off(slot),
            46..66 if self.plan.groups.has(Group::Auth) => self.auth(slot),
            66..160 if self.bursts => {
                let count = self.values.below(11) + 2;
                for _ in 1..count {
                    self.operation(slot, true);
                }
                self.operation(slot, false);
            }
            _ => self.operation(slot, false),
        }
    }

    /// A request of an ordinary operation, in one of twenty-five cases damaged.
    fn operation(&mut self, slot: usize, joined: bool) {
        let mut drawn = operations::draw(&mut self.values, self.plan);
        // A damaged createTTL could be one that kills ZooKeeper.
        if self.values.percent(4) && drawn.opcode != Opcode::CreateTtl.code() {
            drawn.body = drawn.body.damaged(&mut self.values.random);
        }
        let xid = self.xid(drawn.opcode);
        let mut body = drawn.body.bytes;
        let mut opcode = drawn.opcode;
        let mut zxid_at = drawn.zxid.map(|moment| (0, moment));
        if self.values.percent(1) {
            // Somebody else's body.
            let other = operations::draw(&mut self.values, self.plan);
            if opcode != Opcode::CreateTtl.code() && other.opcode != Opcode::CreateTtl.code() {
                opcode = other.opcode;
                zxid_at = None;
            }
        }
        if self.values.percent(1) && self.values.percent(5) {
            // As long as a frame may be, and longer than one that is ever seen in practice.
            body.resize(1_048_575 - 8, 0);
        }
        self.push(slot, Action::Request { xid, opcode, body, zxid_at }, joined);
    }

    fn connect(&mut self, slot: usize) {
        let session = self.values.one(&[1, -1, i64::MIN, i64::MAX, 0x1000_0000_0000_0000]);
        let wanted = match self.values.below(10) {
            0 | 1 => Wanted::New,
            2..5 => Wanted::Own { old_stays: true },
            5..8 => Wanted::Own { old_stays: false },
            8 => Wanted::WrongPassword(self.values.one(&[
                None,
                Some(0),
                Some(1),
                Some(15),
                Some(16),
                Some(17),
            ])),
            _ => Wanted::Unknown(session),
        };
        let connect = Connect {
            wanted,
            protocol_version: self.values.one(&[0, 0, 0, 1, -1]),
            timeout_ms: self.values.one(&[
                40_000_000,
                40_000_000,
                10_000,
                0,
                -1,
                i32::MAX,
                i32::MIN,
                50_000_001,
            ]),
            last_zxid_seen: self.values.one(&[
                Moment::Zero,
                Moment::Zero,
                Moment::RepliesAgo(0),
                Moment::RepliesAgo(5),
                Moment::Future,
            ]),
            read_only: self.values.one(&[Some(false), Some(false), Some(true), None]),
            trailing: self.values.one(&[0, 0, 0, 1, 9]),
        };
        let joined = self.bursts && self.values.percent(30);
        let last = if matches!(wanted, Wanted::WrongPassword(_)) { Some(wanted) } else { None };
        self.push(slot, Action::Connect(connect), joined);
        if joined {
            self.operation(slot, false);
        } else if last.is_some() || self.values.percent(50) {
            // Back to the session as an ordinary client.
            self.push(slot, Action::Connect(Connect::new(Wanted::Own { old_stays: false })), false);
        }
    }

    /// What no request begins with.
    fn bytes(&mut self, slot: usize) {
        let bytes = self.values.one(&[
            &b"\0\0\0\0"[..],
            b"\0\0\0\x04\0\0\0\x01",
            b"\0\0\0\x07\0\0\0\x01\0\0\0",
            b"\xff\xff\xff\xff",
            b"\x80\0\0\0",
            b"\x7f\xff\xff\xff",
            b"\0\x10\0\0",
            b"ruok",
        ]);
        self.push(slot, Action::Bytes(bytes.to_vec()), false);
    }

    /// An opcode that no server knows, or that no client sends.
    fn unknown(&mut self, slot: usize) {
        let opcode = self.values.one(&[0, 10, 13, 23, 99, 108, -1, -2, -9, -12, i32::MIN, i32::MAX]);
        let body = operations::draw(&mut self.values, self.plan).body.bytes;
        self.request(slot, opcode, body);
    }

    fn off(&mut self, slot: usize) {
        if self.values.percent(40) {
            let token = self.values.one(&[None, Some(&b""[..]), Some(b"token")]);
            self.request(slot, SASL, Body::default().stretch(token).bytes);
            return;
        }
        let mut body = Body::default();
        for _ in 0..3 {
            let text = self.values.one(&[
                None,
                None,
                Some("server.1=127.0.0.1:2888:3888;2181"),
                Some("1,2"),
                Some("?"),
            ]);
            body = body.stretch(text.map(str::as_bytes));
        }
        body = body.long(self.values.one(&[-1, 0, 1]));
        self.request(slot, Opcode::Reconfig.code(), body.bytes);
    }

    fn auth(&mut self, slot: usize) {
        let (scheme, auth) = match self.values.below(20) {
            0..8 => (Some("digest"), Some("alice:a")),
            8..12 => (Some("digest"), Some("bob:b")),
            12 => (Some("digest"), Some(self.values.one(&["", "text", ":", "a:b:c", "ü:ß", SUPER.0]))),
            13 if self.plan.profile == Profile::Extended => (Some("digest"), Some(SUPER.0)),
            14 => (Some("ip"), Some("anything")),
            15 => (Some("world"), Some("anyone")),
            16 => (Some("nobody"), Some("x")),
            17 => (None, Some("x")),
            18 => (Some("digest"), None),
            _ => (Some("digest"), Some("carol:c")),
        };
        let kind = self.values.one(&[0, 0, 0, 1, -1]);
        let mut body =
            Body::default().int(kind).stretch(scheme.map(str::as_bytes)).stretch(auth.map(str::as_bytes));
        if self.values.percent(4) {
            body = body.damaged(&mut self.values.random);
        }
        self.request(slot, AUTH, body.bytes);
    }

    /// Sets a limit, from the top down.
    fn quota(&mut self, slot: usize) {
        let below = self.values.one(&["", "/a", "/b", "/a/a"]);
        let target = format!("{ROOT}{below}");
        let mut path = "/zookeeper/quota".to_owned();
        for part in target[1..].split('/') {
            path = format!("{path}/{part}");
            self.create(slot, &path, b"");
        }
        let limits = self.values.one(&[
            "count=3,bytes=-1",
            "count=-1,bytes=10",
            "count=-1,bytes=-1=;byteHardLimit=30;countHardLimit=-1",
            "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=4",
            "count=1,bytes=1=;byteHardLimit=40;countHardLimit=6",
            "count=0,bytes=0=;byteHardLimit=0;countHardLimit=0",
        ]);
        self.create(slot, &format!("{path}/zookeeper_limits"), limits.as_bytes());
        let stats = self.values.one(&["count=0,bytes=0", "count=0,bytes=0", "count=7,bytes=70"]);
        self.create(slot, &format!("{path}/zookeeper_stats"), stats.as_bytes());
    }

    fn create(&mut self, slot: usize, path: &str, data: &[u8]) {
        let open = [(31, Some("world".to_owned()), Some("anyone".to_owned()))];
        let body = Body::default().stretch(Some(path.as_bytes())).stretch(Some(data)).acl(Some(&open)).int(0);
        self.request(slot, Opcode::Create.code(), body.bytes);
    }
}
