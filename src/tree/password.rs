//! Session passwords: from the id alone, so that every server of an ensemble can check them without a table.
//!
//! Apache derives them with a constant that everybody knows (client-protocol.md §5.2): who knows an id, which are counted up,
//! can take its session. That is kept where members of both kinds share sessions. With a secret of the members' own they are a
//! MAC of the id: SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012).

use std::fmt;

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use crate::base::SessionId;

const SALT: u64 = 0xB341_5C00;

/// How they are made.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Passwords {
    #[default]
    Apaches,
    Keyed([u8; 16]),
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Passwords::Apaches => "Apaches",
            Passwords::Keyed(_) => "Keyed(…)",
        })
    }
}

impl Passwords {
    pub fn of(&self, session: SessionId) -> [u8; 16] {
        match self {
            Passwords::Apaches => of(session),
            Passwords::Keyed(key) => {
                let mut hasher = SipHasher24::new_with_key(key);
                hasher.write(&session.0.to_le_bytes());
                hasher.finish128().as_bytes()
            }
        }
    }

    /// Compares in constant time: how far a guess was right must not show in the answer's timing.
    pub fn is_right(&self, session: SessionId, password: &[u8; 16]) -> bool {
        let right = self.of(session);
        let difference = right.iter().zip(password).fold(0u8, |all, (a, b)| all | (a ^ b));
        session != SessionId::NONE && difference == 0
    }
}

/// Apache's: Java's `new Random(id ^ salt).nextBytes(16)`.
pub fn of(session: SessionId) -> [u8; 16] {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (session.0 as u64 ^ SALT ^ MULTIPLIER) & MASK;
    let mut password = [0u8; 16];
    for chunk in password.chunks_exact_mut(4) {
        state = (state.wrapping_mul(MULTIPLIER).wrapping_add(0xB)) & MASK;
        chunk.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn agrees_with_java() {
        assert_eq!(hex(&of(SessionId(0x100_000e_70be_0000))), "607dd68e6dd30c273ebfe63cfe69dbe4");
        assert_eq!(hex(&of(SessionId(0x100_000e_70be_0001))), "739ed08e0d1fec6b33024e68d2f2efb1");
    }

    /// The authors' vectors have the key 00 01 … 0f; their message of eight bytes is 00 … 07.
    #[test]
    fn agrees_with_the_authors_of_siphash() {
        let key = std::array::from_fn(|at| at as u8);
        let session = SessionId(i64::from_le_bytes(std::array::from_fn(|at| at as u8)));
        assert_eq!(hex(&Passwords::Keyed(key).of(session)), "3b62a9ba6258f5610f83e264f31497b4");
    }

    #[test]
    fn only_the_right_password_opens() {
        let session = SessionId(0x100_000e_70be_0000);
        let (one, other) = (Passwords::Keyed([1; 16]), Passwords::Keyed([2; 16]));
        for passwords in [Passwords::Apaches, one, other] {
            let mut password = passwords.of(session);
            assert!(passwords.is_right(session, &password));
            for stranger in [Passwords::Apaches, one, other].iter().filter(|stranger| **stranger != passwords)
            {
                assert!(!stranger.is_right(session, &password));
            }
            password[15] ^= 1;
            assert!(!passwords.is_right(session, &password));
            assert!(!passwords.is_right(SessionId::NONE, &passwords.of(SessionId::NONE)));
        }
    }
}
