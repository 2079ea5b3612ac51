//! `POST /commands/restore`: the body, a snapshot, becomes the tree of a lone server. A thread of its own carries it out.
//!
//! 1. The body goes to a file beside the snapshots, piece by piece.
//! 2. It is read whole, and every checksum and digest verified: a tree beside the one that is served. *Up to here nothing has
//!    changed, and whatever goes wrong ends in an error and nothing else.*
//! 3. The server comes to rest ([`Effect::CloseIntake`]): clients' connections are closed, what was taken is durable and applied.
//! 4. The tree is written as a snapshot of ours, with the note that the log before it is another history's (`recovery.rs`).
//!    *A crash before it has its name: the next start has the old tree; after that, the new one.*
//! 5. The loops start anew from the disk ([`Effect::Reload`]), and serve.
//!
//! **Zxids never go back**, other than in ZooKeeper. The restored tree stands for the zxid that its snapshot says, or, if this
//! server has been as far already, for the next one. So clients that have seen later zxids than the snapshot's are let in again,
//! no zxid ever means two things, and nothing of the log that lies there can be taken for what comes behind.
//!
//! Sessions of the snapshot live on, with all their time; others' clients are told that theirs has expired.
//!
//! Limits: [`PIECES_MAX`] pieces of a body wait for the disk; room on the disk ([`ROOM_LEFT`]); one at a time, and
//! `admin.rateLimiterIntervalInMS` apart. Tested: tests/admin/restore.rs, tests/admin_of_java/restore.rs.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use crate::admin::{AdminCommand, Answer, Effect, Needs, fields};
use crate::base::Zxid;
use crate::io::{Clock, Directory, FileWriter, entropy};

use super::super::census::Ask;
use super::super::recovery::NotInstalled;
use super::super::{Fatal, Image, ReadSnapshot, spawn};
use super::request::{Reply, reply};
use super::{Desk, Place};

/// Of a body, on their way to the disk. Each is as large as the connection's buffer at most.
const PIECES_MAX: usize = 64;
/// What is received goes by this name: that of an unfinished file, so that a start after a crash removes it.
const BODY: &str = "restore.new";
/// The log must not suffer: so much has to be left beside what is received.
const ROOM_LEFT: u64 = 128 << 20;
/// How often that is looked at, and the file synced.
const LOOK_BYTES: u64 = 16 << 20;
/// Until nothing is under way in the log.
const REST_PATIENCE: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(5);

/// Of a body.
enum Piece {
    Bytes(Bytes),
    /// It is whole. Without this its sender is lost.
    End,
}

/// The connection's end.
pub struct Upload {
    pieces: mpsc::Sender<Piece>,
    done: oneshot::Receiver<Reply>,
}

/// What the clerk knows of the last one.
pub struct Restorer {
    read: ReadSnapshot,
    is_busy: Arc<AtomicBool>,
}

/// Why nothing was restored.
struct Refusal {
    status: u16,
    why: String,
}

impl Refusal {
    fn new(why: impl ToString) -> Refusal {
        Refusal { status: 500, why: why.to_string() }
    }
}

impl Restorer {
    pub fn new(read: ReadSnapshot) -> Restorer {
        Restorer { read, is_busy: Arc::default() }
    }

    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Relaxed)
    }

    /// Begins to receive. `is_lenient`: see [`ReadSnapshot`].
    pub fn begin(&self, place: Place, client: IpAddr, is_lenient: bool) -> Result<Upload, Fatal> {
        let (pieces_in, pieces) = mpsc::channel(PIECES_MAX);
        let (done_in, done) = oneshot::channel();
        let (read, is_busy) = (self.read, self.is_busy.clone());
        is_busy.store(true, Relaxed);
        let begun = spawn("restore", move || {
            let job = Job { place, read, is_lenient, client, pieces };
            let reply = job.run();
            is_busy.store(false, Relaxed);
            // Who asked may be gone; what came of it is in the log.
            let _ = done_in.send(reply);
        });
        begun.inspect_err(|_| self.is_busy.store(false, Relaxed))?;
        Ok(Upload { pieces: pieces_in, done })
    }
}

/// Hands the body on, and waits for what comes of it. `idle`: how long the client may say nothing.
pub async fn receive(mut body: Incoming, upload: Upload, idle: Duration) -> Reply {
    let Upload { pieces, done } = upload;
    loop {
        let next = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let piece = match time::timeout(idle, next).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Piece::Bytes(bytes),
                // Fields behind the body.
                Err(_) => continue,
            },
            Ok(None) => Piece::End,
            // The thread notices that the sender is gone.
            Ok(Some(Err(error))) => return Reply::line(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(_) => return Reply::line(StatusCode::REQUEST_TIMEOUT, "the body stops in the middle"),
        };
        let is_end = matches!(piece, Piece::End);
        // If it takes no more it has said why.
        if pieces.send(piece).await.is_err() || is_end {
            break;
        }
    }
    done.await.unwrap_or_else(|_| reply(&Answer::bare(AdminCommand::Restore, 500)))
}

struct Job {
    place: Place,
    read: ReadSnapshot,
    is_lenient: bool,
    client: IpAddr,
    pieces: mpsc::Receiver<Piece>,
}

impl Job {
    fn run(mut self) -> Reply {
        const COMMAND: AdminCommand = AdminCommand::Restore;
        let Some(desk) = self.place.clone().get().cloned() else {
            return reply(&Answer::not_serving(COMMAND.name()));
        };
        let counts = &desk.background.admin_counts;
        match self.restore(&desk) {
            Ok(zxid) => reply(&Answer::new(COMMAND, fields(serde_json::json!({ "last_zxid": zxid.0 })))),
            Err(Refusal { status, why }) => {
                counts.restore_errors.fetch_add(1, Relaxed);
                tracing::warn!(client = %self.client, why, "restore: refused");
                reply(&Answer::refused(COMMAND.name(), status, &why))
            }
        }
    }

    fn restore(&mut self, desk: &Desk) -> Result<Zxid, Refusal> {
        let directory = &*desk.background.places.snapshots;
        tracing::info!(client = %self.client, "restore: receiving a snapshot");
        self.receive(directory)?;
        let received = Clock::instant();
        let mut tell = |line: String| tracing::warn!("restore: {line}");
        let read = (self.read)(&directory.path_of(BODY), self.is_lenient, &mut tell);
        directory.remove(&[BODY]).map_err(Refusal::new)?;
        let mut image = read.map_err(Refusal::new)?;
        let stated = image.store.newest();
        tracing::info!(
            zxid = %stated, znodes = image.store.nodes_count(), sessions = image.sessions.len(),
            "restore: the snapshot is whole; clients are disconnected, and the server comes to rest"
        );
        let reached = come_to_rest(desk)?;
        let zxid = if stated > reached { stated } else { reached.next() };
        image.store.set_newest(zxid);
        image.store.publish(zxid);
        if let Err(failed) = install(&mut image, directory) {
            let error = match failed {
                NotInstalled::InDoubt(error) => error,
                NotInstalled::Lost(error) => {
                    go_on(desk);
                    return Err(Refusal::new(error));
                }
            };
            // What was written from now on would be lost if the next start found the snapshot.
            let why = format!(
                "{error}: whether the snapshot is stored isn't known, so this server serves nobody any more: start it again, and look \
                 at its tree, which is the snapshot's or what it was"
            );
            tracing::error!("restore: {why}");
            return Err(Refusal::new(why));
        }
        drop(image);
        reload(desk, zxid);
        let took = Clock::instant().since(received);
        desk.background.admin_counts.restored(took);
        tracing::warn!(
            client = %self.client, snapshot = %stated, before = %reached, %zxid, ms = took.as_millis() as u64,
            "restore: done; this server's tree is the snapshot's"
        );
        Ok(zxid)
    }

    /// On return the file is whole, or not there.
    fn receive(&mut self, directory: &Directory) -> Result<(), Refusal> {
        let mut file = directory.writer(BODY).map_err(Refusal::new)?;
        match self.fill(&mut file, directory) {
            Ok(()) => file.finish().map_err(Refusal::new),
            Err(refusal) => {
                file.abandon();
                Err(refusal)
            }
        }
    }

    fn fill(&mut self, file: &mut FileWriter, directory: &Directory) -> Result<(), Refusal> {
        let mut looked = None;
        loop {
            if looked.is_none_or(|at| file.len() - at >= LOOK_BYTES) {
                looked = Some(file.len());
                file.persist().map_err(Refusal::new)?;
                let left = directory.space().map_err(Refusal::new)?.available_bytes;
                // What is read of it will be written, too.
                if left < ROOM_LEFT + LOOK_BYTES + file.len() {
                    let why = format!(
                        "there is no room on the disk of {} for a snapshot of more than {} bytes, twice: {left} bytes are left",
                        directory.path().display(),
                        file.len()
                    );
                    return Err(Refusal { status: 507, why });
                }
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => file.append(&bytes).map_err(Refusal::new)?,
                Some(Piece::End) => return Ok(()),
                None => {
                    let why = format!("the client was lost after {} bytes of the snapshot", file.len());
                    return Err(Refusal::new(why));
                }
            }
        }
    }
}

/// The last zxid of the server's own, once nobody is served and nothing is under way.
fn come_to_rest(desk: &Desk) -> Result<Zxid, Refusal> {
    let until = Clock::instant() + REST_PATIENCE;
    loop {
        let asked = desk.inquiry.ask(Ask { needs: Needs::Counters, effect: Effect::CloseIntake });
        if let Some((in_replica, shards)) = asked
            && let Some(zxid) = in_replica.facts.stands_at
            && shards.iter().all(|shard| !shard.is_serving)
        {
            return Ok(zxid);
        }
        if Clock::instant() >= until {
            go_on(desk);
            let why = format!("what was taken from clients is not on the disk after {REST_PATIENCE:?}");
            return Err(Refusal { status: 503, why });
        }
        std::thread::park_timeout(ASK_EVERY);
    }
}

fn install(image: &mut Image, directory: &Directory) -> Result<(), NotInstalled> {
    let salt = entropy::seed().map_err(NotInstalled::Lost)?;
    image.install(directory, salt)
}

/// With what it had.
fn go_on(desk: &Desk) {
    while desk.inquiry.ask(Ask { needs: Needs::Counters, effect: Effect::OpenIntake }).is_none() {
        std::thread::park_timeout(ASK_EVERY);
    }
}

/// There is no way back: the snapshot is on the disk. Asked for until it is done: a loop that proves its log is not at rest.
fn reload(desk: &Desk, to: Zxid) {
    loop {
        let asked = desk.inquiry.ask(Ask { needs: Needs::Counters, effect: Effect::Reload { to } });
        if let Some((in_replica, shards)) = asked {
            let is_new = in_replica.facts.stands_at.is_none() && in_replica.facts.applied >= to;
            if is_new && shards.iter().all(|shard| shard.is_serving) {
                return;
            }
        }
        std::thread::park_timeout(ASK_EVERY);
    }
}
