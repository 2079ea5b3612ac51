//! `ringkeeper status`: what the server of this configuration is, asked of its client port.
//!
//! Finds that port as zkServer.sh does, in what was written, so that it also tells of a server whose configuration has been
//! broken since. The texts on standard output are zkServer.sh's.

use std::path::Path;

use super::Trouble;
use super::place::Places;
use crate::cli::progress::print;
use crate::cli::server;
use crate::cli::srvr::{shown, srvr};
use crate::config::Raw;

/// Where clients connect.
#[derive(Debug, PartialEq, Eq)]
struct Client {
    host: String,
    port: String,
}

impl Client {
    /// What stands behind the semicolon of a server line: `port` or `host:port`.
    fn of_line(line: &str) -> Option<Client> {
        let (_, client) = line.rsplit_once(';')?;
        let (host, port) = match client.rsplit_once(':') {
            Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), port),
            None => ("localhost", client),
        };
        Some(Client { host: host.trim().to_owned(), port: port.trim().to_owned() })
    }

    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// `takes_alive`: a server without a quorum is well, too.
pub fn run(places: &Places, takes_alive: bool) -> Result<(), Trouble> {
    let raw = server::unchecked(&places.source).map_err(Trouble)?;
    let Some(client) = client(&raw) else { return secure(&raw) };
    print(&format!(
        "Client port found: {}. Client address: {}. Client SSL: false.",
        client.port, client.host
    ));
    let answer = srvr(&client.address());
    // As `grep Mode` finds it.
    let mode = answer.iter().flat_map(|(text, _)| text.lines()).find(|line| line.contains("Mode"));
    if let Some(mode) = mode {
        print(&shown(mode));
        return Ok(());
    }
    let why = match &answer {
        Ok((text, _)) if takes_alive && text.contains("not currently serving requests") => {
            print("Mode: none, it runs and is in no quorum");
            return Ok(());
        }
        Ok((text, _)) if text.is_empty() => "it closed the connection without a word".to_owned(),
        Ok((text, _)) => format!("it answers: {}", shown(text)),
        Err(error) => error.to_string(),
    };
    print("Error contacting service. It is probably not running.");
    Err(Trouble(format!("{}: {why}", client.address())))
}

fn client(raw: &Raw) -> Option<Client> {
    if let Some(port) = raw.given("clientPort").filter(|port| is_number(port)) {
        let host = raw.given("clientPortAddress").filter(|host| !host.is_empty()).unwrap_or("localhost");
        let host = host.trim_start_matches('[').trim_end_matches(']');
        return Some(Client { host: host.to_owned(), port: port.to_owned() });
    }
    let Some(own) = own_number(raw) else {
        print("myid could not be determined, will not able to locate clientPort in the server configs.");
        return None;
    };
    let line_of = |raw: &Raw| {
        let same = |number: &str| number.trim().parse::<i64>().ok() == Some(own);
        raw.servers().find(|(number, _)| same(number)).and_then(|(_, line)| Client::of_line(line))
    };
    let found = line_of(raw).or_else(|| {
        print("Client port not found in static config file. Looking in dynamic config file.");
        let file = raw.given("dynamicConfigFile")?;
        line_of(&Raw::parse(file, &server::read(Path::new(file)).ok()?))
    });
    if found.is_none() {
        print("Client port not found in the server configs");
    }
    found
}

/// A lone server needs no number: its one line is its own.
fn own_number(raw: &Raw) -> Option<i64> {
    let written =
        raw.given("dataDir").and_then(|directory| server::read(&Path::new(directory).join("myid")).ok());
    let written =
        written.and_then(|bytes| String::from_utf8_lossy(&bytes).lines().next()?.trim().parse().ok());
    let mut lines = raw.servers();
    let alone = || match (lines.next(), lines.next()) {
        (Some((number, _)), None) => number.trim().parse().ok(),
        _ => None,
    };
    written.or_else(|| raw.given("myid")?.parse().ok()).or_else(alone)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without a client port there may be one for TLS, which can't be spoken here.
fn secure(raw: &Raw) -> Result<(), Trouble> {
    print("Client port not found. Looking for secureClientPort in the static config.");
    let Some(port) = raw.given("secureClientPort").filter(|port| !port.is_empty()) else {
        print("Unable to find either secure or unsecure client port in any configs. Terminating.");
        return Err(Trouble("add a clientPort, or `;port` behind this server's line server.N".to_owned()));
    };
    let host = raw.given("secureClientPortAddress").unwrap_or("localhost");
    print(&format!("Client port found: {}. Client address: {}. Client SSL: true.", shown(port), shown(host)));
    print("Error contacting service. It is probably not running.");
    Err(Trouble("TLS is not built yet: only a clientPort can be asked".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_behind_a_server_line_has_or_has_no_address() {
        let found = |line: &str| Client::of_line(line).map(|client| (client.host.clone(), client.address()));
        let expected = |host: &str, address: &str| Some((host.to_owned(), address.to_owned()));
        assert_eq!(found("h:1:2;2181"), expected("localhost", "localhost:2181"));
        assert_eq!(found("h:1:2:observer;10.0.0.7:2182"), expected("10.0.0.7", "10.0.0.7:2182"));
        assert_eq!(found("h:1:2;[::1]:2183"), expected("::1", "[::1]:2183"));
        assert_eq!(found("h:1:2"), None);
    }

    #[test]
    fn a_client_port_is_taken_first_and_then_the_own_line() {
        let of = |text: &str| client(&Raw::parse("zoo.cfg", text.as_bytes())).map(|client| client.address());
        assert_eq!(of("clientPort=1\nserver.1=a:1:2;9"), Some("localhost:1".to_owned()));
        assert_eq!(of("clientPort=1\nclientPortAddress=[::1]"), Some("[::1]:1".to_owned()));
        assert_eq!(of("server.7=a:1:2;9"), Some("localhost:9".to_owned()), "its only line");
        let two = "server.7=a:1:2;9\nserver.08=b:1:2;10.0.0.8:9\n";
        assert_eq!(of(two), None);
        assert_eq!(of(&format!("{two}myid=8")), Some("10.0.0.8:9".to_owned()));
        assert_eq!(of(&format!("{two}myid=9")), None);
        assert_eq!(of("tickTime=5"), None);
    }
}
