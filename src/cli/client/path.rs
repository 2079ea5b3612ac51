//! What a path must be like, in the words of Java's `PathUtils`: checked before a server is asked.

/// An error is the message that a user reads.
pub fn validate(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("Path length must be > 0".to_owned());
    }
    if !path.starts_with('/') {
        return Err("Path must start with / character".to_owned());
    }
    if path.len() == 1 {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err("Path must not end with / character".to_owned());
    }
    // Positions are counted in UTF-16 units, as Java counts.
    let units: Vec<u16> = path.encode_utf16().collect();
    let slash = u16::from(b'/');
    let dot = u16::from(b'.');
    let ends_name = |at: usize| units.get(at).is_none_or(|unit| *unit == slash);
    for (at, unit) in units.iter().copied().enumerate().skip(1) {
        let before = units[at - 1];
        let relative = unit == dot
            && ends_name(at + 1)
            && (before == slash || before == dot && at >= 2 && units[at - 2] == slash);
        let reason = match unit {
            0 => "null character not allowed",
            _ if unit == slash && before == slash => "empty node name specified",
            _ if relative => "relative paths not allowed",
            0x01..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff => "invalid character",
            _ => continue,
        };
        return Err(format!("Invalid path string \"{path}\" caused by {reason} @{at}"));
    }
    Ok(())
}

/// `parent` and a name below it.
pub fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["/", "/a", "/a/b", "/a.b/..c", "/...", "/a/.b", "/ü x"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for (bad, message) in [
            ("", "Path length must be > 0"),
            ("a", "Path must start with / character"),
            ("/a/", "Path must not end with / character"),
            ("/a//b", "Invalid path string \"/a//b\" caused by empty node name specified @3"),
            ("/a/../b", "Invalid path string \"/a/../b\" caused by relative paths not allowed @4"),
            ("/./b", "Invalid path string \"/./b\" caused by relative paths not allowed @1"),
            ("/a/.", "Invalid path string \"/a/.\" caused by relative paths not allowed @3"),
            ("/a\u{7f}", "Invalid path string \"/a\u{7f}\" caused by invalid character @2"),
            ("/\0", "Invalid path string \"/\0\" caused by null character not allowed @1"),
        ] {
            assert_eq!(validate(bad), Err(message.to_owned()));
        }
    }
}
