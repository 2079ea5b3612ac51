//! The command line of `ringkeeper server`.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::super::Subcommand;
use super::*;

/// The only files there are.
fn read_one(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("zoo.cfg") => Ok(b"dataDir=/data\nclientPort=2182\ntickTime=100\n".to_vec()),
        Some("three.cfg") => Ok(
            b"dataDir=/data\ninitLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2;2182\nserver.3=c:1:2"
                .to_vec(),
        ),
        Some("/data/myid") => Ok(b"2\n".to_vec()),
        Some("bad.cfg") => Ok(b"datadir=/data\nclientPort=x\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

/// What `ringkeeper server` with these arguments and variables would start with.
fn prepared(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let command_line = ["ringkeeper", "server"].iter().chain(arguments);
    let parsed = super::super::Arguments::try_parse_from(command_line).map_err(|error| error.to_string())?;
    let Some(Subcommand::Server(arguments)) = parsed.subcommand else { panic!("no server") };
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    match prepare(&arguments.source, variables, read_one, |_| None) {
        Ok(checked) => Ok(checked.config),
        Err(refused) => Err(explanation(&refused, NOT_STARTED)),
    }
}

#[test]
fn no_two_arguments_of_a_command_have_one_name() {
    super::super::Arguments::command().debug_assert();
}

#[test]
fn without_arguments_it_is_standalone_on_loopback() {
    let config = prepared(&[], &[]).unwrap();
    assert_eq!(config.client.socket_address(), "127.0.0.1:2181".parse().unwrap());
    assert_eq!(config.data_dir, PathBuf::from("./ringkeeper-data"));
    let parsed = super::super::Arguments::try_parse_from(["ringkeeper"]).unwrap();
    assert!(parsed.subcommand.is_none());
}

#[test]
fn from_a_file_with_properties_before_and_behind() {
    let config =
        prepared(&["-DtickTime=7", "zoo.cfg", "-Dzookeeper.snapCount=9", "-D", "maxCnxns=3"], &[]).unwrap();
    assert_eq!(config.client.port, 2182);
    assert_eq!((config.tick_time, config.snap_count, config.max_cnxns), (Duration::from_millis(7), 9, 3));
}

#[test]
fn from_a_port_and_a_directory() {
    let config = prepared(&["2183", "/d", "500", "7"], &[]).unwrap();
    assert_eq!(config.client.socket_address(), "0.0.0.0:2183".parse().unwrap());
    assert_eq!(config.data_dir, PathBuf::from("/d"));
    assert_eq!((config.tick_time, config.max_client_cnxns), (Duration::from_millis(500), Some(7)));
    assert_eq!(prepared(&["0", "/d"], &[]).unwrap().client.port, 0);
    assert!(prepared(&["2183", "/d", "500", "7", "8"], &[]).is_err());
}

#[test]
fn variables_override_the_file_and_lose_to_properties() {
    let variables = [("ZOO_TICK_TIME", "8"), ("ZOO_MAX_CLIENT_CNXNS", "4"), ("HOME", "/root")];
    let config = prepared(&["zoo.cfg", "-DtickTime=9"], &variables).unwrap();
    assert_eq!((config.tick_time, config.max_client_cnxns), (Duration::from_millis(9), Some(4)));
}

#[test]
fn the_form_of_log_lines_is_a_variable_or_a_setting() {
    use crate::config::LogFormat::{Json, Text};
    const VARIABLE: &str = "RINGKEEPER_LOG_FORMAT";
    let of = |arguments: &[&str], variables: &[(&str, &str)]| {
        prepared(arguments, variables).map(|config| config.log_format)
    };
    assert_eq!(of(&["zoo.cfg"], &[("RINGKEEPER_LOG", "debug")]), Ok(Text));
    assert_eq!(of(&["zoo.cfg"], &[(VARIABLE, "json")]), Ok(Json));
    assert_eq!(of(&["zoo.cfg", "-Dringkeeper.logFormat=text"], &[(VARIABLE, "json")]), Ok(Text));
    let refusal = of(&["zoo.cfg"], &[(VARIABLE, "xml")]).unwrap_err();
    assert!(
        refusal.contains(VARIABLE) && refusal.contains("no such format; allowed: text, json"),
        "{refusal}"
    );
}

#[test]
fn a_member_of_an_ensemble_reads_its_number() {
    let config = prepared(&["three.cfg"], &[]).unwrap();
    assert_eq!(config.ensemble.unwrap().me, crate::base::ServerId(2));
    assert_eq!(config.client.port, 2182);
    let refusal = prepared(&["three.cfg", "-DdataDir=/elsewhere"], &[]).unwrap_err();
    assert!(refusal.starts_with("error: /elsewhere/myid: missing: it says which of the 3"), "{refusal}");
}

#[test]
fn refusals_say_why() {
    let cases: &[(&[&str], &str)] = &[
        (&["none.cfg"], "ringkeeper: not started: can't read none.cfg: entity not found\n"),
        (
            &["2181"],
            "ringkeeper: not started: can't read 2181: entity not found; \
             for a server on port 2181: ringkeeper server 2181 DATADIR\n",
        ),
        (
            &["bad.cfg"],
            "warning: bad.cfg:1: unknown key `datadir` (line 1): did you mean `dataDir`?\n\
             error: bad.cfg:2: clientPort=x: not a whole number; allowed: whole numbers from 1 to 65535 (a TCP port)\n\
             error: bad.cfg: dataDir: required: the directory of the server's data, e.g. dataDir=/var/lib/zookeeper\n\
             ringkeeper: not started: 2 errors in the configuration\n",
        ),
        (
            &["zoo.cfg", "-DtickTime"],
            "error: -D on the command line: tickTime: not a property; allowed: -Dname=value\n\
             ringkeeper: not started: 1 error in the configuration\n",
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(prepared(arguments, &[]).unwrap_err(), *expected);
    }
}

#[test]
fn bytes_which_are_no_text_are_refused() {
    let odd = || OsString::from_vec(vec![b'/', 0xff]);
    let source = Source { what: vec!["2181".into(), odd()], ..Source::default() };
    let refused = prepare(&source, std::iter::empty(), read_one, |_| None).unwrap_err();
    assert!(explanation(&refused, NOT_STARTED).contains("dataDir is not valid UTF-8"), "{refused:?}");
    let variables = [("ZOO_DATA_DIR".into(), odd()), ("OTHER".into(), odd())].into_iter();
    let refused = prepare(&Source::default(), variables, read_one, |_| None).unwrap_err();
    assert!(
        explanation(&refused, NOT_STARTED).contains("environment variable ZOO_DATA_DIR is not valid UTF-8"),
        "{refused:?}"
    );
}

#[test]
fn the_command_line_is_one_that_clap_finds_consistent() {
    use clap::CommandFactory;
    super::super::Arguments::command().debug_assert();
}
