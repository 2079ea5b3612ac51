//! What `envi` and the version line tell of this process and its host. Read once, at start.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::admin::{About, build_date};
use crate::base::WallMillis;

/// Looks around. What can't be found out is left out.
pub fn about() -> About {
    let variable = |name: &str| std::env::var(name).ok();
    let directory = std::env::current_dir().ok().map(|path| path.display().to_string());
    let found = [
        ("host.name", line_of("/proc/sys/kernel/hostname")),
        ("os.name", line_of("/proc/sys/kernel/ostype")),
        ("os.arch", Some(architecture().to_owned())),
        ("os.version", line_of("/proc/sys/kernel/osrelease")),
        ("user.name", variable("USER").or_else(|| variable("LOGNAME")).or_else(user)),
        ("user.home", variable("HOME")),
        ("user.dir", directory),
    ];
    let environment = found.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    About { built: built().unwrap_or_else(|| "an unknown date".to_owned()), environment }
}

/// Of a service, which often has no variables.
fn user() -> Option<String> {
    let id = fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let of_id = |line: &&str| line.split(':').nth(2) == Some(id.as_str());
    Some(users.lines().find(of_id)?.split(':').next()?.to_owned())
}

/// The build's own word, or else the moment the linker wrote this executable.
fn built() -> Option<String> {
    if let Some(date) = option_env!("RINGKEEPER_BUILD_DATE") {
        return Some(date.to_owned());
    }
    let written = fs::metadata(std::env::current_exe().ok()?).ok()?.modified().ok()?;
    let millis = written.duration_since(UNIX_EPOCH).ok()?.as_millis();
    Some(build_date(WallMillis(i64::try_from(millis).ok()?)))
}

fn line_of(path: &str) -> Option<String> {
    Some(fs::read_to_string(Path::new(path)).ok()?.trim().to_owned())
}

/// As Java calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}
