//! Strings as Java reads and writes them, for what is sent back to clients: the path of a sync, ACL ids, event paths.
//!
//! Reading replaces malformed UTF-8 by U+FFFD. Java takes a surrogate of three bytes for one malformed character, Rust for
//! three; otherwise the two agree. Writing encodes each UTF-16 unit on its own: a character beyond U+FFFF becomes two
//! surrogates of three bytes each (client-protocol.md §2).
//! Tested: here, and against ZooKeeper by `tests/differential.rs`.

use std::borrow::Cow;

/// What Java reads.
pub fn read(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    // The bytes of a surrogate that have been seen: 1 or 2. They had their replacement character.
    let mut surrogate = 0;
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            surrogate = 0;
            out.push_str(chunk.valid());
        }
        surrogate = match (surrogate, chunk.invalid()) {
            (_, []) => continue,
            (1, [0xa0..=0xbf]) => 2,
            (2, [0x80..=0xbf]) => 0,
            (_, invalid) => {
                out.push(char::REPLACEMENT_CHARACTER);
                if invalid == [0xed] { 1 } else { 0 }
            }
        };
    }
    Cow::Owned(out)
}

/// What Java writes.
pub fn write(text: &str) -> Cow<'_, [u8]> {
    if text.chars().all(|c| u32::from(c) <= 0xffff) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    for c in text.chars() {
        if u32::from(c) <= 0xffff {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let (high, low) = (*unit >> 12, *unit & 0x0fff);
            out.extend([0xe0 | high as u8, 0x80 | (low >> 6) as u8, 0x80 | (low & 0x3f) as u8]);
        }
    }
    Cow::Owned(out)
}

/// The bytes that come back for these.
pub fn echo(bytes: &[u8]) -> Cow<'_, [u8]> {
    match read(bytes) {
        Cow::Borrowed(text) => write(text),
        Cow::Owned(text) => Cow::Owned(write(&text).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_not_copied() {
        for text in ["", "/a", "/ü\u{a0}\u{ffef}"] {
            assert!(matches!(echo(text.as_bytes()), Cow::Borrowed(same) if same == text.as_bytes()));
        }
    }

    /// As Apache ZooKeeper 3.9.5 answers a sync.
    #[test]
    fn what_is_malformed_comes_back_replaced() {
        let replaced = |count: usize| "\u{fffd}".repeat(count);
        for (bytes, text) in [
            (&b"\xff"[..], replaced(1)),
            (b"\xc3", replaced(1)),
            (b"\xc0\xaf", replaced(2)),
            (b"\xed\xa0\x80", replaced(1)),
            (b"\xed\xa0\x80\xed\xb0\x80", replaced(2)),
            (b"\xed\xa0", replaced(1)),
            (b"\xed\xa0x\x80", replaced(1) + "x" + &replaced(1)),
            (b"\xed\xa0\x80\x80", replaced(2)),
            (b"\xf0\x9f", replaced(1)),
            (b"x\x80y", "x".to_owned() + &replaced(1) + "y"),
        ] {
            assert_eq!(read(bytes), text, "{bytes:x?}");
        }
    }

    #[test]
    fn characters_of_two_units_are_written_unit_by_unit() {
        assert_eq!(echo("/😀".as_bytes()), &b"/\xed\xa0\xbd\xed\xb8\x80"[..]);
    }
}
