//! The one file of a loop whose bytes the kernel may be reading.

use super::super::direct_file::DirectFile;
use super::super::error::Error;
use super::super::operation::{Completion, Kind, Submission, Token};
use super::Table;

/// A log has one persist under way at a time, and a loop has one log.
#[derive(Debug, Default)]
pub(super) enum Persisting {
    #[default]
    Nothing,
    /// The kernel reads from its buffer.
    InFlight(Box<DirectFile>),
    /// Not taken yet.
    Over(Box<DirectFile>, Result<(), Error>),
}

impl Table {
    /// One at a time.
    pub(in super::super) fn persist(&mut self, mut file: Box<DirectFile>) {
        assert!(matches!(self.persisting, Persisting::Nothing), "one persist at a time");
        let fd = file.fd();
        let Some((piece, offset)) = file.piece() else {
            self.persisting = Persisting::Over(file, Ok(()));
            return;
        };
        let token = Token::new(Kind::Persist, 0, 0);
        let submission =
            Submission::Persist { token, fd, bytes: piece.as_ptr(), length: piece.len(), offset };
        self.in_flight += 1;
        self.submissions.push_back(submission);
        self.persisting = Persisting::InFlight(file);
    }

    /// Given and not taken back.
    pub(in super::super) fn is_persisting(&self) -> bool {
        !matches!(self.persisting, Persisting::Nothing)
    }

    pub(in super::super) fn has_persisted(&self) -> bool {
        matches!(self.persisting, Persisting::Over(..))
    }

    pub(in super::super) fn take_persisted(&mut self) -> Option<(Box<DirectFile>, Result<(), Error>)> {
        if !self.has_persisted() {
            return None;
        }
        match std::mem::take(&mut self.persisting) {
            Persisting::Over(file, result) => Some((file, result)),
            Persisting::Nothing | Persisting::InFlight(_) => None,
        }
    }

    pub(super) fn on_persisted(&mut self, completion: Completion) {
        let Persisting::InFlight(mut file) = std::mem::take(&mut self.persisting) else {
            panic!("persisted {completion:?} without a persist in flight");
        };
        assert!(!completion.more, "a persist completes once");
        let length = file.piece().map_or(0, |(piece, _)| piece.len());
        let result = match completion.result {
            code @ ..0 => Err(file.failure(std::io::Error::from_raw_os_error(-code))),
            // A preallocated file takes all of a piece, or the device failed.
            count if count as usize != length => {
                let text = format!("only {count} of {length} bytes were written");
                Err(file.failure(std::io::Error::other(text)))
            }
            _ => {
                file.settle();
                Ok(())
            }
        };
        self.persisting = Persisting::Over(file, result);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::directory::tests::Scratch;
    use super::super::super::error::ErrorKind;
    use super::*;

    fn file(scratch: &Scratch) -> Box<DirectFile> {
        let mut file = DirectFile::create(&scratch.path().join("segment"), 8192).expect("direct writes");
        file.write_at(0, b"record").expect("it fits");
        Box::new(file)
    }

    /// What the kernel answers, and what the table makes of it.
    fn answered(result: i32) -> (Box<DirectFile>, Result<(), Error>) {
        let scratch = Scratch::new("persisting");
        let mut table = Table::new(0, 1000);
        table.submissions.clear();
        let before = table.in_flight();
        table.persist(file(&scratch));
        assert!(table.is_persisting() && table.take_persisted().is_none(), "the kernel has it");
        let Some(Submission::Persist { token, length: 4096, offset: 0, .. }) = table.submissions.pop_front()
        else {
            panic!("a whole block is to be written");
        };
        assert!(table.complete(Completion { token, result, more: false, buffer: None }).is_none());
        assert_eq!(table.in_flight(), before);
        let taken = table.take_persisted().expect("it is over");
        assert!(!table.is_persisting());
        taken
    }

    #[test]
    fn all_of_it_must_be_written() {
        let (mut file, result) = answered(4096);
        assert!(result.is_ok() && file.piece().is_none(), "nothing waits any more");
        for (code, kind, text) in [
            (-libc::EIO, ErrorKind::Other, "Input/output error"),
            (-libc::ENOSPC, ErrorKind::Space, "No space"),
            (512, ErrorKind::Other, "only 512 of 4096 bytes"),
            (0, ErrorKind::Other, "only 0 of 4096 bytes"),
        ] {
            let error = answered(code).1.expect_err("it was not written");
            assert_eq!(error.kind(), kind);
            let said = error.to_string();
            assert!(said.contains(text) && said.contains("segment at offset 0"), "{said}");
        }
    }

    #[test]
    fn nothing_to_write_is_over_at_once() {
        let scratch = Scratch::new("persisting-nothing");
        let mut file = file(&scratch);
        file.persist().expect("room");
        let mut table = Table::new(0, 1000);
        table.submissions.clear();
        table.persist(file);
        assert!(
            table.submissions.is_empty() && table.take_persisted().is_some_and(|(_, result)| result.is_ok())
        );
    }

    #[test]
    #[should_panic(expected = "one persist at a time")]
    fn two_at_once_are_a_bug() {
        let scratch = Scratch::new("persisting-two");
        let mut table = Table::new(0, 1000);
        table.persist(file(&scratch));
        let mut second = DirectFile::create(&scratch.path().join("other"), 4096).expect("direct writes");
        second.write_at(0, b"record").expect("it fits");
        table.persist(Box::new(second));
    }
}
