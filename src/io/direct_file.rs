//! A segment of the log written past the page cache: whole blocks from a buffer of ours, durable when the write completes.
//!
//! The other way to write a segment beside the map (`mapped_file.rs`): no fault at the first store to a page, no walk over
//! the maps of a page to write it back, and the event loop's ring can carry the write, so that no other thread has to be
//! woken (figures: tuning/log.md). What is appended collects in the buffer from the last block on that is not full;
//! [`DirectFile::persist`] writes it at once, [`super::Loop::persist`] through the ring. The last block is written again with
//! the next piece, with the same bytes before it.
//! Invariants: 1. one owner; while the kernel reads from the buffer that is the loop. 2. the file is preallocated and never
//! grows: blocks are never written past its end. 3. a write that failed is never tried again: the caller treats it as fatal.
//! Limits: the file system must know O_DIRECT; sizes are multiples of [`BLOCK_BYTES`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memmap2::MmapMut;

use super::directory::Directory;
use super::error::{Error, ErrorKind};
use super::mapped_file;

/// Of offsets, lengths and memory of direct I/O: no device's block is larger. A map's memory is aligned to it.
pub(super) const BLOCK_BYTES: u64 = 4 << 10;
/// The buffer at first and after a large piece; pages that were never touched cost nothing.
const BUFFER_BYTES: usize = 1 << 20;

pub struct DirectFile {
    file: File,
    path: PathBuf,
    /// Of the file.
    bytes: u64,
    buffer: MmapMut,
    /// Where the buffer's first byte stands in the file: at a block.
    start: u64,
    /// How much of the buffer is filled.
    filled: usize,
    /// Filled bytes wait to be written.
    is_dirty: bool,
}

impl std::fmt::Debug for DirectFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DirectFile { path, start, filled, is_dirty, .. } = self;
        write!(f, "DirectFile({}, {start} + {filled}, dirty: {is_dirty})", path.display())
    }
}

impl DirectFile {
    /// Makes a file of `bytes` zeroes, as [`super::SegmentFile::create`] does, but doesn't map it.
    /// Errors: as there; `Unsupported` as in [`DirectFile::open`].
    pub fn create(path: &Path, bytes: u64) -> Result<DirectFile, Error> {
        mapped_file::make_zeroes(path, bytes)?;
        DirectFile::open(path)
    }

    /// An existing segment, to go on writing to it or to write it anew.
    /// Errors: `Unsupported` where the file system or the file's size doesn't go with direct I/O.
    pub fn open(path: &Path) -> Result<DirectFile, Error> {
        let failed = |error| Error::of_file("open for direct writes", path, error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
            .open(path)
            .map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if !bytes.is_multiple_of(BLOCK_BYTES) {
            let odd = io::Error::from_raw_os_error(libc::EINVAL);
            return Err(failed(odd).with_kind(ErrorKind::Unsupported));
        }
        mapped_file::drop_folios(&file);
        let buffer = buffer(BUFFER_BYTES).map_err(failed)?;
        Ok(DirectFile {
            file,
            path: path.to_owned(),
            bytes,
            buffer,
            start: bytes,
            filled: 0,
            is_dirty: false,
        })
    }

    /// Writes the first block as it is: some file systems and devices take such a file's opening, and no write to it.
    /// Errors: `Unsupported` where that is so.
    pub fn try_write(mut self) -> Result<DirectFile, Error> {
        let block = &mut self.buffer[..BLOCK_BYTES as usize];
        let tried = self.file.read_exact_at(block, 0).and_then(|()| self.file.write_all_at(block, 0));
        tried.map_err(|error| self.failure(error))?;
        Ok(self)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file another name in its directory, durably.
    pub fn rename(&mut self, directory: &Directory, name: &str) -> Result<(), Error> {
        directory.rename_open(&mut self.path, name)
    }

    /// Durable after the next persist. Offsets rise; what they leave out becomes zeroes as far as the last block goes.
    /// Past the end is the caller's bug: it knows the size.
    /// Errors: where writing doesn't go on at what is in the buffer, the block before is read.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        assert!(offset + bytes.len() as u64 <= self.bytes, "a segment never grows");
        let end = self.start + self.filled as u64;
        if offset < end || offset >= end + BLOCK_BYTES {
            assert!(!self.is_dirty, "the log leaves out less than a block between two groups");
            self.load(offset)?;
        }
        let from = (offset - self.start) as usize;
        let to = from + bytes.len();
        self.make_room(to)?;
        self.buffer[self.filled..from].fill(0);
        self.buffer[from..to].copy_from_slice(bytes);
        self.filled = to;
        self.is_dirty = true;
        Ok(())
    }

    /// Something was written and not persisted.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Everything written so far survives power loss once this returns. An error is fatal.
    pub fn persist(&mut self) -> Result<(), Error> {
        let Some(length) = self.piece().map(|(piece, _)| piece.len()) else { return Ok(()) };
        let written = self.file.write_all_at(&self.buffer[..length], self.start);
        written.map_err(|error| self.failure(error))?;
        self.settle();
        Ok(())
    }

    /// The block before `offset`, of which the next piece begins with.
    fn load(&mut self, offset: u64) -> Result<(), Error> {
        self.start = offset - offset % BLOCK_BYTES;
        self.filled = (offset - self.start) as usize;
        if self.filled > 0 {
            let block = &mut self.buffer[..BLOCK_BYTES as usize];
            let read = self.file.read_exact_at(block, self.start);
            read.map_err(|error| Error::of_file("read", &self.path, error).at(self.start))?;
        }
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let needed = bytes.next_multiple_of(BLOCK_BYTES as usize);
        if needed > self.buffer.len() {
            let size = needed.next_power_of_two();
            let mut larger = buffer(size).map_err(|error| self.failure(error))?;
            larger[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
            self.buffer = larger;
        }
        Ok(())
    }

    /// Whole blocks with all that waits, and where in the file they belong. None: nothing waits.
    pub(super) fn piece(&mut self) -> Option<(&[u8], u64)> {
        if !self.is_dirty {
            return None;
        }
        let end = self.filled.next_multiple_of(BLOCK_BYTES as usize);
        self.buffer[self.filled..end].fill(0);
        assert!(self.start + end as u64 <= self.bytes, "blocks of a file that is made of whole ones");
        Some((&self.buffer[..end], self.start))
    }

    /// The piece is durable: the block that is not full stays for the next one.
    pub(super) fn settle(&mut self) {
        let whole = self.filled - self.filled % BLOCK_BYTES as usize;
        let rest = self.filled - whole;
        if self.buffer.len() > BUFFER_BYTES
            && let Ok(mut usual) = buffer(BUFFER_BYTES)
        {
            usual[..rest].copy_from_slice(&self.buffer[whole..self.filled]);
            self.buffer = usual;
        } else {
            self.buffer.copy_within(whole..self.filled, 0);
        }
        self.start += whole as u64;
        self.filled = rest;
        self.is_dirty = false;
    }

    pub(super) fn failure(&self, error: io::Error) -> Error {
        Error::of_file("persist", &self.path, error).at(self.start)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

fn buffer(bytes: usize) -> io::Result<MmapMut> {
    MmapMut::map_anon(bytes)
}

#[cfg(test)]
#[path = "direct_file_test.rs"]
mod tests;
