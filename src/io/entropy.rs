//! Randomness from the operating system: seeds and secrets, at start and never on the hot path.

use crate::base::HashKey;

use super::error::Error;

/// Fills `bytes` from the kernel's generator; waits for it to be seeded, early at boot.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    let mut done = 0;
    while done < bytes.len() {
        let rest = &mut bytes[done..];
        // SAFETY: `rest` is ours and writable for its length.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        if count < 0 {
            let error = std::io::Error::last_os_error();
            if error.kind() == std::io::ErrorKind::Interrupted {
                continue;
            }
            return Err(Error::new("get random bytes from the kernel", error));
        }
        done += count as usize;
    }
    Ok(())
}

/// A seed for `base::Prng`, or a session id's random part.
pub fn seed() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The secret of every table of this server.
pub fn hash_key() -> Result<HashKey, Error> {
    Ok(HashKey(seed()?, seed()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_filled_and_no_two_seeds_agree() {
        let mut bytes = [0; 1 << 16];
        fill(&mut bytes).unwrap();
        for part in bytes.chunks(64) {
            assert!(part.iter().any(|b| *b != 0), "64 zero bytes in a row don't happen");
        }
        assert_ne!(seed().unwrap(), seed().unwrap());
        fill(&mut []).unwrap();
    }
}
