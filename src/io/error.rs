//! The one error type of room `io`: what was tried, on what, and what the system's answer means.
//!
//! The errno itself stays inside; callers branch on [`ErrorKind`], people read the `Display`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What a caller can act on. Everything else is `Other` and is only printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The device or the quota is full (ENOSPC, EDQUOT, EFBIG). Not fatal by itself.
    Space,
    /// No such file or directory.
    Missing,
    /// There is such a file already.
    Exists,
    /// Permissions, read-only file system, or a security policy.
    Denied,
    /// Another process holds the lock.
    Locked,
    /// The address is taken.
    Address,
    /// The address isn't one of this host's.
    NotHere,
    /// Out of descriptors or of kernel memory; passes when something is closed.
    Exhausted,
    /// The kernel hasn't got the operation, or refuses it here.
    Unsupported,
    /// The peer refused, reset or dropped the connection, or can't be reached.
    Disconnected,
    Other,
}

/// A failed system call with the context to act on. Carries no errno outwards.
#[derive(Debug)]
pub struct Error {
    action: &'static str,
    target: Target,
    source: io::Error,
    kind: ErrorKind,
}

#[derive(Debug)]
enum Target {
    Nothing,
    Text(String),
    File { path: PathBuf, offset: Option<u64> },
}

impl Error {
    /// `action` completes the sentence "cannot …".
    pub(super) fn new(action: &'static str, source: io::Error) -> Error {
        let kind = kind(&source);
        Error { action, target: Target::Nothing, source, kind }
    }

    /// Of the calling thread's errno.
    pub(super) fn last(action: &'static str) -> Error {
        Error::new(action, io::Error::last_os_error())
    }

    pub(super) fn of_code(action: &'static str, code: i32) -> Error {
        Error::new(action, io::Error::from_raw_os_error(code))
    }

    pub(super) fn of_file(action: &'static str, path: &Path, source: io::Error) -> Error {
        let target = Target::File { path: path.to_owned(), offset: None };
        Error { target, ..Error::new(action, source) }
    }

    pub(super) fn at(mut self, place: u64) -> Error {
        if let Target::File { offset, .. } = &mut self.target {
            *offset = Some(place);
        }
        self
    }

    pub(super) fn on(mut self, text: impl fmt::Display) -> Error {
        self.target = Target::Text(text.to_string());
        self
    }

    pub(super) fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.kind = kind;
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The disk (or quota, or file size limit) is full: reserve handling applies, not the fatal path.
    pub fn is_space(&self) -> bool {
        self.kind == ErrorKind::Space
    }

    /// The host answered, and nobody listens there or wants us.
    pub fn is_refusal(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::ECONNREFUSED | libc::ECONNRESET))
    }

    /// The file the call was about, where it was about one.
    pub fn path(&self) -> Option<&Path> {
        match &self.target {
            Target::File { path, .. } => Some(path),
            Target::Nothing | Target::Text(_) => None,
        }
    }

    pub fn offset(&self) -> Option<u64> {
        match &self.target {
            Target::File { offset, .. } => *offset,
            Target::Nothing | Target::Text(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.action)?;
        match &self.target {
            Target::Nothing => {}
            Target::Text(text) => write!(f, " {text}")?,
            Target::File { path, offset: None } => write!(f, " {}", path.display())?,
            Target::File { path, offset: Some(offset) } => {
                write!(f, " {} at offset {offset}", path.display())?
            }
        }
        write!(f, ": {}", self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn kind(error: &io::Error) -> ErrorKind {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => ErrorKind::Space,
        Some(libc::ENOENT) => ErrorKind::Missing,
        Some(libc::EEXIST) => ErrorKind::Exists,
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => ErrorKind::Denied,
        Some(libc::EADDRINUSE) => ErrorKind::Address,
        Some(libc::EADDRNOTAVAIL) => ErrorKind::NotHere,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => ErrorKind::Exhausted,
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL) => ErrorKind::Unsupported,
        Some(
            libc::ECONNREFUSED
            | libc::ECONNRESET
            | libc::ECONNABORTED
            | libc::EPIPE
            | libc::ETIMEDOUT
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::ENOTCONN,
        ) => ErrorKind::Disconnected,
        _ => match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::Missing,
            io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            _ => ErrorKind::Other,
        },
    }
}
