//! Which configuration, pid file and log are meant, by which variables.

use super::*;
use crate::cli::apache::testing::Scratch;

fn base_of(
    config: Option<&str>,
    directory: Option<&str>,
    variables: &[(&str, &str)],
    programs: &Path,
) -> Base {
    let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| value.into());
    base(config.map(Path::new), directory.map(Path::new), &variable, programs)
}

fn file(path: impl Into<PathBuf>) -> Base {
    Base::File(path.into())
}

#[test]
fn the_directory_is_named_or_beside_the_program() {
    let scratch = Scratch::new();
    let programs = scratch.path().join("bin");
    fs::create_dir_all(&programs).unwrap();
    let named = [("ZOOCFGDIR", "/etc/zk"), ("ZOOCFG", "other.cfg")];
    assert_eq!(base_of(None, None, &named, &programs), file("/etc/zk/other.cfg"));
    assert_eq!(base_of(None, Some("/mine"), &named, &programs), file("/mine/other.cfg"));
    assert_eq!(base_of(Some("two.cfg"), None, &named, &programs), file("/etc/zk/two.cfg"));
    for path in ["/a/zoo.cfg", "./zoo.cfg", "sub/zoo.cfg"] {
        assert_eq!(base_of(Some(path), None, &named, &programs), file(path), "a path is a path");
    }
    assert_eq!(base_of(None, None, &[], &programs), file("./zoo.cfg"));
    for beside in ["etc/zookeeper", "conf"] {
        fs::create_dir_all(scratch.path().join(beside)).unwrap();
        assert_eq!(
            base_of(None, None, &[], &programs),
            file(programs.join("..").join(beside).join("zoo.cfg"))
        );
    }
    // A name that isn't there is looked for here: cargo runs tests beside Cargo.toml.
    assert_eq!(base_of(Some("Cargo.toml"), None, &[], &programs), file("Cargo.toml"));
    assert_eq!(base_of(Some("none.cfg"), None, &[], &programs), file(programs.join("../conf/none.cfg")));
}

#[test]
fn a_container_without_a_file_goes_by_its_variables() {
    let scratch = Scratch::new();
    let directory = scratch.path().to_str().unwrap();
    let there = scratch.path().join("zoo.cfg");
    let variables = [("ZOO_CONF_DIR", directory)];
    let programs = Path::new("/usr/local/bin");
    assert_eq!(base_of(None, None, &variables, programs), Base::Container { missing: there.clone() });
    assert_eq!(base_of(Some("zoo.cfg"), None, &variables, programs), file(&there), "asked for by name");
    fs::write(&there, "").unwrap();
    assert_eq!(base_of(None, None, &variables, programs), file(&there));
    assert_eq!(script_beside(&file(&there)), None);
    fs::write(scratch.path().join("java.env"), "").unwrap();
    assert_eq!(script_beside(&file(&there)), Some(scratch.path().join("java.env")));
}

fn places(configuration: &Base, variables: &[(&str, &str)]) -> Places {
    let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| value.into());
    Places::new(configuration, &["tickTime=9".to_owned()], &variable, Path::new("/opt/rk/bin/ringkeeper"))
}

#[test]
fn files_are_where_zkserver_sh_has_them() {
    let scratch = Scratch::new();
    let configuration = scratch.path().join("zoo.cfg");
    fs::write(&configuration, "dataDir=/var/lib/zk\nclientPort=oops\n").unwrap();
    let base = file(&configuration);
    let plain = places(&base, &[]);
    assert_eq!(plain.pid_file().unwrap(), Path::new("/var/lib/zk/zookeeper_server.pid"));
    assert_eq!(plain.log, Path::new("/opt/rk/bin/../logs").join(format!("zookeeper--server-{}.out", host())));
    assert_eq!(plain.source.properties, ["tickTime=9"]);
    let variables = [
        ("ZOOPIDFILE", "/run/zk.pid"),
        ("ZOO_LOG_DIR", "/var/log/zk"),
        ("USER", "zk"),
        ("SERVER_JVMFLAGS", "-Xmx1g -Dzookeeper.snapCount=5 -Dflag"),
        ("JVMFLAGS", "-Dzookeeper.snapCount=6"),
    ];
    let named = places(&base, &variables);
    assert_eq!(named.pid_file().unwrap(), Path::new("/run/zk.pid"));
    assert_eq!(named.log, Path::new("/var/log/zk").join(format!("zookeeper-zk-server-{}.out", host())));
    assert_eq!(named.source.properties, ["zookeeper.snapCount=5", "zookeeper.snapCount=6", "tickTime=9"]);
    assert_eq!(
        places(&base, &[("ZOO_LOG_DIR", "/l"), ("ZOO_LOG_FILE", "zk.log")]).log,
        Path::new("/l/zk.log")
    );
    fs::write(&configuration, "clientPort=2181\n").unwrap();
    let Trouble(text) = plain.pid_file().unwrap_err();
    assert!(text.contains("no dataDir") && text.contains("ZOOPIDFILE"), "{text}");
    let Trouble(text) = places(&file("/none/zoo.cfg"), &[]).pid_file().unwrap_err();
    assert!(text.contains("/none/zoo.cfg") && text.contains("ZOOCFGDIR"), "{text}");
}

#[test]
fn directories_that_must_not_be_made_are_asked_for() {
    let scratch = Scratch::new();
    let configuration = scratch.path().join("zoo.cfg");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
    fs::write(&configuration, format!("dataDir={}\ndataLogDir={}\n", data.display(), log.display())).unwrap();
    let base = file(&configuration);
    assert!(places(&base, &[]).refuse_missing().is_ok());
    let strict = places(&base, &[("ZOO_DATADIR_AUTOCREATE_DISABLE", "1")]);
    for (missing, words) in [
        (&data, "ZooKeeper data directory is missing at "),
        (&log, "ZooKeeper txnlog directory is missing at "),
    ] {
        let Trouble(text) = strict.refuse_missing().unwrap_err();
        assert!(text.starts_with(&format!("{words}{}", missing.display())), "{text}");
        fs::create_dir_all(missing.join(SUBDIRECTORY)).unwrap();
    }
    assert!(strict.refuse_missing().is_ok());
}
