//! One command with the program: output, errors and exit status, as scripts use them.

use std::io::Write;
use std::process::Stdio;

use crate::dialogue::{Dialogue, ours, single};
use crate::support::{Server, server::free_port, until};

#[test]
fn commands_end_with_their_status() {
    let server = Server::start();
    let run = |words: &[&str]| single(ours(&server).args(words));
    let greeting = format!("Connecting to 127.0.0.1:{}\n", server.port);
    let connected = "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null zxid: -1\n";
    let (status, out, err) = run(&["create", "/china", "some data"]);
    assert_eq!(
        (status, out.as_str(), err.as_str()),
        (0, &*format!("{greeting}{connected}"), "Created /china\n")
    );
    let (status, out, err) = run(&["get", "/china"]);
    assert_eq!((status, out, err.as_str()), (0, format!("{greeting}{connected}some data\n"), ""));
    let (status, _, err) = run(&["get", "/none"]);
    assert_eq!((status, err.as_str()), (1, "Node does not exist: /none\n"));
    let (status, _, err) = run(&["get", "-q", "/none"]);
    let told = "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -q\n";
    assert_eq!((status, err.as_str()), (1, told));
    let (status, _, err) = run(&["nothing", "/none"]);
    assert!(status == 127 && err.ends_with("Command not found: Command not found nothing\n"), "{err}");
    let (status, _, err) = run(&["set", "-v", "x", "/china", "y"]);
    assert_eq!((status, err.as_str()), (1, "-v argument must be an int value, and \"x\" is none\n"));
    let (status, out, _) = run(&["version"]);
    assert!(status == 0 && out.contains("ZooKeeper CLI version: 3.9.5-ringkeeper-"), "{out}");
}

#[test]
fn lines_from_a_pipe_and_the_status_of_the_last_one() {
    let server = Server::start();
    let pipe = |lines: &str| {
        let mut command = ours(&server);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("our shell");
        child.stdin.take().expect("its input").write_all(lines.as_bytes()).expect("a shell that listens");
        let output = child.wait_with_output().expect("its outputs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let prompt = |number: usize| format!("[zk: 127.0.0.1:{}(CONNECTED) {number}] ", server.port);
    let (status, out, err) = pipe("create /p x\n\n   \nget /p\nget /none\nquit\nls /\n");
    // An empty line is asked again, with the same number.
    let end = format!("{}{}x\n{}{}", prompt(0), prompt(1).repeat(3), prompt(2), prompt(3));
    assert!(out.ends_with(&end), "{out}");
    assert!(out.contains("Welcome to ZooKeeper!\nJLine support is enabled\n"), "{out}");
    assert_eq!((status, err.as_str()), (Some(1), "Created /p\nNode does not exist: /none\n"));
    // The last line may lack its end.
    let (status, out, _) = pipe("get /none\nget /p");
    assert!(status == Some(0) && out.ends_with(&format!("x\n{}\n", prompt(2))), "{out}");
}

#[test]
fn a_server_that_is_not_there() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let shell = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
        single(command.args(["cli", "-server", &nobody]).args(words))
    };
    let (status, out, err) = shell(&["get", "/a"]);
    assert_eq!((status, out), (1, format!("Connecting to {nobody}\n")));
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].starts_with(&format!("({nobody}: ")) && lines[0].contains("refused"), "{err}");
    assert_eq!(lines[1..], ["KeeperErrorCode = ConnectionLoss for /a"]);
    let (status, _, err) = shell(&["-timeout", "300", "-waitforconnection", "get", "/a"]);
    assert!(
        status == 1 && err.contains("KeeperErrorCode = ConnectionLoss: no connection within 300 ms"),
        "{err}"
    );
    for words in
        [&["-timeout", "x"][..], &["-timeout"], &["-bad"], &["-client-configuration", "/no/file", "ls", "/"]]
    {
        let (status, out, err) = shell(words);
        assert!(status == 2 && out.is_empty() && !err.is_empty(), "{words:?}: {status} {out} {err}");
    }
    let (status, _, err) = single(std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper")).args([
        "cli",
        "-server",
        "127.0.0.1:high",
        "ls",
        "/",
    ]));
    assert_eq!((status, err.as_str()), (1, "\"high\" is no port (in \"127.0.0.1:high\")\n"));
}

#[test]
fn the_first_server_of_the_list_may_be_gone() {
    let server = Server::start();
    let list = format!("127.0.0.1:{},127.0.0.1:{}/root", free_port(), server.port);
    assert_eq!(single(ours(&server).args(["create", "/root", "r"])).0, 0);
    let shell = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
        single(command.args(["cli", "-server", &list]).args(words))
    };
    let (status, _, err) = shell(&["create", "/in", "x"]);
    assert_eq!((status, err.as_str()), (0, "Created /in\n"), "paths are those below the chroot");
    let (status, out, _) = shell(&["ls", "/"]);
    assert!(status == 0 && out.ends_with("[in]\n"), "{out}");
    let (_, _, err) = shell(&["get", "/none"]);
    assert_eq!(err, "Node does not exist: /none\n");
    assert_eq!(single(ours(&server).args(["get", "/root/in"])).0, 0);
}

#[test]
fn an_ephemeral_outlives_its_command_as_after_zkcli_and_other_sessions_are_closed() {
    let server = Server::start();
    let (status, ..) = single(ours(&server).args(["-timeout", "4000", "create", "-e", "/e", "x"]));
    assert_eq!(status, 0);
    let mut shell = Dialogue::start(&server, "watcher", ours(&server));
    assert_eq!(shell.say("get -w /e"), ["x"]);
    shell.sees("type:NodeDeleted path:/e");
    let sessions = || {
        let text = server.word("srvr");
        text.lines().find(|line| line.starts_with("Connections: ")).map(str::to_owned)
    };
    assert_eq!(single(ours(&server).args(["ls", "/"])).0, 0);
    until("only the watcher's connection", || (sessions()? == "Connections: 2").then_some(()));
}
