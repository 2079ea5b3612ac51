//! How far a long job has come, drawn on standard error if that is a terminal; nothing anywhere else.
//!
//! Called by the commands that read and write files. Lines that are said meanwhile go through [`Progress::say`], so that the
//! bar doesn't stand in the middle of them.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

/// On standard output. Who reads no more ends no work that is under way.
pub fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// One file at a time. `Clone` is the same bar.
#[derive(Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Drawn on a terminal.
    pub fn shown() -> Progress {
        Progress(if io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() })
    }

    pub fn hidden() -> Progress {
        Progress(ProgressBar::hidden())
    }

    /// Of a file of so many bytes. `what`: what is done with it.
    pub fn begin(&self, what: &str, file: &Path, bytes: u64) {
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        self.start(template, what, file);
        self.0.set_length(bytes);
    }

    /// Of a file that nobody knows the size of before it is written.
    pub fn begin_unsized(&self, what: &str, file: &Path) {
        self.start("{spinner} {msg} {bytes} {bytes_per_sec}", what, file);
        self.0.unset_length();
    }

    fn start(&self, template: &str, what: &str, file: &Path) {
        self.0.set_style(ProgressStyle::with_template(template).expect("a template of ours"));
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        self.0.set_message(format!("{what} {name}"));
        self.0.reset();
    }

    pub fn is_at(&self, byte: u64) {
        self.0.set_position(byte);
    }

    /// A file that is read from its beginning to its end.
    pub fn reading(&self, file: File, path: &Path) -> io::Result<impl Read + use<>> {
        self.begin("reading", path, file.metadata()?.len());
        Ok(self.0.wrap_read(file))
    }

    pub fn say(&self, line: &str) {
        self.0.suspend(|| print(line));
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
