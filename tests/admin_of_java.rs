//! The admin port and the metrics page beside those of a real Apache ZooKeeper: both are asked the same, and their answers
//! must have the same fields, of the same types. Needs `tests/run --prepare` and Java.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "admin_of_java/audit.rs"]
mod audit;
#[path = "admin/audited.rs"]
mod audited;
#[path = "admin_of_java/restore.rs"]
mod restore;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};
use support::client::{EPHEMERAL, PERSISTENT};
use support::http::{Answer, get, request, try_get};
use support::server::free_port;
use support::{Client, Config, Ensemble, Server, until};

/// Of `super:secret`.
const SUPER: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// Apache's command, with what its HTTP servers need.
fn apache() -> Vec<String> {
    let version = std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| "3.9.5".to_owned());
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.clients");
    let (jars, of_http) = (clients.join(format!("zookeeper-{version}")), clients.join("zookeeper-http"));
    let found = jars.join(format!("zookeeper-{version}.jar")).exists() && of_http.exists();
    assert!(
        found,
        "Apache ZooKeeper isn't in {}, or what it needs for HTTP not in {}: `tests/run --prepare` puts it there",
        jars.display(),
        of_http.display()
    );
    let path = format!("{}/*:{}/*", jars.display(), of_http.display());
    let logs =
        format!("-Dlogback.configurationFile={}/tests/differential/logback.xml", env!("CARGO_MANIFEST_DIR"));
    let words = [
        "java",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        &logs,
        "-cp",
        &path,
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    ];
    words.map(str::to_owned).to_vec()
}

fn ours() -> Vec<String> {
    vec![env!("CARGO_BIN_EXE_ringkeeper").to_owned(), "server".to_owned()]
}

/// Both ports open: the admin server's, and Prometheus'.
fn with_ports(config: Config, command: &[String]) -> (Config, u16, u16) {
    let (admin, metrics) = (free_port(), free_port());
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let config = config
        .command(&words)
        .set("admin.enableServer", true)
        .set("admin.serverAddress", "127.0.0.1")
        .set("admin.serverPort", admin)
        .set("admin.rateLimiterIntervalInMS", 0)
        .set("metricsProvider.className", "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
        .set("metricsProvider.httpHost", "127.0.0.1")
        .set("metricsProvider.httpPort", metrics)
        .set("DigestAuthenticationProvider.superDigest", SUPER);
    (config, admin, metrics)
}

/// A lone server with one client that has done a little of everything.
struct Lone {
    server: Server,
    _client: Client,
    admin: u16,
    metrics: u16,
}

fn lone(command: &[String]) -> Lone {
    let (config, admin, metrics) = with_ports(Config::default(), command);
    let server = config.start();
    until("the admin port", || try_get(admin, "/commands"));
    until("the metrics port", || try_get(metrics, "/metrics"));
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    client.create("/a/e", b"", EPHEMERAL);
    for number in 0..300 {
        assert!(client.set_data("/a", format!("{number}").as_bytes(), -1).is_ok());
    }
    assert!(client.get_data("/a", true).is_ok());
    assert!(client.children("/a", true).is_ok());
    Lone { server, _client: client, admin, metrics }
}

/// What kind of value it is; keys that are numbers are somebody's id.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(number) if number.is_f64() => json!("fraction"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(values) => {
            let shapes: BTreeSet<String> = values.iter().map(|value| shape(value).to_string()).collect();
            json!(shapes.into_iter().collect::<Vec<_>>())
        }
        Value::Object(fields) => {
            let key = |key: &str| if key.parse::<i64>().is_ok() { "id".to_owned() } else { key.to_owned() };
            let sorted: BTreeMap<String, Value> =
                fields.iter().map(|(name, value)| (key(name), shape(value))).collect();
            Value::Object(sorted.into_iter().collect::<Map<_, _>>())
        }
    }
}

fn fields(answer: &Value) -> BTreeMap<String, Value> {
    answer.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), shape(value))).collect()
}

/// Status, type, and the shape of all fields.
fn assert_same(what: &str, apache: &Answer, ours: &Answer) {
    assert_eq!(apache.status, ours.status, "{what}");
    assert_eq!(apache.header("content-type"), ours.header("content-type"), "{what}");
    assert_eq!(fields(&apache.json()), fields(&ours.json()), "{what}: left is Apache's, right ours");
    let ends = |answer: &Answer| {
        let json = answer.json();
        (json["command"].clone(), json["error"].clone())
    };
    assert_eq!(ends(apache), ends(ours), "{what}");
}

#[test]
fn commands_of_a_lone_server() {
    let (apache, ours) = (lone(&apache()), lone(&ours()));
    let links = |of: &Lone| get(of.admin, "/commands").text().to_owned();
    // One is ours alone.
    let own = "<a href=\"/commands/log_level\">log_level</a>\n<br/>\n";
    assert_eq!(links(&apache), links(&ours).replace(own, ""));
    let commands = [
        "configuration",
        "conf",
        "config",
        "connections",
        "cons",
        "dirs",
        "dump",
        "get_trace_mask",
        "gtmk",
        "hash",
        "icfg",
        "isro",
        "leader",
        "lead",
        "observers",
        "obsr",
        "ruok",
        "server_stats",
        "srvr",
        "stats",
        "stat",
        "set_trace_mask",
        "stmk?traceMask=5",
        "stmk?traceMask=x",
        "voting_view",
        "watch_summary",
        "wchs",
        "watches",
        "wchc",
        "watches_by_path",
        "wchp",
        "zabstate",
        "lsnp",
        "snapshot",
        "restore",
        "nosuch",
        "ruok/",
        "a%20b%22%3C",
        "orst",
        "crst",
        "srst",
    ];
    for command in commands {
        let path = format!("/commands/{command}");
        assert_same(command, &get(apache.admin, &path), &get(ours.admin, &path));
    }
    for authorization in ["foo bar", "digest", "digest a b c"] {
        let asked =
            |of: &Lone| request(of.admin, "GET", "/commands/snap", &[("Authorization", authorization)]);
        assert_same(authorization, &asked(&apache), &asked(&ours));
    }
    let taken = |of: &Lone| {
        let authorization = [("Authorization", "digest super:secret")];
        let asked = request(of.admin, "GET", "/commands/snapshot?streaming=false", &authorization);
        assert!(asked.header("last_zxid").is_some_and(|zxid| zxid.starts_with("0x")), "{asked:?}");
        assert!(asked.header("snapshot_size").is_some_and(|size| size.parse::<u64>().is_ok()), "{asked:?}");
        asked
    };
    assert_same("snapshot", &taken(&apache), &taken(&ours));
    let posted = |of: &Lone| request(of.admin, "POST", "/commands/restore", &[]);
    assert_same("restore", &posted(&apache), &posted(&ours));
    for (method, path) in [("PUT", "/commands/ruok"), ("TRACE", "/commands/ruok"), ("GET", "/nope")] {
        let status = |of: &Lone| request(of.admin, method, path, &[]).status;
        assert_eq!(status(&apache), status(&ours), "{method} {path}");
    }
    // Of these two the Java machine tells more: what both tell is of one type.
    for command in ["environment", "system_properties"] {
        let of = |lone: &Lone| fields(&get(lone.admin, &format!("/commands/{command}")).json());
        let (apache, ours) = (of(&apache), of(&ours));
        for (name, kind) in &ours {
            assert_eq!(apache.get(name), Some(kind), "{command}: {name}");
        }
    }
    assert_eq!(apache.server.word("gtmk"), ours.server.word("gtmk"));
}

/// The words of a monitor of Apache's without Prometheus: `mntr` and `monitor` have the names of its own provider then.
#[test]
fn what_monitor_tells_is_told_by_apache_under_the_same_name() {
    let start = |command: &[String]| {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let port = free_port();
        let config = Config::default()
            .command(&words)
            .set("admin.enableServer", true)
            .set("admin.serverAddress", "127.0.0.1")
            .set("admin.serverPort", port);
        let server = config.start();
        until("the admin port", || try_get(port, "/commands"));
        (server, port)
    };
    let (_apache, of_apache) = start(&apache());
    let (_ours, of_ours) = start(&ours());
    let monitor = |port: u16| fields(&get(port, "/commands/monitor").json());
    let (apache, ours) = (monitor(of_apache), monitor(of_ours));
    for (name, kind) in &ours {
        assert_eq!(apache.get(name), Some(kind), "{name}");
    }
    assert!(ours.len() > 50, "{} values", ours.len());
}

#[test]
fn commands_of_members() {
    let start = |command: &[String]| {
        let ports = std::cell::RefCell::new(vec![0; 4]);
        let mut ensemble = Ensemble::prepare(2, 1, |id, config| {
            let (config, admin, _) = with_ports(config, command);
            ports.borrow_mut()[id] = admin;
            config
        });
        ensemble.launch_all();
        let leader = ensemble.settle();
        let ports = ports.into_inner();
        for &port in &ports[1..] {
            until("a member to answer", || {
                let answer = try_get(port, "/commands/leader")?;
                answer.json()["error"].is_null().then_some(())
            });
        }
        let (leader, follower) = (ports[leader + 1], ports[2 - leader]);
        (ensemble, [leader, follower, ports[3]])
    };
    let (_apache, of_apache) = start(&apache());
    let (_ours, of_ours) = start(&ours());
    for (role, (&apache, &ours)) in
        ["leader", "follower", "observer"].iter().zip(of_apache.iter().zip(&of_ours))
    {
        for command in
            ["conf", "lead", "voting_view", "zabstate", "srvr", "stat", "isro", "icfg", "dirs", "ruok"]
        {
            let path = format!("/commands/{command}");
            assert_same(&format!("{command} of the {role}"), &get(apache, &path), &get(ours, &path));
        }
    }
    // Of an observer we tell less, and nothing else.
    let observers = |port: u16| get(port, "/commands/observers").json();
    let (apache, ours) = (observers(of_apache[0]), observers(of_ours[0]));
    assert_eq!((&apache["synced_observers"], &ours["synced_observers"]), (&json!(1), &json!(1)));
    for (name, kind) in fields(&ours["observers"][0]) {
        assert_eq!(fields(&apache["observers"][0]).get(&name), Some(&kind), "{name}");
    }
}

/// Names with their types.
fn families(port: u16) -> BTreeMap<String, String> {
    let page = get(port, "/metrics");
    assert!(page.header("content-type").expect("a type").starts_with("text/plain; version=0.0.4"));
    let line = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name.to_owned(), kind.to_owned()))
    };
    page.text().lines().filter_map(line).collect()
}

#[test]
fn metrics_have_apaches_names_and_types() {
    let (apache, ours) = (lone(&apache()), lone(&ours()));
    let (of_apache, of_ours) = (families(apache.metrics), families(ours.metrics));
    for (name, kind) in of_ours.iter().filter(|(name, _)| !name.starts_with("ringkeeper_")) {
        assert_eq!(of_apache.get(name), Some(kind), "{name}");
    }
    let shared = of_ours.keys().filter(|name| of_apache.contains_key(*name)).count();
    assert!(shared > 35, "only {shared} names are Apache's");
    // The parts of a summary that dashboards ask for.
    let page = |of: &Lone| get(of.metrics, "/metrics").text().to_owned();
    for sample in [
        "readlatency{quantile=\"0.5\"",
        "updatelatency{quantile=\"0.99\"",
        "updatelatency_sum",
        "fsynctime_count",
    ] {
        assert!(page(&apache).contains(sample), "{sample} isn't Apache's");
        assert!(page(&ours).contains(sample), "{sample} isn't ours");
    }
}

/// `ringkeeper backup` takes a snapshot of either kind of server, and a server of ours starts on what is restored of it.
#[test]
fn a_backup_is_taken_of_either_kind() {
    let run = |words: &[&str]| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper"))
            .args(words)
            .output()
            .expect("it runs");
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("text")
    };
    for command in [apache(), ours()] {
        let lone = lone(&command);
        let (to, restored) = (support::server::folder("backup"), support::server::folder("restored"));
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let admin = format!("http://127.0.0.1:{}", lone.admin);
        let told = run(&["backup", "--to", &text(&to), "--admin", &admin, "--auth", "digest:super:secret"]);
        assert!(told.contains("6 znodes, 1 sessions, zxid 0x"), "{told}");
        let file = std::fs::read_dir(&to).expect("there").next().expect("a file").expect("readable").path();
        run(&["snapshot", "restore", "--from", &text(&file), "--to", &text(&restored)]);
        let words = ours();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let server = Config::default().data_dir(&restored).command(&words).start();
        assert_eq!(Client::connect(&server).data("/a"), b"299");
    }
}
