//! Which answer belongs to which request.

use bytes::Bytes;

use super::*;
use crate::base::{SessionId, Zxid};
use crate::messages::{AnswerBody, Change, ChangeKind, Changes};
use crate::wire::ErrorCode;

const AT: WallMillis = WallMillis(7);

fn audit() -> (Audit, Receiver<Line>) {
    let (to_thread, told) = bounded(QUEUE_MAX);
    let has_started = Arc::new(AtomicBool::new(false));
    (Audit { asked: BTreeMap::new(), count: 0, to_thread, has_started }, told)
}

fn client(slot: u32) -> Client {
    Client { shard: ShardId(0), connection: ConnectionId { slot, generation: 0 } }
}

fn write(slot: u32, xid: i32, opcode: Opcode) -> Request {
    let (body, identities) = (Bytes::new(), Arc::from([]));
    Request::Write { from: client(slot), session: SessionId(i64::from(slot)), xid, opcode, body, identities }
}

fn sync(slot: u32, xid: i32) -> Request {
    Request::Sync { from: client(slot), session: SessionId(i64::from(slot)), xid, body: Bytes::new() }
}

fn answer(slot: u32, xid: i32, code: ErrorCode) -> Arc<Notice> {
    let answer = Answer { to: client(slot), xid, body: AnswerBody::Error(code) };
    Arc::new(Notice { zxid: Zxid(1), answer: Some(answer), ..Notice::empty() })
}

/// Session, operation and result of each line since the last look.
fn told(lines: &Receiver<Line>) -> Vec<(i64, Opcode, ErrorCode)> {
    let lines = lines.try_iter().map(|(at, told)| {
        assert_eq!(at, AT);
        let Told::Answered(write, notice) = told else { panic!("nothing but answers") };
        let Some(Answer { body: AnswerBody::Error(code), .. }) = notice.answer else { panic!("an answer") };
        (write.session.0, write.opcode, code)
    });
    lines.collect()
}

#[test]
fn answers_find_their_requests_whatever_numbers_clients_give_them() {
    let (mut audit, lines) = audit();
    for request in [
        write(1, 7, Opcode::Create),
        sync(1, 7),
        write(2, 7, Opcode::SetData),
        write(1, 7, Opcode::Delete),
        write(1, 7, Opcode::CloseSession),
    ] {
        audit.on_request(&request);
    }
    for notice in [
        answer(1, 7, ErrorCode::NodeExists),
        answer(1, 7, ErrorCode::Ok),
        answer(1, 7, ErrorCode::NoNode),
        answer(2, 7, ErrorCode::NoAuth),
        answer(1, 7, ErrorCode::Ok),
    ] {
        audit.on_notice(AT, &notice);
    }
    let expected = [
        (1, Opcode::Create, ErrorCode::NodeExists),
        (1, Opcode::Delete, ErrorCode::NoNode),
        (2, Opcode::SetData, ErrorCode::NoAuth),
    ];
    assert_eq!(told(&lines), expected);
    assert!(audit.asked.is_empty());
    audit.on_notice(AT, &answer(1, 7, ErrorCode::Ok));
    assert_eq!(told(&lines), [], "an answer to nothing that was noted");
}

#[test]
fn what_got_no_answer_is_passed_over() {
    let (mut audit, lines) = audit();
    audit.on_request(&write(1, 1, Opcode::Create));
    audit.on_request(&write(1, 2, Opcode::SetData));
    audit.on_notice(AT, &answer(1, 2, ErrorCode::Ok));
    assert_eq!(told(&lines), [(1, Opcode::SetData, ErrorCode::Ok)]);
    // All of another role.
    audit.on_request(&write(1, 3, Opcode::Create));
    audit.on_service();
    audit.on_notice(AT, &answer(1, 3, ErrorCode::Ok));
    assert_eq!(told(&lines), []);
}

#[test]
fn what_never_gets_an_answer_is_not_kept_for_ever() {
    let (mut audit, lines) = audit();
    audit.on_request(&write(1, 1, Opcode::Create));
    for number in 0..2 * KEPT {
        audit.on_request(&write(2, 5, Opcode::SetData));
        audit.on_notice(AT, &answer(2, 5, ErrorCode::Ok));
        if number % 1000 == 0 {
            lines.try_iter().for_each(drop);
        }
    }
    assert!(audit.asked.is_empty());
}

#[test]
fn a_session_that_ends_with_nothing_is_no_line() {
    let (mut audit, lines) = audit();
    let ended = Some(SessionId(3));
    audit.on_notice(AT, &Arc::new(Notice { ended, ..Notice::empty() }));
    assert_eq!(lines.try_iter().count(), 0);
    let path = crate::base::Path::new(b"/e");
    let change = Change { kind: ChangeKind::Deleted, path, acl: None, parent_acl: None };
    let changes = Changes::One(change);
    audit.on_notice(AT, &Arc::new(Notice { ended, changes, ..Notice::empty() }));
    assert!(matches!(lines.try_recv(), Ok((AT, Told::Ended(_)))));
}
