//! The words: golden texts of a ZooKeeper server, with our version.

use std::time::Duration;

use super::super::{
    About, ClientMetrics, DirectoryFacts, ProcessFacts, SessionFacts, SessionOfConnection, StoreMetrics,
    VERSION, WatchCounts, operation_code,
};
use super::*;
use crate::base::{Instant, Zxid};
use crate::config::{Config, Raw};

static NOBODY: std::sync::LazyLock<ProcessFacts> = std::sync::LazyLock::new(ProcessFacts::default);

/// Owns what [`Facts`] borrows: the server whose output the specification shows.
struct Server {
    about: About,
    config: Config,
    server: Option<ServerFacts>,
    clients: ClientMetrics,
    store: StoreMetrics,
    connections: Vec<ConnectionFacts>,
    directories: DirectoryFacts,
    watches: Vec<PathsOfSession>,
    sessions: SessionFacts,
    digests: Vec<(Zxid, i64)>,
}

fn config(lines: &str) -> Config {
    let content = format!("dataDir=/zk\nclientPort=34003\ntickTime=2000\n{lines}");
    Raw::parse("zoo.cfg", content.as_bytes()).check(|_| None, &|path| panic!("{path:?}")).unwrap().0
}

fn all() -> Whitelist {
    Whitelist::new("*", false).0
}

fn paths(session: i64, paths: &[&str]) -> PathsOfSession {
    PathsOfSession {
        session: SessionId(session),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    }
}

impl Server {
    fn new() -> Server {
        let mut clients = ClientMetrics { packets_received: 10, packets_sent: 9, ..ClientMetrics::default() };
        for latency in [0, 0, 10] {
            clients.request_latency.record_time(Duration::from_millis(latency));
        }
        let session = SessionOfConnection {
            id: SessionId(0x0100_0020_018e_0000),
            last_operation: operation_code(12),
            established: WallMillis(1_795_170_730_122),
            timeout: Duration::from_secs(10),
            last_cxid: Some(5),
            last_zxid: Zxid(5),
            last_response: Instant(2_636_932_000_000),
            last_latency: Duration::from_millis(1),
            min_latency: Duration::ZERO,
            average_latency: Duration::from_micros(3400),
            max_latency: Duration::from_millis(10),
        };
        let connection = |remote: &str, reads, received, session| ConnectionFacts {
            remote: remote.parse().unwrap(),
            reads,
            writes: false,
            queued: 0,
            received,
            sent: received,
            session,
        };
        Server {
            about: About {
                built: "2026-07-17 17:37 UTC".to_owned(),
                environment: vec![("host.name", "zoo1".to_owned()), ("os.name", "Linux".to_owned())],
            },
            config: config(""),
            server: Some(ServerFacts {
                mode: Mode::Standalone,
                client_port: 34003,
                server_id: 0,
                last_zxid: Zxid(3),
                connections_count: 2,
                outstanding_requests: 0,
                nodes_count: 7,
                watches_count: 4,
                ephemerals_count: 1,
                approximate_data_size: 44,
                sessions_count: 2,
                local_sessions_count: 3,
                uptime: Duration::from_millis(12_345),
                open_files_count: 63,
                open_files_max: 1024,
            }),
            clients,
            store: StoreMetrics::default(),
            connections: vec![
                connection("127.0.0.1:40982", true, 6, Some(session)),
                connection("127.0.0.1:40998", false, 1, None),
            ],
            directories: DirectoryFacts {
                data_dir: "/zk/version-2".to_owned(),
                data_log_dir: "/zk/version-2".to_owned(),
                data_bytes: 67_109_538,
                log_bytes: 67_109_538,
                ..DirectoryFacts::default()
            },
            watches: vec![paths(0x10, &["/a", "/b"]), paths(0x11, &["/b"])],
            sessions: SessionFacts::default(),
            digests: vec![(Zxid(0x80), 12), (Zxid(0x100), -13)],
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            about: &self.about,
            config: &self.config,
            server: self.server,
            clients: &self.clients,
            store: &self.store,
            connections: &self.connections,
            directories: self.directories.clone(),
            ensemble: None,
            last_snapshot: None,
            process: &NOBODY,
            watch_counts: WatchCounts { connections_count: 2, paths_count: 2, watches_count: 3 },
            watches: &self.watches,
            sessions: &self.sessions,
            digests: &self.digests,
            trace_mask: TRACE_MASK_DEFAULT,
        }
    }

    fn says(&self, word: &[u8; 4]) -> String {
        answer(recognise(*word).unwrap(), &all(), &self.facts())
    }
}

#[test]
fn words_are_recognised_and_lengths_are_not() {
    for command in ALL {
        assert_eq!(recognise(command.word()), Some(command));
    }
    let lengths = [[0, 0, 0, 44], [0, 0x0f, 0xff, 0xff], *b"RUOK", *b"abcd", [0xff; 4]];
    for length in lengths {
        assert_eq!(recognise(length), None, "{length:?}");
    }
}

#[test]
fn short_answers() {
    let server = Server::new();
    let cases: &[(&[u8; 4], &str)] = &[
        (b"ruok", "imok"),
        (b"isro", "rw"),
        (b"crst", "Connection stats reset.\n"),
        (b"srst", "Server stats reset.\n"),
        (b"dirs", "datadir_size: 67109538\nlogdir_size: 67109538\n"),
        (b"gtmk", "306"),
        (b"hash", "80: 12\n100: -13\n"),
        (b"wchs", "2 connections watching 2 paths\nTotal watches:3\n"),
        (b"wchc", "0x10\n\t/a\n\t/b\n0x11\n\t/b\n\n"),
        (b"wchp", "/a\n\t0x10\n/b\n\t0x10\n\t0x11\n\n"),
    ];
    for (word, expected) in cases {
        assert_eq!(server.says(word), *expected);
    }
    assert_eq!(
        server.says(b"envi"),
        format!(
            "Environment:\nzookeeper.version={VERSION}, built on 2026-07-17 17:37 UTC\nhost.name=zoo1\nos.name=Linux\n"
        )
    );
    let facts = Facts { trace_mask: -1, ..server.facts() };
    assert_eq!(answer(Command::Stmk, &all(), &facts), "-1");
    assert_eq!(answer(Command::TelnetInterrupt, &all(), &facts), "");
}

#[test]
fn srvr_and_stat() {
    let server = Server::new();
    let head = format!("Zookeeper version: {VERSION}, built on 2026-07-17 17:37 UTC\n");
    let clients = "Clients:\n /127.0.0.1:40982[1](queued=0,recved=6,sent=6)\n /127.0.0.1:40998[0](queued=0,recved=1,sent=1)\n\n";
    let tail = "Latency min/avg/max: 0/3.3333/10\nReceived: 10\nSent: 9\nConnections: 2\nOutstanding: 0\nZxid: 0x3\n\
                Mode: standalone\nNode count: 7\n";
    assert_eq!(server.says(b"srvr"), format!("{head}{tail}"));
    assert_eq!(server.says(b"stat"), format!("{head}{clients}{tail}"));
}

#[test]
fn the_version_is_one_that_clients_can_read() {
    let digits: Vec<u32> =
        VERSION.split('-').next().unwrap().split('.').map(|part| part.parse().unwrap()).collect();
    assert_eq!(digits, vec![3, 9, 5]);
    assert!(
        VERSION.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'),
        "{VERSION}"
    );
}

#[test]
fn conf() {
    let mut server = Server::new();
    let expected = "clientPort=34003\nsecureClientPort=-1\ndataDir=/zk/version-2\ndataDirSize=67109538\n\
                    dataLogDir=/zk/version-2\ndataLogSize=67109538\ntickTime=2000\nmaxClientCnxns=60\n\
                    minSessionTimeout=4000\nmaxSessionTimeout=40000\nclientPortListenBacklog=-1\nserverId=0\n";
    assert_eq!(server.says(b"conf"), expected);
    server.config = config("maxClientCnxns=0\nclientPortListenBacklog=512");
    let changed = server.says(b"conf");
    assert!(
        changed.contains("\nmaxClientCnxns=0\n") && changed.contains("\nclientPortListenBacklog=512\n"),
        "{changed}"
    );
}

#[test]
fn cons() {
    let mut server = Server::new();
    let first = " /127.0.0.1:40982[1](queued=0,recved=6,sent=6,sid=0x100002001\
                 8e0000,lop=GETC,est=1795170730122,to=10000,lcxid=0x5,lzxid=0x5,lresp=2636932,llat=1,minlat=0,avglat=3,maxlat=10)\n";
    let second = " /127.0.0.1:40998[0](queued=0,recved=1,sent=1)\n";
    assert_eq!(server.says(b"cons"), format!("{first}{second}\n"));

    server.connections.truncate(1);
    let session = server.connections[0].session.as_mut().unwrap();
    session.last_cxid = None;
    session.last_operation = "NA";
    session.last_zxid = Zxid(-1);
    server.connections[0].writes = true;
    let text = server.says(b"cons");
    assert!(text.starts_with(" /127.0.0.1:40982[5]("), "{text}");
    assert!(text.contains(",lop=NA,est=1795170730122,to=10000,lzxid=0xffffffffffffffff,lresp="), "{text}");
}

#[test]
fn dump() {
    let mut server = Server::new();
    let remote = |text: &str| text.parse().unwrap();
    let session = SessionId(0x0100_0020_018e_0000);
    server.sessions = SessionFacts {
        expiries: vec![(WallMillis(1_795_170_741_000), vec![session])],
        ephemerals: vec![paths(session.0, &["/op/e"])],
        connection_expiries: vec![
            (WallMillis(1_795_170_753_000), vec![(remote("127.0.0.1:1"), SessionId(7))]),
            (
                WallMillis(1_795_170_743_000),
                vec![(remote("127.0.0.1:40982"), session), (remote("127.0.0.1:41016"), SessionId::NONE)],
            ),
        ],
    };
    let expected = "SessionTracker dump:
Session Sets (1)/(1):
1 expire at Fri Nov 20 10:32:21 UTC 2026:
\t0x1000020018e0000
ephemeral nodes dump:
Sessions with Ephemerals (1):
0x1000020018e0000:
\t/op/e
Connections dump:
Connections Sets (2)/(3):
2 expire at Fri Nov 20 10:32:23 UTC 2026:
\tip: /127.0.0.1:40982 sessionId: 0x1000020018e0000
\tip: /127.0.0.1:41016 sessionId: 0x0
1 expire at Fri Nov 20 10:32:33 UTC 2026:
\tip: /127.0.0.1:1 sessionId: 0x7
";
    assert_eq!(server.says(b"dump"), expected);
}

#[test]
fn mntr_has_one_line_per_name_and_starts_with_version_and_state() {
    let server = Server::new();
    let text = server.says(b"mntr");
    let lines: Vec<(&str, &str)> = text.lines().map(|line| line.split_once('\t').unwrap()).collect();
    assert_eq!(lines[0], ("zk_version", server.about.full_version().as_str()));
    assert_eq!(lines[1], ("zk_server_state", "standalone"));
    for expected in [
        ("zk_avg_latency", "3.3333"),
        ("zk_num_alive_connections", "2"),
        ("zk_uptime", "12345"),
        ("zk_znode_count", "7"),
        ("zk_watch_count", "4"),
        ("zk_ephemerals_count", "1"),
        ("zk_approximate_data_size", "44"),
        ("zk_global_sessions", "2"),
        ("zk_local_sessions", "3"),
        ("zk_open_file_descriptor_count", "63"),
        ("zk_max_file_descriptor_count", "1024"),
        ("zk_cnt_fsynctime", "0"),
    ] {
        assert!(lines.contains(&expected), "{expected:?}");
    }
    let mut names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(lines[2..].iter().all(|(name, value)| name.starts_with("zk_") && value.parse::<f64>().is_ok()));
}

#[test]
fn only_whitelisted_words_are_executed() {
    let server = Server::new();
    let (default, _) = Whitelist::new("", false);
    for command in ALL {
        let text = answer(command, &default, &server.facts());
        match command {
            Command::Srvr => assert!(text.starts_with("Zookeeper version: "), "{text}"),
            Command::TelnetInterrupt => assert_eq!(text, ""),
            _ => {
                let word = String::from_utf8(command.word().to_vec()).unwrap();
                assert_eq!(text, format!("{word} is not executed because it is not in the whitelist.\n"));
                assert!(!command.may_run(&default, true));
            }
        }
        assert!(command.may_run(&all(), true));
    }
}

#[test]
fn a_server_that_does_not_serve_says_so() {
    let mut server = Server::new();
    server.server = None;
    const TEXT: &str = "This ZooKeeper instance is not currently serving requests";
    for command in ALL {
        let text = answer(command, &all(), &server.facts());
        match command {
            Command::Ruok => assert_eq!(text, "imok"),
            Command::Isro => assert_eq!(text, "null"),
            Command::Gtmk | Command::Stmk => assert_eq!(text, "306"),
            Command::Envi => assert!(text.starts_with("Environment:\n"), "{text}"),
            Command::TelnetInterrupt => assert_eq!(text, ""),
            Command::Hash => assert_eq!(text, TEXT),
            _ => assert_eq!(text, format!("{TEXT}\n"), "{command:?}"),
        }
        // What changes nothing while not serving must not be told to have changed something.
        if command.effect() != Effect::None && command != Command::Stmk {
            assert!(!command.may_run(&all(), false), "{command:?}");
        }
    }
}

#[test]
fn modes() {
    let mut server = Server::new();
    for (mode, name, isro) in [
        (Mode::Leader, "leader", "rw"),
        (Mode::Follower, "follower", "rw"),
        (Mode::Observer, "observer", "rw"),
        (Mode::ReadOnly, "read-only", "ro"),
    ] {
        server.server.as_mut().unwrap().mode = mode;
        assert!(server.says(b"srvr").contains(&format!("\nMode: {name}\n")));
        assert!(server.says(b"mntr").contains(&format!("\nzk_server_state\t{name}\n")));
        assert_eq!(server.says(b"isro"), isro);
    }
}

#[test]
fn an_environment_value_cannot_fake_a_line() {
    let mut server = Server::new();
    server.about.environment = vec![("user.dir", "/x\nos.name=DOS".to_owned())];
    assert!(server.says(b"envi").ends_with("\nuser.dir=/x os.name=DOS\n"));
}
