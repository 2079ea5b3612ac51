//! Auth packets: what a connection shows of itself, and who that makes it (client-protocol.md §14.3, §14.4).
//!
//! Schemes: `digest` (with the super user's, if one is configured) and `ip`. What a digest is in the tree's ACLs:
//! `user:base64(sha1(user:password))`, as `DigestAuthenticationProvider.java` makes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::base::host_address;
use crate::messages::Identity;
use crate::wire::client::AuthPacket;
use crate::wire::{Text, java_text};

/// As `authenticate`, of credentials that came another way: the admin port's `Authorization` header.
pub fn identities(
    scheme: &str,
    shown: Option<&[u8]>,
    ip: std::net::IpAddr,
    super_digest: Option<&str>,
) -> Option<Vec<Identity>> {
    let ip = Identity { scheme: "ip".to_owned(), id: host_address(ip) };
    match (scheme, shown) {
        // ZooKeeper fails over what isn't there.
        ("digest", None) => None,
        _ => authenticate(
            &AuthPacket { auth_type: 0, scheme: Some(Text::from_bytes(scheme.as_bytes())), auth: shown },
            &ip,
            super_digest,
        ),
    }
}

/// The identities that this packet adds. `None`: the scheme is unknown, or null; the answer is AuthFailed.
pub fn authenticate(
    packet: &AuthPacket<'_>,
    ip: &Identity,
    super_digest: Option<&str>,
) -> Option<Vec<Identity>> {
    match packet.scheme?.as_bytes() {
        b"ip" => Some(vec![ip.clone()]),
        b"digest" => {
            // Java reads the bytes as text first: what is malformed becomes U+FFFD, and that is what is hashed.
            let shown = java_text::read(packet.auth?);
            let id = digest(&shown);
            let mut identities = vec![];
            if super_digest.is_some_and(|right| is_same(right, &id)) {
                identities.push(Identity { scheme: "super".to_owned(), id: String::new() });
            }
            identities.push(Identity { scheme: "digest".to_owned(), id });
            Some(identities)
        }
        _ => None,
    }
}

/// `user:password` as ACLs name it; the user is what precedes the first colon, or all of it.
pub fn digest(user_and_password: &str) -> String {
    let user = user_and_password.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(Sha1::digest(user_and_password.as_bytes())))
}

/// In constant time for texts of one length: how far a guess was right must not show.
fn is_same(right: &str, shown: &str) -> bool {
    right.len() == shown.len() && right.bytes().zip(shown.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// What whoAmI says of an identity. The super user's scheme has no provider to name it.
pub fn user(identity: &Identity) -> &str {
    match identity.scheme.as_str() {
        "digest" => identity.id.split(':').next().unwrap_or_default(),
        "super" => "",
        _ => &identity.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet<'a>(scheme: Option<&'a str>, auth: Option<&'a [u8]>) -> AuthPacket<'a> {
        AuthPacket { auth_type: 0, scheme: scheme.map(Into::into), auth }
    }

    fn ip() -> Identity {
        Identity { scheme: "ip".into(), id: "127.0.0.1".into() }
    }

    /// As `openssl dgst -sha1 -binary | base64` has them; Apache's own are compared in tests/conformance/auth.rs.
    #[test]
    fn digests_are_base64_of_sha1() {
        assert_eq!(digest("super:secret"), "super:lK75jTNcA+U9vtVEw5vB51mj/w4=");
        assert_eq!(digest("ben:secret"), "ben:PC0ZklqkbevtIFBcBaL/OQ9DLeA=");
        assert!(digest("a:b:c").starts_with("a:") && digest("nocolon").starts_with("nocolon:"));
    }

    #[test]
    fn the_super_digest_makes_two_identities() {
        let right = digest("root:secret");
        let shown = packet(Some("digest"), Some(b"root:secret"));
        let made = authenticate(&shown, &ip(), Some(&right)).expect("a known scheme");
        assert_eq!(made[0], Identity { scheme: "super".into(), id: String::new() });
        assert_eq!(made[1], Identity { scheme: "digest".into(), id: right.clone() });
        assert_eq!(made.iter().map(user).collect::<Vec<_>>(), ["", "root"]);
        let wrong = packet(Some("digest"), Some(b"root:Secret"));
        assert_eq!(authenticate(&wrong, &ip(), Some(&right)).map(|made| made.len()), Some(1));
        assert_eq!(authenticate(&shown, &ip(), None).map(|made| made.len()), Some(1));
    }

    #[test]
    fn unknown_and_null_fail_and_ip_needs_nothing() {
        assert_eq!(authenticate(&packet(Some("ip"), None), &ip(), None), Some(vec![ip()]));
        for scheme in [None, Some(""), Some("world"), Some("super"), Some("sasl"), Some("Digest")] {
            assert_eq!(authenticate(&packet(scheme, Some(b"a:b")), &ip(), None), None, "{scheme:?}");
        }
        assert_eq!(authenticate(&packet(Some("digest"), None), &ip(), None), None);
    }
}
