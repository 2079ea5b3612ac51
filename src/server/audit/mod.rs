//! The audit log: who changed what, as `audit.enable` tells it in ZooKeeper.
//!
//! The loop of the replica sees each write go in and each answer come out, also of clients that are gone by then. It hands both
//! to the thread "audit", which makes the lines ([`entries`]) and writes them ([`sink`]). Where the log isn't wanted nobody
//! is asked, and nothing is kept. What a change of roles leaves without an answer is in no line, as in ZooKeeper; nor is
//! what a restart replays.
//!
//! Limits: `QUEUE_MAX` lines wait for the thread. Then the loop waits, too: nothing is left out of this log but what its
//! disk refuses, which is counted and told.
//! Tested: audit_test.rs; of a server: tests/admin/audit.rs.

mod entries;
mod sink;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::admin::About;
use crate::base::{ConnectionId, ShardId, WallMillis, limits};
use crate::config::Config;
use crate::io::Clock;
use crate::messages::{Answer, Client, Notice, Request};
use crate::wire::Opcode;

use super::{Fatal, spawn};
use entries::{Entry, Outcome, Write};
use sink::Sink;

/// Lines that wait for the thread.
const QUEUE_MAX: usize = 16 << 10;
/// Lines that are written at once.
const BATCH_MAX: usize = 1 << 10;
/// No more than half as many requests wait for an answer: what is older gets none.
const KEPT: u64 = 2 * limits::PROPOSALS_MAX as u64;

/// To the thread.
enum Told {
    Answered(Write, Arc<Notice>),
    /// A session, with its ephemeral nodes.
    Ended(Arc<Notice>),
    Server(&'static str, Outcome),
    /// Nothing more will come.
    End,
}

type Line = (WallMillis, Told);

/// A request of a connection.
struct Asked {
    xid: i32,
    number: u64,
    /// `None`: one that changes nothing, but is answered in its turn.
    write: Option<Write>,
}

/// In the replica's loop.
pub struct Audit {
    /// What isn't answered. Each connection gets its answers in order.
    asked: BTreeMap<(ShardId, ConnectionId), VecDeque<Asked>>,
    /// All that was ever asked.
    count: u64,
    to_thread: Sender<Line>,
    has_started: Arc<AtomicBool>,
}

impl Audit {
    /// The server is up.
    pub fn on_start(&self) {
        self.has_started.store(true, Relaxed);
        self.tell(Clock::now().wall, Told::Server("serverStart", Outcome::Success));
    }

    /// To be called before the replica is told.
    pub fn on_request(&mut self, request: &Request) {
        let (from, xid, write) = match request {
            Request::Write { from, session, xid, opcode, body, identities } => {
                let write = Write {
                    session: *session,
                    opcode: *opcode,
                    body: body.clone(),
                    identities: identities.clone(),
                };
                (from, *xid, (*opcode != Opcode::CloseSession).then_some(write))
            }
            Request::Sync { from, xid, .. } | Request::Ephemerals { from, xid, .. } => (from, *xid, None),
            // Connects come before all others of a connection, and nothing comes before they are answered.
            Request::Connect { .. }
            | Request::Forwarded { .. }
            | Request::Touch { .. }
            | Request::Held { .. } => return,
        };
        let asked = Asked { xid, number: self.count, write };
        self.asked.entry(key(from)).or_default().push_back(asked);
        self.count += 1;
        if self.count.is_multiple_of(KEPT) {
            self.forget_lost();
        }
    }

    pub fn on_notice(&mut self, at: WallMillis, notice: &Arc<Notice>) {
        if notice.ended.is_some() && !notice.changes.as_slice().is_empty() {
            self.tell(at, Told::Ended(notice.clone()));
        }
        if let Some(answer) = &notice.answer
            && let Some(write) = self.take(answer)
        {
            self.tell(at, Told::Answered(write, notice.clone()));
        }
    }

    /// Whom the server serves has changed: nobody waits for an answer any more.
    pub fn on_service(&mut self) {
        self.asked.clear();
    }

    fn take(&mut self, answer: &Answer) -> Option<Write> {
        let key = key(&answer.to);
        let queue = self.asked.get_mut(&key)?;
        let mut found = None;
        while let Some(asked) = queue.pop_front() {
            // Of those before it there was none.
            if asked.xid == answer.xid {
                found = asked.write;
                break;
            }
        }
        if queue.is_empty() {
            self.asked.remove(&key);
        }
        found
    }

    fn forget_lost(&mut self) {
        let oldest = self.count.saturating_sub(KEPT);
        for queue in self.asked.values_mut() {
            while queue.front().is_some_and(|asked| asked.number < oldest) {
                queue.pop_front();
            }
        }
        self.asked.retain(|_, queue| !queue.is_empty());
    }

    fn tell(&self, at: WallMillis, told: Told) {
        // It takes what comes until it is told of the end.
        let _ = self.to_thread.send((at, told));
    }
}

fn key(client: &Client) -> (ShardId, ConnectionId) {
    (client.shard, client.connection)
}

/// Beside the server: sees to it that the end is in the log, too.
pub struct Auditor {
    to_thread: Sender<Line>,
    thread: JoinHandle<()>,
    has_started: Arc<AtomicBool>,
}

/// Opens the log and starts its thread. `None`: it isn't wanted.
pub fn begin(config: &Config, about: &About) -> Result<Option<(Audit, Auditor)>, Fatal> {
    let Some(wanted) = &config.audit else { return Ok(None) };
    let sink = Sink::open(wanted.file.as_deref(), config.log_format)?;
    let user = about.environment.iter().find(|(key, _)| *key == "user.name");
    let user = user.map_or("<NA>", |(_, name)| name).to_owned();
    let (to_thread, told) = bounded(QUEUE_MAX);
    let thread = spawn("audit", move || run(sink, &user, &told))?;
    let has_started = Arc::new(AtomicBool::new(false));
    let audit = Audit {
        asked: BTreeMap::new(),
        count: 0,
        to_thread: to_thread.clone(),
        has_started: has_started.clone(),
    };
    Ok(Some((audit, Auditor { to_thread, thread, has_started })))
}

impl Auditor {
    /// The server has ended; or it never was up.
    pub fn end(self) {
        let told = if self.has_started.load(Relaxed) {
            Told::Server("serverStop", Outcome::Invoked)
        } else {
            Told::Server("serverStart", Outcome::Failure)
        };
        for told in [told, Told::End] {
            let _ = self.to_thread.send((Clock::now().wall, told));
        }
        let _ = self.thread.join();
    }
}

fn run(mut sink: Sink, user: &str, told: &Receiver<Line>) {
    while let Ok(first) = told.recv() {
        let mut has_ended = false;
        for (at, told) in std::iter::once(first).chain(told.try_iter()).take(BATCH_MAX) {
            match told {
                Told::Answered(write, notice) => {
                    if let Some(answer) = &notice.answer {
                        sink.add_all(at, entries::of_write(&write, &answer.body));
                    }
                }
                Told::Ended(notice) => sink.add_all(at, entries::of_end(&notice, user)),
                Told::Server(operation, outcome) => {
                    sink.add_all(at, vec![Entry::of_server(user, operation, outcome)]);
                }
                Told::End => has_ended = true,
            }
        }
        sink.write();
        if has_ended {
            return;
        }
    }
}

#[cfg(test)]
#[path = "audit_test.rs"]
mod tests;
