//! `ringkeeper log dump`: the transactions of a log file or of a directory's logs, Apache's or ours, a line each.
//!
//! A line is what Apache's `TxnLogToolkit` prints up to the type: time, session, cxid, zxid, type. Then comes what it is
//! about, without data and ACLs: those can be long and are anybody's bytes. The time is UTC.
//! Tested: here, and tests/java_files.rs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::apache::{LOG_MAGIC, LogReader, Step};
use super::inspect::{self, Check, Logs, Seen, Told};
use super::log_import::{self, Import};
use super::moment::{self, Moment};
use super::progress::Progress;
use super::snapshot::{self, Refused};
use crate::admin::date_time;
use crate::config::LogFormat;
use crate::io::MappedFile;
use crate::log::{self, SegmentId};
use crate::wire::txn::{Entry, Txn, TxnHeader};
use crate::wire::{Decode, Reader};

#[derive(clap::Subcommand, Debug)]
pub enum Command {
    Dump(Dump),
    /// Says whether logs are whole: every checksum, every transaction, and that none is missing. Changes nothing
    Check(Check),
    Import(Import),
}

/// Prints the transactions of a log file: one of Apache ZooKeeper's (log.…) or a segment of ours (segment.…). Of a directory it
/// prints those of all its logs, as they follow each other.
#[derive(clap::Args, Debug)]
pub struct Dump {
    /// A log file, or the directory of a server that is stopped
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,

    #[command(flatten)]
    range: Range,
}

/// What is printed of it.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Range {
    /// Nothing before it: a zxid (0x…) or a time (2026-11-22T05:00:00Z)
    #[arg(long, value_name = "ZXID|TIME", value_parser = moment::parse)]
    from: Option<Moment>,

    /// Nothing behind it
    #[arg(long, value_name = "ZXID|TIME", value_parser = moment::parse)]
    to: Option<Moment>,
}

impl Range {
    /// Times need not rise: another leader's clock may be behind.
    fn holds(&self, header: &TxnHeader) -> bool {
        let is_late_enough = match self.from {
            None => true,
            Some(Moment::Zxid(from)) => header.zxid >= from,
            Some(Moment::Time(from)) => header.time >= from,
        };
        let is_early_enough = match self.to {
            None => true,
            Some(Moment::Zxid(to)) => header.zxid <= to,
            Some(Moment::Time(to)) => header.time <= to,
        };
        is_late_enough && is_early_enough
    }
}

pub fn run(command: &Command) -> ExitCode {
    super::log_to_stderr(LogFormat::Text);
    match command {
        Command::Dump(arguments) => run_dump(arguments),
        Command::Check(arguments) => {
            inspect::listing("log check", |out, progress| inspect::check_logs(arguments, out, progress))
        }
        Command::Import(arguments) => run_import(arguments),
    }
}

fn run_import(arguments: &Import) -> ExitCode {
    let progress = &Progress::shown();
    let done = log_import::import(arguments, progress, &mut |line| progress.say(&line));
    progress.end();
    snapshot::tell("log import", done)
}

fn run_dump(Dump { path, range }: &Dump) -> ExitCode {
    inspect::listing("log dump", |mut out, progress| {
        let dumped = match path.is_dir() {
            true => dump_directory(path, *range, progress, &mut out),
            false => dump(path, *range, progress, &mut out),
        };
        match dumped {
            Ok(line) => Ok(Told { line, code: 0 }),
            Err(End::Output(error)) => Err(inspect::End::Output(error)),
            Err(End::Refused(refused)) => Err(inspect::End::Refused(refused)),
            Err(End::Unreadable(text)) => Err(inspect::End::Refused(snapshot::refused(text))),
            Err(End::Damaged { offset, what }) => {
                Err(inspect::End::Refused(inspect::damaged(path, offset, what)))
            }
        }
    })
}

/// Why it doesn't come to the end.
#[derive(Debug)]
enum End {
    Unreadable(String),
    Damaged { offset: u64, what: String },
    Refused(Refused),
    Output(io::Error),
}

impl From<Refused> for End {
    fn from(refused: Refused) -> End {
        End::Refused(refused)
    }
}

/// All logs of a directory.
fn dump_directory(
    path: &Path,
    range: Range,
    progress: &Progress,
    out: &mut impl Write,
) -> Result<String, End> {
    let mut notes = vec![];
    let mut count = 0;
    for logs in Logs::of_directory(path)? {
        logs.each(progress, &mut |note| notes.push(note), &mut |Seen { file, offset, entry, .. }| {
            match write_entry(offset, entry, range, out) {
                Ok(written) => count += written,
                Err(End::Damaged { offset, what }) => return Err(inspect::damaged(file, offset, what).into()),
                Err(end) => return Err(end),
            }
            Ok(true)
        })?;
    }
    notes.push(format!("{count} transactions"));
    Ok(notes.join("\n"))
}

/// Gives back what is to be said of the file's end.
fn dump(path: &Path, range: Range, progress: &Progress, out: &mut impl Write) -> Result<String, End> {
    let unreadable = |error: &dyn std::fmt::Display| End::Unreadable(error.to_string());
    crate::io::install_sigbus_handler().map_err(|error| unreadable(&error))?;
    let mut magic = [0; 4];
    let begin = File::open(path).and_then(|mut file| file.read(&mut magic));
    begin.map_err(|error| End::Unreadable(format!("cannot read {}: {error}", path.display())))?;
    let file = MappedFile::open(path).map_err(|error| unreadable(&error))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    progress.begin("reading", path, file.bytes().len() as u64);
    match SegmentId::parse(name) {
        Some(id) if magic != LOG_MAGIC => dump_ours(file.bytes(), id, range, progress, out),
        _ => dump_apache(file.bytes(), range, progress, out),
    }
}

fn dump_apache(file: &[u8], range: Range, progress: &Progress, out: &mut impl Write) -> Result<String, End> {
    let mut reader = LogReader::new(file);
    let mut count = 0;
    loop {
        match reader.step() {
            Step::Entry { offset, entry, .. } => {
                count += write_entry(offset, entry, range, out)?;
                progress.is_at(offset);
            }
            Step::End => return Ok(format!("{count} transactions")),
            Step::Torn { offset, why } => {
                return Ok(format!("{count} transactions; torn at byte {offset}, as after a crash: {why}"));
            }
            Step::Damaged { offset, what } => return Err(End::Damaged { offset, what }),
        }
    }
}

fn dump_ours(
    file: &[u8],
    id: SegmentId,
    range: Range,
    progress: &Progress,
    out: &mut impl Write,
) -> Result<String, End> {
    let header = log::Header::decode(file, id);
    let header =
        header.map_err(|fault| End::Damaged { offset: 0, what: format!("no segment {id}: {fault:?}") })?;
    let mut reader = log::Reader::new(file, header, u64::MAX);
    let mut count = 0;
    loop {
        match reader.step() {
            log::Step::Entry(entry) => {
                let offset = reader.offset() - entry.payload.len() as u64;
                count += write_entry(offset, entry.payload, range, out)?;
                progress.is_at(reader.offset());
            }
            log::Step::Group => {}
            // Only the segment behind it says whether more was written once.
            log::Step::Done => return Ok(format!("{count} transactions")),
            log::Step::Broken { offset, why } => {
                return Ok(format!("{count} transactions; the segment ends at byte {offset}: {why}"));
            }
        }
    }
}

/// How many lines came of it.
fn write_entry(offset: u64, bytes: &[u8], range: Range, out: &mut impl Write) -> Result<u64, End> {
    let entry = Entry::decode(&mut Reader::new(bytes));
    let Entry { header, txn, .. } = entry.map_err(|error| End::Damaged {
        offset: offset + error.offset as u64,
        what: format!("a transaction that can't be read: {error}"),
    })?;
    if !range.holds(&header) {
        return Ok(0);
    }
    let line = format!(
        "{} session 0x{:x} cxid 0x{:x} zxid {} {}",
        date_time(header.time),
        header.client_id.0,
        header.cxid,
        header.zxid,
        describe(&txn)
    );
    writeln!(out, "{}", line.trim_end()).map_err(End::Output)?;
    Ok(1)
}

/// Its type, and what it is about. One line, whatever the path.
fn describe(txn: &Txn<'_>) -> String {
    let path = |path: crate::wire::Text<'_>| path.to_str_lossy().escape_debug().to_string();
    match txn {
        Txn::CreateSession(session) => format!("createSession {}", session.timeout_ms),
        Txn::CloseSession(paths) => {
            let paths: Vec<String> = paths.iter().flat_map(|paths| paths.iter()).map(path).collect();
            format!("closeSession {}", paths.join(","))
        }
        Txn::Create(create) => format!("create {}{}", path(create.path), ephemeral(create.ephemeral)),
        Txn::Create2(create) => format!("create2 {}{}", path(create.path), ephemeral(create.ephemeral)),
        Txn::CreateContainer(create) => format!("createContainer {}", path(create.path)),
        Txn::CreateTtl(create) => format!("createTTL {} ttl {}", path(create.path), create.ttl),
        Txn::Delete(delete) => format!("delete {}", path(delete.path)),
        Txn::DeleteContainer(delete) => format!("deleteContainer {}", path(delete.path)),
        Txn::SetData(set) => format!("setData {} version {}", path(set.path), set.version),
        Txn::Reconfig(set) => format!("reconfig {} version {}", path(set.path), set.version),
        Txn::SetAcl(set) => format!("setACL {} version {}", path(set.path), set.version),
        Txn::Error(error) => format!("error {}", error.err),
        Txn::Check(check) => format!("check {} version {}", path(check.path), check.version),
        Txn::Multi(ops) => {
            let ops: Vec<String> = ops.iter().map(|op| describe(&op.0)).collect();
            format!("multi {}", ops.join("; "))
        }
    }
}

fn ephemeral(is_ephemeral: bool) -> &'static str {
    if is_ephemeral { " ephemeral" } else { "" }
}

#[cfg(test)]
#[path = "log_dump_test.rs"]
mod tests;
