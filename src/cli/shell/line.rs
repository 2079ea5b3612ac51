//! Cuts a line that was typed into words, as Apache's shell does.
//!
//! Words are separated by white space. A word that *begins* with a quote goes to the next quote of the same kind and loses
//! both; quotes within a word are part of it. A quote that is never closed is dropped, and what follows are words again.
//! Source: `ZooKeeperMain.MyCommandOptions` (its two patterns).

pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            let inner = &rest[1..];
            match inner.find(first) {
                Some(end) => {
                    words.push(inner[..end].to_owned());
                    rest = &inner[end + 1..];
                }
                None => rest = inner,
            }
        } else {
            let end = rest.find(is_space).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        rest = rest.trim_start_matches(is_space);
    }
    words
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn lines_are_cut_as_zkcli_cuts_them() {
        for (line, expected) in [
            ("", &[][..]),
            ("  \t ", &[]),
            ("ls /", &["ls", "/"]),
            ("  create  /a   x ", &["create", "/a", "x"]),
            ("create /a \"x y\"", &["create", "/a", "x y"]),
            ("create /a 'it is \"so\"'", &["create", "/a", "it is \"so\""]),
            ("set /a \"\"", &["set", "/a", ""]),
            ("create /c \"a\"b\" c\"d", &["create", "/c", "a", "b\"", "c\"d"]),
            ("create /c {\"a\": 1}", &["create", "/c", "{\"a\":", "1}"]),
            ("set /a \"open x", &["set", "/a", "open", "x"]),
        ] {
            assert_eq!(words(line), expected, "{line:?}");
        }
    }
}
