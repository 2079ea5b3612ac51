//! `ringkeeper log check`, `ringkeeper snapshot check`: is what lies there whole? A line for each; nothing is changed.

use std::io::Write;
use std::path::PathBuf;

use super::super::apache;
use super::super::progress::Progress;
use super::super::snapshot::{Refused, refused};
use super::{End, Kind, Logs, Patient, Seen, Told, damaged, files, folders, image};
use crate::base::Zxid;
use crate::server;
use crate::wire::txn::Entry;
use crate::wire::{Decode, Reader};

/// What is to be checked: files, or whole directories.
#[derive(clap::Args, Debug)]
pub struct Check {
    /// A file of Apache ZooKeeper's or ours, a data directory, or a folder of such files
    #[arg(value_name = "FILE|DIR", required = true)]
    pub paths: Vec<PathBuf>,
}

/// Each file that is named by itself; of a directory all logs together: whether they continue each other, too.
pub fn check_logs(arguments: &Check, out: &mut dyn Write, progress: &Progress) -> Result<Told, End> {
    let (mut verdicts, out) = (Verdicts::default(), &mut Patient(out));
    for path in &arguments.paths {
        let found = match path.is_dir() {
            true => Logs::of_directory(path),
            false => Logs::of_files(std::slice::from_ref(path)).map(|logs| vec![logs]),
        };
        match found {
            Ok(found) => {
                for logs in &found {
                    verdicts.add(check_log(logs, progress), out)?;
                }
            }
            Err(refused) => verdicts.add(Err(refused), out)?,
        }
    }
    Ok(verdicts.told("logs"))
}

/// Every file by itself.
pub fn check_snapshots(arguments: &Check, out: &mut dyn Write, progress: &Progress) -> Result<Told, End> {
    crate::io::install_sigbus_handler().map_err(Refused::from)?;
    let (mut verdicts, out) = (Verdicts::default(), &mut Patient(out));
    for path in &arguments.paths {
        let mut found = vec![];
        if path.is_dir() {
            for folder in folders(path) {
                // Held as long as its files are read: a server purges.
                let lock = server::hold(&folder).map_err(Refused::from)?;
                let in_folder = files(&folder, |kind| !kind.is_log())?;
                found.extend(in_folder.into_iter().map(|(_, path)| path));
                if let Some(lock) = lock {
                    verdicts.locks.push(lock);
                }
            }
            if found.is_empty() {
                let place = path.display();
                let none = format!("{place} holds no snapshot, of ringkeeper or of Apache ZooKeeper");
                verdicts.add(Err(refused(none)), out)?;
            }
        } else {
            found.push(path.clone());
        }
        for file in found {
            let mut notes = vec![];
            let read = Kind::of(&file)
                .and_then(|kind| image::read_snapshot(&file, kind, progress, &mut |note| notes.push(note)));
            let line = read.map(|image| {
                let line = format!(
                    "{}: {} znodes, {} of them ephemeral, {} sessions, zxid {}",
                    file.display(),
                    image.store.nodes_count(),
                    image.store.ephemerals_count(),
                    image.sessions.len(),
                    image.store.newest()
                );
                notes.insert(0, line);
                notes.join("; ")
            });
            verdicts.add(line, out)?;
        }
    }
    Ok(verdicts.told("snapshots"))
}

#[derive(Default)]
struct Verdicts {
    count: usize,
    bad: usize,
    code: u8,
    locks: Vec<crate::io::Lock>,
}

impl Verdicts {
    fn add(&mut self, verdict: Result<String, Refused>, out: &mut dyn Write) -> Result<(), End> {
        self.count += 1;
        let line = match verdict {
            Ok(line) => line,
            Err(refused) => {
                self.bad += 1;
                self.code = self.code.max(refused.code);
                refused.text
            }
        };
        Ok(writeln!(out, "{line}")?)
    }

    fn told(self, what: &str) -> Told {
        let Verdicts { count, bad, code, .. } = self;
        let line = match bad {
            0 => format!("{count} {what} checked: whole"),
            _ => format!("{count} {what} checked: {bad} not whole, or not readable"),
        };
        Told { line, code }
    }
}

/// Every checksum, every transaction, and that none is missing between two.
fn check_log(logs: &Logs, progress: &Progress) -> Result<String, Refused> {
    let mut notes = vec![];
    let (mut count, mut first, mut last) = (0u64, None, Zxid::ZERO);
    logs.each(progress, &mut |note| notes.push(note), &mut |Seen { file, offset, zxid, entry }| {
        let decoded = Entry::decode(&mut Reader::new(entry)).map_err(|error| {
            damaged(
                file,
                offset + error.offset as u64,
                format_args!("transaction {zxid} can't be read: {error}"),
            )
        })?;
        if decoded.header.zxid != zxid {
            let what = format!("transaction {zxid} names itself {}", decoded.header.zxid);
            return Err(damaged(file, offset, what));
        }
        apache::check_paths(&decoded.txn)
            .map_err(|what| damaged(file, offset, format_args!("transaction {zxid} is a {what}")))?;
        count += 1;
        first.get_or_insert(zxid);
        last = zxid;
        Ok(true)
    })?;
    let range = first.map_or_else(String::new, |first| format!(", zxid {first} to {last}"));
    let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
    Ok(format!("{}: {count} transactions{range}{notes}", logs.place()))
}
