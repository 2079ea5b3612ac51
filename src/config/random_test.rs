//! Random settings.

use super::keys;
use super::tests::{check, with_basics};

/// Whatever is written, the answer is a complete configuration or a reason.
#[test]
fn any_settings_are_taken_or_refused() {
    let mut random = crate::base::Prng::new(11);
    let values =
        ["", "0", "-1", "1", "true", "no", "x", "99999999999999", "0x7fffffff", "a:1:2", "/d", "1-3", "*"];
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..5_000 {
        let mut content = with_basics("");
        for _ in 0..random.below(5) {
            let names: Vec<&str> =
                keys::names(keys::Standing::Honoured).chain(["server.1", "server.-2", "nothing"]).collect();
            let name = names[random.below(names.len() as u64) as usize];
            let value = values[random.below(values.len() as u64) as usize];
            content.push_str(&format!("{name}={value}\n"));
        }
        match check(&content) {
            Ok((config, _)) => {
                taken += 1;
                assert!(config.min_session_timeout <= config.max_session_timeout, "{content}");
                assert!(config.pre_alloc_size > config.jute_max_buffer as u64, "{content}");
            }
            Err(refusal) => {
                refused += 1;
                assert!(!refusal.faults.is_empty(), "{content}");
            }
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} {refused}");
}
