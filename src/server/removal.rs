//! Files that are needed no more go in pieces.
//!
//! What a file system gives back of a large file at once can keep the disk from the log: on ext4 without a journal, mounted with
//! `discard`, 64 MiB took ten milliseconds, and a purge removes several such files. So [`PIECE`] is given back at a time, with a
//! pause that is the caller's; what a crash leaves of a file has a name that a start removes.
//!
//! Limit: [`LEFT_MAX`] bytes that wait for it. Reached: all go at once.
//!
//! Called by `segments.rs`, on its own thread. Tested: here.

use std::collections::VecDeque;

use crate::io::{Directory, Error};

/// Bytes given back at a time.
const PIECE: u64 = 4 << 20;
/// More comes than goes: a log of 400 MiB a second.
const LEFT_MAX: u64 = 1 << 30;

#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Names and what is left of each.
    files: VecDeque<(String, u64)>,
    left: u64,
}

impl Removal {
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn add(&mut self, directory: &Directory, name: String, bytes: u64) -> Result<(), Error> {
        self.files.push_back((name, bytes));
        self.left += bytes;
        if self.left > LEFT_MAX { self.finish(directory) } else { Ok(()) }
    }

    /// The next piece: of the oldest file, or of some small ones. After a fault that file is left where it is.
    pub fn go_on(&mut self, directory: &Directory) -> Result<(), Error> {
        let mut budget = PIECE;
        while let Some((name, bytes)) = self.files.pop_front() {
            self.left -= bytes;
            if bytes > budget {
                let rest = bytes - budget;
                directory.cut(&name, rest)?;
                self.files.push_front((name, rest));
                self.left += rest;
                break;
            }
            directory.remove(&[&name])?;
            budget -= bytes;
            if budget == 0 {
                break;
            }
        }
        Ok(())
    }

    /// All that is left, at once: the room is needed, or nobody will come again. Of several faults the last is told.
    pub fn finish(&mut self, directory: &Directory) -> Result<(), Error> {
        self.left = 0;
        let mut result = Ok(());
        for (name, _) in self.files.drain(..) {
            if let Err(error) = directory.remove(&[&name]) {
                result = Err(error);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::epochs::tests::Scratch;

    fn sizes(directory: &Directory) -> Vec<(String, u64)> {
        let mut sizes: Vec<_> =
            directory.list().unwrap().into_iter().map(|entry| (entry.name, entry.bytes)).collect();
        sizes.sort();
        sizes
    }

    fn make(directory: &Directory, name: &str, bytes: u64) {
        std::fs::File::create(directory.path_of(name)).unwrap().set_len(bytes).unwrap();
    }

    #[test]
    fn a_file_goes_in_pieces_and_the_oldest_first() {
        let scratch = Scratch::new();
        let directory = scratch.directory();
        let mut removal = Removal::default();
        for (name, bytes) in [("a", 2 * PIECE + 1), ("b", PIECE), ("kept", 7)] {
            make(&directory, name, bytes);
        }
        removal.add(&directory, "a".into(), 2 * PIECE + 1).unwrap();
        removal.add(&directory, "b".into(), PIECE).unwrap();
        let kept = ("kept".to_owned(), 7);
        let file = |name: &str, bytes| (name.to_owned(), bytes);
        for expected in [
            vec![file("a", PIECE + 1), file("b", PIECE), kept.clone()],
            vec![file("a", 1), file("b", PIECE), kept.clone()],
            vec![file("b", 1), kept.clone()],
            vec![kept.clone()],
            vec![kept],
        ] {
            removal.go_on(&directory).unwrap();
            assert_eq!(sizes(&directory), expected);
        }
        assert!(removal.is_empty() && removal.left == 0);
    }

    #[test]
    fn small_files_share_a_piece_and_too_much_at_a_time_goes_at_once() {
        let scratch = Scratch::new();
        let directory = scratch.directory();
        let mut removal = Removal::default();
        for number in 0..9 {
            let name = format!("{number}");
            make(&directory, &name, PIECE / 4);
            removal.add(&directory, name, PIECE / 4).unwrap();
        }
        removal.go_on(&directory).unwrap();
        assert_eq!(sizes(&directory).len(), 5);
        make(&directory, "large", LEFT_MAX - PIECE);
        removal.add(&directory, "large".into(), LEFT_MAX - PIECE).unwrap();
        assert!(removal.is_empty() && sizes(&directory).is_empty());
    }

    #[test]
    fn what_is_left_goes_at_once_where_the_room_is_needed() {
        let scratch = Scratch::new();
        let directory = scratch.directory();
        let mut removal = Removal::default();
        for name in ["a", "b"] {
            make(&directory, name, 3 * PIECE);
            removal.add(&directory, name.into(), 3 * PIECE).unwrap();
        }
        // What can't be removed keeps nothing else.
        std::fs::create_dir(directory.path_of("c")).unwrap();
        removal.files.push_front(("c".into(), 0));
        removal.finish(&directory).expect_err("a directory");
        std::fs::remove_dir(directory.path_of("c")).unwrap();
        assert_eq!(sizes(&directory), []);
        removal.finish(&directory).unwrap();
    }

    /// Somebody else removed the first: the next one's turn comes.
    #[test]
    fn a_file_that_cannot_be_cut_does_not_keep_the_others() {
        let scratch = Scratch::new();
        let directory = scratch.directory();
        let mut removal = Removal::default();
        make(&directory, "b", 1);
        removal.add(&directory, "gone".into(), 3 * PIECE).unwrap();
        removal.add(&directory, "b".into(), 1).unwrap();
        removal.go_on(&directory).expect_err("it isn't there");
        removal.go_on(&directory).unwrap();
        assert!(removal.is_empty() && sizes(&directory).is_empty());
    }
}
