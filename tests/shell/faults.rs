//! Servers that go away and come back, and outputs that nobody reads.

use std::process::Stdio;

use crate::dialogue::{Dialogue, ours, single};
use crate::support::{Config, Server, until};
use crate::transcript::cut;

#[test]
fn the_session_survives_its_server_with_watches_auth_and_ephemerals() {
    let mut server = Server::start();
    let mut shell = Dialogue::start(&server, "survivor", ours(&server));
    assert_eq!(shell.say("create /a x"), ["Created /a"]);
    assert_eq!(shell.say("create -e /e x"), ["Created /e"]);
    assert_eq!(shell.say("addauth digest zs:123"), [""; 0]);
    assert_eq!(shell.say("create /mine x auth::cdrwa"), ["Created /mine"]);
    assert_eq!(shell.say("addWatch /a"), [""; 0]);
    assert_eq!(shell.say("get -w /mine"), ["x"]);
    server.kill();
    shell.sees("state:Disconnected");
    let lost = shell.say("ls /");
    assert_eq!(lost.last().map(String::as_str), Some("KeeperErrorCode = ConnectionLoss for /"), "{lost:?}");
    server.restart();
    until("the session to be back", || {
        let connected = |event: &&String| event.contains("state:SyncConnected type:None");
        (shell.events().iter().filter(connected).count() == 2).then_some(())
    });
    assert_eq!(shell.say("getEphemerals /"), ["[/e]"]);
    assert_eq!(shell.say("get /mine"), ["x"], "who may read it is known again");
    assert_eq!(shell.say("set /a y"), [""; 0]);
    shell.sees("type:NodeDataChanged path:/a");
    assert_eq!(shell.say("set /mine y"), [""; 0]);
    shell.sees("type:NodeDataChanged path:/mine");
    assert_eq!(shell.end(true), 0);
}

#[test]
fn a_session_that_has_expired_says_so() {
    let server = Config::default().set("tickTime", 200).start();
    let mut command = ours(&server);
    command.args(["-timeout", "400"]);
    let mut shell = Dialogue::start(&server, "expired", command);
    assert_eq!(shell.say("create -e /mine x"), ["Created /mine"]);
    shell.signal("STOP");
    until("the session's end", || (single(ours(&server).args(["stat", "/mine"])).0 == 1).then_some(()));
    shell.signal("CONT");
    shell.sees("state:Expired");
    assert_eq!(shell.say("ls /"), ["Not connected"]);
    let port = server.port;
    assert_eq!(shell.say(&format!("connect 127.0.0.1:{port}")), [""; 0]);
    assert_eq!(shell.say("ls /"), ["[zookeeper]"]);
    assert_eq!(shell.end(false), 0);
}

#[test]
fn authentication_that_fails_ends_the_session() {
    let server = Server::start();
    let mut shell = Dialogue::start(&server, "nobody", ours(&server));
    assert_eq!(shell.say("addauth nonsense x"), [""; 0]);
    shell.sees("state:AuthFailed type:None path:null zxid: -1");
    assert_eq!(shell.say("ls /"), ["Not connected"]);
    assert!(shell.output().ends_with("(AUTH_FAILED) 2] "), "{}", shell.output());
}

#[test]
fn an_output_that_nobody_reads_ends_the_shell_without_a_panic() {
    let server = Server::start();
    let mut command = ours(&server);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("our shell");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("its input");
    // It may have ended before this was written.
    let _ = std::io::Write::write_all(&mut stdin, b"ls /\nls /\n");
    let status = until("the shell to end", || child.try_wait().expect("a child of ours"));
    assert_eq!(status.code(), Some(1));
    let mut err = String::new();
    let mut stderr = child.stderr.take().expect("its errors");
    std::io::Read::read_to_string(&mut stderr, &mut err).expect("text");
    assert!(!err.contains("panic"), "{err}");
}

#[test]
fn outputs_are_cut_at_prompts() {
    let output = "Connecting to h:1\n\nWATCHER::\n\nWatchedEvent a\n[zk: h:1(CONNECTED) 0] x\n\ny\n[zk: h:1(CONNECTED) 1] ";
    let (replies, events) = cut(output);
    assert_eq!(replies, [vec!["Connecting to h:1"], vec!["x", "y"], vec![]]);
    assert_eq!(events, ["a"]);
}
