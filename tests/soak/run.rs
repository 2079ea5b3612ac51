//! Rounds until the time is over, and what is told of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::base::Prng;
use ringkeeper::wire::Opcode;
use ringkeeper::wire::client::DeleteRequest;

use crate::Options;
use crate::crowd::{Crowd, assert_known};
use crate::faults::{kill_all, strike};
use crate::history::{History, Load, Manner};
use crate::members::{Members, SESSION_MS};
use crate::support::Client;
use crate::tally::Tally;
use crate::users::PATIENCE;

const ROUND: Duration = Duration::from_secs(50);
const WRITERS: usize = 3;
/// Between two batches of a writer: some hundred transactions a second in all, which Java follows beside everything else here.
const PAUSE: Duration = Duration::from_millis(40);
const LOOK: Duration = Duration::from_millis(50);
/// Deletes that are sent together.
const TOGETHER: usize = 200;

/// What a thread said when it panicked, the first of them.
static PANIC: Mutex<String> = Mutex::new(String::new());

struct Soak {
    members: Members,
    random: Prng,
    tally: Arc<Tally>,
}

pub fn run(options: &Options) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let text = format!("thread {}: {info}", thread.name().unwrap_or("of a client"));
        eprintln!("{text}");
        let mut first = PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if first.is_empty() {
            *first = text;
        }
    }));
    let tally = Arc::new(Tally::default());
    let members = Members::prepare(options, Arc::clone(&tally));
    let kinds: Vec<&str> = members.kinds[..4].iter().map(|kind| kind.name()).collect();
    println!("seed {:#x}, {:?}, voters and an observer: {}", options.seed, options.time, kinds.join(", "));
    println!("{}", members.places());
    let random = Prng::salted(options.seed, "faults");
    let mut soak = Soak { members, random, tally: Arc::clone(&tally) };
    let ends = AtomicBool::new(false);
    let began = Instant::now();
    let gate = Arc::clone(&soak.members.gate);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            let mut minute = 1;
            while !ends.load(Ordering::SeqCst) {
                gate.linger(LOOK);
                tally.watch(&gate);
                if began.elapsed() >= Duration::from_secs(60 * minute) {
                    println!("minute {minute}: {}", tally.line());
                    minute += 1;
                }
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| soak.rounds(began, options.time)));
        ends.store(true, Ordering::SeqCst);
        outcome
    });
    println!("{}", tally.summary(began.elapsed()));
    if outcome.is_ok() {
        println!("all sound");
        return ExitCode::SUCCESS;
    }
    let text = PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    println!(
        "FAILED soak  seed={:#x} apache={}\n{text}\n{}",
        options.seed,
        options.apache.join(","),
        soak.members.places()
    );
    for server in &mut soak.members.cluster.servers {
        server.kill();
    }
    // Their directories are evidence.
    std::mem::forget(soak);
    ExitCode::from(1)
}

impl Soak {
    fn rounds(&mut self, began: Instant, time: Duration) {
        self.members.start();
        let mut number = 0;
        while number == 0 || began.elapsed() < time {
            self.round(number);
            number += 1;
        }
    }

    fn manner(&self) -> Manner {
        Manner {
            pause: PAUSE,
            patience: PATIENCE,
            silence_is_loss: true,
            syncs_are_sure: false,
            session_timeout_ms: SESSION_MS,
            gate: Arc::clone(&self.members.gate),
            acknowledged: Arc::clone(&self.tally.batches),
        }
    }

    fn round(&mut self, number: u32) {
        let first = self.members.running();
        let crowd = Crowd::set_out(&self.members, number, &mut self.random);
        let load = Load::start_with(&self.members.cluster, number, WRITERS, &first, self.manner());
        self.tally.under_load.store(true, Ordering::SeqCst);
        let began = Instant::now();
        while began.elapsed() < ROUND {
            load.assert_writing();
            crowd.assert_under_way();
            let quiet = Duration::from_millis(500 + self.random.below(3_000));
            self.members.gate.linger(quiet);
            strike(&mut self.members, &mut self.random);
        }
        load.go_on(1);
        self.tally.under_load.store(false, Ordering::SeqCst);
        let findings = crowd.stop();
        let mut history = History::default();
        history.end(&mut self.members.cluster, load);
        findings.await_reaping(&self.members);
        if self.random.chance(1, 4) {
            // All of it is on every disk.
            kill_all(&mut self.members, &mut self.random);
        }
        let tree = history.check_again(&mut self.members.cluster);
        findings.judge(&tree).unwrap_or_else(|fault| panic!("{fault}"));
        assert_known(&tree, number);
        self.members.assert_no_complaint();
        self.tally.add("history entries", history.acknowledged() as u64);
        self.tally.add("connections lost", history.losses());
        self.tally.count("rounds");
        self.forget(tree.keys().rev());
    }

    /// Takes everything away, children before parents.
    fn forget<'a>(&mut self, paths: impl Iterator<Item = &'a String>) {
        let paths: Vec<&String> = paths.filter(|path| *path != "/").collect();
        let mut client = Client::connect(&self.members.cluster.servers[0]);
        for some in paths.chunks(TOGETHER) {
            for path in some {
                client.send(Opcode::Delete, &DeleteRequest { path: path.as_str().into(), version: -1 });
            }
            for path in some {
                assert_eq!(client.next_reply().err, 0, "{path}");
            }
        }
        client.close();
    }
}
