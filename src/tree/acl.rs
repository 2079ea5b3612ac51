//! Who may do what (client-protocol.md §14.1, §14.2).

use crate::messages::Identity;
use crate::wire::{ErrorCode, OwnedAcl as Acl};

/// May a connection with these identities do this? `entries` is `None` for the open ACL.
pub fn check(entries: Option<&[Acl]>, perm: i32, identities: &[Identity]) -> Result<(), ErrorCode> {
    let Some(entries) = entries else { return Ok(()) };
    if entries.is_empty() || identities.iter().any(|identity| identity.scheme == "super") {
        return Ok(());
    }
    let granted = entries.iter().filter(|entry| entry.perms & perm != 0).any(|entry| {
        (entry.scheme == "world" && entry.id == "anyone")
            || identities
                .iter()
                .any(|identity| identity.scheme == entry.scheme && matches(identity, &entry.id))
    });
    if granted { Ok(()) } else { Err(ErrorCode::NoAuth) }
}

fn matches(identity: &Identity, id: &str) -> bool {
    match identity.scheme.as_str() {
        "ip" => Network::parse(id).is_some_and(|network| network.holds(&identity.id)),
        _ => identity.id == id,
    }
}

/// The list as it is stored: duplicates dropped, `auth` replaced by what the connection has shown.
pub fn normalise(entries: Vec<Acl>, identities: &[Identity]) -> Result<Vec<Acl>, ErrorCode> {
    let mut result: Vec<Acl> = vec![];
    let mut push = |acl: Acl| {
        if !result.contains(&acl) {
            result.push(acl);
        }
    };
    if entries.is_empty() {
        return Err(ErrorCode::InvalidACL);
    }
    for entry in entries {
        match entry.scheme.as_str() {
            "world" if entry.id == "anyone" => push(entry),
            "auth" => {
                let authenticated =
                    |identity: &&Identity| !matches!(identity.scheme.as_str(), "ip" | "super");
                let mut any = false;
                for identity in identities.iter().filter(authenticated) {
                    any = true;
                    push(Acl {
                        perms: entry.perms,
                        scheme: identity.scheme.clone(),
                        id: identity.id.clone(),
                    });
                }
                if !any {
                    return Err(ErrorCode::InvalidACL);
                }
            }
            "ip" if Network::parse(&entry.id).is_some() => push(entry),
            "digest" if is_digest(&entry.id) => push(entry),
            _ => return Err(ErrorCode::InvalidACL),
        }
    }
    Ok(result)
}

/// Java's `id.split(":").length == 2`: trailing empty parts don't count.
fn is_digest(id: &str) -> bool {
    let mut parts: Vec<&str> = id.split(':').collect();
    while parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    parts.len() == 2
}

/// `address[/bits]`.
struct Network {
    address: std::net::IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse().ok()?, Some(bits.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let width = if matches!(address, std::net::IpAddr::V4(_)) { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Network { address, bits })
    }

    fn holds(&self, address: &str) -> bool {
        use std::net::IpAddr::{V4, V6};
        let Ok(address) = address.parse() else { return false };
        match (self.address, address) {
            (V4(a), V4(b)) => {
                top(u128::from(a.to_bits()), 32, self.bits) == top(u128::from(b.to_bits()), 32, self.bits)
            }
            (V6(a), V6(b)) => top(a.to_bits(), 128, self.bits) == top(b.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

fn top(value: u128, width: u32, bits: u32) -> u128 {
    if bits == 0 { 0 } else { value >> (width - bits) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::acl::perms;

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, scheme: scheme.into(), id: id.into() }
    }

    fn who(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn world_and_ip() {
        let from = [who("ip", "10.1.2.3")];
        assert_eq!(check(None, perms::WRITE, &from), Ok(()));
        assert_eq!(check(Some(&[acl(perms::READ, "world", "anyone")]), perms::READ, &from), Ok(()));
        let read_only = [acl(perms::READ, "world", "anyone")];
        assert_eq!(check(Some(&read_only), perms::WRITE, &from), Err(ErrorCode::NoAuth));
        for (id, right) in
            [("10.1.2.3", true), ("10.1.0.0/16", true), ("10.1.0.0/24", false), ("0.0.0.0/0", true)]
        {
            assert_eq!(check(Some(&[acl(31, "ip", id)]), perms::READ, &from).is_ok(), right, "{id}");
        }
        assert_eq!(check(Some(&read_only), perms::WRITE, &[who("super", "")]), Ok(()));
    }

    #[test]
    fn normalisation() {
        let ip = [who("ip", "127.0.0.1")];
        assert_eq!(normalise(vec![], &ip), Err(ErrorCode::InvalidACL));
        assert_eq!(normalise(vec![acl(31, "world", "someone")], &ip), Err(ErrorCode::InvalidACL));
        assert_eq!(normalise(vec![acl(31, "auth", "")], &ip), Err(ErrorCode::InvalidACL));
        assert_eq!(normalise(vec![acl(31, "super", "x")], &ip), Err(ErrorCode::InvalidACL));
        let twice = vec![acl(31, "world", "anyone"), acl(31, "world", "anyone"), acl(1, "world", "anyone")];
        assert_eq!(normalise(twice, &ip).map(|list| list.len()), Ok(2));
        let digest = [who("ip", "127.0.0.1"), who("digest", "u:h")];
        assert_eq!(normalise(vec![acl(31, "auth", "x")], &digest), Ok(vec![acl(31, "digest", "u:h")]));
        for (id, right) in [("u:h", true), (":h", true), ("u", false), ("u:", false), ("u:a:b", false)] {
            assert_eq!(normalise(vec![acl(31, "digest", id)], &ip).is_ok(), right, "{id}");
        }
    }
}
