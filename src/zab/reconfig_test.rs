//! Changes to members, each check of them, and a whole new membership.

use super::*;

const THREE: &str = "server.1=a:1:2;9\nserver.2=b:1:2;9\nserver.3=c:1:2;9";

fn apply(current: &str, change: Change<'_>) -> Result<String, Refusal> {
    let current = Config::parse(current).expect("a configuration");
    change.apply(&current, 0x1_0000_0005, true).map(|config| config.to_string())
}

fn ids(change: Change<'_>) -> Result<String, &'static str> {
    match apply(THREE, change) {
        Ok(text) => {
            let config = Config::parse(&text).expect("what was printed");
            assert_eq!(config.version(), 0x1_0000_0005);
            let shown =
                config.members().map(|m| format!("{}{}", m.id.0, if m.is_voter() { "" } else { "o" }));
            Ok(shown.collect::<Vec<_>>().join(" "))
        }
        Err(Refusal::Arguments(_)) => Err("arguments"),
        Err(Refusal::Malformed(_)) => Err("malformed"),
    }
}

#[test]
fn members_join_and_leave() {
    let change = |leaving, joining| ids(Change { leaving, joining, members: None });
    for (leaving, joining, expected) in [
        (None, None, Ok("1 2 3")),
        (Some("3"), None, Ok("1 2")),
        (Some(" 3 , 7,"), None, Ok("1 2")),
        (None, Some("server.4=d:1:2;9"), Ok("1 2 3 4")),
        (None, Some("4=d:1:2;9,server.5=e:1:2:observer;9"), Ok("1 2 3 4 5o")),
        (Some("1"), Some("server.4=d:1:2;9"), Ok("2 3 4")),
        // In another role, at another address.
        (None, Some("server.3=c:1:2:observer;9"), Ok("1 2 3o")),
        (Some("3"), Some("server.4=c:1:2;9"), Ok("1 2 4")),
        (Some("2,3"), None, Err("arguments")),
        (Some("1,2,3"), None, Err("arguments")),
        (Some("two"), None, Err("malformed")),
        (None, Some("server.x=d:1:2;9"), Err("malformed")),
        (None, Some("server.4"), Err("arguments")),
        (None, Some("server.4=d:1:2"), Err("arguments")),
        (None, Some("server.4=d:1;9"), Err("arguments")),
        (None, Some("server.4=c:1:7;9"), Err("arguments")),
        (None, Some("server.4=c:7:1;9"), Err("arguments")),
        (None, Some("server.256=d:1:2;9"), Err("arguments")),
    ] {
        assert_eq!(change(leaving, joining), expected.map(str::to_owned), "{leaving:?} {joining:?}");
    }
}

#[test]
fn a_whole_membership_is_given() {
    let change = |members| ids(Change { leaving: Some("x"), joining: None, members: Some(members) });
    for (members, expected) in [
        ("server.1=a:1:2;9,server.5=e:1:2;9", Ok("1 5")),
        ("server.1=a:1:2\nserver.2=b:1:2\nserver.5=e:1:2:observer\nversion=3", Ok("1 2 5o")),
        ("server.1=a:1:2", Err("arguments")),
        ("", Err("arguments")),
        ("server.1=a:1:2\ntickTime=5", Err("arguments")),
        ("server.1=a:1,server.2=b:1:2,server.3=c:1:2", Err("arguments")),
        ("server.1=a:1:2:observer", Err("malformed")),
        ("server.1=a:1:2,server.2=b:1:2:observer", Err("malformed")),
    ] {
        assert_eq!(change(members), expected.map(str::to_owned), "{members}");
    }
}

#[test]
fn groups_change_as_a_whole_only() {
    let grouped = format!("{THREE}\ngroup.1=1:2:3\nweight.1=1");
    let leaves = Change { leaving: Some("3"), ..Change::default() };
    assert!(matches!(apply(&grouped, leaves), Err(Refusal::Arguments(_))));
    let whole = grouped.replace("1:2:3\n", "1:2:3\nweight.2=2\n");
    let whole = Change { members: Some(&whole), ..Change::default() };
    assert!(apply(&grouped, whole).expect("a whole one").contains("weight.2=2\n"));
}

#[test]
fn one_voter_is_enough_where_nobody_is_standalone() {
    let current = Config::parse(THREE).expect("a configuration");
    let leave = |leaving| Change { leaving: Some(leaving), ..Change::default() }.apply(&current, 1, false);
    assert_eq!(leave("1,2").expect("one is left").voters().len(), 1);
    assert!(leave("1,2,3").is_err());
}
