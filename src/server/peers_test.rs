//! Peers against the kernel: every test on both backends, over loopback. Waits are for conditions, with a bound.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

use crate::io::testing::Unheard;
use crate::io::{Backend, Clock};
use crate::wire::peer::Address;

use super::peer::SEND_BYTES_MAX;
use super::*;

const BOUND: Duration = Duration::from_secs(20);
/// Long enough not to pass in a test that doesn't wait for it.
const LONG: Duration = Duration::from_secs(60);

/// What the replica was told, without its borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Accepted(Link, PeerPort),
    Connected(Link),
    DialFailed(Link, bool),
    Received(Link, usize),
    Sent(Link),
    Disconnected(Link),
}

fn told(input: &PeerInput<'_>) -> Told {
    match input {
        PeerInput::Accepted { link, port } => Told::Accepted(*link, *port),
        PeerInput::Connected { link } => Told::Connected(*link),
        PeerInput::DialFailed { link, refused } => Told::DialFailed(*link, *refused),
        PeerInput::Received { link, bytes } => Told::Received(*link, bytes.len()),
        PeerInput::Sent { link } => Told::Sent(*link),
        PeerInput::Disconnected { link } => Told::Disconnected(*link),
        PeerInput::EpochsDurable => unreachable!("no socket says so"),
    }
}

/// One server's side: its loop, driven as the drivers do it.
struct Bench {
    io: Loop,
    peers: Peers,
    told: Vec<Told>,
    received: BTreeMap<Link, Vec<u8>>,
}

fn settings() -> Settings {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings::new(vec![any], vec![any], LONG)
}

fn bench(backend: Backend, settings: Settings) -> Bench {
    bench_with(backend, settings, resolver::system)
}

fn bench_with(backend: Backend, settings: Settings, resolve: resolver::Resolve) -> Bench {
    let mut io = Loop::new(backend, settings.connections_max()).expect("this host must offer both backends");
    let peers = Peers::with_resolver(settings, &mut io, resolve).unwrap();
    Bench { io, peers, told: vec![], received: BTreeMap::new() }
}

impl Bench {
    fn turn(&mut self) {
        let now = Clock::instant();
        self.peers.flush(&mut self.io, now);
        let step = Duration::from_millis(20);
        let timeout = self.peers.next_wakeup().map_or(step, |at| at.since(now).min(step));
        self.io.wait(Some(timeout)).unwrap();
        let now = Clock::instant();
        self.peers.wake_up(&mut self.io, now);
        self.tell();
        while let Some(event) = self.io.next_event() {
            if !self.peers.concerns(&event) {
                assert!(matches!(event, Event::Woken), "{event:?}");
                continue;
            }
            let (said, received) = (&mut self.told, &mut self.received);
            let news = self.peers.receive(event, |input| {
                said.push(told(&input));
                if let PeerInput::Received { link, bytes } = input {
                    received.entry(link).or_default().extend_from_slice(bytes);
                }
            });
            if let Some(news) = news {
                self.peers.take(&mut self.io, now, news);
            }
            self.tell();
        }
    }

    fn tell(&mut self) {
        while let Some(input) = self.peers.next_input() {
            self.told.push(told(&input));
        }
    }

    fn until(&mut self, mut is_done: impl FnMut(&mut Bench) -> bool) {
        let deadline = Clock::instant() + BOUND;
        while !is_done(self) {
            assert!(Clock::instant() < deadline, "the awaited thing didn't come; told: {:?}", self.told);
            self.turn();
        }
    }

    fn until_told(&mut self, what: &Told) {
        self.until(|bench| bench.told.contains(what));
    }

    fn port(&self, port: PeerPort) -> SocketAddr {
        self.peers.ports.bound(port)
    }

    fn dial(&mut self, link: Link, addresses: &[(&str, u16)]) {
        let addresses = addresses.iter().map(|(host, port)| Address::new(host, *port)).collect();
        self.peers.dial(&mut self.io, Clock::instant(), link, addresses);
        self.tell();
    }

    fn send(&mut self, link: Link, bytes: impl Into<Bytes>) {
        self.peers.send(&mut self.io, link, bytes.into());
        self.tell();
    }

    fn close(&mut self, link: Link) {
        self.peers.close(&mut self.io, Clock::instant(), link);
    }

    fn dialled(&mut self) -> (Link, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = Link(2 * self.told.len() as u64 + 2);
        self.dial(link, &[("127.0.0.1", listener.local_addr().unwrap().port())]);
        self.until_told(&Told::Connected(link));
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(BOUND)).unwrap();
        (link, stream)
    }

    /// Nothing of any link or connection is left.
    fn until_empty(&mut self) {
        self.until(|bench| bench.peers.connections.is_empty() && bench.peers.links.is_empty());
        assert_eq!(self.peers.accepted_open, 0);
    }
}

fn noise(count: usize) -> Vec<u8> {
    let mut prng = crate::base::Prng::new(11);
    (0..count).map(|_| prng.next() as u8).collect()
}

/// A listener whose queue is full: further connections neither succeed nor fail.
fn deaf_port() -> (TcpListener, Vec<TcpStream>, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = vec![];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 10_000);
    }
    (listener, waiting, address.port())
}

/// Each body becomes a test for io_uring and one for epoll.
macro_rules! on_both_backends {
    ($($(#[$doc:meta])* fn $name:ident($backend:ident: Backend) $body:block)*) => {
        mod uring { $(#[test] fn $name() { super::$name(super::Backend::Uring); })* }
        mod epoll { $(#[test] fn $name() { super::$name(super::Backend::Epoll); })* }
        $($(#[$doc])* fn $name($backend: Backend) $body)*
    };
}

on_both_backends! {
    fn two_servers_talk_on_both_ports(backend: Backend) {
        let (mut a, mut b) = (bench(backend, settings()), bench(backend, settings()));
        for (count, port) in [(0, PeerPort::Quorum), (1, PeerPort::Election)] {
            let (link, came) = (Link(2 + 2 * count), accepted_link(count));
            let address = b.port(port);
            a.dial(link, &[("127.0.0.1", address.port())]);
            a.until_told(&Told::Connected(link));
            b.until_told(&Told::Accepted(came, port));
            a.send(link, &b"hel"[..]);
            a.send(link, &b"lo"[..]);
            a.until_told(&Told::Sent(link));
            b.until(|b| b.received.get(&came).is_some_and(|bytes| bytes == b"hello"));
            b.send(came, &b"and you"[..]);
            a.until(|a| {
                b.turn();
                a.received.get(&link).is_some_and(|bytes| bytes == b"and you")
            });
        }
        assert_eq!(a.told.iter().filter(|told| matches!(told, Told::Sent(_))).count(), 2, "{:?}", a.told);
        a.close(Link(2));
        b.until(|b| {
            a.turn();
            b.told.contains(&Told::Disconnected(accepted_link(0)))
        });
        b.close(accepted_link(1));
        a.until(|a| {
            b.turn();
            a.told.contains(&Told::Disconnected(Link(4)))
        });
        a.until_empty();
        b.until_empty();
        assert!(!a.told.contains(&Told::Disconnected(Link(2))), "who closes isn't told");
    }

    /// Many frames, some shared by two links, some larger than a send.
    fn large_sends_arrive_whole_and_in_order(backend: Backend) {
        let mut a = bench(backend, settings());
        let (first, second) = (a.dialled(), a.dialled());
        let all = Bytes::from(noise(5 << 20));
        let readers: Vec<_> = [first.1, second.1]
            .into_iter()
            .map(|mut stream| {
                let count = all.len();
                std::thread::Builder::new().spawn(move || {
                    let mut bytes = vec![0; count];
                    stream.read_exact(&mut bytes).unwrap();
                    bytes
                }).unwrap()
            })
            .collect();
        let mut rest = all.clone();
        for count in [1, 100, 0, 300_000, SEND_BYTES_MAX, SEND_BYTES_MAX - 1, 2 << 20].into_iter().cycle() {
            let frame = rest.split_to(count.min(rest.len()));
            a.send(first.0, frame.clone());
            a.send(second.0, frame);
            if rest.is_empty() {
                break;
            }
        }
        a.until_told(&Told::Sent(first.0));
        a.until_told(&Told::Sent(second.0));
        for reader in readers {
            assert!(reader.join().unwrap() == all);
        }
        assert!(a.peers.links.values().all(|peer| peer.queued == 0 && peer.queue.is_empty()));
        assert!(a.peers.links.values().all(|peer| peer.buffer.capacity() <= SEND_BYTES_MAX));
    }

    fn a_dialled_connection_does_not_delay(backend: Backend) {
        let mut a = bench(backend, settings());
        let (_, mut stream) = a.dialled();
        // Small frames a turn apart must not wait for one another's acknowledgement, which may take 40 ms each.
        let begun = Clock::instant();
        let link = *a.peers.links.keys().next().unwrap();
        let mut byte = [0];
        for _ in 0..100 {
            a.send(link, &b"x"[..]);
            a.until(|a| a.told.pop() == Some(Told::Sent(link)));
            stream.read_exact(&mut byte).unwrap();
        }
        assert!(Clock::instant().since(begun) < Duration::from_secs(3));
    }

    fn what_was_sent_before_close_arrives(backend: Backend) {
        let mut a = bench(backend, settings());
        let (link, mut stream) = a.dialled();
        let all = noise(3 << 20);
        a.send(link, all.clone());
        a.close(link);
        a.send(link, &b"too late"[..]);
        let reader = std::thread::Builder::new().spawn(move || {
            let mut bytes = vec![];
            stream.read_to_end(&mut bytes).unwrap();
            bytes
        }).unwrap();
        a.until_empty();
        assert!(reader.join().unwrap() == all);
        assert_eq!(a.told, [Told::Connected(link)], "nothing is said of a closed link");
    }

    fn a_close_does_not_wait_for_a_peer_that_takes_nothing(backend: Backend) {
        let mut a = bench(backend, settings());
        let (link, _stream) = a.dialled();
        a.send(link, vec![7; 64 << 20]);
        a.turn();
        a.close(link);
        a.until_empty();
        assert_eq!(a.told, [Told::Connected(link)]);
    }

    fn a_peer_that_takes_nothing_is_cut(backend: Backend) {
        let mut a = bench(backend, Settings { stall: Duration::from_millis(300), ..settings() });
        let (link, _stream) = a.dialled();
        a.send(link, vec![7; 64 << 20]);
        a.until_told(&Told::Disconnected(link));
        a.until_empty();
        assert!(!a.told.contains(&Told::Sent(link)));
    }

    fn a_peer_that_is_owed_too_much_is_cut(backend: Backend) {
        let mut a = bench(backend, Settings { queue_bytes_max: 32 << 20, ..settings() });
        let (link, _stream) = a.dialled();
        let frame = Bytes::from(vec![7; 1 << 20]);
        for _ in 0..100 {
            a.send(link, frame.clone());
            a.turn();
        }
        a.until_told(&Told::Disconnected(link));
        a.until_empty();
    }

    fn a_dead_port_is_refused_once_all_addresses_were_tried(backend: Backend) {
        let mut a = bench(backend, settings());
        let (dead, dead_too) = (Unheard::new(), Unheard::new());
        let (dead, dead_too) = (dead.address().port(), dead_too.address().port());
        a.dial(Link(2), &[("127.0.0.1", dead), ("127.0.0.1", dead_too)]);
        a.until_told(&Told::DialFailed(Link(2), true));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        a.dial(Link(4), &[("127.0.0.1", dead), ("127.0.0.1", listener.local_addr().unwrap().port())]);
        a.until_told(&Told::Connected(Link(4)));
        a.dial(Link(6), &[]);
        a.until_told(&Told::DialFailed(Link(6), false));
        assert_eq!(a.told.len(), 3);
    }

    fn a_host_that_does_not_answer_is_given_up_in_time(backend: Backend) {
        let (_listener, _waiting, deaf) = deaf_port();
        let mut a = bench(backend, Settings { connect_timeout: Duration::from_millis(200), ..settings() });
        let dead = Unheard::new();
        a.dial(Link(2), &[("127.0.0.1", deaf), ("127.0.0.1", dead.address().port())]);
        a.until_told(&Told::DialFailed(Link(2), false));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        a.dial(Link(4), &[("127.0.0.1", deaf), ("127.0.0.1", listener.local_addr().unwrap().port())]);
        a.until_told(&Told::Connected(Link(4)));
    }

    fn a_dial_that_is_closed_is_silent(backend: Backend) {
        let (_listener, _waiting, deaf) = deaf_port();
        let mut a = bench(backend, settings());
        a.dial(Link(2), &[("127.0.0.1", deaf)]);
        a.turn();
        a.close(Link(2));
        a.dial(Link(4), &[("localhost", deaf)]);
        a.close(Link(4));
        a.until_empty();
        a.until(|a| {
            // The name's answer comes to nobody.
            a.peers.resolver.is_idle()
        });
        assert_eq!(a.told, []);
    }

    fn names_are_looked_up(backend: Backend) {
        let mut a = bench(backend, settings());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let dead = Unheard::new();
        for link in [Link(2), Link(4)] {
            a.dial(link, &[("127.0.0.1", dead.address().port()), ("localhost", port)]);
        }
        a.until_told(&Told::Connected(Link(2)));
        a.until_told(&Told::Connected(Link(4)));
    }

    fn a_name_that_does_not_resolve_is_a_failed_dial(backend: Backend) {
        let mut a = bench(backend, settings());
        a.dial(Link(2), &[("no-such-host.invalid", 2888)]);
        a.until_told(&Told::DialFailed(Link(2), false));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        a.dial(Link(4), &[("no-such-host.invalid", 2888), ("127.0.0.1", port)]);
        a.until_told(&Told::Connected(Link(4)));
    }

    /// A name server that is gone holds up neither the loop nor other names.
    fn a_name_that_takes_for_ever_is_given_up_in_time(backend: Backend) {
        fn stuck(host: &str) -> std::io::Result<Vec<IpAddr>> {
            if host == "stuck" {
                loop {
                    std::thread::park();
                }
            }
            resolver::system(host)
        }
        let quick = Settings { connect_timeout: Duration::from_millis(300), ..settings() };
        let mut a = bench_with(backend, quick, stuck);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        a.dial(Link(2), &[("stuck", port)]);
        a.dial(Link(4), &[("localhost", port)]);
        a.until_told(&Told::DialFailed(Link(2), false));
        a.until_told(&Told::Connected(Link(4)));
    }

    fn a_flood_of_connections_is_closed_above_the_limit(backend: Backend) {
        let mut a = bench(backend, Settings { accepted_max: 5, ..settings() });
        let address = a.port(PeerPort::Election);
        let mut clients: Vec<TcpStream> =
            (0..30).map(|_| TcpStream::connect(address).unwrap()).collect();
        for client in &clients {
            client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        let mut byte = [0];
        let mut closed = 0;
        a.until(|_| {
            clients.retain_mut(|client| {
                let gone = match client.read(&mut byte) {
                    Ok(0) => true,
                    Ok(_) => panic!("nobody sends"),
                    Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
                };
                closed += usize::from(gone);
                !gone
            });
            closed == 25
        });
        let accepted = a.told.iter().filter(|told| matches!(told, Told::Accepted(..))).count();
        assert_eq!((accepted, clients.len()), (5, 5));
        // Places come back, and both ports still work.
        clients.clear();
        a.until_empty();
        let mut client = TcpStream::connect(a.port(PeerPort::Quorum)).unwrap();
        client.write_all(b"hello").unwrap();
        a.until(|a| a.received.get(&accepted_link(5)).is_some_and(|bytes| bytes == b"hello"));
        assert!(a.told.contains(&Told::Accepted(accepted_link(5), PeerPort::Quorum)));
    }

    fn a_peer_that_vanishes_is_told_once(backend: Backend) {
        let mut a = bench(backend, settings());
        let (link, stream) = a.dialled();
        a.send(link, vec![7; 8 << 20]);
        a.turn();
        drop(stream);
        a.until_told(&Told::Disconnected(link));
        a.until_empty();
        assert_eq!(a.told.iter().filter(|told| **told == Told::Disconnected(link)).count(), 1);
        a.send(link, &b"to nobody"[..]);
        a.close(link);
        a.turn();
    }

    /// The replica decides while the news is on its way.
    fn a_link_closed_before_its_loss_is_told_stays_silent(backend: Backend) {
        let mut a = bench(backend, Settings { queue_bytes_max: 10, ..settings() });
        let (link, _stream) = a.dialled();
        a.peers.send(&mut a.io, link, Bytes::from_static(b"more than ten bytes"));
        a.close(link);
        a.until_empty();
        assert_eq!(a.told, [Told::Connected(link)]);
    }

    fn a_held_port_is_an_error_in_the_end(backend: Backend) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let held = listener.local_addr().unwrap();
        let mut io = Loop::new(backend, 10).unwrap();
        let error = Peers::listen(Settings { quorum: vec![held], ..settings() }, &mut io).map(drop).unwrap_err();
        assert!(error.to_string().contains(&held.to_string()), "{error}");
    }
}
