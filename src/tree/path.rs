//! Which paths a write may name (client-protocol.md §13.6).

/// Where an ensemble shows its configuration.
pub const CONFIG: &[u8] = b"/zookeeper/config";

/// Nodes that can't be deleted.
pub fn is_special(path: &[u8]) -> bool {
    matches!(path, b"/" | b"/zookeeper" | b"/zookeeper/quota" | b"/zookeeper/config")
}

/// Java's `PathUtils.validatePath`, on UTF-8: non-empty, absolute, no empty, `.` or `..` component, no trailing slash,
/// none of the forbidden characters. Bytes that aren't UTF-8 reach a Java server as U+FFFD, which is forbidden.
pub fn is_valid(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    if path.len() == 1 {
        return true;
    }
    if path.last() == Some(&b'/') {
        return false;
    }
    if is_plain(path) {
        return true;
    }
    if !std::str::from_utf8(path).is_ok_and(|text| !text.chars().any(is_forbidden)) {
        return false;
    }
    path[1..].split(|&b| b == b'/').all(|component| !matches!(component, b"" | b"." | b".."))
}

/// Printable ASCII in which no component is empty or begins with a dot: nearly all paths. Without a way out of the loop, so that
/// many bytes are looked at at once.
fn is_plain(path: &[u8]) -> bool {
    let pairs = path.iter().zip(&path[1..]);
    pairs.fold(true, |plain, (&before, &byte)| {
        let is_printable = byte.wrapping_sub(0x20) < 0x7f - 0x20;
        let begins_badly = (before == b'/') & ((byte == b'/') | (byte == b'.'));
        plain & is_printable & !begins_badly
    })
}

/// UTF-16 units 0000-001F, 007F-009F, D800-F8FF, FFF0-FFFF; a supplementary character is a pair of surrogates.
fn is_forbidden(c: char) -> bool {
    matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_paths() {
        for path in ["/", "/a", "/a/b", "/a b", "/.a", "/a..", "/\u{a0}", "/\u{f900}", "/\u{ffef}", "/é"] {
            assert!(is_valid(path.as_bytes()), "{path:?}");
        }
    }

    #[test]
    fn invalid_paths() {
        let bad =
            ["", "a", "/a/", "//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a\0", "/\u{1f}", "/\u{7f}"];
        for path in bad.iter().chain(&["/\u{9f}", "/\u{e000}", "/\u{f8ff}", "/\u{fff0}", "/\u{10000}"]) {
            assert!(!is_valid(path.as_bytes()), "{path:?}");
        }
        assert!(!is_valid(b"/\xff"));
    }

    /// All paths of up to six characters that matter, against the rules one by one.
    #[test]
    fn what_is_settled_at_once_is_what_the_rules_say() {
        let by_rule = |path: &str| {
            let components = path.strip_prefix('/').map(|rest| rest.split('/'));
            let are_named = |mut all: std::str::Split<'_, char>| all.all(|it| !matches!(it, "" | "." | ".."));
            path == "/" || components.is_some_and(are_named) && !path.chars().any(is_forbidden)
        };
        let characters = ['/', '.', 'a', ' ', '~', '\u{1f}', '\u{7f}', 'é'];
        let mut paths = vec![String::new()];
        for _ in 0..6 {
            let longer = |path: &String| characters.map(|character| format!("{path}{character}"));
            let last: Vec<String> = paths.iter().flat_map(longer).collect();
            for path in &last {
                assert_eq!(is_valid(path.as_bytes()), by_rule(path), "{path:?}");
            }
            paths = last;
        }
        for length in 1..70 {
            let path = format!("/{}", "a".repeat(length));
            assert!(is_valid(path.as_bytes()));
            for at in 1..path.len() {
                let mut damaged = path.clone().into_bytes();
                damaged[at] = 0x1f;
                assert!(!is_valid(&damaged), "{length} {at}");
            }
        }
    }

    #[test]
    fn special_paths_are_compared_as_written() {
        assert!(is_special(b"/zookeeper/quota"));
        assert!(!is_special(b"/zookeeper/quota/x"));
    }
}
