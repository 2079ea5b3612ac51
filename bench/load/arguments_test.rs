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
}

#[test]
fn addresses_are_resolved_or_explained() {
    assert_eq!(resolve("127.0.0.1:2181"), Ok(SocketAddr::from(([127, 0, 0, 1], 2181))));
    let error = resolve("127.0.0.1").expect_err("no port");
    assert!(error.contains("HOST:PORT"), "{error}");
}
