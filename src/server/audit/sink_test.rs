//! How a line looks.

use super::*;
use crate::base::SessionId;

#[test]
fn a_line_as_text_and_as_json() {
    let at = WallMillis(1_795_322_690_123);
    let stop = Entry::of_server("zk", "serverStop", Outcome::Invoked);
    assert_eq!(
        line(LogFormat::Text, at, &stop),
        "2026-11-22T04:44:50.123000Z  INFO audit: user=zk\toperation=serverStop\tresult=invoked"
    );
    let refused = Entry {
        session: Some(SessionId(0x10)),
        ip: Some("10.0.0.1".to_owned()),
        znode: Some("/a \"b\"".to_owned()),
        ..Entry::of_server("bob", "delete", Outcome::Failure)
    };
    assert_eq!(
        line(LogFormat::Text, at, &refused),
        "2026-11-22T04:44:50.123000Z ERROR audit: session=0x10\tuser=bob\tip=10.0.0.1\toperation=delete\tznode=/a \"b\"\tresult=failure"
    );
    assert_eq!(
        line(LogFormat::Json, at, &refused),
        "{\"timestamp\":\"2026-11-22T04:44:50.123000Z\",\"level\":\"ERROR\",\"target\":\"audit\",\"session\":\"0x10\",\
         \"user\":\"bob\",\"ip\":\"10.0.0.1\",\"operation\":\"delete\",\"znode\":\"/a \\\"b\\\"\",\"result\":\"failure\"}"
    );
}

#[test]
fn what_the_disk_refuses_is_counted() {
    let mut sink = Sink::open(Some(Path::new("/dev/full")), LogFormat::Text).expect("every Linux has it");
    for lost in [2, 4] {
        let stop = Entry::of_server("zk", "serverStop", Outcome::Invoked);
        sink.add_all(WallMillis(0), vec![stop.clone(), stop]);
        sink.write();
        assert_eq!((sink.lost, sink.text.len(), sink.lines), (lost, 0, 0));
        assert!(sink.complained.is_some());
    }
}
