//! A secret comes from a file, and a poor one is refused.

use std::io;
use std::path::Path;

use crate::config::{Config, Raw};

fn check(content: Option<&'static [u8]>) -> Result<Config, String> {
    let text = "dataDir=/data\nclientPort=2181\nringkeeper.sessionSecret=/etc/secret\n";
    let read = |path: &Path| {
        assert_eq!(path, Path::new("/etc/secret"));
        content.map(<[u8]>::to_vec).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let checked = Raw::parse("zoo.cfg", text.as_bytes()).check(|_| None, &read);
    checked.map(|(config, _)| config).map_err(|refusal| format!("{refusal:?}"))
}

#[test]
fn the_same_secret_gives_the_same_key_whatever_ends_its_line() {
    let key = |content| check(Some(content)).expect("sound").session_secret.expect("set").reveal();
    let one = key(b"0123456789abcdef0123456789abcdef");
    assert_eq!(one, key(b"0123456789abcdef0123456789abcdef\n"));
    assert_ne!(one, key(b"0123456789abcdef0123456789abcdeF\n"));
}

#[test]
fn poor_and_missing_ones_are_refused_and_none_is_shown() {
    for content in [b"".as_slice(), b"hunter2\n", b"  fifteen bytes  \n"] {
        let refusal = check(Some(content)).expect_err("it is short");
        assert!(refusal.contains("ringkeeper.sessionSecret") && refusal.contains("openssl"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    let refusal = check(None).expect_err("it is missing");
    assert!(refusal.contains("can't be read"), "{refusal}");
    let config = check(Some(b"correct horse battery staple")).expect("sound");
    assert!(format!("{config:?}").contains("SessionSecret(…)"));
}
