//! Tests of `arguments`.

use super::*;
use clap::CommandFactory;

fn parsed(line: &str) -> LoadArguments {
    Arguments::try_parse_from(std::iter::once("ringkeeper-load").chain(line.split_ascii_whitespace()))
        .expect("syntactically right")
        .load
}

#[test]
fn the_definitions_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_fault_is_named_at_once() {
    let error =
        parsed("--sessions 0 --keys 0 --rate 0.5 --driver uring --seconds 0").check().expect_err("wrong");
    for flag in ["--sessions", "--keys", "--rate must", "--driver poll", "--seconds", "nothing to do"] {
        assert!(error.contains(flag), "{flag} in {error}");
    }
    assert!(parsed("--warmup NaN --op get").check().is_err());
    assert_eq!(parsed("--op mixed:0.9 --rate 1000").check(), Ok(()));
    assert_eq!(parsed("--preload 1000x1000").check(), Ok(()));
    for (line, named) in [
        ("--op watch --driver uring", "--op watch"),
        ("--op multi --multi-ops 0", "--multi-ops must"),
        ("--op multi --multi-ops 500 --bytes 100-100000", "--multi-ops times"),
        ("--op lock --locks 0", "--locks"),
        ("--op queue --queues 0", "--queues"),
        ("--op set --bytes 2000000", "--bytes"),
        ("--sessions 5", "nothing to do"),
    ] {
        let error = parsed(line).check().expect_err(line);
        assert!(error.contains(named), "{line}: {error}");
    }
}

#[test]
fn addresses_are_resolved_or_explained() {
    assert_eq!(resolve("127.0.0.1:2181"), Ok(SocketAddr::from(([127, 0, 0, 1], 2181))));
    let error = resolve("127.0.0.1").expect_err("no port");
    assert!(error.contains("HOST:PORT"), "{error}");
}

#[test]
fn one_operation_or_several_but_not_both() {
    let parse = |line: &str| {
        Arguments::try_parse_from(std::iter::once("bench").chain(line.split_ascii_whitespace()))
            .map_err(|error| error.to_string())
    };
    let mix = parse("--mix get=90,set=8,create=1,delete=1").expect("right").load;
    assert_eq!(mix.work().map(|work| work.to_string()), Some("get=90,set=8,create=1,delete=1".to_owned()));
    assert!(parse("--op get --mix get=1").expect_err("one of them").contains("cannot be used with"));
    for (line, named) in [
        ("--op gte", "none of get"),
        ("--mix watch=1", "none of get"),
        ("--distribution zip", "none of uniform"),
        ("--bytes 5-1", "ends before"),
        ("--auth secret", "SCHEME:CREDENTIALS"),
        ("--opp get", "--opp"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(named), "{line}: {error}");
    }
}
