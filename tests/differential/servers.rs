//! The two servers: Apache ZooKeeper and Ringkeeper, set up alike.

use std::path::{Path, PathBuf};

use crate::groups::Profile;
use crate::support::{Config, Server};

const VERSION_DEFAULT: &str = "3.9.5";

/// The version of ZooKeeper to compare with.
pub fn version() -> String {
    std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| VERSION_DEFAULT.to_owned())
}

/// How often containers and TTL znodes are looked through.
const REAPING: &str = "znode.container.checkIntervalMs";
const NEVER_MS: i32 = 2_000_000_000;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The command that runs Apache ZooKeeper of that version.
fn zookeeper_command(version: &str) -> Result<Vec<String>, String> {
    let jars = tests().join(format!(".clients/zookeeper-{version}"));
    if !jars.join(format!("zookeeper-{version}.jar")).exists() {
        return Err(format!(
            "Apache ZooKeeper {version} is not installed ({} has no zookeeper-{version}.jar); \
             `ZOOKEEPER_VERSION={version} tests/run --prepare` installs it",
            jars.display()
        ));
    }
    let logback = tests().join("differential/logback.xml");
    Ok(vec![
        "java".to_owned(),
        "-Xmx512m".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        // ZooKeeper reads this one from the command line only.
        format!("-D{REAPING}={NEVER_MS}"),
        format!("-Dlogback.configurationFile={}", logback.display()),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        "org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned(),
    ])
}

/// What both get. No session ends by itself within hours, even if a server stands still for long, and nothing is reaped: when that
/// happens is nobody's to compare.
fn config(profile: Profile) -> Config {
    let config = Config::default()
        .set("forceSync", "no")
        .set("maxClientCnxns", 0)
        .set("minSessionTimeout", 36_000_000)
        .set("maxSessionTimeout", 72_000_000)
        .set(REAPING, NEVER_MS);
    profile.settings().iter().fold(config, |config, (key, value)| config.set(key, value))
}

/// A running Apache ZooKeeper.
pub fn zookeeper(profile: Profile) -> Result<Server, String> {
    let command = zookeeper_command(&version())?;
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    Ok(config(profile).command(&words).start())
}

pub struct Pair {
    pub zookeeper: Server,
    pub ringkeeper: Server,
}

impl Pair {
    pub fn start(profile: Profile, shards: u64) -> Result<Pair, String> {
        let ringkeeper: Vec<String> = match std::env::var("RINGKEEPER_TEST_SERVER") {
            Ok(command) => command.split_whitespace().map(str::to_owned).collect(),
            Err(_) => vec![env!("CARGO_BIN_EXE_ringkeeper").to_owned(), "server".to_owned()],
        };
        let words: Vec<&str> = ringkeeper.iter().map(String::as_str).collect();
        Ok(Pair {
            zookeeper: zookeeper(profile)?,
            ringkeeper: config(profile).set("ringkeeper.shards", shards).command(&words).start(),
        })
    }
}
