//! Text as `java.util.Properties` reads it: the form in which configurations of the ensemble travel and are stored.
//!
//! A line is a key and a value. The key ends at the first `=`, `:` or white space that has no backslash before it; a
//! backslash at the end of a line joins the next one; `\t`, `\n`, `\r`, `\f` and `\uXXXX` are characters, any other
//! character behind a backslash is itself. Lines that begin with `#` or `!` are comments. Source: the documentation of
//! `java.util.Properties.load`.

use std::iter::Peekable;
use std::str::Chars;

/// The pairs, in the order written. Never fails: a malformed `\u` keeps its characters.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        skip_white(&mut chars, true);
        match chars.peek() {
            None => break,
            Some('#' | '!') => while !matches!(chars.next(), None | Some('\n' | '\r')) {},
            Some(_) => {
                let key = part(&mut chars, true);
                skip_white(&mut chars, false);
                if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
                    skip_white(&mut chars, false);
                }
                let value = part(&mut chars, false);
                chars.next_if(|c| matches!(c, '\n' | '\r'));
                pairs.push((key, value));
            }
        }
    }
    pairs
}

/// Passes over white space; over ends of lines only if `lines`.
fn skip_white(chars: &mut Peekable<Chars<'_>>, lines: bool) {
    loop {
        while chars
            .next_if(|c| matches!(c, ' ' | '\t' | '\u{c}') || lines && matches!(c, '\n' | '\r'))
            .is_some()
        {}
        // An escaped end of line is none, and the white space behind it doesn't count.
        let mut ahead = chars.clone();
        if !(ahead.next() == Some('\\') && matches!(ahead.next(), Some('\n' | '\r'))) {
            return;
        }
        chars.next();
        end_of_line(chars);
    }
}

/// Takes one end of line.
fn end_of_line(chars: &mut Peekable<Chars<'_>>) {
    if chars.next() == Some('\r') {
        chars.next_if_eq(&'\n');
    }
}

/// Reads a key or a value, up to its end, which is left.
fn part(chars: &mut Peekable<Chars<'_>>, is_key: bool) -> String {
    let mut part = String::new();
    while let Some(&c) = chars.peek() {
        match c {
            '\n' | '\r' => break,
            '=' | ':' | ' ' | '\t' | '\u{c}' if is_key => break,
            '\\' => {
                chars.next();
                match chars.peek() {
                    None => {}
                    Some('\n' | '\r') => {
                        end_of_line(chars);
                        skip_white(chars, false);
                    }
                    Some(_) => part.extend(escaped(chars)),
                }
            }
            _ => part.extend(chars.next()),
        }
    }
    part
}

/// What is behind a backslash.
fn escaped(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next()? {
        't' => Some('\t'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        'f' => Some('\u{c}'),
        'u' => {
            let digits: String = chars.clone().take(4).collect();
            let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4)?;
            chars.nth(3);
            Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_java_reads_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("a=b", &[("a", "b")]),
            ("a=b\n\n c : d \r\ne f=g\r!x=y\n#z", &[("a", "b"), ("c", "d "), ("e", "f=g")]),
            ("server.1=h:1:2;3\nversion=1f", &[("server.1", "h:1:2;3"), ("version", "1f")]),
            ("server.1:h:1:2", &[("server.1", "h:1:2")]),
            ("server.1 h:1:2", &[("server.1", "h:1:2")]),
            ("a\\=b\\:c = d", &[("a=b:c", "d")]),
            ("a=b\\\n   c\\\r\n\td", &[("a", "bcd")]),
            ("a=\\u0041\\t\\q\\\\", &[("a", "A\tq\\")]),
            ("a=\\u00", &[("a", "00")]),
            ("a", &[("a", "")]),
            ("a=\\", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("a \\\n = b", &[("a", "b")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn noise_ends_and_panics_nowhere() {
        let mut prng = crate::base::Prng::new(5);
        let alphabet: Vec<char> = "a=: \t\n\r\\u0#!\u{e4}\u{1f600}".chars().collect();
        for _ in 0..5_000 {
            let length = prng.below(30);
            let text: String =
                (0..length).map(|_| alphabet[prng.below(alphabet.len() as u64) as usize]).collect();
            assert!(pairs(&text).len() <= text.len() + 1, "{text:?}");
        }
    }
}
