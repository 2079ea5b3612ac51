//! follow, unfollow: the changes of a subtree as they happen, a line each.
//!
//! A thread per followed subtree takes the events from the connection's thread, fetches data if that was wanted, and prints.
//! With `-n`, or as the program's only command, the shell waits for its end; otherwise the shell goes on and the lines
//! appear above what is typed. A lost connection is told of: changes until it is back are not seen.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use jiff::Timestamp;
use serde_json::json;

use super::super::super::client::{Client, Event};
use super::super::console::{BLUE, Console, event_json};
use super::{Context, Parsed, Trouble, data_json, visible};
use crate::io::Clock;
use crate::wire::client::{AddWatchMode, EventType, KeeperState, WatcherType};

/// The subtrees that are followed; shared with the connection's thread, which hands out the events.
#[derive(Clone, Default)]
pub struct Follows(Arc<Mutex<Vec<Followed>>>);

/// The root of a subtree, and who is told of its events.
type Followed = (String, Sender<Event>);

impl Follows {
    /// Hands an event to whom it concerns; whether it was wanted by nobody else, and so needn't be printed as a watch's.
    pub fn take(&self, event: &Event) -> bool {
        let followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = false;
        for (root, sender) in followed.iter() {
            match &event.path {
                Some(path) if !is_within(path, root) => {}
                path => {
                    // A follower that has seen enough doesn't listen any more; the events are its own nevertheless.
                    let _ = sender.send(event.clone());
                    taken |= path.is_some();
                }
            }
        }
        taken
    }

    fn add(&self, root: &str) -> Receiver<Event> {
        let (sender, receiver) = mpsc::channel();
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|(other, _)| other != root);
        followed.push((root.to_owned(), sender));
        receiver
    }

    fn has(&self, root: &str) -> bool {
        let followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followed.iter().any(|(other, _)| other == root)
    }

    fn remove(&self, root: &str) -> bool {
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = followed.len();
        followed.retain(|(other, _)| other != root);
        followed.len() < before
    }
}

/// The root itself is within.
pub fn is_within(path: &str, root: &str) -> bool {
    root == "/" || path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub fn follow(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let root = parsed.argument(1).unwrap_or_default();
    let count = match parsed.value("n").map(str::parse::<u64>) {
        None => None,
        Some(Ok(count)) if count > 0 => Some(count),
        Some(_) => return Err(Trouble::usage("-n argument must be a number of changes, at least 1")),
    };
    let with_data = parsed.has("d");
    let events = context.follows.add(root);
    if let Err(failure) = context.client.add_watch(root, AddWatchMode::PersistentRecursive) {
        context.follows.remove(root);
        return Err(failure.into());
    }
    let (client, console) = (Arc::clone(context.client), Arc::clone(context.console));
    let thread = Builder::new()
        .name("follow".to_owned())
        .spawn(move || tell(&events, &client, &console, with_data, count))
        .map_err(|error| Trouble::local(format!("no thread to follow with: {error}")))?;
    if !context.one_shot && count.is_none() {
        return Ok(());
    }
    let ended_well = thread.join().unwrap_or(false);
    if !ended_well {
        context.follows.remove(root);
        return Err(Trouble::local(format!("{root} can't be followed any more: the session is over")));
    }
    let removed = context.client.remove_watches(root, WatcherType::PersistentRecursive, true);
    context.follows.remove(root);
    Ok(removed?)
}

/// Until enough was seen (true), or nobody sends any more.
fn tell(
    events: &Receiver<Event>,
    client: &Client,
    console: &Console,
    with_data: bool,
    mut left: Option<u64>,
) -> bool {
    while let Ok(event) = events.recv() {
        let Some(path) = &event.path else {
            match event.state {
                KeeperState::Disconnected => {
                    console.complain("connection lost: changes are not seen until it is back");
                }
                KeeperState::SyncConnected | KeeperState::ConnectedReadOnly => {
                    console.complain("connection is back");
                }
                _ => return false,
            }
            continue;
        };
        if matches!(event.kind, EventType::PersistentWatchRemoved) {
            return false;
        }
        let has_data = matches!(event.kind, EventType::NodeCreated | EventType::NodeDataChanged);
        // It may be gone again, or not be ours to read.
        let data = (with_data && has_data).then(|| client.data(path, false).ok()).flatten();
        let now = Clock::now().wall.0;
        if console.is_json() {
            let mut value = event_json(&event);
            value["time"] = now.into();
            if let Some((data, _)) = &data {
                value["data"] = data_json(data.as_deref());
            }
            console.apart(format!("{}\n", json!({ "change": value })));
        } else {
            let kind = format!("{:?}", event.kind);
            let text = data
                .map(|(data, _)| format!(" = {}", visible(data.as_deref().unwrap_or(b"null"))))
                .unwrap_or_default();
            let path = console.painted(BLUE, path);
            let time = Timestamp::from_millisecond(now).unwrap_or_default();
            console.apart(format!("{time:.3} zxid 0x{:x} {kind:<19} {path}{text}\n", event.zxid));
        }
        left = left.map(|left| left - 1);
        if left == Some(0) {
            return true;
        }
        if console.is_gone() {
            return true;
        }
    }
    false
}

pub fn unfollow(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let root = parsed.argument(1).unwrap_or_default();
    if !context.follows.has(root) {
        return Err(Trouble::usage(format!("{root} is not followed")));
    }
    // First the watch: the event of its end is the follower's.
    let removed = context.client.remove_watches(root, WatcherType::PersistentRecursive, true);
    context.follows.remove(root);
    Ok(removed?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_a_subtree() {
        for (path, root, within) in [
            ("/a", "/a", true),
            ("/a/b", "/a", true),
            ("/ab", "/a", false),
            ("/", "/a", false),
            ("/x", "/", true),
        ] {
            assert_eq!(is_within(path, root), within, "{path} in {root}");
        }
    }

    #[test]
    fn events_go_to_whom_they_concern() {
        let follows = Follows::default();
        let events = follows.add("/a");
        let event = |path: Option<&str>| Event {
            kind: EventType::NodeCreated,
            state: KeeperState::SyncConnected,
            path: path.map(str::to_owned),
            zxid: 1,
        };
        assert!(follows.take(&event(Some("/a/b"))));
        assert!(!follows.take(&event(Some("/b"))));
        assert!(!follows.take(&event(None)), "the session's events are everybody's");
        assert_eq!(events.try_iter().count(), 2);
        assert!(follows.remove("/a") && !follows.remove("/a"));
        assert!(events.try_recv().is_err());
    }
}
