//! What protects data is not passed over.

use super::*;

#[test]
fn what_would_leave_data_open_is_refused() {
    let ignored = "not built yet, and to ignore it would admit clients that it is to keep out; allowed:";
    for (line, why) in [
        ("DigestAuthenticationProvider.digestAlg=SHA-256", format!("{ignored} sha1")),
        ("DigestAuthenticationProvider.enabled=false", format!("{ignored} true")),
        ("enforce.auth.enabled=true", format!("{ignored} false")),
        ("sessionRequireClientSASLAuth=true", format!("{ignored} false")),
        ("skipACL=true", "neither yes nor no; allowed: yes, no".to_owned()),
        ("skipACL=Yes", "neither yes nor no; allowed: yes, no".to_owned()),
        ("forceSync=No", "neither yes nor no; allowed: yes, no".to_owned()),
    ] {
        assert_eq!(faults(&with_basics(line)), [format!("zoo.cfg:3: {line}: {why}")]);
    }
    for line in ["DigestAuthenticationProvider.digestAlg=SHA1", "DigestAuthenticationProvider.enabled=true"] {
        check(&with_basics(line)).unwrap_or_else(|refusal| panic!("{line}: {refusal:?}"));
    }
}
