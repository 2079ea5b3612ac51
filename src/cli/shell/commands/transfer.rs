//! export, import, copy: subtrees as JSON, and from one place to another.
//!
//! ```json
//! {"format": "ringkeeper-subtree-1", "root": "/a", "nodes": [
//!   {"path": "", "data": "text", "acl": [{"scheme": "world", "id": "anyone", "perms": "cdrwa"}]},
//!   {"path": "b", "data": {"base64": "/w=="}, "acl": []}, {"path": "b/c", "data": null, "acl": []}]}
//! ```
//! Paths are relative to the root; parents come before children. An empty or missing ACL is the open one. Ephemerals are
//! left out unless they are asked for, and then become persistent; which nodes are containers or have a TTL no client is
//! told, so that these become persistent, too. Neither reading nor writing happens at one moment: what fails in the middle
//! leaves what was written before, and says how much that is.

use std::io::Read;

use serde_json::{Value, json};

use super::super::super::client::{Client, Created, path};
use super::access::{acl_json, letters, perms_of};
use super::follow::is_within;
use super::nodes::open_acl;
use super::subtree::walk;
use super::{Context, Parsed, Trouble, data_json, from_base64};
use crate::base::SessionId;
use crate::wire::client::CreateMode;
use crate::wire::{ErrorCode, OwnedAcl};

const FORMAT: &str = "ringkeeper-subtree-1";

/// One node, as it is to be made again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    /// Below the root; empty for the root itself.
    path: String,
    data: Option<Vec<u8>>,
    acl: Vec<OwnedAcl>,
}

/// All nodes of a subtree, and how many ephemerals were left out.
fn read(client: &Client, root: &str, ephemerals: bool) -> Result<(Vec<Node>, usize), Trouble> {
    let (mut nodes, mut left_out) = (Vec::new(), 0);
    walk(client, root, usize::MAX, &mut |node| {
        if node.stat.ephemeral_owner != SessionId::NONE && !ephemerals {
            left_out += 1;
            return Ok(());
        }
        let acl = match client.acl(node.path) {
            Ok((acl, _)) => acl,
            Err(failure) if failure.is(ErrorCode::NoNode) && node.depth > 0 => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        if let Some(hidden) = acl.iter().find(|entry| is_hidden(entry)) {
            return Err(Trouble::local(format!(
                "{}: its ACL has {}:{}, of which this session is not shown the digest; addauth as one with all permissions there",
                node.path, hidden.scheme, hidden.id
            )));
        }
        let below = node.path.strip_prefix(root).unwrap_or(node.path).trim_start_matches('/');
        nodes.push(Node { path: below.to_owned(), data: node.data.map(<[u8]>::to_vec), acl });
        Ok(())
    })?;
    Ok((nodes, left_out))
}

/// A digest is shown as `x` to who may not administrate the node: written again, nobody would have that entry's rights.
fn is_hidden(entry: &OwnedAcl) -> bool {
    entry.scheme == "digest" && entry.id.ends_with(":x")
}

fn tell_left_out(context: &Context<'_>, left_out: usize) {
    if left_out > 0 {
        context.console.complain(&format!("{left_out} ephemeral nodes were left out; -e takes them, too"));
    }
}

/// Makes the nodes below `root`; those that are there are refused, or get data and ACL with `update`.
fn write(context: &Context<'_>, root: &str, nodes: &[Node], update: bool) -> Result<(), Trouble> {
    let client = &**context.client;
    for (done, node) in nodes.iter().enumerate() {
        let at = if node.path.is_empty() { root.to_owned() } else { path::join(root, &node.path) };
        let new = Created {
            path: &at,
            data: node.data.as_deref(),
            acl: &node.acl,
            mode: CreateMode::Persistent,
            ttl: 0,
        };
        let made = match client.create(&new) {
            Err(failure) if update && failure.is(ErrorCode::NodeExists) => client
                .set_data(&at, node.data.as_deref().unwrap_or_default(), -1)
                .and_then(|_| client.set_acl(&at, &node.acl, -1))
                .map(drop),
            other => other.map(drop),
        };
        if let Err(failure) = made {
            let hint = if failure.is(ErrorCode::NodeExists) { "; -u updates what is there" } else { "" };
            let mut trouble = Trouble::from(failure);
            let all = nodes.len();
            trouble.message = format!("{} ({done} of {all} nodes were written{hint})", trouble.message);
            return Err(trouble);
        }
    }
    Ok(())
}

pub fn copy(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let source = parsed.argument(1).unwrap_or_default();
    let target = parsed.argument(2).unwrap_or_default();
    if is_within(target, source) {
        return Err(Trouble::usage(format!("{target} is within {source}: the copy would be part of itself")));
    }
    let (nodes, left_out) = read(context.client, source, parsed.has("e"))?;
    write(context, target, &nodes, parsed.has("u"))?;
    tell_left_out(context, left_out);
    told(context, &format!("Copied {} nodes to {target}", nodes.len()), target, nodes.len());
    Ok(())
}

fn told(context: &Context<'_>, text: &str, path: &str, nodes: usize) {
    context.console.note(text);
    context.console.value(&json!({"path": path, "nodes": nodes}));
}

pub fn export(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let root = parsed.argument(1).unwrap_or_default();
    let (nodes, left_out) = read(context.client, root, parsed.has("e"))?;
    let list: Vec<Value> = nodes
        .iter()
        .map(|node| json!({"path": node.path, "data": data_json(node.data.as_deref()), "acl": acl_json(&node.acl)}))
        .collect();
    let lines: Vec<String> = list.iter().map(|node| format!("  {node}")).collect();
    let head = json!(FORMAT);
    let text = format!(
        "{{\"format\": {head}, \"root\": {}, \"nodes\": [\n{}\n]}}\n",
        json!(root),
        lines.join(",\n")
    );
    tell_left_out(context, left_out);
    match parsed.argument(2) {
        None | Some("-") => context.console.raw(text.as_bytes()),
        Some(file) => {
            save(file, &text, parsed.has("f")).map_err(|error| Trouble::local(format!("{file}: {error}")))?;
            told(context, &format!("Exported {} nodes to {file}", nodes.len()), root, nodes.len());
        }
    }
    Ok(())
}

/// Whole or not at all, and over nothing that is there unless that is wanted.
fn save(file: &str, text: &str, over: bool) -> Result<(), String> {
    if !over && std::fs::exists(file).map_err(|error| error.to_string())? {
        return Err("it exists already; -f writes over it".to_owned());
    }
    let partial = format!("{file}.partial");
    std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, file)).map_err(|error| {
        // Half of it on a full disk helps nobody.
        let _ = std::fs::remove_file(&partial);
        error.to_string()
    })
}

pub fn import(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let file = parsed.argument(1).unwrap_or_default();
    let root = parsed.argument(2).unwrap_or_default();
    let wrong = |reason: String| Trouble::local(format!("{file}: {reason}"));
    if file == "-" && !context.one_shot {
        return Err(Trouble::usage(
            "import - reads standard input: that is for `ringkeeper cli import - PATH`",
        ));
    }
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut open| open.read_to_string(&mut text))
    };
    read.map_err(|error| wrong(error.to_string()))?;
    let mut nodes = parse(&text).map_err(wrong)?;
    if parsed.has("o") {
        nodes.iter_mut().for_each(|node| node.acl = open_acl());
    }
    write(context, root, &nodes, parsed.has("u"))?;
    told(context, &format!("Imported {} nodes to {root}", nodes.len()), root, nodes.len());
    Ok(())
}

/// Everything is checked before anything is written.
fn parse(text: &str) -> Result<Vec<Node>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    if document["format"] != FORMAT {
        return Err(format!("no export of a subtree: \"format\" is not {FORMAT:?}"));
    }
    let list = document["nodes"].as_array().ok_or("\"nodes\" is no list")?;
    let nodes: Result<Vec<Node>, String> = list
        .iter()
        .enumerate()
        .map(|(index, value)| node(value).map_err(|reason| format!("node {index}: {reason}")))
        .collect();
    let nodes = nodes?;
    if nodes.first().is_none_or(|node| !node.path.is_empty()) {
        return Err("the first node must be the root, whose path is empty".to_owned());
    }
    Ok(nodes)
}

fn node(value: &Value) -> Result<Node, String> {
    let below = value["path"].as_str().ok_or("\"path\" is no text")?;
    if !below.is_empty() {
        path::validate(&format!("/{below}"))?;
    }
    let data = match &value["data"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => {
            let text =
                other["base64"].as_str().ok_or("\"data\" is neither text, null nor {\"base64\": text}")?;
            Some(from_base64(text).map_err(|error| format!("\"data\": {error}"))?)
        }
    };
    let entries = match &value["acl"] {
        Value::Null => &Vec::new(),
        other => other.as_array().ok_or("\"acl\" is no list")?,
    };
    let entry = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().ok_or(format!("\"acl\": \"{key}\" is no text"));
        let perms = text("perms")?;
        let bits = perms_of(perms)
            .ok_or(format!("\"acl\": perms are letters of {:?}, and not {perms:?}", letters(i32::MAX)))?;
        Ok::<_, String>(OwnedAcl::new(bits, text("scheme")?, text("id")?))
    };
    let acl = entries.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(Node { path: below.to_owned(), data, acl: if acl.is_empty() { open_acl() } else { acl } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acl_whose_digest_was_not_shown_is_known() {
        assert!(is_hidden(&OwnedAcl::new(31, "digest", "user:x")));
        for shown in [OwnedAcl::new(31, "digest", "user:b3hkZ2VzdA=="), OwnedAcl::new(1, "world", "anyone")] {
            assert!(!is_hidden(&shown), "{shown:?}");
        }
    }

    #[test]
    fn an_export_is_read_or_refused_as_a_whole() {
        let text = format!(
            "{{\"format\": \"{FORMAT}\", \"root\": \"/a\", \"nodes\": [{{\"path\": \"\", \"data\": \"x\"}}, \
             {{\"path\": \"b\", \"data\": {{\"base64\": \"/w==\"}}, \"acl\": \
             [{{\"scheme\": \"world\", \"id\": \"anyone\", \"perms\": \"r\"}}]}}]}}"
        );
        let nodes = parse(&text).expect("an export");
        assert_eq!(nodes[0], Node { path: String::new(), data: Some(b"x".to_vec()), acl: open_acl() });
        assert_eq!(nodes[1].data.as_deref(), Some(&b"\xff"[..]));
        assert_eq!(nodes[1].acl, [OwnedAcl::new(1, "world", "anyone")]);
        for (from, to, said) in [
            (FORMAT, "other", "format"),
            ("\"b\"", "\"b/\"", "node 1"),
            ("/w==", "?", "data"),
            ("\"r\"", "\"rx\"", "perms"),
            ("\"path\": \"\"", "\"path\": \"c\"", "first node"),
            ("}]}]}", "", "no JSON"),
        ] {
            let bad = text.replacen(from, to, 1);
            let error = parse(&bad).expect_err(to);
            assert!(error.contains(said) || bad == text, "{error}");
            assert_ne!(bad, text, "{from}");
        }
    }
}
