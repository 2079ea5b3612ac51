//! What tests of several rooms need of the host.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// An address of this host that refuses every connection for as long as this lives. The port of a listener that was dropped
/// does not: a test beside may be given it.
pub(crate) struct Unheard {
    address: SocketAddr,
    /// Bound, and not listening.
    _socket: Socket,
}

impl Unheard {
    pub(crate) fn new() -> Unheard {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let address = socket.local_addr().expect("bound").as_socket().expect("of IPv4");
        Unheard { address, _socket: socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[test]
fn nobody_listens_there_and_nobody_is_given_its_port() {
    use std::net::{TcpListener, TcpStream};

    let unheard = Unheard::new();
    let refused = TcpStream::connect(unheard.address()).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let taken = TcpListener::bind(unheard.address()).expect_err("it is in use");
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}
