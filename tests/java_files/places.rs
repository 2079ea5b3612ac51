//! A server of Apache's with a dataLogDir of its own; what an ACL may hold that Java doesn't read back.

use std::path::Path;

use ringkeeper::wire::client::SetAclRequest;
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, ErrorCode, Opcode, OwnedAcl, Reader};

use super::{apache_command, import, ours, ringkeeper, text, text_of};
use crate::support::server::folder;
use crate::support::tree::tree;
use crate::support::{Client, Config, Connect};

fn with_log_in(log_dir: &Path) -> Config {
    Config::default().set("dataLogDir", text(log_dir))
}

/// What was acknowledged is in the log. Who forgets it would start with less, and a member would vote with that.
#[test]
fn a_log_directory_that_is_forgotten_is_asked_for() {
    let (data_dir, log_dir, to) = (folder("data"), folder("log"), folder("imported"));
    let mut server =
        with_log_in(&log_dir).data_dir(&data_dir).command(&text_of(&apache_command(&[]))).start();
    let mut client = Client::connect(&server);
    super::load(&mut client, Client::connect(&server), "");
    let before = tree(&mut client);
    server.kill();
    let refusal =
        ringkeeper(&["snapshot", "import", text(&data_dir), "--to", text(&to)]).expect_err("half of it");
    assert!(
        refusal.contains("holds no log") && refusal.contains("Name its dataLogDir behind it"),
        "{refusal}"
    );
    let words = ["snapshot", "import", text(&data_dir), text(&log_dir), "--to", text(&to)];
    let said = ringkeeper(&words).expect("all of it");
    assert!(said.contains("znodes"), "{said}");
    let mut server = ours(&to);
    assert_eq!(tree(&mut Connect::again(&client).open(&server)), before);
    server.kill();
}

/// Java writes a character beyond U+FFFF as two that it can't read back. That ends neither its own start nor an import.
#[test]
fn an_acl_that_java_cant_read_back_is_taken_over_as_java_reads_it() {
    let data_dir = folder("apache");
    let command = apache_command(&["-Dzookeeper.snapCount=20"]);
    let mut server = Config::default().data_dir(&data_dir).command(&text_of(&command)).start();
    let mut client = Client::connect(&server);
    client.create("/smile", b"", 0);
    let mut list = vec![];
    let entries = [OwnedAcl::new(31, "world", "anyone"), OwnedAcl::new(1, "digest", "u\u{1f600}:x")];
    encode_vector(&mut list, entries);
    let acl = AclList::decode(&mut Reader::new(&list)).expect("encoded above");
    let request = SetAclRequest { path: "/smile".into(), acl: Some(acl), version: -1 };
    assert_eq!(client.call(Opcode::SetAcl, &request).code(), ErrorCode::Ok);
    for number in 0..60 {
        client.create(&format!("/n{number}"), b"", 0);
    }
    server.kill();
    server.restart();
    let mut client = Connect::again(&client).open(&server);
    let before = tree(&mut client);
    server.kill();
    let (imported, said) = import(&data_dir);
    assert!(!said.contains("trying the snapshot before it"), "{said}");
    let mut server = ours(&imported);
    let after = tree(&mut Connect::again(&client).open(&server));
    assert_eq!(after["/smile"], before["/smile"]);
    assert_eq!(after, before);
    server.kill();
}
