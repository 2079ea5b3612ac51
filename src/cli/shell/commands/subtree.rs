//! tree and grep: looking through a subtree.
//!
//! A subtree is read node by node and not at one moment: what vanishes meanwhile is passed over, what appears may be missed.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::json;

use super::super::super::client::{Client, Failure, path};
use super::super::console::BLUE;
use super::{Context, Parsed, Trouble, data_json, visible};
use crate::base::SessionId;
use crate::wire::{ErrorCode, Stat};

/// One node of a walk.
pub struct Visited<'a> {
    pub path: &'a str,
    /// The root is 0 levels deep.
    pub depth: usize,
    /// Whether each ancestor below the root, and the node itself, is the last of its siblings.
    lasts: &'a [bool],
    pub data: Option<&'a [u8]>,
    pub stat: Stat,
}

/// Parents before children, siblings in order, down to `levels`. Ends at the first node that can't be read.
pub fn walk(
    client: &Client,
    root: &str,
    levels: usize,
    each: &mut dyn FnMut(&Visited<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    walk_around(client, root, levels, each, &mut |_, failure| Err(failure.into()))
}

/// A node below the root that may not be read.
struct Closed<'a> {
    path: &'a str,
    lasts: &'a [bool],
}

/// As [`walk`]; but whether it goes on beside a node without the permission to read it says `closed`.
fn walk_around(
    client: &Client,
    root: &str,
    levels: usize,
    each: &mut dyn FnMut(&Visited<'_>) -> Result<(), Trouble>,
    closed: &mut dyn FnMut(&Closed<'_>, Failure) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    // The next one last.
    let mut open: Vec<(String, Vec<bool>)> = vec![(root.to_owned(), Vec::new())];
    while let Some((path, lasts)) = open.pop() {
        let depth = lasts.len();
        let gone = |failure: &Failure| depth > 0 && failure.is(ErrorCode::NoNode);
        let (data, stat) = match client.data(&path, false) {
            Ok(found) => found,
            Err(failure) if gone(&failure) => continue,
            Err(failure) if depth > 0 && failure.is(ErrorCode::NoAuth) => {
                closed(&Closed { path: &path, lasts: &lasts }, failure)?;
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        each(&Visited { path: &path, depth, lasts: &lasts, data: data.as_deref(), stat })?;
        if depth == levels || stat.num_children == 0 {
            continue;
        }
        let names = match client.children(&path, false) {
            Ok((names, _)) => names,
            Err(failure) if gone(&failure) => continue,
            Err(failure) => return Err(failure.into()),
        };
        let last = names.len().saturating_sub(1);
        for (index, name) in names.iter().enumerate().rev() {
            let mut lasts = lasts.clone();
            lasts.push(index == last);
            open.push((path::join(&path, name), lasts));
        }
    }
    Ok(())
}

pub fn tree(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let levels = match parsed.value("L").map(str::parse::<usize>) {
        None => usize::MAX,
        Some(Ok(levels)) => levels,
        Some(Err(_)) => return Err(Trouble::usage("-L argument must be a number of levels")),
    };
    let (console, with_stats) = (context.console, parsed.has("s"));
    let root = parsed.argument(1).unwrap_or_default();
    let (mut count, mut unread): (u64, u64) = (0, 0);
    let mut draw = |node: &Visited<'_>| {
        count += 1;
        console.value(&json!({
            "path": node.path,
            "depth": node.depth,
            "bytes": node.stat.data_length,
            "version": node.stat.version,
            "ephemeral": node.stat.ephemeral_owner != SessionId::NONE,
            "children": node.stat.num_children,
        }));
        let name =
            if node.depth == 0 { node.path } else { node.path.rsplit('/').next().unwrap_or(node.path) };
        let facts = if with_stats { facts(&node.stat) } else { String::new() };
        console.line(&format!("{}{}{facts}", branches(node.lasts), console.painted(BLUE, name)));
        if console.is_gone() { Err(Trouble::nothing_found()) } else { Ok(()) }
    };
    let mut draw_closed = |node: &Closed<'_>, failure: Failure| {
        unread += 1;
        console.value(&json!({"path": node.path, "depth": node.lasts.len(), "error": failure.name()}));
        let name = node.path.rsplit('/').next().unwrap_or(node.path);
        console.line(&format!("{}{} (may not be read)", branches(node.lasts), console.painted(BLUE, name)));
        if console.is_gone() { Err(Trouble::nothing_found()) } else { Ok(()) }
    };
    walk_around(context.client, root, levels, &mut draw, &mut draw_closed)?;
    console.line(&format!("\n{}", nodes(count)));
    match unread {
        0 => Ok(()),
        unread => Err(Trouble::denied(format!("{} may not be read, nor what is below", nodes(unread)))),
    }
}

fn nodes(count: u64) -> String {
    format!("{count} {}", if count == 1 { "node" } else { "nodes" })
}

/// What stands before a name: the branches of the tree.
fn branches(lasts: &[bool]) -> String {
    let Some((last, above)) = lasts.split_last() else { return String::new() };
    let mut text: String = above.iter().map(|last| if *last { "    " } else { "│   " }).collect();
    text.push_str(if *last { "└── " } else { "├── " });
    text
}

fn facts(stat: &Stat) -> String {
    let owner = match stat.ephemeral_owner {
        SessionId::NONE => String::new(),
        owner => format!(", ephemeral of {owner}"),
    };
    format!(" ({} B, version {}{owner})", stat.data_length, stat.version)
}

pub fn grep(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let pattern = parsed.argument(1).unwrap_or_default();
    let root = parsed.argument(2).unwrap_or_default();
    let wanted = RegexBuilder::new(pattern)
        .case_insensitive(parsed.has("i"))
        .build()
        .map_err(|error| Trouble::usage(format!("{pattern:?} is no regular expression: {error}")))?;
    let (names, paths_only) = (parsed.has("k"), parsed.has("l"));
    let console = context.console;
    let (mut found, mut complete) = (false, true);
    let mut look = |node: &Visited<'_>| {
        if names {
            let name = node.path.rsplit('/').next().unwrap_or(node.path);
            if wanted.is_match(name.as_bytes()) {
                found = true;
                console.line(node.path);
                console.value(&json!({ "path": node.path }));
            }
            return if console.is_gone() { Err(Trouble::nothing_found()) } else { Ok(()) };
        }
        let matching = matching_lines(&wanted, node.data.unwrap_or_default());
        found |= !matching.is_empty();
        for line in &matching {
            if paths_only {
                console.line(node.path);
                console.value(&json!({ "path": node.path }));
                break;
            }
            let path = console.painted(BLUE, node.path);
            console.line(&format!("{path}: {}", visible(line)));
            console.value(&json!({"path": node.path, "line": data_json(Some(line))}));
        }
        if console.is_gone() { Err(Trouble::nothing_found()) } else { Ok(()) }
    };
    let mut pass = |node: &Closed<'_>, failure: Failure| {
        complete = false;
        console.failure(failure.name(), Some(node.path), &failure.to_string());
        Ok(())
    };
    walk_around(context.client, root, usize::MAX, &mut look, &mut pass)?;
    if found && complete { Ok(()) } else { Err(Trouble::nothing_found()) }
}

fn matching_lines<'a>(wanted: &Regex, data: &'a [u8]) -> Vec<&'a [u8]> {
    data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && wanted.is_match(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_moves_no_cursor() {
        assert_eq!(visible("grün\x1b[2J\n".as_bytes()), "grün\\u{1b}[2J\\n");
    }

    #[test]
    fn branches_of_a_tree() {
        assert_eq!(branches(&[]), "");
        assert_eq!(branches(&[false]), "├── ");
        assert_eq!(branches(&[true, false, true]), "    │   └── ");
    }

    #[test]
    fn lines_that_match_even_where_data_is_no_text() {
        let wanted = Regex::new("o$").expect("a pattern");
        assert_eq!(matching_lines(&wanted, b"one\ntwo\n\xffo\n"), [&b"two"[..], b"\xffo"]);
        assert_eq!(matching_lines(&wanted, b""), [&b""[..]; 0]);
    }
}
