//! Who may do what (client-protocol.md §14.1, §14.2).

use std::collections::BTreeSet;

use crate::messages::Identity;
use crate::wire::{AclList, ErrorCode, OwnedAcl, Text};

/// May a connection with these identities do this? `entries` is `None` for the open ACL.
pub fn check(entries: Option<&[OwnedAcl]>, perm: i32, identities: &[Identity]) -> Result<(), ErrorCode> {
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

/// The list as it is stored: duplicates dropped, `auth` replaced by what the connection has shown. Entries are checked
/// in order, the first that is wrong decides; `world` with a null id is a runtime exception in Java.
pub fn normalise(list: AclList<'_>, identities: &[Identity]) -> Result<Vec<OwnedAcl>, ErrorCode> {
    if list.is_empty() {
        return Err(ErrorCode::InvalidACL);
    }
    let mut result: Vec<OwnedAcl> = vec![];
    // Not by comparing each with all: a list may have tens of thousands of entries.
    let mut seen = BTreeSet::new();
    for entry in list.iter().filter(|entry| seen.insert((entry.perms, entry.scheme, entry.id))) {
        let is_world = entry.scheme == Some(Text::from("world"));
        let null = if is_world { ErrorCode::MarshallingError } else { ErrorCode::InvalidACL };
        let entry = entry.to_owned().ok_or(null)?;
        match entry.scheme.as_str() {
            "world" if entry.id == "anyone" => result.push(entry),
            "ip" if Network::parse(&entry.id).is_some() => result.push(entry),
            "digest" if is_digest(&entry.id) => result.push(entry),
            "auth" => {
                let before = result.len();
                let shown =
                    identities.iter().filter(|shown| !matches!(shown.scheme.as_str(), "ip" | "super"));
                result.extend(shown.map(|shown| OwnedAcl::new(entry.perms, &shown.scheme, &shown.id)));
                if result.len() == before {
                    return Err(ErrorCode::InvalidACL);
                }
            }
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

/// `address[/bits]`, as Java reads it: parts of an IPv4 address are integers with sign and leading zeros, and an
/// IPv6 address is none that stands for an IPv4 one.
struct Network {
    address: std::net::IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<i32>().ok()?)),
            None => (text, None),
        };
        let address = parse_address(address)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |bits| u32::try_from(bits).ok())?;
        (bits <= width).then_some(Network { address, bits })
    }

    fn holds(&self, address: &str) -> bool {
        use std::net::IpAddr::{V4, V6};
        let Some(address) = parse_address(address) else { return false };
        match (self.address, address) {
            (V4(a), V4(b)) => {
                top(u128::from(a.to_bits()), 32, self.bits) == top(u128::from(b.to_bits()), 32, self.bits)
            }
            (V6(a), V6(b)) => top(a.to_bits(), 128, self.bits) == top(b.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

fn parse_address(text: &str) -> Option<std::net::IpAddr> {
    if text.contains(':') {
        let address: std::net::Ipv6Addr = text.parse().ok()?;
        return address.to_ipv4_mapped().is_none().then_some(address.into());
    }
    let mut parts = text.split('.').map(|part| part.parse::<i32>());
    let mut bytes = [0; 4];
    for byte in &mut bytes {
        *byte = u8::try_from(parts.next()?.ok()?).ok()?;
    }
    parts.next().is_none().then(|| bytes.into())
}

fn top(value: u128, width: u32, bits: u32) -> u128 {
    if bits == 0 { 0 } else { value >> (width - bits) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Decode;
    use crate::wire::acl::{Acl, perms};
    use crate::wire::jute::encode_vector;

    fn acl(perms: i32, scheme: &str, id: &str) -> OwnedAcl {
        OwnedAcl::new(perms, scheme, id)
    }

    fn normalised(entries: &[OwnedAcl], identities: &[Identity]) -> Result<Vec<OwnedAcl>, ErrorCode> {
        let bytes = crate::tree::testing::acl_bytes(entries);
        normalise(AclList::parse(&bytes).expect("a list"), identities)
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
        let refused = Err(ErrorCode::InvalidACL);
        assert_eq!(normalised(&[], &ip), refused);
        assert_eq!(normalised(&[acl(31, "world", "someone")], &ip), refused);
        assert_eq!(normalised(&[acl(31, "auth", "")], &ip), refused);
        assert_eq!(normalised(&[acl(31, "super", "x")], &ip), refused);
        assert_eq!(normalised(&[acl(31, "auth", "")], &[who("super", "")]), refused);
        let twice = [acl(31, "world", "anyone"), acl(31, "world", "anyone"), acl(1, "world", "anyone")];
        assert_eq!(normalised(&twice, &ip), Ok(twice[1..].to_vec()));
        let digest = [who("ip", "127.0.0.1"), who("digest", "u:h")];
        assert_eq!(normalised(&[acl(31, "auth", "x")], &digest), Ok(vec![acl(31, "digest", "u:h")]));
        for (id, right) in [("u:h", true), (":h", true), ("u", false), ("u:", false), ("u:a:b", false)] {
            assert_eq!(normalised(&[acl(31, "digest", id)], &ip).is_ok(), right, "{id}");
        }
        for (id, right) in [("10.0.0.1", true), ("::1/64", true), ("10.0.0.1/33", false), ("x", false)] {
            assert_eq!(normalised(&[acl(31, "ip", id)], &ip).is_ok(), right, "{id}");
        }
    }

    #[test]
    fn the_first_wrong_entry_decides() {
        let null_world = Acl { perms: perms::ALL, scheme: Some("world".into()), id: None };
        let no_scheme = Acl { perms: perms::ALL, scheme: None, id: Some("anyone".into()) };
        let unknown = Acl { perms: perms::ALL, scheme: Some("x".into()), id: Some("y".into()) };
        for (entries, error) in [
            ([null_world, unknown], ErrorCode::MarshallingError),
            ([unknown, null_world], ErrorCode::InvalidACL),
            ([no_scheme, null_world], ErrorCode::InvalidACL),
        ] {
            let mut bytes = vec![];
            encode_vector(&mut bytes, entries);
            let list = AclList::parse(&bytes).expect("nulls are legal bytes");
            assert_eq!(normalise(list, &[]), Err(error));
        }
    }

    /// As many entries as a request can hold: a second would be a second for everybody.
    #[test]
    fn long_lists_cost_little() {
        let entries: Vec<OwnedAcl> = (0..60_000).map(|perms| acl(perms, "digest", "u:h")).collect();
        assert_eq!(normalised(&entries, &[]).map(|list| list.len()), Ok(60_000));
    }
}
