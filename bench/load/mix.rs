//! Which operation comes next: one, or a mix by ratio.
//!
//! Called by `arguments` (parsing) and `workload` (drawing, once per operation). Pure. Tested: `mix_test.rs`.

use crate::base::Prng;
use std::fmt;

/// What a session can be made to do. The last three take several requests each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Get,
    Exists,
    Children,
    Set,
    Create,
    /// Of the oldest znode that its session made; where there is none, a create takes its place.
    Delete,
    /// Several sets in one transaction.
    Multi,
    /// An ephemeral znode comes and goes.
    Ephemeral,
    /// The lock recipe: taken, and given back.
    Lock,
    /// The queue recipe: one item put, one taken.
    Queue,
}

const OPS: [(Op, &str); 10] = [
    (Op::Get, "get"),
    (Op::Exists, "exists"),
    (Op::Children, "getChildren"),
    (Op::Set, "set"),
    (Op::Create, "create"),
    (Op::Delete, "delete"),
    (Op::Multi, "multi"),
    (Op::Ephemeral, "ephemeral"),
    (Op::Lock, "lock"),
    (Op::Queue, "queue"),
];

impl std::str::FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Op, String> {
        let found = OPS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(op, _)| *op).ok_or_else(|| format!("{text:?} is none of {}", names()))
    }
}

fn names() -> String {
    OPS.map(|(_, name)| name).join(", ")
}

/// Operations and their shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// As it was typed.
    name: String,
    /// Each operation with the end of its part of 0 to 2^32.
    parts: Vec<(u64, Op)>,
}

const WHOLE: f64 = 4_294_967_296.0;

impl Mix {
    pub fn only(op: Op) -> Mix {
        let name = OPS.iter().find(|(known, _)| *known == op).map_or("", |(_, name)| name);
        Mix { name: name.to_owned(), parts: vec![(WHOLE as u64, op)] }
    }

    fn of(name: &str, shares: &[(Op, f64)]) -> Mix {
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        let mut end = 0.0;
        let mut parts: Vec<(u64, Op)> = shares
            .iter()
            .filter(|(_, share)| *share > 0.0)
            .map(|(op, share)| {
                end += share / sum * WHOLE;
                (end as u64, *op)
            })
            .collect();
        // Whatever rounding left over.
        if let Some(last) = parts.last_mut() {
            last.0 = WHOLE as u64;
        }
        Mix { name: name.to_owned(), parts }
    }

    /// What it consists of, if that is one operation.
    pub fn single(&self) -> Option<Op> {
        if let [(_, only)] = self.parts[..] { Some(only) } else { None }
    }

    pub fn draw(&self, rng: &mut Prng) -> Op {
        if let Some(only) = self.single() {
            return only;
        }
        let at = rng.next() >> 32;
        let (_, op) = self.parts.iter().find(|(end, _)| at < *end).expect("the last part ends at 2^32");
        *op
    }

    pub fn has(&self, ops: &[Op]) -> bool {
        self.parts.iter().any(|(_, op)| ops.contains(op))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// `get=90,set=8,create=1`: numbers are shares of their sum.
pub fn parse_mix(text: &str) -> Result<Mix, String> {
    let mut shares: Vec<(Op, f64)> = Vec::new();
    for part in text.split(',') {
        let Some((name, share)) = part.split_once('=') else {
            return Err(format!("{part:?} is no OP=SHARE, as in get=90,set=10"));
        };
        let op: Op = name.trim().parse()?;
        let share = share.trim().parse::<f64>().ok().filter(|share| (0.0..=1e9).contains(share));
        let share =
            share.ok_or_else(|| format!("the share of {name} must be a number from 0 on: {part:?}"))?;
        if shares.iter().any(|(known, _)| *known == op) {
            return Err(format!("{name} has two shares"));
        }
        shares.push((op, share));
    }
    if shares.iter().all(|(_, share)| *share == 0.0) {
        return Err("all shares are 0".to_owned());
    }
    Ok(Mix::of(text, &shares))
}

/// What a measured load does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    Mix(Mix),
    /// One znode that all sessions watch is changed; measured is when each of them is told.
    Watch,
    /// Sessions are opened and closed without pause.
    Connect,
}

impl std::str::FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Work, String> {
        if let Some(ratio) = text.strip_prefix("mixed:") {
            let gets = ratio.parse::<f64>().ok().filter(|gets| (0.0..=1.0).contains(gets));
            let gets =
                gets.ok_or_else(|| format!("the share of gets must be between 0 and 1, not {ratio:?}"))?;
            return Ok(Work::Mix(Mix::of(text, &[(Op::Get, gets), (Op::Set, 1.0 - gets)])));
        }
        match text {
            "watch" => Ok(Work::Watch),
            "connect" => Ok(Work::Connect),
            _ => match text.parse::<Op>() {
                Ok(op) => Ok(Work::Mix(Mix::only(op))),
                Err(_) => Err(format!(
                    "operation {text:?} is none of {}, watch, connect, mixed:SHARE_OF_GETS; for others together see --mix",
                    names()
                )),
            },
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Mix(mix) => mix.fmt(f),
            Work::Watch => f.write_str("watch"),
            Work::Connect => f.write_str("connect"),
        }
    }
}

#[cfg(test)]
#[path = "mix_test.rs"]
mod tests;
