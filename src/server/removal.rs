//! Files that are needed no more go in pieces.
//!
//! What a file system gives back of a large file at once can keep the disk from the log: mounted with `discard`, 64 MiB took ten
//! milliseconds, and a purge removes several such files. So a file is cut shorter by [`PIECE`] at a time, with a pause that is the
//! caller's; what a crash leaves of one has a name that a start removes.
//!
//! Called by `segments.rs`, on its own thread. Tested: here.

use std::collections::VecDeque;

use crate::io::{Directory, Error};

/// Bytes given back at a time.
const PIECE: u64 = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Names and what is left of each.
    files: VecDeque<(String, u64)>,
}

impl Removal {
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn add(&mut self, name: String, bytes: u64) {
        self.files.push_back((name, bytes));
    }

    /// The next piece of the oldest. After a fault that file is left where it is.
    pub fn go_on(&mut self, directory: &Directory) -> Result<(), Error> {
        let Some((name, bytes)) = self.files.pop_front() else { return Ok(()) };
        let left = bytes.saturating_sub(PIECE);
        if left == 0 {
            return directory.remove(&[&name]);
        }
        directory.cut(&name, left)?;
        self.files.push_front((name, left));
        Ok(())
    }

    /// All that is left, at once: the room is needed, or nobody will come again.
    pub fn finish(&mut self, directory: &Directory) -> Result<(), Error> {
        let names: Vec<String> = self.files.drain(..).map(|(name, _)| name).collect();
        directory.remove(&names.iter().map(String::as_str).collect::<Vec<_>>())
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
        removal.add("a".into(), 2 * PIECE + 1);
        removal.add("b".into(), PIECE);
        let kept = ("kept".to_owned(), 7);
        let b = ("b".to_owned(), PIECE);
        for expected in [
            vec![("a".to_owned(), PIECE + 1), b.clone(), kept.clone()],
            vec![("a".to_owned(), 1), b.clone(), kept.clone()],
            vec![b, kept.clone()],
            vec![kept.clone()],
            vec![kept],
        ] {
            removal.go_on(&directory).unwrap();
            assert_eq!(sizes(&directory), expected);
        }
        assert!(removal.is_empty());
    }

    #[test]
    fn what_is_left_goes_at_once_where_the_room_is_needed() {
        let scratch = Scratch::new();
        let directory = scratch.directory();
        let mut removal = Removal::default();
        for name in ["a", "b"] {
            make(&directory, name, 3 * PIECE);
            removal.add(name.into(), 3 * PIECE);
        }
        removal.go_on(&directory).unwrap();
        removal.finish(&directory).unwrap();
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
        removal.add("gone".into(), 3 * PIECE);
        removal.add("b".into(), 1);
        removal.go_on(&directory).expect_err("it isn't there");
        removal.go_on(&directory).unwrap();
        assert!(removal.is_empty() && sizes(&directory).is_empty());
    }
}
