//! The loop against the kernel: every test runs on both backends, over loopback, with blocking clients of the standard
//! library in threads of their own. Waits are for conditions, with a bound.

use std::io::{ErrorKind as StdKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;

use crate::base::{Map, Prng};
use crate::io::testing::Unheard;

use super::*;

const BOUND: Duration = Duration::from_secs(20);

/// What an event was, without its borrow.
#[derive(Debug)]
enum Seen {
    Accepted(AcceptedSocket),
    AcceptFailed,
    Connected(ConnectionId),
    Received(ConnectionId, Vec<u8>),
    Ended(ConnectionId),
    Sent(ConnectionId, Vec<u8>),
    Closed(ConnectionId, CloseReason),
    Woken,
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Accepted { socket, .. } => Seen::Accepted(socket),
        Event::AcceptFailed { .. } => Seen::AcceptFailed,
        Event::Connected { connection } => Seen::Connected(connection),
        Event::Received { connection, bytes } => Seen::Received(connection, bytes.to_vec()),
        Event::Ended { connection } => Seen::Ended(connection),
        Event::Sent { connection, buffer } => Seen::Sent(connection, buffer),
        Event::Closed { connection, reason } => Seen::Closed(connection, reason),
        Event::Woken => Seen::Woken,
    }
}

/// Turns the loop until `step` says that it is done. Panics after the bound.
fn drive(io: &mut Loop, mut step: impl FnMut(&mut Loop, Seen) -> bool) {
    let deadline = Clock::instant() + BOUND;
    loop {
        assert!(Clock::instant() < deadline, "the awaited event didn't come");
        io.wait(Some(Duration::from_millis(100))).unwrap();
        while let Some(event) = io.next_event() {
            let event = seen(event);
            if step(io, event) {
                return;
            }
        }
    }
}

/// Turns the loop a few times and hands everything that happens to `step`.
fn settle(io: &mut Loop, mut step: impl FnMut(&mut Loop, Seen)) {
    for _ in 0..5 {
        io.wait(Some(Duration::from_millis(5))).unwrap();
        while let Some(event) = io.next_event() {
            let event = seen(event);
            step(io, event);
        }
    }
}

fn serve(backend: Backend) -> (Loop, SocketAddr) {
    let mut io = Loop::new(backend, 4096).expect("this host must offer both backends to test them");
    assert_eq!(io.is_uring(), backend == Backend::Uring);
    let (_, address) = io.listen((Ipv4Addr::LOCALHOST, 0).into(), 4096, false).unwrap();
    (io, address)
}

/// A server's connection and its client's end.
fn pair(io: &mut Loop, address: SocketAddr) -> (ConnectionId, TcpStream) {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(BOUND)).unwrap();
    let mut adopted = None;
    drive(io, |io, event| {
        if let Seen::Accepted(socket) = event {
            assert_eq!(socket.peer(), client.local_addr().unwrap());
            adopted = Some(io.adopt(socket).unwrap());
        }
        adopted.is_some()
    });
    (adopted.unwrap(), client)
}

fn noise(count: usize) -> Vec<u8> {
    let mut prng = Prng::new(7);
    (0..count).map(|_| prng.next() as u8).collect()
}

/// Each body becomes a test for io_uring and one for epoll.
macro_rules! on_both_backends {
    ($($(#[$doc:meta])* fn $name:ident($backend:ident: Backend) $body:block)*) => {
        mod uring { $(#[test] fn $name() { super::$name(super::Backend::Uring); })* }
        mod epoll { $(#[test] fn $name() { super::$name(super::Backend::Epoll); })* }
        $($(#[$doc])* fn $name($backend: Backend) $body)*
    };
}

#[path = "event_loop_persist_test.rs"]
mod persist;

on_both_backends! {
    fn a_reply_comes_back(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, mut client) = pair(&mut io, address);
        client.write_all(b"ping").unwrap();
        drive(&mut io, |io, event| match event {
            Seen::Received(c, bytes) => {
                assert_eq!((c, &bytes[..]), (connection, &b"ping"[..]));
                io.send(connection, b"pong".to_vec());
                false
            }
            Seen::Sent(c, buffer) => {
                assert!(c == connection && buffer.is_empty() && buffer.capacity() >= 4, "the buffer comes back");
                true
            }
            other => panic!("{other:?}"),
        });
        let mut reply = [0; 4];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"pong");
    }

    fn accepted_sockets_do_not_delay(backend: Backend) {
        let (mut io, address) = serve(backend);
        let _client = TcpStream::connect(address).unwrap();
        drive(&mut io, |_, event| match event {
            Seen::Accepted(socket) => {
                assert!(TcpStream::from(socket.fd).nodelay().unwrap());
                true
            }
            other => panic!("{other:?}"),
        });
    }

    /// More bytes than any buffer on the way holds, both directions at once, the server pausing whenever it owes much.
    fn a_stream_survives_back_pressure(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, client) = pair(&mut io, address);
        let sent = noise(16 << 20);
        let total = sent.len();
        thread::scope(|scope| {
            let mut half = client.try_clone().unwrap();
            let bytes = &sent;
            scope.spawn(move || {
                half.write_all(bytes).unwrap();
                half.shutdown(Shutdown::Write).unwrap();
            });
            let (begin, begun) = mpsc::channel();
            let reader = scope.spawn(move || {
                let (mut client, mut back) = (client, Vec::new());
                begun.recv().unwrap();
                client.read_to_end(&mut back).unwrap();
                back
            });
            let (mut owed, mut sending, mut paused, mut ended) = (Vec::new(), false, false, false);
            let mut count = 0;
            drive(&mut io, |io, event| {
                match event {
                    Seen::Received(_, bytes) => {
                        count += bytes.len();
                        owed.extend_from_slice(&bytes);
                    }
                    Seen::Sent(..) => sending = false,
                    Seen::Ended(_) => ended = true,
                    Seen::Closed(_, reason) => {
                        assert!(matches!(reason, CloseReason::Asked), "{reason:?}");
                        return true;
                    }
                    other => panic!("{other:?}"),
                }
                if !sending && !owed.is_empty() {
                    sending = true;
                    io.send(connection, std::mem::take(&mut owed));
                }
                if !paused && owed.len() > 100_000 {
                    paused = true;
                    let _ = begin.send(()); // the client reads only after the first pause
                    io.pause_receive(connection);
                }
                if paused && owed.is_empty() {
                    paused = false;
                    io.resume_receive(connection);
                }
                if ended && owed.is_empty() {
                    io.close(connection);
                }
                false
            });
            assert_eq!(count, total);
            assert!(reader.join().unwrap() == sent, "bytes were lost, doubled or reordered");
        });
    }

    fn nothing_is_received_while_paused(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, mut client) = pair(&mut io, address);
        io.pause_receive(connection);
        settle(&mut io, |_, event| panic!("{event:?}"));
        client.write_all(b"later").unwrap();
        settle(&mut io, |_, event| panic!("received while paused: {event:?}"));
        io.resume_receive(connection);
        io.pause_receive(connection);
        io.resume_receive(connection);
        drive(&mut io, |_, event| match event {
            Seen::Received(_, bytes) => bytes == b"later",
            other => panic!("{other:?}"),
        });
    }

    /// Sent whole although closed at once, through a send buffer that is far smaller.
    fn close_finishes_the_send(backend: Backend) {
        let (mut io, address) = serve(backend);
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(BOUND)).unwrap();
        let sent = noise(3 << 20);
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let (mut back, mut piece) = (Vec::new(), [0; 1000]);
                loop {
                    match client.read(&mut piece).unwrap() {
                        0 => return back,
                        count => back.extend_from_slice(&piece[..count]),
                    }
                }
            });
            let mut connection = None;
            drive(&mut io, |io, event| match event {
                Seen::Accepted(accepted) => {
                    socket::set(&accepted.fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 4096).unwrap();
                    let c = io.adopt(accepted).unwrap();
                    io.send(c, sent.clone());
                    io.close(c);
                    io.close(c);
                    connection = Some(c);
                    false
                }
                Seen::Closed(c, CloseReason::Asked) => {
                    assert_eq!(Some(c), connection);
                    true
                }
                other => panic!("nothing but the end is told after close: {other:?}"),
            });
            assert!(reader.join().unwrap() == sent);
        });
    }

    fn unread_bytes_do_not_cost_the_peer_its_reply(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, mut client) = pair(&mut io, address);
        io.pause_receive(connection);
        settle(&mut io, |_, event| panic!("{event:?}"));
        client.write_all(&noise(100_000)).unwrap();
        io.send(connection, noise(1 << 20));
        io.close(connection);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut back = Vec::new();
                client.read_to_end(&mut back).map(|_| back)
            });
            drive(&mut io, |_, event| matches!(event, Seen::Closed(_, CloseReason::Asked)));
            let back = reader.join().unwrap().expect("an orderly end, no reset");
            assert!(back == noise(1 << 20));
        });
    }

    fn close_now_gives_up_a_send_that_is_stuck(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, _client) = pair(&mut io, address);
        io.send(connection, noise(32 << 20));
        settle(&mut io, |_, event| panic!("a peer that doesn't read can't take 32 MiB: {event:?}"));
        io.close(connection);
        settle(&mut io, |_, event| panic!("close waits for the send: {event:?}"));
        io.close_now(connection);
        drive(&mut io, |_, event| match event {
            Seen::Closed(c, CloseReason::Asked) => c == connection,
            other => panic!("{other:?}"),
        });
        settle(&mut io, |_, event| panic!("closed exactly once: {event:?}"));
    }

    /// What FourLetterWordMain and `nc -N` do: shut down the sending half, then read the answer.
    fn a_peer_that_has_ended_still_gets_its_answer(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, mut client) = pair(&mut io, address);
        client.write_all(b"ruok").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (mut ended, mut received) = (false, false);
        drive(&mut io, |_, event| {
            match event {
                Seen::Received(_, bytes) => received = bytes == b"ruok",
                Seen::Ended(c) => ended = c == connection && received,
                other => panic!("{other:?}"),
            }
            ended
        });
        settle(&mut io, |_, event| panic!("told once, and nothing happens by itself: {event:?}"));
        io.send(connection, b"imok".to_vec());
        io.close(connection);
        let mut reply = Vec::new();
        drive(&mut io, |_, event| matches!(event, Seen::Closed(c, CloseReason::Asked) if c == connection));
        client.read_to_end(&mut reply).unwrap();
        assert_eq!(reply, b"imok");
    }

    fn a_reset_closes_with_its_reason(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, client) = pair(&mut io, address);
        reset(client);
        drive(&mut io, |_, event| match event {
            Seen::Closed(c, CloseReason::Failed(error)) => {
                assert_eq!((c, error.kind()), (connection, ErrorKind::Disconnected));
                true
            }
            other => panic!("{other:?}"),
        });
    }

    fn a_reset_ends_a_send_in_flight(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, client) = pair(&mut io, address);
        io.pause_receive(connection);
        io.send(connection, noise(32 << 20));
        settle(&mut io, |_, event| panic!("{event:?}"));
        reset(client);
        drive(&mut io, |_, event| match event {
            Seen::Closed(c, CloseReason::Failed(error)) => {
                assert_eq!((c, error.kind()), (connection, ErrorKind::Disconnected));
                true
            }
            other => panic!("{other:?}"),
        });
    }

    /// All write before the server looks: more chunks at once than there are receive buffers.
    fn two_thousand_connections(backend: Backend) {
        const COUNT: usize = 2000;
        let files = super::super::process::raise_open_files_max().unwrap();
        assert!(files >= 12_000, "both backends at once take 8,000 descriptors: raise the hard limit of open files");
        let (mut io, address) = serve(backend);
        let (mut clients, mut ids) = (Vec::new(), Map::default());
        for _ in 0..COUNT {
            let (connection, client) = pair(&mut io, address);
            assert!(ids.insert(connection, Vec::new()).is_none());
            clients.push(client);
        }
        for (index, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("{index:08}").as_bytes()).unwrap();
        }
        let mut answered = 0;
        drive(&mut io, |io, event| {
            match event {
                Seen::Received(c, bytes) => {
                    let whole = ids.get_mut(&c).unwrap();
                    whole.extend_from_slice(&bytes);
                    if whole.len() == 8 {
                        io.send(c, whole.clone());
                    }
                }
                Seen::Sent(..) => answered += 1,
                other => panic!("{other:?}"),
            }
            answered == COUNT
        });
        for (index, client) in clients.iter_mut().enumerate() {
            let mut reply = [0; 8];
            client.read_exact(&mut reply).unwrap();
            assert_eq!(reply[..], *format!("{index:08}").as_bytes());
        }
        drop(clients);
        let mut closed = 0;
        drive(&mut io, |io, event| {
            match event {
                Seen::Ended(c) => io.close(c),
                Seen::Closed(c, CloseReason::Asked) => {
                    assert!(ids.remove(&c).is_some());
                    closed += 1;
                }
                other => panic!("{other:?}"),
            }
            closed == COUNT
        });
        assert!(ids.is_empty());
        let (again, _client) = pair(&mut io, address);
        assert_eq!(again.generation, 1, "slots are used again under the next generation");
    }

    fn a_wake_up_ends_the_wait(backend: Backend) {
        let mut io = Loop::new(backend, 1).unwrap();
        let waker = io.doorbell();
        let (ask, asked) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                for () in asked {
                    waker.wake();
                }
            });
            for _ in 0..100 {
                ask.send(()).unwrap();
                let mut woken = false;
                while !woken {
                    io.wait(None).unwrap(); // a lost wake-up would hang here
                    while let Some(event) = io.next_event() {
                        woken |= matches!(seen(event), Seen::Woken);
                    }
                }
            }
            drop(ask);
        });
        let waker = io.doorbell();
        waker.wake();
        waker.wake();
        io.wait(None).unwrap();
        assert!(matches!(io.next_event(), Some(Event::Woken)), "a ring before the wait counts");
        settle(&mut io, |_, event| assert!(matches!(event, Seen::Woken)));
        settle(&mut io, |_, event| panic!("nobody rang: {event:?}"));
    }

    fn calls_on_a_closed_connection_do_nothing(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (old, client) = pair(&mut io, address);
        drop(client);
        drive(&mut io, |io, event| {
            match event {
                Seen::Ended(c) => io.close_now(c),
                Seen::Closed(..) => return true,
                other => panic!("{other:?}"),
            }
            false
        });
        let (new, mut client) = pair(&mut io, address);
        assert!(new.slot == old.slot && new.generation != old.generation);
        io.send(old, b"not for the new one".to_vec());
        io.pause_receive(old);
        io.close(old);
        io.close_now(old);
        io.send(new, b"x".to_vec());
        client.write_all(b"y").unwrap();
        let (mut sent, mut received) = (false, false);
        drive(&mut io, |_, event| {
            match event {
                Seen::Sent(c, _) => sent = c == new,
                Seen::Received(c, bytes) => received = c == new && bytes == b"y",
                other => panic!("{other:?}"),
            }
            sent && received
        });
        let mut byte = [0; 1];
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    fn another_loop_serves_what_this_one_accepted(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (hand, taken) = mpsc::channel::<AcceptedSocket>();
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            scope.spawn(move || {
                let mut io = Loop::new(backend, 1).unwrap();
                tell.send(io.doorbell()).unwrap();
                let mut closed = false;
                while !closed {
                    io.wait(Some(BOUND)).unwrap();
                    while let Some(event) = io.next_event() {
                        match seen(event) {
                            Seen::Woken => drop(io.adopt(taken.recv().unwrap()).unwrap()),
                            Seen::Received(c, bytes) => io.send(c, bytes),
                            Seen::Sent(..) => {}
                            Seen::Ended(c) => io.close(c),
                            Seen::Closed(..) => closed = true,
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
            let waker = told.recv().unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(BOUND)).unwrap();
            drive(&mut io, |_, event| match event {
                Seen::Accepted(socket) => {
                    hand.send(socket).unwrap();
                    waker.wake();
                    true
                }
                other => panic!("{other:?}"),
            });
            client.write_all(b"over there").unwrap();
            let mut reply = [0; 10];
            client.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"over there");
        });
    }

    fn a_full_table_gives_the_socket_back(backend: Backend) {
        let mut io = Loop::new(backend, 1).unwrap();
        let (_, address) = io.listen((Ipv4Addr::LOCALHOST, 0).into(), 16, false).unwrap();
        let (first, _client) = pair(&mut io, address);
        let mut refused = TcpStream::connect(address).unwrap();
        refused.set_read_timeout(Some(BOUND)).unwrap();
        drive(&mut io, |io, event| match event {
            Seen::Accepted(socket) => io.adopt(socket).is_err(),
            other => panic!("{other:?}"),
        });
        assert_eq!(refused.read(&mut [0]).unwrap(), 0, "dropping the socket closed it");
        assert!(io.connect(address).is_err_and(|e| e.kind() == ErrorKind::Exhausted));
        io.close(first);
        drive(&mut io, |_, event| matches!(event, Seen::Closed(..)));
        pair(&mut io, address);
    }

    fn a_dialled_connection_works_like_an_accepted_one(backend: Backend) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut io = Loop::new(backend, 4).unwrap();
        let connection = io.connect(listener.local_addr().unwrap()).unwrap();
        drive(&mut io, |_, event| matches!(event, Seen::Connected(c) if c == connection));
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(BOUND)).unwrap();
        io.send(connection, b"hello".to_vec());
        peer.write_all(b"welcome").unwrap();
        let (mut sent, mut received) = (false, false);
        drive(&mut io, |_, event| {
            match event {
                Seen::Sent(..) => sent = true,
                Seen::Received(_, bytes) => received = bytes == b"welcome",
                other => panic!("{other:?}"),
            }
            sent && received
        });
        let mut bytes = [0; 5];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
    }

    fn a_refused_dial_closes_with_its_reason(backend: Backend) {
        let unheard = Unheard::new();
        let mut io = Loop::new(backend, 4).unwrap();
        let connection = io.connect(unheard.address()).unwrap();
        drive(&mut io, |_, event| match event {
            Seen::Closed(c, CloseReason::Failed(error)) => {
                assert_eq!((c, error.kind()), (connection, ErrorKind::Disconnected));
                true
            }
            other => panic!("{other:?}"),
        });
    }

    fn a_dial_can_be_given_up(backend: Backend) {
        let mut io = Loop::new(backend, 4).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let connection = io.connect(listener.local_addr().unwrap()).unwrap();
        io.close_now(connection);
        drive(&mut io, |_, event| matches!(event, Seen::Closed(c, CloseReason::Asked) if c == connection));
    }

    fn a_closed_listener_frees_its_port(backend: Backend) {
        let mut io = Loop::new(backend, 4).unwrap();
        let (listener, address) = io.listen((Ipv4Addr::LOCALHOST, 0).into(), 16, false).unwrap();
        let error = io.listen(address, 16, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Address);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        io.close_listener(listener);
        settle(&mut io, |_, event| panic!("{event:?}"));
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), StdKind::ConnectionRefused);
        let (_, again) = io.listen(address, 16, false).unwrap();
        io.close_listener(listener); // names the old one: does nothing
        pair(&mut io, again);
    }

    /// Descriptors are limited per process, so the test runs itself again in a process that may open only few.
    fn a_listener_recovers_from_running_out_of_descriptors(backend: Backend) {
        const FEW: &str = "RINGKEEPER_TEST_FEW_FILES";
        if std::env::var_os(FEW).is_none() {
            let name = if backend == Backend::Uring { "uring" } else { "epoll" };
            let test = format!(
                "io::event_loop::tests::{name}::a_listener_recovers_from_running_out_of_descriptors"
            );
            let output = std::process::Command::new("sh")
                .args(["-c", "ulimit -n 64; exec \"$0\" --exact \"$1\""])
                .arg(std::env::current_exe().unwrap())
                .arg(test)
                .env(FEW, "1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
            return;
        }
        let (mut io, address) = serve(backend);
        let client = TcpStream::connect(address).unwrap();
        let mut files = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        let before = Clock::instant();
        for _ in 0..2 {
            drive(&mut io, |_, event| matches!(event, Seen::AcceptFailed));
        }
        assert!(Clock::instant().since(before) >= ACCEPT_RETRY, "it tries again, but doesn't spin");
        files.clear();
        drive(&mut io, |_, event| match event {
            Seen::Accepted(socket) => socket.peer() == client.local_addr().unwrap(),
            other => panic!("{other:?}"),
        });
    }

    fn two_loops_share_a_port_if_asked(backend: Backend) {
        let mut one = Loop::new(backend, 4).unwrap();
        let mut other = Loop::new(backend, 4).unwrap();
        let (_, address) = one.listen((Ipv4Addr::LOCALHOST, 0).into(), 16, true).unwrap();
        let (_, same) = other.listen(address, 16, true).unwrap();
        assert_eq!(address, same);
    }

    fn a_wait_ends_at_its_timeout(backend: Backend) {
        let mut io = Loop::new(backend, 4).unwrap();
        let before = Clock::instant();
        io.wait(Some(Duration::from_millis(30))).unwrap();
        assert!(Clock::instant().since(before) >= Duration::from_millis(30), "never early");
        assert!(io.next_event().is_none());
        io.wait(Some(Duration::ZERO)).unwrap();
    }

    fn an_empty_send_completes(backend: Backend) {
        let (mut io, address) = serve(backend);
        let (connection, _client) = pair(&mut io, address);
        io.send(connection, Vec::new());
        drive(&mut io, |_, event| matches!(event, Seen::Sent(c, _) if c == connection));
    }

    /// Sends, receives, dials and accepts in flight: the drop must end them all, and soon.
    fn a_loop_can_be_dropped_with_everything_in_flight(backend: Backend) {
        let (mut io, address) = serve(backend);
        let mut clients = Vec::new();
        for index in 0..20 {
            let (connection, mut client) = pair(&mut io, address);
            if index % 2 == 0 {
                io.send(connection, noise(8 << 20));
            }
            client.write_all(b"unread").unwrap();
            clients.push(client);
        }
        io.connect(address).unwrap();
        io.wait(Some(Duration::ZERO)).unwrap();
        let before = Clock::instant();
        drop(io);
        assert!(Clock::instant().since(before) < STOP_PATIENCE, "the loop gave up waiting for the kernel");
        for mut client in clients {
            client.read_to_end(&mut Vec::new()).map_or_else(
                |error| assert_eq!(error.kind(), StdKind::ConnectionReset),
                |_| {},
            );
        }
    }
}

/// A seccomp filter of this thread only, as container runtimes install: io_uring_setup answers EPERM.
#[test]
fn auto_falls_back_where_io_uring_is_forbidden() {
    let refused = thread::scope(|scope| {
        scope
            .spawn(|| {
                let load = |k| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k };
                let answer = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
                let equal =
                    libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: libc::SYS_io_uring_setup as u32 };
                let mut program =
                    [load(0), equal, answer(0x0005_0000 | libc::EPERM as u32), answer(0x7fff_0000)];
                let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
                // SAFETY: a valid program of four instructions, read during the call.
                unsafe {
                    assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
                    assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter), 0);
                }
                assert_eq!(Loop::new(Backend::Uring, 1).err().unwrap().kind(), ErrorKind::Denied);
                let io = Loop::new(Backend::Auto, 1).unwrap();
                assert!(!io.is_uring());
                io.backend_note().to_owned()
            })
            .join()
            .unwrap()
    });
    assert!(refused.contains("epoll") && refused.contains("seccomp"), "{refused}");
    assert!(!refused.contains('\n'));
}

#[test]
fn auto_takes_io_uring_where_it_may() {
    let io = Loop::new(Backend::Auto, 1).unwrap();
    assert!(io.is_uring(), "{}", io.backend_note());
}

/// Closes with a reset instead of a proper end.
fn reset(client: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: `linger` is readable during the call.
    let result = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        )
    };
    assert_eq!(result, 0);
}
