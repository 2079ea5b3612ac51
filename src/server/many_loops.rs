//! The placement for three cores and more: the replica on its own thread, each shard on another.
//!
//! A ring belongs to the thread that made it, so each shard's thread makes its loop, hands its bell over, and gets the
//! rest of what it needs in return. The first shard accepts and deals the sockets out in turn. One more thread gathers
//! what four-letter words need from all the others, so that no loop waits for another.

use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

use crate::base::limits;
use crate::config::Config;
use crate::io::Waker;
use crate::shard::Shard;

use super::admission::Admission;
use super::audit::Audit;
use super::boot::{self, Booted, CONNECTIONS_OF_A_LOOP, Parts};
use super::client_listener::ClientListener;
use super::inquiry::{Inquiry, Loops};
use super::peers::{self, Peers};
use super::placement::Placement;
use super::replica_thread::ReplicaThread;
use super::rings::{Bell, ShardEnd, ToReplica, ToShard, ends};
use super::shard_thread::{Dealer, ShardThread};
use super::words::{Question, Words};
use super::{Fatal, Stop, spawn, web};

/// Runs the server until it is told to stop. The calling thread becomes the replica's.
pub fn run(
    booted: Booted,
    placement: &Placement,
    peers: Option<peers::Settings>,
    desk: &web::Place,
    audit: Option<Audit>,
) -> Result<(), Fatal> {
    placement.pin(0)?;
    // Only peers' connections.
    let connections_max = peers.as_ref().map_or(1, peers::Settings::connections_max);
    let mut io = boot::event_loop(&booted.config, connections_max)?;
    let stop = Stop::on_signals(&io.doorbell(), &booted.supervisor)?;
    let bell = Bell::new(io.doorbell());
    let (to_replica, words_for_replica) = unbounded();
    let (questions_in, questions) = unbounded();

    let mut starting = vec![];
    for at in 0..placement.shards {
        starting.push(start_shard(at, &booted.config, placement, &to_replica, &bell)?);
    }
    // What waits in the rings is under way, too.
    let requests_max = booted.config.outstanding_max.map_or(limits::REQUESTS_MAX, |max| {
        max.div_ceil(placement.shards).next_power_of_two().clamp(2, limits::REQUESTS_MAX)
    });
    let mut replica_ends = vec![];
    let mut shard_ends = vec![];
    let mut shards = vec![];
    for shard in &starting {
        let waker = shard.waker.recv().expect("a shard's thread says something first")?;
        let shard_bell = Bell::new(waker);
        let (replica_end, shard_end, to_shard) = ends(&bell, &shard_bell, requests_max);
        replica_ends.push(replica_end);
        shard_ends.push(shard_end);
        shards.push((to_shard, shard_bell));
    }
    let ready = booted.ready_line();
    let unfinished = booted.into_parts(&io)?;
    let Parts { replica, disk, reloader, admission, words, shards: states, member } = unfinished;
    let mut bound = None;
    for (at, (state, end)) in states.into_iter().zip(shard_ends).enumerate() {
        let deals_to = (at == 0).then(|| shards.clone());
        let admission = admission.clone();
        let setup = Setup { shard: state, end, admission, deals_to, questions: questions_in.clone() };
        starting[at].setup.send(setup).expect("the thread waits for it");
        bound = bound.or(starting[at].bound.recv().expect("the thread answers")?);
    }
    let bound = bound.expect("the first shard listens");
    let to_shards: Vec<Sender<ToShard>> = shards.iter().map(|(to_shard, _)| to_shard.clone()).collect();
    let words = words.at_port(bound.port());
    let loops = Loops { shards, to_replica, replica: bell.clone() };
    web::open(desk, &words.0, Inquiry::Many(loops.clone()));
    let answering = Answering { words, loops };
    spawn("words", move || answering.run(&questions))?;

    let peers = peers.map(|settings| Peers::listen(settings, &mut io)).transpose()?;
    ready.tell(bound);
    audit.iter().for_each(Audit::on_start);
    ReplicaThread {
        io,
        replica,
        disk,
        reloader,
        bell,
        peers,
        member,
        shards: replica_ends,
        to_shards,
        words: words_for_replica,
        audit,
        stop,
    }
    .run()
}

/// A shard's thread that has not got its shard yet.
struct Starting {
    waker: Receiver<Result<Waker, Fatal>>,
    setup: Sender<Setup>,
    bound: Receiver<Result<Option<SocketAddr>, Fatal>>,
}

struct Setup {
    shard: Shard,
    end: ShardEnd,
    admission: Arc<Admission>,
    /// Of the one that accepts.
    deals_to: Option<Vec<(Sender<ToShard>, Bell)>>,
    questions: Sender<Question>,
}

fn start_shard(
    at: usize,
    config: &Arc<Config>,
    placement: &Placement,
    to_replica: &Sender<ToReplica>,
    replica: &Bell,
) -> Result<Starting, Fatal> {
    let (waker_in, waker) = bounded(1);
    let (setup, setup_out) = bounded::<Setup>(1);
    let (bound_in, bound) = bounded(1);
    let (config, placement) = (config.clone(), placement.clone());
    let (to_replica, replica) = (to_replica.clone(), replica.clone());
    spawn("shard", move || {
        let made = placement
            .pin(at + 1)
            .and_then(|()| boot::event_loop(&config, config.max_cnxns.min(CONNECTIONS_OF_A_LOOP)));
        let mut io = match made {
            Ok(io) => io,
            Err(fatal) => return drop(waker_in.send(Err(fatal))),
        };
        let _ = waker_in.send(Ok(io.doorbell()));
        // Without a setup the server gave up starting.
        let Ok(Setup { shard, end, admission, deals_to, questions }) = setup_out.recv() else { return };
        let listening = deals_to.map(|shards| {
            let (clients, bound) = ClientListener::open(&config, &mut io)?;
            Ok((Dealer { clients, shards, next: 0 }, bound))
        });
        let (dealer, bound) = match listening.transpose() {
            Ok(listening) => listening.unzip(),
            Err(fatal) => return drop(bound_in.send(Err(fatal))),
        };
        let _ = bound_in.send(Ok(bound));
        let ended = ShardThread { io, shard, end, admission, dealer, questions }.run();
        let _ = to_replica.send(match ended {
            Ok(()) => ToReplica::Stopped,
            Err(fatal) => ToReplica::Failed(fatal),
        });
        replica.ring();
    })?;
    Ok(Starting { waker, setup, bound })
}

/// Answers four-letter words.
struct Answering {
    words: Words,
    loops: Loops,
}

impl Answering {
    fn run(mut self, questions: &Receiver<Question>) {
        while let Ok(question) = questions.recv() {
            let text = match self.words.ask(question.word) {
                Some(ask) => {
                    let (facts, shards) = self.loops.ask(ask);
                    self.words.answer(question.word, &question.argument, facts, shards)
                }
                None => String::new(),
            };
            self.tell(&question, text);
        }
    }

    fn tell(&self, question: &Question, text: String) {
        let (to_shard, bell) = &self.loops.shards[usize::from(question.asker.0)];
        let _ = to_shard.send(ToShard::Text { connection: question.connection, text });
        bell.ring();
    }
}
