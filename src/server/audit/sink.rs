//! Where the audit log's lines go, and how they look.
//!
//! Called by the thread "audit". A file is appended to; when it was renamed or removed, as by logrotate, a new one is
//! begun within a second of the next line. What can't be written is counted, and told at most once in [`PATIENCE`].
//! Tested: sink_test.rs.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::base::{Instant, WallMillis};
use crate::config::LogFormat;
use crate::io::Clock;

use super::super::Fatal;
use super::entries::{Entry, Outcome};

/// How long a renamed file may be written to.
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Sink {
    format: LogFormat,
    /// `None`: standard error.
    file: Option<Appended>,
    /// What is to be written.
    text: Vec<u8>,
    lines: u64,
    /// Lines that could not be written, since that was told.
    lost: u64,
    complained: Option<Instant>,
}

struct Appended {
    path: PathBuf,
    file: File,
    looked: Instant,
}

impl Sink {
    pub fn open(path: Option<&Path>, format: LogFormat) -> Result<Sink, Fatal> {
        let file = path.map(Appended::open).transpose();
        let file = file.map_err(|error| {
            let path = path.unwrap_or(Path::new("")).display();
            Fatal::Foreign(format!(
                "can't open {path} for the audit log: {error}. Set ringkeeper.auditFile to a file that this user \
                 may write, or leave it out: then the log goes to standard error."
            ))
        })?;
        Ok(Sink { format, file, text: vec![], lines: 0, lost: 0, complained: None })
    }

    pub fn add_all(&mut self, at: WallMillis, entries: Vec<Entry>) {
        for entry in entries {
            self.text.extend_from_slice(line(self.format, at, &entry).as_bytes());
            self.text.push(b'\n');
            self.lines += 1;
        }
    }

    /// All that was added.
    pub fn write(&mut self) {
        let result = match &mut self.file {
            Some(file) => file.append(&self.text),
            None => std::io::stderr().lock().write_all(&self.text),
        };
        let lines = std::mem::take(&mut self.lines);
        self.text.clear();
        let now = Clock::instant();
        match result {
            Ok(()) if self.lost == 0 => self.complained = None,
            Ok(()) => {
                tracing::error!(lost = self.lost, "audit log: written again; lines are missing");
                self.lost = 0;
                self.complained = None;
            }
            Err(error) => {
                self.lost += lines;
                if self.complained.is_none_or(|last| now.since(last) >= PATIENCE) {
                    self.complained = Some(now);
                    tracing::error!(%error, lost = self.lost, "audit log: can't be written, lines are lost");
                }
            }
        }
    }
}

impl Appended {
    fn open(path: &Path) -> std::io::Result<Appended> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Appended { path: path.to_owned(), file, looked: Clock::instant() })
    }

    fn append(&mut self, text: &[u8]) -> std::io::Result<()> {
        let now = Clock::instant();
        if now.since(self.looked) >= LOOK {
            self.looked = now;
            if !self.is_in_place() {
                *self = Appended::open(&self.path)?;
            }
        }
        self.file.write_all(text)
    }

    /// The path still leads to this file.
    fn is_in_place(&self) -> bool {
        let identity = |of: std::io::Result<std::fs::Metadata>| of.ok().map(|of| (of.dev(), of.ino()));
        identity(std::fs::metadata(&self.path)) == identity(self.file.metadata())
    }
}

/// As log lines look, with the target `audit`. The text behind it is that of ZooKeeper's Slf4jAuditLogger.
fn line(format: LogFormat, at: WallMillis, entry: &Entry) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    let level = if entry.outcome == Outcome::Failure { "ERROR" } else { "INFO" };
    let fields = entry.fields();
    match format {
        LogFormat::Text => {
            let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{at:.6} {level:>5} audit: {}", pairs.join("\t"))
        }
        LogFormat::Json => {
            let at = format!("{at:.6}");
            let head = [("timestamp", at.as_str()), ("level", level), ("target", "audit")];
            let head = head.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
            Value::Object(head.chain(fields).collect::<Map<_, _>>()).to_string()
        }
    }
}

#[cfg(test)]
#[path = "sink_test.rs"]
mod tests;
