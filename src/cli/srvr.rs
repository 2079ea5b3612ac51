//! Asks a server, of either kind, for `srvr`: the one word that every server answers without being told to.
//!
//! Called by `doctor` and `service`. Bounded in time and in bytes: another program may listen there.

use std::io::{Error, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::io::Clock;

/// To connect, and for the whole of an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// `srvr` takes some hundred.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// What the server at `host:port` says, empty where it closes without a word; and who took the connection.
pub fn srvr(address: &str) -> Result<(String, SocketAddr), Error> {
    let mut last = Error::other("the name has no address");
    // As clients do: the first that takes the connection.
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok((told_by(stream)?, address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// All that comes in the time for it: somebody else's port may talk for ever.
fn told_by(mut stream: TcpStream) -> Result<String, Error> {
    stream.write_all(b"srvr")?;
    let until = Clock::instant() + PATIENCE;
    let (mut text, mut piece) = (vec![], [0; 4096]);
    while text.len() < ANSWER_BYTES_MAX {
        let left = until.since(Clock::instant());
        // Zero would mean for ever.
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            break;
        }
        // A server that closes without a word is there, too.
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend_from_slice(&piece[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Of a stranger's words: as much as fits in a line, and nothing that a terminal obeys.
pub fn shown(text: &str) -> String {
    text.trim().chars().take(120).flat_map(char::escape_debug).collect()
}
