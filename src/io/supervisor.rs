//! A word to whoever watches over this process: systemd (`sd_notify(3)`), or `ringkeeper start`.
//!
//! A datagram per word, to the socket that NOTIFY_SOCKET names; without one nobody is told. Not on the data path: a word is
//! a blocking call with a bound.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use super::error::Error;

/// How long a word waits for room at who is told.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the environment says of who watches, unread.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// NOTIFY_SOCKET
    pub socket: Option<OsString>,
    /// WATCHDOG_USEC
    pub watchdog: Option<OsString>,
    /// WATCHDOG_PID: meant is that process, and no other.
    pub watched: Option<OsString>,
}

/// Who is told.
#[derive(Debug, Default)]
pub struct Supervisor {
    told: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    pub fn new(surroundings: &Surroundings) -> Result<Supervisor, Error> {
        let told = match &surroundings.socket {
            Some(name) if !name.is_empty() => Some(told(name)?),
            _ => None,
        };
        let watchdog = match &surroundings.watchdog {
            Some(micros) if told.is_some() && is_meant(surroundings.watched.as_deref()) => {
                Some(time(micros)?)
            }
            _ => None,
        };
        Ok(Supervisor { told, watchdog })
    }

    /// WATCHDOG=1 is to be heard at least so often. `None`: not expected.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// `NAME=VALUE`, several separated by line ends.
    pub fn tell(&self, words: &str) -> Result<(), Error> {
        let Some((socket, address)) = &self.told else { return Ok(()) };
        match socket.send_to_addr(words.as_bytes(), address) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::new("tell NOTIFY_SOCKET", error)),
        }
    }
}

fn told(name: &OsStr) -> Result<(UnixDatagram, SocketAddr), Error> {
    let failed = |error| Error::new("use NOTIFY_SOCKET", error).on(name.display());
    // systemd writes the leading zero of an abstract name as @.
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(Path::new(name)),
        _ => Err(std::io::Error::other("neither a path from / nor a name from @")),
    };
    let address = address.map_err(failed)?;
    let socket = UnixDatagram::unbound().map_err(failed)?;
    socket.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    Ok((socket, address))
}

fn is_meant(watched: Option<&OsStr>) -> bool {
    let own = std::process::id().to_string();
    watched.is_none_or(|watched| watched.is_empty() || watched == own.as_str())
}

fn time(micros: &OsStr) -> Result<Duration, Error> {
    let count = micros.to_str().and_then(|text| text.parse::<u64>().ok()).filter(|count| *count > 0);
    let told = || std::io::Error::other("no number of microseconds above 0");
    count
        .map(Duration::from_micros)
        .ok_or_else(|| Error::new("use WATCHDOG_USEC", told()).on(micros.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(socket: &str) -> Surroundings {
        Surroundings { socket: Some(socket.into()), ..Surroundings::default() }
    }

    #[test]
    fn a_word_reaches_an_abstract_socket() {
        let name = format!("ringkeeper-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        let supervisor = Supervisor::new(&surroundings(&format!("@{name}"))).unwrap();
        supervisor.tell("READY=1\nSTATUS=well").unwrap();
        let mut bytes = [0; 64];
        let count = listener.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"READY=1\nSTATUS=well");
        drop(listener);
        assert!(supervisor.tell("READY=1").is_err(), "nobody is there any more");
    }

    #[test]
    fn without_a_socket_nobody_is_told() {
        for surroundings in [Surroundings::default(), surroundings("")] {
            let surroundings = Surroundings { watchdog: Some("9".into()), ..surroundings };
            let supervisor = Supervisor::new(&surroundings).unwrap();
            supervisor.tell("READY=1").unwrap();
            assert_eq!(supervisor.watchdog(), None);
        }
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_is_meant() {
        let given = |watchdog: &str, watched: Option<&str>| Surroundings {
            watchdog: Some(watchdog.into()),
            watched: watched.map(OsString::from),
            ..surroundings("/run/notify")
        };
        let watchdog = |given| Supervisor::new(&given).map(|supervisor| supervisor.watchdog());
        let own = std::process::id().to_string();
        assert_eq!(watchdog(given("1500", None)).unwrap(), Some(Duration::from_micros(1500)));
        assert_eq!(watchdog(given("1500", Some(&own))).unwrap(), Some(Duration::from_micros(1500)));
        assert_eq!(watchdog(given("1500", Some("1"))).unwrap(), None);
        for odd in ["0", "-1", "5s", ""] {
            let error = watchdog(given(odd, None)).unwrap_err().to_string();
            assert!(error.contains("WATCHDOG_USEC"), "{error}");
        }
        let error = Supervisor::new(&surroundings("run/notify")).unwrap_err().to_string();
        assert!(error.contains("NOTIFY_SOCKET") && error.contains("run/notify"), "{error}");
    }
}
