//! The audit log: what is in it, where it goes, and that nobody gets past it.

use std::fs;

use ringkeeper::wire::Opcode;
use ringkeeper::wire::client::SetDataRequest;
use serde_json::Value;

use crate::audited;
use crate::support::client::{PERSISTENT, SEQUENTIAL};
use crate::support::server::folder;
use crate::support::{Client, Config, Server, until};

fn auditing() -> Config {
    Config::default().set("audit.enable", true).set("extendedTypesEnabled", true)
}

fn stop(server: &mut Server) {
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
}

#[test]
fn every_change_has_its_line_on_standard_error() {
    for shards in [1, 2] {
        let mut server = auditing().set("ringkeeper.shards", shards).start();
        let (session, expected) = audited::play(&server);
        stop(&mut server);
        let output = server.output();
        assert_eq!(audited::found(&output, session), expected);
        // Beside the usual prefix: a moment, and a level that is higher for what failed.
        for line in output.lines().filter(|line| line.contains(" audit: ")) {
            let level = if line.ends_with("result=failure") { "Z ERROR audit: " } else { "Z  INFO audit: " };
            assert!(line.contains(level), "{line}");
        }
    }
}

#[test]
fn nothing_is_audited_where_nobody_asks_for_it() {
    let mut server = Server::start();
    Client::connect(&server).create("/a", b"", PERSISTENT);
    stop(&mut server);
    assert!(!server.output().contains("audit"), "{}", server.output());
}

#[test]
fn a_file_of_its_own_takes_json_and_may_be_renamed() {
    let file = folder("audit").join("audit.log");
    let mut server =
        auditing().set("ringkeeper.auditFile", file.display()).set("ringkeeper.logFormat", "json").start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let lines = |path: &std::path::Path| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    };
    let line = until("the second line", || lines(&file).get(1).cloned());
    let names: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "timestamp",
        "level",
        "target",
        "session",
        "user",
        "ip",
        "operation",
        "znode",
        "znode_type",
        "result",
    ];
    assert_eq!(names, expected);
    assert_eq!((&line["session"], &line["znode"]), (&format!("0x{:x}", client.session).into(), &"/a".into()));

    let renamed = file.with_extension("1");
    fs::rename(&file, &renamed).expect("it is there");
    let mut number = 0;
    until("a new file", || {
        number += 1;
        assert!(client.set_data("/a", number.to_string().as_bytes(), -1).is_ok());
        file.exists().then_some(())
    });
    stop(&mut server);
    // The start, the create, all changes, and the stop: none fell between the two.
    let all = lines(&renamed).len() + lines(&file).len();
    assert_eq!(all, 3 + number);
    assert!(!server.output().contains("\"operation\""), "{}", server.output());
}

/// What was asked for and carried out is told, also of a client that doesn't wait for the answers.
#[test]
fn a_client_that_is_gone_has_its_lines() {
    for shards in [1, 2] {
        let mut server = auditing().set("ringkeeper.shards", shards).start();
        let mut other = Client::connect(&server);
        other.create("/a", b"", PERSISTENT);
        let set = SetDataRequest { path: "/a".into(), data: Some(b""), version: -1 };
        let applied = until("writes to be carried out", || {
            let mut client = Client::connect(&server);
            for _ in 0..100 {
                client.send(Opcode::SetData, &set);
            }
            client.cut();
            // What the server has taken by now is before this.
            other.create("/a/n", b"", SEQUENTIAL);
            let version = other.stat("/a").version;
            (version > 0).then_some(version)
        });
        let more = other.stat("/a").version;
        stop(&mut server);
        let told = server.output().matches("operation=setData\tznode=/a\tresult=success").count();
        let told = i32::try_from(told).expect("a few hundred");
        assert!(told >= applied.max(more), "{told} lines, {more} changes");
    }
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_start() {
    let (status, output) = auditing().set("ringkeeper.auditFile", "/nowhere/at/all").start_in_vain();
    assert_eq!(status.code(), Some(3));
    assert!(output.contains("can't open /nowhere/at/all for the audit log: No such file"), "{output}");
    assert!(output.contains("Set ringkeeper.auditFile to"), "{output}");
}

#[test]
fn a_start_that_fails_is_told_as_well() {
    let first = Server::start();
    let (status, output) = auditing().set("clientPort", first.port).start_in_vain();
    assert_eq!(status.code(), Some(3));
    let lines = audited::found(&output, 0);
    assert!(lines.len() == 1 && lines[0].ends_with("\toperation=serverStart\tresult=failure"), "{output}");
}
