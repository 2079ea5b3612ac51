//! Naming: no name twice, whoever dies.

use std::collections::BTreeSet;

use crate::support::{Demo, server, until};

const COUNT: usize = 40;

/// Four processes ask for names, one is killed under way, and the server, too.
#[test]
fn no_name_is_given_out_twice() {
    let mut server = server();
    let ask = |count: &str| Demo::start(&server, "naming", &["order", count]);
    let count = COUNT.to_string();
    let asking: Vec<Demo> = (0..3).map(|_| ask(&count)).collect();
    let mut endless = ask("1000000");
    until("some names", || (endless.lines().len() > 10).then_some(()));
    endless.kill();
    let mut names: Vec<String> = vec![];
    for demo in asking {
        let own = demo.finish();
        assert_eq!(own.len(), COUNT);
        assert!(own.is_sorted(), "{own:?}");
        names.extend(own);
    }
    let killed = endless.lines();
    assert!(killed.iter().all(|name| name.starts_with("order-")), "{killed:?}");
    names.extend(killed);
    server.kill();
    server.restart();
    let last = Demo::start(&server, "naming", &["order", "3"]).finish();
    assert!(last.iter().all(|name| Some(name) > names.iter().max()), "{last:?}");
    names.extend(last);
    let different: BTreeSet<&String> = names.iter().collect();
    assert_eq!(different.len(), names.len());
}
