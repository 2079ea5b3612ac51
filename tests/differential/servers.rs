//! The two servers: Apache ZooKeeper and Ringkeeper, set up alike.

use std::path::{Path, PathBuf};

use crate::groups::Profile;
use crate::support::{Config, Server};

const VERSION_DEFAULT: &str = "3.9.5";

/// The version of ZooKeeper to compare with.
pub fn version() -> String {
    std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| VERSION_DEFAULT.to_owned())
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The command that runs Apache ZooKeeper of that version.
pub fn zookeeper_command(version: &str) -> Result<Vec<String>, String> {
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
        format!("-Dlogback.configurationFile={}", logback.display()),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        "org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned(),
    ])
}

/// What both get. No session ends by itself and nothing is reaped: when that happens is nobody's to compare.
fn config(profile: Profile) -> Config {
    let config = Config::default()
        .set("forceSync", "no")
        .set("maxClientCnxns", 0)
        .set("minSessionTimeout", 300_000)
        .set("maxSessionTimeout", 900_000)
        .set("znode.container.checkIntervalMs", 2_000_000_000);
    profile.settings().iter().fold(config, |config, (key, value)| config.set(key, value))
}

pub struct Pair {
    pub zookeeper: Server,
    pub ringkeeper: Server,
}

impl Pair {
    pub fn start(profile: Profile, shards: u64) -> Result<Pair, String> {
        let command = zookeeper_command(&version())?;
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let ringkeeper = match std::env::var("RINGKEEPER_TEST_SERVER") {
            Ok(command) => command.split_whitespace().map(str::to_owned).collect(),
            Err(_) => vec![env!("CARGO_BIN_EXE_ringkeeper").to_owned(), "server".to_owned()],
        };
        let own: Vec<&str> = ringkeeper.iter().map(String::as_str).collect();
        Ok(Pair {
            zookeeper: config(profile).command(&words).start(),
            ringkeeper: config(profile).set("ringkeeper.shards", shards).command(&own).start(),
        })
    }
}
