//! The commands of the admin port: `GET /commands/NAME`, answered in JSON.
//!
//! Names, aliases, fields and their order are those of `org.apache.zookeeper.server.admin.Commands` 3.9. Called by
//! `server`, which speaks HTTP, gathers the facts that a command needs and sees to `snapshot` and `restore`, which do more
//! than ask. Where ZooKeeper fails with an HTTP 500 (`monitor` without a leader, POST to what is asked by GET) an error is
//! told in JSON. `log_level` is ours; `server` carries it out, too.
//! Tested: commands_test.rs; field by field against Apache ZooKeeper: tests/admin_of_java.rs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ensemble_commands::{leader, observers, voting_view, zab_state, zab_state_of_nobody};
use super::facts::{ConnectionFacts, Facts, Mode, PathsOfSession, ServerFacts};
use super::figures::rounded;
use super::four_letter_words::{Effect, Needs};
use super::{json, text};
use crate::base::{WallMillis, Zxid};

/// A command of the admin port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    Configuration,
    ConnectionStatReset,
    Connections,
    Dirs,
    Dump,
    Environment,
    GetTraceMask,
    Hash,
    InitialConfiguration,
    IsReadOnly,
    LastSnapshot,
    Leader,
    LogLevel,
    Monitor,
    ObserverConnectionStatReset,
    Observers,
    Restore,
    Ruok,
    ServerStats,
    SetTraceMask,
    Snapshot,
    StatReset,
    Stats,
    SystemProperties,
    VotingView,
    WatchSummary,
    Watches,
    WatchesByPath,
    ZabState,
}

use AdminCommand::{
    Configuration, ConnectionStatReset, Connections, Dirs, Dump, Environment, GetTraceMask, Hash,
    InitialConfiguration, IsReadOnly, LastSnapshot, Leader, LogLevel, Monitor, ObserverConnectionStatReset,
    Observers, Restore, Ruok, ServerStats, SetTraceMask, Snapshot, StatReset, Stats, SystemProperties,
    VotingView, WatchSummary, Watches, WatchesByPath, ZabState,
};

/// Primary name, then aliases; in the order of the names, as the list of links shows them.
const NAMES: [(AdminCommand, &[&str]); 29] = [
    (Configuration, &["configuration", "conf", "config"]),
    (ConnectionStatReset, &["connection_stat_reset", "crst"]),
    (Connections, &["connections", "cons"]),
    (Dirs, &["dirs"]),
    (Dump, &["dump"]),
    (Environment, &["environment", "env", "envi"]),
    (GetTraceMask, &["get_trace_mask", "gtmk"]),
    (Hash, &["hash"]),
    (InitialConfiguration, &["initial_configuration", "icfg"]),
    (IsReadOnly, &["is_read_only", "isro"]),
    (LastSnapshot, &["last_snapshot", "lsnp"]),
    (Leader, &["leader", "lead"]),
    (LogLevel, &["log_level"]),
    (Monitor, &["monitor", "mntr"]),
    (ObserverConnectionStatReset, &["observer_connection_stat_reset", "orst"]),
    (Observers, &["observers", "obsr"]),
    (Restore, &["restore", "rest"]),
    (Ruok, &["ruok"]),
    (ServerStats, &["server_stats", "srvr"]),
    (SetTraceMask, &["set_trace_mask", "stmk"]),
    (Snapshot, &["snapshot", "snap"]),
    (StatReset, &["stat_reset", "srst"]),
    (Stats, &["stats", "stat"]),
    (SystemProperties, &["system_properties", "sysp"]),
    (VotingView, &["voting_view"]),
    (WatchSummary, &["watch_summary", "wchs"]),
    (Watches, &["watches", "wchc"]),
    (WatchesByPath, &["watches_by_path", "wchp"]),
    (ZabState, &["zabstate"]),
];

impl AdminCommand {
    pub fn find(name: &str) -> Option<AdminCommand> {
        NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(command, _)| *command)
    }

    pub fn all() -> impl Iterator<Item = AdminCommand> {
        NAMES.iter().map(|(command, _)| *command)
    }

    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(command, _)| *command == self);
        found.and_then(|(_, names)| names.first()).expect("every command has a name")
    }

    /// Answered only while clients are served. `monitor` isn't such a one in ZooKeeper, where it fails instead.
    pub fn needs_service(self) -> bool {
        !matches!(self, Environment | GetTraceMask | LogLevel | SetTraceMask | SystemProperties | ZabState)
    }

    /// Only for who may do everything at the root node.
    pub fn is_privileged(self) -> bool {
        matches!(self, LogLevel | Snapshot | Restore)
    }

    /// Asked by POST, and not by GET.
    pub fn is_posted(self) -> bool {
        matches!(self, LogLevel | Restore)
    }

    pub fn needs(self) -> Needs {
        match self {
            Connections | Stats => Needs::Connections,
            Dump => Needs::Sessions,
            Hash => Needs::Digests,
            WatchSummary => Needs::WatchCounts,
            Watches | WatchesByPath => Needs::Watches,
            Configuration | Dirs | ServerStats => Needs::Directories,
            LogLevel | Snapshot | Restore => Needs::Permissions,
            _ => Needs::Counters,
        }
    }

    /// What it changes besides answering. The trace mask is not in it: see [`trace_mask`].
    pub fn effect(self) -> Effect {
        match self {
            ConnectionStatReset => Effect::ResetConnections,
            StatReset => Effect::ResetServer,
            _ => Effect::None,
        }
    }
}

/// A status of HTTP and the JSON that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn text(&self) -> String {
        json::print(&self.body)
    }

    /// Fields, then what every answer ends with. A command that failed says so before its name, as in ZooKeeper.
    pub fn new(command: AdminCommand, fields: Fields) -> Answer {
        let mut fields = fields;
        fields.insert("command".to_owned(), json!(command.name()));
        if !fields.contains_key("error") {
            fields.insert("error".to_owned(), Value::Null);
        }
        Answer { status: 200, body: Value::Object(fields) }
    }

    /// Of a command that ended with nothing but its status.
    pub fn bare(command: AdminCommand, status: u16) -> Answer {
        Answer { status, ..Answer::new(command, Fields::new()) }
    }

    /// Of a command that has more to tell.
    pub fn with(command: AdminCommand, name: &str, value: Value) -> Answer {
        Answer::new(command, [(name.to_owned(), value)].into_iter().collect())
    }

    /// Before the command began: its name as it was typed.
    pub fn refused(name: &str, status: u16, error: &str) -> Answer {
        Answer { status, body: json!({ "command": name, "error": error }) }
    }

    pub fn unknown(name: &str) -> Answer {
        Answer::refused(name, 200, &format!("Unknown command: {name}"))
    }

    pub fn not_serving(name: &str) -> Answer {
        Answer::refused(name, 200, "This ZooKeeper instance is not currently serving requests")
    }
}

pub type Fields = Map<String, Value>;

/// The page behind the bare command URL: a link per command.
pub fn links(command_url: &str) -> String {
    let link = |name| format!("<a href=\"{command_url}/{name}\">{name}</a>\n<br/>\n");
    AdminCommand::all().map(|command| link(command.name())).collect()
}

/// The mask that `set_trace_mask?traceMask=N` asks for.
pub fn trace_mask(arguments: &[(String, String)]) -> Result<i64, String> {
    const NEEDED: &str = "setTraceMask requires long traceMask argument";
    let given = arguments.iter().find(|(name, _)| name == "traceMask").map(|(_, value)| value);
    let given = given.ok_or_else(|| NEEDED.to_owned())?;
    given.parse().map_err(|_| format!("{NEEDED}, got {given}"))
}

/// Answers a command that only asks, out of facts which were gathered for it; `facts.trace_mask` is the new one, if it was
/// set. What `server` carries out is answered as where it is disabled.
pub fn run(command: AdminCommand, arguments: &[(String, String)], facts: &Facts<'_>) -> Answer {
    let Some(server) = &facts.server else {
        return match command {
            _ if command.needs_service() => Answer::not_serving(command.name()),
            ZabState => Answer::new(command, zab_state_of_nobody()),
            LogLevel => Answer::bare(command, 503),
            _ => Answer::new(command, anytime(command, arguments, facts)),
        };
    };
    let fields = match command {
        Environment | GetTraceMask | SetTraceMask | SystemProperties => anytime(command, arguments, facts),
        ConnectionStatReset | ObserverConnectionStatReset | Ruok | StatReset => Fields::new(),
        LogLevel | Snapshot | Restore => return Answer::bare(command, 503),
        Configuration => configuration(server, facts),
        Connections => connections(facts.connections, full),
        Dirs => fields(json!({
            "datadir_size": facts.directories.data_bytes,
            "logdir_size": facts.directories.log_bytes,
        })),
        Dump => dump(facts),
        Hash => fields(json!({ "digests": digests(facts) })),
        InitialConfiguration => fields(json!({ "initial_configuration": initial_configuration(facts) })),
        IsReadOnly => fields(json!({ "read_only": server.mode == Mode::ReadOnly })),
        LastSnapshot => last_snapshot(facts),
        Leader => leader(server, facts),
        Monitor => facts.sheet(server).fields(),
        Observers => observers(facts),
        ServerStats => server_stats(server, facts),
        Stats => {
            let mut fields = server_stats(server, facts);
            fields.extend(connections(facts.connections, brief));
            fields
        }
        VotingView => voting_view(server, facts),
        WatchSummary => fields(json!({
            "num_connections": facts.watch_counts.connections_count,
            "num_paths": facts.watch_counts.paths_count,
            "num_total_watches": facts.watch_counts.watches_count,
        })),
        Watches => fields(json!({ "session_id_to_watched_paths": by_session(facts.watches) })),
        WatchesByPath => fields(json!({ "path_to_session_ids": by_path(facts.watches) })),
        ZabState => zab_state(server, facts),
    };
    Answer::new(command, fields)
}

pub fn fields(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        other => [("value".to_owned(), other)].into_iter().collect(),
    }
}

/// Commands that don't ask for the server behind the port.
fn anytime(command: AdminCommand, arguments: &[(String, String)], facts: &Facts<'_>) -> Fields {
    match command {
        SetTraceMask => match trace_mask(arguments) {
            Ok(mask) => fields(json!({ "tracemask": mask })),
            Err(error) => fields(json!({ "error": error })),
        },
        GetTraceMask => fields(json!({ "tracemask": facts.trace_mask })),
        Environment => {
            let version = ("zookeeper.version".to_owned(), json!(facts.about.full_version()));
            let others = facts.about.environment.iter();
            std::iter::once(version)
                .chain(others.map(|(key, value)| ((*key).to_owned(), json!(value))))
                .collect()
        }
        _ => {
            let of_system = |key: &str| key.starts_with("os.") || key.starts_with("user.");
            let found = facts.about.environment.iter().filter(|(key, _)| of_system(key));
            let mut properties: BTreeMap<String, Value> =
                found.map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
            for (key, value) in [("file.separator", "/"), ("line.separator", "\n"), ("path.separator", ":")] {
                properties.insert(key.to_owned(), json!(value));
            }
            properties.into_iter().collect()
        }
    }
}

fn configuration(server: &ServerFacts, facts: &Facts<'_>) -> Fields {
    let config = facts.config;
    fields(json!({
        "client_port": server.client_port,
        "data_dir": facts.directories.data_dir,
        "data_log_dir": facts.directories.data_log_dir,
        "tick_time": millis(config.tick_time),
        "max_client_cnxns": config.max_client_cnxns.unwrap_or(0),
        "min_session_timeout": millis(config.min_session_timeout),
        "max_session_timeout": millis(config.max_session_timeout),
        "server_id": server.server_id,
        "client_port_listen_backlog": config.client.listen_backlog.map_or(-1, i64::from),
    }))
}

fn connections(connections: &[ConnectionFacts], show: fn(&ConnectionFacts) -> Fields) -> Fields {
    let shown: Vec<Value> = connections.iter().map(|connection| Value::Object(show(connection))).collect();
    fields(json!({ "connections": shown, "secure_connections": [] }))
}

fn brief(connection: &ConnectionFacts) -> Fields {
    fields(json!({
        "remote_socket_address": text::socket_address(&connection.remote).trim_start_matches('/'),
        // Java's interest set of a selector: 1 read, 4 write.
        "interest_ops": u8::from(connection.reads) + 4 * u8::from(connection.writes),
        "outstanding_requests": connection.queued,
        "packets_received": connection.received,
        "packets_sent": connection.sent,
    }))
}

fn full(connection: &ConnectionFacts) -> Fields {
    let mut all = brief(connection);
    let session = connection.session.as_ref();
    let time =
        |of: fn(&super::SessionOfConnection) -> std::time::Duration| session.map_or(0, |s| millis(of(s)));
    all.extend(fields(json!({
        "session_id": session.map_or(0, |session| session.id.0),
        "last_operation": session.map_or("NA", |session| session.last_operation),
        "established": session.map_or(0, |session| session.established.0),
        "session_timeout": time(|session| session.timeout),
        "last_cxid": session.and_then(|session| session.last_cxid).map_or(-1, i64::from),
        "last_zxid": session.map_or(-1, |session| session.last_zxid.0),
        "last_response_time": session.map_or(0, |session| session.last_response.millis()),
        "last_latency": time(|session| session.last_latency),
        "min_latency": time(|session| session.min_latency),
        "avg_latency": time(|session| session.average_latency),
        "max_latency": time(|session| session.max_latency),
    })));
    all
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Moments are of the monotone clock, as in ZooKeeper: `last_response_time` of a connection is of the same.
fn dump(facts: &Facts<'_>) -> Fields {
    let wall = facts.process.wall;
    let moment = |at: WallMillis| {
        let left = u64::try_from(at.0.saturating_sub(wall.0)).unwrap_or(0);
        (facts.process.now.millis() + left).to_string()
    };
    let expiries = facts.sessions.expiries.iter().map(|(at, sessions)| {
        let ids: Vec<i64> = sessions.iter().map(|session| session.0).collect();
        (moment(*at), json!(ids))
    });
    fields(json!({
        "expiry_time_to_session_ids": expiries.collect::<Fields>(),
        "session_id_to_ephemeral_paths": by_session(&facts.sessions.ephemerals),
    }))
}

fn by_session(owners: &[PathsOfSession]) -> Fields {
    owners.iter().map(|owner| (owner.session.0.to_string(), json!(owner.paths))).collect()
}

fn by_path(owners: &[PathsOfSession]) -> Fields {
    let mut watchers: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for owner in owners {
        for path in &owner.paths {
            watchers.entry(path).or_default().push(owner.session.0);
        }
    }
    watchers.into_iter().map(|(path, sessions)| (path.to_owned(), json!(sessions))).collect()
}

fn digests(facts: &Facts<'_>) -> Vec<Value> {
    /// `DigestCalculator.DIGEST_VERSION`
    const VERSION: u32 = 2;
    let digest =
        |(zxid, digest): &(Zxid, i64)| json!({ "zxid": zxid.0, "digest": digest, "digest_version": VERSION });
    facts.digests.iter().map(digest).collect()
}

/// A member's is null in ZooKeeper, too.
fn initial_configuration<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    facts.config.initial.as_deref().filter(|_| facts.ensemble.is_none())
}

fn last_snapshot(facts: &Facts<'_>) -> Fields {
    let (zxid, written) = facts.last_snapshot.map_or((-1, -1), |last| (last.zxid.0, last.written));
    fields(json!({ "zxid": format!("{zxid:x}"), "timestamp": written }))
}

fn server_stats(server: &ServerFacts, facts: &Facts<'_>) -> Fields {
    let clients = facts.clients;
    let size = &clients.client_response_size;
    let sizes = json!({
        "last_buffer_size": size.known(size.last),
        "min_buffer_size": size.known(size.sizes.min),
        "max_buffer_size": size.known(size.sizes.max),
    });
    let latency = &clients.request_latency;
    let mut all = fields(json!({
        "version": facts.about.full_version(),
        "read_only": server.mode == Mode::ReadOnly,
        "server_stats": {
            "packets_sent": clients.packets_sent,
            "packets_received": clients.packets_received,
            "fsync_threshold_exceed_count": facts.process.slow_syncs,
            "client_response_stats": sizes,
            "uptime": millis(server.uptime),
            "provider_null": false,
            "data_dir_size": facts.directories.data_bytes,
            "log_dir_size": facts.directories.log_bytes,
            "last_processed_zxid": server.last_zxid.0,
            "outstanding_requests": server.outstanding_requests,
            "server_state": server.mode.name(),
            "avg_latency": rounded(latency.sum, latency.count, 1000),
            "max_latency": latency.max / 1000,
            "min_latency": latency.min / 1000,
            "num_alive_client_connections": server.connections_count,
            "auth_failed_count": clients.auth_failures,
            "non_mtlsremote_conn_count": 0,
            "non_mtlslocal_conn_count": 0,
        },
        "client_response": sizes,
    }));
    if server.mode == Mode::Leader {
        let size = &facts.store.proposal_size;
        let proposals = json!({
            "last_buffer_size": size.known(size.last),
            "min_buffer_size": size.known(size.sizes.min),
            "max_buffer_size": size.known(size.sizes.max),
        });
        all.insert("proposal_stats".to_owned(), proposals);
    }
    all.insert("node_count".to_owned(), json!(server.nodes_count));
    all
}

#[cfg(test)]
#[path = "commands_test.rs"]
mod tests;
