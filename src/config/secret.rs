//! `ringkeeper.sessionSecret`: what the passwords of sessions are made with.
//!
//! Called by `checked`. Tested: secret_test.rs.

use std::fmt;
use std::path::Path;

use sha1::{Digest, Sha1};

use super::ensemble::Read;
use super::settings::Settings;

const KEY: &str = "ringkeeper.sessionSecret";
/// Shorter ones could be guessed.
const BYTES_MIN: usize = 16;

/// The key of a MAC, from a file that all members have. Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionSecret([u8; 16]);

impl SessionSecret {
    /// Of the file's content; blanks and line ends around it don't count.
    pub fn new(content: &[u8]) -> Result<SessionSecret, String> {
        let secret = content.trim_ascii();
        if secret.len() < BYTES_MIN {
            return Err(format!(
                "the file holds {} bytes; needed: {BYTES_MIN} that nobody can guess, e.g. of `openssl rand -hex 32`",
                secret.len()
            ));
        }
        let digest = Sha1::digest(secret);
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Ok(SessionSecret(key))
    }

    pub fn reveal(&self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(…)")
    }
}

/// `None`: not set, or a fault was noted.
pub fn session_secret(settings: &mut Settings, read: Read<'_>) -> Option<SessionSecret> {
    settings.value(KEY, |name| {
        let content = read(Path::new(name)).map_err(|error| format!("can't be read: {error}"))?;
        SessionSecret::new(&content)
    })
}

#[cfg(test)]
#[path = "secret_test.rs"]
mod tests;
