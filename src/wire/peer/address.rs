//! A host and a port as configurations and hellos write them.
//!
//! Used by [`super::hello`] and by the configuration of the ensemble (`zab`). A host stays what the operator wrote: it is
//! resolved by the driver, each time it dials. IPv6 hosts are kept without brackets and printed with them.

use std::fmt;
use std::net::IpAddr;

/// Where to reach a peer: `host:port`, or `[host]:port` where the host has colons itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Name or IP address, not empty, without brackets.
    pub host: String,
    pub port: u16,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// `[` without `]`, or something but `:` behind it.
    Bracket,
    /// Nothing, or a space, where the host should be.
    Host,
    /// Not two parts.
    Form,
    /// Not a number up to 65535.
    Port,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::Bracket => "an IPv6 address is written [address]:port",
            AddressError::Host => "the host is missing",
            AddressError::Form => "host:port is needed (an IPv6 host in brackets)",
            AddressError::Port => "the port is no number from 0 to 65535",
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    pub fn new(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    /// Reads `host:port` or `[host]:port`.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let (host, rest) = split_host(text)?;
        if rest.contains(':') {
            return Err(AddressError::Form);
        }
        Ok(Address { host: host.to_owned(), port: port(rest)? })
    }

    /// An address to listen on and not to dial: `0.0.0.0` or `::`.
    pub fn is_wildcard(&self) -> bool {
        self.host == "0" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

/// Cuts the host off: what is before the first `:`, or within brackets. Second is what follows the colon behind it.
pub fn split_host(text: &str) -> Result<(&str, &str), AddressError> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']').ok_or(AddressError::Bracket)?;
            (host, rest.strip_prefix(':').ok_or(AddressError::Bracket)?)
        }
        None => text.split_once(':').ok_or(AddressError::Form)?,
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(AddressError::Host);
    }
    Ok((host, rest))
}

/// Reads a port.
pub fn port(text: &str) -> Result<u16, AddressError> {
    // `parse` would take a sign.
    if text.starts_with('+') { Err(AddressError::Port) } else { text.parse().map_err(|_| AddressError::Port) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed() {
        for (text, host, port) in [
            ("a.example:3888", "a.example", 3888),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[2001:db8::1]:65535", "2001:db8::1", 65535),
            ("[fe80::1%eth0]:0", "fe80::1%eth0", 0),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address, Address::new(host, port));
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(Address::parse("[h]:1").map(|address| address.to_string()), Ok("h:1".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("", AddressError::Form),
            ("a", AddressError::Form),
            ("a:1:2", AddressError::Form),
            ("::1:3888", AddressError::Host),
            (":1", AddressError::Host),
            ("a b:1", AddressError::Host),
            ("[]:1", AddressError::Host),
            ("[::1", AddressError::Bracket),
            ("[::1]", AddressError::Bracket),
            ("[::1]1", AddressError::Bracket),
            ("a:", AddressError::Port),
            ("a:x", AddressError::Port),
            ("a:-1", AddressError::Port),
            ("a:+1", AddressError::Port),
            ("a:65536", AddressError::Port),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn wildcards_are_for_listening() {
        for host in ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "0"] {
            assert!(Address::new(host, 1).is_wildcard(), "{host}");
        }
        for host in ["127.0.0.1", "::1", "zero"] {
            assert!(!Address::new(host, 1).is_wildcard(), "{host}");
        }
    }
}
