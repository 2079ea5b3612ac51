//! A whole run: sessions, preparation, the measured load, farewell, report.
//!
//! Called by `mod`. The preparation (trees, keys) uses sessions of its own and is never measured.

use crate::base::Prng;
use crate::bench::arguments::{DriverChoice, LoadArguments, WaitArguments, resolve, resolve_all};
use crate::bench::connection::Connection;
use crate::bench::dial::{self, Wish};
use crate::bench::fan::Fan;
use crate::bench::keys::Keys;
use crate::bench::load::{Load, Pacing, Plan};
use crate::bench::mix::{Mix, Op, Work};
use crate::bench::process::{Precision, Usage, usage_of_each};
use crate::bench::session::EXISTED;
use crate::bench::workload::{self, CHILDREN_PER_PARENT, Endless, Made, ROOT, Source, Workload, own_parents};
use crate::bench::{
    clock, complain, files, listeners, poll_driver, progress, report, ring_driver, say, storm, summary,
};
use crate::io::process::raise_open_files_max;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

/// Sessions and pipelining of the preparation: enough to keep any server busy.
const PREPARE_SESSIONS: usize = 8;
const PREPARE_OUTSTANDING: usize = 256;
/// Besides the sessions: files of the result, the driver's own.
const OTHER_DESCRIPTORS: u64 = 64;

/// How a run ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub errors: u64,
    /// Why it measured less than it should have.
    pub partial: Option<String>,
    /// What couldn't be written, and why.
    pub unwritten: Vec<String>,
}

/// What all parts of a run need.
struct Run<'a> {
    arguments: &'a LoadArguments,
    servers: Vec<SocketAddr>,
    pids: Vec<u32>,
    /// What they used when the run began.
    usages: Vec<Usage>,
    wish: Wish,
    stop: Option<&'static AtomicBool>,
    /// Below it are the znodes that this run alone uses.
    prefix: String,
}

/// `stop`: set by a signal; what was measured until then is kept.
pub fn run(arguments: &LoadArguments, stop: Option<&'static AtomicBool>) -> Result<Outcome, String> {
    arguments.check()?;
    files::check(arguments)?;
    let servers = resolve_all(&arguments.server)?;
    require_descriptors(arguments.sessions)?;
    let pids = if arguments.server_pid.is_empty() {
        listeners::pids(&servers)
    } else {
        arguments.server_pid.clone()
    };
    let usages = usage_of_each(&pids, &[], Precision::Ticks).map_err(|error| error.to_string())?;
    let wish = Wish { timeout_ms: arguments.session_timeout, auths: Rc::from(arguments.auth.as_slice()) };
    let run = Run {
        arguments,
        servers,
        pids,
        usages,
        wish,
        stop,
        prefix: format!("{ROOT}/new-{}", unique_suffix()),
    };
    let mut errors = 0;
    if let Some(shape) = arguments.preload {
        errors += run.prepare(shape.parents, shape.parents * shape.children, shape.children, false)?;
    }
    let mut outcome = match arguments.work() {
        None => Outcome::default(),
        Some(Work::Mix(mix)) => run.mix(mix, &mut errors)?,
        Some(Work::Watch) => run.fan_out(&mut errors)?,
        Some(Work::Connect) => run.storm()?,
    };
    outcome.errors += errors;
    Ok(outcome)
}

fn require_descriptors(sessions: usize) -> Result<(), String> {
    let limit = raise_open_files_max().map_err(|error| error.to_string())?;
    let needed = sessions as u64 + OTHER_DESCRIPTORS;
    if limit < needed {
        return Err(format!(
            "--sessions {sessions} needs {needed} open files, and this process may have {limit}: raise its hard limit (ulimit -Hn)"
        ));
    }
    Ok(())
}

/// Tells the trees of several runs on one server apart.
fn unique_suffix() -> String {
    let since_epoch = system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    format!("{:x}", since_epoch.as_millis())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the ban is for pure rooms; this names a directory of a benchmark"
)]
fn system_time() -> SystemTime {
    SystemTime::now()
}

impl Run<'_> {
    fn mix(&self, mix: Mix, errors: &mut u64) -> Result<Outcome, String> {
        let arguments = self.arguments;
        let endless = Endless {
            keys: Keys::new(arguments.keys, arguments.distribution),
            rng: Prng::salted(arguments.seed, "workload"),
            prefix: self.prefix.clone(),
            multi_ops: arguments.multi_ops,
            locks: arguments.locks,
            queues: arguments.queues,
            made: vec![Made::default(); arguments.sessions],
            ephemerals: 0,
            mix,
        };
        let keyed = [Op::Get, Op::Exists, Op::Children, Op::Set, Op::Multi];
        if endless.mix.has(&keyed) && !arguments.keys_exist {
            let parents = arguments.keys.div_ceil(CHILDREN_PER_PARENT);
            let reads_data = endless.mix.has(&[Op::Get]);
            *errors += self.prepare(parents, arguments.keys, CHILDREN_PER_PARENT, reads_data)?;
        }
        if !endless.mix.has(&keyed) || endless.mix.has(&OWN_ZNODES) {
            *errors += self.create_all(own_parents(&endless).into_iter(), 1, None)?.0;
        }
        let workload = Workload::new(Source::Endless(endless), arguments.bytes, arguments.seed);
        let connections = self.open_sessions(arguments.sessions, false)?;
        self.measure(Load::measured(workload, self.plan()), connections)
    }

    fn fan_out(&self, errors: &mut u64) -> Result<Outcome, String> {
        let arguments = self.arguments;
        let watched = format!("{}/watched", self.prefix).into_bytes();
        let paths = [ROOT.as_bytes().to_vec(), self.prefix.clone().into_bytes(), watched.clone()];
        *errors += self.create_all(paths.into_iter(), 1, None)?.0;
        let workload = Workload::new(Source::SetsOf(watched.clone()), arguments.bytes, arguments.seed);
        let connections = self.open_sessions(arguments.sessions + 1, false)?;
        let fan = Fan::new(watched, arguments.sessions);
        self.measure(Load::fan_out(workload, self.plan(), fan), connections)
    }

    fn storm(&self) -> Result<Outcome, String> {
        // One first, so that a server which isn't there is told as such and not as an error of each attempt.
        close_sessions(self.open_sessions(1, false)?)?;
        // It asks for nothing but sessions.
        let workload = Workload::new(Source::Sets(0..0), self.arguments.bytes, self.arguments.seed);
        let mut load = Load::measured(workload, self.plan());
        let bar = self.show_time(&mut load);
        let done = storm::run(&mut load, &self.servers, self.arguments.sessions, self.wish.clone());
        bar.finish_and_clear();
        done.map_err(|error| format!("measuring: {error}"))?;
        self.conclude(load)
    }

    fn plan(&self) -> Plan {
        Plan {
            server_pids: self.pids.clone(),
            servers: self.usages.clone(),
            stop: self.stop,
            ..self.arguments.plan()
        }
    }

    fn show_time(&self, load: &mut Load) -> indicatif::ProgressBar {
        let total_ns = ((self.arguments.warmup + self.arguments.seconds) * 1e9) as u64;
        let (bar, on_progress) = progress::of_time("measuring", total_ns);
        load.on_progress = Some(on_progress);
        bar
    }

    fn measure(&self, mut load: Load, mut connections: Vec<Connection>) -> Result<Outcome, String> {
        let bar = self.show_time(&mut load);
        let done = match (self.arguments.driver, self.arguments.pacing()) {
            (DriverChoice::Uring, Pacing::Closed { .. }) => ring_driver::run(load, &mut connections),
            (DriverChoice::Poll, _) | (_, Pacing::Open { .. }) => {
                poll_driver::run(&mut load, &mut connections).map(|()| load)
            }
        };
        bar.finish_and_clear();
        let load = done.map_err(|error| format!("measuring: {error}"))?;
        // Who answers nothing doesn't answer a goodbye, either.
        let is_there = load.recorder.sessions_lost == 0;
        let mut outcome = self.conclude(load)?;
        if is_there && let Err(error) = close_sessions(connections) {
            complain(&error);
            outcome.errors += 1;
        }
        Ok(outcome)
    }

    /// Tells and writes what was measured.
    fn conclude(&self, mut load: Load) -> Result<Outcome, String> {
        load.finish().map_err(|error| error.to_string())?;
        let result = report::as_json(self.arguments, &load, &self.pids);
        say(&summary::text(&result));
        let unwritten = files::write_all(self.arguments, &load.recorder, &result);
        // What couldn't be written must not be lost: the JSON has all of it.
        let json_is_kept =
            self.arguments.json.is_some() && !unwritten.iter().any(|failed| failed.starts_with("--json"));
        if !unwritten.is_empty() && !json_is_kept {
            say(&format!("{result:#}"));
        }
        Ok(Outcome { errors: load.recorder.errors_count(), partial: load.cut, unwritten })
    }

    fn open_sessions(&self, count: usize, exists_is_fine: bool) -> Result<Vec<Connection>, String> {
        dial::open_all(&self.servers, count, exists_is_fine, &self.wish, self.stop).map_err(|failed| {
            let hint = match failed.error.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    " (nobody listens there: is --server right, does it run?)"
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    " (no local port is left: fewer --sessions, or more --server)"
                }
                _ => "",
            };
            format!("session {} of {count} at {}: {}{hint}", failed.index + 1, failed.server, failed.error)
        })
    }

    /// Makes the root, `parents` parents and the first `count` children, those that aren't there. If some are, and
    /// `with_data`, then every child gets its data anew: another run may have left another size. Returns the errors.
    fn prepare(&self, parents: u64, count: u64, children: u64, with_data: bool) -> Result<u64, String> {
        let start = clock::now();
        let (mut errors, _) = self.create_all(workload::parent_paths(parents), 1, None)?;
        let bar = ("making znodes", count);
        let (failed, existed) =
            self.create_all(workload::child_paths(count, children), PREPARE_SESSIONS, Some(bar))?;
        errors += failed;
        let seconds = (clock::now() - start) as f64 / 1e9;
        let znodes = parents + count + 1;
        say(&format!(
            "prepared {znodes} znodes in {seconds:.2} s ({:.0} creates/s)",
            znodes as f64 / seconds
        ));
        if with_data && existed > 0 {
            errors +=
                self.carry_out(Source::Sets(0..count), PREPARE_SESSIONS, Some(("setting data", count)))?.0;
        }
        Ok(errors)
    }

    /// Creates `paths`; with one session in their order. Returns the errors, and how many were there already.
    fn create_all(
        &self,
        paths: impl Iterator<Item = Vec<u8>> + 'static,
        sessions: usize,
        bar: Option<(&str, u64)>,
    ) -> Result<(u64, u64), String> {
        self.carry_out(Source::Creates(Box::new(paths)), sessions, bar)
    }

    fn carry_out(
        &self,
        source: Source,
        sessions: usize,
        bar: Option<(&str, u64)>,
    ) -> Result<(u64, u64), String> {
        let mut connections = self.open_sessions(sessions, true)?;
        let workload = Workload::new(source, self.arguments.bytes, self.arguments.seed);
        let mut load = Load::unmeasured(workload, PREPARE_OUTSTANDING, self.stop);
        let bar = bar.map(|(what, total)| {
            let (bar, on_progress) = progress::of_operations(what, total);
            load.on_progress = Some(on_progress);
            bar
        });
        let done = poll_driver::run(&mut load, &mut connections);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        done.map_err(|error| format!("preparing: {error}"))?;
        for (kind, count) in load.recorder.errors_by_kind() {
            complain(&format!("preparing: {kind}: {count}"));
        }
        if let Some(reason) = load.cut {
            return Err(format!("preparing: {reason}"));
        }
        close_sessions(connections)?;
        let existed = load.recorder.notes().find(|(what, _)| *what == EXISTED).map_or(0, |(_, count)| count);
        Ok((load.recorder.errors_count(), existed))
    }
}

/// Operations on znodes of this run's own.
const OWN_ZNODES: [Op; 5] = [Op::Create, Op::Delete, Op::Ephemeral, Op::Lock, Op::Queue];

/// All say goodbye before the first answer is waited for: thousands of sessions would take their time one by one.
fn close_sessions(connections: Vec<Connection>) -> Result<(), String> {
    let failed = |index: usize, error| format!("closing session {index}: {error}");
    let mut leaving: Vec<Connection> = connections.into_iter().filter(|c| !c.session.broken).collect();
    for connection in &mut leaving {
        connection.say_goodbye().map_err(|error| failed(connection.session.index, error))?;
    }
    for connection in leaving {
        let index = connection.session.index;
        connection.closed().map_err(|error| failed(index, error))?;
    }
    Ok(())
}

/// How long one attempt of [`wait`] may take: some servers take a connection before they serve, and then forget it.
const WAIT_STEP: Duration = Duration::from_millis(500);

/// Prints the seconds until the server answers a read of `path`. It is dialled again at once when it refuses, so that
/// the time of a restart has the resolution of a failed dial.
pub fn wait(arguments: &WaitArguments) -> Result<(), String> {
    let server = resolve(&arguments.server)?;
    let start = clock::now();
    loop {
        let attempt = Connection::open(server, 30_000, WAIT_STEP)
            .and_then(|mut connection| connection.read(&arguments.path).map(|()| connection));
        let now = clock::now();
        let seconds = (now - start) as f64 / 1e9;
        match attempt {
            Ok(mut connection) => {
                say(&format!("answered after {seconds:.4} s, at {now} ns of the monotone clock"));
                // The answer counts; a session that can't be closed expires.
                let _ = connection.say_goodbye().and_then(|()| connection.closed());
                return Ok(());
            }
            Err(error) if seconds > arguments.seconds => {
                return Err(format!("no answer from {server} within {} s: {error}", arguments.seconds));
            }
            // Half a millisecond: the resolution of the answer, and no burden for the server that starts.
            Err(_) => std::thread::sleep(Duration::from_micros(500)),
        }
    }
}
