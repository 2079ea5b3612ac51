//! Addresses as Java has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// As `InetAddress.getHostAddress`: IPv4 in IPv6 is IPv4, and IPv6 is written out, but for zeros at the front of each group.
pub fn host_address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.segments().map(|group| format!("{group:x}")).join(":"),
    }
}

/// Where to listen for `address`, the first that works: all addresses are IPv6's, too, where the host has any.
pub fn listening_at(address: SocketAddr) -> impl Iterator<Item = SocketAddr> {
    let is_all = address.ip() == Ipv4Addr::UNSPECIFIED;
    let all = is_all.then_some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port()));
    all.into_iter().chain([address])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_java_writes_them() {
        for (ip, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("fe80::0a0b:1", "fe80:0:0:0:0:0:a0b:1"),
        ] {
            assert_eq!(host_address(ip.parse().expect("an address")), expected);
        }
    }

    #[test]
    fn all_addresses_are_those_of_both_families() {
        let at = |text: &str| -> Vec<String> {
            listening_at(text.parse().expect("an address")).map(|address| address.to_string()).collect()
        };
        assert_eq!(at("0.0.0.0:7"), ["[::]:7", "0.0.0.0:7"]);
        assert_eq!(at("127.0.0.1:7"), ["127.0.0.1:7"]);
        assert_eq!(at("[::1]:7"), ["[::1]:7"]);
    }
}
