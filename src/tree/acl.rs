//! Who may do what (client-protocol.md §14.1, §14.2).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::base::limits;
use crate::messages::{AclRef, Identity};
use crate::wire::{AclList, ErrorCode, OwnedAcl, Text};

/// May a connection with these identities do this? `entries` is `None` for the open ACL.
pub fn check(entries: Option<&[OwnedAcl]>, perm: i32, identities: &[Identity]) -> Result<(), ErrorCode> {
    let Some(entries) = entries else { return Ok(()) };
    if entries.is_empty() || identities.iter().any(|identity| identity.scheme == "super") {
        return Ok(());
    }
    let mut apt = entries.iter().filter(|entry| entry.perms & perm != 0);
    // The usual entry first: to look for it is cheap, whatever else the list has.
    let granted = apt.clone().any(|entry| entry.scheme == "world" && entry.id == "anyone") || {
        let mut shown = Shown::new(entries.len(), identities);
        apt.any(|entry| shown.has(entry))
    };
    if granted { Ok(()) } else { Err(ErrorCode::NoAuth) }
}

/// What a check costs, in units of a turn's budget. Zero for all but long lists.
pub fn cost(entries: Option<&[OwnedAcl]>) -> usize {
    entries.map_or(0, |entries| entries.len() / ENTRIES_A_UNIT)
}

/// Entries of a list looked at for one unit of work.
const ENTRIES_A_UNIT: usize = 8;

/// Above, identities are put in order before a list is compared with them.
const COMPARISONS_MAX: usize = 64;

/// Identities as a list's entries are compared with them: not each with all, when both are long.
struct Shown<'a> {
    identities: &'a [Identity],
    /// In order, unless there are few comparisons to make.
    sorted: Option<Vec<Key<'a>>>,
    /// Parsed when the first entry asks.
    addresses: Option<Vec<Address>>,
}

/// By length before all else: long texts that begin alike need not be compared to their ends.
type Key<'a> = (usize, &'a str, &'a str);

fn key<'a>(scheme: &'a str, id: &'a str) -> Key<'a> {
    (id.len(), id, scheme)
}

impl<'a> Shown<'a> {
    fn new(entries: usize, identities: &'a [Identity]) -> Shown<'a> {
        let sorted = (entries * identities.len() > COMPARISONS_MAX).then(|| {
            let mut keys: Vec<Key<'_>> =
                identities.iter().map(|shown| key(&shown.scheme, &shown.id)).collect();
            keys.sort_unstable();
            keys
        });
        Shown { identities, sorted, addresses: None }
    }

    fn has(&mut self, entry: &OwnedAcl) -> bool {
        if entry.scheme == "ip" {
            return self.is_in(&entry.id);
        }
        match &self.sorted {
            Some(keys) => keys.binary_search(&key(&entry.scheme, &entry.id)).is_ok(),
            None => self.identities.iter().any(|shown| shown.scheme == entry.scheme && shown.id == entry.id),
        }
    }

    /// Is one of the addresses in this network?
    fn is_in(&mut self, network: &str) -> bool {
        let shown = self.identities.iter().filter(|shown| shown.scheme == "ip");
        let addresses = self
            .addresses
            .get_or_insert_with(|| shown.filter_map(|shown| Address::parse(&shown.id)).collect());
        Network::parse(network).is_some_and(|network| addresses.iter().any(|address| network.holds(*address)))
    }
}

/// Lists judged at once for many: who may do this is put in order, and each one's identities are looked for there.
pub struct Gate<'a> {
    /// Nobody is kept out.
    is_open: bool,
    /// Without `ip` entries, in order.
    keys: Vec<Key<'a>>,
    networks: Vec<Network>,
}

impl<'a> Gate<'a> {
    /// `entries` as in [`check`].
    pub fn new(entries: Option<&'a [OwnedAcl]>, perm: i32) -> Gate<'a> {
        let entries = entries.unwrap_or_default();
        let apt = || entries.iter().filter(|entry| entry.perms & perm != 0);
        let is_open =
            entries.is_empty() || apt().any(|entry| entry.scheme == "world" && entry.id == "anyone");
        let others = apt().filter(|entry| !is_open && entry.scheme != "ip");
        let mut keys: Vec<Key<'_>> = others.map(|entry| key(&entry.scheme, &entry.id)).collect();
        keys.sort_unstable();
        let networks = apt().filter(|entry| !is_open && entry.scheme == "ip");
        Gate { is_open, keys, networks: networks.filter_map(|entry| Network::parse(&entry.id)).collect() }
    }

    /// What [`check`] says of these identities.
    pub fn admits(&self, identities: &[Identity]) -> bool {
        self.is_open
            || identities.iter().any(|shown| match shown.scheme.as_str() {
                "super" => true,
                "ip" => Address::parse(&shown.id)
                    .is_some_and(|address| self.networks.iter().any(|network| network.holds(address))),
                scheme => self.keys.binary_search(&key(scheme, &shown.id)).is_ok(),
            })
    }
}

/// What long lists came to, for one client at a time: a multi of thirty thousand operations may ask the same as often.
#[derive(Debug, Default)]
pub struct Judged {
    identities: Vec<Identity>,
    /// The newest last.
    lists: VecDeque<Judgment>,
}

#[derive(Debug)]
struct Judgment {
    /// Held, so that a list is known by where it is.
    list: Arc<[OwnedAcl]>,
    perm: i32,
    result: Result<(), ErrorCode>,
}

/// Lists that are remembered.
const JUDGED_MAX: usize = 16;

impl Judged {
    /// As [`check`].
    pub fn check(&mut self, acl: &AclRef, perm: i32, identities: &[Identity]) -> Result<(), ErrorCode> {
        let Some(list) = acl.as_ref().filter(|list| list.len() * identities.len() > COMPARISONS_MAX) else {
            return check(acl.as_deref(), perm, identities);
        };
        if self.identities != identities {
            self.identities = identities.to_vec();
            self.lists.clear();
        }
        let known = self.lists.iter().find(|known| known.perm == perm && Arc::ptr_eq(&known.list, list));
        if let Some(known) = known {
            return known.result;
        }
        let result = check(Some(list), perm, identities);
        if self.lists.len() == JUDGED_MAX {
            self.lists.pop_front();
        }
        self.lists.push_back(Judgment { list: list.clone(), perm, result });
        result
    }
}

/// The list as it is stored: duplicates dropped, `auth` replaced by what the connection has shown. Entries are checked
/// in order, the first that is wrong decides. Where Java trips over a null (a runtime exception) it is MarshallingError.
///
/// `auth_bytes_max`: what the `auth` entries may become, as encoded. Above: InvalidACL.
pub fn normalise(
    list: AclList<'_>,
    identities: &[Identity],
    auth_bytes_max: usize,
) -> Result<Vec<OwnedAcl>, ErrorCode> {
    if list.is_empty() {
        return Err(ErrorCode::InvalidACL);
    }
    trip_over_nulls(list)?;
    let mut result: Vec<OwnedAcl> = vec![];
    let mut bytes = 0;
    // Not by comparing each with all: a list may have tens of thousands of entries.
    let mut seen = BTreeSet::new();
    for entry in list.iter().filter(|entry| seen.insert((entry.perms, entry.scheme, entry.id))) {
        if result.len() >= limits::ACL_ENTRIES_MAX {
            return Err(ErrorCode::InvalidACL);
        }
        let scheme = entry.scheme.ok_or(ErrorCode::InvalidACL)?;
        if scheme == Text::from("auth") {
            // Its id may be anything, null too.
            let before = result.len();
            let shown = identities.iter().filter(|shown| !matches!(shown.scheme.as_str(), "ip" | "super"));
            result.extend(shown.map(|shown| OwnedAcl::new(entry.perms, &shown.scheme, &shown.id)));
            if result.len() == before {
                return Err(ErrorCode::InvalidACL);
            }
            bytes += result[before..].iter().map(encoded_bytes).sum::<usize>();
            if bytes > auth_bytes_max {
                return Err(ErrorCode::InvalidACL);
            }
            continue;
        }
        let looked_at = matches!(scheme.as_bytes(), b"world" | b"ip" | b"digest");
        let null = if looked_at { ErrorCode::MarshallingError } else { ErrorCode::InvalidACL };
        let entry = entry.to_owned().ok_or(null)?;
        match entry.scheme.as_str() {
            "world" if entry.id == "anyone" => result.push(entry),
            "ip" if Network::parse(&entry.id).is_some() => result.push(entry),
            "digest" if is_digest(&entry.id) => result.push(entry),
            _ => return Err(ErrorCode::InvalidACL),
        }
    }
    Ok(result)
}

/// Permissions, and two texts behind their lengths.
fn encoded_bytes(entry: &OwnedAcl) -> usize {
    12 + entry.scheme.len() + entry.id.len()
}

/// Java looks for duplicates first. It compares an entry with earlier ones of the same permissions, scheme before id, and
/// trips over the first null of the later entry.
fn trip_over_nulls(list: AclList<'_>) -> Result<(), ErrorCode> {
    if list.iter().all(|entry| entry.scheme.is_some() && entry.id.is_some()) {
        return Ok(());
    }
    let mut perms = BTreeSet::new();
    let mut schemes = BTreeSet::new();
    for entry in list.iter() {
        let trips = match (entry.scheme, entry.id) {
            (None, _) => perms.contains(&entry.perms),
            (scheme, None) => schemes.contains(&(entry.perms, scheme)),
            _ => false,
        };
        if trips {
            return Err(ErrorCode::MarshallingError);
        }
        perms.insert(entry.perms);
        schemes.insert((entry.perms, entry.scheme));
    }
    Ok(())
}

/// Java's `id.split(":").length == 2`: trailing empty parts don't count.
fn is_digest(id: &str) -> bool {
    let mut parts: Vec<&str> = id.split(':').collect();
    while parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    parts.len() == 2
}

/// `address[/bits]`, as Java reads it: numbers may have a sign and leading zeros, and an IPv6 address is hexadecimal to its
/// end, without the dotted form and without a zone.
struct Network {
    address: Address,
    bits: u32,
}

/// Value and width in bits.
#[derive(Clone, Copy)]
struct Address(u128, u32);

impl Address {
    fn parse(text: &str) -> Option<Address> {
        if text.contains(':') { Address::parse_v6(text) } else { Address::parse_v4(text) }
    }

    fn parse_v4(text: &str) -> Option<Address> {
        let mut parts = text.split('.');
        let mut value = 0;
        for _ in 0..4 {
            let part: i32 = parts.next()?.parse().ok()?;
            value = value << 8 | u128::from(u8::try_from(part).ok()?);
        }
        parts.next().is_none().then_some(Address(value, 32))
    }

    fn parse_v6(text: &str) -> Option<Address> {
        let segments = |text: &str| -> Option<Vec<u16>> {
            let segment = |text: &str| {
                // Two bytes of what may have a sign: `-1` is ffff.
                let value = i32::from_str_radix(text, 16).ok().filter(|_| text.len() <= 4)?;
                Some((value & 0xffff) as u16)
            };
            if text.is_empty() { Some(vec![]) } else { text.split(':').map(segment).collect() }
        };
        let all = match text.split_once("::") {
            None => segments(text).filter(|all| all.len() == 8)?,
            Some((_, tail)) if tail.contains("::") => return None,
            Some((head, tail)) => {
                let (mut head, tail) = (segments(head)?, segments(tail)?);
                let zeros = 8usize.checked_sub(head.len() + tail.len()).filter(|zeros| *zeros > 0)?;
                head.extend(std::iter::repeat_n(0, zeros));
                head.extend(tail);
                head
            }
        };
        Some(Address(all.iter().fold(0, |value, segment| value << 16 | u128::from(*segment)), 128))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (Address::parse(address)?, Some(bits.parse::<i32>().ok()?)),
            None => (Address::parse(text)?, None),
        };
        let bits = bits.map_or(Some(address.1), |bits| u32::try_from(bits).ok())?;
        (bits <= address.1).then_some(Network { address, bits })
    }

    fn holds(&self, Address(value, width): Address) -> bool {
        width == self.address.1 && top(value, width, self.bits) == top(self.address.0, width, self.bits)
    }
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
        normalise(AclList::parse(&bytes).expect("a list"), identities, limits::ACL_BYTES_MAX)
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
        // As Java's parser of integers has it.
        for (id, right) in [
            ("+10.01.-0.1/+08", true),
            ("1.2.3.4.", false),
            ("1.2.3", false),
            ("256.0.0.1", false),
            ("1.2.3.4/", false),
            ("1:2:3:4:5:6:7:8/128", true),
            ("1::/0", true),
            ("::", true),
            ("1:2:3:4:5:6:7::", true),
            ("1:2:3:4:5:6:7:8::", false),
            ("::ffff:1.2.3.4", false),
            ("::1::", false),
            (":::", false),
            ("fe80::1%eth0", false),
            ("::12345", false),
        ] {
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
            ([no_scheme, unknown], ErrorCode::InvalidACL),
            // Looking for duplicates comes first.
            ([null_world, no_scheme], ErrorCode::MarshallingError),
            ([unknown, Acl { scheme: Some("ip".into()), ..null_world }], ErrorCode::InvalidACL),
            ([Acl { scheme: Some("ip".into()), ..null_world }, unknown], ErrorCode::MarshallingError),
        ] {
            let mut bytes = vec![];
            encode_vector(&mut bytes, entries);
            let list = AclList::parse(&bytes).expect("nulls are legal bytes");
            assert_eq!(normalise(list, &[], limits::ACL_BYTES_MAX), Err(error));
        }
    }

    /// Sorted or not: what a plain comparison of each with all says.
    #[test]
    fn long_lists_are_judged_as_short_ones() {
        let mut prng = crate::base::Prng::new(11);
        let schemes = ["digest", "ip", "auth"];
        let mut judged = Judged::default();
        for round in 0..300 {
            let mut id = |scheme: &str| match scheme {
                "ip" => format!("10.0.0.{}", prng.below(24)),
                _ => format!("user{}:{}", prng.below(12), "x".repeat(prng.below(3) as usize)),
            };
            let entries: Vec<OwnedAcl> = (0..round)
                .map(|at| acl(1 + at % 3, schemes[at as usize % 3], &id(schemes[at as usize % 3])))
                .collect();
            let identities: Vec<Identity> = (0..round % 7)
                .map(|at| who(schemes[at as usize % 2], &id(schemes[at as usize % 2])))
                .collect();
            let same =
                |entry: &OwnedAcl, shown: &Identity| entry.scheme == shown.scheme && entry.id == shown.id;
            for perm in [perms::READ, perms::WRITE] {
                let granted = entries.is_empty()
                    || entries
                        .iter()
                        .filter(|entry| entry.perms & perm != 0)
                        .any(|entry| identities.iter().any(|shown| same(entry, shown)));
                assert_eq!(check(Some(&entries), perm, &identities).is_ok(), granted, "round {round}");
                assert_eq!(Gate::new(Some(&entries), perm).admits(&identities), granted, "round {round}");
                let list: AclRef = Some(Arc::from(&entries[..]));
                for _ in 0..2 {
                    assert_eq!(judged.check(&list, perm, &identities).is_ok(), granted, "round {round}");
                }
            }
        }
    }

    #[test]
    fn a_long_list_is_looked_through_once_for_a_client() {
        let list = |id: &str| -> AclRef { Some(vec![acl(31, "digest", id); limits::ACL_ENTRIES_MAX].into()) };
        let (mine, another) = (list("me:h"), list("you:h"));
        let me = [who("ip", "10.0.0.1"), who("digest", "me:h")];
        let mut judged = Judged::default();
        for _ in 0..100 {
            assert_eq!(judged.check(&mine, perms::READ, &me), Ok(()));
            assert_eq!(judged.check(&another, perms::READ, &me), Err(ErrorCode::NoAuth));
        }
        assert_eq!(judged.lists.len(), 2);
        assert_eq!(judged.check(&mine, perms::READ, &me[..1]), Err(ErrorCode::NoAuth), "another client");
        assert_eq!(judged.lists.len(), 1);
        for _ in 0..100 {
            judged.check(&list("x:h"), perms::READ, &me).expect_err("not mine");
        }
        assert_eq!(judged.lists.len(), JUDGED_MAX);
    }

    /// Each check looks at every entry.
    #[test]
    fn lists_are_bounded() {
        let entries: Vec<OwnedAcl> =
            (0..).take(limits::ACL_ENTRIES_MAX + 1).map(|perms| acl(perms, "digest", "u:h")).collect();
        assert_eq!(normalised(&entries, &[]), Err(ErrorCode::InvalidACL));
        let most = &entries[1..];
        assert_eq!(normalised(most, &[]).map(|list| list.len()), Ok(limits::ACL_ENTRIES_MAX));
    }
}
