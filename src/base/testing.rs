//! What tests of several rooms need of the host.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// An address of this host that refuses every connection for as long as this lives. The port of a listener that was dropped
/// does not: a test beside may be given it.
pub(crate) struct Unheard {
    address: SocketAddr,
    /// A client's port is its own until it closes, and nobody listens on it. Its server keeps it from being reset.
    _held: (TcpStream, TcpListener),
}

impl Unheard {
    pub(crate) fn new() -> Unheard {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let client = TcpStream::connect(server.local_addr().expect("bound")).expect("it listens");
        Unheard { address: client.local_addr().expect("connected"), _held: (client, server) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[test]
fn nobody_listens_there_and_nobody_is_given_its_port() {
    let unheard = Unheard::new();
    let refused = TcpStream::connect(unheard.address()).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let taken = TcpListener::bind(unheard.address()).expect_err("it is in use");
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}
