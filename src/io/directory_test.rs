//! Directories on the real file system.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory of one test's own, gone at its end.
pub(in super::super) struct Scratch(PathBuf);

impl Scratch {
    pub(in super::super) fn new(name: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringkeeper-io-{name}-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` in a directory on a file system of one mebibyte, seen by its own thread only.
pub(in super::super) fn on_a_tiny_disk(test: impl FnOnce(&Path) + Send) {
    let scratch = Scratch::new("tiny");
    let target = std::ffi::CString::new(scratch.path().to_str().unwrap()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let null = std::ptr::null();
            // SAFETY: all strings are terminated and outlive the calls. The namespace belongs to this thread, so nobody
            // else sees the mount, and it goes when the thread does.
            unsafe {
                check(libc::unshare(libc::CLONE_NEWNS))
                    .expect("this test mounts a small tmpfs to fill it up, and for that it must run as root");
                let private = libc::MS_REC | libc::MS_PRIVATE;
                check(libc::mount(c"none".as_ptr(), c"/".as_ptr(), null, private, null.cast())).unwrap();
                let (kind, size) = (c"tmpfs".as_ptr(), c"size=1m".as_ptr());
                check(libc::mount(kind, target.as_ptr(), kind, 0, size.cast())).unwrap();
            }
            test(scratch.path());
        });
    });
}

fn names(directory: &Directory) -> Vec<String> {
    directory.list().unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_missing_directory_is_made_with_its_parents() {
    let scratch = Scratch::new("create");
    let path = scratch.path().join("a/b/c");
    let missing = Directory::open(&path).unwrap_err();
    assert_eq!((missing.kind(), missing.path()), (ErrorKind::Missing, Some(path.as_path())));
    let directory = Directory::create(&path).unwrap();
    assert_eq!(directory.path(), path);
    Directory::create(&path).unwrap();
    fs::write(scratch.path().join("file"), b"").unwrap();
    assert!(Directory::open(&scratch.path().join("file")).is_err());
    assert!(Directory::create(&scratch.path().join("file/below")).is_err());
}

#[test]
fn an_atomic_write_replaces_all_or_nothing() {
    let scratch = Scratch::new("atomic");
    let directory = Directory::open(scratch.path()).unwrap();
    directory.write_atomically("record", b"first").unwrap();
    directory.write_atomically("record", b"second and longer").unwrap();
    assert_eq!(directory.read("record").unwrap(), b"second and longer");
    assert_eq!(names(&directory), ["record"], "no temporary file is left");
    let missing = directory.read("other").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Missing);
    assert!(missing.to_string().contains("other"), "{missing}");
}

#[test]
fn a_file_appears_when_it_is_finished() {
    let scratch = Scratch::new("writer");
    let directory = Directory::open(scratch.path()).unwrap();
    let mut writer = directory.writer("snapshot").unwrap();
    assert!(writer.is_empty());
    for piece in 0..100u32 {
        writer.append(&[piece as u8; 10_000]).unwrap();
    }
    writer.persist().unwrap();
    assert_eq!(writer.len(), 1_000_000);
    assert!(directory.read("snapshot").is_err());
    assert_eq!(fs::metadata(scratch.path().join("snapshot.new")).unwrap().len(), 1_000_000);
    writer.finish().unwrap();
    assert_eq!(directory.list().unwrap(), [Entry { name: "snapshot".into(), bytes: 1_000_000 }]);
    let read = directory.read("snapshot").unwrap();
    assert!(read.chunks(10_000).enumerate().all(|(piece, chunk)| chunk.iter().all(|b| *b == piece as u8)));
    let mut given_up = directory.writer("other").unwrap();
    given_up.append(b"unwanted").unwrap();
    given_up.abandon();
    assert_eq!(names(&directory), ["snapshot"]);
}

#[test]
fn entries_are_renamed_deleted_and_listed_in_order() {
    let scratch = Scratch::new("entries");
    let directory = Directory::open(scratch.path()).unwrap();
    for name in ["log.2", "log.10", "log.1", "half.new"] {
        fs::write(directory.path_of(name), name).unwrap();
    }
    fs::create_dir(directory.path_of("subdirectory")).unwrap();
    assert_eq!(directory.remove_leftovers().unwrap(), ["half.new"]);
    assert_eq!(names(&directory), ["log.1", "log.10", "log.2"]);
    directory.rename("log.1", "log.2").unwrap();
    assert_eq!(directory.read("log.2").unwrap(), b"log.1");
    directory.remove(&["log.2", "never was"]).unwrap();
    assert_eq!(names(&directory), ["log.10"]);
    assert_eq!(directory.rename("never was", "x").unwrap_err().kind(), ErrorKind::Missing);
    assert!(directory.remove(&["subdirectory"]).is_err());
}

#[test]
fn a_locked_directory_is_refused_with_the_holders_pid() {
    let scratch = Scratch::new("lock");
    let directory = Directory::open(scratch.path()).unwrap();
    let lock = directory.lock("lock").unwrap();
    let refused = Directory::open(scratch.path()).unwrap().lock("lock").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
    drop(lock);
    directory.lock("lock").unwrap();
}

/// The lock is the kernel's: it holds against other processes, and ends with the holder however that ends.
#[test]
fn the_lock_holds_between_processes() {
    let scratch = Scratch::new("lock-process");
    let directory = Directory::open(scratch.path()).unwrap();
    let path = std::ffi::CString::new(directory.path_of("lock").to_str().unwrap()).unwrap();
    let try_in_child = || {
        // SAFETY: the child makes async-signal-safe calls only, on strings made before the fork.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let fd = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
                let refused = libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) != 0;
                libc::_exit(i32::from(refused));
            }
            assert!(child > 0);
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert!(libc::WIFEXITED(status));
            libc::WEXITSTATUS(status) == 0
        }
    };
    assert!(try_in_child(), "free: the child gets it, and it ends with the child");
    let lock = directory.lock("lock").unwrap();
    assert!(!try_in_child(), "held");
    drop(lock);
    assert!(try_in_child(), "free again");
}

#[test]
fn space_is_that_of_the_file_system() {
    on_a_tiny_disk(|path| {
        let directory = Directory::open(path).unwrap();
        let empty = directory.space().unwrap();
        assert_eq!(empty.total_bytes, 1 << 20);
        fs::write(path.join("half"), vec![1; 1 << 19]).unwrap();
        let half = directory.space().unwrap();
        assert_eq!(empty.available_bytes - half.available_bytes, 1 << 19);
    });
}

#[test]
fn a_full_disk_is_told_apart_and_leaves_what_was_there() {
    on_a_tiny_disk(|path| {
        let directory = Directory::open(path).unwrap();
        directory.write_atomically("record", b"old").unwrap();
        let error = directory.write_atomically("record", &vec![1; 2 << 20]).unwrap_err();
        assert!(error.is_space(), "{error}");
        assert!(error.path().is_some() && error.to_string().contains("record"), "{error}");
        assert_eq!(directory.read("record").unwrap(), b"old");
        assert_eq!(names(&directory), ["record"], "the half-written file is gone, and its space is free");
        let mut writer = directory.writer("snapshot").unwrap();
        let error =
            (0..1000).find_map(|_| writer.append(&[1; 100_000]).err()).expect("one mebibyte is full soon");
        assert!(error.is_space() && error.offset().is_some_and(|offset| offset > 500_000), "{error}");
        writer.abandon();
        assert_eq!(names(&directory), ["record"]);
    });
}
