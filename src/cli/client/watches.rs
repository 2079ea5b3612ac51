//! The watches that a session has, as its client must know them: to restore them on another server, and to say which of
//! them an event ends.
//!
//! Paths are the caller's, without the chroot. Source: Java's `ZKWatchManager`.

use std::collections::BTreeSet;

use crate::wire::ErrorCode;
use crate::wire::client::{EventType, WatcherType};

/// What is watched. Data and exist watches differ only in what the server does when they are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

#[derive(Clone, Debug, Default)]
pub struct Watches {
    all: BTreeSet<(Kind, String)>,
}

impl Watches {
    /// What a reply makes of the watch that was asked for with the request.
    pub fn on_reply(&mut self, kind: Kind, path: String, err: i32) {
        let missing = err == ErrorCode::NoNode.code();
        match kind {
            // Restored as an exist watch, it would be told at once that its node was created.
            Kind::Exist if err == 0 => self.all.insert((Kind::Data, path)),
            Kind::Exist if missing => self.all.insert((Kind::Exist, path)),
            _ if err == 0 => self.all.insert((kind, path)),
            _ => false,
        };
    }

    /// Whether somebody waits for this event; those watches that fire once are gone afterwards.
    pub fn on_event(&mut self, event: EventType, path: &str) -> bool {
        let once: &[Kind] = match event {
            EventType::NodeCreated | EventType::NodeDataChanged => &[Kind::Data, Kind::Exist],
            EventType::NodeChildrenChanged => &[Kind::Child],
            EventType::NodeDeleted => &[Kind::Data, Kind::Exist, Kind::Child],
            _ => &[],
        };
        let mut wanted = false;
        for kind in once {
            wanted |= self.all.remove(&(*kind, path.to_owned()));
        }
        wanted |= self.has(Kind::Persistent, path);
        // A recursive watch sees each descendant's own birth and death, so it isn't told of its parent's children.
        wanted | (event != EventType::NodeChildrenChanged && self.has_recursive_above(path))
    }

    fn has(&self, kind: Kind, path: &str) -> bool {
        self.all.contains(&(kind, path.to_owned()))
    }

    fn has_recursive_above(&self, path: &str) -> bool {
        let mut above = path;
        loop {
            if self.has(Kind::Recursive, above) {
                return true;
            }
            match above.rfind('/') {
                _ if above == "/" => return false,
                Some(0) => above = "/",
                Some(at) => above = &above[..at],
                None => return false,
            }
        }
    }

    /// Takes away the watches of one path; says which events tell of it, and nothing if there was no such watch.
    pub fn remove(&mut self, path: &str, kind: WatcherType) -> Vec<EventType> {
        let any = kind == WatcherType::Any;
        let mut told = Vec::new();
        for (ours, wanted, event) in [
            (Kind::Child, any || kind == WatcherType::Children, EventType::ChildWatchRemoved),
            (Kind::Data, any || kind == WatcherType::Data, EventType::DataWatchRemoved),
            (Kind::Exist, any || kind == WatcherType::Data, EventType::DataWatchRemoved),
            (Kind::Persistent, any || kind == WatcherType::Persistent, EventType::PersistentWatchRemoved),
            (
                Kind::Recursive,
                any || kind == WatcherType::PersistentRecursive,
                EventType::PersistentWatchRemoved,
            ),
        ] {
            if wanted && self.all.remove(&(ours, path.to_owned())) && !told.contains(&event) {
                told.push(event);
            }
        }
        told
    }

    /// Kind by kind.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.all.iter().map(|(kind, path)| (*kind, path.as_str()))
    }

    pub fn clear(&mut self) {
        self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watches(list: &[(Kind, &str)]) -> Watches {
        let mut watches = Watches::default();
        for (kind, path) in list {
            watches.on_reply(*kind, (*path).to_owned(), 0);
        }
        watches
    }

    #[test]
    fn a_watch_that_fires_once_is_gone_and_a_persistent_one_stays() {
        let mut some = watches(&[(Kind::Data, "/a"), (Kind::Child, "/a"), (Kind::Persistent, "/p")]);
        assert!(some.on_event(EventType::NodeDataChanged, "/a"));
        assert!(!some.on_event(EventType::NodeDataChanged, "/a"));
        assert!(some.on_event(EventType::NodeDeleted, "/a"), "the child watch");
        assert!(!some.on_event(EventType::NodeDeleted, "/a"));
        for _ in 0..2 {
            assert!(some.on_event(EventType::NodeChildrenChanged, "/p"));
        }
        assert!(!some.on_event(EventType::NodeDataChanged, "/p/q"));
    }

    #[test]
    fn a_recursive_watch_sees_descendants_and_no_changes_of_children() {
        let mut some = watches(&[(Kind::Recursive, "/r")]);
        assert!(some.on_event(EventType::NodeCreated, "/r/a/b"));
        assert!(some.on_event(EventType::NodeDataChanged, "/r"));
        assert!(!some.on_event(EventType::NodeChildrenChanged, "/r"));
        assert!(!some.on_event(EventType::NodeCreated, "/ra"));
        let mut root = watches(&[(Kind::Recursive, "/")]);
        assert!(root.on_event(EventType::NodeCreated, "/x"));
    }

    #[test]
    fn only_exists_may_watch_what_is_not_there() {
        let mut some = Watches::default();
        let missing = ErrorCode::NoNode.code();
        some.on_reply(Kind::Data, "/a".to_owned(), missing);
        some.on_reply(Kind::Exist, "/b".to_owned(), missing);
        some.on_reply(Kind::Exist, "/c".to_owned(), ErrorCode::NoAuth.code());
        assert_eq!(some.iter().collect::<Vec<_>>(), [(Kind::Exist, "/b")]);
        assert!(some.on_event(EventType::NodeCreated, "/b"));
    }

    #[test]
    fn removal_tells_once_per_sort() {
        let mut some = watches(&[(Kind::Data, "/a"), (Kind::Child, "/a"), (Kind::Recursive, "/a")]);
        some.on_reply(Kind::Exist, "/a".to_owned(), ErrorCode::NoNode.code());
        assert_eq!(some.remove("/a", WatcherType::Data), [EventType::DataWatchRemoved]);
        assert_eq!(some.remove("/a", WatcherType::Data), []);
        assert_eq!(some.remove("/a", WatcherType::Persistent), []);
        assert_eq!(
            some.remove("/a", WatcherType::Any),
            [EventType::ChildWatchRemoved, EventType::PersistentWatchRemoved]
        );
        assert_eq!(some.iter().count(), 0);
    }
}
