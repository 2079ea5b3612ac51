//! What zkCli.sh lacks: tree, grep, copy, export, import, follow, and answers as JSON.

use std::process::Command;

use serde_json::{Value, json};

use crate::dialogue::{Dialogue, ours, single};
use crate::support::{Server, until};

fn run(server: &Server, words: &[&str]) -> (i32, String, String) {
    let (status, out, err) = single(ours(server).args(words));
    // Without the greeting.
    let out = out.split_once("zxid: -1\n").map(|(_, answer)| answer.to_owned()).unwrap_or(out);
    (status, out, err)
}

fn planted() -> Server {
    let server = Server::start();
    let mut shell = Dialogue::start(&server, "planter", ours(&server));
    for line in
        ["create /t root", "create /t/a 'hello world'", "create /t/a/b 1 world:anyone:cdr", "create /t/c"]
    {
        assert!(shell.say(line)[0].starts_with("Created"), "{line}");
    }
    shell.end(true);
    server
}

#[test]
fn a_tree() {
    let server = planted();
    let expected = "/t\n├── a\n│   └── b\n└── c\n\n4 nodes\n";
    assert_eq!(run(&server, &["tree", "/t"]).1, expected);
    assert_eq!(run(&server, &["tree", "-L", "1", "/t"]).1, "/t\n├── a\n└── c\n\n3 nodes\n");
    assert_eq!(run(&server, &["tree", "-s", "/t/c"]).1, "/t/c (0 B, version 0)\n\n1 node\n");
    let (status, _, err) = run(&server, &["tree", "/none"]);
    assert_eq!((status, err.as_str()), (1, "Node does not exist: /none\n"));
}

#[test]
fn a_search() {
    let server = planted();
    let grep = |words: &[&str]| {
        let (status, out, err) = run(&server, &[&["grep"], words].concat());
        assert_eq!(err, "");
        (status, out)
    };
    assert_eq!(grep(&["wor", "/t"]), (0, "/t/a: hello world\n".to_owned()));
    assert_eq!(grep(&["-i", "-l", "^HELLO", "/"]), (0, "/t/a\n".to_owned()));
    assert_eq!(grep(&["-k", "^[bc]$", "/t"]), (0, "/t/a/b\n/t/c\n".to_owned()));
    assert_eq!(grep(&["HELLO", "/t"]), (1, String::new()));
    let (status, _, err) = run(&server, &["grep", "[", "/t"]);
    assert!(status == 1 && err.contains("regular expression"), "{err}");
}

#[test]
fn what_may_not_be_read_hides_nothing_else() {
    let server = planted();
    assert_eq!(run(&server, &["create", "/t/b", "", "digest:nobody:x:r"]).0, 0);
    assert_eq!(run(&server, &["create", "/t/b/below", "hello"]).0, 1, "nobody may");
    let (status, out, err) = run(&server, &["tree", "/t"]);
    let drawn = "/t\n├── a\n│   └── b\n├── b (may not be read)\n└── c\n\n4 nodes\n";
    assert_eq!((status, out.as_str()), (1, drawn));
    assert_eq!(err, "1 node may not be read, nor what is below\n");
    let (status, out, err) = run(&server, &["grep", "-k", "^[bc]$", "/t"]);
    assert_eq!((status, out.as_str()), (1, "/t/a/b\n/t/c\n"));
    assert_eq!(err, "Insufficient permission : /t/b\n");
    // Half of a subtree is no copy of it.
    let (status, _, err) = run(&server, &["export", "/t"]);
    assert_eq!((status, err.as_str()), (1, "Insufficient permission : /t/b\n"));
}

#[test]
fn an_answer_that_finds_no_room_is_told_of() {
    let server = planted();
    for words in [&["export", "/t"][..], &["--output", "json", "get", "/t"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = ours(&server).args(words).stdout(full).output().expect("our program");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {err}");
        assert_eq!(err.matches("the answer can't be written: No space left on device").count(), 1, "{err}");
    }
}

#[test]
fn an_export_that_fails_leaves_nothing_behind() {
    let server = planted();
    let place = server.file("place");
    std::fs::create_dir(&place).expect("room");
    let named = place.to_str().expect("a path of ours");
    let (status, _, err) = run(&server, &["export", "-f", "/t", named]);
    assert!(status == 1 && err.starts_with(&format!("{named}: ")), "{err}");
    assert!(!std::path::Path::new(&format!("{named}.partial")).exists(), "{err}");
}

#[test]
fn a_subtree_goes_out_and_comes_in_elsewhere() {
    let server = planted();
    let file = server.file("t.json");
    let file = file.to_str().expect("a path of ours");
    let (status, _, err) = run(&server, &["export", "/t", file]);
    assert_eq!((status, err), (0, format!("Exported 4 nodes to {file}\n")));
    assert!(run(&server, &["export", "/t", file]).2.contains("exists already"));
    let (status, _, err) = run(&server, &["import", file, "/u"]);
    assert_eq!((status, err.as_str()), (0, "Imported 4 nodes to /u\n"));
    assert_eq!(run(&server, &["copy", "/u", "/v"]).2, "Copied 4 nodes to /v\n");
    for root in ["/t", "/u", "/v"] {
        assert_eq!(run(&server, &["get", &format!("{root}/a")]).1, "hello world\n");
        assert_eq!(run(&server, &["get", &format!("{root}/c")]).1, "null\n");
        assert_eq!(run(&server, &["getAcl", &format!("{root}/a/b")]).1, "'world,'anyone\n: cdr\n");
    }
    let (status, _, err) = run(&server, &["copy", "/t", "/u"]);
    assert!(status == 1 && err.contains("-u updates") && err.contains("0 of 4"), "{err}");
    assert_eq!(run(&server, &["copy", "/t", "/t/a/x"]).0, 1);
    std::fs::write(file, "{\"format\": \"other\"}").expect("a file of ours");
    let (status, _, err) = run(&server, &["import", file, "/w"]);
    assert!(status == 1 && err.contains("no export of a subtree"), "{err}");
    assert_eq!(run(&server, &["stat", "/w"]).0, 1, "nothing of it was written");
}

#[test]
fn the_changes_of_a_subtree_are_followed() {
    let server = planted();
    let mut shell = Dialogue::start(&server, "follower", ours(&server));
    assert_eq!(shell.say("follow -d /t"), [""; 0]);
    let change = |words: &[&str]| assert_eq!(run(&server, words).0, 0, "{words:?}");
    change(&["set", "/t/a", "new"]);
    change(&["delete", "/t/c"]);
    let line = |text: &str| {
        until(text, || shell.output().lines().any(|line| line.ends_with(text)).then_some(()));
    };
    line("NodeDataChanged     /t/a = new");
    line("NodeDeleted         /t/c");
    let said = shell.output();
    assert!(!said.contains("type:NodeDeleted"), "no watch event besides: {said}");
    shell.say("unfollow /t");
    assert_eq!(shell.say("unfollow /t"), ["/t is not followed"]);
    shell.end(true);
    // With a number it ends by itself.
    let mut counting = ours(&server);
    let mut following = Dialogue::start(&server, "counting", {
        counting.stdin(std::process::Stdio::piped());
        counting
    });
    following.send("follow -n 2 /t");
    let mut round = 0;
    until("two changes", || {
        round += 1;
        change(&["set", "/t", &round.to_string()]);
        following.output().contains("(CONNECTED) 1]").then_some(())
    });
    assert_eq!(following.output().matches("NodeDataChanged     /t").count(), 2);
    assert_eq!(following.end(true), 0);
}

#[test]
fn answers_for_programs() {
    let server = planted();
    let ask = |words: &[&str]| -> (i32, Value, String) {
        let (status, out, err) = single(ours(&server).args(["--output", "json"]).args(words));
        assert!(out.lines().count() <= 1, "{out}");
        let value = serde_json::from_str(&out).unwrap_or(Value::Null);
        (status, value, err)
    };
    let (status, value, _) = ask(&["get", "/t/a"]);
    assert_eq!(
        (status, &value["data"], &value["stat"]["numChildren"]),
        (0, &json!("hello world"), &json!(1))
    );
    assert_eq!(ask(&["ls", "/t"]).1["children"], json!(["a", "c"]));
    assert_eq!(ask(&["create", "-s", "/t/s", "x"]).1, json!({"created": "/t/s0000000002"}));
    assert_eq!(
        ask(&["getAcl", "/t/a/b"]).1["acl"],
        json!([{"scheme": "world", "id": "anyone", "perms": "cdr"}])
    );
    let (status, value, err) = ask(&["get", "/none"]);
    assert_eq!((status, value), (1, Value::Null));
    let error: Value = serde_json::from_str(&err).expect("an error as JSON");
    assert_eq!(error, json!({"error": "NoNode", "path": "/none", "message": "Node does not exist: /none"}));
    let (status, _, err) = ask(&["nonsense"]);
    assert_eq!(
        (status, serde_json::from_str::<Value>(&err).expect("JSON")["error"].clone()),
        (127, json!("CommandNotFound"))
    );
    // What is said on the way, too.
    for words in [&["setAcl", "/t", "bad"][..], &["get", "/t", "watch"], &["setquota", "-n", "x", "/t"]] {
        let (_, _, err) = ask(words);
        assert!(!err.is_empty(), "{words:?}");
        for line in err.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{words:?}: {line}");
        }
    }
    let help = single(Command::new(env!("CARGO_BIN_EXE_ringkeeper")).args(["cli", "--help"]));
    assert!(help.0 == 0 && help.1.contains("-waitforconnection"), "{help:?}");
}
