//! `ringkeeper snapshot diff`: how two trees differ, and their sessions. Exit code 0 equal, 1 different, 2 can't be said.

use std::cmp::Ordering;
use std::io::Write;
use std::path::PathBuf;

use super::super::progress::Progress;
use super::dump::{acl, bytes, kind, path_of, sorted_nodes, sorted_sessions};
use super::{End, Patient, Told, image};
use crate::tree::Node;

const EQUAL: u8 = 0;
const DIFFERENT: u8 = 1;
/// As `diff` has it: for who asks in a script, trouble is not a difference.
const TROUBLE: u8 = 2;

/// Prints how two trees differ: what was added (+), removed (-) and changed (~) from A to B.
///
/// Each of them is a snapshot file or a data directory, Apache ZooKeeper's or ours. Exit code: 0 equal, 1 different, 2 if that
/// can't be said.
#[derive(clap::Args, Debug)]
pub struct Diff {
    /// A snapshot file, or the dataDir of a server that is stopped
    #[arg(value_name = "A")]
    pub a: PathBuf,

    /// Another one
    #[arg(value_name = "B")]
    pub b: PathBuf,
}

pub fn diff(arguments: &Diff, out: &mut dyn Write, progress: &Progress) -> Result<Told, End> {
    let trouble = |end| match end {
        End::Refused(refused) => End::Refused(super::Refused { code: TROUBLE, ..refused }),
        output => output,
    };
    compare(arguments, &mut Patient(out), progress).map_err(trouble)
}

fn compare(arguments: &Diff, out: &mut dyn Write, progress: &Progress) -> Result<Told, End> {
    let mut notes = vec![];
    let mut read = |path| image::read(path, progress, &mut |note| notes.push(note));
    let (a, b) = (read(&arguments.a)?, read(&arguments.b)?);
    progress.end();
    let mut counts = Counts::default();
    let (sessions_a, sessions_b) = (sorted_sessions(&a), sorted_sessions(&b));
    merge(
        &sessions_a,
        &sessions_b,
        |a, b| a.0.cmp(&b.0),
        |found| match found {
            Found::Removed((id, _)) => counts.removed(out, &format!("session {id}")),
            Found::Added((id, timeout)) => counts.added(out, &format!("session {id} timeout {timeout}")),
            Found::Both((_, a), (_, b)) if a == b => Ok(()),
            Found::Both((id, a), (_, b)) => {
                counts.changed(out, &format!("session {id}"), &[format!("timeout {a} -> {b}")])
            }
        },
    )?;
    let (nodes_a, nodes_b) = (sorted_nodes(&a), sorted_nodes(&b));
    merge(
        &nodes_a,
        &nodes_b,
        |a, b| a.path.bytes().cmp(b.path.bytes()),
        |found| match found {
            Found::Removed(node) => counts.removed(out, &path_of(node)),
            Found::Added(node) => counts.added(out, &path_of(node)),
            Found::Both(a, b) => match changes(a, b) {
                changes if changes.is_empty() => Ok(()),
                changes => counts.changed(out, &path_of(a), &changes),
            },
        },
    )?;
    let Counts { added, removed, changed } = counts;
    let (code, verdict) = match added + removed + changed {
        0 => (EQUAL, format!("equal: {} znodes, {} sessions", nodes_a.len(), sessions_a.len())),
        _ => (DIFFERENT, format!("different: {added} added, {removed} removed, {changed} changed")),
    };
    let (from, to) = (a.store.newest(), b.store.newest());
    notes.push(format!("{verdict}; zxid {from} and {to}"));
    Ok(Told { line: notes.join("\n"), code })
}

#[derive(Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
}

impl Counts {
    fn added(&mut self, out: &mut dyn Write, what: &str) -> Result<(), End> {
        self.added += 1;
        Ok(writeln!(out, "+ {what}")?)
    }

    fn removed(&mut self, out: &mut dyn Write, what: &str) -> Result<(), End> {
        self.removed += 1;
        Ok(writeln!(out, "- {what}")?)
    }

    fn changed(&mut self, out: &mut dyn Write, what: &str, changes: &[String]) -> Result<(), End> {
        self.changed += 1;
        Ok(writeln!(out, "~ {what}: {}", changes.join(", "))?)
    }
}

enum Found<T> {
    Removed(T),
    Added(T),
    Both(T, T),
}

/// Both are sorted, and hold nothing twice.
fn merge<T: Copy>(
    a: &[T],
    b: &[T],
    order: impl Fn(&T, &T) -> Ordering,
    mut each: impl FnMut(Found<T>) -> Result<(), End>,
) -> Result<(), End> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let which = match (a.peek(), b.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(x), Some(y)) => order(x, y),
        };
        let x = if which == Ordering::Greater { None } else { a.next() };
        let y = if which == Ordering::Less { None } else { b.next() };
        match (x, y) {
            (Some(x), Some(y)) => each(Found::Both(*x, *y))?,
            (Some(x), None) => each(Found::Removed(*x))?,
            (None, Some(y)) => each(Found::Added(*y))?,
            (None, None) => return Ok(()),
        }
    }
}

/// What is different of a znode that is in both.
fn changes(a: &Node, b: &Node) -> Vec<String> {
    let mut changes = vec![];
    if a.data() != b.data() {
        changes.push(format!("data {} -> {}", bytes(a), bytes(b)));
    }
    let word = |text: String| if text.is_empty() { "none".to_owned() } else { text.trim_start().to_owned() };
    if a.acl_entries() != b.acl_entries() {
        changes.push(format!("{} -> {}", word(acl(a)), word(acl(b))));
    }
    if a.owner() != b.owner() {
        changes.push(format!("{} -> {}", word(kind(a)), word(kind(b))));
    }
    for (name, a, b) in
        [("czxid", a.czxid, b.czxid), ("mzxid", a.mzxid, b.mzxid), ("pzxid", a.pzxid, b.pzxid)]
    {
        if a != b {
            changes.push(format!("{name} {a:#x} -> {b:#x}"));
        }
    }
    let numbers = [
        ("ctime", a.ctime, b.ctime),
        ("mtime", a.mtime, b.mtime),
        ("version", i64::from(a.version), i64::from(b.version)),
        ("cversion", i64::from(a.stat().cversion), i64::from(b.stat().cversion)),
        ("aversion", i64::from(a.aversion()), i64::from(b.aversion())),
        ("children", i64::from(a.children_count), i64::from(b.children_count)),
    ];
    for (name, a, b) in numbers {
        if a != b {
            changes.push(format!("{name} {a} -> {b}"));
        }
    }
    changes
}
