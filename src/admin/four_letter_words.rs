//! The commands of four letters: four bytes on a fresh connection instead of a frame's length.
//!
//! The texts are those of `org.apache.zookeeper.server.command` and of what it calls.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::facts::{ConnectionFacts, Facts, Mode, PathsOfSession, ServerFacts};
use super::{facts, text};
use crate::base::{SessionId, WallMillis};
use crate::config::Whitelist;

/// What `gtmk` says before anybody said `stmk`: `ZooTrace.java`. Nothing here traces by it.
pub const TRACE_MASK_DEFAULT: i64 = 306;

/// A word that ZooKeeper knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Conf,
    Cons,
    Crst,
    Dirs,
    Dump,
    Envi,
    Gtmk,
    Hash,
    Isro,
    Mntr,
    Ruok,
    Srst,
    Srvr,
    Stat,
    Stmk,
    Wchc,
    Wchp,
    Wchs,
    /// What telnet sends when its user interrupts it. Closes.
    TelnetInterrupt,
}

/// What carrying out a command changes, besides the text it returns. Only if it [`Command::may_run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    /// Counters of every connection go to zero.
    ResetConnections,
    /// [`super::ClientMetrics`] and [`super::StoreMetrics`] go to zero.
    ResetServer,
    /// A snapshot is begun, unless the newest one has all there is.
    TakeSnapshot,
    /// The trace mask becomes the eight bytes (big-endian) that follow the command.
    SetTraceMask,
    /// A lone server serves nobody and comes to rest: its tree is about to be replaced.
    CloseIntake,
    /// It goes on with what it has.
    OpenIntake,
    /// At rest it goes on with the snapshot of this zxid, which came from elsewhere and lies on the disk.
    Reload {
        to: crate::base::Zxid,
    },
}

/// Facts which cost something to gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Counters and [`ServerFacts`] only.
    Counters,
    Connections,
    Directories,
    WatchCounts,
    Watches,
    Sessions,
    Digests,
    /// Who may do what at the root node.
    Permissions,
}

const ALL: [Command; 19] = [
    Command::Conf,
    Command::Cons,
    Command::Crst,
    Command::Dirs,
    Command::Dump,
    Command::Envi,
    Command::Gtmk,
    Command::Hash,
    Command::Isro,
    Command::Mntr,
    Command::Ruok,
    Command::Srst,
    Command::Srvr,
    Command::Stat,
    Command::Stmk,
    Command::Wchc,
    Command::Wchp,
    Command::Wchs,
    Command::TelnetInterrupt,
];

/// The command that a connection's first four bytes are; `None`: they are a frame's length.
pub fn recognise(first: [u8; 4]) -> Option<Command> {
    ALL.into_iter().find(|command| command.word() == first)
}

impl Command {
    fn word(self) -> [u8; 4] {
        match self {
            Command::Conf => *b"conf",
            Command::Cons => *b"cons",
            Command::Crst => *b"crst",
            Command::Dirs => *b"dirs",
            Command::Dump => *b"dump",
            Command::Envi => *b"envi",
            Command::Gtmk => *b"gtmk",
            Command::Hash => *b"hash",
            Command::Isro => *b"isro",
            Command::Mntr => *b"mntr",
            Command::Ruok => *b"ruok",
            Command::Srst => *b"srst",
            Command::Srvr => *b"srvr",
            Command::Stat => *b"stat",
            Command::Stmk => *b"stmk",
            Command::Wchc => *b"wchc",
            Command::Wchp => *b"wchp",
            Command::Wchs => *b"wchs",
            Command::TelnetInterrupt => [0xff, 0xf4, 0xff, 0xfd],
        }
    }

    /// Bytes that follow the command and belong to it.
    pub fn argument_bytes(self) -> usize {
        match self {
            Command::Stmk => 8,
            _ => 0,
        }
    }

    /// Whether the command is carried out: else its answer says why not, and nothing changes.
    pub fn may_run(self, whitelist: &Whitelist, serving: bool) -> bool {
        whitelist.contains(self.word()) && (serving || !self.needs_service())
    }

    pub fn effect(self) -> Effect {
        match self {
            Command::Crst => Effect::ResetConnections,
            Command::Srst => Effect::ResetServer,
            Command::Stmk => Effect::SetTraceMask,
            _ => Effect::None,
        }
    }

    pub fn needs(self) -> Needs {
        match self {
            Command::Stat | Command::Cons => Needs::Connections,
            Command::Conf | Command::Dirs => Needs::Directories,
            Command::Wchs => Needs::WatchCounts,
            Command::Wchc | Command::Wchp => Needs::Watches,
            Command::Dump => Needs::Sessions,
            Command::Hash => Needs::Digests,
            _ => Needs::Counters,
        }
    }

    fn needs_service(self) -> bool {
        !matches!(
            self,
            Command::Ruok
                | Command::Envi
                | Command::Gtmk
                | Command::Stmk
                | Command::Isro
                | Command::TelnetInterrupt
        )
    }
}

/// The whole text that is sent before the connection is closed.
pub fn answer(command: Command, whitelist: &Whitelist, facts: &Facts<'_>) -> String {
    if command == Command::TelnetInterrupt {
        return String::new();
    }
    if !whitelist.contains(command.word()) {
        let word = String::from_utf8_lossy(&command.word()).into_owned();
        return format!("{word} is not executed because it is not in the whitelist.\n");
    }
    let Some(server) = &facts.server else {
        return not_serving(command, facts);
    };
    match command {
        Command::Ruok | Command::Envi | Command::Gtmk | Command::Stmk => anytime(command, facts),
        Command::TelnetInterrupt => String::new(),
        Command::Conf => conf(server, facts),
        Command::Cons => cons(facts),
        Command::Crst => "Connection stats reset.\n".to_owned(),
        Command::Srst => "Server stats reset.\n".to_owned(),
        Command::Dirs => {
            let directories = &facts.directories;
            format!("datadir_size: {}\nlogdir_size: {}\n", directories.data_bytes, directories.log_bytes)
        }
        Command::Dump => dump(facts.sessions),
        Command::Hash => {
            facts.digests.iter().map(|(zxid, digest)| format!("{:x}: {digest}\n", zxid.0)).collect()
        }
        Command::Isro => if server.mode == Mode::ReadOnly { "ro" } else { "rw" }.to_owned(),
        Command::Mntr => facts.sheet(server).lines(),
        Command::Srvr => stat(server, facts, None),
        Command::Stat => stat(server, facts, Some(facts.connections)),
        Command::Wchc => wchc(facts.watches),
        Command::Wchp => wchp(facts.watches),
        Command::Wchs => {
            let counts = &facts.watch_counts;
            format!(
                "{} connections watching {} paths\nTotal watches:{}\n",
                counts.connections_count, counts.paths_count, counts.watches_count
            )
        }
    }
}

fn not_serving(command: Command, facts: &Facts<'_>) -> String {
    const TEXT: &str = "This ZooKeeper instance is not currently serving requests";
    match command {
        Command::Isro => "null".to_owned(),
        Command::Hash => TEXT.to_owned(),
        _ if command.needs_service() => format!("{TEXT}\n"),
        _ => anytime(command, facts),
    }
}

/// Commands that don't ask for the server behind the port.
fn anytime(command: Command, facts: &Facts<'_>) -> String {
    match command {
        Command::Ruok => "imok".to_owned(),
        Command::Envi => envi(facts),
        Command::Gtmk | Command::Stmk => facts.trace_mask.to_string(),
        _ => String::new(),
    }
}

fn envi(facts: &Facts<'_>) -> String {
    let mut out = format!("Environment:\nzookeeper.version={}\n", facts.about.full_version());
    for (key, value) in &facts.about.environment {
        // A value with a line break would look like another key.
        put(&mut out, format_args!("{key}={}\n", value.replace(['\n', '\r'], " ")));
    }
    out
}

fn stat(server: &ServerFacts, facts: &Facts<'_>, connections: Option<&[ConnectionFacts]>) -> String {
    let mut out = format!("Zookeeper version: {}\n", facts.about.full_version());
    if let Some(connections) = connections {
        out.push_str("Clients:\n");
        for connection in connections {
            brief(&mut out, connection);
            out.push_str(")\n");
        }
        out.push('\n');
    }
    let (min, average, max) = facts.clients.request_latency.millis();
    put(&mut out, format_args!("Latency min/avg/max: {min}/{average}/{max}\n"));
    put(&mut out, format_args!("Received: {}\n", facts.clients.packets_received));
    put(&mut out, format_args!("Sent: {}\n", facts.clients.packets_sent));
    put(&mut out, format_args!("Connections: {}\n", server.connections_count));
    put(&mut out, format_args!("Outstanding: {}\n", server.outstanding_requests));
    put(&mut out, format_args!("Zxid: {}\n", server.last_zxid));
    put(&mut out, format_args!("Mode: {}\n", server.mode.name()));
    put(&mut out, format_args!("Node count: {}\n", server.nodes_count));
    out
}

/// A connection up to, but without, its closing bracket.
fn brief(out: &mut String, connection: &ConnectionFacts) {
    // Java's interest set of a selector: 1 read, 4 write.
    let interest = u8::from(connection.reads) + 4 * u8::from(connection.writes);
    put(
        out,
        format_args!(
            " {}[{interest}](queued={},recved={},sent={}",
            text::socket_address(&connection.remote),
            connection.queued,
            connection.received,
            connection.sent
        ),
    );
}

fn cons(facts: &Facts<'_>) -> String {
    let mut out = String::new();
    for connection in facts.connections {
        brief(&mut out, connection);
        if let Some(session) = &connection.session {
            full(&mut out, session);
        }
        out.push_str(")\n");
    }
    out.push('\n');
    out
}

fn full(out: &mut String, session: &facts::SessionOfConnection) {
    put(
        out,
        format_args!(
            ",sid={},lop={},est={},to={}",
            session.id,
            session.last_operation,
            session.established.0,
            session.timeout.as_millis()
        ),
    );
    if let Some(cxid) = session.last_cxid {
        put(out, format_args!(",lcxid=0x{cxid:x}"));
    }
    put(
        out,
        format_args!(
            ",lzxid={},lresp={},llat={},minlat={},avglat={},maxlat={}",
            session.last_zxid,
            session.last_response.millis(),
            session.last_latency.as_millis(),
            session.min_latency.as_millis(),
            session.average_latency.as_millis(),
            session.max_latency.as_millis()
        ),
    );
}

fn conf(server: &ServerFacts, facts: &Facts<'_>) -> String {
    let config = facts.config;
    let directories = &facts.directories;
    let backlog = config.client.listen_backlog.map_or(-1, i64::from);
    let mut out = String::new();
    let mut put = |name: &str, value: &dyn std::fmt::Display| put(&mut out, format_args!("{name}={value}\n"));
    put("clientPort", &server.client_port);
    put("secureClientPort", &-1);
    put("dataDir", &directories.data_dir);
    put("dataDirSize", &directories.data_bytes);
    put("dataLogDir", &directories.data_log_dir);
    put("dataLogSize", &directories.log_bytes);
    put("tickTime", &config.tick_time.as_millis());
    put("maxClientCnxns", &config.max_client_cnxns.unwrap_or(0));
    put("minSessionTimeout", &config.min_session_timeout.as_millis());
    put("maxSessionTimeout", &config.max_session_timeout.as_millis());
    put("clientPortListenBacklog", &backlog);
    put("serverId", &server.server_id);
    out
}

fn wchc(watches: &[PathsOfSession]) -> String {
    let mut out = String::new();
    for watcher in watches {
        put(&mut out, format_args!("{}\n", watcher.session));
        for path in &watcher.paths {
            put(&mut out, format_args!("\t{path}\n"));
        }
    }
    out.push('\n');
    out
}

fn wchp(watches: &[PathsOfSession]) -> String {
    let mut watchers: BTreeMap<&str, Vec<SessionId>> = BTreeMap::new();
    for watcher in watches {
        for path in &watcher.paths {
            watchers.entry(path).or_default().push(watcher.session);
        }
    }
    let mut out = String::new();
    for (path, sessions) in watchers {
        put(&mut out, format_args!("{path}\n"));
        for session in sessions {
            put(&mut out, format_args!("\t{session}\n"));
        }
    }
    out.push('\n');
    out
}

fn dump(sessions: &facts::SessionFacts) -> String {
    let mut out = String::from("SessionTracker dump:\nSession ");
    expiries(&mut out, &sessions.expiries, ToString::to_string);
    put(
        &mut out,
        format_args!("ephemeral nodes dump:\nSessions with Ephemerals ({}):\n", sessions.ephemerals.len()),
    );
    for owner in &sessions.ephemerals {
        put(&mut out, format_args!("{}:\n", owner.session));
        for path in &owner.paths {
            put(&mut out, format_args!("\t{path}\n"));
        }
    }
    out.push_str("Connections dump:\nConnections ");
    expiries(&mut out, &sessions.connection_expiries, |(remote, session)| {
        format!("ip: {} sessionId: {session}", text::socket_address(remote))
    });
    out
}

/// As `ExpiryQueue.dump`: soonest first.
fn expiries<T>(out: &mut String, sets: &[(WallMillis, Vec<T>)], print: impl Fn(&T) -> String) {
    let mut sets: Vec<&(WallMillis, Vec<T>)> = sets.iter().collect();
    sets.sort_by_key(|(at, _)| *at);
    let count: usize = sets.iter().map(|(_, members)| members.len()).sum();
    put(out, format_args!("Sets ({})/({count}):\n", sets.len()));
    for (at, members) in sets {
        put(out, format_args!("{} expire at {}:\n", members.len(), text::date(*at)));
        for member in members {
            put(out, format_args!("\t{}\n", print(member)));
        }
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all text");
}

#[cfg(test)]
#[path = "four_letter_words_test.rs"]
mod tests;
