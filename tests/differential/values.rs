//! Draws the values of fields: paths, data, versions, ACL lists, flags. Mostly such that requests meet each other's znodes.

use ringkeeper::base::Prng;

use crate::body::{Entry, NULL_PATH};
use crate::item::ROOT;

pub struct Values {
    pub random: Prng,
    /// Whether ACLs may name users.
    pub users: bool,
    /// Whether they may name addresses of IPv6.
    pub ip_v6: bool,
    /// How many in a hundred ACL lists close something.
    pub closed_percent: u64,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// `{}`: a znode of the stream.
const ODD_PATHS: &[&str] = &[
    "{}/",
    "{}//x",
    "{}/.",
    "{}/..",
    "{}/./x",
    "{}/../x",
    "{}/.hidden",
    "{}/...",
    "{}/\0",
    "{}/x\0y",
    "{}/\u{1}",
    "{}/\u{1f}",
    "{}/\u{7f}",
    "{}/\u{9f}",
    "{}/\u{a0}",
    "{}/ü",
    "{}/\u{d7ff}",
    "{}/\u{e000}",
    "{}/\u{f8ff}",
    "{}/\u{f900}",
    "{}/\u{ffef}",
    "{}/\u{fff0}",
    "{}/\u{fffd}",
    "{}/\u{1f600}",
    "{}/ ",
    "{}/-",
    "a",
    "a/b",
    "./a",
    "//",
    "/./",
    " ",
    "/zookeeper/",
    "/zookeeper//quota",
];

const SYSTEM_PATHS: &[&str] = &[
    "/",
    "/",
    "",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/zookeeper/nothing",
    "/nothing",
    "/nothing/at/all",
];

pub const DIGEST_ALICE: &str = "alice:AIueg8ag5ALfqeEyKdLnva1Wvi0=";
const DIGEST_BOB: &str = "bob:LcrmCNs/wfVD+i5a5yaz89GyjIM=";

impl Values {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    pub fn percent(&mut self, part: u64) -> bool {
        self.random.chance(part, 100)
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len() as u64) as usize]
    }

    /// One of few: depth 0 to 3 below the root of the stream.
    pub fn znode(&mut self) -> String {
        let mut path = ROOT.to_owned();
        let depth = self.one(&[0, 1, 1, 1, 1, 1, 2, 2, 2, 3]);
        for _ in 0..depth {
            path.push('/');
            path.push_str(self.one(&NAMES));
            if self.percent(8) {
                let number = self.below(8);
                path.push_str(&format!("{number:010}"));
            }
        }
        path
    }

    /// A path for whatever request, valid or not.
    pub fn path(&mut self) -> Vec<u8> {
        match self.below(100) {
            0..88 => self.znode().into_bytes(),
            88 if self.percent(50) => NULL_PATH.to_vec(),
            88..94 => self.one(SYSTEM_PATHS).as_bytes().to_vec(),
            94 => {
                // Not UTF-8: alone, cut off, overlong, a surrogate.
                let broken =
                    self.one(&[&b"\xff"[..], b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f", b"x\x80y"]);
                [self.znode().as_bytes(), b"/", broken].concat()
            }
            95 if self.percent(20) => {
                let length = self.one(&[255, 256, 4096, 70_000]);
                format!("{}/{}", self.znode(), "x".repeat(length)).into_bytes()
            }
            _ => {
                let znode = self.znode();
                self.one(ODD_PATHS).replace("{}", &znode).into_bytes()
            }
        }
    }

    /// For creates: in more than half of them below what is likely there, and often sequential names' stems.
    pub fn new_path(&mut self) -> Vec<u8> {
        if self.percent(3) { [self.znode().as_bytes(), b"/"].concat() } else { self.path() }
    }

    pub fn data(&mut self) -> Option<Vec<u8>> {
        match self.below(20) {
            0 => None,
            1 | 2 => Some(Vec::new()),
            3 => Some(vec![0xab; self.random.below(3000) as usize]),
            _ => {
                let length = self.random.below(24) as usize;
                Some((0..length).map(|_| self.random.below(256) as u8).collect())
            }
        }
    }

    pub fn version(&mut self) -> i32 {
        match self.below(20) {
            0..10 => -1,
            10..18 => self.random.below(4) as i32,
            18 => -2,
            _ => self.one(&[i32::MIN, i32::MAX, 100]),
        }
    }

    fn entry(&mut self) -> Entry {
        let perms = self.one(&[31, 31, 31, 1, 2, 4, 8, 16, 3, 15, 17, 0, 255, -1, i32::MIN]);
        let entry = |scheme: &str, id: &str| (perms, Some(scheme.to_owned()), Some(id.to_owned()));
        if self.users && self.percent(45) {
            let (scheme, id) = self.one(&[
                ("auth", ""),
                ("auth", ""),
                ("auth", "ignored"),
                ("digest", DIGEST_ALICE),
                ("digest", DIGEST_ALICE),
                ("digest", DIGEST_BOB),
                ("digest", "u:h"),
                ("digest", ":h"),
                ("digest", "u:"),
                ("digest", "u"),
                ("digest", ""),
                ("digest", ":"),
                ("digest", "u:a:b"),
                ("digest", "u:a:"),
                ("digest", "u::"),
                ("digest", "ü\u{1f600}:x"),
                ("super", ""),
                ("x509", "CN=alice"),
                ("sasl", "alice"),
            ]);
            return entry(scheme, id);
        }
        match self.below(20) {
            0..6 => entry("world", "anyone"),
            6 => entry("world", self.one(&["", "anybody", "Anyone"])),
            7 => (perms, Some("world".to_owned()), None),
            8 => self.one(&[0, 1, 2]).pipe(|kind| match kind {
                0 => (perms, None, Some("anyone".to_owned())),
                1 => (perms, None, None),
                _ => (perms, Some("ip".to_owned()), None),
            }),
            9 => entry(self.one(&["", "World", "nobody", "ensemble", "host"]), "x"),
            10..15 => entry(
                "ip",
                self.one(&["127.0.0.1", "127.0.0.1", "127.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0", "10.1.2.3"]),
            ),
            15..18 => {
                let id = self.one(&[
                    "127.0.0.1/33",
                    "127.0.0.1/-1",
                    "127.0.0.1/",
                    "127.0.0.1/x",
                    "127.0.0",
                    "127.0.0.1.1",
                    "127.0.0.1.",
                    "256.0.0.1",
                    "localhost",
                    "",
                    "/",
                    "127.0.0.1/8/8",
                    " 127.0.0.1",
                    "127.0.0.01",
                    "::1",
                    "::1/128",
                    "fe80::/10",
                    "::/0",
                    "::g",
                    "::1/129",
                    "127.1",
                    "127.0.0.+1",
                    "1.2.3.4/+8",
                    "1.2.3.4/08",
                    "::ffff:127.0.0.1",
                    "+1.2.3.4",
                    "::",
                    "1::",
                    "1:2:3:4:5:6:7:8",
                    "1:2:3:4:5:6:7::",
                    "1:2:3:4:5:6:7:8::",
                    ":::",
                    "::-1",
                    "fe80::1%lo",
                    "::12345",
                ]);
                entry("ip", if self.ip_v6 || !id.contains(':') { id } else { "127.0.0.1" })
            }
            _ => entry("world", "anyone"),
        }
    }

    /// Entries may be null, and the list itself.
    pub fn acl(&mut self) -> Option<Vec<Entry>> {
        let open = vec![(31, Some("world".to_owned()), Some("anyone".to_owned()))];
        if !self.percent(self.closed_percent) {
            return Some(open);
        }
        match self.below(20) {
            0 => None,
            1 => Some(Vec::new()),
            2..6 => Some(vec![(1, Some("world".to_owned()), Some("anyone".to_owned()))]),
            _ => {
                let count = self.one(&[1, 1, 1, 2, 2, 3, 5]);
                let mut list: Vec<Entry> = (0..count).map(|_| self.entry()).collect();
                if count > 1 && self.percent(30) {
                    list.push(list[0].clone());
                }
                Some(list)
            }
        }
    }
}

/// `value.pipe(f)` is `f(value)`, where a draw has to come before the closure borrows.
trait Pipe: Sized {
    fn pipe<T>(self, f: impl FnOnce(Self) -> T) -> T {
        f(self)
    }
}

impl Pipe for i32 {}
