//! Values of single settings: text to meaning, or what would have been allowed.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

/// A whole number within `range`, decimal or with `0x`, as Java's `Integer.decode` takes it for properties.
/// An octal reading of a leading zero is left out: `0100` is a hundred.
pub fn number(text: &str, range: &RangeInclusive<i64>, unit: &str) -> Result<i64, String> {
    let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    let allowed = format!("allowed: whole numbers from {} to {}{unit}", range.start(), range.end());
    match integer(text) {
        Some(number) if range.contains(&number) => Ok(number),
        Some(_) => Err(format!("out of range; {allowed}")),
        None => Err(format!("not a whole number; {allowed}")),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// `true` or `false` in any case: what ZooKeeper takes in `zoo.cfg`.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("not a boolean; allowed: true, false".to_owned()),
    }
}

/// `yes` or `no`: the older properties. ZooKeeper takes anything else, `Yes` and `true` too, silently as the default; we don't
/// guess.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("neither yes nor no; allowed: yes, no".to_owned()),
    }
}

/// Processors as Linux lists them: `2,3`, `0-3`, `0-1,4`.
pub fn cores(text: &str) -> Result<BTreeSet<u16>, String> {
    /// `CPU_SETSIZE` of the C library: the affinity mask has no more bits.
    const CORES_MAX: u16 = 1024;
    const ALLOWED: &str = "allowed: a list such as 2,3 or 0-3, numbers from 0 to 1023";
    let core = |text: &str| -> Result<u16, String> {
        match text.trim().parse::<u16>() {
            Ok(core) if core < CORES_MAX => Ok(core),
            _ => Err(format!("`{}` is no processor number; {ALLOWED}", super::fault::printable(text.trim()))),
        }
    };
    let mut cores = BTreeSet::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (core(first)?, core(last)?);
                if first > last {
                    return Err(format!("the range {first}-{last} runs backwards; {ALLOWED}"));
                }
                cores.extend(first..=last);
            }
            None => {
                cores.insert(core(part)?);
            }
        }
    }
    Ok(cores)
}

/// The four-letter words that may be executed. Holds words, not commands: what a word does is room `admin`'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whitelist {
    all: bool,
    words: BTreeSet<[u8; 4]>,
}

impl Whitelist {
    /// Words of ZooKeeper 3.9, whether or not this version answers them.
    const KNOWN: [&'static [u8; 4]; 18] = [
        b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"gtmk", b"hash", b"isro", b"mntr", b"ruok",
        b"srst", b"srvr", b"stat", b"stmk", b"wchc", b"wchp", b"wchs",
    ];

    /// From `4lw.commands.whitelist`: a comma list or `*`. Also returns the words nobody knows.
    ///
    /// `srvr` is always in it: `zkServer.sh status` asks for it. `isro` is where read-only mode is on: clients ask
    /// for it while they look for a server that takes writes. Both as in `FourLetterCommands.isEnabled`.
    pub fn new(list: &str, read_only_mode: bool) -> (Whitelist, Vec<String>) {
        let mut whitelist = Whitelist { all: false, words: BTreeSet::from([*b"srvr"]) };
        if read_only_mode {
            whitelist.words.insert(*b"isro");
        }
        let mut unknown = Vec::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match <[u8; 4]>::try_from(word.as_bytes()) {
                _ if word == "*" => whitelist.all = true,
                Ok(word) if Self::KNOWN.contains(&&word) => {
                    whitelist.words.insert(word);
                }
                _ => unknown.push(word.to_owned()),
            }
        }
        (whitelist, unknown)
    }

    pub fn contains(&self, word: [u8; 4]) -> bool {
        self.all || self.words.contains(&word)
    }
}

/// As `4lw.commands.whitelist` has it.
impl fmt::Display for Whitelist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            return f.write_str("*");
        }
        let words: Vec<_> = self.words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        f.write_str(&words.join(","))
    }
}

/// `user:base64(SHA-1(user:password))`. Not a password, but whoever knows it can try passwords offline: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SuperDigest(String);

impl SuperDigest {
    pub fn new(text: &str) -> Result<SuperDigest, String> {
        const BASE64_CHARS_OF_SHA1: usize = 28;
        let is_digest = |digest: &str| {
            digest.len() == BASE64_CHARS_OF_SHA1
                && digest.ends_with('=')
                && digest[..BASE64_CHARS_OF_SHA1 - 1]
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
        };
        match text.split_once(':') {
            Some((user, digest)) if !user.is_empty() && digest.is_ascii() && is_digest(digest) => {
                Ok(SuperDigest(text.to_owned()))
            }
            _ => {
                Err("not a digest (value not shown); allowed: user:digest, digest being the base64 form of \
                      SHA-1(user:password), 28 characters"
                    .to_owned())
            }
        }
    }

    /// The whole `user:digest`, to be compared with what a client's `digest` authentication yields.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SuperDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SuperDigest(…)")
    }
}

/// What is written where an address is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `0.0.0.0`, `::`: no address in particular.
    All,
    Address(IpAddr),
    /// To be resolved by whoever may ask.
    Name(String),
}

impl Host {
    pub fn new(text: &str) -> Option<Host> {
        let text = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(if address.is_unspecified() { Host::All } else { Host::Address(address) });
        }
        if text.eq_ignore_ascii_case("localhost") {
            return Some(Host::Address(Ipv4Addr::LOCALHOST.into()));
        }
        let is_name = !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        is_name.then(|| Host::Name(text.to_owned()))
    }
}

#[cfg(test)]
#[path = "values_test.rs"]
mod tests;
