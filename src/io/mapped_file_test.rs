//! Mapped files on the real file system.

use std::os::unix::fs::FileExt;

use super::super::directory::Directory;
use super::super::directory::tests::{Scratch, on_a_tiny_disk};
use super::super::error::ErrorKind;
use super::super::sigbus::install_sigbus_handler;
use super::*;

const BYTES: u64 = 3 << 20;

#[test]
fn what_is_written_is_read_back_after_reopening() {
    let scratch = Scratch::new("segment");
    let path = scratch.path().join("segment");
    let mut segment = SegmentFile::create(&path, BYTES).unwrap();
    assert_eq!(segment.bytes().len() as u64, BYTES);
    assert!(segment.bytes().iter().all(|b| *b == 0), "a new segment is all zeroes");
    segment.write_at(0, b"head");
    segment.write_at(4093, b"across pages");
    segment.write_at(BYTES - 4, b"tail");
    segment.persist().unwrap();
    assert_eq!(segment.path(), path);
    let file = File::open(&path).unwrap();
    let mut head = [0; 4];
    file.read_exact_at(&mut head, 0).unwrap();
    assert_eq!(&head, b"head", "the file itself shows it, not only the map");
    drop(segment);
    let read = MappedFile::open(&path).unwrap();
    assert_eq!((&read.bytes()[4093..4105], read.path()), (&b"across pages"[..], path.as_path()));
    drop(read);
    let mut again = SegmentFile::open(&path).unwrap();
    assert_eq!(&again.bytes()[BYTES as usize - 4..], b"tail");
    again.write_at(1, b"E");
    assert_eq!(&again.bytes()[..4], b"hEad");
}

/// All of it: a hole would be filled by the first store, and that can fail or be slow.
#[test]
fn a_segment_is_allocated_in_full() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new("allocated");
    let path = scratch.path().join("segment");
    let _segment = SegmentFile::create(&path, BYTES + 5).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), BYTES + 5);
    assert!(metadata.blocks() * 512 >= BYTES, "{} blocks", metadata.blocks());
}

/// Bytes of page cache which this thread has made dirty.
fn dirtied_bytes() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/io")
        .expect("needs CONFIG_TASK_IO_ACCOUNTING, as all distributions have");
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    line.parse().unwrap()
}

/// What the recipe is for. With the folios that large writes leave, each of these persists would write a megabyte.
#[test]
fn a_small_store_dirties_a_page_and_not_a_megabyte() {
    let scratch = Scratch::new("folios");
    let path = scratch.path().join("segment");
    let store = |mut segment: SegmentFile| {
        let before = dirtied_bytes();
        for index in 0..8 {
            segment.write_at(index * 300_000, b"a few bytes");
            segment.persist().unwrap();
        }
        let dirtied = dirtied_bytes() - before;
        assert!(dirtied <= 8 * 16_384, "{dirtied} bytes for eight small persists");
    };
    store(SegmentFile::create(&path, BYTES).unwrap());
    assert!(
        MappedFile::open(&path).unwrap().bytes().iter().any(|b| *b != 0),
        "reading ahead makes large folios"
    );
    store(SegmentFile::open(&path).unwrap());
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let scratch = Scratch::new("exists");
    let path = scratch.path().join("segment");
    fs::write(&path, b"precious").unwrap();
    assert_eq!(SegmentFile::create(&path, BYTES).err().unwrap().kind(), ErrorKind::Exists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let missing = SegmentFile::open(&scratch.path().join("none")).err().unwrap();
    assert_eq!(missing.kind(), ErrorKind::Missing);
    assert!(missing.to_string().contains("none"), "{missing}");
    assert_eq!(MappedFile::open(&scratch.path().join("none")).err().unwrap().kind(), ErrorKind::Missing);
}

#[test]
fn an_empty_file_reads_as_nothing() {
    let scratch = Scratch::new("empty");
    let path = scratch.path().join("empty");
    fs::write(&path, b"").unwrap();
    assert!(MappedFile::open(&path).unwrap().bytes().is_empty());
}

#[test]
#[should_panic(expected = "a segment never grows")]
fn writing_past_the_end_is_a_bug() {
    let scratch = Scratch::new("past");
    let mut segment = SegmentFile::create(&scratch.path().join("segment"), 8192).unwrap();
    segment.write_at(8190, b"abc");
}

#[test]
fn a_segment_that_does_not_fit_leaves_nothing_behind() {
    on_a_tiny_disk(|path| {
        let error = SegmentFile::create(&path.join("segment"), 8 << 20).err().unwrap();
        assert!(error.is_space(), "{error}");
        // Refused as a whole, before anything was written: there is no offset to tell.
        assert!(error.to_string().contains("segment"), "{error}");
        let directory = Directory::open(path).unwrap();
        assert_eq!(directory.list().unwrap(), []);
        assert_eq!(directory.space().unwrap().available_bytes, 1 << 20);
    });
}

/// A child process touches a page of a file that was cut short; its last words must name file and offset.
#[test]
fn a_page_that_cannot_be_had_names_its_file() {
    use std::io::Read;
    use std::os::fd::FromRawFd;
    install_sigbus_handler().unwrap();
    let scratch = Scratch::new("sigbus");
    let path = scratch.path().join("cut-short");
    let segment = SegmentFile::create(&path, 1 << 20).unwrap();
    let other = MappedFile::open(&path).unwrap();
    drop(other); // leaves the table again
    OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
    let mut pipe = [0; 2];
    // SAFETY: `pipe` has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the child does async-signal-safe things only: dup2, a load, _exit. The load is of mapped memory.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::dup2(pipe[1], 2);
            std::ptr::read_volatile(segment.bytes().as_ptr().add(20_000));
            libc::_exit(0);
        }
        child
    };
    assert!(child > 0);
    // SAFETY: the writing end is ours and not used any more; the reading end gets its owner.
    let mut reader = unsafe {
        libc::close(pipe[1]);
        File::from_raw_fd(pipe[0])
    };
    let mut words = String::new();
    reader.read_to_string(&mut words).unwrap();
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT,
        "status {status:x}: {words}"
    );
    assert!(words.contains(path.to_str().unwrap()), "{words}");
    assert!(words.contains("at offset 20000:"), "{words}");
}
