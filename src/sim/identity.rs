//! Who a client is, and who may do what: access control from the specification (client-protocol.md §14), once more.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::wire::{ErrorCode, OwnedAcl};

pub const READ: i32 = 1;
pub const WRITE: i32 = 2;
pub const CREATE: i32 = 4;
pub const DELETE: i32 = 8;
pub const ADMIN: i32 = 16;
pub const ALL: i32 = 31;

/// Where every virtual client dials from.
pub const ADDRESS: [u8; 4] = [127, 0, 0, 1];
const ADDRESS_TEXT: &str = "127.0.0.1";

/// A list as stored. `None`: everybody may do everything.
pub type Acl = Option<Arc<[OwnedAcl]>>;

/// What `user` sends in an auth packet.
pub fn password_of(user: &str) -> String {
    format!("{user}:the password of {user}")
}

/// The id that this makes.
pub fn digest_of(user: &str) -> String {
    format!("{user}:{}", STANDARD.encode(Sha1::digest(password_of(user).as_bytes())))
}

pub fn open() -> Vec<OwnedAcl> {
    vec![OwnedAcl::new(ALL, "world", "anyone")]
}

pub fn stored(entries: Vec<OwnedAcl>) -> Acl {
    if entries == open() { None } else { Some(entries.into()) }
}

pub fn entries_of(acl: &Acl) -> Vec<OwnedAcl> {
    acl.as_ref().map_or_else(open, |entries| entries.to_vec())
}

/// `users`: the digests that the connection has shown.
pub fn may(acl: &Acl, perm: i32, users: &[String]) -> bool {
    let Some(entries) = acl else { return true };
    entries.iter().filter(|entry| entry.perms & perm != 0).any(|entry| match entry.scheme.as_str() {
        "world" => entry.id == "anyone",
        "ip" => entry.id == ADDRESS_TEXT,
        "digest" => users.contains(&entry.id),
        _ => false,
    })
}

/// What a list that a client sends is stored as.
pub fn normalised(asked: &[OwnedAcl], users: &[String]) -> Result<Acl, ErrorCode> {
    let mut entries = vec![];
    for (at, entry) in asked.iter().enumerate() {
        if asked[..at].contains(entry) {
            continue;
        }
        match entry.scheme.as_str() {
            "world" if entry.id == "anyone" => entries.push(entry.clone()),
            "ip" if entry.id == ADDRESS_TEXT => entries.push(entry.clone()),
            "digest" if entry.id.split(':').filter(|part| !part.is_empty()).count() == 2 => {
                entries.push(entry.clone());
            }
            "auth" if !users.is_empty() => {
                entries.extend(users.iter().map(|user| OwnedAcl::new(entry.perms, "digest", user)));
            }
            _ => return Err(ErrorCode::InvalidACL),
        }
    }
    if asked.is_empty() { Err(ErrorCode::InvalidACL) } else { Ok(stored(entries)) }
}

/// What getACL shows of it.
pub fn shown(acl: &Acl, users: &[String]) -> Vec<OwnedAcl> {
    let mut entries = entries_of(acl);
    if !may(acl, ADMIN, users) {
        for entry in entries.iter_mut().filter(|entry| entry.scheme == "digest") {
            let user = entry.id.split(':').next().unwrap_or_default();
            entry.id = format!("{user}:x");
        }
    }
    entries
}

/// What whoAmI says: scheme and user.
pub fn introduced(users: &[String]) -> Vec<(String, String)> {
    let mut all = vec![("ip".to_owned(), ADDRESS_TEXT.to_owned())];
    let user = |digest: &String| digest.split(':').next().unwrap_or_default().to_owned();
    all.extend(users.iter().map(|digest| ("digest".to_owned(), user(digest))));
    all.sort();
    all
}
