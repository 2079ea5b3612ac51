//! Directories and the files in them: every change of an entry is synced before the call returns.
//!
//! Called by `server` for segments, snapshots, the epoch record and `myid`, and by `cli`. Names are plain file names.
//! Files come into being under a temporary name (suffix `.new`), so a file under its own name is always whole.
//! Not for the hot path: each call is several system calls and may wait for the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind};
use super::socket::check;

const TEMPORARY: &str = "new";
/// A sequential writer's own buffer.
const WRITER_BYTES: usize = 256 << 10;

/// A directory that is there.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    file: File,
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub bytes: u64,
}

/// Of the file system a directory is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Left for us: without what is reserved for root.
    pub available_bytes: u64,
    pub total_bytes: u64,
}

/// Holds a directory for one process, until dropped or until the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Directory {
    pub fn open(path: &Path) -> Result<Directory, Error> {
        let file = File::open(path).map_err(|e| Error::of_file("open directory", path, e))?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            let error = io::Error::from_raw_os_error(libc::ENOTDIR);
            return Err(Error::of_file("open directory", path, error));
        }
        Ok(Directory { path: path.to_owned(), file })
    }

    /// Opens it, and makes it and what is above it first where missing.
    pub fn create(path: &Path) -> Result<Directory, Error> {
        let mut missing: Vec<&Path> =
            path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
        while let Some(next) = missing.pop() {
            match fs::create_dir(next) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::of_file("create directory", next, error));
                }
                _ => sync_parent(next)?,
            }
        }
        Directory::open(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Regular files, sorted by name. Names that aren't UTF-8 can't be ours and are left out.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        let failed = |e| Error::of_file("list directory", &self.path, e);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => entries.push(Entry { name, bytes: metadata.len() }),
                Ok(_) => {}
                // Deleted since, by ourselves: purging runs beside.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::of_file("look at", &entry.path(), error)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// All of a small file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.path_of(name);
        fs::read(&path).map_err(|e| Error::of_file("read", &path, e))
    }

    /// Puts `bytes` in the place of what was there, whole and durable, or leaves what was there.
    pub fn write_atomically(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut writer = self.writer(name)?;
        match writer.append(bytes) {
            Ok(()) => writer.finish(),
            Err(error) => {
                writer.abandon();
                Err(error)
            }
        }
    }

    /// Begins a file which appears under `name` when it is finished.
    pub fn writer(&self, name: &str) -> Result<FileWriter, Error> {
        let path = self.path_of(name);
        let temporary = temporary_name(&path);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(|e| Error::of_file("create", &temporary, e))?;
        Ok(FileWriter { path, temporary, file: BufWriter::with_capacity(WRITER_BYTES, file), bytes: 0 })
    }

    /// Replaces `to` if it is there.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let path = self.path_of(from);
        fs::rename(&path, self.path_of(to)).map_err(|e| Error::of_file("rename", &path, e))?;
        self.sync()
    }

    /// Gives a file of this directory another name, durably; `path` follows it.
    pub(super) fn rename_open(&self, path: &mut PathBuf, name: &str) -> Result<(), Error> {
        let from = path.file_name().and_then(|name| name.to_str()).expect("made under a plain name");
        self.rename(from, name)?;
        *path = self.path_of(name);
        Ok(())
    }

    /// Deletes files, in order, then syncs once. One that is missing already is fine.
    pub fn remove(&self, names: &[&str]) -> Result<(), Error> {
        for name in names {
            let path = self.path_of(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::of_file("delete", &path, error));
                }
                _ => {}
            }
        }
        self.sync()
    }

    /// Gives back what a file has behind its first `bytes`. Not durable before something else is.
    pub fn cut(&self, name: &str, bytes: u64) -> Result<(), Error> {
        let path = self.path_of(name);
        let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(bytes));
        cut.map_err(|e| Error::of_file("shorten", &path, e))
    }

    /// Deletes what a crash left half made, and returns the names. Only while nothing is being written here.
    pub fn remove_leftovers(&self) -> Result<Vec<String>, Error> {
        let suffix = format!(".{TEMPORARY}");
        let mut names: Vec<String> = self.list()?.into_iter().map(|entry| entry.name).collect();
        names.retain(|name| name.ends_with(&suffix));
        self.remove(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(names)
    }

    /// Makes changed entries durable. Every method here that changes entries has done so already.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|e| Error::of_file("persist directory", &self.path, e))
    }

    pub fn space(&self) -> Result<Space, Error> {
        // SAFETY: all-zero is valid for this plain structure.
        let mut stat: libc::statvfs = unsafe { mem::zeroed() };
        // SAFETY: `stat` is writable, and the descriptor is open as long as `self` is.
        check(unsafe { libc::fstatvfs(self.file.as_raw_fd(), &mut stat) })
            .map_err(|e| Error::of_file("ask for the free space of", &self.path, e))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { available_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) })
    }

    /// Takes the directory for this process. `Locked` where another has it; its process id is in the message.
    pub fn lock(&self, name: &str) -> Result<Lock, Error> {
        let path = self.path_of(name);
        let failed = |e| Error::of_file("lock", &path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        // SAFETY: takes no pointers. The lock belongs to this opening of the file, so a second one in this very process
        // is refused as well; it ends with the last descriptor.
        if let Err(error) = check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
            if error.raw_os_error() != Some(libc::EWOULDBLOCK) {
                return Err(failed(error));
            }
            let mut holder = String::new();
            let _ = Read::take(&file, 20).read_to_string(&mut holder);
            let holder = if holder.is_empty() { "unknown" } else { holder.trim() };
            let text = format!(
                "another process (pid {holder}) uses this directory; stop it, or give this one a directory of its own"
            );
            return Err(failed(io::Error::other(text)).with_kind(ErrorKind::Locked));
        }
        // The pid is for people only; the lock doesn't hang on it.
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Lock { _file: file })
    }
}

/// Writes a file from front to end, under a temporary name until it is finished.
#[derive(Debug)]
pub struct FileWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl FileWriter {
    /// After an error the file is good for nothing but [`FileWriter::abandon`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|e| Error::of_file("write", &self.temporary, e).at(self.bytes))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes appended so far.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What was appended so far survives power loss, still under the temporary name. Now and then during a long write, it
    /// keeps the final sync short.
    pub fn persist(&mut self) -> Result<(), Error> {
        let failed = |e| Error::of_file("persist", &self.temporary, e).at(self.bytes);
        self.file.flush().map_err(failed)?;
        self.file.get_ref().sync_data().map_err(failed)
    }

    /// Durable under its own name, in the place of what was there.
    pub fn finish(mut self) -> Result<(), Error> {
        let finished = self.persist().and_then(|()| {
            fs::rename(&self.temporary, &self.path).map_err(|e| Error::of_file("rename to", &self.path, e))
        });
        match finished {
            Ok(()) => sync_parent(&self.path),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Deletes what was written. Best effort: `remove_leftovers` does the rest at the next start.
    pub fn abandon(self) {
        let _ = fs::remove_file(&self.temporary);
        let (_file, _unwritten) = self.file.into_parts(); // without writing what is buffered
    }
}

pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// Makes the entry of a new or renamed file durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| Error::of_file("persist directory", parent, e))
}

#[cfg(test)]
#[path = "directory_test.rs"]
pub(super) mod tests;
