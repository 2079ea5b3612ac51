//! Programs of ours over Java libraries: `java/MODULE/*.java` and what they share, over the jars of that module.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::program::{Program, installed, source};
use crate::support::Server;

/// Small heaps, the quick compiler only, no helper threads: these programs live for seconds, on two cores.
const JVM: [&str; 5] = [
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

fn jars(module: &str) -> PathBuf {
    installed(&format!("java/{module}")).join("*")
}

/// A class of a module's jars.
pub fn java(module: &str, class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(JVM).arg("-cp").arg(jars(module)).arg(class);
    command
}

/// Our sources of a module, compiled, to be run as often as the test likes.
#[derive(Debug)]
pub struct Compiled {
    class_path: std::ffi::OsString,
}

impl Compiled {
    pub fn new(server: &Server, module: &str) -> Compiled {
        let classes = server.file("classes");
        let mut javac = Command::new("javac");
        javac.args(["-J-XX:TieredStopAtLevel=1", "-J-Xshare:auto", "-d"]).arg(&classes);
        javac.arg("-cp").arg(jars(module));
        for folder in ["java/shared", &format!("java/{module}")] {
            let folder = source(folder);
            let files = std::fs::read_dir(&folder);
            for file in files.unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
                let path = file.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
                if path.extension() == Some(OsStr::new("java")) {
                    javac.arg(path);
                }
            }
        }
        Program::start(server, "javac", javac).finish();
        let mut class_path = classes.into_os_string();
        class_path.push(":");
        class_path.push(jars(module));
        Compiled { class_path }
    }

    /// A class of ours, told where the server is; more arguments may be added.
    pub fn run(&self, server: &Server, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(JVM).arg("-cp").arg(&self.class_path).arg(class);
        command.arg(format!("127.0.0.1:{}", server.port));
        command
    }
}
