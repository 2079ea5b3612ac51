//! Access control lists as encoded, and the permission bits.
//!
//! Called by `tree` for checks and normalisation. A list is mostly kept and compared as its encoding; the open list,
//! which nearly every znode has, is recognised without looking at entries.

use std::fmt;

use super::jute::{Decode, DecodeError, Encode, Nullable, Reader, Text, encode_bytes, record};
use super::vector::{Elements, Vector};

/// The permission bits. Other bits are stored as they come.
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

record! {
    /// One entry of a list: who (`scheme`, `id`) may do what. Nulls are legal bytes and refused by normalisation.
    pub struct Acl<'a> {
        pub perms: i32,
        pub scheme: Option<Text<'a>>,
        pub id: Option<Text<'a>>,
    }
}

impl Acl<'_> {
    /// A copy that outlives the input; malformed UTF-8 becomes U+FFFD, as in ZooKeeper. `None` if either is null.
    pub fn to_owned(&self) -> Option<OwnedAcl> {
        Some(OwnedAcl {
            perms: self.perms,
            scheme: self.scheme?.to_str_lossy().into_owned(),
            id: self.id?.to_str_lossy().into_owned(),
        })
    }
}

/// One entry of a list, on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnedAcl {
    pub perms: i32,
    pub scheme: String,
    pub id: String,
}

impl OwnedAcl {
    pub fn new(perms: i32, scheme: &str, id: &str) -> OwnedAcl {
        OwnedAcl { perms, scheme: scheme.to_owned(), id: id.to_owned() }
    }

    pub fn as_acl(&self) -> Acl<'_> {
        Acl { perms: self.perms, scheme: Some((&*self.scheme).into()), id: Some((&*self.id).into()) }
    }
}

impl Encode for OwnedAcl {
    fn encode(&self, out: &mut Vec<u8>) {
        self.perms.encode(out);
        encode_bytes(out, self.scheme.as_bytes());
        encode_bytes(out, self.id.as_bytes());
    }
}

/// One entry, `world:anyone`, all permissions; encoded, with its count.
const OPEN: &[u8; 27] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";
/// One entry, `world:anyone`, READ.
const READ: &[u8; 27] = b"\0\0\0\x01\0\0\0\x01\0\0\0\x05world\0\0\0\x06anyone";
/// One entry, `auth:`, all permissions: whoever creates the znode.
const CREATOR_ALL: &[u8; 20] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x04auth\0\0\0\0";

/// `vector<ACL>`. An empty list is legal bytes, and so is null (`None`, an `Option` of this): normalisation refuses both.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AclList<'a>(Vector<'a, Acl<'a>>);

impl<'a> AclList<'a> {
    /// `[31 world:anyone]`
    pub const OPEN: AclList<'static> = AclList(Vector::from_checked(OPEN));
    /// `[1 world:anyone]`
    pub const READ: AclList<'static> = AclList(Vector::from_checked(READ));
    /// `[31 auth:]`
    pub const CREATOR_ALL: AclList<'static> = AclList(Vector::from_checked(CREATOR_ALL));
    pub const EMPTY: AclList<'static> = AclList(Vector::EMPTY);

    /// Exactly `[31 world:anyone]`: everybody may do everything. Compares bytes, decodes nothing.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.0.as_encoded() == OPEN
    }

    /// Count and entries as on the wire. Equal lists have equal encodings, so this is what to intern by.
    #[inline]
    pub fn as_encoded(&self) -> &'a [u8] {
        self.0.as_encoded()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub fn iter(&self) -> Elements<'a, Acl<'a>> {
        self.0.iter()
    }
}

impl<'a> Decode<'a> for AclList<'a> {
    const BYTES_MIN: usize = 4;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        // The list of nearly every create: one compare and no walk.
        if let Some(OPEN) = reader.rest().first_chunk() {
            return Ok(AclList(Vector::from_checked(reader.array::<{ OPEN.len() }>()?)));
        }
        Ok(AclList(Vector::decode(reader)?))
    }
}

impl Encode for AclList<'_> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Nullable for AclList<'_> {}

impl<'a> IntoIterator for AclList<'a> {
    type Item = Acl<'a>;
    type IntoIter = Elements<'a, Acl<'a>>;

    fn into_iter(self) -> Elements<'a, Acl<'a>> {
        self.iter()
    }
}

impl fmt::Debug for AclList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vector::encode_vector;

    #[test]
    fn the_predefined_lists_are_what_they_say() {
        let only = |list: AclList<'static>| {
            assert_eq!(list.len(), 1);
            let acl = list.iter().next().and_then(|acl| acl.to_owned());
            (acl, AclList::parse(list.as_encoded()) == Ok(list), list.is_open())
        };
        let world = |perms| Some(OwnedAcl::new(perms, "world", "anyone"));
        assert_eq!(only(AclList::OPEN), (world(perms::ALL), true, true));
        assert_eq!(only(AclList::READ), (world(perms::READ), true, false));
        assert_eq!(only(AclList::CREATOR_ALL), (Some(OwnedAcl::new(31, "auth", "")), true, false));
        assert!(AclList::EMPTY.is_empty() && !AclList::EMPTY.is_open());
        assert_eq!(Option::<AclList>::parse(&[0xff; 4]), Ok(None));
        assert_eq!(Option::<AclList>::parse(&[0; 4]), Ok(Some(AclList::EMPTY)));
    }

    #[test]
    fn only_the_very_open_list_is_open() {
        let encode = |entries: &[OwnedAcl]| {
            let mut out = Vec::new();
            encode_vector(&mut out, entries);
            out
        };
        let open = encode(&[OwnedAcl::new(31, "world", "anyone")]);
        assert_eq!(open, OPEN);
        assert!(AclList::parse(&open).is_ok_and(|list| list.is_open()));
        let two = encode(&[OwnedAcl::new(31, "world", "anyone"), OwnedAcl::new(31, "world", "anyone")]);
        assert!(AclList::parse(&two).is_ok_and(|list| !list.is_open() && list.len() == 2));
        for near in [
            OwnedAcl::new(30, "world", "anyone"),
            OwnedAcl::new(31, "World", "anyone"),
            OwnedAcl::new(31, "world", "anyon"),
        ] {
            assert!(AclList::parse(&encode(&[near])).is_ok_and(|list| !list.is_open()));
        }
    }

    #[test]
    fn the_short_way_for_open_lists_stops_where_the_long_way_does() {
        let mut bytes = OPEN.to_vec();
        bytes.extend([1, 2, 3]);
        let mut reader = Reader::new(&bytes);
        assert!(AclList::decode(&mut reader).is_ok_and(|list| list.is_open()));
        assert_eq!(reader.rest(), [1, 2, 3]);
        for cut in 0..OPEN.len() {
            assert!(AclList::parse(&OPEN[..cut]).is_err());
        }
    }

    #[test]
    fn a_null_scheme_or_id_has_no_owned_form() {
        let acl = Acl { perms: 1, scheme: None, id: Some("anyone".into()) };
        assert_eq!(acl.to_owned(), None);
        assert_eq!(Acl { scheme: Some("world".into()), id: None, ..acl }.to_owned(), None);
        let odd = Acl { perms: 1, scheme: Some("ip".into()), id: Some(Text::from_bytes(b"a\xffb")) };
        assert_eq!(odd.to_owned(), Some(OwnedAcl::new(1, "ip", "a\u{fffd}b")));
    }
}
