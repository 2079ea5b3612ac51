//! A server of Apache's with a dataLogDir of its own; ACLs that Java doesn't read back, or has lost.

use std::fs;
use std::path::Path;

use ringkeeper::wire::client::SetAclRequest;
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, ErrorCode, Opcode, OwnedAcl, Reader};

use super::{apache_command, import, newest, ours, ringkeeper, text, text_of};
use crate::support::server::{folder, free_port};
use crate::support::tree::tree;
use crate::support::{Client, Config, Connect, until};

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

/// A snapshot of Apache's with another ACL list for `path`, one that it doesn't hold; rightly sealed.
fn with_a_list_that_is_nowhere(snapshot: &[u8], path: &str, list: i64) -> Vec<u8> {
    const SEAL: usize = 13;
    // Digest, and since 3.9 the last zxid.
    let is_older = std::env::var("ZOOKEEPER_VERSION").is_ok_and(|version| version.starts_with("3.8."));
    let sections: &[usize] = if is_older { &[20] } else { &[20, 8] };
    let body = snapshot.len() - SEAL * (sections.len() + 1) - sections.iter().sum::<usize>();
    let mut out = snapshot[..body].to_vec();
    let named = [&(path.len() as u32).to_be_bytes()[..], path.as_bytes()].concat();
    let at = out.windows(named.len()).position(|window| window == named).expect("the znode") + named.len();
    let data_bytes = i32::from_be_bytes(out[at..at + 4].try_into().expect("four bytes")).max(0) as usize;
    out[at + 4 + data_bytes..][..8].copy_from_slice(&list.to_be_bytes());
    let mut from = body + SEAL;
    for section in [&[0][..], sections].concat() {
        out.extend(&snapshot[from..from + section]);
        from += section + if section > 0 { SEAL } else { 0 };
        out.extend(i64::from(adler2::adler32_slice(&out)).to_be_bytes());
        out.extend(b"\0\0\0\x01/");
    }
    out
}

/// Its leader has lost the list. Nobody is let in, the learner serves all the rest, and says so.
#[test]
fn a_learner_tells_of_a_list_that_never_came() {
    let data_dir = folder("apache");
    let mut server = Config::default().data_dir(&data_dir).command(&text_of(&apache_command(&[]))).start();
    let mut client = Client::connect(&server);
    client.create("/open", b"", 0);
    client.create("/lost", b"data", 0);
    server.kill();
    server.restart();
    until("the snapshot of the start", || {
        (newest(&data_dir, "snapshot.", "")? > newest(&data_dir, "log.", "")?).then_some(())
    });
    server.kill();
    let newest = newest(&data_dir, "snapshot.", "").expect("waited for");
    let kept = format!("snapshot.{:x}", newest.0);
    for entry in fs::read_dir(data_dir.join("version-2")).expect("there") {
        let path = entry.expect("readable").path();
        if path.file_name().is_some_and(|name| name != kept.as_str()) {
            fs::remove_file(path).expect("there");
        }
    }
    let file = data_dir.join("version-2").join(&kept);
    let without = with_a_list_that_is_nowhere(&fs::read(&file).expect("there"), "/lost", 9);
    fs::write(&file, without).expect("room");
    fs::write(data_dir.join("myid"), "1\n").expect("room");
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let member = |data_dir: &Path| {
        Config::default()
            .set("standaloneEnabled", false)
            .set("initLimit", 10)
            .set("syncLimit", 5)
            .set("server.1", format!("127.0.0.1:{}:{}:participant", ports[0], ports[1]))
            .set("server.2", format!("127.0.0.1:{}:{}:observer", ports[2], ports[3]))
            .data_dir(data_dir)
    };
    let mut leader = member(&data_dir).command(&text_of(&apache_command(&[]))).start();
    let own = folder("observer");
    fs::write(own.join("myid"), "2\n").expect("room");
    let command = [env!("CARGO_BIN_EXE_ringkeeper"), "server"];
    let mut learner = member(&own).set("peerType", "observer").command(&command).start();
    let mut client = Client::connect(&learner);
    assert!(client.get_data("/open", false).is_ok());
    assert_eq!(client.get_data("/lost", false).err(), Some(ErrorCode::NoAuth));
    let told = learner.output();
    assert!(told.contains("didn't hold the ACL list 9 of this znode") && told.contains("/lost"), "{told}");
    for server in [&mut learner, &mut leader] {
        server.kill();
    }
}
