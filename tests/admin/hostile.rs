//! What is no HTTP, too long, too slow, too many: bounded, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::start;
use crate::support::http::{connect, get, request, try_bytes};
use crate::support::{Client, Config, until};

#[test]
fn what_is_no_http_is_refused() {
    let (server, port) = start(Config::default());
    let status = |bytes: &[u8]| try_bytes(port, bytes).map(|answer| answer.status);
    assert_eq!(status(b"\x00\x00\x00\x2d\r\n\r\n"), Ok(400));
    assert_eq!(status(b"GET /commands/ruok\r\n\r\n"), Ok(400));
    assert_eq!(status(b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n"), Ok(400));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40 << 10));
    assert_eq!(status(long.as_bytes()), Ok(431));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_eq!(status(many.as_bytes()), Ok(431));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40 << 10));
    assert!(matches!(status(path.as_bytes()), Ok(414 | 431)), "{:?}", status(path.as_bytes()));
    for (method, expected) in [("PUT", 405), ("DELETE", 405), ("TRACE", 403), ("OPTIONS", 200), ("HEAD", 200)]
    {
        assert_eq!(request(port, method, "/commands/ruok", &[]).status, expected, "{method}");
    }
    assert_eq!(get(port, "/nope").status, 404);
    // A body that nobody wants isn't read, and doesn't hold anybody up.
    let body = b"POST /commands/ruok HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\nabc";
    assert_eq!(status(body), Ok(405));
    assert_eq!(Client::connect(&server).data("/"), b"");
}

/// Reads until the server closes.
fn is_cut_off(mut stream: TcpStream) {
    let mut rest = vec![];
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut rest);
}

#[test]
fn who_says_nothing_is_cut_off() {
    let (_server, port) = start(Config::default().set("admin.idleTimeout", 200));
    let silent = connect(port).unwrap();
    let mut slow = connect(port).unwrap();
    slow.write_all(b"GET /commands/ru").unwrap();
    is_cut_off(silent);
    is_cut_off(slow);
    assert_eq!(get(port, "/livez").status, 200);
}

#[test]
fn a_thousand_connections_keep_nobody_out() {
    let (server, port) = start(Config::default().set("maxClientCnxns", 0));
    let mut client = Client::connect(&server);
    let mut crowd = vec![];
    for number in 0..1000 {
        let mut stream = connect(port).unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET /commands/mon").unwrap();
        } else {
            // It asks, and reads nothing.
            stream.write_all(b"GET /commands/monitor HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        }
        crowd.push(stream);
        if number % 100 == 0 {
            client.ping();
        }
    }
    until("the next one to be answered", || {
        crate::support::http::try_get(port, "/readyz").filter(|answer| answer.status == 200)
    });
    assert_eq!(client.data("/"), b"");
    // Of a thousand few are held: what was begun first is gone.
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(descriptors < 300, "{descriptors}");
    is_cut_off(crowd.swap_remove(0));
}

#[test]
fn many_requests_on_one_connection_are_answered_in_order() {
    let (_server, port) = start(Config::default());
    let mut stream = connect(port).unwrap();
    for name in ["ruok", "is_read_only", "nosuch"] {
        write!(stream, "GET /commands/{name} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let order: Vec<usize> = ["\"ruok\"", "\"read_only\"", "Unknown command: nosuch", "ok\n"]
        .iter()
        .filter_map(|part| text.find(part))
        .collect();
    assert!(order.len() == 4 && order.is_sorted(), "{text}");
}
