//! The audit log of both servers, for the same requests: the same lines in the same order.

use crate::support::{Config, Server};
use crate::{apache, audited, ours};

/// The lines of one life of the server.
fn lines(command: &[String]) -> (Vec<String>, Vec<String>) {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut server: Server = Config::default()
        .command(&words)
        .set("audit.enable", true)
        .property("zookeeper.extendedTypesEnabled", true)
        .start();
    let (session, expected) = audited::play(&server);
    server.signal("TERM");
    server.wait_for_exit();
    (audited::found(&server.output(), session), expected)
}

#[test]
fn audit_logs_say_the_same() {
    let configured = format!("{}/tests/admin_of_java/logback.xml", env!("CARGO_MANIFEST_DIR"));
    let command: Vec<String> = apache()
        .into_iter()
        .map(|word| match word.strip_prefix("-Dlogback.configurationFile=") {
            Some(_) => format!("-Dlogback.configurationFile={configured}"),
            None => word,
        })
        .collect();
    for (kind, command) in [("Apache ZooKeeper", command), ("Ringkeeper", ours())] {
        let (found, expected) = lines(&command);
        assert_eq!(found, expected, "{kind}");
    }
}
