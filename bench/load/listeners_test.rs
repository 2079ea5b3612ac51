//! Tests of `listeners`: the kernel's tables, as text and as they are here.

use super::*;
use crate::io::testing::Unheard;

const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0885 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:0885 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   2: 00000000:0886 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
   3: 00000000000000000000000000000000:0887 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 444 1
   4: 0000000000000000FFFF00000100007F:0888 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 555 1
";

#[test]
fn listening_sockets_are_found_by_address_or_port() {
    let at = |address: &str| inode(TABLE, &address.parse().expect("an address"));
    assert_eq!(at("127.0.0.1:2181"), Some(111));
    assert_eq!(at("127.0.0.2:2181"), None, "it listens at another address");
    assert_eq!(at("127.0.0.1:2182"), Some(333));
    assert_eq!(at("[::1]:2182"), None, "0.0.0.0 doesn't take it");
    assert_eq!((at("127.0.0.1:2183"), at("[::1]:2183")), (Some(444), Some(444)));
    assert_eq!(at("127.0.0.1:2184"), Some(555), "an address of the older kind in the newer table");
    assert_eq!(at("127.0.0.1:50000"), None, "a client's port");
}

#[test]
fn this_process_is_found_by_its_port_once() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    assert_eq!(pids(&[address, address]), [std::process::id()]);
    assert_eq!(pids(&[Unheard::new().address()]), Vec::<u32>::new());
    // An address that documentation owns is no host's.
    assert_eq!(pids(&[SocketAddr::from(([192, 0, 2, 1], address.port()))]), Vec::<u32>::new());
}
