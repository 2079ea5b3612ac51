//! The stash between a real loop and nobody who listens.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::io::{Backend, Clock};

use super::*;

const BOUND: Duration = Duration::from_secs(20);

fn serve(backend: Backend) -> (Loop, ConnectionId, TcpStream) {
    let mut io = Loop::new(backend, 10).unwrap();
    let (_, address) = io.listen((Ipv4Addr::LOCALHOST, 0).into(), 10, false).unwrap();
    let client = TcpStream::connect(address).unwrap();
    let deadline = Clock::instant() + BOUND;
    loop {
        assert!(Clock::instant() < deadline, "nobody was accepted");
        io.wait(Some(Duration::from_millis(100))).unwrap();
        let mut accepted = None;
        while let Some(event) = io.next_event() {
            if let Some(Kept::Accepted(socket)) = Kept::of(event) {
                accepted = Some(socket);
            }
        }
        if let Some(socket) = accepted {
            let connection = io.adopt(socket).unwrap();
            return (io, connection, client);
        }
    }
}

/// As the driver's turn while the replica takes no requests.
fn deaf_turn(io: &mut Loop, stash: &mut Stash, wait: Duration) -> bool {
    io.wait(Some(wait)).unwrap();
    let mut any = false;
    while let Some(event) = io.next_event() {
        any |= !matches!(event, Event::Woken);
        if let Some(connection) = stash.keep(event) {
            io.pause_receive(connection);
        }
    }
    any
}

fn deaf_until(io: &mut Loop, stash: &mut Stash, mut is_done: impl FnMut(&Stash) -> bool) {
    let deadline = Clock::instant() + BOUND;
    while !is_done(stash) {
        assert!(Clock::instant() < deadline, "kept {} bytes", stash.bytes);
        deaf_turn(io, stash, Duration::from_millis(20));
    }
}

fn a_client_that_goes_on_sending_is_kept_within_bounds_and_loses_nothing(backend: Backend) {
    const COUNT: usize = 64 << 20;
    let (mut io, connection, mut client) = serve(backend);
    let mut stash = Stash::default();
    let writer = std::thread::Builder::new()
        .spawn(move || {
            for at in 0..COUNT / 1024 {
                client.write_all(&[at as u8; 1024]).unwrap();
            }
        })
        .unwrap();
    deaf_until(&mut io, &mut stash, |stash| stash.bytes > BYTES_MAX);
    // Until the pause has taken effect, and nothing comes any more.
    deaf_until(&mut io, &mut stash, |stash| !stash.paused.is_empty());
    let mut quiet = 0;
    while quiet < 10 {
        quiet = if deaf_turn(&mut io, &mut stash, Duration::from_millis(20)) { 0 } else { quiet + 1 };
        assert!(stash.bytes <= 2 * BYTES_MAX + (32 << 20), "{} bytes were kept", stash.bytes);
    }
    assert!(stash.bytes < COUNT, "back-pressure reached the client");
    let mut count = 0;
    let mut ended = false;
    let deadline = Clock::instant() + BOUND;
    while !ended {
        assert!(Clock::instant() < deadline, "{count} bytes came");
        while let Some(kept) = stash.next(&mut io) {
            match kept {
                Kept::Received(of, bytes) => {
                    assert!(of == connection);
                    for byte in bytes {
                        assert_eq!(byte, (count / 1024) as u8, "at {count}");
                        count += 1;
                    }
                }
                Kept::Ended(of) => ended = of == connection,
                other => panic!("{other:?}"),
            }
        }
        assert!(stash.bytes == 0 && stash.paused.is_empty());
        deaf_turn(&mut io, &mut stash, Duration::from_millis(20));
    }
    assert_eq!(count, COUNT);
    writer.join().unwrap();
}

fn a_connection_paused_by_the_shard_stays_paused(backend: Backend) {
    let (mut io, connection, mut client) = serve(backend);
    let mut stash = Stash::default();
    client.write_all(b"first").unwrap();
    deaf_until(&mut io, &mut stash, |stash| stash.bytes == 5);
    // As if it had been paused here, and the shard wants it paused by now.
    stash.paused.push(connection);
    stash.paused_slots.insert(connection.slot);
    io.pause_receive(connection);
    stash.on_pause(connection);
    while stash.next(&mut io).is_some() {}
    for _ in 0..3 {
        deaf_turn(&mut io, &mut stash, Duration::from_millis(10));
    }
    client.write_all(b"second").unwrap();
    for _ in 0..5 {
        deaf_turn(&mut io, &mut stash, Duration::from_millis(10));
    }
    assert!(stash.is_empty(), "nothing is read against the shard's wish");
    stash.on_resume(connection);
    io.resume_receive(connection);
    deaf_until(&mut io, &mut stash, |stash| stash.bytes == 6);
}

mod uring {
    use super::*;

    #[test]
    fn a_client_that_goes_on_sending_is_kept_within_bounds_and_loses_nothing() {
        super::a_client_that_goes_on_sending_is_kept_within_bounds_and_loses_nothing(Backend::Uring);
    }

    #[test]
    fn a_connection_paused_by_the_shard_stays_paused() {
        super::a_connection_paused_by_the_shard_stays_paused(Backend::Uring);
    }
}

mod epoll {
    use super::*;

    #[test]
    fn a_client_that_goes_on_sending_is_kept_within_bounds_and_loses_nothing() {
        super::a_client_that_goes_on_sending_is_kept_within_bounds_and_loses_nothing(Backend::Epoll);
    }

    #[test]
    fn a_connection_paused_by_the_shard_stays_paused() {
        super::a_connection_paused_by_the_shard_stays_paused(Backend::Epoll);
    }
}
