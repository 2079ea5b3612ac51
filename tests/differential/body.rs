//! Writes the bodies of requests, remembers where lengths and counts are, and damages bodies.

use ringkeeper::base::Prng;
use ringkeeper::wire::Encode;

/// Stands for a null where a path is drawn.
pub const NULL_PATH: &[u8] = b"\0null";

/// An ACL entry that may hold nulls.
pub type Entry = (i32, Option<String>, Option<String>);

#[derive(Clone, Debug, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// Where lengths and counts stand.
    lengths: Vec<usize>,
}

impl Body {
    pub fn int(mut self, value: i32) -> Body {
        value.encode(&mut self.bytes);
        self
    }

    pub fn long(mut self, value: i64) -> Body {
        value.encode(&mut self.bytes);
        self
    }

    pub fn byte(mut self, value: u8) -> Body {
        self.bytes.push(value);
        self
    }

    /// A path, or null for [`NULL_PATH`].
    pub fn path(self, path: &[u8]) -> Body {
        self.stretch(Some(path).filter(|path| *path != NULL_PATH))
    }

    /// A string or a buffer.
    pub fn stretch(mut self, value: Option<&[u8]>) -> Body {
        self.lengths.push(self.bytes.len());
        value.encode(&mut self.bytes);
        self
    }

    pub fn count(mut self, count: i32) -> Body {
        self.lengths.push(self.bytes.len());
        self.int(count)
    }

    pub fn acl(self, acl: Option<&[Entry]>) -> Body {
        let Some(entries) = acl else { return self.count(-1) };
        let mut body = self.count(i32::try_from(entries.len()).expect("lists are short"));
        for (perms, scheme, id) in entries {
            body = body
                .int(*perms)
                .stretch(scheme.as_ref().map(|text| text.as_bytes()))
                .stretch(id.as_ref().map(|text| text.as_bytes()));
        }
        body
    }

    pub fn strings(self, strings: &[Vec<u8>]) -> Body {
        let mut body = self.count(i32::try_from(strings.len()).expect("lists are short"));
        for string in strings {
            body = body.path(string);
        }
        body
    }

    /// The header of an operation within a multi.
    pub fn operation(self, opcode: i32, err: i32) -> Body {
        self.int(opcode).byte(0).int(err)
    }

    pub fn end(self) -> Body {
        self.int(-1).byte(1).int(-1)
    }

    /// Makes it something that a client should not send: cut off, longer, or with another length in it.
    pub fn damaged(mut self, random: &mut Prng) -> Body {
        match random.below(4) {
            0 => {
                let kept = random.below(self.bytes.len() as u64 + 1) as usize;
                self.bytes.truncate(kept);
            }
            1 => {
                let more = random.below(40) as usize + 1;
                self.bytes.extend((0..more).map(|n| n as u8));
            }
            _ if self.lengths.is_empty() => self.bytes.clear(),
            _ => {
                const LENGTHS: [i32; 12] =
                    [-1, -1, 0, -2, i32::MIN, 1, 2, 5, 100, 70_000, 0x7f_ffff, i32::MAX];
                let at = self.lengths[random.below(self.lengths.len() as u64) as usize];
                let length = LENGTHS[random.below(LENGTHS.len() as u64) as usize];
                self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        self
    }
}
