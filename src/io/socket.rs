//! Sockets before and beside the ring: listening, accepted ones on their way to a loop, addresses in the kernel's form.

use std::io;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::error::Error;

/// A connection that no loop has taken over yet. Dropped: closed. `Send`, so that one loop accepts and another serves.
#[derive(Debug)]
pub struct AcceptedSocket {
    pub(super) fd: OwnedFd,
    pub(super) peer: SocketAddr,
}

impl AcceptedSocket {
    /// `None` where the peer has gone before we looked at it.
    pub(super) fn new(fd: OwnedFd) -> Option<AcceptedSocket> {
        let stream = TcpStream::from(fd);
        let mut peer = stream.peer_addr().ok()?;
        // An IPv4 peer of `[::]` is one all the same.
        peer.set_ip(peer.ip().to_canonical());
        Some(AcceptedSocket { fd: stream.into(), peer })
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// Takes over a descriptor which the kernel has just made for us.
pub(super) fn own(fd: RawFd) -> OwnedFd {
    assert!(fd >= 0);
    // SAFETY: callers pass a descriptor that a system call or a completion has just returned to them, and only once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A listening TCP socket. TCP_NODELAY is inherited by what it accepts.
pub(super) fn listen(
    address: SocketAddr,
    backlog: i32,
    reuse_port: bool,
) -> Result<(OwnedFd, SocketAddr), Error> {
    let fd = stream_socket(address).map_err(|e| Error::new("make a socket for", e).on(address))?;
    let wrap = |action| move |e| Error::new(action, e).on(address);
    set(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).map_err(wrap("reuse the address"))?;
    if reuse_port {
        set(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).map_err(wrap("share the port of"))?;
    }
    let (storage, length) = to_storage(address);
    // SAFETY: `storage` holds `length` valid bytes for the duration of the call.
    let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const storage).cast(), length) };
    check(bound).map_err(wrap("bind"))?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map_err(wrap("listen on"))?;
    let listener = std::net::TcpListener::from(fd);
    let bound = listener.local_addr().map_err(wrap("ask for the bound address of"))?;
    Ok((listener.into(), bound))
}

/// Throws away what was received and not read. Closed with such bytes, a socket is reset, and a reply still on its way to
/// the peer is lost with it.
pub(super) fn discard_unread(fd: &OwnedFd) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: with MSG_TRUNC TCP drops the bytes and writes nothing, so no buffer is needed (tcp(7)).
    unsafe { libc::recv(fd.as_raw_fd(), std::ptr::null_mut(), 64 << 20, flags) };
}

/// A TCP socket with TCP_NODELAY, in blocking mode: the ring waits by itself only on such.
pub(super) fn stream_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    let fd = own(fd);
    set(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    if !address.is_ipv4() {
        // `[::]` serves IPv4 clients too, as it does under Java.
        set(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    }
    Ok(fd)
}

pub(super) fn set(fd: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes during the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), length) })
}

pub(super) fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The kernel's form of an address and its length.
pub(super) fn to_storage(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let length = match address {
        SocketAddr::V4(v4) => {
            let form = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is made to hold any address, in size and alignment.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(form) };
            mem::size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let form = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(form) };
            mem::size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}
