//! `ringkeeper snapshot dump`: sessions and znodes, a line each, in the order of their paths.

use std::io::Write;
use std::path::PathBuf;

use super::super::progress::Progress;
use super::{End, Told, image};
use crate::admin::date_time;
use crate::base::WallMillis;
use crate::server::Image;
use crate::tree::{Kind, Node};

/// Prints what a snapshot file holds, or a data directory: Apache ZooKeeper's or ours.
///
/// A line per session and per znode. Of a directory it is what a server would start with: the newest snapshot and what was
/// logged behind it.
#[derive(clap::Args, Debug)]
pub struct Dump {
    /// A snapshot file, or the dataDir of a server that is stopped
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,

    /// The data of each znode as well, with what can't be printed escaped
    #[arg(long)]
    pub data: bool,
}

/// What is printed is whole: nothing is, before all was read and verified.
pub fn dump(arguments: &Dump, out: &mut dyn Write, progress: &Progress) -> Result<Told, End> {
    let Dump { path, data } = arguments;
    let mut notes = vec![];
    let image = image::read(path, progress, &mut |note| notes.push(note))?;
    progress.end();
    for (session, timeout) in sorted_sessions(&image) {
        writeln!(out, "session {session} timeout {timeout}")?;
    }
    for node in sorted_nodes(&image) {
        write_node(node, *data, out)?;
    }
    let (store, sessions) = (&image.store, image.sessions.len());
    notes.push(format!(
        "{} znodes, {sessions} sessions, zxid {}, digest {:#x}",
        store.nodes_count(),
        store.newest(),
        store.digest()
    ));
    Ok(Told { line: notes.join("\n"), code: 0 })
}

pub fn sorted_sessions(image: &Image) -> Vec<(crate::base::SessionId, i32)> {
    let mut sessions = image.sessions.clone();
    sessions.sort_unstable_by_key(|(id, _)| *id);
    sessions
}

pub fn sorted_nodes(image: &Image) -> Vec<&Node> {
    let mut nodes: Vec<&Node> = image.store.nodes().collect();
    nodes.sort_unstable_by(|a, b| a.path.bytes().cmp(b.path.bytes()));
    nodes
}

/// On one line, whatever it holds.
pub fn path_of(node: &Node) -> String {
    String::from_utf8_lossy(node.path.bytes()).escape_debug().to_string()
}

fn write_node(node: &Node, with_data: bool, out: &mut dyn Write) -> Result<(), End> {
    let time = |at| date_time(WallMillis(at));
    write!(
        out,
        "{} czxid {:#x} mzxid {:#x} pzxid {:#x} ctime {} mtime {} version {} cversion {} aversion {} children {}{}{} data {}",
        path_of(node),
        node.czxid,
        node.mzxid,
        node.pzxid,
        time(node.ctime),
        time(node.mtime),
        node.version,
        node.stat().cversion,
        node.aversion(),
        node.children_count,
        kind(node),
        acl(node),
        bytes(node)
    )?;
    if with_data && let Some(data) = node.data() {
        write!(out, " {}", data.escape_ascii())?;
    }
    Ok(writeln!(out)?)
}

/// With a blank before it; nothing for persistent nodes.
pub fn kind(node: &Node) -> String {
    match Kind::of(node.owner()) {
        Kind::Persistent => String::new(),
        Kind::Ephemeral(session) => format!(" ephemeral of {session}"),
        Kind::Container => " container".to_owned(),
        Kind::Ttl(ttl) => format!(" ttl {ttl}"),
    }
}

/// With a blank before it; nothing for the open list.
pub fn acl(node: &Node) -> String {
    let Some(entries) = node.acl_entries() else { return String::new() };
    let entries: Vec<String> = entries
        .iter()
        .map(|entry| format!("{}:{}:{}", entry.scheme, entry.id, entry.perms).escape_debug().to_string())
        .collect();
    format!(" acl {}", entries.join(","))
}

pub fn bytes(node: &Node) -> String {
    node.data().map_or_else(|| "null".to_owned(), |data| format!("{} bytes", data.len()))
}
