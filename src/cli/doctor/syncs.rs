//! How long the log's disk takes to make a write durable: `ringkeeper doctor --measure`.
//!
//! Writes to a file of its own in the way of the log, one write after the other, for a second; the file loses its name before
//! the first of them. It is the only part of the doctor that writes. Ended before that, it leaves up to 4 MiB, which the next
//! one takes away.
//! Tested: `syncs_test.rs`; with the command, tests/ensemble/doctor.rs.

use std::path::Path;
use std::time::Duration;

use super::{Finding, Level};
use crate::config::{Config, LogWrite};
use crate::io::{Clock, DirectFile, Directory, Error, ErrorKind, Loop, SegmentFile, install_sigbus_handler};
use crate::server::{self, SUBDIRECTORY};

/// Behind it stands the number of the process.
const PREFIX: &str = "ringkeeper-doctor-";
const FILE_BYTES: u64 = 4 << 20;
/// Of a group with one write of 100 bytes.
const WRITE_BYTES: u64 = 200;
const LONG: Duration = Duration::from_secs(1);
/// Above it etcd's documentation calls a disk too slow for its log (99th percentile of `wal_fsync_duration_seconds`). A write
/// of ZooKeeper's waits for the logs of a quorum in the same way.
const SLOW_MICROS: u64 = 10_000;

enum Writer {
    Direct(DirectFile),
    Mapped(SegmentFile),
}

impl Writer {
    fn create(path: &Path, is_direct: bool) -> Result<Writer, Error> {
        if is_direct {
            match DirectFile::create(path, FILE_BYTES).and_then(DirectFile::try_write) {
                // As the server does where the file system takes no direct writes.
                Err(error) if error.kind() == ErrorKind::Unsupported && path.exists() => {
                    return SegmentFile::open(path).map(Writer::Mapped);
                }
                made => return made.map(Writer::Direct),
            }
        }
        SegmentFile::create(path, FILE_BYTES).map(Writer::Mapped)
    }

    fn way(&self) -> &'static str {
        match self {
            Writer::Direct(_) => "past the page cache",
            Writer::Mapped(_) => "through a memory map",
        }
    }

    /// Returns when it is durable.
    fn write(&mut self, offset: u64) -> Result<(), Error> {
        const BYTES: [u8; WRITE_BYTES as usize] = [7; WRITE_BYTES as usize];
        match self {
            Writer::Direct(file) => file.write_at(offset, &BYTES).and_then(|()| file.persist()),
            Writer::Mapped(file) => {
                file.write_at(offset, &BYTES);
                file.persist()
            }
        }
    }
}

pub fn look(config: &Config) -> Finding {
    if !config.force_sync {
        return unmeasured("with forceSync=no no reply waits for one");
    }
    let io = Loop::new(server::backend(config), 16);
    let is_direct = config.log_write == LogWrite::Direct && io.is_ok_and(|io| io.is_uring());
    look_at(&config.data_log_dir, is_direct)
}

/// `place`: the log's directory is in it, once a server was there, and may be a disk of its own.
fn look_at(place: &Path, is_direct: bool) -> Finding {
    let log = place.join(SUBDIRECTORY);
    let place = if log.is_dir() { &log } else { place };
    let measured = install_sigbus_handler().and_then(|()| measure(&Directory::open(place)?, is_direct, LONG));
    match measured {
        Ok((way, micros)) => judged(way, micros),
        Err(error) if error.kind() == ErrorKind::Missing => {
            unmeasured(&format!("{} isn't there yet", place.display()))
        }
        Err(error) => failed(&error),
    }
}

fn unmeasured(why: &str) -> Finding {
    Finding::new(Level::Note, format!("no sync was measured: {why}"))
}

fn failed(error: &Error) -> Finding {
    let finding = |level| Finding::new(level, format!("no sync could be measured: {error}"));
    match error.kind() {
        ErrorKind::Denied => finding(Level::Warning).todo(
            "Ask again as the user that the server runs as. A file system that is mounted read-only takes no log.",
        ),
        ErrorKind::Space => finding(Level::Warning)
            .todo("A full disk refuses writes, until it has room again.")
            .see("segments"),
        ErrorKind::Other => finding(Level::Wrong)
            .todo("A server whose log can't be written ends. Look at what the kernel says of this disk."),
        _ => finding(Level::Warning),
    }
}

/// One write behind the other, to the end of the file.
fn offsets() -> impl Iterator<Item = u64> + Clone {
    (0..FILE_BYTES - WRITE_BYTES).step_by(WRITE_BYTES as usize)
}

/// How it was written, and how long each write took, in microseconds: one at least.
fn measure(
    directory: &Directory,
    is_direct: bool,
    long: Duration,
) -> Result<(&'static str, Vec<u64>), Error> {
    let own = std::process::id();
    remove_left(directory, own)?;
    let name = format!("{PREFIX}{own}");
    let made = Writer::create(&directory.path_of(&name), is_direct);
    // An open file needs no name.
    let removed = directory.remove(&[&name]);
    let mut file = made?;
    removed?;
    let begin = Clock::instant();
    let mut micros = vec![];
    for offset in offsets().cycle() {
        let before = Clock::instant();
        file.write(offset)?;
        let after = Clock::instant();
        micros.push(u64::try_from(after.since(before).as_micros()).unwrap_or(u64::MAX));
        if after.since(begin) >= long {
            break;
        }
    }
    Ok((file.way(), micros))
}

/// What doctors have left that were ended meanwhile, under whatever name.
fn remove_left(directory: &Directory, own: u32) -> Result<(), Error> {
    let is_left = |name: &str| {
        let number = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        number.is_some_and(|number| number == own || !Path::new(&format!("/proc/{number}")).exists())
    };
    let names: Vec<String> = directory.list()?.into_iter().map(|entry| entry.name).collect();
    let left: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_left(name)).collect();
    if left.is_empty() { Ok(()) } else { directory.remove(&left) }
}

/// `micros`: one at least.
fn judged(way: &str, mut micros: Vec<u64>) -> Finding {
    micros.sort_unstable();
    // By nearest rank.
    let percentile = |percent: usize| micros[(micros.len() * percent).div_ceil(100).max(1) - 1];
    let (half, most, longest) = (percentile(50), percentile(99), percentile(100));
    let count = micros.len();
    let what = format!(
        "a write of the log and its sync take {half} µs (p50 of {count} in a row, {way}; p99 {most}, longest {longest} µs)"
    );
    if most <= SLOW_MICROS {
        return Finding::new(Level::Fine, what);
    }
    Finding::new(Level::Warning, format!("{what}: slow"))
        .todo("Each write waits for that on a quorum of the servers. dataLogDir belongs on a disk of its own, or on one with")
        .todo("a cache that survives a power loss. Ask again when nothing else uses it.")
        .see("nvme")
}

#[cfg(test)]
#[path = "syncs_test.rs"]
mod tests;
