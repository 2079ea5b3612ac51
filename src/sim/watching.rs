//! The watches of one connection as the specification has them (client-protocol.md §12): which events are due, in which
//! order, and which come back when the client does.
//!
//! Driven along the log: everything up to a zxid is gone through before anything is registered at it, as the server does.

use std::collections::{BTreeMap, VecDeque};

use crate::base::Zxid;
use crate::wire::client::{EventType, WatcherType};

use super::history::History;
use super::identity::{self, Acl};
use super::model::{self, Change, Event};
use super::operation::Watched;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Data,
    Child,
}

/// The ways in which a path is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modes {
    /// Once. For the data table: was the node missing?
    standard: Option<bool>,
    persistent: bool,
    recursive: bool,
}

impl Modes {
    fn is_none(self) -> bool {
        self == Modes::default()
    }
}

/// An event that the client must get, or may: whether it could read the node when that changed can't always be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub zxid: Zxid,
    pub kind: EventType,
    pub path: Vec<u8>,
    pub certain: bool,
}

/// An identity, and when the server came to know it: behind `after`, and not behind `by`.
#[derive(Clone, Debug)]
struct Shown {
    digest: String,
    after: Zxid,
    by: Zxid,
    answered: bool,
}

#[derive(Debug, Default)]
pub struct Watching {
    places: BTreeMap<(Table, Vec<u8>), Modes>,
    shown: Vec<Shown>,
    /// Everything up to here was gone through.
    scanned: Zxid,
    due: VecDeque<Due>,
}

impl Watching {
    pub fn new(scanned: Zxid) -> Watching {
        Watching { scanned, ..Watching::default() }
    }

    /// An auth packet was sent when the client had been told of `told`.
    pub fn on_auth_sent(&mut self, digest: &str, told: Zxid) {
        if !self.shown.iter().any(|shown| shown.digest == digest) {
            let digest = digest.to_owned();
            self.shown.push(Shown { digest, after: told, by: Zxid(i64::MAX), answered: false });
        }
    }

    pub fn on_auth_answered(&mut self) {
        self.shown.iter_mut().for_each(|shown| shown.answered = true);
    }

    /// The digests shown so far.
    pub fn users(&self) -> Vec<String> {
        self.shown.iter().map(|shown| shown.digest.clone()).collect()
    }

    /// A reply with this zxid came: what was answered before it was known by then.
    pub fn on_stamp(&mut self, zxid: Zxid) {
        for shown in self.shown.iter_mut().filter(|shown| shown.answered) {
            shown.by = shown.by.min(zxid);
        }
    }

    /// Goes through the log up to `to`.
    pub fn advance(&mut self, history: &History, to: Zxid) {
        while self.scanned < to {
            self.scanned = self.scanned.next();
            if self.places.is_empty() {
                self.scanned = to;
                return;
            }
            for change in history.model.changes(self.scanned) {
                self.trigger(self.scanned, change);
            }
        }
    }

    fn trigger(&mut self, zxid: Zxid, change: &Change) {
        let path = &change.path;
        let kind = match change.event {
            Event::Created => EventType::NodeCreated,
            Event::Changed => EventType::NodeDataChanged,
            Event::Deleted => EventType::NodeDeleted,
        };
        let mut reached = self.use_up(Table::Data, path);
        reached |= self.is_below_a_recursive_one(path);
        if change.event == Event::Deleted {
            reached |= self.use_up(Table::Child, path);
        }
        if reached {
            self.owe(zxid, kind, path, &change.acl);
        }
        if change.event != Event::Changed && path != b"/" {
            let parent = model::parent(path).to_vec();
            if self.use_up(Table::Child, &parent) {
                self.owe(zxid, EventType::NodeChildrenChanged, &parent, &change.parent_acl);
            }
        }
    }

    /// Is there a watch at this very path? One that fires once is gone then.
    fn use_up(&mut self, table: Table, path: &[u8]) -> bool {
        let key = (table, path.to_vec());
        let Some(modes) = self.places.get_mut(&key) else { return false };
        modes.standard = None;
        if modes.is_none() {
            self.places.remove(&key);
        }
        true
    }

    fn is_below_a_recursive_one(&self, path: &[u8]) -> bool {
        let is_recursive =
            |path: &[u8]| self.places.get(&(Table::Data, path.to_vec())).is_some_and(|modes| modes.recursive);
        let mut path = path;
        while path != b"/" {
            path = model::parent(path);
            if is_recursive(path) {
                return true;
            }
        }
        false
    }

    fn owe(&mut self, zxid: Zxid, kind: EventType, path: &[u8], acl: &Acl) {
        let users = |known: &dyn Fn(&Shown) -> bool| -> Vec<String> {
            self.shown.iter().filter(|shown| known(shown)).map(|shown| shown.digest.clone()).collect()
        };
        let certainly = identity::may(acl, identity::READ, &users(&|shown| shown.by < zxid));
        let perhaps = identity::may(acl, identity::READ, &users(&|shown| shown.after < zxid));
        if certainly || perhaps {
            self.due.push_back(Due { zxid, kind, path: path.to_vec(), certain: certainly });
        }
    }

    /// The first event up to `to` that must have come by now and has not. What merely could have come is forgotten.
    pub fn missing(&mut self, to: Zxid) -> Option<Due> {
        while let Some(due) = self.due.front().filter(|due| due.zxid <= to) {
            if due.certain {
                return Some(due.clone());
            }
            self.due.pop_front();
        }
        None
    }

    /// An event came. True if it is the next one that is due.
    pub fn take(&mut self, zxid: Zxid, kind: EventType, path: &[u8]) -> bool {
        while let Some(due) = self.due.pop_front() {
            if due.zxid == zxid && due.kind == kind && due.path == path {
                return true;
            }
            if due.certain {
                self.due.push_front(due);
                return false;
            }
        }
        false
    }

    /// The next certain one, for a message.
    pub fn next_due(&self) -> Option<&Due> {
        self.due.front()
    }

    fn add(&mut self, table: Table, path: &[u8], mode: impl Fn(&mut Modes)) {
        mode(self.places.entry((table, path.to_vec())).or_default());
    }

    pub fn add_standard(&mut self, table: Table, path: &[u8], was_missing: bool) {
        self.add(table, path, |modes| modes.standard = Some(was_missing));
    }

    pub fn add_persistent(&mut self, path: &[u8]) {
        self.add(Table::Data, path, |modes| modes.persistent = true);
        self.add(Table::Child, path, |modes| modes.persistent = true);
    }

    pub fn add_recursive(&mut self, path: &[u8]) {
        self.add(Table::Data, path, |modes| modes.recursive = true);
    }

    /// Is there a watch of this kind?
    pub fn has(&self, path: &[u8], kind: WatcherType) -> bool {
        let at = |table| self.places.get(&(table, path.to_vec())).copied().unwrap_or_default();
        let (data, child) = (at(Table::Data), at(Table::Child));
        match kind {
            WatcherType::Children => child.standard.is_some(),
            WatcherType::Data => data.standard.is_some(),
            WatcherType::Any => !data.is_none() || !child.is_none(),
            WatcherType::Persistent => data.persistent || child.persistent,
            WatcherType::PersistentRecursive => data.recursive,
        }
    }

    /// Takes watches of this kind away.
    pub fn remove(&mut self, path: &[u8], kind: WatcherType) {
        for table in [Table::Data, Table::Child] {
            let key = (table, path.to_vec());
            let Some(modes) = self.places.get_mut(&key) else { continue };
            match (kind, table) {
                (WatcherType::Any, _) => *modes = Modes::default(),
                (WatcherType::Children, Table::Child) | (WatcherType::Data, Table::Data) => {
                    modes.standard = None;
                }
                (WatcherType::Persistent, _) => modes.persistent = false,
                (WatcherType::PersistentRecursive, _) => modes.recursive = false,
                (WatcherType::Children, Table::Data) | (WatcherType::Data, Table::Child) => {}
            }
            if modes.is_none() {
                self.places.remove(&key);
            }
        }
    }

    /// Watches of the connection, a path in a table being one.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// What a client remembers when its connection is gone: what it hasn't got the event of.
    pub fn remembered(&self) -> Watched {
        let mut watched = Watched::default();
        for ((table, path), modes) in &self.places {
            match (table, modes.standard) {
                (_, None) => {}
                (Table::Child, Some(_)) => watched.child.push(path.clone()),
                (Table::Data, Some(true)) => watched.exist.push(path.clone()),
                (Table::Data, Some(false)) => watched.data.push(path.clone()),
            }
            if modes.persistent && *table == Table::Data {
                watched.persistent.push(path.clone());
            }
            if modes.recursive {
                watched.recursive.push(path.clone());
            }
        }
        for due in &self.due {
            match due.kind {
                EventType::NodeCreated => watched.exist.push(due.path.clone()),
                EventType::NodeChildrenChanged => watched.child.push(due.path.clone()),
                _ => watched.data.push(due.path.clone()),
            }
        }
        watched
    }

    /// What setWatches does at `at`: the events that it makes up, in order; the rest is watched from here on.
    pub fn set_watches(
        &mut self,
        history: &History,
        at: Zxid,
        since: Zxid,
        watched: &Watched,
    ) -> Vec<(EventType, Vec<u8>)> {
        let mut events = vec![];
        for path in &watched.data {
            match history.model.node(path, at) {
                None => events.push((EventType::NodeDeleted, path.clone())),
                Some(node) if node.mzxid > since => events.push((EventType::NodeDataChanged, path.clone())),
                Some(_) => self.add_standard(Table::Data, path, false),
            }
        }
        for path in &watched.exist {
            match history.model.node(path, at) {
                None => self.add_standard(Table::Data, path, true),
                Some(_) => events.push((EventType::NodeCreated, path.clone())),
            }
        }
        for path in &watched.child {
            match history.model.node(path, at) {
                None => events.push((EventType::NodeDeleted, path.clone())),
                Some(node) if node.pzxid > since => {
                    events.push((EventType::NodeChildrenChanged, path.clone()));
                }
                Some(_) => self.add_standard(Table::Child, path, false),
            }
        }
        watched.persistent.iter().for_each(|path| self.add_persistent(path));
        watched.recursive.iter().for_each(|path| self.add_recursive(path));
        events
    }
}
