//! The hello of an election connection: who dialled, and where he can be dialled back.
//!
//! Sent once, by the side that dialled, in **one** write: ZooKeeper reads the address with a single call and hangs up on
//! less. There is no answer. Called by `zab`'s links and the drivers.
//! Limits: `limits::HELLO_ADDRESS_BYTES_MAX` bytes of address text.

use std::fmt;

use super::address::{Address, AddressError};
use crate::base::ServerId;
use crate::base::limits::HELLO_ADDRESS_BYTES_MAX;
use crate::wire::jute::{Encode, encode_bytes};

/// First word of the form with one address: what everybody sends unless `multiAddress.enabled` is set.
const V1: i64 = -65_536;
/// First word of the form with several.
const V2: i64 = -65_535;

/// What observers of old said instead of an id: the acceptor gives such a connection a negative id of its own.
pub const ANONYMOUS_OBSERVER: ServerId = ServerId(i64::MAX);

/// The form of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloVersion {
    /// Nothing but the id.
    Legacy,
    /// One address.
    V1,
    /// Several: `multiAddress.enabled=true`. Servers before 3.6 hang up on it.
    V2,
}

/// Who dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub version: HelloVersion,
    pub server: ServerId,
    /// The dialler's election addresses, without those that are only for listening. Empty: look him up in the
    /// configuration.
    pub addresses: Vec<Address>,
}

/// Why bytes are no hello. The connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// The first word is neither an id nor a version that is known.
    Version(i64),
    /// The length of the address text is not within 1..=2048.
    AddressLength(i32),
    /// The address text is not UTF-8.
    NotText,
    Address(AddressError),
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HelloError::Version(version) => {
                write!(f, "hello of unknown version {version}: is this a ZooKeeper server's election port?")
            }
            HelloError::AddressLength(length) => {
                write!(
                    f,
                    "hello with {length} bytes of addresses, allowed are 1 to {HELLO_ADDRESS_BYTES_MAX}"
                )
            }
            HelloError::NotText => f.write_str("hello with an address that is not UTF-8"),
            HelloError::Address(error) => write!(f, "hello with a malformed address: {error}"),
        }
    }
}

impl std::error::Error for HelloError {}

impl Hello {
    /// Looks at the start of what was received. `None`: not all of it is there yet. Else the hello and how many bytes it
    /// took; what follows are notifications.
    pub fn decode_prefix(bytes: &[u8]) -> Result<Option<(Hello, usize)>, HelloError> {
        let Some(first) = i64_at(bytes, 0) else { return Ok(None) };
        let version = match first {
            0.. => {
                let server = ServerId(first);
                return Ok(Some((Hello { version: HelloVersion::Legacy, server, addresses: Vec::new() }, 8)));
            }
            V1 => HelloVersion::V1,
            V2 => HelloVersion::V2,
            _ => return Err(HelloError::Version(first)),
        };
        let Some(server) = i64_at(bytes, 8) else { return Ok(None) };
        let Some(length) = bytes.get(16..20) else { return Ok(None) };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let end = match usize::try_from(length) {
            Ok(length @ 1..=HELLO_ADDRESS_BYTES_MAX) => 20 + length,
            _ => return Err(HelloError::AddressLength(length)),
        };
        let Some(text) = bytes.get(20..end) else { return Ok(None) };
        let text = std::str::from_utf8(text).map_err(|_| HelloError::NotText)?;
        let addresses = text
            .split('|')
            .map(Address::parse)
            .filter(|address| !address.as_ref().is_ok_and(Address::is_wildcard))
            .collect::<Result<Vec<_>, _>>()
            .map_err(HelloError::Address)?;
        Ok(Some((Hello { version, server: ServerId(server), addresses }, end)))
    }
}

impl Encode for Hello {
    /// As many whole addresses as the limit allows. A form that has addresses must be given one.
    fn encode(&self, out: &mut Vec<u8>) {
        let version = match self.version {
            HelloVersion::Legacy => return self.server.encode(out),
            HelloVersion::V1 => V1,
            HelloVersion::V2 => V2,
        };
        assert!(!self.addresses.is_empty(), "a hello of today names an address");
        let mut text = String::new();
        for address in &self.addresses {
            let address = address.to_string();
            if text.len() + 1 + address.len() > HELLO_ADDRESS_BYTES_MAX {
                break;
            }
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(&address);
            if self.version == HelloVersion::V1 {
                break;
            }
        }
        version.encode(out);
        self.server.encode(out);
        encode_bytes(out, text.as_bytes());
    }
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{encoded, hex};

    fn decode(bytes: &[u8]) -> Result<Option<(Hello, usize)>, HelloError> {
        Hello::decode_prefix(bytes)
    }

    #[test]
    fn the_three_forms_go_out_and_come_back_and_every_cut_waits_for_more() {
        let one = vec![Address::new("127.0.0.1", 3888)];
        let two = vec![Address::new("::1", 3888), Address::new("zk.example", 3889)];
        for (version, server, addresses, text) in [
            (HelloVersion::Legacy, 7, vec![], "0000000000000007"),
            (HelloVersion::V1, 2, one, "ffffffffffff0000 0000000000000002 0000000e '127.0.0.1:3888'"),
            (
                HelloVersion::V2,
                -3,
                two,
                "ffffffffffff0001 fffffffffffffffd 0000001a '[::1]:3888|zk.example:3889'",
            ),
        ] {
            let hello = Hello { version, server: ServerId(server), addresses };
            let mut bytes = encoded(&hello);
            assert_eq!(bytes, hex(text));
            let length = bytes.len();
            for cut in 0..length {
                assert_eq!(decode(&bytes[..cut]), Ok(None), "{cut} bytes of {text}");
            }
            bytes.extend(b"more");
            assert_eq!(decode(&bytes), Ok(Some((hello, length))));
        }
    }

    #[test]
    fn the_first_form_may_name_several_addresses_and_listening_ones_are_dropped() {
        let bytes = hex("ffffffffffff0000 0000000000000002 00000016 '0.0.0.0:1|[::]:2|zk:03'");
        let (hello, length) = decode(&bytes).expect("a hello").expect("all of it");
        assert_eq!((hello.addresses, length), (vec![Address::new("zk", 3)], bytes.len()));
        let bytes = hex("ffffffffffff0000 0000000000000002 00000009 '0.0.0.0:1'");
        let (hello, _) = decode(&bytes).expect("a hello").expect("all of it");
        assert_eq!(hello.addresses, []);
    }

    #[test]
    fn an_encoder_keeps_to_the_limit_by_whole_addresses() {
        let address = Address::new(&"h".repeat(300), 3888);
        let hello =
            Hello { version: HelloVersion::V2, server: ServerId(1), addresses: vec![address.clone(); 9] };
        let (sent, _) = decode(&encoded(&hello)).expect("a hello").expect("all of it");
        assert_eq!(sent.addresses, vec![address.clone(); 6]);
        let first = Hello { version: HelloVersion::V1, ..hello };
        let (sent, _) = decode(&encoded(&first)).expect("a hello").expect("all of it");
        assert_eq!(sent.addresses, [address]);
    }

    #[test]
    fn what_is_no_hello_is_refused_as_soon_as_it_shows() {
        for (bytes, error) in [
            ("ffffffffffff0002", HelloError::Version(-65_534)),
            ("ffffffffffffffff", HelloError::Version(-1)),
            ("8000000000000000", HelloError::Version(i64::MIN)),
            ("ffffffffffff0000 0000000000000001 00000000", HelloError::AddressLength(0)),
            ("ffffffffffff0000 0000000000000001 00000801", HelloError::AddressLength(2049)),
            ("ffffffffffff0000 0000000000000001 ffffffff", HelloError::AddressLength(-1)),
            ("ffffffffffff0000 0000000000000001 00000002 ff3a", HelloError::NotText),
            ("ffffffffffff0000 0000000000000001 00000001 'h'", HelloError::Address(AddressError::Form)),
            ("ffffffffffff0001 0000000000000001 00000005 'h:1|g'", HelloError::Address(AddressError::Form)),
            ("ffffffffffff0001 0000000000000001 00000004 'h:1|'", HelloError::Address(AddressError::Form)),
        ] {
            assert_eq!(decode(&hex(bytes)), Err(error), "{bytes}");
        }
    }
}
