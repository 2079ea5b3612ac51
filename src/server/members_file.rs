//! The committed configuration of the ensemble on disk: a dynamic file, and the configuration file that names it.
//!
//! `zoo.cfg.dynamic.<version>` is written first, then `zoo.cfg` is made to name it; each as a whole, durably. A crash in
//! between leaves the old one in force, and the log still knows of the new one. What the configuration file held before the
//! first time is kept as `zoo.cfg.bak`. Source: file-formats.md §13.
//!
//! Called on the loop's thread, which waits for the disk: reconfigurations are rare, and nothing may be sent before.
//! A server that has no such file, or may not write it, goes on with a warning: at its next start it begins with the
//! configuration that it was given, together with what its log says. Tested: below, tests/ensemble/reconfig.rs.

use std::path::{Path, PathBuf};

use crate::base::ServerId;
use crate::config::{self, Ensemble};
use crate::io::{Directory, Error};
use crate::zab::Config;

#[derive(Clone, Debug)]
pub struct MembersFile {
    me: ServerId,
    /// As the operator named it; `None`: there is none.
    file: Option<PathBuf>,
}

impl MembersFile {
    pub fn new(ensemble: &Ensemble) -> MembersFile {
        MembersFile { me: ensemble.me, file: ensemble.file.as_deref().map(PathBuf::from) }
    }

    pub fn write(&self, members: &Config) {
        let Some(file) = &self.file else {
            tracing::warn!("there is no configuration file to remember the members of the ensemble in");
            return;
        };
        match self.try_write(file, members) {
            Ok(dynamic) => {
                tracing::info!(file = %dynamic.display(), "the members of the ensemble are written")
            }
            Err(error) => tracing::error!(
                %error,
                "the members of the ensemble can't be written to the configuration files; make {} and its directory \
                 writable, or change them by hand before the next start",
                file.display()
            ),
        }
    }

    fn try_write(&self, file: &Path, members: &Config) -> Result<PathBuf, Error> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = std::path::absolute(parent.unwrap_or(Path::new("."))).unwrap_or_default();
        let directory = Directory::open(&parent)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.as_ref();
        let dynamic = format!("{name}.dynamic.{:x}", members.version());
        directory.write_atomically(&dynamic, members.file_text().as_bytes())?;
        let before = directory.read(name)?;
        if !config::is_dynamic(&before) {
            directory.write_atomically(&format!("{name}.bak"), &before)?;
        }
        let path = directory.path_of(&dynamic);
        let has_client_port = members.member(self.me).is_some_and(|me| me.client.is_some());
        let after = config::rewritten(&before, &path.to_string_lossy(), has_client_port);
        directory.write_atomically(name, after.as_bytes())?;
        directory.remove(&[&format!("{name}.dynamic.next")])?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("ringkeeper-members-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("a directory");
            Folder(path)
        }

        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _left = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_configuration_file_names_the_dynamic_one() {
        let folder = Folder::new();
        let file = folder.path().join("zoo.cfg");
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name);
        let before = "tickTime=2000\nclientPort=2181\nserver.1=a:1:2\nserver.2=b:1:2\n";
        fs::write(&file, before).expect("a file");
        fs::write(folder.path().join("zoo.cfg.dynamic.next"), "server.1=a:1:2\nversion=1").expect("a file");
        let members = MembersFile { me: ServerId(1), file: Some(file) };
        let config = Config::parse("server.2=b:1:2\nserver.1=a:1:2\nversion=100000000").expect("a text");
        members.write(&config);
        let names = |version: &str| {
            format!("dynamicConfigFile={}/zoo.cfg.dynamic.{version}\n", folder.path().display())
        };
        assert_eq!(read("zoo.cfg"), format!("tickTime=2000\nclientPort=2181\n{}", names("100000000")));
        assert_eq!(read("zoo.cfg.dynamic.100000000"), config.file_text());
        assert_eq!(read("zoo.cfg.bak"), before);
        assert!(!folder.path().join("zoo.cfg.dynamic.next").exists());
        let config = Config::parse("server.1=a:1:2;9\nserver.3=c:1:2\nversion=100000003").expect("a text");
        members.write(&config);
        assert_eq!(read("zoo.cfg"), format!("tickTime=2000\n{}", names("100000003")));
        assert_eq!(read("zoo.cfg.bak"), before, "the first one");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_survived() {
        let config = Config::parse("server.1=a:1:2\nversion=1").expect("a text");
        MembersFile { me: ServerId(1), file: None }.write(&config);
        let folder = Folder::new();
        MembersFile { me: ServerId(1), file: Some(folder.path().join("none/zoo.cfg")) }.write(&config);
        MembersFile { me: ServerId(1), file: Some(folder.path().join("gone.cfg")) }.write(&config);
        assert!(!folder.path().join("gone.cfg").exists(), "half a configuration would be none");
    }
}
