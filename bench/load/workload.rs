//! What is asked: which operation comes next, on which znode, with which data.
//!
//! Called by `load`, once per request, on the hot path of the generator. Pure; randomness is seeded, so two runs with
//! the same arguments ask the same things. Keys lie 1,000 to a parent under [`ROOT`], so that `--keys 1000000`
//! addresses the very tree which `--preload 1000x1000` makes. Tested: `workload_test.rs`.

use crate::protocol;
use ringkeeper::base::Prng;
use std::io::Write;

/// Every znode which the generator makes lies below this one.
pub const ROOT: &str = "/preload";
/// Children of one parent in the layout of `--keys`.
pub const CHILDREN_PER_PARENT: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Set,
    Create,
}

pub const KINDS: [Kind; 3] = [Kind::Get, Kind::Set, Kind::Create];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Set => "set",
            Kind::Create => "create",
        }
    }
}

/// The operations of a measured load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    Get,
    Set,
    Create,
    /// So many of a thousand are gets, the others sets.
    Mixed {
        gets_per_mille: u16,
    },
}

impl std::str::FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        match text.split_once(':') {
            None if text == "get" => Ok(Mix::Get),
            None if text == "set" => Ok(Mix::Set),
            None if text == "create" => Ok(Mix::Create),
            Some(("mixed", ratio)) => match ratio.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => {
                    Ok(Mix::Mixed { gets_per_mille: (ratio * 1000.0).round() as u16 })
                }
                _ => Err(format!("the share of gets must be between 0 and 1, not {ratio:?}")),
            },
            _ => Err(format!("operation {text:?} is none of get, set, create, mixed:SHARE_OF_GETS")),
        }
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mix::Get => f.write_str("get"),
            Mix::Set => f.write_str("set"),
            Mix::Create => f.write_str("create"),
            Mix::Mixed { gets_per_mille } => write!(f, "mixed:{}", f64::from(*gets_per_mille) / 1000.0),
        }
    }
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
    /// A measured load; never ends.
    Endless(Endless),
}

pub struct Endless {
    pub mix: Mix,
    pub keys: u64,
    pub rng: Prng,
    /// Under which a measured `create` makes its znodes, one parent per session: `<prefix>/s<session>`.
    pub create_prefix: String,
    pub created: u64,
}

/// Writes requests; owns the scratch space which that takes.
pub struct Workload {
    pub source: Source,
    data: Vec<u8>,
    path: Vec<u8>,
}

impl Workload {
    /// `data_bytes`: the size of every znode's data.
    pub fn new(source: Source, data_bytes: usize) -> Workload {
        let data = (0..data_bytes).map(|i| b'a' + (i % 26) as u8).collect();
        Workload { source, data, path: Vec::with_capacity(64) }
    }

    /// Appends the next request of `session` to `out`; nothing where the source has ended. Returns the kind and the
    /// length of the body of a right reply.
    pub fn write_next(&mut self, session: usize, xid: i32, out: &mut Vec<u8>) -> Option<(Kind, u32)> {
        let kind = match &mut self.source {
            Source::Creates(paths) => {
                self.path = paths.next()?;
                Kind::Create
            }
            Source::Endless(endless) => {
                let kind = match endless.mix {
                    Mix::Get => Kind::Get,
                    Mix::Set => Kind::Set,
                    Mix::Create => Kind::Create,
                    Mix::Mixed { gets_per_mille } => {
                        if endless.rng.chance(u64::from(gets_per_mille), 1000) {
                            Kind::Get
                        } else {
                            Kind::Set
                        }
                    }
                };
                self.path.clear();
                if kind == Kind::Create {
                    endless.created += 1;
                    write!(self.path, "{}/s{session:05}/n{:010}", endless.create_prefix, endless.created)
                        .expect("writing to a Vec can't fail");
                } else {
                    let key = endless.rng.below(endless.keys);
                    write_key(&mut self.path, key);
                }
                kind
            }
        };
        let body = match kind {
            Kind::Get => {
                protocol::get_data(out, xid, &self.path);
                4 + self.data.len() + protocol::STAT_BYTES
            }
            Kind::Set => {
                protocol::set_data(out, xid, &self.path, &self.data);
                protocol::STAT_BYTES
            }
            Kind::Create => {
                protocol::create(out, xid, &self.path, &self.data);
                4 + self.path.len()
            }
        };
        Some((kind, body as u32))
    }
}

/// [`child_path`] without the formatting machinery: it is half of the generator's work per request otherwise.
fn write_key(path: &mut Vec<u8>, key: u64) {
    path.extend_from_slice(ROOT.as_bytes());
    path.extend_from_slice(b"/p");
    write_padded(path, key / CHILDREN_PER_PARENT, 4);
    path.extend_from_slice(b"/child-");
    write_padded(path, key % CHILDREN_PER_PARENT, 5);
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
