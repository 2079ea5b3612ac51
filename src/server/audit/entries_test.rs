//! Lines of the audit log that a real client doesn't get, or not on every host. The usual ones: tests/admin/audit.rs.

use super::*;
use crate::base::{Path, Zxid, host_address};
use crate::messages::{Change, Changes};
use crate::wire::client::multi::encode_list;
use crate::wire::client::{CreateRequest, DeleteRequest, SetAclRequest};
use crate::wire::vector::encode_vector;
use crate::wire::{Encode, OwnedAcl, Stat};

fn identity(scheme: &str, id: &str) -> Identity {
    Identity { scheme: scheme.to_owned(), id: id.to_owned() }
}

fn write(opcode: Opcode, body: &impl Encode, identities: &[Identity]) -> Write {
    let mut bytes = vec![];
    body.encode(&mut bytes);
    Write { session: SessionId(0x1f), opcode, body: bytes.into(), identities: identities.into() }
}

fn told(entries: &[Entry]) -> Vec<String> {
    let pair = |(name, value): (&str, String)| format!("{name}={value}");
    let line = |entry: &Entry| entry.fields().into_iter().map(pair).collect::<Vec<_>>().join(" ");
    entries.iter().map(line).collect()
}

fn create(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: None, acl: Some(AclList::OPEN), flags }
}

#[test]
fn users_are_all_that_were_shown_and_have_a_name() {
    let shown = [
        identity("ip", &host_address("2001:db8::1".parse().expect("an address"))),
        identity("super", ""),
        identity("digest", "bob:fyVmFCwVbTJYrznoSu1koqYEYF0="),
    ];
    let entries =
        of_write(&write(Opcode::Create, &create("/a", 1), &shown), &AnswerBody::Error(ErrorCode::NoAuth));
    assert_eq!(
        told(&entries),
        ["session=0x1f user=2001:db8:0:0:0:0:0:1,bob ip=2001:db8:0:0:0:0:0:1 operation=create znode=/a \
             znode_type=ephemeral result=failure"]
    );
}

#[test]
fn nobody_can_feign_a_line_or_a_field() {
    let shown = [identity("digest", "eve\tresult=success\n:x")];
    let delete = DeleteRequest { path: "/a\nsession=0x1\u{2028}".into(), version: -1 };
    let entries =
        of_write(&write(Opcode::Delete, &delete, &shown), &AnswerBody::Error(ErrorCode::BadArguments));
    assert_eq!(
        told(&entries),
        [
            r"session=0x1f user=eve\tresult=success\n operation=delete znode=/a\nsession=0x1\u{2028} result=failure"
        ]
    );
}

#[test]
fn what_cannot_be_read_is_a_failure_without_a_path() {
    let failed = AnswerBody::Error(ErrorCode::MarshallingError);
    for (opcode, operation) in [
        (Opcode::Create, "create"),
        (Opcode::CreateTtl, "create"),
        (Opcode::Delete, "delete"),
        (Opcode::SetData, "setData"),
        (Opcode::SetAcl, "setAcl"),
        (Opcode::Multi, "multiOperation"),
        (Opcode::Reconfig, "reconfig"),
    ] {
        let entries = of_write(&write(opcode, &(), &[]), &failed);
        assert_eq!(told(&entries), [format!("session=0x1f operation={operation} result=failure")]);
    }
    let entries =
        of_write(&write(Opcode::Create, &create("/a", 99), &[]), &AnswerBody::Error(ErrorCode::BadArguments));
    assert_eq!(told(&entries), ["session=0x1f operation=create znode=/a result=failure"]);
    assert_eq!(of_write(&write(Opcode::Sync, &(), &[]), &failed), []);
}

#[test]
fn lists_are_written_as_javas_tool_does() {
    let mut bytes = vec![];
    let entries = [
        OwnedAcl::new(31, "world", "anyone"),
        OwnedAcl::new(5, "digest", "bob:x"),
        OwnedAcl::new(0, "ip", "::1"),
    ];
    encode_vector(&mut bytes, entries);
    let acl = AclList::decode(&mut Reader::new(&bytes)).unwrap();
    let set = SetAclRequest { path: "/a".into(), acl: Some(acl), version: -1 };
    let entries = of_write(&write(Opcode::SetAcl, &set, &[]), &AnswerBody::Stat(Stat::default()));
    let expected =
        "session=0x1f operation=setAcl znode=/a acl=world:anyone:cdrwadigest:bob:x:crip:::1: result=success";
    assert_eq!(told(&entries), [expected]);
}

#[test]
fn a_multi_is_told_by_what_was_made() {
    let mut body = vec![];
    encode_list(&mut body, [MultiOp::Create(create("/s-", 2)), MultiOp::Create2(create("/c", 0))]);
    let request = MultiRequest::decode(&mut Reader::new(&body)).unwrap();
    let multi = write(Opcode::Multi, &request, &[]);
    let answered = |results: &[MultiResult<'_>]| {
        let mut bytes = vec![];
        encode_list(&mut bytes, results.iter().copied());
        told(&of_write(&multi, &AnswerBody::Raw(bytes.into())))
    };
    let made = [
        MultiResult::Create { path: "/s-0000000007".into() },
        MultiResult::Create2 { path: "/c".into(), stat: Stat::default() },
    ];
    assert_eq!(
        answered(&made),
        [
            "session=0x1f operation=create znode=/s-0000000007 znode_type=persistent_sequential result=success",
            "session=0x1f operation=create znode=/c znode_type=persistent result=success",
        ]
    );
    let failed = [MultiResult::Error(ErrorCode::Ok), MultiResult::Error(ErrorCode::NodeExists)];
    assert_eq!(answered(&failed), ["session=0x1f operation=multiOperation result=failure"]);
}

#[test]
fn a_session_takes_its_nodes_along() {
    let change = |kind, path: &[u8]| Change { kind, path: Path::new(path), acl: None, parent_acl: None };
    let changes = vec![change(ChangeKind::Deleted, b"/a"), change(ChangeKind::DataChanged, b"/q")];
    let ended = Some(SessionId(0x1f));
    let notice = Notice { zxid: Zxid(9), changes: Changes::Many(changes), ended, ..Notice::empty() };
    assert_eq!(
        told(&of_end(&notice, "zk")),
        [
            "session=0x1f user=zk operation=ephemeralZNodeDeletionOnSessionCloseOrExpire znode=/a result=success"
        ]
    );
}
