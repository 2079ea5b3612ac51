//! The configuration file as it is after a reconfiguration: its members are in a dynamic file.
//!
//! Called by `server`, which reads and writes the files. As ZooKeeper does it (file-formats.md §13.1), but the lines which
//! stay keep their order and their comments.

use super::keys;
use super::raw::{Raw, decode};

/// What the dynamic file says from now on.
const MEMBERSHIP: [&str; 5] = ["server.", "group", "weight", "dynamicConfigFile", "peerType"];

/// `content` of a configuration file, naming `dynamic_file`. `has_client_port`: the dynamic file has this server's.
pub fn rewritten(content: &[u8], dynamic_file: &str, has_client_port: bool) -> String {
    let text = decode(content);
    let mut kept = String::with_capacity(text.len() + dynamic_file.len() + 32);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut whole = line.to_owned();
        let is_comment = line.trim_start().starts_with(['#', '!']);
        while !is_comment && is_continued(&whole) && lines.peek().is_some() {
            whole.push('\n');
            whole.push_str(lines.next().unwrap_or_default());
        }
        if !is_replaced(&whole, has_client_port) {
            kept.push_str(&whole);
            kept.push('\n');
        }
    }
    kept.push_str(&format!("dynamicConfigFile={dynamic_file}\n"));
    kept
}

/// Whether it names a dynamic file already.
pub fn is_dynamic(content: &[u8]) -> bool {
    let raw = Raw::parse("", content);
    raw.file.iter().any(|setting| setting.key == "dynamicConfigFile")
}

fn is_continued(line: &str) -> bool {
    let backslashes = line.chars().rev().take_while(|c| *c == '\\').count();
    backslashes % 2 == 1
}

fn is_replaced(line: &str, has_client_port: bool) -> bool {
    let raw = Raw::parse("", line.as_bytes());
    let Some(setting) = raw.file.first() else { return false };
    let key = keys::short(&setting.key);
    MEMBERSHIP.iter().any(|kind| key.starts_with(kind)) || has_client_port && key.starts_with("clientPort")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_give_way_to_the_dynamic_file() {
        let before = "# Ours.\ntickTime=2000\r\nserver.1=a:1:2\n server.2 = b:1:2\\\n;9\nclientPort=2181\n\ndataDir=/d\\\n\
                      /e\npeerType=observer\ngroup.1=1:2\nweight.1=1\ndynamicConfigFile=old";
        let file = "/c/zoo.cfg.dynamic.1f";
        let with_port = "# Ours.\ntickTime=2000\nclientPort=2181\n\ndataDir=/d\\\n/e\ndynamicConfigFile=/c/zoo.cfg.dynamic.1f\n";
        assert_eq!(rewritten(before.as_bytes(), file, false), with_port);
        let without = with_port.replace("clientPort=2181\n", "");
        assert_eq!(rewritten(before.as_bytes(), file, true), without);
        assert_eq!(rewritten(without.as_bytes(), file, true), without, "again");
        assert!(is_dynamic(without.as_bytes()) && !is_dynamic(b"#dynamicConfigFile=x\na=b"));
        assert_eq!(rewritten(b"", file, false), "dynamicConfigFile=/c/zoo.cfg.dynamic.1f\n");
        assert_eq!(rewritten(b"a=\xe4\\", "f", false), "a=\u{e4}\\\ndynamicConfigFile=f\n");
    }
}
