//! `ringkeeper log dump`: the transactions of a log file, Apache's or ours, a line each.
//!
//! A line is what Apache's `TxnLogToolkit` prints up to the type: time, session, cxid, zxid, type. Then comes what it is
//! about, without data and ACLs: those can be long and are anybody's bytes. The time is UTC.
//! Tested: here, and tests/java_files.rs.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::apache::{LOG_MAGIC, LogReader, Step};
use super::log_import::{self, Import};
use super::progress::Progress;
use super::snapshot;
use crate::admin::date_time;
use crate::config::LogFormat;
use crate::io::MappedFile;
use crate::log::{self, SegmentId};
use crate::wire::txn::{Entry, Txn};
use crate::wire::{Decode, Reader};

#[derive(clap::Subcommand, Debug)]
pub enum Command {
    Dump(Dump),
    Import(Import),
}

/// Prints the transactions of a log file: one of Apache ZooKeeper's (log.…) or a segment of ours (segment.…).
#[derive(clap::Args, Debug)]
pub struct Dump {
    file: PathBuf,
}

pub fn run(command: &Command) -> ExitCode {
    super::log_to_stderr(LogFormat::Text);
    match command {
        Command::Dump(Dump { file }) => run_dump(file),
        Command::Import(arguments) => run_import(arguments),
    }
}

fn run_import(arguments: &Import) -> ExitCode {
    let progress = &Progress::shown();
    let done = log_import::import(arguments, progress, &mut |line| progress.say(&line));
    progress.end();
    snapshot::tell("log import", done)
}

fn run_dump(file: &Path) -> ExitCode {
    // Lines on the same terminal show how far it is.
    let progress = if io::stdout().is_terminal() { Progress::hidden() } else { Progress::shown() };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let dumped = dump(file, &progress, &mut out);
    progress.end();
    let dumped = dumped.and_then(|end| out.flush().map(|()| end).map_err(End::Output));
    match dumped {
        Ok(line) => {
            eprintln!("{line}");
            ExitCode::SUCCESS
        }
        // Whoever reads has enough, as `head` does.
        Err(End::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(End::Output(error)) => {
            eprintln!("ringkeeper log dump: cannot write: {error}");
            ExitCode::from(3)
        }
        Err(End::Unreadable(text)) => {
            eprintln!("ringkeeper log dump: {text}");
            ExitCode::from(3)
        }
        Err(End::Damaged { offset, what }) => {
            // What is whole was printed.
            let _ = out.flush();
            eprintln!("ringkeeper log dump: {}: damaged at byte {offset}: {what}", file.display());
            ExitCode::from(4)
        }
    }
}

/// Why it doesn't come to the end.
#[derive(Debug)]
enum End {
    Unreadable(String),
    Damaged { offset: u64, what: String },
    Output(io::Error),
}

/// Gives back what is to be said of the file's end.
fn dump(path: &Path, progress: &Progress, out: &mut impl Write) -> Result<String, End> {
    let unreadable = |error: &dyn std::fmt::Display| End::Unreadable(error.to_string());
    crate::io::install_sigbus_handler().map_err(|error| unreadable(&error))?;
    let mut magic = [0; 4];
    let begin = File::open(path).and_then(|mut file| file.read(&mut magic));
    begin.map_err(|error| End::Unreadable(format!("cannot read {}: {error}", path.display())))?;
    let file = MappedFile::open(path).map_err(|error| unreadable(&error))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    progress.begin("reading", path, file.bytes().len() as u64);
    match SegmentId::parse(name) {
        Some(id) if magic != LOG_MAGIC => dump_ours(file.bytes(), id, progress, out),
        _ => dump_apache(file.bytes(), progress, out),
    }
}

fn dump_apache(file: &[u8], progress: &Progress, out: &mut impl Write) -> Result<String, End> {
    let mut reader = LogReader::new(file);
    let mut count = 0;
    loop {
        match reader.step() {
            Step::Entry { offset, entry, .. } => {
                write_entry(offset, entry, out)?;
                progress.is_at(offset);
                count += 1;
            }
            Step::End => return Ok(format!("{count} transactions")),
            Step::Torn { offset, why } => {
                return Ok(format!("{count} transactions; torn at byte {offset}, as after a crash: {why}"));
            }
            Step::Damaged { offset, what } => return Err(End::Damaged { offset, what }),
        }
    }
}

fn dump_ours(file: &[u8], id: SegmentId, progress: &Progress, out: &mut impl Write) -> Result<String, End> {
    let header = log::Header::decode(file, id);
    let header =
        header.map_err(|fault| End::Damaged { offset: 0, what: format!("no segment {id}: {fault:?}") })?;
    let mut reader = log::Reader::new(file, header, u64::MAX);
    let mut count = 0;
    loop {
        match reader.step() {
            log::Step::Entry(entry) => {
                write_entry(reader.offset() - entry.payload.len() as u64, entry.payload, out)?;
                progress.is_at(reader.offset());
                count += 1;
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

fn write_entry(offset: u64, bytes: &[u8], out: &mut impl Write) -> Result<(), End> {
    let entry = Entry::decode(&mut Reader::new(bytes));
    let Entry { header, txn, .. } = entry.map_err(|error| End::Damaged {
        offset: offset + error.offset as u64,
        what: format!("a transaction that can't be read: {error}"),
    })?;
    let line = format!(
        "{} session 0x{:x} cxid 0x{:x} zxid {} {}",
        date_time(header.time),
        header.client_id.0,
        header.cxid,
        header.zxid,
        describe(&txn)
    );
    writeln!(out, "{}", line.trim_end()).map_err(End::Output)
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
