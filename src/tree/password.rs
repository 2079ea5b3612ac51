//! Session passwords. Apache derives them from the id and a constant that everybody knows, so that every server of an
//! ensemble can check them without a table (client-protocol.md §5.2).

use crate::base::SessionId;

const SALT: u64 = 0xB341_5C00;

/// Java's `new Random(id ^ salt).nextBytes(16)`.
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

/// Compares in constant time: how far a guess was right must not show in the answer's timing.
pub fn is_right(session: SessionId, password: &[u8; 16]) -> bool {
    let right = of(session);
    let difference = right.iter().zip(password).fold(0u8, |all, (a, b)| all | (a ^ b));
    session != SessionId::NONE && difference == 0
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

    #[test]
    fn only_the_right_password_opens() {
        let session = SessionId(0x100_000e_70be_0000);
        let mut password = of(session);
        assert!(is_right(session, &password));
        password[15] ^= 1;
        assert!(!is_right(session, &password));
        assert!(!is_right(SessionId::NONE, &of(SessionId::NONE)));
    }
}
