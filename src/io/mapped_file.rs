//! Files seen as memory: the log's segments, written through the map; and any file, to be read whole.
//!
//! A segment is made by the recipe that `design.md` 8 measured: zeroes by direct writes, fsync, read it back in small
//! folios, map, advise random access, populate for *reading*. Then a small store dirties 4 KiB (not a 1 MiB folio)
//! and faults on nothing but the write protection. Its size never changes, so no access is past the end of the file.
//! Invariants: 1. a `SegmentFile` has one owner, which alone writes. 2. nobody truncates a mapped file: the directory's
//! lock keeps other servers away; who does it all the same is named by `sigbus`. 3. a failed persist is never retried: the
//! caller treats it as fatal.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, MmapMut};

use super::direct_file::BLOCK_BYTES;
use super::directory;
use super::directory::Directory;
use super::error::Error;
use super::sigbus::Registration;

/// Zeroes are written in pieces of this size.
const ZEROES_BYTES: usize = 256 << 10;

/// How much is asked for at once when a segment is read back: the usual `read_ahead_kb`, above which the kernel ignores
/// the rest. Left to the populating faults, each page would be a read of its own: 16 MiB took 1.3 s, so they take 25 ms.
const READ_BACK_BYTES: usize = 128 << 10;

/// And how much is under way at the most. The block layer serves reads before writes: with a whole segment asked for,
/// the log's persists waited for all 64 MiB of it, 70 ms; so they wait for one such piece, below a millisecond.
const READ_AHEAD_BYTES: usize = 512 << 10;

/// A preallocated file written through a map of all of it.
pub struct SegmentFile {
    /// Leaves the handler's table before the map goes.
    _registration: Registration,
    map: MmapMut,
    file: File,
    path: PathBuf,
}

impl SegmentFile {
    /// Makes a file of `bytes` zeroes, durable with its directory entry. Takes a while (all is written and read back once):
    /// prepare the next segment before it is needed, on a thread that may wait. A crash or an error leaves nothing under
    /// `path`; a leftover under the temporary name goes with [`super::Directory::remove_leftovers`].
    /// Errors: `Exists`; `Space`, and then nothing is left behind.
    pub fn create(path: &Path, bytes: u64) -> Result<SegmentFile, Error> {
        SegmentFile::map(make_zeroes(path, bytes)?, path)
    }

    /// An existing segment, to go on writing to it. Whatever folios its pages have in the cache are made small.
    pub fn open(path: &Path) -> Result<SegmentFile, Error> {
        let file = SegmentFile::open_clean(path)?;
        drop_folios(&file);
        SegmentFile::map(file, path)
    }

    /// A segment of this process that is no longer needed, to be written anew. Its folios are small already and mostly in
    /// the cache: nothing is read that is there.
    pub fn reuse(path: &Path) -> Result<SegmentFile, Error> {
        SegmentFile::map(SegmentFile::open_clean(path)?, path)
    }

    fn open_clean(path: &Path) -> Result<File, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| Error::of_file("open", path, e))?;
        file.sync_all().map_err(|e| Error::of_file("persist", path, e))?;
        Ok(file)
    }

    /// The file is clean, its folios are small.
    fn map(file: File, path: &Path) -> Result<SegmentFile, Error> {
        // SAFETY: the file's size doesn't change and nobody else writes to it while it is mapped: module invariants 1, 2.
        let map = unsafe { MmapMut::map_mut(&file) }.map_err(|e| Error::of_file("map", path, e))?;
        map.advise(Advice::Random).map_err(|e| Error::of_file("advise random access to", path, e))?;
        populate(&file, &map, path)?;
        let registration = Registration::new(&map, path);
        Ok(SegmentFile { _registration: registration, map, file, path: path.to_owned() })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file another name in its directory, durably.
    pub fn rename(&mut self, directory: &Directory, name: &str) -> Result<(), Error> {
        directory.rename_open(&mut self.path, name)
    }

    /// Copies into the map; durable after [`SegmentFile::persist`]. Past the end is the caller's bug: it knows the size.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len() as u64);
        assert!(end.is_some_and(|end| end <= self.map.len() as u64), "a segment never grows");
        let offset = offset as usize;
        self.map[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Everything written so far survives power loss once this returns. An error is fatal: the pages may be marked clean
    /// though they were not written, so a second try would lie.
    pub fn persist(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|e| Error::of_file("persist", &self.path, e))
    }
}

/// A whole file, read through a map. The file must not be changed meanwhile: finished snapshots, sealed segments.
pub struct MappedFile {
    _registration: Registration,
    map: Mmap,
    path: PathBuf,
}

impl MappedFile {
    pub fn open(path: &Path) -> Result<MappedFile, Error> {
        let file = File::open(path).map_err(|e| Error::of_file("open", path, e))?;
        // SAFETY: callers map finished files only, and the directory's lock keeps other servers away: invariant 2.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::of_file("map", path, e))?;
        if !map.is_empty() {
            map.advise(Advice::Sequential).map_err(|e| Error::of_file("advise reading of", path, e))?;
        }
        let registration = Registration::new(&map, path);
        Ok(MappedFile { _registration: registration, map, path: path.to_owned() })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// As [`SegmentFile::create`] says.
pub(super) fn make_zeroes(path: &Path, bytes: u64) -> Result<File, Error> {
    assert!(bytes > 0, "an empty segment holds nothing");
    if path.exists() {
        let exists = io::Error::from_raw_os_error(libc::EEXIST);
        return Err(Error::of_file("create", path, exists));
    }
    let temporary = directory::temporary_name(path);
    let made = write_zeroes(&temporary, bytes).and_then(|file| {
        fs::rename(&temporary, path).map_err(|e| Error::of_file("rename to", path, e))?;
        directory::sync_parent(path)?;
        Ok(file)
    });
    made.inspect_err(|_| {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    })
}

/// Writes past the page cache where the file system can: there the zeroes cost no copying, and leave no large folios
/// behind. A piece at a time, so that a log that is being synced meanwhile waits for one piece at the most.
fn write_zeroes(path: &Path, bytes: u64) -> Result<File, Error> {
    let failed = |e| Error::of_file("create", path, e);
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).map_err(failed)?;
    reserve(&file, path, bytes)?;
    let zeroes = Zeroes([0; ZEROES_BYTES]);
    let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path);
    let direct = direct.ok().filter(|_| bytes.is_multiple_of(BLOCK_BYTES));
    let is_direct = direct.is_some();
    let writer = direct.as_ref().unwrap_or(&file);
    for start in (0..bytes).step_by(ZEROES_BYTES) {
        let piece = usize::try_from(bytes - start).unwrap_or(usize::MAX).min(ZEROES_BYTES);
        writer
            .write_all_at(&zeroes.0[..piece], start)
            .map_err(|e| Error::of_file("preallocate", path, e).at(start))?;
        if !is_direct {
            file.sync_data().map_err(|e| Error::of_file("preallocate", path, e).at(start))?;
        }
    }
    file.sync_all().map_err(|e| Error::of_file("persist", path, e))?;
    if !is_direct {
        drop_folios(&file);
    }
    Ok(file)
}

#[repr(align(4096))]
struct Zeroes([u8; ZEROES_BYTES]);

/// Takes the room on the disk at once, so that a full disk is found before anything is written, and the file is in one
/// piece. Only a wish: some file systems can't.
fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), Error> {
    // SAFETY: takes no pointers.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes as i64) };
    let error = io::Error::last_os_error();
    if result != 0 && !matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINTR)) {
        return Err(Error::of_file("preallocate", path, error));
    }
    Ok(())
}

/// Takes the large folios that writing or reading ahead left out of the page cache; [`populate`] reads small ones back.
/// The file must be clean. Only advice: where a file system takes none, persisting is slower and `doctor` tells.
pub(super) fn drop_folios(file: &File) {
    advise(file, 0, 0, libc::POSIX_FADV_DONTNEED);
}

fn advise(file: &File, offset: usize, length: usize, advice: libc::c_int) {
    // SAFETY: takes no pointers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), offset as i64, length as i64, advice) };
}

/// Maps every page for reading, a piece at a time. Not for writing: that would dirty them all.
fn populate(file: &File, map: &MmapMut, path: &Path) -> Result<(), Error> {
    for start in (0..map.len()).step_by(READ_AHEAD_BYTES) {
        let bytes = READ_AHEAD_BYTES.min(map.len() - start);
        // Asked for like this, not by a fault, the kernel reads page by page into single-page folios, but in large requests.
        for offset in (start..start + bytes).step_by(READ_BACK_BYTES) {
            advise(file, offset, READ_BACK_BYTES, libc::POSIX_FADV_WILLNEED);
        }
        match map.advise_range(Advice::PopulateRead, start, bytes) {
            Ok(()) => {}
            // Linux before 5.14: touching the pages one by one does the same, slower.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let pages = map[start..start + bytes].iter().step_by(4096);
                std::hint::black_box(pages.fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
            }
            Err(error) => return Err(Error::of_file("read", path, error).at(start as u64)),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "mapped_file_test.rs"]
mod tests;
