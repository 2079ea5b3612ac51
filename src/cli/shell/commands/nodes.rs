//! create, set, delete, deleteall.

use std::collections::VecDeque;

use serde_json::json;

use super::super::super::client::{Created, path};
use super::access::parse_acl;
use super::{Context, Parsed, Trouble, from_base64, stat_text, version};
use crate::wire::client::CreateMode;
use crate::wire::{ErrorCode, OwnedAcl};

/// Of a TTL node, in milliseconds: 40 bits of an ephemeral owner.
const TTL_MAX: i64 = 0xff_ffff_ffff;
/// deleteall's batches, unless `-b` says otherwise.
const BATCH: i32 = 1000;

/// Everybody may do everything.
pub fn open_acl() -> Vec<OwnedAcl> {
    vec![OwnedAcl::new(crate::wire::acl::perms::ALL, "world", "anyone")]
}

pub fn create(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let (ephemeral, sequential, container) = (parsed.has("e"), parsed.has("s"), parsed.has("c"));
    if container && (ephemeral || sequential) {
        return Err(Trouble::usage(
            "-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.",
        ));
    }
    let ttl = parsed.value("t").map(|text| text.parse::<i64>());
    let Ok(ttl) = ttl.transpose() else { return Err(Trouble::usage("-t argument must be a long value")) };
    if ttl.is_some() && ephemeral {
        return Err(Trouble::usage("TTLs cannot be used with Ephemeral znodes"));
    }
    if ttl.is_some() && container {
        return Err(Trouble::usage("TTLs cannot be used with Container znodes"));
    }
    if ttl.is_some_and(|ttl| !(1..=TTL_MAX).contains(&ttl)) {
        let message = format!("ttl must be positive and cannot be larger than: {TTL_MAX}");
        return Err(Trouble::usage(message));
    }
    let mode = match (ephemeral, sequential, container, ttl.is_some()) {
        (true, true, ..) => CreateMode::EphemeralSequential,
        (true, false, ..) => CreateMode::Ephemeral,
        (_, true, _, true) => CreateMode::PersistentSequentialWithTtl,
        (_, true, _, false) => CreateMode::PersistentSequential,
        (_, _, true, _) => CreateMode::Container,
        (.., true) => CreateMode::PersistentWithTtl,
        (.., false) => CreateMode::Persistent,
    };
    let path = parsed.argument(1).unwrap_or_default();
    let acl = match parsed.argument(3) {
        Some(text) => parse_acl(text, context.console),
        None => open_acl(),
    };
    let data = parsed.argument(2).map(str::as_bytes);
    let new = Created { path, data, acl: &acl, mode, ttl: ttl.unwrap_or(0) };
    match context.client.create(&new) {
        Ok(path) => {
            *context.has_ephemerals |= ephemeral;
            context.console.note(&format!("Created {path}"));
            context.console.value(&json!({ "created": path }));
            Ok(())
        }
        Err(failure) => {
            if failure.is(ErrorCode::EphemeralOnLocalSession) {
                context.console.note("Unable to create ephemeral node on a local session");
            } else if failure.is(ErrorCode::InvalidACL) {
                context.console.note(&failure.exception_text());
            }
            Err(failure.into())
        }
    }
}

pub fn set(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let text = parsed.argument(2).unwrap_or_default();
    let data = if parsed.has("b") {
        from_base64(text).map_err(|error| Trouble::usage(format!("-b takes data in base64: {error}")))?
    } else {
        text.as_bytes().to_vec()
    };
    let stat = context.client.set_data(path, &data, version(parsed)?)?;
    if parsed.has("s") {
        context.stat(&stat);
    }
    context.console.value(&json!({"path": path, "stat": stat_text::json(&stat)}));
    Ok(())
}

pub fn delete(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    context.client.delete(path, version(parsed)?)?;
    context.console.value(&json!({ "deleted": path }));
    Ok(())
}

pub fn delete_all(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let batch = parsed.value("b").map_or(Ok(BATCH), str::parse);
    let Ok(batch) = batch else { return Err(Trouble::usage("-b argument must be an int value")) };
    let root = parsed.argument(1).unwrap_or_default();
    // Parents before children, level by level: deleted from the end.
    let mut tree = vec![root.to_owned()];
    let mut queue = VecDeque::from([root.to_owned()]);
    while let Some(node) = queue.pop_front() {
        let (names, _) = context.client.children(&node, false)?;
        for name in names {
            let child = path::join(&node, &name);
            tree.push(child.clone());
            queue.push_back(child);
        }
    }
    tree.reverse();
    let count = tree.len();
    let Some(batch) = usize::try_from(batch).ok().filter(|batch| *batch > 0) else {
        for node in &tree {
            context.client.delete(node, -1)?;
        }
        context.console.value(&json!({ "deleted": root, "nodes": count }));
        return Ok(());
    };
    for nodes in tree.chunks(batch) {
        // Lost connections are failures like any other here, as in Apache's shell.
        if !context.client.delete_all_of(nodes).unwrap_or(false) {
            context.console.complain("Failed to delete some node(s) in the subtree!");
            context.console.value(&json!({ "deleted": null, "path": root }));
            return Ok(());
        }
    }
    context.console.value(&json!({ "deleted": root, "nodes": count }));
    Ok(())
}
