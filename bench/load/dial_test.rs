//! Tests of `dial`: servers that refuse, hang up, or talk nonsense. They are threads of the test's own.

use super::*;
use std::net::TcpListener;

/// A server that takes one client, and answers each of its writes with the next of `answers`; then it hangs up.
fn server(answers: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::Builder::new()
        .name("answers".to_owned())
        .spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            for answer in answers {
                assert!(client.read(&mut [0; 1024]).expect("a request") > 0);
                client.write_all(&answer).expect("the client reads");
            }
        })
        .expect("a thread");
    address
}

fn connected(timeout_ms: i32) -> Vec<u8> {
    let mut answer = vec![0; 41];
    answer[3] = 37;
    answer[8..12].copy_from_slice(&timeout_ms.to_be_bytes());
    answer[23] = 16;
    answer
}

fn header(xid: i32, code: i32) -> Vec<u8> {
    [&16i32.to_be_bytes()[..], &xid.to_be_bytes(), &[0; 8], &code.to_be_bytes()].concat()
}

fn open(answers: Vec<Vec<u8>>, auths: &[&str]) -> Result<Vec<Connection>, Failed> {
    let auths = auths.iter().map(|auth| auth.parse().expect("right")).collect();
    let wish = Wish { timeout_ms: 9_000, auths };
    open_all(&[server(answers)], 1, false, &wish, None)
}

fn refusal(answers: Vec<Vec<u8>>, auths: &[&str]) -> String {
    match open(answers, auths) {
        Ok(_) => panic!("it was refused"),
        Err(failed) => failed.error.to_string(),
    }
}

#[test]
fn a_session_is_open_when_it_and_all_it_says_of_itself_are_answered() {
    let plain = open(vec![connected(4_000)], &[]).expect("taken");
    assert_eq!(plain[0].timeout_ms, 4_000);
    let answers = [header(protocol::XID_AUTH, 0), header(protocol::XID_AUTH, 0)].concat();
    assert!(open(vec![connected(4_000), answers], &["digest:a:b", "digest:c:d"]).is_ok());
}

#[test]
fn what_is_refused_is_told_in_words() {
    assert!(refusal(vec![connected(0)], &[]).contains("refused a new session"));
    assert!(refusal(Vec::new(), &[]).contains("closed the connection"));
    assert!(refusal(vec![vec![0xff; 4]], &[]).contains("-1 bytes"));
    let failed = refusal(vec![connected(4_000), header(protocol::XID_AUTH, -115)], &["x509:secret"]);
    assert!(failed.contains("x509") && failed.contains("AuthFailed"), "{failed}");
    assert!(!failed.contains("secret"), "{failed}");
    assert!(refusal(vec![connected(4_000)], &["digest:a:b"]).contains("instead of taking --auth"));
}

#[test]
fn an_answer_in_pieces_is_put_together() {
    let mut first = connected(4_000);
    let rest = first.split_off(7);
    let mut dial =
        Dial::begin(server(vec![first]), &Wish { timeout_ms: 1, auths: Rc::from([]) }).expect("a socket");
    // The rest comes by hand: this test's server only says the first piece.
    while dial.input.len() < 7 {
        let _ = dial.advance();
    }
    dial.input.extend_from_slice(&rest);
    dial.take_frames().expect("whole");
    assert_eq!((dial.stage, dial.granted_ms), (Stage::Open, 4_000));
}

#[test]
fn credentials_are_read_and_never_repeated() {
    let auth: Auth = "digest:user:pass:word".parse().expect("right");
    assert_eq!((auth.scheme.as_str(), auth.credentials.as_str()), ("digest", "user:pass:word"));
    for wrong in ["hunter2", ":hunter2"] {
        assert!(!wrong.parse::<Auth>().expect_err("no scheme").contains("hunter2"), "{wrong}");
    }
}
