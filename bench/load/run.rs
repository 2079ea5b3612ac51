//! A whole run: sessions, preparation, the measured load, farewell, report.
//!
//! Called by `main`. The preparation (trees, keys) uses sessions of its own and is never measured.

use crate::arguments::{DriverChoice, LoadArguments, WaitArguments, resolve, resolve_all};
use crate::clock;
use crate::connection::{Connection, STEP_TIMEOUT};
use crate::load::{Load, Pacing};
use crate::workload::{self, CHILDREN_PER_PARENT, Endless, Mix, ROOT, Source, Workload};
use crate::{poll_driver, report, ring_driver};
use ringkeeper::base::Prng;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Sessions and pipelining of the preparation: enough to keep any server busy.
const PREPARE_SESSIONS: usize = 8;
const PREPARE_OUTSTANDING: usize = 256;

/// Returns how many errors the run met.
pub fn run(arguments: &LoadArguments) -> Result<u64, String> {
    arguments.check()?;
    let servers = &resolve_all(&arguments.server)?;
    let mut errors = 0;
    if let Some(shape) = arguments.preload {
        errors += prepare(arguments, servers, shape.parents, shape.parents * shape.children, shape.children)?;
    }
    let Some(mix) = arguments.op else { return Ok(errors) };
    if mix != Mix::Create && !arguments.keys_exist {
        let parents = arguments.keys.div_ceil(CHILDREN_PER_PARENT);
        errors += prepare(arguments, servers, parents, arguments.keys, CHILDREN_PER_PARENT)?;
    }
    let create_prefix = format!("{ROOT}/new-{}", unique_suffix());
    if mix == Mix::Create {
        let parents: Vec<Vec<u8>> = std::iter::once(ROOT.to_owned())
            .chain(std::iter::once(create_prefix.clone()))
            .chain((0..arguments.sessions).map(|session| format!("{create_prefix}/s{session:05}")))
            .map(String::into_bytes)
            .collect();
        errors += create_all(arguments, servers, parents.into_iter(), 1)?;
    }
    errors += measure(arguments, servers, mix, create_prefix)?;
    Ok(errors)
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

fn open_sessions(
    arguments: &LoadArguments,
    servers: &[SocketAddr],
    count: usize,
    exists_is_fine: bool,
) -> Result<Vec<Connection>, String> {
    (0..count)
        .map(|index| {
            let server = servers[index % servers.len()];
            Connection::open(server, index, arguments.session_timeout, exists_is_fine, STEP_TIMEOUT)
                .map_err(|error| format!("session {} of {count} at {server}: {error}", index + 1))
        })
        .collect()
}

fn close_sessions(connections: Vec<Connection>) -> Result<(), String> {
    for connection in connections.into_iter().filter(|c| !c.session.broken) {
        let index = connection.session.index;
        connection.close().map_err(|error| format!("closing session {index}: {error}"))?;
    }
    Ok(())
}

/// Makes the root, `parents` parents and the first `count` children, those that aren't there. Returns the errors.
fn prepare(
    arguments: &LoadArguments,
    servers: &[SocketAddr],
    parents: u64,
    count: u64,
    children: u64,
) -> Result<u64, String> {
    let start = clock::now();
    let mut errors = create_all(arguments, servers, workload::parent_paths(parents), 1)?;
    errors += create_all(arguments, servers, workload::child_paths(count, children), PREPARE_SESSIONS)?;
    let seconds = (clock::now() - start) as f64 / 1e9;
    let znodes = parents + count + 1;
    println!("prepared {znodes} znodes in {seconds:.2} s ({:.0} creates/s)", znodes as f64 / seconds);
    Ok(errors)
}

/// Creates `paths`; with one session in their order.
fn create_all(
    arguments: &LoadArguments,
    servers: &[SocketAddr],
    paths: impl Iterator<Item = Vec<u8>> + 'static,
    sessions: usize,
) -> Result<u64, String> {
    let mut connections = open_sessions(arguments, servers, sessions, true)?;
    let workload = Workload::new(Source::Creates(Box::new(paths)), arguments.bytes);
    let mut load = Load::unmeasured(workload, PREPARE_OUTSTANDING);
    poll_driver::run(&mut load, &mut connections).map_err(|error| format!("preparing: {error}"))?;
    for (kind, count) in load.recorder.errors_by_kind() {
        eprintln!("preparing: {kind}: {count}");
    }
    close_sessions(connections)?;
    Ok(load.recorder.errors_count())
}

fn measure(
    arguments: &LoadArguments,
    servers: &[SocketAddr],
    mix: Mix,
    create_prefix: String,
) -> Result<u64, String> {
    let mut connections = open_sessions(arguments, servers, arguments.sessions, false)?;
    let endless = Endless {
        mix,
        keys: arguments.keys,
        rng: Prng::salted(arguments.seed, "workload"),
        create_prefix,
        created: 0,
    };
    let workload = Workload::new(Source::Endless(endless), arguments.bytes);
    let mut load = Load::measured(workload, arguments.plan());
    match (arguments.driver, arguments.pacing()) {
        (DriverChoice::Uring, Pacing::Closed { .. }) => {
            load = ring_driver::run(load, &mut connections).map_err(|error| format!("measuring: {error}"))?;
        }
        (DriverChoice::Poll, _) | (_, Pacing::Open { .. }) => {
            poll_driver::run(&mut load, &mut connections).map_err(|error| format!("measuring: {error}"))?;
        }
    }
    // A ring's tasks may all end before its ticker sees the window's end.
    load.on_turn(clock::now()).map_err(|error| error.to_string())?;
    if load.end.is_none() {
        load.recorder.error("the load ended before its window");
    }
    let result = report::as_json(arguments, &load);
    println!("{}", report::as_line(&result));
    if let Some(path) = &arguments.json {
        write_json(path, &result)?;
    }
    close_sessions(connections)?;
    Ok(load.recorder.errors_count())
}

fn write_json(path: &Path, result: &serde_json::Value) -> Result<(), String> {
    std::fs::write(path, format!("{result:#}\n"))
        .map_err(|error| format!("--json {}: {error}", path.display()))
}

/// How long one attempt of [`wait`] may take: some servers take a connection before they serve, and then forget it.
const WAIT_STEP: Duration = Duration::from_millis(500);

/// Prints the seconds until the server answers a read of `path`. It is dialled again at once when it refuses, so that
/// the time of a restart has the resolution of a failed dial.
pub fn wait(arguments: &WaitArguments) -> Result<(), String> {
    let server = resolve(&arguments.server)?;
    let start = clock::now();
    loop {
        let attempt = Connection::open(server, 0, 30_000, false, WAIT_STEP)
            .and_then(|mut connection| connection.read(&arguments.path).map(|()| connection));
        let now = clock::now();
        let seconds = (now - start) as f64 / 1e9;
        match attempt {
            Ok(connection) => {
                println!("answered after {seconds:.4} s, at {now} ns of the monotone clock");
                // The answer counts; a session that can't be closed expires.
                let _ = connection.close();
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
