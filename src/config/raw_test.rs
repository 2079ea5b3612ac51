//! `zoo.cfg` as written: lines, continuations, unknown keys and near misses.

use super::*;

/// Line, key and value of every setting in `content`; there must be no faults.
fn parsed(content: &[u8]) -> Vec<(usize, String, String)> {
    let raw = Raw::parse("zoo.cfg", content);
    assert_eq!(raw.faults, vec![]);
    raw.file
        .into_iter()
        .map(|setting| match setting.origin {
            Origin::File { line, name } if name == "zoo.cfg" => (line, setting.key, setting.value),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Content of a file, and what is in it: line, key, value.
type Syntax = (&'static str, &'static [(usize, &'static str, &'static str)]);

#[test]
fn syntax_of_java_properties() {
    let cases: &[Syntax] = &[
        ("", &[]),
        ("\n\n", &[]),
        ("a=b", &[(1, "a", "b")]),
        ("a:b", &[(1, "a", "b")]),
        ("a b", &[(1, "a", "b")]),
        ("a = b", &[(1, "a", "b")]),
        ("a : b", &[(1, "a", "b")]),
        ("a\t\x0cb", &[(1, "a", "b")]),
        ("a==b", &[(1, "a", "=b")]),
        ("a = = b", &[(1, "a", "= b")]),
        ("a", &[(1, "a", "")]),
        ("a=", &[(1, "a", "")]),
        ("  a=b  ", &[(1, "a", "b")]),
        ("# a=b\n! c=d\n  # e=f\ng=h", &[(4, "g", "h")]),
        ("a=b # no comment", &[(1, "a", "b # no comment")]),
        ("a=1\r\nb=2\rc=3\nd=4", &[(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "d", "4")]),
        ("a=1\r\n\r\nb=2", &[(1, "a", "1"), (3, "b", "2")]),
        ("a=one,\\\n   two\nb=c", &[(1, "a", "one,two"), (3, "b", "c")]),
        ("a=one\\\n# two", &[(1, "a", "one# two")]),
        ("a=one\\\n\nb=c", &[(1, "a", "one"), (3, "b", "c")]),
        ("a=one\\\\\nb=c", &[(1, "a", "one\\"), (2, "b", "c")]),
        ("a=one\\\\\\\ntwo", &[(1, "a", "one\\two")]),
        ("a=one\\", &[(1, "a", "one")]),
        ("# comment \\\na=b", &[(2, "a", "b")]),
        ("a\\ b\\=c=d", &[(1, "a b=c", "d")]),
        ("a=x\\ty\\qz", &[(1, "a", "x\tyqz")]),
        ("a=\\u0041\\u00e9", &[(1, "a", "Aé")]),
        ("a=\\ud83d\\ude00", &[(1, "a", "😀")]),
        ("dataDir=C:\\\\zk", &[(1, "dataDir", "C:\\zk")]),
        ("server.1=h:1:2", &[(1, "server.1", "h:1:2")]),
        ("\u{feff}a=b", &[(1, "a", "b")]),
        ("a=naïve", &[(1, "a", "naïve")]),
    ];
    for (content, expected) in cases {
        let expected: Vec<_> =
            expected.iter().map(|(line, k, v)| (*line, (*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(parsed(content.as_bytes()), expected, "{content:?}");
    }
}

#[test]
fn bytes_which_are_not_utf_8_are_latin_1() {
    assert_eq!(parsed(b"dataDir=/d\xe9j\xe0"), vec![(1, "dataDir".to_owned(), "/déjà".to_owned())]);
}

#[test]
fn what_is_no_setting_is_a_fault_with_its_line() {
    let cases = [
        ("a=b\n=c", "zoo.cfg:2: no key before the separator; allowed: key=value"),
        ("a=\\u12", "zoo.cfg:1: malformed escape \\u12; allowed: \\u and four hexadecimal digits"),
        ("a=\\u+123", "zoo.cfg:1: malformed escape \\u+123; allowed: \\u and four hexadecimal digits"),
        ("a=\\u", "zoo.cfg:1: malformed escape \\u; allowed: \\u and four hexadecimal digits"),
        (
            "\na=\\ud83dx",
            "zoo.cfg:2: \\ud83d is half a surrogate pair; allowed: both halves, or the character itself",
        ),
        (
            "a=\\ude00",
            "zoo.cfg:1: \\ude00 is half a surrogate pair; allowed: both halves, or the character itself",
        ),
    ];
    for (content, expected) in cases {
        let raw = Raw::parse("zoo.cfg", content.as_bytes());
        let faults: Vec<String> = raw.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, vec![expected], "{content:?}");
    }
}

#[test]
fn properties_of_the_command_line() {
    let mut raw = Raw::empty();
    raw.property("tickTime=500");
    raw.property("zookeeper.x = a=b ");
    raw.property("nothing");
    raw.property("=1");
    let given: Vec<_> = raw.command_line.iter().map(|s| (s.key.as_str(), s.value.as_str())).collect();
    assert_eq!(given, vec![("tickTime", "500"), ("zookeeper.x", "a=b")]);
    let faults: Vec<String> = raw.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        vec![
            "-D on the command line: nothing: not a property; allowed: -Dname=value",
            "-D on the command line: =1: not a property; allowed: -Dname=value",
        ]
    );
}

/// Whatever the bytes, the parser ends and keeps line numbers within the file.
#[test]
fn any_bytes_are_parsed_or_refused() {
    let alphabet = b"ab=: \\\n\r\t#!u0123dD\xe9\xff\x00";
    let mut random = crate::base::Prng::new(7);
    let mut settings = 0;
    for _ in 0..20_000 {
        let length = random.below(24) as usize;
        let content: Vec<u8> =
            (0..length).map(|_| alphabet[random.below(alphabet.len() as u64) as usize]).collect();
        let lines = content.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count() + 1;
        let raw = Raw::parse("zoo.cfg", &content);
        settings += raw.file.len();
        let origins =
            raw.file.iter().map(|setting| &setting.origin).chain(raw.faults.iter().map(|f| &f.origin));
        for origin in origins {
            assert!(matches!(origin, Origin::File { line, .. } if (1..=lines).contains(line)), "{content:?}");
        }
    }
    assert!(settings > 10_000, "the alphabet makes settings often enough to test anything: {settings}");
}

#[test]
fn what_was_given_is_found_without_being_checked() {
    let mut raw =
        Raw::parse("zoo.cfg", b"dataDir=/a\nzookeeper.dataDir=/b\nclientPort=x\nserver.1=a:1:2\n\\uzzzz=1");
    assert_eq!(
        (raw.given("dataDir"), raw.given("clientPort"), raw.given("tickTime")),
        (Some("/b"), Some("x"), None)
    );
    raw.environment([
        ("ZOO_DATA_DIR".to_owned(), "/c".to_owned()),
        ("ZOO_SERVERS".to_owned(), "server.2=;".to_owned()),
    ]);
    assert_eq!(raw.given("dataDir"), Some("/c"));
    raw.property("dataDir=/d");
    assert_eq!(raw.given("dataDir"), Some("/d"));
    assert_eq!(raw.servers().collect::<Vec<_>>(), [("2", ";"), ("1", "a:1:2")]);
}
