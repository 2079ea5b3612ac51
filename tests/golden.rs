//! The client protocol's records as Apache ZooKeeper took and gave them: `wire` reads each and writes the same bytes.
//!
//! The files in `golden/` were captured by `cargo test --test differential -- --capture`; their format is described there. Decoding
//! alone would accept a record whose fields are mixed up, so the fields are looked at, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ringkeeper::base::{WallMillis, Zxid};
use ringkeeper::wire::client::header::encode_request;
use ringkeeper::wire::client::watch::encode_notification;
use ringkeeper::wire::client::{
    ConnectRequest, Create2Response, CreateResponse, ErrorResponse, EventType, ExistsResponse,
    GetAclResponse, GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenResponse, GetDataResponse,
    GetEphemeralsResponse, KeeperState, MultiResult, MultiResults, ReplyHeader, Request, RequestHeader,
    SetSaslResponse, SyncResponse, WatcherEvent, WhoAmIResponse, connect::ConnectResponse,
};
use ringkeeper::wire::{Decode, Encode, ErrorCode, Opcode, Reader, Stat};

/// What was captured: direction, name, bytes.
struct Line {
    direction: char,
    name: String,
    bytes: Vec<u8>,
}

impl Line {
    /// The operation; the rest of the name tells the case.
    fn operation(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    fn opcode(&self) -> Opcode {
        let name = self.operation();
        let found = Opcode::ALL.iter().find(|opcode| opcode.name() == name);
        *found.unwrap_or_else(|| panic!("{name} is no operation"))
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hexadecimal"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

fn lines(version: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{version}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let line = |line: &str| {
        let mut words = line.split(' ');
        let direction = words.next().and_then(|word| word.chars().next()).expect("a direction");
        let name = words.next().expect("a name").to_owned();
        Line { direction, name, bytes: bytes(words.next().expect("bytes")) }
    };
    text.lines().filter(|text| !text.starts_with('#')).map(line).collect()
}

fn encoded(record: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

/// Decodes all of `bytes`, and asserts that encoding gives them back.
fn both_ways<'a, T: Decode<'a> + Encode>(bytes: &'a [u8]) -> T {
    let mut reader = Reader::new(bytes);
    let record = T::decode(&mut reader).unwrap_or_else(|error| panic!("{error}"));
    assert!(reader.is_empty(), "{} bytes are left", reader.rest().len());
    assert_eq!(encoded(&record), bytes);
    record
}

/// A znode's, of a server that had just been started.
fn assert_sensible(stat: &Stat) {
    let created = 1..=1000;
    assert!(created.contains(&stat.czxid.0), "{stat:?}");
    assert!(stat.mzxid >= stat.czxid && stat.mzxid.0 <= 1000, "{stat:?}");
    assert!(stat.pzxid >= stat.czxid && stat.pzxid.0 <= 1000, "{stat:?}");
    let (WallMillis(ctime), WallMillis(mtime)) = (stat.ctime, stat.mtime);
    // From 2024 on.
    assert!(ctime > 1_704_067_200_000 && mtime >= ctime && mtime - ctime < 600_000, "{stat:?}");
    assert!((0..20).contains(&stat.version) && (0..20).contains(&stat.aversion), "{stat:?}");
    assert!((0..100).contains(&stat.cversion) && (0..20).contains(&stat.num_children), "{stat:?}");
    assert!((0..20).contains(&stat.data_length), "{stat:?}");
}

fn assert_request(line: &Line) {
    if line.operation() == "connect" {
        let request: ConnectRequest = both_ways(&line.bytes);
        assert_eq!(request.timeout_ms, 10_000);
        assert_eq!(request.password.map(<[u8]>::len), Some(16));
        assert_eq!(
            request.read_only,
            if line.name.ends_with("withoutReadOnly") { None } else { Some(false) }
        );
        assert_eq!(
            request.session_id.0 == 0,
            line.name.ends_with("new") || line.name.ends_with("withoutReadOnly")
        );
        return;
    }
    let header = RequestHeader::parse(&line.bytes).expect("eight bytes");
    let opcode = line.opcode();
    assert_eq!(header.opcode, opcode.code());
    let body = &line.bytes[8..];
    let mut reader = Reader::new(body);
    let request = Request::decode(opcode, &mut reader).unwrap_or_else(|error| panic!("{error}"));
    assert!(reader.is_empty());
    assert_eq!(request.opcode(), opcode);
    let mut out = Vec::new();
    encode_request(&mut out, header.xid, opcode, &request);
    assert_eq!(&out[4..], line.bytes);
    let shown = format!("{request:?}");
    let about_a_path = !matches!(
        opcode,
        Opcode::Ping | Opcode::WhoAmI | Opcode::CloseSession | Opcode::Auth | Opcode::Sasl | Opcode::Reconfig
    );
    assert!(!about_a_path || shown.contains("/golden") || line.name == "multi.empty", "{shown}");
}

fn assert_handshake(line: &Line) {
    let response: ConnectResponse = both_ways(&line.bytes);
    assert_eq!(response.protocol_version, 0);
    let refused = line.name.ends_with("wrongPassword");
    assert_eq!(response.session_id.0 == 0, refused);
    assert_eq!(response.timeout_ms == 0, refused);
    assert_eq!(response.password.map(|password| (password.len(), password == [0; 16])), Some((16, refused)));
    assert_eq!(response.read_only, if line.name.ends_with("withoutReadOnly") { None } else { Some(false) });
}

/// The error that a case is about.
fn expected_error(name: &str) -> ErrorCode {
    match name {
        "exists.missing" | "delete.missing" => ErrorCode::NoNode,
        "create.exists" => ErrorCode::NodeExists,
        "removeWatches.none" => ErrorCode::NoWatcher,
        "reconfig" => ErrorCode::ReconfigDisabled,
        _ => ErrorCode::Ok,
    }
}

fn assert_reply(line: &Line) {
    if line.operation() == "connect" {
        return assert_handshake(line);
    }
    let header = ReplyHeader::parse(&line.bytes).expect("sixteen bytes");
    assert_eq!(encoded(&header), line.bytes[..16]);
    let opcode = line.opcode();
    assert_eq!(header.err, expected_error(&line.name).code());
    let outside = matches!(opcode, Opcode::Auth | Opcode::Sasl);
    assert_eq!(header.zxid == Zxid::ZERO, outside, "the zxid is the server's: {:?}", header.zxid);
    let body = &line.bytes[16..];
    if header.err != 0 {
        return assert!(body.is_empty());
    }
    match opcode {
        Opcode::Create => {
            let path = both_ways::<CreateResponse>(body).path.to_string();
            assert!(path == "/golden" || path == "/golden/s-0000000000", "{path}");
        }
        Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateTtl => {
            let response: Create2Response = both_ways(body);
            assert!(response.path.to_string().starts_with("/golden/"));
            assert_sensible(&response.stat);
            assert_eq!(response.stat.czxid, header.zxid);
            assert_eq!(response.stat.ephemeral_owner.0 != 0, line.name == "create2.ephemeral");
        }
        Opcode::Exists | Opcode::SetData | Opcode::SetAcl => {
            let stat = both_ways::<ExistsResponse>(body).stat;
            assert_sensible(&stat);
            assert_eq!(stat.mzxid == header.zxid, opcode == Opcode::SetData);
        }
        Opcode::GetData => {
            let response: GetDataResponse = both_ways(body);
            let expected = if line.name == "getData.null" { None } else { Some(&b"data"[..]) };
            assert_eq!(response.data, expected);
            assert_eq!(response.stat.data_length as usize, expected.map_or(0, <[u8]>::len));
            assert_sensible(&response.stat);
        }
        Opcode::GetChildren => {
            let names: BTreeSet<String> =
                both_ways::<GetChildrenResponse>(body).children.iter().map(|name| name.to_string()).collect();
            assert_eq!(names, ["c", "e", "s-0000000000", "t"].map(str::to_owned).into());
        }
        Opcode::GetChildren2 => {
            let response: GetChildren2Response = both_ways(body);
            assert_eq!(response.children.len(), 4);
            assert_eq!(response.stat.num_children, 4);
            assert_sensible(&response.stat);
        }
        Opcode::GetAcl => {
            let response: GetAclResponse = both_ways(body);
            let entries: Vec<_> = response.acl.iter().filter_map(|entry| entry.to_owned()).collect();
            assert_eq!(entries.len(), 1);
            assert_eq!((entries[0].perms, entries[0].scheme.as_str()), (31, "digest"));
            assert!(entries[0].id.starts_with("user:"), "{entries:?}");
            assert_eq!(response.stat.aversion, 1);
        }
        Opcode::Sync => assert_eq!(
            both_ways::<SyncResponse>(body).path.map(|path| path.to_string()),
            Some("/golden".into())
        ),
        Opcode::GetAllChildrenNumber => {
            assert_eq!(both_ways::<GetAllChildrenNumberResponse>(body).total_number, 4)
        }
        Opcode::GetEphemerals => {
            let paths: Vec<String> = both_ways::<GetEphemeralsResponse>(body)
                .ephemerals
                .iter()
                .map(|path| path.to_string())
                .collect();
            assert_eq!(paths, ["/golden/e"]);
        }
        Opcode::WhoAmI => {
            let infos = both_ways::<WhoAmIResponse>(body).client_info;
            let infos: BTreeSet<_> =
                infos.iter().map(|info| (info.auth_scheme.to_string(), info.user.to_string())).collect();
            assert_eq!(
                infos,
                [("digest", "user"), ("ip", "127.0.0.1")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
            );
        }
        Opcode::Sasl => assert_eq!(both_ways::<SetSaslResponse>(body).token, None),
        Opcode::AddWatch => assert_eq!(both_ways::<ErrorResponse>(body).err, 0),
        Opcode::Multi | Opcode::MultiRead => assert_results(&line.name, both_ways(body)),
        _ => assert!(body.is_empty()),
    }
}

fn assert_results(name: &str, results: MultiResults<'_>) {
    let kinds: Vec<&str> = results
        .iter()
        .map(|result| match result {
            MultiResult::Create { .. } => "create",
            MultiResult::Create2 { stat, .. } => {
                assert_sensible(&stat);
                "create2"
            }
            MultiResult::Delete => "delete",
            MultiResult::SetData { .. } => "setData",
            MultiResult::Check => "check",
            MultiResult::GetData { data, .. } => {
                assert_eq!(data, Some(&b"watched"[..]));
                "getData"
            }
            MultiResult::GetChildren { children } => {
                assert_eq!(children.len(), 2);
                "getChildren"
            }
            MultiResult::Error(code) => code.name(),
        })
        .collect();
    let expected: &[&str] = match name {
        "multi" => &["check", "create", "create2", "create2", "create2", "setData", "delete"],
        "multi.failing" => {
            &[ErrorCode::Ok.name(), ErrorCode::BadVersion.name(), ErrorCode::RuntimeInconsistency.name()]
        }
        "multi.empty" => &[],
        "multiRead" => &["getData", "getChildren", ErrorCode::NoNode.name()],
        _ => panic!("nothing is known of {name}"),
    };
    assert_eq!(kinds, expected);
}

fn assert_event(line: &Line, events_have_zxids: bool) {
    let header = ReplyHeader::parse(&line.bytes).expect("sixteen bytes");
    assert_eq!((header.xid, header.err), (-1, 0));
    let event: WatcherEvent = both_ways(&line.bytes[16..]);
    let made_up = line.name.contains("setWatches");
    assert_eq!(header.zxid == Zxid(-1), made_up || !events_have_zxids, "{:?}", header.zxid);
    assert_eq!(event.state, KeeperState::SyncConnected);
    assert!(event.path.to_string().starts_with("/golden"));
    let kind = match line.operation() {
        "NodeCreated" => EventType::NodeCreated,
        "NodeDeleted" => EventType::NodeDeleted,
        "NodeDataChanged" => EventType::NodeDataChanged,
        "NodeChildrenChanged" => EventType::NodeChildrenChanged,
        other => panic!("{other} is no event"),
    };
    assert_eq!(event.event_type, kind);
    let mut out = Vec::new();
    encode_notification(&mut out, header.zxid, event.event_type, event.path);
    assert_eq!(&out[4..], line.bytes);
}

fn assert_golden(version: &str) {
    let lines = lines(version);
    let before_3_9 = version.starts_with("3.8");
    for line in &lines {
        println!("{} {}", line.direction, line.name);
        match line.direction {
            '>' => assert_request(line),
            '<' => assert_reply(line),
            '!' => assert_event(line, !before_3_9),
            other => panic!("{other} is no direction"),
        }
    }
    for direction in ['>', '<'] {
        let seen: BTreeSet<i32> = lines
            .iter()
            .filter(|line| line.direction == direction && line.operation() != "connect")
            .map(|line| line.opcode().code())
            .collect();
        for opcode in Request::OPCODES {
            // The one between servers only; and one that was another record in 3.8.
            let absent =
                *opcode == Opcode::CreateSession || (*opcode == Opcode::DeleteContainer && before_3_9);
            assert_eq!(seen.contains(&opcode.code()), !absent, "{direction} {opcode}");
        }
    }
    let events: BTreeSet<&str> =
        lines.iter().filter(|line| line.direction == '!').map(Line::operation).collect();
    assert_eq!(events.len(), 4, "{events:?}");
}

#[test]
fn records_of_3_8() {
    assert_golden("3.8.6");
}

#[test]
fn records_of_3_9() {
    assert_golden("3.9.5");
}
