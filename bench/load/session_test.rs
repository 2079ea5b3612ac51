//! Tests of `session`: right, wrong, torn and unasked-for replies.

use super::*;
use crate::bench::recorder::CountBy;

fn reply(xid: i32, code: i32, body: usize) -> Vec<u8> {
    let mut frame = ((16 + body) as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(&xid.to_be_bytes());
    frame.extend_from_slice(&7i64.to_be_bytes());
    frame.extend_from_slice(&code.to_be_bytes());
    frame.resize(20 + body, 0);
    frame
}

fn recorder() -> Recorder {
    Recorder::new(CountBy::Reply, 0..1_000_000_000)
}

fn asked(kinds: &[(Kind, u32)]) -> Session {
    let mut session = Session::new(0, false);
    for &(kind, body) in kinds {
        session.asked(Asked::Single(kind, Expect::Bytes(body)), 10);
    }
    session
}

fn errors(recorder: &Recorder) -> Vec<(String, u64)> {
    recorder.errors_by_kind().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

#[test]
fn replies_are_counted_however_the_bytes_are_cut() {
    let stream = [reply(1, 0, 5), reply(-1, 0, 3), reply(2, 0, 68)].concat();
    for cut in 0..=stream.len() {
        let mut session = asked(&[(Kind::Get, 5), (Kind::Set, 68)]);
        let mut recorder = recorder();
        assert_eq!(session.on_bytes(&stream[..cut], 20, &mut recorder), Ok(()));
        assert_eq!(session.on_bytes(&stream[cut..], 30, &mut recorder), Ok(()));
        assert_eq!((session.under_way(), recorder.replies_total), (0, 2), "cut at {cut}");
        let when = if cut == stream.len() { 10 } else { 20 };
        assert_eq!(recorder.histogram(Kind::Set).max(), when);
        assert_eq!(errors(&recorder), []);
    }
}

/// As one entry of the queue and as one for each: nobody can tell the difference.
fn both_ways(count: u32) -> [Session; 2] {
    let mut together = Session::new(0, false);
    together.asked_alike(Kind::Get, Expect::Bytes(5), 10, count);
    [together, asked(&vec![(Kind::Get, 5); count as usize])]
}

#[test]
fn requests_that_were_asked_together_are_answered_one_by_one() {
    let replies: Vec<Vec<u8>> =
        [(1, 0, 5), (2, 0, 5), (-1, 0, 3), (3, 0, 6), (-2, 0, 0), (4, -101, 0), (5, 0, 5)]
            .map(|(xid, code, body)| reply(xid, code, body))
            .to_vec();
    let stream = replies.concat();
    for cut in 0..=stream.len() {
        let last_came = if cut == stream.len() { 20 } else { 30 };
        for mut session in both_ways(6) {
            let mut recorder = recorder();
            assert_eq!(session.next_xid(), 7);
            assert!(session.ping_if_idle(10, 0));
            assert_eq!(session.on_bytes(&stream[..cut], 20, &mut recorder), Ok(()));
            assert_eq!(session.on_bytes(&stream[cut..], 30, &mut recorder), Ok(()));
            assert_eq!(
                (session.under_way(), recorder.replies_total, recorder.progress),
                (1, 3, 5),
                "cut at {cut}"
            );
            let measured = recorder.histogram(Kind::Get);
            let first_came = if cut < replies[0].len() { 30 } else { 20 };
            assert_eq!(
                (measured.len(), measured.min(), measured.max()),
                (3, first_came - 10, last_came - 10)
            );
            assert_eq!(recorder.errors_count(), 2);
            session.fail("gone", &mut recorder);
            assert!(errors(&recorder).contains(&("unanswered".to_owned(), 1)));
            assert_eq!(session.under_way(), 0);
        }
    }
}

#[test]
fn a_reply_out_of_order_is_a_fault_among_requests_that_were_asked_together() {
    for mut session in both_ways(3) {
        let mut recorder = recorder();
        let stream = [reply(1, 0, 5), reply(3, 0, 5)].concat();
        assert_eq!(session.on_bytes(&stream, 20, &mut recorder), Err(Fault::ReplyOutOfOrder));
        assert_eq!((session.under_way(), recorder.replies_total), (2, 1));
    }
    for mut session in both_ways(2) {
        let stream = [reply(1, 0, 5), reply(2, 0, 5), reply(3, 0, 5)].concat();
        assert_eq!(session.on_bytes(&stream, 20, &mut recorder()), Err(Fault::UnexpectedReply));
    }
}

#[test]
fn a_reply_of_another_request_or_to_none_is_a_fault() {
    let mut recorder = recorder();
    let mut session = asked(&[(Kind::Get, 0), (Kind::Get, 0)]);
    assert_eq!(session.on_bytes(&reply(2, 0, 0), 20, &mut recorder), Err(Fault::ReplyOutOfOrder));
    let mut session = asked(&[]);
    assert_eq!(session.on_bytes(&reply(1, 0, 0), 20, &mut recorder), Err(Fault::UnexpectedReply));
    assert_eq!(session.on_bytes(&reply(-2, 0, 0), 20, &mut recorder), Err(Fault::UnexpectedReply));
    assert_eq!(session.on_bytes(&[0, 0, 0, 1, 9], 20, &mut recorder), Err(Fault::ReplyTooShort));
    assert_eq!(session.on_bytes(&[0xff; 4], 20, &mut recorder), Err(Fault::BadFrameLength));
}

#[test]
fn wrong_codes_and_wrong_lengths_are_errors_by_name() {
    let mut recorder = recorder();
    let mut session = asked(&[(Kind::Get, 5), (Kind::Get, 5), (Kind::Create, 5)]);
    let stream = [reply(1, -101, 0), reply(2, 0, 6), reply(3, -110, 0)].concat();
    assert_eq!(session.on_bytes(&stream, 20, &mut recorder), Ok(()));
    let expected = [
        ("NoNode".to_owned(), 1),
        ("NodeExists".to_owned(), 1),
        ("wrong length of reply (other data size than --bytes?)".to_owned(), 1),
    ];
    assert_eq!(errors(&recorder), expected);
    assert_eq!(recorder.replies_total, 0);
}

#[test]
fn where_znodes_may_be_there_already_that_is_no_error() {
    let mut recorder = recorder();
    let mut session = Session::new(0, true);
    session.asked(Asked::Single(Kind::Create, Expect::Bytes(5)), 10);
    assert_eq!(session.on_bytes(&reply(1, protocol::NODE_EXISTS, 0), 20, &mut recorder), Ok(()));
    assert_eq!((recorder.replies_total, recorder.errors_count()), (1, 0));
    assert_eq!(recorder.notes().collect::<Vec<_>>(), [(EXISTED, 1)]);
}

#[test]
fn an_idle_session_pings_and_takes_the_answer() {
    let mut recorder = recorder();
    let mut session = asked(&[]);
    assert!(!session.ping_if_idle(9, 10));
    assert!(session.ping_if_idle(10, 10));
    assert!(!session.ping_if_idle(19, 10));
    assert_eq!(session.output.len(), 12);
    assert_eq!(session.on_bytes(&reply(protocol::XID_PING, 0, 0), 20, &mut recorder), Ok(()));
}

#[test]
fn a_session_that_fails_counts_what_it_owes_once() {
    let mut recorder = recorder();
    let mut session = asked(&[(Kind::Get, 5), (Kind::Get, 5)]);
    session.fail("gone", &mut recorder);
    session.fail("gone", &mut recorder);
    assert_eq!(errors(&recorder), [("gone".to_owned(), 1), ("unanswered".to_owned(), 2)]);
    assert!(session.broken && session.output.is_empty());
}

/// An event of a path's znode.
fn event(path: &str) -> Vec<u8> {
    let mut frame = reply(-1, 0, 12 + path.len());
    frame[23] = 2;
    frame[28 + 3] = path.len() as u8;
    frame[32..].copy_from_slice(path.as_bytes());
    frame
}

fn with_body(xid: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = reply(xid, 0, body.len());
    frame[20..].copy_from_slice(body);
    frame
}

#[test]
fn a_lock_waits_in_its_session_until_the_event_of_its_path() {
    let mut recorder = recorder();
    let mut session = Session::new(0, false);
    session.asked(Asked::Cycle(Box::new(Cycle::lock(10, b"/l"))), 10);
    let path = b"\0\0\0\x05/l/n2";
    assert_eq!(session.on_bytes(&with_body(1, path), 20, &mut recorder), Ok(()));
    let list = b"\0\0\0\x02\0\0\0\x02n1\0\0\0\x02n2";
    assert_eq!(session.on_bytes(&with_body(2, list), 30, &mut recorder), Ok(()));
    assert_eq!(session.on_bytes(&reply(3, 0, 68), 40, &mut recorder), Ok(()));
    assert_eq!(session.under_way(), 1, "it waits");
    let output = session.output.len();
    assert_eq!(session.on_bytes(&event("/l/n0"), 50, &mut recorder), Ok(()));
    assert_eq!(session.output.len(), output, "another one's event");
    assert_eq!(session.on_bytes(&event("/l/n1"), 60, &mut recorder), Ok(()));
    assert!(session.output.len() > output && session.under_way() == 1);
    let alone = b"\0\0\0\x01\0\0\0\x02n2";
    assert_eq!(session.on_bytes(&with_body(4, alone), 70, &mut recorder), Ok(()));
    assert_eq!(session.on_bytes(&reply(5, 0, 0), 80, &mut recorder), Ok(()));
    assert_eq!((session.under_way(), recorder.histogram(Kind::Lock).max()), (0, 60));
    // Its place is the next one's.
    session.asked(Asked::Cycle(Box::new(Cycle::lock(90, b"/l"))), 90);
    assert_eq!((session.cycles.len(), session.under_way()), (1, 1));
    session.fail("gone", &mut recorder);
    assert_eq!(errors(&recorder), [("gone".to_owned(), 1), ("unanswered".to_owned(), 1)]);
}

#[test]
fn a_watcher_is_armed_and_told_once() {
    let mut recorder = recorder();
    let mut session = Session::new(0, false);
    session.arm(b"/w", 10);
    assert_eq!(session.on_bytes(&event("/w"), 20, &mut recorder), Ok(()));
    assert_eq!(session.watching, Watching::Asked, "an event of an earlier watch");
    assert_eq!(session.on_bytes(&reply(1, 0, 72), 20, &mut recorder), Ok(()));
    assert_eq!(session.watching, Watching::Answered);
    session.watching = Watching::Armed;
    assert_eq!(session.on_bytes(&event("/w"), 30, &mut recorder), Ok(()));
    assert_eq!((session.watching, session.under_way()), (Watching::Told, 0));
}
