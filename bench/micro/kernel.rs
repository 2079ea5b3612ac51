//! What a write waits for outside of our own code: a group made durable, and a message to another thread's ring and back.
//!
//! Files are made in the target directory, which should be on a disk.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use ringkeeper::base::ConnectionId;
use ringkeeper::io::{Backend, DirectFile, Event, Loop};

use crate::operations::Operation;

const SEGMENT_BYTES: u64 = 64 << 20;
/// Of a group with one write of 100 bytes.
const GROUP_BYTES: usize = 200;

/// A name, and what makes the operation; none where the kernel refuses what it needs.
type Asked = (&'static str, fn() -> Option<Operation>);

pub const ALL: &[Asked] = &[
    ("sync a group of one to the log", || Some(sync())),
    ("round trip between two rings", || round_trip(Backend::Uring)),
    ("round trip between two loops on epoll", || round_trip(Backend::Epoll)),
];

/// As the log does it by default: whole blocks past the page cache, durable when the write returns.
fn sync() -> Operation {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("micro");
    fs::create_dir_all(&directory).expect("the target directory can be written");
    let path = directory.join("segment");
    let mut file = DirectFile::create(&path, SEGMENT_BYTES).expect("a file system that takes direct writes");
    // An open file needs no name.
    fs::remove_file(&path).expect("made above");
    let mut at = 0;
    Box::new(move || {
        if at + GROUP_BYTES as u64 > SEGMENT_BYTES {
            at = 0;
        }
        file.write_at(at, &[7; GROUP_BYTES]).expect("in the file");
        file.persist().expect("the disk takes it");
        at += GROUP_BYTES as u64;
    })
}

/// 64 bytes go to a loop on another thread, which sends them back.
#[expect(clippy::disallowed_methods, reason = "a benchmark has no server to start its threads")]
fn round_trip(backend: Backend) -> Option<Operation> {
    let mut client = Loop::new(backend, 16).inspect_err(|error| eprintln!("{error}")).ok()?;
    let (sender, addresses) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut server = Loop::new(backend, 16).expect("there was one for the client");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (_, bound) = server.listen(any, 16, false).expect("a free port");
        sender.send(bound).expect("it is waited for");
        echo(&mut server);
    });
    let address = addresses.recv().expect("it listens");
    let connection = client.connect(address).expect("a socket");
    wait(&mut client, |event| matches!(event, Event::Connected { .. }));
    Some(Box::new(move || {
        client.send(connection, vec![7; 64]);
        let mut left = 64;
        wait(&mut client, |event| {
            if let Event::Received { bytes, .. } = event {
                left -= bytes.len();
            }
            left == 0
        });
    }))
}

fn wait(io: &mut Loop, mut is_it: impl FnMut(&Event<'_>) -> bool) {
    loop {
        while let Some(event) = io.next_event() {
            if is_it(&event) {
                return;
            }
        }
        io.wait(None).expect("the kernel");
    }
}

/// Until the process ends.
fn echo(io: &mut Loop) {
    let mut answers: Vec<(ConnectionId, Vec<u8>)> = vec![];
    loop {
        while let Some(event) = io.next_event() {
            match event {
                Event::Received { connection, bytes } => answers.push((connection, bytes.to_vec())),
                Event::Accepted { socket, .. } => {
                    io.adopt(socket).expect("there is room");
                }
                _ => {}
            }
        }
        for (connection, bytes) in answers.drain(..) {
            io.send(connection, bytes);
        }
        io.wait(None).expect("the kernel");
    }
}
