//! addWatch, removewatches.

use serde_json::json;

use super::super::options::{Spec, flag};
use super::{Context, Parsed, Trouble};
use crate::wire::client::{AddWatchMode, WatcherType};

pub const REMOVE: &[Spec] = &[
    flag("c", "child watcher type"),
    flag("d", "data watcher type"),
    flag("p", "persistent watcher type"),
    flag("r", "persistent recursive watcher type"),
    flag("a", "any watcher type"),
    flag("l", "remove locally when there is no server connection"),
];

pub fn add(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let mode = match parsed.value("m").map(str::to_uppercase).as_deref() {
        None | Some("PERSISTENT_RECURSIVE") => AddWatchMode::PersistentRecursive,
        Some("PERSISTENT") => AddWatchMode::Persistent,
        Some(_) => {
            let usage = super::find("addWatch").map(super::Command::usage).unwrap_or_default();
            return Err(Trouble::usage(usage));
        }
    };
    let path = parsed.argument(1).unwrap_or_default();
    context.client.add_watch(path, mode)?;
    context.console.value(&json!({ "path": path }));
    Ok(())
}

pub fn remove(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let kinds = [
        ("c", WatcherType::Children),
        ("d", WatcherType::Data),
        ("p", WatcherType::Persistent),
        ("r", WatcherType::PersistentRecursive),
    ];
    let kind = kinds.into_iter().find(|(option, _)| parsed.has(option));
    let path = parsed.argument(1).unwrap_or_default();
    context.client.remove_watches(path, kind.map_or(WatcherType::Any, |(_, kind)| kind), parsed.has("l"))?;
    context.console.value(&json!({ "path": path }));
    Ok(())
}
