//! The log's file persisted by the loop, on both backends.

use super::*;
use crate::io::directory::tests::Scratch;

const BLOCKS: usize = 64;

fn file(scratch: &Scratch) -> Box<DirectFile> {
    let path = scratch.path().join("segment");
    Box::new(DirectFile::create(&path, BLOCKS as u64 * 4096).expect("a file system that takes direct writes"))
}

/// Until the file comes back.
fn taken(io: &mut Loop) -> Box<DirectFile> {
    let deadline = Clock::instant() + BOUND;
    loop {
        if let Some((file, result)) = io.take_persisted() {
            result.expect("the disk takes it");
            return file;
        }
        assert!(Clock::instant() < deadline, "a persist that doesn't end");
        io.wait(Some(Duration::from_millis(100))).unwrap();
    }
}

on_both_backends! {
    fn what_was_written_is_in_the_file_when_it_comes_back(backend: Backend) {
        let scratch = Scratch::new("persist");
        let (mut io, _) = serve(backend);
        let mut file = file(&scratch);
        let mut expected = vec![];
        for round in 0..40_usize {
            let bytes = noise(round * 61 + 1);
            file.write_at(expected.len() as u64, &bytes).unwrap();
            expected.extend(bytes);
            let path = file.path().to_owned();
            io.persist(file);
            assert!(io.is_persisting());
            file = taken(&mut io);
            assert!(!io.is_persisting() && io.take_persisted().is_none(), "once");
            assert_eq!(std::fs::read(path).unwrap()[..expected.len()], expected, "round {round}");
        }
    }

    /// Nor their order: what was received while only the disk was waited for comes after, as it came.
    fn events_are_not_lost_meanwhile(backend: Backend) {
        let scratch = Scratch::new("meanwhile");
        let (mut io, address) = serve(backend);
        let (connection, mut client) = pair(&mut io, address);
        let mut file = file(&scratch);
        let (mut sent, mut received) = (vec![], vec![]);
        for round in 0..BLOCKS {
            let bytes = [round as u8; 100];
            client.write_all(&bytes).unwrap();
            sent.extend(bytes);
            file.write_at(round as u64 * 4096, &bytes).unwrap();
            io.persist(file);
            io.wait_persisted(BOUND).unwrap();
            file = io.take_persisted().expect("waited for").0;
            if round % 3 == 0 {
                while let Some(Event::Received { bytes, .. }) = io.next_event() {
                    received.extend(bytes);
                }
            }
        }
        if received.len() < sent.len() {
            drive(&mut io, |_, event| match event {
                Seen::Received(from, bytes) => {
                    assert_eq!(from, connection);
                    received.extend(bytes);
                    received.len() == sent.len()
                }
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(received, sent);
    }

    fn a_wait_ends_though_nothing_else_happens(backend: Backend) {
        let scratch = Scratch::new("wait");
        let (mut io, _) = serve(backend);
        let mut file = file(&scratch);
        file.write_at(0, b"record").unwrap();
        io.persist(file);
        while !io.has_events() {
            io.wait(None).unwrap();
        }
        taken(&mut io);
    }

    /// Its memory is the kernel's until then.
    fn a_loop_that_ends_waits_for_it(backend: Backend) {
        let scratch = Scratch::new("ends");
        let (mut io, _) = serve(backend);
        let mut file = file(&scratch);
        let path = file.path().to_owned();
        file.write_at(0, &noise(100_000)).unwrap();
        io.persist(file);
        drop(io);
        assert_eq!(std::fs::read(path).unwrap()[..100_000], noise(100_000));
    }
}
